"""What changes guidance, made by tools/make_guidance_pieces.py from graphflow.sampling."""

# mypy: ignore-errors

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from .denoiser import Denoiser


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What is known about one step when guidance acts. All tensors are float32, (B, C, ...)."""

    x: Tensor
    sigma: Tensor
    cond: Tensor
    uncond: Tensor
    scale: float
    denoise: Denoiser
    evaluate: Callable
    others: Mapping[str, Tensor] = field(default_factory=dict)

    def active(self, start, end):
        """Whether this step lies between two shares of sampling, 0 (pure noise) to 1 (the picture)."""
        return lies_between(self.denoise, self.sigma, start, end)


def lies_between(denoise, sigma, start, end):
    """Whether a noise level lies between two shares of sampling, 0 (pure noise) to 1 (the picture)."""
    return (
        denoise.percent_to_sigma(end) <= float(sigma) <= denoise.percent_to_sigma(start)
    )


@dataclass(frozen=True, kw_only=True)
class ClassifierFree:
    """Classifier-free guidance, uncond + scale * (cond - uncond) (Ho and Salimans 2022, arXiv:2207.12598)."""

    scale: float = 7.5

    def __call__(self, predictions):
        """The guided clean sample, (B, C, ...)."""
        if predictions.scale == 1.0:
            return predictions.cond
        return (
            predictions.uncond
            + (predictions.cond - predictions.uncond) * predictions.scale
        )


class Modifier:
    """Changes guidance. One is made for each run, so it may remember earlier steps of it."""

    needs_uncond: bool = False

    def guides(self, denoise, sigma):
        """Whether there is guidance at a noise level; where not, only the positive side is evaluated and followed."""
        return True

    def before(self, predictions):
        """Change the predictions, or the scale, that the guider sees."""
        return predictions

    def combine(self, predictions, guided):
        """Change what the guider's formula gave, (B, C, ...)."""
        return guided

    def after(self, predictions, guided):
        """Add to the guided clean sample, (B, C, ...)."""
        return guided


def guide(guider, modifiers, predictions):
    """The guided clean sample and the unconditional one that it started from."""
    for modifier in modifiers:
        predictions = modifier.before(predictions)
    guided = guider(predictions)
    for modifier in modifiers:
        guided = modifier.combine(predictions, guided)
    for modifier in modifiers:
        guided = modifier.after(predictions, guided)
    return (guided, predictions.uncond)


def match_spread(tensor, model, share):
    """`tensor` with a share of its standard deviation's excess over `model`'s taken away, item by item."""
    dims = tuple(range(1, tensor.ndim))
    factor = model.std(dim=dims, keepdim=True) / tensor.std(dim=dims, keepdim=True)
    return share * (tensor * factor) + (1.0 - share) * tensor


@dataclass(kw_only=True)
class AwayFromVariation(Modifier):
    """Guidance away from a weakened network: guided + scale * (cond - varied)."""

    variation: Callable
    scale: float
    start: float = 0.0
    end: float = 1.0
    rescale: float = 0.0

    def after(self, predictions, guided):
        """The guided clean sample, (B, C, ...)."""
        if self.scale == 0.0 or not predictions.active(self.start, self.end):
            return guided
        varied = predictions.evaluate("positive", variation=self.variation)
        moved = guided + (predictions.cond - varied) * self.scale
        return (
            match_spread(moved, predictions.cond, self.rescale)
            if self.rescale
            else moved
        )


@dataclass(frozen=True, kw_only=True)
class DualClassifierFree:
    """Guidance by two conditionings, as InstructPix2Pix has it (Brooks et al. 2023, arXiv:2211.09800, equation 3)."""

    scale: float = 7.5
    middle_scale: float = 1.5
    nested: bool = False

    def __call__(self, predictions):
        """The guided clean sample, (B, C, ...)."""
        middle, uncond, cond = (
            predictions.others["middle"],
            predictions.uncond,
            predictions.cond,
        )
        guided = uncond + (middle - uncond) * self.middle_scale
        return guided + (cond - (guided if self.nested else middle)) * predictions.scale


@dataclass(frozen=True, kw_only=True)
class PerpendicularNegative:
    """Perp-Neg: only the part of the negative direction that is perpendicular to the positive one is avoided."""

    scale: float = 7.5
    negative_scale: float = 1.0

    def __call__(self, predictions):
        """The guided clean sample, (B, C, ...)."""
        empty = predictions.others["empty"]
        wanted, unwanted = (predictions.cond - empty, predictions.uncond - empty)
        return empty + predictions.scale * (
            wanted - self.negative_scale * perpendicular(unwanted, wanted)
        )


def perpendicular(tensor, direction):
    """The part of each item of `tensor` (B, ...) that is perpendicular to the same item of `direction`."""
    return tensor - along(tensor, direction)


def along(tensor, direction):
    """The part of each item of `tensor` (B, ...) that points along the same item of `direction`."""
    return projection(tensor, direction) * direction


def projection(tensor, direction):
    """How many times each item of `direction` goes into that of `tensor`, (B, 1, ...); 0 where it is zero."""
    dims = tuple(range(1, tensor.ndim))
    squared = (direction * direction).sum(dim=dims, keepdim=True)
    return torch.where(
        squared > 0, (tensor * direction).sum(dim=dims, keepdim=True) / squared, 0.0
    )


@dataclass(kw_only=True)
class Rescale(Modifier):
    """Guidance whose result keeps the spread of the conditional velocity (Lin et al. 2023)."""

    multiplier: float = 0.7

    def combine(self, predictions, guided):
        """The rescaled clean sample, (B, C, ...)."""
        to_velocity, to_clean = velocity_maps(predictions)
        return to_clean(
            match_spread(
                to_velocity(guided), to_velocity(predictions.cond), self.multiplier
            )
        )


@dataclass(kw_only=True)
class AdaptiveProjected(Modifier):
    """Adaptive projected guidance (Sadat et al. 2024, arXiv:2410.02416, algorithm 1)."""

    eta: float = 1.0
    norm_threshold: float = 5.0
    momentum: float = 0.0
    _so_far: Tensor | None = field(default=None, repr=False)
    _last_sigma: float = float("inf")

    def combine(self, predictions, guided):
        """The clean sample guided in the changed direction, (B, C, ...)."""
        plain = predictions.cond - predictions.uncond
        direction = plain
        if self.momentum:
            sigma = float(predictions.sigma)
            if self._so_far is not None and sigma <= self._last_sigma:
                direction = direction + self.momentum * self._so_far
            self._so_far, self._last_sigma = (direction, sigma)
        if self.norm_threshold > 0:
            norm = length_of(direction)
            direction = direction * (self.norm_threshold / norm.clamp(min=1e-12)).clamp(
                max=1.0
            )
        parallel = along(direction, predictions.cond)
        changed = direction + (self.eta - 1.0) * parallel
        return guided + (predictions.scale - 1.0) * (changed - plain)


@dataclass(kw_only=True)
class ZeroStar(Modifier):
    """CFG-Zero* (Fan et al. 2025, arXiv:2503.18886): the unconditional velocity gets its best scale first."""

    zero_init: float = 0.0

    def before(self, predictions):
        """The unconditional prediction with its velocity scaled to the conditional one by least squares."""
        x = predictions.x
        cond, uncond = (x - predictions.cond, x - predictions.uncond)
        return replace(predictions, uncond=x - projection(cond, uncond) * uncond)

    def after(self, predictions, guided):
        """The noisy latent itself, (B, C, ...), where the velocity is zero."""
        still = float(predictions.sigma) > predictions.denoise.percent_to_sigma(
            self.zero_init
        )
        return predictions.x if still else guided


class Tangential(Modifier):
    """Tangential damping of guidance (Kwon et al. 2025, arXiv:2503.18137)."""

    def before(self, predictions):
        """The damped unconditional prediction."""
        x = predictions.x
        scores = torch.stack(
            [(x - predictions.cond).flatten(1), (x - predictions.uncond).flatten(1)],
            dim=1,
        ).double()
        _, vectors = torch.linalg.eigh(scores @ scores.transpose(1, 2))
        first = torch.einsum("bk,bkn->bn", vectors[:, :, -1], scores)
        kept = along(scores[:, 1], first).reshape(x.shape).float()
        return replace(predictions, uncond=x - kept)


@dataclass(kw_only=True)
class NormLimit(Modifier):
    """Guided predictions no longer than the conditional ones, position by position over channels."""

    strength: float = 1.0

    def after(self, predictions, guided):
        """The limited clean sample, (B, C, ...)."""
        wanted = predictions.cond.norm(dim=1, keepdim=True)
        return (
            guided
            * (wanted / (guided.norm(dim=1, keepdim=True) + 1e-08)).clamp(max=1.0)
            * self.strength
        )


@dataclass(kw_only=True)
class Renormalize(Modifier):
    """Guided velocities no longer than the conditional one, as Lumina-Image 2.0 has it (arXiv:2503.21758)."""

    max_norm: float = 1.0
    guide_below: float = 100.0

    def combine(self, predictions, guided):
        """The limited clean sample, (B, C, ...)."""
        if float(predictions.sigma) >= self.guide_below:
            return predictions.cond
        if self.max_norm <= 0:
            return guided
        x = predictions.x
        cond, velocity = (x - predictions.cond, x - guided)
        limit = length_of(cond) * self.max_norm
        return x - velocity * (limit / length_of(velocity).clamp(min=1e-12)).clamp(
            max=1.0
        )


@dataclass(kw_only=True)
class DynamicThreshold(Modifier):
    """Guidance at a high scale brought back to the range of a lower one, channel by channel."""

    mimic_scale: float = 7.0
    percentile: float = 1.0

    def combine(self, predictions, guided):
        """The thresholded clean sample, (B, C, ...)."""
        mimic = (
            predictions.uncond
            + (predictions.cond - predictions.uncond) * self.mimic_scale
        )
        wanted, got = (mimic.flatten(2), guided.flatten(2))
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
    """Guidance with a weight for coarse and one for fine structure (FreSca, Huang et al. 2025, arXiv:2504.02154)."""

    low: float = 1.0
    high: float = 1.25
    cutoff: int = 20

    def before(self, predictions):
        """The conditional prediction in the scaled direction."""
        direction = predictions.cond - predictions.uncond
        height, width = direction.shape[-2:]
        rows, columns = (
            torch.fft.fftfreq(edge, 1 / edge, device=direction.device)
            for edge in (height, width)
        )
        coarse = (rows.abs() <= self.cutoff)[:, None] & (columns.abs() <= self.cutoff)[
            None, :
        ]
        weight = torch.where(coarse, self.low, self.high)
        scaled = torch.fft.ifft2(torch.fft.fft2(direction) * weight).real
        return replace(predictions, cond=predictions.uncond + scaled)


@dataclass(kw_only=True)
class Interval(Modifier):
    """Guidance in a part of sampling only (Kynkäänniemi et al. 2024, arXiv:2404.07724)."""

    start: float = 0.0
    end: float = 1.0

    def guides(self, denoise, sigma):
        """Only inside the interval."""
        return lies_between(denoise, sigma, self.start, self.end)


@dataclass(kw_only=True)
class Ramp(Modifier):
    """A guidance scale of its own for each item of the batch, as for the frames of a video."""

    min_scale: float = 1.0
    triangle: bool = False
    needs_uncond: bool = True

    def combine(self, predictions, guided):
        """The clean samples, (B, C, ...), each guided at its own scale."""
        items = len(guided)
        share = torch.linspace(0.0, 1.0, items, device=guided.device)
        if self.triangle:
            share = 1.0 - (2.0 * share - 1.0).abs()
        scales = self.min_scale + share * (predictions.scale - self.min_scale)
        scales = scales.reshape(items, *(1,) * (guided.ndim - 1))
        return guided + (scales - predictions.scale) * (
            predictions.cond - predictions.uncond
        )


@dataclass(kw_only=True)
class EpsilonScale(Modifier):
    """Predicted noise divided by a factor, against exposure bias (Ning et al. 2023, arXiv:2308.15321)."""

    factor: float = 1.005

    def after(self, predictions, guided):
        """The clean sample that the scaled noise means, (B, C, ...)."""
        return predictions.x - (predictions.x - guided) / self.factor


def velocity_maps(predictions):
    """From clean samples to velocities and back."""
    x, s = (predictions.x, predictions.sigma)
    norm = (s**2 + 1.0) ** 0.5
    scaled = x / (s**2 + 1.0)
    return (
        lambda denoised: (scaled - denoised) * norm / s,
        lambda velocity: scaled - velocity * s / norm,
    )


def length_of(tensor):
    """L2 norm of each item, (B, 1, ...)."""
    return torch.linalg.vector_norm(
        tensor, dim=tuple(range(1, tensor.ndim)), keepdim=True
    )
