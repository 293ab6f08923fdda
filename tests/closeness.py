"""How far numbers may be apart that another processor, another count of threads or another path rounds differently.

Tests ask for equal bits only where they are promised: the same plan on the same machine in the same circumstances,
copies, round trips, and arithmetic that rounds nothing (selection, sign, whole numbers, powers of two). All other
numbers are compared here.
"""

from __future__ import annotations

import torch
from torch import Tensor

UNITS = 32
"""Units in the last place that rounding may add up to in a schedule or a small network: the width of a processor's
vectors, the number of threads and where a tensor lies in memory choose the order in which numbers are added."""


def units_apart(found: Tensor, expected: Tensor, *, pointwise: bool = False) -> float:
    """Return the largest difference, in units in the last place of what is expected.

    Args:
        found: Of any shape.
        expected: Of the same shape.
        pointwise: Measure each number in its own units, as suits schedules, whose ends lie far apart; otherwise in
            those of the largest number, as suits what was added up.
    """
    spacing = torch.finfo(expected.dtype)
    scale = expected.double().abs()
    scale = (scale if pointwise else scale.max()).clamp(min=spacing.tiny) * spacing.eps
    return float(((found.double() - expected.double()).abs() / scale).max())


def close(found: Tensor, expected: Tensor, *, pointwise: bool = False) -> bool:
    """Return whether a tensor is another one but for rounding: same shape, same dtype, within :data:`UNITS`."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    return expected.numel() == 0 or units_apart(found, expected, pointwise=pointwise) <= UNITS


def assert_close(found: Tensor, expected: Tensor, *, pointwise: bool = False) -> None:
    """Check that a tensor is another one but for rounding, and say how far it is from it where it is not."""
    assert found.shape == expected.shape, f"shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
    assert found.dtype == expected.dtype, f"{found.dtype}, expected {expected.dtype}"
    if expected.numel():
        apart = units_apart(found, expected, pointwise=pointwise)
        assert apart <= UNITS, f"{apart:.0f} units in the last place apart, {UNITS} are allowed"
