"""A UNet whose middle attends to nothing, one without some layers, one that is watched; guidance away from blur."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphflow.families.latent_diffusion.hooks.modules import computing, middle_self_attentions, removing, transformers
from graphflow.sampling.guidance import NEGATIVE, Modifier, Predictions

if TYPE_CHECKING:
    from graphflow.families.latent_diffusion.unet import UNetModel

_KERNEL = 9


@contextmanager
def without_middle_attention(model: UNetModel) -> Iterator[None]:
    """Every token of the middle attends to itself alone until the block ends (Ahn et al. 2024, arXiv:2403.17377)."""
    layers: list[Any] = list(middle_self_attentions(model.module))
    before = [layer.processor for layer in layers]
    try:
        for layer in layers:
            layer.processor = _identity
        yield
    finally:
        for layer, processor in zip(layers, before, strict=True):
            layer.processor = processor


def without_layers(names: Sequence[str]) -> Callable[[UNetModel], AbstractContextManager[None]]:
    """A weakened network: transformers of the UNet whose names begin so hand on what they get.

    Args:
        names: Beginnings of module names, such as `mid_block` or `up_blocks.1.attentions.0`.
    """

    @contextmanager
    def skipping(model: UNetModel) -> Iterator[None]:
        with computing(list(transformers(model.module, names)), _hand_on):
            yield

    return skipping


def _hand_on(hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
    return (hidden_states,)


def _identity(attention: Any, hidden_states: Tensor, **_: Any) -> Tensor:
    output: Tensor = attention.to_out[0](attention.to_v(hidden_states))
    return output


class AttentionMap:
    """How much every place of the middle was attended to in the last watched evaluation.

    Attributes:
        total: (B, h, w) of the middle: attention that a place got, averaged over heads and summed over all places.
    """

    def __init__(self) -> None:
        self.total: Tensor | None = None

    def get_state(self) -> Tensor:
        """The map; of no elements where nothing was watched yet."""
        return torch.empty(0) if self.total is None else self.total

    def set_state(self, state: Tensor) -> None:
        """Have a map that was watched earlier."""
        self.total = state if state.numel() else None

    @contextmanager
    def watching(self, model: UNetModel) -> Iterator[None]:
        """Note the attention of the middle's first layer until the block ends."""
        layers = middle_self_attentions(model.module)
        if not layers:
            yield
            return
        size = [0, 0]

        def note_size(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            size[:] = (args[0] if args else kwargs["hidden_states"]).shape[-2:]

        def note_map(attention: Any, args: tuple[Any, ...]) -> None:
            tokens: Tensor = args[0]
            query, key = (_heads(project(tokens), attention.heads) for project in (attention.to_q, attention.to_k))
            weights = (query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5).softmax(-1)
            self.total = weights.float().mean(1).sum(1).unflatten(1, (size[0], size[1]))

        watched = model.module.mid_block.register_forward_pre_hook(note_size, with_kwargs=True)
        with removing(watched, layers[0].register_forward_pre_hook(note_map)):
            yield


def _heads(tokens: Tensor, heads: int) -> Tensor:
    return tokens.unflatten(2, (heads, -1)).transpose(1, 2)


class AwayFromBlurred(Modifier):
    """Self-attention guidance: away from what is predicted where the salient parts were blurred (arXiv:2210.00939).

    As in the paper with classifier-free guidance, map, picture and second prediction are those of the negative side.
    Latents of up to four samples along an edge, which the blur does not fit, are left as they are.

    Args:
        seen: Where the watched network leaves its attention.
        variation: The watched network's name.
        scale: Weight.
        blur_sigma: Standard deviation of the blur in latent samples.
    """

    needs_uncond = True

    def __init__(self, seen: AttentionMap, *, variation: str, scale: float, blur_sigma: float) -> None:
        self.seen = seen
        self.variation = variation
        self.scale = scale
        self.blur_sigma = blur_sigma

    def after(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """The guided clean sample, (B, C, h, w)."""
        if self.scale == 0.0 or min(guided.shape[-2:]) <= _KERNEL // 2:
            return guided
        predictions.evaluate(NEGATIVE, variation=self.variation)
        total = self.seen.total
        if total is None:
            return guided
        uncond = predictions.uncond
        salient = (total[: len(uncond), None] > 1.0).to(uncond)
        salient = functional.interpolate(salient, size=uncond.shape[-2:], mode="nearest")
        degraded = torch.lerp(uncond, blurred(uncond, self.blur_sigma), salient)
        again = predictions.evaluate(NEGATIVE, x=degraded + (predictions.x - uncond))
        return guided + (degraded - again) * self.scale


def blurred(x: Tensor, sigma: float) -> Tensor:
    """A Gaussian blur of (B, C, h, w) with a kernel of nine samples, edges reflected."""
    if sigma <= 0.0:
        return x
    places = torch.arange(_KERNEL, device=x.device, dtype=x.dtype) - _KERNEL // 2
    weights = torch.exp(-0.5 * (places / sigma) ** 2)
    weights = weights / weights.sum()
    kernel = torch.outer(weights, weights).expand(x.shape[1], 1, _KERNEL, _KERNEL)
    padded = functional.pad(x, (_KERNEL // 2,) * 4, mode="reflect")
    return functional.conv2d(padded, kernel, groups=x.shape[1])
