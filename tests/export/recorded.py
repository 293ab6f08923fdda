"""Scripts of recorded ComfyUI workflows against ComfyUI's own numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.converters.diffusers_script import export
from graphflow.errors import WorkflowError
from graphflow.models.description import Description, Kind
from graphflow.session import Session
from tests.export.run_exports import Row, make_session
from tests.fresh import Fresh
from tests.models.tiny import _write_tokenizer as write_tokenizer

BOUND, BROWNIAN_BOUND = 1e-4, 1e-3
"""Most that latents may differ, of their largest value."""


def run_recorded(
    folder: Path,
    weights: Path,
    group: str,
    names: Iterable[str] | None = None,
    tell: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Run the scripts of recorded workflows, and compare their latents with the recording.

    Args:
        folder: The recordings.
        weights: A model folder with their weights.
        group: ``samplers`` or ``features``.
        names: Cases; all by default.
        tell: Called with each row as it is made.
    """
    prompts = json.loads((folder / f"{group}.workflows.json").read_text("utf-8"))
    manifest = json.loads((folder / f"{group}.manifest.json").read_text("utf-8"))
    rows: list[Row] = []
    with np.load(folder / f"{group}.npz") as arrays, Fresh() as fresh:
        for name in names or prompts:
            with TemporaryDirectory() as work:
                found = _case(fresh, name, prompts[name], manifest[name], arrays, folder, weights, Path(work))
            rows += found
            for row in found:
                tell(row)
    return rows


def _case(
    fresh: Fresh,
    name: str,
    prompt: Any,
    described: Any,
    arrays: Mapping[str, Any],
    folder: Path,
    weights: Path,
    work: Path,
) -> list[Row]:
    bound = BROWNIAN_BOUND if "sde" in name else BOUND
    document = to_native(to_prompt(prompt)).document
    session = make_session(work, models=({"path": weights},))
    try:
        made = export(document, session=session, input_folder=folder / "inputs")
    except WorkflowError as error:
        return [Row(name, 0.0, bound, str(error.problems[0]), skipped=True)]
    script = work / "script.py"
    script.write_text(_offline(made.code, session, work), "utf-8")
    done = fresh.run(script, "--out", work / "out", timeout=900.0)
    if done.code:
        return [Row(name, float("inf"), bound, f"the script fails: {done.err[-1500:]}")]
    saved = sorted((work / "out").glob("*.latent"))
    taps = [tap for tap, (source, _) in described["taps"].items() if _is_saved(prompt, source)]
    if len(saved) != 1 or len(taps) != 1:
        return [Row(name, 0.0, bound, f"{len(saved)} latents for the taps {taps}", skipped=True)]
    found, wanted = load_file(saved[0])["latent_tensor"], arrays[f"{name}/{taps[0]}"]
    return [Row(name, float(np.abs(found - wanted).max() / np.abs(wanted).max()), bound)]


def _is_saved(prompt: Any, source: str) -> bool:
    """Whether a node's latents go to a file."""
    savers = [node for node in prompt.values() if node["class_type"] == "SaveLatent"]
    return any(node["inputs"]["samples"][0] == source for node in savers)


def _offline(code: str, session: Session, work: Path) -> str:
    """The script with the configs of its single files, which Diffusers would fetch from the Hub."""
    constants = dict(re.findall(r'^(\w+) = "(.*)"$', code, re.MULTILINE))
    for name, path in constants.items():
        loading = f".from_single_file({name}, "
        if loading in code:
            config = work / f"config-{name}"
            kind: Kind = "controlnet" if f"ControlNetModel{loading}" in code else "checkpoint"
            write_configs(session.library.describe(path, kind, trusted=True), config)
            code = code.replace(loading, f"{loading}config={str(config)!r}, local_files_only=True, ")
    return code


def write_configs(description: Description, folder: Path) -> None:
    """Write the configs of a single-file model as a Diffusers folder has them, without weights."""
    for name, part in description.parts.items():
        place = folder if name == "controlnet" else folder / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "config.json").write_text(json.dumps({"_class_name": part.class_name, **part.config}))
    if description.kind != "checkpoint":
        return
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(description.scheduler))
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
    (folder / "model_index.json").write_text(json.dumps(index))


if __name__ == "__main__":
    import sys

    def show(row: Row) -> None:
        """Print a row."""
        state = "skipped" if row.skipped else "ok" if row.ok else "DIFFERS"
        print(f"{row.name:40} {row.error:.2e} {state} {row.note}", flush=True)

    run_recorded(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:] or None, show)
