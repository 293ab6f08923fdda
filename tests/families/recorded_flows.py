"""Recorded workflows of newer families, imported, run through a session, and compared with what ComfyUI 0.8.0 gave."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.session import Session
from graphflow.settings import Dtype, RootSetting, Settings
from graphflow.spec.registry import Registry
from graphflow.values import Conditioning, Image, Latent, Sigmas
from tests.families.recorded_models import DATA, shapes, write_model
from tests.parity import weights

FAMILIES = (
    "cascade",
    "chroma",
    "edm",
    "flux",
    "flux2",
    "flux_redux",
    "lumina2",
    "misc",
    "qwen_image",
    "sd3",
    "style",
    "unclip",
    "z_image",
)
EVALUATION_BOUND, SAMPLING_BOUND, BROWNIAN_BOUND = 1e-5, 1e-4, 1e-3
BYTES_BOUND = 2e-3
"""Where pictures are rounded to bytes on the way: the last bit of a processor may move one of them by one."""


@cache
def cases(family: str) -> dict[str, dict[str, Any]]:
    """Return a family's cases: ``prompt``, and ``taps`` by name."""
    found: dict[str, dict[str, Any]] = json.loads((DATA / f"{family}.json").read_text("utf-8"))
    return found


@cache
def arrays(family: str) -> dict[str, Tensor]:
    """Return a family's recorded arrays, by ``case/tap``."""
    with np.load(DATA / f"{family}.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def make_session(registry: Registry, models_folder: Path, scratch: Path, *, dtype: Dtype = "float32") -> Session:
    """Return a session on the recordings' weights, with the lab's nodes."""
    settings = Settings(
        models=(RootSetting(path=models_folder),),
        cache_dir=scratch,
        device="cpu",
        dtype=dtype,
        safety="off",
        offline=True,
    )
    return Session(settings, known=registry)


def run_case(session: Session, family: str, case: str, folder: Path) -> dict[str, float]:
    """Import one case, run it, and return max |got - wanted| / max |wanted| by array."""
    recorded = cases(family)[case]
    return run_prompt(session, family, case, recorded["prompt"], recorded["taps"], folder)


def run_prompt(
    session: Session, family: str, case: str, prompt: dict[str, Any], taps: dict[str, Any], folder: Path
) -> dict[str, float]:
    """Import a prompt that should draw what a case did, and return as `run_case` does."""
    write_models(prompt, folder)
    shown = {f"tap{n}": {"class_type": "PreviewAny", "inputs": {"source": tap}} for n, tap in enumerate(taps.values())}
    imported = to_native(to_prompt({**prompt, **shown}), registry=session.registry)
    if imported.report.unsupported:
        raise AssertionError("; ".join(f"{entry.type}: {entry.remarks}" for entry in imported.report.unsupported))
    named = {tap: imported.addresses[origin[0], origin[1]] for tap, origin in taps.items()}
    document = imported.document.model_copy(update={"outputs": named})
    result = session.run(document, targets=list(named.values()))
    got = {key: value for tap in taps for key, value in _parts(result.outputs[tap], tap)}
    wanted = {
        name.removeprefix(f"{case}/"): value
        for name, value in arrays(family).items()
        if name.startswith(tuple(f"{case}/{tap}" for tap in taps)) and not name.endswith(_NOT_COMPARED)
    }
    # A mask that leaves nothing out is none here.
    wanted = {key: value for key, value in wanted.items() if not (key.endswith("_mask") and value.all())}
    if missing := wanted.keys() - got.keys():
        raise AssertionError(f"nothing here is {', '.join(sorted(missing))}")
    return {key: _error(got[key], value) for key, value in wanted.items()}


def write_models(prompt: dict[str, Any], folder: Path) -> None:
    """Write the weight files that a prompt names, and tokenizers that read its texts as the published ones do."""
    if "sd15_tinyunet_rand.safetensors" in str(prompt):
        weights.write_models(folder, "checkpoints/sd15_tinyunet_rand")
    files: dict[str, list[str]] = {}
    for name, spec in shapes().items():
        files.setdefault(Path(spec["file"]).name, []).append(name)
    for entry in prompt.values():
        for value in entry["inputs"].values():
            if isinstance(value, str) and value in files:
                for name in files[value]:
                    write_model(name, folder)
                if value.startswith("t5"):
                    write_t5_tokenizer(folder / "tokenizers" / "t5" / "tokenizer.json")
                elif value.startswith("qwen_3"):
                    write_qwen_tokenizer(folder / "tokenizers" / "qwen2" / "tokenizer.json")
                elif value.startswith("qwen"):
                    write_qwen_tokenizer(folder / "tokenizers" / "qwen2_5_vl" / "tokenizer.json")


def write_t5_tokenizer(path: Path) -> None:
    """Write a tokenizer with T5's ids for the words of the recorded prompts."""
    if path.exists():
        return
    words: dict[str, int] = json.loads((DATA / "t5_words.json").read_text("utf-8"))
    by_id = {number: word for word, number in words.items()}
    vocabulary = [
        (by_id.get(number, f"<unused {number}>"), -1.0 if number in by_id else -1e3) for number in range(32100)
    ]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    path.parent.mkdir(parents=True)
    tokenizer.save(str(path))


def write_qwen_tokenizer(path: Path) -> None:
    """Write a tokenizer with Qwen's ids for the words of the recorded prompts."""
    if path.exists():
        return
    words: dict[str, int] = json.loads((DATA / "qwen_words.json").read_text("utf-8"))
    tokenizer = Tokenizer(models.WordLevel({"<unknown>": 0, **words}, unk_token="<unknown>"))
    parts = Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(parts, "isolated")
    tokenizer.add_special_tokens([word for word in words if word.startswith(("<|", "<think", "</think"))])
    path.parent.mkdir(parents=True)
    tokenizer.save(str(path))


_TIES = {"disc_lcm/ksampler/dpmpp_2m/normal": 1e-3}
"""Cases with a step of a model that two of its training steps are as near to, so that rounding decides."""


def bound(case: str) -> float:
    """Return how far a case may differ."""
    if case in _TIES:
        return _TIES[case]
    if case.startswith(("vision", "unclip/vision")):
        return BYTES_BOUND
    if case.startswith(("eval", "text", "vae", "lora", "sigmas", "checkpoint")) or "/eval" in case or "/sigmas" in case:
        return EVALUATION_BOUND
    return BROWNIAN_BOUND if "sde" in case else SAMPLING_BOUND


def matching(family: str, names: Sequence[str]) -> list[str]:
    """Return the cases of a family below these names; all without any."""
    return [case for case in cases(family) if not names or case.startswith(tuple(names))]


_NOT_COMPARED = (".x", ".sigma", ".noise_mask")
"""What is recorded of an input, not of what comes of it."""
_CALLED = {"picture": ("concat_image", "concat_latent_image")}
"""What ComfyUI calls an extra of conditioning, where it is called otherwise."""


def _parts(value: object, tap: str) -> Iterator[tuple[str, Tensor]]:
    match value:
        case Latent():
            yield tap, value.samples
            yield f"{tap}.denoised", value.samples
        case Image():
            yield tap, value.pixels.permute(0, 2, 3, 1)
        case Sigmas():
            yield tap, value.values
        case Conditioning():
            (entry,) = value.entries
            yield tap, entry.embedding
            if entry.pooled is not None:
                yield f"{tap}.pooled_output", entry.pooled
            if entry.attention_mask is not None:
                yield f"{tap}.attention_mask", entry.attention_mask
            for name, found in entry.extras.items():
                if isinstance(found, Tensor):
                    yield from ((f"{tap}.{called}", found) for called in _CALLED.get(name, (name,)))


def _error(got: Tensor, wanted: Tensor) -> float:
    if got.shape != wanted.shape:
        return float("inf")
    return float((got.float() - wanted.float()).abs().max()) / (float(wanted.abs().max()) or 1.0)
