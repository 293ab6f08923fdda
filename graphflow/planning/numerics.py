"""What besides the graph decides the numbers: device kind, dtypes, library versions.

These enter every key, so they must be known before planning, without importing torch: from the settings, else from a
probe that the last run wrote, else from what the operating system shows.
"""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from graphflow.basics.device_names import kind_of
from graphflow.basics.regular import open_regular

HALF_BY_DEVICE = {"cuda": "float16", "xpu": "float16", "mps": "float16", "cpu": "float32"}


@dataclass(frozen=True)
class Numerics:
    """What enters keys beside the graph.

    Attributes:
        device: Kind of device: ``cpu``, ``cuda``, ``mps``, ``xpu``.
        compute: Dtype of the arithmetic in models.
        storage: Dtype in which weights are held; ``file`` is each file's own.
        torch: major.minor of torch.
        diffusers: major.minor of diffusers.
        parts: Parts that compute on a device of another kind, as ``text_encoder=cpu``.
    """

    device: str = "cpu"
    compute: str = "float32"
    storage: str = "file"
    torch: str = ""
    diffusers: str = ""
    parts: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the fields as JSON; without `parts` where there are none, as keys ever were."""
        return {name: value for name, value in vars(self).items() if name != "parts" or value}


@cache
def version_of(package: str) -> str:
    """Return a package's version without importing it, or an empty string."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def major_minor(version: str) -> str:
    """Return the first two numbers of a version."""
    return ".".join(version.partition("+")[0].split(".")[:2])


def choose(
    device: str = "auto", dtype: str = "auto", *, parts: Mapping[str, str] | None = None, probe: Path | None = None
) -> Numerics:
    """Decide the numerics.

    Args:
        device: ``auto``, or a torch device name.
        dtype: ``auto``, ``float32``, ``float16`` or ``bfloat16``.
        parts: Devices of parts that do not compute there.
        probe: File that :func:`write_probe` wrote.
    """
    kind = kind_of(device)
    if kind == "auto":
        kind = (read_probe(probe) if probe is not None else None) or guess_device()
    return Numerics(
        device=kind,
        compute=HALF_BY_DEVICE.get(kind, "float32") if dtype == "auto" else dtype,
        torch=major_minor(version_of("torch")),
        diffusers=major_minor(version_of("diffusers")),
        parts=",".join(
            f"{part}={kind_of(name)}" for part, name in sorted((parts or {}).items()) if kind_of(name) != kind
        ),
    )


def guess_device() -> str:
    """Guess the device kind from what the operating system shows."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return "cpu"
    if sys.platform == "darwin" and os.uname().machine == "arm64":
        return "mps"
    if Path("/proc/driver/nvidia/version").exists() or (sys.platform == "win32" and ctypes.util.find_library("nvcuda")):
        return "cuda"
    return "cpu"


def _facts() -> dict[str, str]:
    driver = Path("/proc/driver/nvidia/version")
    try:
        shown = driver.read_text("utf-8").splitlines()[0] if driver.exists() else ""
    except OSError:
        shown = ""
    return {"torch": version_of("torch"), "driver": shown, "visible": os.environ.get("CUDA_VISIBLE_DEVICES", "unset")}


def read_probe(path: Path) -> str | None:
    """Return the device kind that the last run found, or None where torch or the driver changed since."""
    try:
        with open_regular(path) as file:
            data = json.load(file)
        return str(data["device"]) if data["facts"] == _facts() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_probe(path: Path) -> str:
    """Ask torch which device there is and write it down; returns the device kind.

    Where it cannot be written, planning goes on guessing.
    """
    import torch

    kind = "cpu"
    if torch.cuda.is_available():
        kind = "cuda"
    elif torch.backends.mps.is_available():
        kind = "mps"
    elif hasattr(torch, "xpu") and torch.xpu.is_available():
        kind = "xpu"
    if read_probe(path) != kind:
        from graphflow.basics.atomic import write_bytes

        with suppress(OSError):
            write_bytes(path, json.dumps({"device": kind, "facts": _facts()}).encode())
    return kind
