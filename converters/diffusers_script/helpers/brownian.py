"""Brownian noise of the SDE samplers."""
# mypy: ignore-errors

import torch
import torchsde
from .noise import make_generators


class BrownianNoise:
    """Steps of a Brownian path over the noise levels, at unit variance."""

    def __init__(self, like, seed, sigmas, one_draw=False):
        low, high = float(sigmas[sigmas > 0].min()), float(sigmas.max())
        self.low, self.high = round(low, 6), round(high, 6)
        start, self.device = torch.zeros_like(like, device="cpu"), like.device
        parts = [start] if one_draw else start.split(1)
        seeds = [item.initial_seed() for item in make_generators(seed, len(parts))]
        self.trees = [
            torchsde.BrownianTree(low, part, high, entropy=item)
            for part, item in zip(parts, seeds, strict=True)
        ]

    def __call__(self, sigma, sigma_next):
        ends = sorted((float(sigma), float(sigma_next)))
        start, end = max(ends[0], self.low), min(ends[1], self.high)
        path = torch.cat([tree(start, end) for tree in self.trees]).to(self.device)
        sign = 1.0 if sigma < sigma_next else -1.0
        return sign * path / (sigma_next - sigma).abs().sqrt()
