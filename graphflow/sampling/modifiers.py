"""Published changes of classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

from graphflow.pixels.latents import sharpen_latent, tonemap_latent

from .guidance import Modifier, Predictions, lies_between, match_spread
from .guiders import EMPTY, along, avoid_perpendicular, projection
from .levels import Levels


@dataclass(kw_only=True)
class Rescale(Modifier):
    """Guidance whose result keeps the spread of the conditional velocity (Lin et al. 2023).

    arXiv:2305.08891, section 3.4: the guided v prediction is scaled to the standard deviation of the
    conditional one and mixed with the unscaled one.

    Attributes:
        multiplier: share of the rescaled result, 0 to 1.
    """

    multiplier: float = 0.7

    def combine(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """The rescaled clean sample, (B, C, ...)."""
        to_velocity, to_clean = _velocity_maps(predictions)
        velocity, wanted = to_velocity(guided), to_velocity(predictions.cond)
        return to_clean(match_spread(velocity, wanted, self.multiplier))


@dataclass(kw_only=True)
class AdaptiveProjected(Modifier):
    """Adaptive projected guidance (Sadat et al. 2024, arXiv:2410.02416, algorithm 1).

    The guidance direction is smoothed over steps, cut to a norm, and its part along the conditional prediction, which
    oversaturates, is weighed down.

    Attributes:
        eta: weight of the parallel part; 1 leaves it, 0 takes it away.
        norm_threshold: largest L2 norm of the direction; 0 has no limit.
        momentum: weight of the direction so far; negative in the paper.
    """

    eta: float = 1.0
    norm_threshold: float = 5.0
    momentum: float = 0.0
    _so_far: Tensor | None = field(default=None, repr=False)
    _last_sigma: float = float("inf")

    def combine(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """The clean sample guided in the changed direction, (B, C, ...)."""
        plain = predictions.cond - predictions.uncond
        direction = plain
        if self.momentum:
            sigma = float(predictions.sigma)
            # a level above the last one is another run's, or a solver's look back
            if self._so_far is not None and sigma <= self._last_sigma:
                direction = direction + self.momentum * self._so_far
            self._so_far, self._last_sigma = direction, sigma
        if self.norm_threshold > 0:
            norm = _length(direction).clamp(min=1e-12)
            direction = direction * (self.norm_threshold / norm).clamp(max=1.0)
        parallel = along(direction, predictions.cond)
        changed = direction + (self.eta - 1.0) * parallel
        # the guider went (scale - 1) times the plain direction beyond cond
        return guided + (predictions.scale - 1.0) * (changed - plain)


@dataclass(kw_only=True)
class ZeroStar(Modifier):
    """CFG-Zero* (Fan et al. 2025, arXiv:2503.18886): the unconditional velocity gets its best scale first.

    Attributes:
        zero_init: share of sampling at whose steps the velocity is zero.
    """

    zero_init: float = 0.0

    def before(self, predictions: Predictions) -> Predictions:
        """The unconditional prediction with its velocity scaled to the conditional one by least squares."""
        x = predictions.x
        cond, uncond = x - predictions.cond, x - predictions.uncond
        return replace(predictions, uncond=x - projection(cond, uncond) * uncond)

    def after(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """The noisy latent itself, (B, C, ...), where the velocity is zero."""
        first = predictions.levels.percent_to_sigma(self.zero_init)
        return predictions.x if float(predictions.sigma) > first else guided


class Tangential(Modifier):
    """Tangential damping of guidance (Kwon et al. 2025, arXiv:2503.18137).

    Of the unconditional score only the part along the first right singular vector of both scores is kept.
    """

    def before(self, predictions: Predictions) -> Predictions:
        """The damped unconditional prediction."""
        x = predictions.x
        both = (x - predictions.cond).flatten(1), (x - predictions.uncond).flatten(1)
        scores = torch.stack(both, dim=1).double()
        # the first right singular vector from the 2 x 2 matrix of inner products
        _, vectors = torch.linalg.eigh(scores @ scores.transpose(1, 2))
        first = torch.einsum("bk,bkn->bn", vectors[:, :, -1], scores)
        kept = along(scores[:, 1], first).reshape(x.shape).float()
        return replace(predictions, uncond=x - kept)


@dataclass(kw_only=True)
class _ChangedDirection(Modifier):
    """Guidance in a direction, cond - uncond, that an operation on latents changes; without guidance it changes cond.

    Attributes:
        start: share of sampling at which it begins, 0 to 1.
        end: share of sampling at which it ends, 0 to 1.
    """

    start: float = 0.0
    end: float = 1.0

    def change(self, direction: Tensor) -> Tensor:
        """The direction changed, (B, C, h, w)."""
        raise NotImplementedError

    def before(self, predictions: Predictions) -> Predictions:
        """The predictions with the conditional one in the changed direction."""
        if not predictions.active(self.start, self.end):
            return predictions
        if predictions.uncond is predictions.cond:
            return replace(predictions, cond=self.change(predictions.cond))
        direction = self.change(predictions.cond - predictions.uncond)
        return replace(predictions, cond=predictions.uncond + direction)


@dataclass(kw_only=True)
class SharpenDirection(_ChangedDirection):
    """Guidance in a sharpened direction, see `sharpen_latent`.

    Attributes:
        radius: latent samples around each that count.
        sigma: spread of the Gaussian weights, in units of the radius.
        strength: factor on what blurring takes away.
    """

    radius: int = 9
    sigma: float = 1.0
    strength: float = 0.1

    def change(self, direction: Tensor) -> Tensor:
        """The direction sharpened, (B, C, h, w)."""
        return sharpen_latent(direction, int(self.radius), self.sigma, self.strength)


@dataclass(kw_only=True)
class TonemapDirection(_ChangedDirection):
    """Guidance in a direction whose large vectors are compressed, see `tonemap_latent`.

    Attributes:
        multiplier: height of the plateau.
    """

    multiplier: float = 1.0

    def change(self, direction: Tensor) -> Tensor:
        """The direction compressed, (B, C, h, w)."""
        return tonemap_latent(direction, self.multiplier)


@dataclass(kw_only=True)
class NormLimit(Modifier):
    """Guided predictions no longer than the conditional ones, position by position over channels.

    As HiDream-E1's and Qwen-Image's pipelines (Apache-2.0) keep the norm of the conditional prediction.

    Attributes:
        strength: factor on the result.
    """

    strength: float = 1.0

    def after(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """The limited clean sample, (B, C, ...)."""
        wanted = predictions.cond.norm(dim=1, keepdim=True)
        got = guided.norm(dim=1, keepdim=True) + 1e-8
        return guided * (wanted / got).clamp(max=1.0) * self.strength


@dataclass(kw_only=True)
class Renormalize(Modifier):
    """Guided velocities no longer than the conditional one, as Lumina-Image 2.0 has it (arXiv:2503.21758).

    Attributes:
        max_norm: largest norm as a multiple of the conditional one's; 0 has no limit.
        guide_below: noise level at and above which guidance is left out.
        of: whose length is limited, that of the velocity or of the clean sample.
    """

    max_norm: float = 1.0
    guide_below: float = 100.0
    of: Literal["velocity", "clean"] = "velocity"

    def combine(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """The limited clean sample, (B, C, ...)."""
        if float(predictions.sigma) >= self.guide_below:
            return predictions.cond
        if self.max_norm <= 0:
            return guided
        origin = torch.zeros_like(guided) if self.of == "clean" else predictions.x
        cond, made = predictions.cond - origin, guided - origin
        limit, length = _length(cond) * self.max_norm, _length(made)
        return origin + made * (limit / length.clamp(min=1e-12)).clamp(max=1.0)


@dataclass(kw_only=True)
class DynamicThreshold(Modifier):
    """Guidance at a high scale brought back to the range of a lower one, channel by channel.

    Dynamic thresholding (Saharia et al. 2022, arXiv:2205.11487, section 2.3) clips at a percentile and divides by it;
    in latent space, whose range has no bound, the range to keep is that of guidance at `mimic_scale`, as the
    extension sd-dynamic-thresholding (MIT) has it.

    Attributes:
        mimic_scale: the scale whose range is kept.
        percentile: of the absolute values about the mean, 0 to 1, at which they are clipped.
    """

    mimic_scale: float = 7.0
    percentile: float = 1.0

    def combine(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """The thresholded clean sample, (B, C, ...)."""
        cond, uncond = predictions.cond, predictions.uncond
        mimic = uncond + (cond - uncond) * self.mimic_scale
        wanted, got = mimic.flatten(2), guided.flatten(2)
        wanted = wanted - wanted.mean(dim=2, keepdim=True)
        mean = got.mean(dim=2, keepdim=True)
        centred = got - mean
        limit = wanted.abs().amax(dim=2, keepdim=True)
        top = torch.quantile(centred.abs(), self.percentile, dim=2, keepdim=True)
        top = torch.maximum(top, limit)
        clipped = torch.minimum(torch.maximum(centred, -top), top)
        return (clipped / top.clamp(min=1e-12) * limit + mean).reshape(guided.shape)


@dataclass(kw_only=True)
class FrequencyScale(Modifier):
    """Guidance with a weight for coarse and one for fine structure (FreSca, Huang et al. 2025, arXiv:2504.02154).

    Attributes:
        low: weight of the frequencies of the guidance direction below the cutoff.
        high: weight of the others.
        cutoff: half the edge of the square of low frequencies, in steps of the latent's Fourier transform.
    """

    low: float = 1.0
    high: float = 1.25
    cutoff: int = 20

    def before(self, predictions: Predictions) -> Predictions:
        """The conditional prediction in the scaled direction."""
        direction = predictions.cond - predictions.uncond
        sizes, device = direction.shape[-2:], direction.device
        rows, columns = (torch.fft.fftfreq(n, 1 / n, device=device) for n in sizes)
        fine = rows.abs() > self.cutoff, columns.abs() > self.cutoff
        coarse = ~(fine[0][:, None] | fine[1][None, :])
        weight = torch.where(coarse, self.low, self.high)
        scaled = torch.fft.ifft2(torch.fft.fft2(direction) * weight).real
        return replace(predictions, cond=predictions.uncond + scaled)


@dataclass(kw_only=True)
class Interval(Modifier):
    """Guidance in a part of sampling only (Kynkäänniemi et al. 2024, arXiv:2404.07724).

    Attributes:
        start: share of sampling at which it begins.
        end: share of sampling at which it ends.
    """

    start: float = 0.0
    end: float = 1.0

    def guides(self, levels: Levels, sigma: Tensor) -> bool:
        """Only inside the interval."""
        return lies_between(levels, sigma, self.start, self.end)


@dataclass(kw_only=True)
class Ramp(Modifier):
    """A guidance scale of its own for each item of the batch, as for the frames of a video.

    Linear, from `min_scale` at the first item to the guider's scale at the last (Stable Video Diffusion, Blattmann et
    al. 2023, arXiv:2311.15127); as a triangle, up to the guider's scale in the middle and back.

    Attributes:
        min_scale: the lowest scale; a batch of one gets it.
        triangle: whether it falls again.
    """

    min_scale: float = 1.0
    triangle: bool = False
    needs_uncond: bool = True
    spans_batch: bool = True

    def combine(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """The clean samples, (B, C, ...), each guided at its own scale."""
        items = len(guided)
        share = torch.linspace(0.0, 1.0, items, device=guided.device)
        if self.triangle:
            share = 1.0 - (2.0 * share - 1.0).abs()
        scales = self.min_scale + share * (predictions.scale - self.min_scale)
        scales = scales.reshape(items, *(1,) * (guided.ndim - 1))
        # the guider went scale times the direction beyond uncond
        direction = predictions.cond - predictions.uncond
        return guided + (scales - predictions.scale) * direction


@dataclass(kw_only=True)
class EpsilonScale(Modifier):
    """Predicted noise divided by a factor, against exposure bias (Ning et al. 2023, arXiv:2308.15321).

    Attributes:
        factor: a little above 1.
    """

    factor: float = 1.005

    def after(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """The clean sample that the scaled noise means, (B, C, ...)."""
        return predictions.x - (predictions.x - guided) / self.factor


@dataclass(kw_only=True)
class PerpendicularNegativeChange(Modifier):
    """Perp-Neg (see :class:`graphflow.sampling.guiders.PerpendicularNegative`) in place of the guider's formula.

    Attributes:
        negative_scale: weight of the negative direction.
    """

    negative_scale: float = 1.0
    needs_uncond: bool = True
    spans_batch: bool = True

    def combine(self, predictions: Predictions, guided: Tensor) -> Tensor:
        """The guided clean samples, (B, C, ...)."""
        empty = predictions.evaluate(EMPTY)
        return avoid_perpendicular(predictions, empty, self.negative_scale)


MODIFIERS: Mapping[str, Callable[..., Modifier]] = MappingProxyType(
    {
        "rescale": Rescale,
        "adaptive_projected": AdaptiveProjected,
        "zero_star": ZeroStar,
        "tangential": Tangential,
        "norm_limit": NormLimit,
        "renormalize": Renormalize,
        "dynamic_threshold": DynamicThreshold,
        "frequency_scale": FrequencyScale,
        "interval": Interval,
        "epsilon_scale": EpsilonScale,
        "ramp": Ramp,
        "sharpen": SharpenDirection,
        "tonemap": TonemapDirection,
    }
)
"""By the names that model recipes call them by."""


def _velocity_maps(predictions: Predictions) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """From clean samples to velocities and back."""
    x, s = predictions.x, predictions.sigma
    if predictions.levels.is_flow:
        return lambda denoised: (x - denoised) / s, lambda velocity: x - velocity * s
    norm = (s**2 + 1.0) ** 0.5
    scaled = x / (s**2 + 1.0)
    return (
        lambda denoised: (scaled - denoised) * norm / s,
        lambda velocity: scaled - velocity * s / norm,
    )


def _length(tensor: Tensor) -> Tensor:
    """L2 norm of each item, (B, 1, ...)."""
    dims = tuple(range(1, tensor.ndim))
    return torch.linalg.vector_norm(tensor, dim=dims, keepdim=True)
