"""Scripts of recorded ComfyUI workflows against ComfyUI's own numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import load_file

from graphflow.converters.comfyui import to_native
from graphflow.converters.diffusers_script import export
from graphflow.errors import GraphflowError
from graphflow.modelfiles.description import Description, Kind
from graphflow.session import Session
from tests.comfyui.recorded import BOUND, INPUTS, PARITY, PIXEL_BOUND, arrays, as_recorded, cases, error, picture
from tests.export.comparing import make_session
from tests.fresh import Fresh
from tests.models.tiny import _write_tokenizer as write_tokenizer
from tests.parity.harness import BROWNIAN_BOUND

OFFLINE = Path(__file__).with_name("offline.py")
GROUPS = {"features": "sd15_rand", "samplers": "sd15_tinyunet_rand"}
"""Groups of recordings, each with the checkpoint that it is about."""


@dataclass(frozen=True)
class Compared:
    """One case.

    Attributes:
        error: Max |a - b| / max |b| of its saved latent.
        bound: How far that may go.
        pixels: Largest difference of a pixel of its pictures, of 1; None where it saves none.
        call: Whether the script is pipeline calls, without a loop of its own.
        lines: Number of the script's lines.
        seconds: How long it ran.
        problem: What kept it from running, or empty.
    """

    error: float
    bound: float
    pixels: float | None = None
    call: bool = False
    lines: int = 0
    seconds: float = 0.0
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether it ran and is within bounds."""
        return not self.problem and self.error <= self.bound and (self.pixels or 0.0) <= PIXEL_BOUND


def run_recorded(models: Path, names: Sequence[str], jobs: int = 1) -> Iterator[tuple[str, Compared]]:
    """Run scripts of recorded workflows, and yield each as it is done.

    Args:
        models: Folder with the recordings' weights.
        names: ``group/case`` each.
        jobs: How many run at once; each has the models in its memory, 4.4 GB of the large one.
    """
    with TemporaryDirectory() as scratch:
        configs = json.dumps(write_all_configs(models, Path(scratch)))
        for group, checkpoint in GROUPS.items():
            wanted = [name for name in names if name.startswith(f"{group}/")]
            first = models / "checkpoints" / f"{checkpoint}.safetensors"
            free: SimpleQueue[Fresh] = SimpleQueue()

            def one(name: str, free: SimpleQueue[Fresh] = free) -> tuple[str, Compared]:
                fresh = free.get()
                try:
                    return name, compare(fresh, name, models)
                finally:
                    free.put(fresh)

            with ThreadPoolExecutor(jobs) as pool, ExitStack() as servers:
                for _ in range(min(jobs, len(wanted))):
                    free.put(servers.enter_context(Fresh(OFFLINE, configs, first)))
                # Runs first where one stops: what has not begun is left out, and then the servers end the others.
                servers.callback(pool.shutdown, wait=False, cancel_futures=True)
                for done in as_completed([pool.submit(one, name) for name in wanted]):
                    yield done.result()


def compare(fresh: Fresh, name: str, models: Path) -> Compared:
    """Export one case, run its script, and compare what it saves with the recording."""
    group, _, case = name.partition("/")
    recorded, bound, start = cases(group)[case], _bound(group, case), time.monotonic()
    with TemporaryDirectory() as folder:
        work = Path(folder)
        session = make_session(work, models=({"path": models},))
        try:
            document = to_native(as_recorded(recorded["prompt"])).document
            code = export(document, session=session, input_folder=INPUTS).code
        except GraphflowError as refused:
            return Compared(float("inf"), bound, problem=str(refused))
        (work / "script.py").write_text(code, "utf-8")
        done = fresh.run(work / "script.py", "--out", work / "out", timeout=900.0)
        seconds = round(time.monotonic() - start, 1)
        if done.code:
            return Compared(float("inf"), bound, seconds=seconds, problem=done.err[-2000:])
        latents, pixels = _differences(group, case, recorded, work / "out")
    return Compared(latents, bound, pixels, "Denoiser" not in code, code.count("\n"), seconds)


def _differences(group: str, case: str, recorded: Mapping[str, Any], out: Path) -> tuple[float, float | None]:
    """How far the saved latents and pictures are from the recorded ones."""
    prompt = recorded["prompt"].values()
    saved = [tuple(node["inputs"]["samples"]) for node in prompt if node["class_type"] == "SaveLatent"]
    (tap,) = [tap for tap, origin in recorded["taps"].items() if tuple(origin) in saved]
    (file,) = out.rglob("*.latent")
    latents = error(load_file(file)["latent_tensor"], arrays(PARITY / f"{group}.npz")[f"{case}/{tap}"])
    wanted = [picture(group, case, node, i) for node, files in recorded["images"].items() for i in range(len(files))]
    drawn = [np.asarray(Image.open(path).convert("RGB")).astype(float) for path in sorted(out.rglob("*.png"))]
    if len(drawn) != len(wanted):
        return latents, float("inf")
    pairs = zip(drawn, wanted, strict=True)
    return latents, max((float(np.abs(a - b).max()) / 255 for a, b in pairs), default=None)


def _bound(group: str, case: str) -> float:
    from graphflow.sampling.samplers import SAMPLERS

    sampler = case.rsplit("-", 1)[0] if group == "samplers" else ""
    return BROWNIAN_BOUND if sampler and SAMPLERS[sampler].noise.startswith("brownian") else BOUND


def write_all_configs(models: Path, scratch: Path) -> dict[str, str]:
    """Write the configs of all single files of a model folder; returns their folders by file."""
    found: dict[str, str] = {}
    session: Session = make_session(scratch, models=({"path": models},))
    kinds: dict[str, Kind] = {"checkpoints": "checkpoint", "controlnet": "controlnet"}
    for folder, kind in kinds.items():
        for path in sorted((models / folder).glob("*.safetensors")):
            found[str(path)] = str(scratch / path.stem)
            write_configs(session.library.describe(str(path), kind, trusted=True), scratch / path.stem)
    return found


def write_configs(description: Description, folder: Path) -> None:
    """Write the configs of a single-file model as a Diffusers folder has them, without weights."""
    for name, part in description.parts.items():
        place = folder if name == "controlnet" else folder / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "config.json").write_text(json.dumps({"_class_name": part.class_name, **part.config}), "utf-8")
    if description.kind != "checkpoint":
        return
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(description.scheduler), "utf-8")
    write_tokenizer(folder / "tokenizer", pad="<|endoftext|>")
    index = {
        "_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", description.scheduler["_class_name"]],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(index), "utf-8")


def all_names() -> list[str]:
    """All cases, ``group/case`` each."""
    return [f"{group}/{case}" for group in GROUPS for case in cases(group)]
