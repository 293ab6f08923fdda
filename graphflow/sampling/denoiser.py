"""The denoiser that samplers call: a model under its conditionings, guided, with kept parts put back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from .errors import SamplingError
from .evaluate import Predict, evaluate
from .guidance import Guider, Predictions
from .prediction import ModelSampling
from .regions import Region, resize_mask


@dataclass(frozen=True, kw_only=True, eq=False)
class Inpaint:
    """Keeps a part of the latent as it was.

    Attributes:
        mask: (1 or B, 1, ..., h, w), 1 = make anew.
        original: (B, C, ...) latent to keep elsewhere.
        noise: (B, C, ...) noise that the kept part carries at each level.
    """

    mask: Tensor
    original: Tensor
    noise: Tensor

    @classmethod
    def make(cls, noise_mask: Tensor, original: Tensor, noise: Tensor) -> Inpaint:
        """Fit a mask (B or 1, H, W) to the latent."""
        mask = resize_mask(noise_mask.to(original.device), *original.shape[-2:])
        if len(mask) not in (1, len(original)):
            raise SamplingError(f"a noise mask for {len(mask)} items does not fit a batch of {len(original)}")
        mask = mask.reshape(*mask.shape[:2], *(1,) * (original.ndim - 4), *mask.shape[-2:])
        return cls(mask=mask, original=original, noise=noise)

    def before(self, model_sampling: ModelSampling, x: Tensor, sigma: Tensor) -> Tensor:
        """X with the kept part replaced by the noised original."""
        kept = model_sampling.noise_latent(sigma, self.noise, self.original)
        return x * self.mask + kept * (1.0 - self.mask)

    def after(self, denoised: Tensor) -> Tensor:
        """The clean sample with the kept part replaced by the original."""
        return denoised * self.mask + self.original * (1.0 - self.mask)


@dataclass(frozen=True, kw_only=True, eq=False)
class GuidedDenoiser:
    """D(x, sigma): the model under its conditionings, guided, with the kept part of the latent put back."""

    predict: Predict
    model_sampling: ModelSampling
    guider: Guider
    positive: Sequence[Region]
    negative: Sequence[Region]
    inpaint: Inpaint | None = None
    max_items: int | None = None

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The guided clean sample."""
        return self._guided(x, sigma, force_uncond=False)[0]

    def with_uncond(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The guided clean sample and the unconditional one, evaluated at every guidance scale."""
        return self._guided(x, sigma, force_uncond=True)

    def _guided(self, x: Tensor, sigma: Tensor, *, force_uncond: bool) -> tuple[Tensor, Tensor]:
        if self.inpaint is not None:
            x = self.inpaint.before(self.model_sampling, x, sigma)
        sides = [self.positive]
        if self.negative and (force_uncond or self.guider.needs_uncond):
            sides.append(self.negative)
        cond, *rest = self._evaluate(x, sigma, sides)
        uncond = rest[0] if rest else cond

        def vary(variation: str) -> Tensor:
            return self._evaluate(x, sigma, [self.positive], variation)[0]

        denoised = self.guider(
            Predictions(x=x, sigma=sigma, cond=cond, uncond=uncond, model_sampling=self.model_sampling, vary=vary)
        )
        if self.inpaint is not None:
            denoised = self.inpaint.after(denoised)
        return denoised, uncond

    def _evaluate(
        self, x: Tensor, sigma: Tensor, sides: Sequence[Sequence[Region]], variation: str | None = None
    ) -> list[Tensor]:
        return evaluate(
            self.predict,
            self.model_sampling,
            x,
            sigma,
            sides,
            max_items=self.max_items,
            variation=variation,
        )
