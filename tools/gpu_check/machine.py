"""The machine under test: sessions on it, models for it, and what it is."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphflow import Session, Workflow, events, workflows
from graphflow.settings import Settings
from tools.gpu_check.engine import session_in_want, session_with
from tools.gpu_check.random_models import Family, write
from tools.shapes.pictures.judge import judge

MIB = 2**20


@dataclass(frozen=True)
class Drawn:
    """What one run gave: float32 on the CPU."""

    latent: Tensor
    pixels: Tensor
    notices: list[str]
    seconds: dict[str, float]


@dataclass
class Machine:
    """Where checks run.

    Attributes:
        device: ``cuda`` or ``cpu``.
        folder: An empty folder with some GB of space.
        minutes: When to stop.
    """

    device: str
    folder: Path
    minutes: float
    started: float = field(default_factory=time.monotonic)
    _models: dict[Family, Path] = field(default_factory=dict)

    def left(self) -> float:
        """Seconds that are left."""
        return self.started + 60 * self.minutes - time.monotonic()

    def settings(self, device: str, dtype: str) -> Settings:
        """Settings that store nothing and keep away from the user's."""
        return Settings.model_validate(
            {
                "device": device,
                "dtype": dtype,
                "cache_dir": self.folder / "cache",
                "cache_bytes": 0,
                "models": [],
                "offline": True,
                "safety": "off",
            }
        )

    def session(self, dtype: str, *, device: str = "", measures: Collection[str] = (), **more: Any) -> Session:
        """A session, on the device under test unless another is named."""
        return session_with(self.settings(device or self.device, dtype), measures, **more)

    def session_in_want(self, dtype: str, rung: int, **more: Any) -> Session:
        """A session on the CPU that runs out of memory until a rung of the ladder is climbed."""
        return session_in_want(self.settings("cpu", dtype), rung, **more)

    def model(self, family: Family) -> str:
        """A model with random weights: full-size on CUDA, tiny on the CPU."""
        if family not in self._models:
            tiny = self.device == "cpu"
            self._models[family] = write(self.folder / f"random-{family}", family, self.device, tiny=tiny)
        return str(self._models[family])

    @contextmanager
    def limited(self, more: float) -> Iterator[None]:
        """Let torch take only so many more bytes of the device until the block ends."""
        gc.collect()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + more) / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)


def draw(session: Session, workflow: str | Workflow = "txt2img", targets: Sequence[str] = (), **inputs: Any) -> Drawn:
    """Run a packaged workflow, or one made here, up to some nodes: by default to its named outputs."""
    folder = workflows.path(workflow).parent if isinstance(workflow, str) else None
    loaded = Workflow.load(workflows.path(workflow)) if isinstance(workflow, str) else workflow
    wanted = targets or [str(end) for end in loaded.document.outputs.values()]
    told: list[events.Event] = []
    result = session.run(loaded, inputs, targets=wanted, sink=told.append, folder=folder)
    values = list(result.values.values())
    latents = [value.samples for value in values if hasattr(value, "samples")]
    pictures = [value.pixels for value in values if hasattr(value, "pixels")]
    return Drawn(
        latent=latents[0].float().cpu() if latents else torch.zeros(0),
        pixels=pictures[0].float().cpu() if pictures else torch.zeros(0),
        notices=[event.message for event in told if isinstance(event, events.Notice)],
        seconds=dict(result.seconds),
    )


def relative(found: Tensor, expected: Tensor) -> float:
    """|a - b| / |b|, of Euclidean norms; NaN where anything is no number, infinite where the shapes differ."""
    if found.shape != expected.shape or not expected.numel():
        return float("inf")
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def shows_red_circle(pixels: Tensor) -> bool:
    """Whether the first picture is what the packaged workflow asks for, by the pixel judge."""
    picture = (pixels[0, :3].permute(1, 2, 0).clamp(0, 1).numpy() * 255).round().astype(np.uint8)
    return judge(picture).shows("circle", "red", "blue")


@contextmanager
def exact_float32() -> Iterator[None]:
    """Multiply float32 in float32, not in TF32, until the block ends."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def facts(device: str) -> dict[str, str]:
    """What the page says of the machine."""
    found = {"device": "the CPU alone"}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        try:
            driver = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
        except (OSError, subprocess.CalledProcessError, IndexError):
            driver = "unknown"
        found = {
            "device": f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, compute capability "
            f"{properties.major}.{properties.minor}",
            "driver": driver,
            "CUDA": str(torch.version.cuda),
            "cuDNN": str(torch.backends.cudnn.version()),
        }
    found |= {"processor cores": str(os.cpu_count()), "Python": platform.python_version()}
    return found | {name: importlib.metadata.version(name) for name in ("torch", "diffusers", "transformers")}
