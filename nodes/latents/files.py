"""Nodes that keep latents in files that ComfyUI reads and writes, too.

A safetensors file with the float32 tensor ``latent_tensor`` (B, C, h, w), raw as the autoencoder makes it, and an empty
tensor ``latent_format_version_0`` that says so; files without the latter hold latents times 0.18215.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from graphflow import runtime
from graphflow.basics.marks import packet
from graphflow.errors import LimitError, MediaError
from graphflow.limits import LIMITS
from graphflow.spec.decorator import InputFile, OneOrMany, node
from graphflow.values import EncodedFile, Files, Latent

from ..choices import Prefix
from ..images.checks import require_batch
from ..output.carried import texts_of
from ..output.comfyui_prompt import with_prompt
from ..output.saving import Embed
from ..output.user_files import read
from ..sequences import latents_of

__all__ = ["load_latent", "save_latent"]

KEY = "latent_tensor"
RAW_MARK = "latent_format_version_0"
OLD_SCALE = 0.18215
FURTHER = "further."
"""What the names of further tensors of a latent that is a set of them begin with."""


@node("save_latent", effect=True)
def save_latent(
    latent: Annotated[OneOrMany[Latent], Field(description="the latents: one batch, or a sequence of batches")],
    filename_prefix: Prefix = "graphflow",
    embed: Embed = True,
) -> Files:
    """Save each batch of latents (B, C, h, w) as a ``.latent`` file, which ComfyUI reads; a noise mask is left out.

    Nobody can check what latents show: where the safety policy is ``require``, planning refuses those of a sampler.

    Raises:
        NonFiniteError: A value is NaN or infinite.
    """
    import torch

    from graphflow.basics.finite import require_finite
    from graphflow.loading.serialize import to_safetensors

    current = runtime.current()
    record = with_prompt(current.carried(embed=embed))
    parts = latents_of([latent])
    files: list[EncodedFile] = []
    for number, part in enumerate(parts):
        for tensor in (part.samples, *part.further.values()):
            require_finite(tensor, "the latent", "sampling diverged; another sampler, schedule or dtype may help")
        if part.noise_mask is not None:
            current.notice("the noise mask is not saved with the latents")
        tensors = {KEY: part.samples.float().contiguous().cpu(), RAW_MARK: torch.tensor([])}
        tensors |= {FURTHER + name: tensor.float().contiguous().cpu() for name, tensor in part.further.items()}
        metadata = texts_of(record, [part.samples.float().cpu().numpy()], number)
        if mark := record.get("mark"):
            metadata["xmp"] = packet(mark).decode()
        stem = filename_prefix if len(parts) == 1 else f"{filename_prefix}-{number}"
        data = to_safetensors(tensors, metadata)
        files.append(EncodedFile(stem=stem, suffix=".latent", data=data, number=number))
    return Files(files=tuple(files))


@node("load_latent")
def load_latent(
    file: Annotated[str, InputFile("latent"), Field(min_length=1, description="a .latent file")],
) -> Latent:
    """Read latents (B, C, h, w) that graphflow or ComfyUI saved.

    Raises:
        MediaError: The file is not there, is damaged, or holds no latents.
        LimitError: There are more or larger latents than the limits allow.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = read(file)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise MediaError(f"this is no latent file: {error}", where=file, advice="use a .latent file") from error
    samples = tensors.get(KEY)
    if samples is None or samples.dim() not in (4, 5) or not samples.is_floating_point() or 0 in samples.shape:
        raise MediaError(f"the file holds no picture latents under {KEY!r}", where=file, advice="use a .latent file")
    if 4 * sum(tensor.numel() for tensor in tensors.values()) > LIMITS.loaded_bytes:
        raise LimitError(f"its tensors take more than {LIMITS.loaded_bytes:,} bytes as float32", where=file)
    samples = samples.float()
    further = {
        name.removeprefix(FURTHER): tensor.float() for name, tensor in tensors.items() if name.startswith(FURTHER)
    }
    if not all(bool(torch.isfinite(tensor).all()) for tensor in (samples, *further.values())):
        raise MediaError("the latents hold NaN or infinity", where=file)
    require_batch(samples.shape[0])
    if samples.shape[-1] * samples.shape[-2] * 64 > LIMITS.pixels:
        raise LimitError(f"the latents have more than {LIMITS.pixels:,} pixels", where=file)
    return Latent(samples=samples if RAW_MARK in tensors else samples / OLD_SCALE, further=further)
