"""How Stable Video Diffusion's tensors are called by Stability AI and in Diffusers' classes.

The correspondence follows Diffusers' own conversion (Apache-2.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphflow.families.flow.names import TableNames
from graphflow.families.latent_diffusion.key_names import unet_modules, vae_modules
from graphflow.families.latent_diffusion.tensor_names import renamed
from graphflow.families.svd.config import VAE
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import Change

_TEMPORAL = {"in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2", "out_layers.3": "conv2"}  # fmt: skip
_RESNET = re.compile(r"(.*resnets\.\d+)\.([a-z_0-9]+)")


@dataclass(frozen=True, eq=False, kw_only=True)
class SvdNames(TableNames):
    """Implements :class:`graphflow.modelfiles.family.TensorNames`.

    Attributes:
        part: The part.
    """

    part: Part

    @cached_property
    def _modules(self) -> Mapping[str, str]:
        return dict(svd_modules(self.part.class_name, self.part.config))

    def targets(self, key: str) -> Iterator[tuple[str, Change]]:
        """Yield the class's tensors that a file's tensor makes."""
        if not self.original:
            yield key, ""
        elif (name := renamed(key, self._modules)) is not None:
            yield name, ""


def svd_modules(class_name: str, config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs of a module's name as its authors have it, and in Diffusers' class."""
    if class_name == VAE:
        return _doubled(vae_modules({**config}), decoder_only=True)
    return _doubled(unet_modules({**config, "addition_embed_type": "text_time"}), decoder_only=False)


def svd_names(part: Part) -> SvdNames:
    """Return the names of a part's tensors."""
    return SvdNames((), {}, original=part.keys == "ldm", part=part)


def _doubled(modules: Iterator[tuple[str, str]], *, decoder_only: bool) -> Iterator[tuple[str, str]]:
    """Pairs of a network of pictures, with the layers over time that stand beside each of its own."""
    seen: set[str] = set()
    for old, new in modules:
        resnet = _RESNET.fullmatch(new)
        if decoder_only and new.startswith("encoder."):
            yield old, new
        elif resnet is not None:
            yield old, f"{resnet[1]}.spatial_res_block.{resnet[2]}"
            block = old.rpartition(".")[0] if decoder_only else _block(old)
            if block not in seen:
                seen.add(block)
                for name, target in _TEMPORAL.items():
                    yield f"{block}.time_stack.{name}", f"{resnet[1]}.temporal_res_block.{target}"
                yield (block if decoder_only else f"{block}.time_mixer"), f"{resnet[1]}.time_mixer"
        else:
            yield old, new
            if "attentions" in new and not decoder_only:
                yield f"{old}.time_stack", f"{new}.temporal_transformer_blocks"
                yield f"{old}.time_pos_embed.0", f"{new}.time_pos_embed.linear_1"
                yield f"{old}.time_pos_embed.2", f"{new}.time_pos_embed.linear_2"
            if new == "decoder.conv_out":
                yield f"{old}.time_mix_conv", "decoder.time_conv_out"


def _block(old: str) -> str:
    """The residual block that a module of the UNet belongs to."""
    return next(old.removesuffix(f".{name}") for name in (*_TEMPORAL, "skip_connection") if old.endswith(f".{name}"))
