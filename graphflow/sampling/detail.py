"""A model told of less noise than there is, so that it leaves more detail, or of more, so that it smooths.

After Detail Daemon (muerrilla, github.com/muerrilla/sd-webui-detail-daemon, MIT licence): the level that the model is told
is sigma * (1 - strength * curve / 10), while steps go by the schedule as ever.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from .levels import Levels
from .samplers import Denoiser

_LEAST = 1e-6
"""The least factor on a level."""


@dataclass(frozen=True, kw_only=True)
class DetailCurve:
    """How much less noise the model is told of, by step.

    Attributes:
        amount: At the peak, in tenths of the level.
        start: Where the rise begins, as a share of the steps.
        end: Where the fall ends.
        bias: Where between them the peak is.
        exponent: Of rise and fall; above 1 they are steeper.
        start_offset: What stands before the start.
        end_offset: What stands behind the end.
        fade: Share by which all of it is taken back.
        smooth: Whether rise and fall are cosines, not lines.
    """

    amount: float = 0.1
    start: float = 0.2
    end: float = 0.8
    bias: float = 0.5
    exponent: float = 1.0
    start_offset: float = 0.0
    end_offset: float = 0.0
    fade: float = 0.0
    smooth: bool = True

    def values(self, steps: int) -> list[float]:
        """Return the curve at each step."""
        first = min(self.start, self.end)
        shares = (first, first + self.bias * (self.end - first), self.end)
        begin, peak, stop = (round(share * (steps - 1)) for share in shares)
        found = [self.start_offset] * begin + [self.end_offset] * (steps - begin)
        found[begin : peak + 1] = self._flank(peak - begin, self.start_offset)
        found[peak : stop + 1] = self._flank(stop - peak, self.end_offset)[::-1]
        return [value * (1 - self.fade) for value in found]

    def _flank(self, length: int, offset: float) -> list[float]:
        """Return the values from an offset up to the peak, which alone stands where there is no way to it."""
        if not length:
            return [self.amount]
        ways = [step / length for step in range(length + 1)]
        if self.smooth:
            ways = [0.5 * (1 - math.cos(way * math.pi)) for way in ways]
        return [way**self.exponent * (self.amount - offset) + offset for way in ways]


@dataclass(frozen=True)
class Understated:
    """A denoiser that is told other noise levels than those of the schedule.

    Attributes:
        inner: The denoiser.
        sigmas: The schedule, falling.
        curve: How much less it is told at each step, in tenths.
        strength: Factor on the curve, mostly the scale of guidance.
    """

    inner: Denoiser
    sigmas: Sequence[float]
    curve: Sequence[float]
    strength: float

    @property
    def levels(self) -> Levels:
        """The model's noise levels."""
        return self.inner.levels

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The clean sample expected in x."""
        return self.inner(x, self._told(sigma))

    def with_uncond(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The guided clean sample and the one of the negative conditioning alone."""
        return self.inner.with_uncond(x, self._told(sigma))

    def _told(self, sigma: Tensor) -> Tensor:
        return sigma * max(_LEAST, 1 - self._at(float(sigma)) / 10 * self.strength)

    def _at(self, sigma: float) -> float:
        """Return the curve at a level, straight between those of the schedule."""
        if len(self.curve) < 2 or not self.sigmas[-1] < sigma <= self.sigmas[0]:
            return 0.0
        below = next((place for place, level in enumerate(self.sigmas[:-1]) if level <= sigma), len(self.curve))
        if below == len(self.curve):
            return self.curve[-1]
        low = self.sigmas[below]
        if low == sigma or not below:
            return self.curve[below]
        share = (sigma - low) / (self.sigmas[below - 1] - low)
        return self.curve[below] + share * (self.curve[below - 1] - self.curve[below])
