"""Stochastic Adams solver, predictor-corrector (Xue et al. 2023, arXiv:2309.05019).

Written for alpha = 1, where lambda = -log sigma.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from torch import Tensor

from .base import Callback, Denoiser, Step, StepNoise

_Floats = npt.NDArray[np.float64]


def sa_solver(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    eta: float = 1.0,
    s_noise: float = 1.0,
    predictor_order: int = 3,
    corrector_order: int = 4,
    pece: bool = False,
) -> Tensor:
    """Predict, evaluate, correct (algorithm 1 of the paper); with `pece` evaluate once more after correcting.

    Noise (tau = eta) is added between 20 % and 80 % of sampling, tau = 0 outside, as the authors do for
    latent models. The order falls towards the last step.
    """
    levels = sigmas.double().cpu().numpy()
    lambdas = -np.log(np.where(levels > 0, levels, 1.0))
    noisy = [denoise.model_sampling.percent_to_sigma(p) for p in (0.8, 0.2)]
    to_zero = bool(sigmas[-1] == 0)
    last = len(sigmas) - 1
    predictions: list[Tensor] = []
    predicted, tau, decay, added = x, 0.0, 1.0, x.new_zeros(())
    for i in range(last):
        denoised = denoise(predicted, sigmas[i])
        callback(Step(i, predicted, sigmas[i], denoised))
        predictions = [*predictions[1 - max(predictor_order, corrector_order) :], denoised]
        ends_now = bool(sigmas[i + 1] == 0)
        order = 0 if i == 0 or (ends_now and not pece) else min(corrector_order, len(predictions))
        if to_zero:
            order = min(order, last - i)
        x = predicted
        if order:
            weights = _adams_weights(lambdas[i - order + 1 : i + 1], lambdas[i - 1], lambdas[i], tau)
            x = decay * before + _combine(weights, predictions) + added
            if pece:
                denoised = denoise(x, sigmas[i])
                predictions[-1] = denoised
        if ends_now:
            return denoised
        before = x
        tau = eta if noisy[0] <= levels[i + 1] <= noisy[1] else 0.0
        order = min(predictor_order, len(predictions))
        if to_zero:
            order = min(order, last - 1 - i)
        h = lambdas[i + 1] - lambdas[i]
        decay = float(np.exp(-(1 + tau**2) * h))
        weights = _adams_weights(lambdas[i - order + 1 : i + 1], lambdas[i], lambdas[i + 1], tau)
        added = x.new_zeros(())
        if tau > 0 and s_noise > 0:
            spread = float(levels[i + 1] * np.sqrt(-np.expm1(-2 * tau**2 * h)))
            added = noise(sigmas[i], sigmas[i + 1]) * spread * s_noise
        predicted = decay * before + _combine(weights, predictions) + added
    return predicted


sa_solver_pece = functools.partial(sa_solver, pece=True)


def _combine(weights: _Floats, predictions: list[Tensor]) -> Tensor:
    used = predictions[len(predictions) - len(weights) :]
    total = used[0] * float(weights[0])
    for weight, prediction in zip(weights[1:], used[1:], strict=True):
        total = total + prediction * float(weight)
    return total


def _adams_weights(nodes: _Floats, start: float, end: float, tau: float) -> _Floats:
    """Weights of the predictions at `nodes` for the step from lambda = start to end (the paper's equation 16).

    w_j = rate * integral of exp(-rate (end - s)) L_j(s) ds with rate = 1 + tau^2, found from the moments:
    weights that are exact for 1, s, s^2, ... are exact for every polynomial through the nodes.
    """
    rate = 1 + tau**2
    h = rate * (end - start)
    # moments of u = rate (s - end) in [-h, 0] under exp(u) du
    moments = [-np.expm1(-h)]
    for k in range(1, len(nodes)):
        moments.append(-((-h) ** k) * np.exp(-h) - k * moments[-1])
    u = rate * (nodes - end)
    return np.linalg.solve(np.vander(u, increasing=True).T, np.array(moments))
