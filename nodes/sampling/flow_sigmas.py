"""Schedules of families beside Stable Diffusion. Samplers take them as they take every other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from graphflow.limits import LIMITS
from graphflow.spec.decorator import node
from graphflow.values import Latent, Sigmas

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["flux2_sigmas", "ltxv_sigmas"]

Steps = Annotated[int, Field(ge=1, le=LIMITS.steps, description="steps of the schedule")]
Edge = Annotated[int, Field(ge=16, le=LIMITS.edge, description="pixels of the picture")]
Shift = Annotated[float, Field(ge=0, le=100)]

_FEW_TOKENS, _MANY_TOKENS = 1024, 4096


@node("flux2_sigmas")
def flux2_sigmas(
    steps: Steps = 20,
    width: Edge = 1024,
    height: Edge = 1024,
) -> Sigmas:
    """Make the schedule of Flux.2: steps + 1 noise levels from 1 to 0, shifted by picture size and number of steps.

    Even levels t from 1 to 1/steps become e^mu / (e^mu + 1/t - 1), where mu is the empirical function of the length of
    the picture's sequence (width * height / 256) and of the steps that Diffusers' Flux.2 pipeline has
    (``compute_empirical_mu``).
    """
    import torch

    shifted = _shifted(steps, empirical_mu(width * height // 256, steps))
    return Sigmas(values=torch.cat([shifted, torch.zeros(1, dtype=torch.float64)]).float())


@node("ltxv_sigmas")
def ltxv_sigmas(
    steps: Steps = 20,
    max_shift: Annotated[Shift, Field(description="shift of a latent of 4096 samples")] = 2.05,
    base_shift: Annotated[Shift, Field(description="shift of a latent of 1024 samples")] = 0.95,
    stretch: Annotated[bool, Field(description="stretch the levels so that the last above zero is terminal")] = True,
    terminal: Annotated[float, Field(ge=0, le=0.99, description="the last level above zero, where stretched")] = 0.1,
    latent: Annotated[
        Latent | None, Field(description="the latent, whose size sets the shift; none has 4096 samples")
    ] = None,
) -> Sigmas:
    """Make the schedule of LTX-Video: steps + 1 noise levels from 1 to 0, shifted by the size of the latent.

    Even levels t from 1 to 1/steps become e^mu / (e^mu + 1/t - 1) with mu linear in the number of samples of a latent
    (HaCohen et al. 2024, arXiv:2501.00103), then 1 - (1 - t) * (1 - terminal) / (1 - last): what Diffusers calls
    ``shift_terminal``.
    """
    import torch

    tokens = _MANY_TOKENS if latent is None else math.prod(latent.samples.shape[2:])
    slope = (max_shift - base_shift) / (_MANY_TOKENS - _FEW_TOKENS)
    levels = _shifted(steps, base_shift + slope * (tokens - _FEW_TOKENS))
    rest = 1.0 - levels
    if stretch and float(rest[-1]) > 0.0:
        levels = 1.0 - rest * ((1.0 - terminal) / rest[-1])
    return Sigmas(values=torch.cat([levels, torch.zeros(1, dtype=torch.float64)]).float())


def empirical_mu(length: int, steps: int) -> float:
    """Return the shift of Flux.2 for a sequence of ``length`` tokens sampled in ``steps`` steps."""
    a1, b1 = 8.73809524e-05, 1.89833333
    a2, b2 = 0.00016927, 0.45666666
    at_200 = a2 * length + b2
    if length > 4300:
        return at_200
    at_10 = a1 * length + b1
    slope = (at_200 - at_10) / 190.0
    return slope * steps + at_200 - 200.0 * slope


def _shifted(steps: int, mu: float) -> Tensor:
    """Even levels from 1 to 1/steps, (steps,) float64, with their time shifted by e^mu."""
    import torch

    levels = torch.linspace(1.0, 1.0 / steps, steps, dtype=torch.float64)
    return torch.sigmoid(levels.logit() + mu)
