"""The shape of an IP-Adapter, read from the names and shapes of its tensors, and their original names.

The original names are those of the authors' code (https://github.com/tencent-ailab/IP-Adapter, Apache-2.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config, JsonValue
from graphflow.modelfiles.family import Change, Rows
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

_ATTENTION = re.compile(r"ip_adapter\.(\d{1,4})\.to_([kv])_ip\.(weight)")
_BLOCK = re.compile(r"layers\.(\d{1,3})\.(.+)")
_HEAD_WIDTH = 64

_INSIDE_BLOCK = {
    "0.norm1": "ln0",
    "0.norm2": "ln1",
    "0.to_q": "attn.to_q",
    "0.to_out": "attn.to_out.0",
    "1.0": "ff.0",
    "1.1": "ff.1.net.0.proj",
    "1.3": "ff.1.net.2",
}
"""Modules of a resampler's block."""

_FACE_WIDTH = 512
"""Width of the vectors of ArcFace's recognisers; no resampler of pictures reads vectors so narrow."""
_RESAMPLER = "perceiver_resampler."

_OUTSIDE = {"proj": "image_embeds", "proj.0": "ff.net.0.proj", "proj.2": "ff.net.2", "proj.3": "norm"}
"""Modules of the projections that are no resampler."""


def infer_ip_adapter(shapes: Shapes, where: str, stem: str = "") -> Inferred:
    """Config of an :class:`graphflow.families.latent_diffusion.ip_adapter.IPAdapterNetwork`.

    Args:
        shapes: The tensors.
        where: The file, for messages.
        stem: Its name: of adapters for faces it alone tells the later kind (`plusv2`) and the one that reads vectors of
            any length (`unnorm`).

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    if "ip_adapter.0.to_k_ip.weight" in shapes:  # UNets count attention to pictures from 1
        raise ModelFormatError(
            "IP-Adapters of transformers in InstantX's layout are not read",
            where=where,
            advice="for FLUX.1 use x-labs' (flux-ip-adapter)",
        )
    numbers = sorted(int(match[1]) for name in shapes if (match := _ATTENTION.fullmatch(name)) and match[2] == "k")
    keys = [shape_of(shapes, f"ip_adapter.{number}.to_k_ip.weight", dims=2) for number in numbers]
    if not keys or not all(keys) or numbers != [2 * index + 1 for index in range(len(numbers))]:
        raise ModelFormatError("the IP-Adapter lacks keys of attention layers", where=where)
    widths: list[JsonValue] = [key[0] for key in keys]
    facts: Config = {
        "layers": widths,
        "cross_attention_dim": keys[0][1],
        **_projection(shapes, keys[0][1], where, stem.lower()),
    }
    return Inferred("IPAdapter", "", facts)


def ip_adapter_places(key: str) -> Iterator[tuple[str, Change]]:
    """The tensors of the class that one tensor of a file makes."""
    if match := _ATTENTION.fullmatch(key):
        yield f"{'keys' if match[2] == 'k' else 'values'}.{(int(match[1]) - 1) // 2}.{match[3]}", ""
        return
    module, _, leaf = key.removeprefix("image_proj.").removeprefix(_RESAMPLER).rpartition(".")
    if not key.startswith("image_proj."):
        return
    if match := _BLOCK.fullmatch(module):
        block = f"projection.layers.{match[1]}"
        if match[2] == "0.to_kv":
            yield f"{block}.attn.to_k.{leaf}", Rows(0, 1, 2)
            yield f"{block}.attn.to_v.{leaf}", Rows(1, 2, 2)
        else:
            yield f"{block}.{_INSIDE_BLOCK.get(match[2], match[2])}.{leaf}", ""
    else:
        inner = f"{_OUTSIDE.get(module, module)}.{leaf}" if module else leaf
        yield f"projection.{inner}", ""


def _projection(shapes: Shapes, cross: int, where: str, stem: str) -> Config:
    if plain := shape_of(shapes, "image_proj.proj.weight", dims=2):
        return {"projection": "plain", "image_width": plain[1], "tokens": plain[0] // cross}
    if full := shape_of(shapes, "image_proj.proj.0.weight", dims=2):
        if "image_proj.proj.3.weight" in shapes:
            return {"projection": "full", "image_width": full[1]}
        return _of_faces(shapes, full, cross, where, stem)
    latents = shape_of(shapes, "image_proj.latents", dims=3)
    first = shape_of(shapes, "image_proj.proj_in.weight", dims=2)
    query = shape_of(shapes, "image_proj.layers.0.0.to_q.weight", dims=2)
    inner = shape_of(shapes, "image_proj.layers.0.1.1.weight", dims=2)
    if not (latents and first and query and inner):
        raise ModelFormatError("the IP-Adapter has no projection that is known", where=where)
    blocks = {match[1] for name in shapes if (match := _BLOCK.fullmatch(name.removeprefix("image_proj.")))}
    return {
        "projection": "resampler",
        "reads": "faces" if first[1] == _FACE_WIDTH else "pictures",
        "image_width": first[1],
        "tokens": latents[1],
        "hidden_width": latents[2],
        "depth": len(blocks),
        "heads": max(1, query[0] // _HEAD_WIDTH),
        "inner_factor": inner[0] / latents[2],
    }


def _of_faces(shapes: Shapes, first: tuple[int, ...], cross: int, where: str, stem: str) -> Config:
    """FaceID: a recogniser's vector alone, or with what an image encoder sees of the face."""
    second = shape_of(shapes, "image_proj.proj.2.weight", dims=2)
    if not second:
        raise ModelFormatError("the IP-Adapter has no projection that is known", where=where)
    found: Config = {"reads": "faces", "unit": "unnorm" not in stem, "image_width": first[1]}
    found["inner_factor"] = first[0] / first[1]
    start = f"image_proj.{_RESAMPLER}"
    inner = shape_of(shapes, f"{start}proj_in.weight", dims=2)
    if not inner:
        return {**found, "projection": "faces", "tokens": second[0] // cross}
    query = shape_of(shapes, f"{start}layers.0.0.to_q.weight", dims=2)
    wide = shape_of(shapes, f"{start}layers.0.1.1.weight", dims=2)
    if not (query and wide):
        raise ModelFormatError("the IP-Adapter has no projection that is known", where=where)
    blocks = {match[1] for name in shapes if (match := _BLOCK.fullmatch(name.removeprefix(start)))}
    return {
        **found,
        "projection": "faces_and_pictures",
        "tokens": second[0] // inner[0],
        "patch_width": inner[1],
        "hidden_width": inner[0],
        "depth": len(blocks),
        "heads": max(1, query[0] // _HEAD_WIDTH),
        "block_factor": wide[0] / inner[0],
        "adds_identity": "v2" in stem,
    }
