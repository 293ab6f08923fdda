"""Schedules of families beside Stable Diffusion. Samplers take them as they take every other."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from graphflow.limits import LIMITS
from graphflow.spec.decorator import node
from graphflow.values import Latent, Sigmas

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
    from graphflow.sampling import flow_levels

    return Sigmas(values=flow_levels.flux2_sigmas(steps, width, height))


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

    from graphflow.sampling.flow_levels import evenly_shifted

    tokens = _MANY_TOKENS if latent is None else math.prod(latent.samples.shape[2:])
    slope = (max_shift - base_shift) / (_MANY_TOKENS - _FEW_TOKENS)
    levels = evenly_shifted(steps, base_shift + slope * (tokens - _FEW_TOKENS))
    rest = 1.0 - levels
    if stretch and float(rest[-1]) > 0.0:
        levels = 1.0 - rest * ((1.0 - terminal) / rest[-1])
    return Sigmas(values=torch.cat([levels, torch.zeros(1, dtype=torch.float64)]).float())
