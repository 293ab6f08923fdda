"""The recorded workflows of newer families as exported scripts: what ComfyUI gave, against files that the scripts write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.converters.diffusers_script import emitters, export
from graphflow.converters.diffusers_script.conditionings import Conditioning, Entry
from graphflow.converters.diffusers_script.emitters.base import Emission, Emitter
from graphflow.converters.diffusers_script.graph import Linked
from graphflow.converters.diffusers_script.handles import EmptyLatent, Latents, Levels, Masks, Pixels, Sampling
from graphflow.converters.diffusers_script.layout import call, quoted
from graphflow.converters.diffusers_script.models import Base, ModelPart
from graphflow.converters.diffusers_script.nets import TOKENIZERS
from graphflow.converters.diffusers_script.prompts import Prompts
from graphflow.session import Session
from graphflow.values import ConditioningEntry
from tests.export.recorded import write_configs
from tests.families import lab
from tests.families.recorded_flows import BROWNIAN_BOUND, SAMPLING_BOUND, arrays, cases, write_models
from tests.fresh import Fresh
from tests.models.tiny import _write_tokenizer as write_tokenizer

FAMILIES = ("cascade", "chroma", "flux", "flux2", "flux_redux", "lumina2", "misc", "qwen_image", "sd3", "z_image")
"""Families whose recorded workflows are exported."""
UNSAID = ("lumina2/eval/mask", "cascade/c/eval/unclip_one", "cascade/c/eval/unclip_two")
"""The prompt of the first leaves tokens out, which no text encoder here does; the others have pictures without an encoder."""


def expressible(family: str) -> list[str]:
    """Return the cases of a family that scripts can say; noise levels are made by the engine's own functions."""
    told = [case for case in cases(family) if family != "misc" or case.startswith("svd/")]
    made = (case for case in told if not {"sigmas"} & set(case.split("/")[:2]))
    return [case for case in made if f"{family}/{case}" not in UNSAID]


def script_bound(case: str) -> float:
    """Return how far a case may differ."""
    return BROWNIAN_BOUND if "sde" in case else SAMPLING_BOUND


def run_script(fresh: Fresh, session: Session, family: str, case: str, models: Path, work: Path) -> dict[str, float]:
    """Export one case, run its script, and return max |got - wanted| / max |wanted| by array.

    Raises:
        GraphflowError: It cannot be exported.
        AssertionError: The script fails.
    """
    recorded = cases(family)[case]
    write_models(recorded["prompt"], models)
    taps = recorded["taps"]
    shown = {f"tap{n}": {"class_type": "PreviewAny", "inputs": {"source": tap}} for n, tap in enumerate(taps.values())}
    imported = to_native(to_prompt({**recorded["prompt"], **shown}), registry=session.registry)
    with scripts_of_the_lab(work):
        code = export(imported.document, session=session).code
    for (name, published), pad in zip(TOKENIZERS.items(), ("<|endoftext|>", "!"), strict=True):
        if not (folder := work / "tokenizers" / name).exists():
            write_tokenizer(folder, pad=pad)
        code = code.replace(published, str(folder))
    code = code.replace("widths=(768, 1280, 4096)", f"widths={tuple(lab.WIDTHS.values())}")
    if ".from_single_file(" in code:  # Diffusers would fetch the configs from the Hub
        (whole,) = (models / "checkpoints").glob("sd15_*.safetensors")
        write_configs(session.library.describe(str(whole), "checkpoint", trusted=True), work / "configs")
        told = f"config={str(work / 'configs')!r}, local_files_only=True, "
        code = re.sub(r"(\.from_single_file\([\w.]+, )", rf"\1{told}", code)
    (work / "script.py").write_text(code, "utf-8")
    done = fresh.run(work / "script.py", "--out", work / "out")
    assert not done.code, done.err[-2000:]
    found: dict[str, float] = {}
    for tap, (node, output) in taps.items():
        place, _, named = imported.addresses[node, output].partition(".")
        spec = session.registry.get(imported.document.nodes[place].type)
        assert spec is not None
        written = torch.load(work / "out" / f"{place}.{named or spec.primary}.pt")
        for key, got in _arrays(written, tap):
            if (wanted := _wanted(family, case, key)) is not None:
                found[key] = _error(got, wanted)
    return found


def _wanted(family: str, case: str, key: str) -> Tensor | None:
    return arrays(family).get(f"{case}/{key}")


def _arrays(written: Any, tap: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(written, Tensor):
        yield from ((tap, written), (f"{tap}.denoised", written))
        return
    yield tap, written["embeds"]
    if "pooled" in written:
        yield f"{tap}.pooled_output", written["pooled"]


def _error(got: Tensor, wanted: Tensor) -> float:
    if got.shape != wanted.shape and got.dim() == 4 and wanted.shape == (len(got), *got.shape[2:], got.shape[1]):
        got = got.permute(0, 2, 3, 1)
    if wanted.dim() == 5 and got.dim() == 4:
        got = got.unsqueeze(2)
    if got.shape != wanted.shape:
        return float("inf")
    return float((got.float() - wanted.float()).abs().max()) / (float(wanted.abs().max()) or 1.0)


@contextmanager
def scripts_of_the_lab(folder: Path) -> Iterator[None]:
    """Have scripts hold the lab's nodes, whose tensors lie in files, until the block ends."""
    known: Any = emitters.EMITTERS
    with patch.dict(known, {**{name: _made(make, folder) for name, make in MADE.items()}, **OTHERS}):
        yield


def _made(make: Any, folder: Path) -> Emitter:
    """An emitter of tensors that the node itself makes."""

    def emit(emission: Emission) -> Any:
        values = make(**{name: emission.fixed(name) for name in emission.node.values})
        path = folder / "lab" / f"{emission.node.id}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in values.items()}, path)
        emission.begin()
        emission.script.use("safetensors.torch", "load_file")
        loaded = call("load_file", quoted(str(path)))
        match emission.node.type:
            case "lab_conditioning":
                description: Any = SimpleNamespace(kind="text_encoder", variant="", parts={}, tokenizers=())
                encoder = ModelPart(Base("lab", "", description, ""), "text_encoder")
                return Conditioning((Entry(encoder, "", emission.node.id, variable=emission.assign(loaded)),))
            case "lab_latent":
                return Latents(emission.assign(loaded.then('["samples"]')))
            case "lab_image":
                return Pixels(emission.assign(loaded.then('["pixels"]')))
            case _:
                return Masks(emission.assign(loaded.then('["values"]')))

    return emit


def _conditioning(**values: Any) -> dict[str, Tensor]:
    (entry,) = lab.lab_conditioning(**values).entries
    assert isinstance(entry, ConditioningEntry)
    pooled = {} if entry.pooled is None else {"pooled": entry.pooled}
    return {"embeds": entry.embedding, **pooled}


def _latent(**values: Any) -> dict[str, Tensor]:
    samples = lab.lab_latent(**values).samples
    return {"samples": samples[:, :, 0] if samples.dim() == 5 and samples.shape[2] == 1 else samples}


MADE = {
    "lab_conditioning": _conditioning,
    "lab_latent": _latent,
    "lab_image": lambda **values: {"pixels": lab.lab_image(**values).pixels},
    "lab_mask": lambda **values: {"values": lab.lab_mask(**values).values},
}


def _evaluate(emission: Emission) -> Latents:
    """One guided evaluation of latents in the model's space."""
    latent = emission.latents("latent")
    assert isinstance(latent, Latents)
    positive, negative = emission.conditioning("positive"), emission.conditioning("negative")
    assert positive is not None
    model, first, others = emitters.sampling.together(emission.part("model"), positive, negative)
    sampling = Sampling(
        node=emission.node.id,
        model=model,
        positive=first,
        negative=others[0],
        latent=latent,
        values={"guidance_scale": emission.inputs["cfg"]},
    )
    emission.begin()
    denoise = emission.writer.loops.denoiser(sampling, emission.loader.pipe(model), latent.variable)
    made = call(denoise, latent.variable, f"torch.tensor({emission.value('sigma')})")
    return Latents(emission.assign(made), model)


def _show(emission: Emission) -> None:
    """A file of any value, called by its address."""
    found, address = emission.inputs["value"], emission.node.values["value"]
    assert isinstance(address, Linked)
    if isinstance(found, Conditioning):
        emission.begin()
        shown = Prompts(emission.script, emission.loader).encoded(found)
    elif isinstance(found, Levels):
        shown = found.variable
    elif isinstance(found, Latents | Sampling | EmptyLatent):
        latents = emission.latents("value")
        shown = latents.variable if isinstance(latents, Latents) else _zeros(latents)
    else:
        shown = emission.pixels("value").variable
    emission.begin()
    emission.script.add("args.out.mkdir(parents=True, exist_ok=True)")
    emission.script.add(f'torch.save({shown}, args.out / "{address.node}.{address.output}.pt")')


def _zeros(latent: EmptyLatent) -> str:
    sides = (f"{edge} // {latent.edge}" for edge in (latent.height, latent.width))
    return f"torch.zeros({latent.batch}, {latent.channels}, {', '.join(sides)})"


OTHERS: dict[str, Emitter] = {"lab_eval": _evaluate, "show": _show}
