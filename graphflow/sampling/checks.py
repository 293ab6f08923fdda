"""What samplers and schedules refuse; scripts carry the functions without these decorators."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import ParamSpec

from torch import Tensor

from .errors import SamplingError

_P = ParamSpec("_P")


def finite_levels(make: Callable[_P, Tensor]) -> Callable[_P, Tensor]:
    """Have a schedule refuse settings whose noise levels are no numbers.

    Raises:
        SamplingError: Some level is infinite, or a power on the way has no place in a float.
    """

    @wraps(make)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> Tensor:
        try:
            sigmas = make(*args, **kwargs)
        except OverflowError:
            rho = signature(make).bind(*args, **kwargs).arguments.get("rho")
            raise SamplingError(f"rho {rho} is too small", where="rho", advice="7 is usual") from None
        if not sigmas.isfinite().all():
            raise SamplingError("these settings make noise levels that are not finite", advice="take less extreme ones")
        return sigmas

    return checked


def reachable_tolerance(run: Callable[_P, Tensor]) -> Callable[_P, Tensor]:
    """Have a sampler with adaptive steps refuse tolerances that no step satisfies.

    Raises:
        SamplingError: They make the steps vanish.
    """

    @wraps(run)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> Tensor:
        try:
            return run(*args, **kwargs)
        except ArithmeticError as error:
            raise SamplingError(str(error), advice="raise rtol or atol, or lower accept_safety") from None

    return checked
