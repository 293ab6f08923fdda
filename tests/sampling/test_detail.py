"""Detail Daemon: what a model is told of the noise level, and that nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from graphflow.sampling.detail import DetailCurve, Understated


class Told:
    """A denoiser that notes the levels it is told."""

    levels: Any = None

    def __init__(self) -> None:
        self.sigmas: list[float] = []

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        self.sigmas.append(float(sigma))
        return x

    def with_uncond(self, x: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self(x, sigma), x


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"amount": 1.0, "start": 0.0, "end": 1.0, "smooth": False}, [0, 0.5, 1, 0.5, 0]),
        ({"amount": 1.0, "start": 0.0, "end": 1.0}, [0, 0.5, 1, 0.5, 0]),
        ({"amount": 1.0, "start": 0.0, "end": 1.0, "exponent": 2.0, "smooth": False}, [0, 0.25, 1, 0.25, 0]),
        ({"amount": 0.5, "start": 0.25, "end": 0.75, "start_offset": 0.1, "end_offset": -0.1}, [0.1, 0.1, 0.5, -0.1, -0.1]),
        ({"amount": 1.0, "start": 0.0, "end": 1.0, "bias": 0.0, "smooth": False}, [1, 0.75, 0.5, 0.25, 0]),
        ({"amount": 1.0, "start": 0.5, "end": 0.5, "fade": 0.5}, [0, 0, 0.5, 0, 0]),
    ],
)  # fmt: skip
def test_the_curve_rises_to_the_amount_and_falls_again(options: dict[str, Any], wanted: list[float]) -> None:
    assert DetailCurve(**options).values(5) == pytest.approx(wanted)


def test_levels_are_lowered_by_the_curve_and_straight_between_steps() -> None:
    sigmas, told = [10.0, 6.0, 4.0, 1.0, 0.0], Told()
    lowered = Understated(told, sigmas, [0.0, 1.0, 0.5, 0.0], strength=2.0)
    x = torch.zeros(1)
    for level in (10.0, 6.0, 4.0, 1.0, 8.0, 0.5, 11.0):
        lowered(x, torch.tensor(level))
    assert told.sigmas == pytest.approx([10, 6 * 0.8, 4 * 0.9, 1, 8 * 0.9, 0.5, 11])
