"""Noise levels of a model, as schedules and samplers see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

ZERO_SNR_ALPHA_BAR = 4.8973451890853435e-08
"""Squared signal level that stands for 0 at the end of a zero-terminal-SNR model: sigma = 4518.8."""

BEFORE_THE_START = 999999999.9
"""Noise level of "0 % of sampling": above every level a model has."""


class Levels:
    """Noise levels of a model whose noisy latents are x = clean + sigma * noise.

    Args:
        sigmas: (T,) ascending, one per training timestep, best in double precision.

    Attributes:
        sigmas: the same in float32.
        log_sigmas: (T,) float32, their logarithms, rounded once.
    """

    def __init__(self, sigmas: Tensor) -> None:
        self.sigmas, self.log_sigmas = sigmas.float(), sigmas.log().float()

    @property
    def is_flow(self) -> bool:
        """Whether noisy latents are (1 - sigma) * clean + sigma * noise instead."""
        return False

    @property
    def sigma_min(self) -> Tensor:
        """Lowest noise level, scalar float32."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """Highest noise level, scalar float32."""
        return self.sigmas[-1]

    def timestep(self, sigma: Tensor) -> Tensor:
        """The nearest training steps in log sigma to noise levels of any shape; of two as near, the lower one.

        Halfway between two, rounding decides: logarithms are rounded once, so every processor decides alike.
        """
        logs = sigma.cpu().double().log().float().reshape(1, -1)
        distance = (logs - self.log_sigmas[:, None]).abs()
        return distance.argmin(dim=0).reshape(sigma.shape).to(sigma.device)

    def sigma(self, timestep: Tensor) -> Tensor:
        """The noise level at fractional timesteps, linear in log sigma between steps, rounded once as well."""
        logs = self.log_sigmas
        t = timestep.cpu().float().clamp(0, len(logs) - 1)
        low, high, weight = t.floor().long(), t.ceil().long(), t.frac()
        log_sigma = (1 - weight) * logs[low] + weight * logs[high]
        return log_sigma.double().exp().float().to(timestep.device)

    def percent_to_sigma(self, percent: float) -> float:
        """The noise level at a share of the way from pure noise to the picture."""
        if not 0.0 < percent < 1.0:
            return BEFORE_THE_START if percent <= 0.0 else 0.0
        return float(self.sigma(torch.tensor((1.0 - percent) * (len(self.sigmas) - 1))))

    def alpha(self, sigma: Tensor) -> Tensor:
        """Weight of the clean sample in x."""
        return torch.ones_like(sigma)

    def half_log_snr(self, sigma: Tensor) -> Tensor:
        """Lambda = log(alpha / sigma), in which exponential solvers are linear."""
        return -sigma.log()

    def sigma_at_half_log_snr(self, half_log_snr: Tensor) -> Tensor:
        """Inverse of `half_log_snr`."""
        return (-half_log_snr).exp()

    def noise_latent(self, sigma: Tensor, noise: Tensor, latent: Tensor) -> Tensor:
        """A latent brought to a noise level."""
        return noise * sigma + latent


def training_sigmas(config: Mapping[str, Any]) -> Tensor:
    """Noise levels of the training timesteps, ascending, in double precision.

    Args:
        config: A Diffusers `scheduler_config.json`; what it does not say is Stable Diffusion's. With
            `rescale_betas_zero_snr` the terminal signal-to-noise ratio is zero (Lin et al. 2023, arXiv:2305.08891).
    """
    steps = config.get("num_train_timesteps", 1000)
    low, high = config.get("beta_start", 0.00085), config.get("beta_end", 0.012)
    if config.get("trained_betas") is not None:
        betas = torch.as_tensor(config["trained_betas"], dtype=torch.float64)
    elif config.get("beta_schedule", "scaled_linear") == "scaled_linear":
        betas = torch.linspace(low**0.5, high**0.5, steps, dtype=torch.float64) ** 2
    else:
        betas = torch.linspace(low, high, steps, dtype=torch.float64)
    alphas = torch.cumprod(1 - betas, dim=0)
    if config.get("rescale_betas_zero_snr"):
        root = alphas.sqrt()
        alphas = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        alphas[-1] = ZERO_SNR_ALPHA_BAR
    return ((1 - alphas) / alphas).sqrt()
