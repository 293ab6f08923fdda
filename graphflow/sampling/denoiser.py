"""The denoiser that samplers call: a model under its conditionings, guided, with kept parts put back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from graphflow.pixels.batches import cycled

from .evaluate import Predict, evaluate
from .guidance import NEGATIVE, POSITIVE, Guider, Modifier, Predictions, guide
from .prediction import ModelSampling
from .regions import Region, resize_mask
from .resuming import Resuming

MaskSchedule = Callable[[Tensor, Tensor], Tensor]
"""(mask, sigma) -> the mask, (1 or B, 1, ..., h, w) in [0, 1], at the scalar noise level sigma."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Inpaint:
    """Keeps a part of the latent as it was.

    Attributes:
        mask: (1 or B, 1, ..., h, w), 1 = make anew.
        original: (B, C, ...) latent to keep elsewhere.
        noise: (B, C, ...) noise that the kept part carries at each level.
        schedule: the mask at each noise level; None has it stay the same.
    """

    mask: Tensor
    original: Tensor
    noise: Tensor
    schedule: MaskSchedule | None = None

    @classmethod
    def make(cls, noise_mask: Tensor, original: Tensor, noise: Tensor, schedule: MaskSchedule | None = None) -> Inpaint:
        """Fit masks (M, H, W) to the latent: too few begin again after the last one."""
        mask = resize_mask(noise_mask.to(original.device), *original.shape[-2:])
        mask = mask if len(mask) == 1 else cycled(mask, len(original))
        mask = mask.reshape(*mask.shape[:2], *(1,) * (original.ndim - 4), *mask.shape[-2:])
        return cls(mask=mask, original=original, noise=noise, schedule=schedule)

    def at(self, sigma: Tensor) -> Inpaint:
        """What is kept at one noise level."""
        return self if self.schedule is None else replace(self, mask=self.schedule(self.mask, sigma), schedule=None)

    def before(self, model_sampling: ModelSampling, x: Tensor, sigma: Tensor) -> Tensor:
        """X with the kept part replaced by the noised original."""
        kept = model_sampling.noise_latent(sigma, self.noise, self.original)
        return x * self.mask + kept * (1.0 - self.mask)

    def after(self, denoised: Tensor) -> Tensor:
        """The clean sample with the kept part replaced by the original."""
        return denoised * self.mask + self.original * (1.0 - self.mask)


@dataclass(frozen=True, kw_only=True, eq=False)
class GuidedDenoiser:
    """D(x, sigma): the model under its conditionings, guided, with the kept part of the latent put back.

    Attributes:
        predict: the network.
        model_sampling: how it is parameterised.
        guider: combines the predictions.
        sides: the conditionings by name; a side that the guider asks for and that is not here counts as the positive one.
        modifiers: what changes guidance.
        inpaint: what is kept.
        max_items: most items in one batch; None has no limit.
        resuming: what an interrupted run has evaluated; None has it all evaluated.
    """

    predict: Predict
    model_sampling: ModelSampling
    guider: Guider
    sides: Mapping[str, Sequence[Region]]
    modifiers: Sequence[Modifier] = ()
    inpaint: Inpaint | None = None
    max_items: int | None = None
    resuming: Resuming | None = None

    @property
    def levels(self) -> ModelSampling:
        """The model's noise levels."""
        return self.model_sampling

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The guided clean sample."""
        return self._guided(x, sigma, force_uncond=False)[0]

    def with_uncond(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The guided clean sample and the unconditional one, evaluated at every guidance scale."""
        return self._guided(x, sigma, force_uncond=True)

    def _guided(self, x: Tensor, sigma: Tensor, *, force_uncond: bool) -> tuple[Tensor, Tensor]:
        inpaint = None if self.inpaint is None else self.inpaint.at(sigma)
        if inpaint is not None:
            x = inpaint.before(self.model_sampling, x, sigma)
        guides = all(modifier.guides(self.model_sampling, sigma) for modifier in self.modifiers)
        wanted = dict.fromkeys(self.guider.sides if guides else (POSITIVE,))
        if force_uncond or any(modifier.needs_uncond for modifier in self.modifiers):
            wanted[NEGATIVE] = None
        names = [name for name in wanted if name in self.sides]
        found = dict(zip(names, self._evaluate(x, sigma, [self.sides[name] for name in names]), strict=True))
        cond = found.pop(POSITIVE)
        uncond = found.pop(NEGATIVE, cond)
        here, at = x, sigma

        def ask(
            side: str = POSITIVE, *, x: Tensor | None = None, sigma: Tensor | None = None, variation: str | None = None
        ) -> Tensor:
            regions = self.sides[side if side in self.sides else POSITIVE]
            noisy, level = here if x is None else x, at if sigma is None else sigma
            return self._evaluate(noisy, level, [regions], variation)[0]

        predictions = Predictions(
            x=x,
            sigma=sigma,
            cond=cond,
            uncond=uncond,
            scale=self.guider.scale if guides else 1.0,
            levels=self.model_sampling,
            evaluate=ask,
            others={name: found.get(name, cond) for name in self.guider.sides if name not in (POSITIVE, NEGATIVE)},
        )
        denoised, uncond = guide(self.guider, self.modifiers, predictions)
        if inpaint is not None:
            denoised = inpaint.after(denoised)
        return denoised, uncond

    def _evaluate(
        self, x: Tensor, sigma: Tensor, sides: Sequence[Sequence[Region]], variation: str | None = None
    ) -> list[Tensor]:
        asked = partial(
            evaluate,
            self.predict,
            self.model_sampling,
            x,
            sigma,
            sides,
            max_items=self.max_items,
            variation=variation,
        )
        return asked() if self.resuming is None else self.resuming(x, sigma, len(sides), variation, asked)
