"""Scripts of recorded ComfyUI workflows against ComfyUI's own numbers; writes docs/export_parity.md.

    python -m tests.export.recorded MODELS [--only SUBSTRING] [--jobs N] [--results FILE] [--out FILE]

``MODELS`` is a folder with the recordings' weights; those that are missing are made. Every case that has been compared is
kept in the results file at once, so a run that was stopped goes on where it was; the report is written when all are
there. Exit code 1 where a case is out of bounds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.converters.diffusers_script import export
from graphflow.errors import GraphflowError
from graphflow.modelfiles.description import Description, Kind
from graphflow.session import Session
from tests.comfyui.recorded import BOUND, INPUTS, PARITY, PIXEL_BOUND, arrays, cases, error, picture
from tests.export.run_exports import make_session
from tests.fresh import ROOT, Fresh
from tests.models.tiny import _write_tokenizer as write_tokenizer
from tests.parity.harness import BROWNIAN_BOUND
from tests.parity.weights import write_models

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


Results = dict[str, Compared]


def run_recorded(
    models: Path, names: Sequence[str], jobs: int = 1, tell: Callable[[str, Compared], None] = lambda *_: None
) -> Results:
    """Run scripts of recorded workflows.

    Args:
        models: Folder with the recordings' weights.
        names: ``group/case`` each.
        jobs: How many run at once; each has the models in its memory, 4.4 GB of the large one.
        tell: Called with each case as it is done, from any thread.
    """
    found: Results = {}
    with TemporaryDirectory() as scratch:
        configs = json.dumps(write_all_configs(models, Path(scratch)))
        for group, checkpoint in GROUPS.items():
            wanted = [name for name in names if name.startswith(f"{group}/")]
            first = models / "checkpoints" / f"{checkpoint}.safetensors"
            free: SimpleQueue[Fresh] = SimpleQueue()

            def one(name: str, free: SimpleQueue[Fresh] = free) -> None:
                fresh = free.get()
                try:
                    found[name] = compare(fresh, name, models)
                finally:
                    free.put(fresh)
                tell(name, found[name])

            with ExitStack() as servers, ThreadPoolExecutor(jobs) as pool:
                for _ in range(min(jobs, len(wanted))):
                    free.put(servers.enter_context(Fresh(OFFLINE, configs, first)))
                list(pool.map(one, wanted))
    return found


def compare(fresh: Fresh, name: str, models: Path) -> Compared:
    """Export one case, run its script, and compare what it saves with the recording."""
    group, _, case = name.partition("/")
    recorded, bound, start = cases(group)[case], _bound(group, case), time.monotonic()
    with TemporaryDirectory() as folder:
        work = Path(folder)
        session = make_session(work, models=({"path": models},))
        try:
            document = to_native(to_prompt(recorded["prompt"])).document
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
    (file,) = out.glob("*.latent")
    latents = error(load_file(file)["latent_tensor"], arrays(PARITY / f"{group}.npz")[f"{case}/{tap}"])
    wanted = [picture(group, case, node, i) for node, files in recorded["images"].items() for i in range(len(files))]
    drawn = [np.asarray(Image.open(path).convert("RGB")).astype(float) for path in sorted(out.glob("*.png"))]
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


def report(results: Mapping[str, Compared]) -> str:
    """Return docs/export_parity.md."""
    passed = sum(result.ok for result in results.values())
    calls = sum(result.call for result in results.values())
    lines = [
        "# Exported scripts against ComfyUI",
        "",
        "Written by `make parity`. Each recorded ComfyUI workflow is imported and exported; its script runs in a process that",
        "cannot import graphflow. Numbers are max |a − b| / max |b| of the latent that it saves, against the one that",
        f"ComfyUI 0.3.64 saved (CPU, float32). Bound: {BOUND:.0e}, and {BROWNIAN_BOUND:.0e} for samplers with Brownian noise.",
        "Pictures may differ by 1 of 255.",
        "",
        f"{passed} of {len(results)} are within bounds. {calls} scripts are pipeline calls alone (marked C); the others hold",
        "a loop with the sampler that they need.",
        "",
        "## Workflows",
        "",
        "Stable Diffusion 1.5 at full size.",
        "",
        "| workflow | latent | pixels of 255 | lines |",
        "|---|---|---|---|",
        *(_row(name, result) for name, result in _of(results, "features")),
        "",
        "## Samplers",
        "",
        "A small UNet, 8 steps, guidance scale 7.",
        "",
        *_grid(dict(_of(results, "samplers"))),
    ]
    return "\n".join(lines) + "\n"


def _of(results: Mapping[str, Compared], group: str) -> Iterator[tuple[str, Compared]]:
    return ((name.partition("/")[2], found) for name, found in results.items() if name.startswith(f"{group}/"))


def _row(name: str, found: Compared) -> str:
    pixels = "" if found.pixels is None else f"{found.pixels * 255:.0f}"
    return f"| {name} | {_cell(found)} | {pixels} | {found.lines or ''} |"


def _grid(found: Mapping[str, Compared]) -> Iterator[str]:
    split = [name.rsplit("-", 1) for name in found]
    schedules = list(dict.fromkeys(schedule for _, schedule in split))
    yield f"| sampler | {' | '.join(schedules)} |"
    yield "|---|" + "---|" * len(schedules)
    for sampler in dict.fromkeys(sampler for sampler, _ in split):
        yield f"| {sampler} | {' | '.join(_cell(found.get(f'{sampler}-{name}')) for name in schedules)} |"


def _cell(found: Compared | None) -> str:
    if found is None:
        return ""
    text = "fails" if found.problem else f"{found.error:.1e}{' C' if found.call else ''}"
    return text if found.ok else f"**{text}**"


def _read(path: Path) -> Results:
    if not path.exists():
        return {}
    return {name: Compared(**fields) for name, fields in json.loads(path.read_text("utf-8")).items()}


def _write(path: Path, results: Results) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({name: asdict(results[name]) for name in sorted(results)}, indent=1), "utf-8")


def main() -> int:
    """Compare what has not been compared, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="folder of the recordings' weights")
    parser.add_argument("--only", default="", help="compare the cases whose name contains this, again if need be")
    parser.add_argument("--jobs", type=int, default=2, help="how many scripts run at once")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "parity" / "exports.json")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "export_parity.md")
    given = parser.parse_args()
    torch.set_num_threads(1)
    write_models(models := given.models.resolve())  # scripts run in folders of their own
    results, names = _read(given.results), all_names()

    def tell(name: str, found: Compared) -> None:
        results[name] = found
        _write(given.results, results)
        verdict = "ok" if found.ok else f"OUT OF BOUNDS {found.problem}"
        print(f"{name:50} {found.error:.1e} {verdict} ({found.seconds:.1f} s)", flush=True)

    todo = [name for name in names if given.only in name and (given.only or name not in results)]
    run_recorded(models, todo, given.jobs, tell)
    compared = {name: results[name] for name in names if name in results}
    failed = [name for name, found in compared.items() if not found.ok]
    print(f"{len(compared) - len(failed)} of {len(compared)} cases within bounds, {len(names)} in all")
    if len(compared) == len(names):
        given.out.write_text(report(compared), "utf-8")
        print(f"wrote {given.out}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
