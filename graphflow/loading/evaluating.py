"""One evaluation of a model's file, to compare files of the same network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.library.library import Library
from graphflow.loading.devices import Placement, main_memory, place
from graphflow.loading.manager import ModelManager
from graphflow.loading.modules import LoadedPart
from graphflow.modelfiles.description import DENOISERS, Description, Part
from graphflow.modelfiles.header import DTYPE_BITS
from graphflow.sampling.network import Denoiser
from graphflow.settings import Settings
from graphflow.values import Conditioning, ConditioningEntry, Model, ModelFile

_TOKENS, _EDGE = 32, 32
"""Tokens of the text, and samples along an edge of the latent."""
_HALF = 16
"""Bits of a number in files whose dtypes are others, such as pickles."""


def evaluation_error(library: Library, settings: Settings, before: Description, after: Description) -> float:
    """How far one evaluation of a file is from another file's: the largest difference over the largest value.

    A denoiser is asked about noise at half of its way and a random text, a text encoder about random tokens.

    Args:
        library: Knows the files.
        settings: Where to compute.
        before: A description of the first file.
        after: Of the second, which holds the same networks.

    Raises:
        InvalidInputError: It has no network that is evaluated alone, or too little memory is there.
    """
    part = next(
        (part for name, part in before.parts.items() if name in DENOISERS or before.kind == "text_encoder"), None
    )
    if part is None or before.kind == "controlnet":
        raise InvalidInputError("nothing in it is evaluated alone", where=before.name)
    placement = _placement(settings, part)
    exact, found = (_answer(library, placement, description, part.name) for description in (before, after))
    return float((found - exact).abs().max()) / (float(exact.abs().max()) or 1.0)


def _placement(settings: Settings, part: Part) -> Placement:
    """The settings' own; on a CPU half precision where a network is too large in float32."""
    wanted = place(settings.computes_on, settings.dtype)
    if wanted.offloads or wanted.dtype is not None:
        return wanted
    numbers = sum(8 * size // DTYPE_BITS.get(dtype, _HALF) for dtype, size in part.bytes_by_dtype.items())
    for dtype in (torch.float32, torch.bfloat16):
        if numbers * dtype.itemsize < main_memory() // 2:
            return replace(wanted, dtype=dtype)
    raise InvalidInputError(f"its {numbers / 1e9:.0f} billion numbers are too many for this machine's memory")


def _answer(library: Library, placement: Placement, description: Description, name: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    part = description.parts[name]
    with torch.inference_mode():
        if description.kind == "text_encoder":
            module: Any = LoadedPart(part, placement.dtype_for(description.family)).module
            ids = torch.randint(2, module.config.get_text_config().vocab_size, (1, _TOKENS), generator=generator)
            return module(input_ids=ids)[0].float()
        file = ModelFile(
            name=str(description.path),
            kind=description.kind,
            part=name,
            family=description.family or "",
            fingerprint=description.fingerprint or "",
        )
        manager = ModelManager(library, placement=placement)
        with runtime.using(runtime.Runtime(models=manager)), manager.use(Model(files=(file,))) as denoiser:
            return _predicted(denoiser, generator)


def _predicted(denoiser: Denoiser, generator: torch.Generator) -> torch.Tensor:
    width, pooled = denoiser.text_width, _pooled_width(denoiser)
    entry = ConditioningEntry(
        embedding=torch.randn(1, _TOKENS, width or 1, generator=generator),
        pooled=torch.randn(1, pooled, generator=generator) if pooled else None,
    )
    frames = [1] if denoiser.latent.axes == 3 else []
    x = torch.randn(1, denoiser.latent.channels, *frames, _EDGE, _EDGE, generator=generator).to(denoiser.device)
    pixels = _EDGE * denoiser.latent.downscale
    told = denoiser.complete(Conditioning(entries=(entry,)), pixels, pixels, negative=False)
    sigma = torch.tensor(denoiser.model_sampling.percent_to_sigma(0.5), device=denoiser.device)
    entries = denoiser.painting({"positive": told}, x, torch.ones(1, _EDGE, _EDGE))["positive"].entries
    return denoiser.predict(x, denoiser.model_sampling.timestep(sigma).reshape(1), entries, sigma=sigma).float().cpu()


def _pooled_width(denoiser: Any) -> int:
    """Width of the pooled text; 0 where a network reads none, or takes none for zeros."""
    config = denoiser.module.config
    numbers = config.get("projection_class_embeddings_input_dim")
    return numbers - 6 * config["addition_time_embed_dim"] if config.get("addition_embed_type") == "text_time" else 0
