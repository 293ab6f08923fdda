"""ControlNets: residuals that steer a UNet by a picture (Zhang et al. 2023, arXiv:2302.05543)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError
from graphflow.families.latent_diffusion.nets import NetsInUse, fit_hint
from graphflow.families.latent_diffusion.residuals import Residuals
from graphflow.values import ConditioningEntry, ControlNet, Vae
from graphflow.values.control_hooks import UNION_TYPES


class Net(Protocol):
    """What `ControlNet.use()` gives."""

    @property
    def width(self) -> int | None:
        """Width of the text embedding that it reads; None where it reads none."""
        ...

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels by level, which are the UNet's."""
        ...

    def encode(self, hint: Tensor, height: int, width: int, vae: Vae | None = None) -> list[Tensor]:
        """What it makes of the picture alone, whatever the noise: computed once for all steps.

        Args:
            hint: (K, 3, H, W) in [0, 1], or -1 where unknown.
            height: Height of the latent.
            width: Its width.
            vae: What encodes pictures, for networks that read latents.

        Returns:
            Tensors (K, …).
        """
        ...

    def residuals(
        self,
        encoded: Sequence[Tensor],
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        added: Mapping[str, Tensor] | None,
    ) -> Residuals:
        """The residuals at full strength.

        Args:
            encoded: What :meth:`encode` made, spread to (N, …).
            x: (N, C, h, w) scaled as the UNet gets it.
            timestep: (N,).
            context: (N, T, D) text embedding.
            added: What SDXL is told beside the text.
        """
        ...


@dataclass(kw_only=True, eq=False)
class ControlModel:
    """A ControlNet in place.

    Attributes:
        module: A Diffusers `ControlNetModel` or `ControlNetUnionModel`.
        device: Where it computes.
        dtype: Dtype it computes in.
        union_type: Number of the kind of pictures that a union ControlNet gets; None where nobody said it.
    """

    module: Any
    device: torch.device
    dtype: torch.dtype
    union_type: int | None = None

    @property
    def kinds(self) -> Mapping[str, int]:
        """Numbers of the kinds of pictures that a union ControlNet can get, by name."""
        return {name: number for number, name in enumerate(UNION_TYPES) if "num_control_type" in self.module.config}

    @property
    def downscale(self) -> int:
        """Pixels of the hint per latent sample along an edge."""
        levels = len(self.module.config.conditioning_embedding_out_channels)
        return int(2 ** (levels - 1))

    @property
    def width(self) -> int | None:
        """Width of the text embedding that it reads."""
        found = self.module.config.cross_attention_dim
        return found if isinstance(found, int) else None

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels by level."""
        return tuple(self.module.config.block_out_channels)

    @inference
    def encode(self, hint: Tensor, height: int, width: int, vae: Vae | None = None) -> list[Tensor]:
        """The hint's embedding; see :meth:`Net.encode`."""
        hint = fit_hint(hint, height * self.downscale, width * self.downscale)
        if self.module.config.controlnet_conditioning_channel_order == "bgr":
            hint = hint.flip(1)
        return [self.module.controlnet_cond_embedding(hint.to(self.device, self.dtype))]

    @inference
    def residuals(
        self,
        encoded: Sequence[Tensor],
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        added: Mapping[str, Tensor] | None,
    ) -> Residuals:
        """See :meth:`Net.residuals`."""
        (embedding,) = encoded
        more: dict[str, Any] = {"controlnet_cond": embedding}
        if self.module.config.controlnet_conditioning_channel_order == "bgr":
            more["controlnet_cond"] = embedding.flip(1)  # Turned back before it is used.
        count = self.module.config.get("num_control_type")
        if count is not None:
            more = {"controlnet_cond": [embedding], **self._union(count, len(x))}
        if "text_embeds" not in (added or {}) and self.module.config.addition_embed_type == "text_time":
            raise InvalidInputError(
                "the ControlNet reads SDXL's sizes beside the text, and the diffusion model is none of SDXL's",
                advice="use a ControlNet that was made for the checkpoint's family",
            )
        with _already_embedded(self.module):
            down, middle = self.module(
                x.to(self.device, self.dtype),
                timestep.to(self.device),
                encoder_hidden_states=context.to(self.device, self.dtype),
                added_cond_kwargs=None
                if added is None
                else {k: v.to(self.device, self.dtype) for k, v in added.items()},
                return_dict=False,
                **more,
            )
        return Residuals(skips=list(down), middle=middle)

    def _union(self, count: int, items: int) -> dict[str, Any]:
        chosen = self.union_type
        if chosen is None:
            raise InvalidInputError(
                "a union ControlNet must be told what kind of picture it gets",
                where="control_net",
                advice="put set_union_control_type between load_control_net and apply_control_net",
            )
        if chosen >= count:
            raise InvalidInputError(
                f"this union ControlNet knows {count} kinds of pictures, and this one is number {chosen + 1}",
                where="type",
                advice="use a larger union ControlNet (the 'promax' ones know tile and inpaint)",
            )
        kinds = torch.zeros(items, count, device=self.device, dtype=self.dtype)
        kinds[:, chosen] = 1
        return {"control_type": kinds, "control_type_idx": [chosen]}


@dataclass(kw_only=True, eq=False)
class Controls(NetsInUse):
    """The ControlNets that act on one UNet."""

    def residuals(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        context: Tensor,
        added: Mapping[str, Tensor] | None,
        channels: Sequence[int],
    ) -> Residuals:
        """The sum of what the entries' ControlNets say; entries that are evaluated together share their controls.

        Args:
            x: (n * B, C, h, w), scaled as the UNet gets it.
            timestep: (n * B,).
            entries: n entries.
            context: (n * B, T, D).
            added: What SDXL is told beside the text.
            channels: The UNet's channels by level.

        Raises:
            InvalidInputError: A ControlNet is of another family.
        """
        total = Residuals()
        batch = len(x) // len(entries)
        for control in entries[0].controls:
            net = self.net(control.net)
            _require_fit(control.net, net, context.shape[-1], channels)
            encoded = self.encoded(control, x.shape[-2], x.shape[-1], batch, len(entries))
            found = net.residuals(encoded, x, timestep, context, added)
            total = total.plus(found.scaled(control.strength))
        return total


def _require_fit(recipe: ControlNet, net: Net, width: int, channels: Sequence[int]) -> None:
    """Refuse nets of another family.

    Raises:
        InvalidInputError: It is one.
    """
    name, problem = recipe.files[0].name, ""
    if net.width is not None and net.width != width:
        problem = f"{name!r} reads text embeddings of width {net.width}, the diffusion model's have {width}"
    elif (*net.channels[: len(channels)],) != (*channels,):
        found, wanted = (", ".join(map(str, numbers)) for numbers in (net.channels, channels))
        problem = f"{name!r} steers a network with {found} channels by level, and the diffusion model has {wanted}"
    if problem:
        raise InvalidInputError(
            f"{problem}: they are of different families",
            where="control_net",
            advice="use a ControlNet or T2I-Adapter that was made for the checkpoint's family",
        )


@contextmanager
def _already_embedded(module: Any) -> Iterator[None]:
    """Have the ControlNet take its hint as embedded; nobody else holds the module meanwhile."""
    embedding = module.controlnet_cond_embedding
    module.controlnet_cond_embedding = nn.Identity()
    try:
        yield
    finally:
        module.controlnet_cond_embedding = embedding
