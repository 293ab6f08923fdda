"""Unified predictor-corrector (Zhao et al. 2023, arXiv:2302.04867), in data prediction with B1(h) or B2(h).

Lambda is -log sigma for every model, as in the multistep DPM-Solver++ here: x0 enters the equations alone, so they hold
for flow models too.
"""

from __future__ import annotations

import functools
from typing import Literal

import torch
from torch import Tensor

from .base import Callback, Denoiser, Step, StepNoise, negative_log

SIGMA_END = 0.001
"""Noise level at which sampling stops instead of 0, where lambda would be infinite."""


def _uni_pc(
    denoise: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    *,
    noise: StepNoise,
    callback: Callback,
    variant: Literal["bh1", "bh2"],
    order: int = 3,
) -> Tensor:
    """Multistep UniPC of the given order, lower in the first and last steps; no corrector in the last."""
    levels = (
        sigmas
        if sigmas[-1] > 0
        else torch.cat([sigmas[:-1], sigmas.new_tensor([SIGMA_END])])
    )
    steps = len(levels) - 1
    order = min(order, max(steps - 1, 1))
    predictions = [denoise(x, levels[0])]
    callback(Step(0, x, levels[0], predictions[0]))
    for i in range(1, steps + 1):
        used = min(order, i, steps + 1 - i)
        update = _Update(x, levels[i - used : i + 1], predictions[-used:], variant)
        x = update.predict()
        if i < steps:
            model_t = denoise(x, levels[i])
            callback(Step(i, x, levels[i], model_t))
            x = update.correct(model_t)
            predictions = (
                [*predictions[1 - order :], model_t] if order > 1 else [model_t]
            )
    if denoise.levels.is_flow and sigmas[-1] == 0:
        x = x / denoise.levels.alpha(levels[-1])
    return x


class _Update:
    """One step from the level before the last of `sigmas` to the last, from the predictions before it."""

    def __init__(
        self,
        x: Tensor,
        sigmas: Tensor,
        predictions: list[Tensor],
        variant: Literal["bh1", "bh2"],
    ) -> None:
        lambdas = negative_log(sigmas)
        h = lambdas[-1] - lambdas[-2]
        self.latest = predictions[-1]
        ratios = [(lam - lambdas[-2]) / h for lam in lambdas[:-2].flip(0)]
        self.differences = [
            (m - self.latest) / r
            for m, r in zip(predictions[-2::-1], ratios, strict=True)
        ]
        self.base = sigmas[-1] / sigmas[-2] * x - torch.expm1(-h) * self.latest
        self.b_h = -h if variant == "bh1" else torch.expm1(-h)
        self.nodes = torch.stack([*ratios, torch.ones_like(h)])
        phi, factorial, rows = torch.expm1(-h) / -h - 1, 1, []
        for k in range(1, len(self.nodes) + 1):
            rows.append(phi * factorial / self.b_h)
            factorial *= k + 1
            phi = phi / -h - 1 / factorial
        self.right = torch.stack(rows)

    def _solve(self, count: int) -> Tensor:
        """Coefficients rho for the first `count` nodes; 1/2 for a single one, as the paper simplifies."""
        if count == 1:
            return self.nodes.new_tensor([0.5])
        matrix = torch.vander(self.nodes[:count], increasing=True).T
        return torch.linalg.solve(matrix, self.right[:count])

    def _add(self, rhos: Tensor, differences: list[Tensor]) -> Tensor:
        x = self.base
        if differences:
            x = x - self.b_h * torch.stack(
                [r * d for r, d in zip(rhos, differences, strict=True)]
            ).sum(0)
        return x

    def predict(self) -> Tensor:
        """UniP: from the predictions before this step."""
        count = len(self.differences)
        return self._add(self._solve(count), self.differences) if count else self.base

    def correct(self, model_t: Tensor) -> Tensor:
        """UniC: with the prediction at the end of this step too."""
        differences = [*self.differences, model_t - self.latest]
        return self._add(self._solve(len(differences)), differences)


uni_pc = functools.partial(_uni_pc, variant="bh1")
uni_pc_bh2 = functools.partial(_uni_pc, variant="bh2")
