"""Stochastic Adams solver, predictor-corrector (Xue et al. 2023, arXiv:2309.05019).

Written for alpha = 1, where lambda = -log sigma.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

from torch import Tensor

from .base import Callback, Denoiser, Step, StepNoise, weights_from_moments


def sa_solver(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    eta: float = 1.0,
    s_noise: float = 1.0,
    start: float = 0.2,
    end: float = 0.8,
    predictor_order: int = 3,
    corrector_order: int = 4,
    pece: bool = False,
    simple_second_order: bool = False,
) -> Tensor:
    """Predict, evaluate, correct (algorithm 1 of the paper); with `pece` evaluate once more after correcting.

    Noise (tau = eta) is added between the shares `start` and `end` of sampling, tau = 0 outside, as the authors do
    for latent models. The order falls towards the last step; a corrector of order 0 corrects nothing.
    `simple_second_order` takes the first term of the series of h for the second-order weight, as the authors' code
    may, which leaves the order of convergence as it is.
    """
    levels: list[float] = sigmas.tolist()
    lambdas = [-math.log(level) if level > 0 else math.inf for level in levels]
    quiet_below, quiet_above = (
        denoise.levels.percent_to_sigma(p) for p in (end, start)
    )
    to_zero = levels[-1] == 0
    last = len(levels) - 1
    predictions: list[Tensor] = []
    predicted = before = x
    added: Tensor | None = None
    tau, decay = 0.0, 1.0
    for i in range(last):
        denoised = denoise(predicted, sigmas[i])
        callback(Step(i, predicted, sigmas[i], denoised))
        predictions = [*predictions, denoised][-max(predictor_order, corrector_order) :]
        ends_now = levels[i + 1] == 0
        x = predicted
        if i > 0 and corrector_order > 0 and (pece or not ends_now):
            order = min(
                corrector_order, len(predictions), last - i if to_zero else last
            )
            weights = _adams_weights(
                lambdas[i - order + 1 : i + 1],
                lambdas[i - 1],
                lambdas[i],
                tau,
                simple=simple_second_order,
            )
            x = _advance(before, decay, weights, predictions, added)
            if pece:
                denoised = denoise(x, sigmas[i])
                predictions[-1] = denoised
        if ends_now:
            return denoised
        before = x
        tau = eta if quiet_below <= levels[i + 1] <= quiet_above else 0.0
        order = min(
            predictor_order, len(predictions), last - 1 - i if to_zero else last
        )
        h = lambdas[i + 1] - lambdas[i]
        decay = math.exp(-(1 + tau**2) * h)
        weights = _adams_weights(
            lambdas[i - order + 1 : i + 1],
            lambdas[i],
            lambdas[i + 1],
            tau,
            simple=simple_second_order,
        )
        added = None
        if tau > 0 and s_noise > 0:
            spread = levels[i + 1] * math.sqrt(-math.expm1(-2 * tau**2 * h))
            added = noise(sigmas[i], sigmas[i + 1]) * spread * s_noise
        predicted = _advance(before, decay, weights, predictions, added)
    return predicted


sa_solver_pece = functools.partial(sa_solver, pece=True)


def _advance(
    x: Tensor,
    decay: float,
    weights: Sequence[float],
    predictions: Sequence[Tensor],
    added: Tensor | None,
) -> Tensor:
    x = decay * x
    for weight, prediction in zip(
        reversed(weights), reversed(predictions), strict=False
    ):
        x = x + weight * prediction
    return x if added is None else x + added


def _adams_weights(
    nodes: Sequence[float],
    start: float,
    end: float,
    tau: float,
    *,
    simple: bool = False,
) -> list[float]:
    """Weights of the predictions at `nodes` for the step from lambda = start to end (the paper's equation 16).

    w_j is the integral of rate * exp(-rate (end - s)) L_j(s) with rate = 1 + tau^2; its moments are those of
    exp(u) over u = rate (s - end) from -h to 0.
    """
    rate = 1 + tau**2
    h = rate * (end - start)
    moments = [-math.expm1(-h)]
    for k in range(1, len(nodes)):
        moments.append(-((-h) ** k) * math.exp(-h) - k * moments[-1])
    if simple and len(nodes) == 2:
        # the moment about the step's start, h - (1 - exp(-h)), becomes h^2 / 2
        moments[1] = h * h / 2 - h * moments[0]
    return weights_from_moments([rate * (node - end) for node in nodes], moments)
