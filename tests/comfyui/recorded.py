"""Recorded ComfyUI workflows, imported, run through a session, and compared with what ComfyUI gave."""

from __future__ import annotations

import copy
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from graphflow.converters.comfyui import Imported, to_native, to_prompt
from graphflow.converters.comfyui.prompt import Flattened
from graphflow.session import Session
from graphflow.settings import RootSetting, Settings
from graphflow.values import Conditioning, Image, Latent, Mask, Sigmas
from tests.parity.harness import SOLVED_BOUND, SOLVED_IN_FLOAT32

HERE = Path(__file__).parent
PARITY = HERE.parent / "parity" / "data"
TEXT = HERE.parent / "families" / "data" / "recorded.npz"
INPUTS = PARITY / "inputs"
GROUPS = ("nets", "text", "sigmas", "features", "samplers")
BOUND, BROWNIAN_BOUND = 1e-4, 1e-3
VERSION = (0, 3, 64)
PIXEL_BOUND = 1 / 255
SKIPPED = {"GITSScheduler": "its table of levels has no free licence"}


@dataclass(frozen=True)
class Row:
    """Error of one recorded array or picture, and how far it may go."""

    case: str
    tap: str
    error: float
    bound: float

    @property
    def ok(self) -> bool:
        return self.error <= self.bound


def cases(group: str) -> dict[str, dict[str, Any]]:
    """Return the recorded cases of a group: ``prompt``, ``taps`` by name, ``images`` by node."""
    recorded = json.loads((HERE / "data" / "recorded.json").read_text("utf-8"))[group]
    if group != "samplers":
        return dict(recorded)
    found: dict[str, dict[str, Any]] = {}
    for key, wanted in arrays(PARITY / "samplers.npz").items():
        name = key.removesuffix("/latent")
        sampler, schedule = name.rsplit("-", 1)
        case = copy.deepcopy(recorded)
        case["prompt"]["5"]["inputs"] |= {"sampler_name": sampler, "scheduler": schedule}
        case["prompt"]["4"]["inputs"] |= {"width": wanted.shape[-1] * 8, "height": wanted.shape[-2] * 8}
        found[name] = {**case, "images": {}}
    return found


@cache
def arrays(path: Path) -> dict[str, Tensor]:
    """Return the arrays of a file."""
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def make_session(models: Path, scratch: Path) -> Session:
    """Return a session on the recordings' weights that keeps nothing."""
    settings = Settings(
        models=(RootSetting(path=models),), cache_dir=scratch, device="cpu", dtype="float32", safety="off", offline=True
    )
    return Session(settings)


def run_recorded(
    group: str, *, models: Path, cases_wanted: Sequence[str] | None = None, session: Session | None = None
) -> Iterator[Row]:
    """Yield a row for each recorded array and picture of a group.

    Args:
        group: One of ``GROUPS``.
        models: Folder with the recordings' weights.
        cases_wanted: The cases to run; all of them by default.
        session: A session on these weights; one of its own by default.
    """
    with tempfile.TemporaryDirectory() as folder:
        current = session or make_session(models, Path(folder) / "cache")
        for name, case in cases(group).items():
            if cases_wanted is None or name in cases_wanted:
                yield from run_case(current, group, name, case, Path(folder) / name)


def run_case(session: Session, group: str, name: str, case: dict[str, Any], out: Path) -> Iterator[Row]:
    """Import one case, run it, and yield its rows."""
    prompt = {id: node for id, node in case["prompt"].items() if node["class_type"] not in SKIPPED}
    taps = {tap: (origin[0], origin[1]) for tap, origin in case["taps"].items() if origin[0] in prompt}
    imported = with_taps(prompt, list(taps.values()))
    missing = imported.report.unsupported
    if missing:
        remarks = "; ".join(f"{entry.type}: {entry.remarks}" for entry in missing)
        yield Row(name, f"import: {remarks}", float("inf"), 0)
        return
    targets = {tap: imported.addresses[origin] for tap, origin in taps.items()}
    files = {node: _written(imported, node) for node in case["images"]}
    named = {f"tap{number}": address for number, address in enumerate(targets.values())}
    document = imported.document.model_copy(update={"outputs": named})
    result = session.run(document, targets=[*targets.values(), *files.values()], folder=INPUTS, out=out)
    for number, tap in enumerate(targets):
        for key, got in parts(result.outputs[f"tap{number}"], tap):
            wanted, sliced = _wanted(group, name, key, got)
            if wanted is None:
                continue
            yield Row(name, key, error(sliced, wanted), _bound(group, name))
    for node, address in files.items():
        for number, written in enumerate(result.files[address]):
            wanted_picture = picture(group, name, node, number)
            with PIL.Image.open(written.path) as opened:
                got_picture = np.asarray(opened.convert("RGB")).astype(float)
            worst = np.abs(got_picture - wanted_picture).max() / 255
            yield Row(name, f"{node}.{number}.png", float(worst), PIXEL_BOUND)


def with_taps(prompt: dict[str, Any], taps: Sequence[tuple[str, int]]) -> Imported:
    """Import a prompt so that every tapped node runs: a ``PreviewAny`` reads each."""
    shown = {f"tap{n}": {"class_type": "PreviewAny", "inputs": {"source": list(tap)}} for n, tap in enumerate(taps)}
    return to_native(as_recorded({**prompt, **shown}))


def as_recorded(prompt: dict[str, Any]) -> Flattened:
    """Read a prompt as that of the version it was recorded with, which API prompts do not name."""
    return replace(to_prompt(copy.deepcopy(prompt)), core_version=VERSION)


def _written(imported: Imported, node: str) -> str:
    """Return the native node that stands for a SaveImage."""
    for id, entry in imported.document.nodes.items():
        ids: Any = (entry.meta or {}).get("comfyui")
        if entry.type == "save_image" and ids["ids"] == [node]:
            return id
    raise LookupError(f"no save_image stands for {node}")


def parts(value: object, tap: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the arrays of a value as the recording has them."""
    match value:
        case Latent():
            yield tap, value.samples
            if value.noise_mask is not None:
                yield f"{tap}.noise_mask", value.noise_mask.reshape(-1, 1, *value.noise_mask.shape[-2:])
        case Image():
            yield tap, value.pixels.permute(0, 2, 3, 1)
        case Mask():
            yield tap, value.values
        case Sigmas():
            yield tap, value.values
        case Conditioning():
            for number, entry in enumerate(value.entries):
                yield f"{tap}.cond{number}", entry.embedding
                if entry.pooled is not None:
                    yield f"{tap}.pooled{number}", entry.pooled
        case list() | tuple():
            for item in value:
                yield from parts(item, tap)
        case _:
            raise TypeError(f"a {type(value).__name__} is no array")


def _wanted(group: str, case: str, key: str, got: Tensor) -> tuple[Tensor | None, Tensor]:
    """Return the recorded array, and what of the result it has; None where the tests do not carry it."""
    if case == "cond_ops":
        return arrays(HERE / "data" / "cond_ops.npz").get(key), got[:, :, ::16] if got.ndim == 3 else got
    if group == "text":
        recorded = arrays(TEXT)
        if key.endswith(".cond0"):
            return recorded.get(f"{case}/embedding"), got[:, :, ::16]
        return recorded.get(f"{case}/pooled"), got
    return arrays(PARITY / f"{group}.npz").get(f"{case}/{key}"), got


def picture(group: str, case: str, node: str, number: int) -> np.ndarray[Any, Any]:
    """Return a recorded picture (H, W, 3)."""
    packed = arrays(PARITY / "nets.npz").get(f"{case}/saved_{node}")
    source: Any = HERE / "data" / "images" / f"{group}.{case}.{node}.{number}.png"
    if packed is not None:
        source = io.BytesIO(packed.numpy().tobytes())
    with PIL.Image.open(source) as opened:
        return np.asarray(opened.convert("RGB")).astype(float)


def error(got: Tensor, wanted: Tensor) -> float:
    """Return max |got - wanted| / max |wanted|; infinite where shapes differ."""
    if got.shape != wanted.shape:
        return float("inf")
    if not wanted.numel():
        return 0.0
    scale = float(wanted.abs().max()) or 1.0
    return float((got.float() - wanted.float()).abs().max()) / scale


def _bound(group: str, case: str) -> float:
    from graphflow.sampling.samplers import SAMPLERS

    if group == "samplers" and case in SOLVED_IN_FLOAT32:
        return SOLVED_BOUND
    if group == "samplers" and SAMPLERS[case.rsplit("-", 1)[0]].noise.startswith("brownian"):
        return BROWNIAN_BOUND
    return BOUND
