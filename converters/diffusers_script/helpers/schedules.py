"""Noise levels."""
# mypy: ignore-errors

import math

import numpy as np
import torch
from scipy.special import betaincinv

ZERO_SNR_ALPHA_BAR = 4.8973451890853435e-08


def training_sigmas(config):
    """Noise levels of the training timesteps, ascending, in double precision."""
    steps, low, high = config.num_train_timesteps, config.beta_start, config.beta_end
    if config.trained_betas is not None:
        betas = torch.tensor(config.trained_betas, dtype=torch.float64)
    elif config.beta_schedule == "scaled_linear":
        betas = torch.linspace(low**0.5, high**0.5, steps, dtype=torch.float64) ** 2
    else:
        betas = torch.linspace(low, high, steps, dtype=torch.float64)
    alphas = torch.cumprod(1 - betas, dim=0)
    if config.get("rescale_betas_zero_snr"):
        root = alphas.sqrt()
        alphas = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        alphas[-1] = ZERO_SNR_ALPHA_BAR
    return ((1 - alphas) / alphas).sqrt()


def then_zero(sigmas):
    """Noise levels, then none."""
    return torch.cat([sigmas.float(), torch.zeros(1)])


def at_timesteps(levels, timesteps):
    """Noise levels at fractional timesteps, linear in their logarithm."""
    logs = levels.log().float()
    low, high, part = (
        timesteps.floor().long(),
        timesteps.ceil().long(),
        timesteps.frac(),
    )
    return ((1 - part) * logs[low] + part * logs[high]).exp()


def karras_sigmas(levels, steps):
    """Even steps in sigma^(1/7) (Karras et al. 2022)."""
    low, high = (float(level) ** (1 / 7) for level in levels[[0, -1]].float())
    return then_zero((high + torch.linspace(0, 1, steps) * (low - high)) ** 7)


def exponential_sigmas(levels, steps):
    """Even steps in log sigma."""
    low, high = (math.log(float(level)) for level in levels[[0, -1]].float())
    return then_zero(torch.linspace(high, low, steps).exp())


def simple_sigmas(levels, steps):
    """Every k-th training level, from the noisiest."""
    picked = [-(1 + int(index * len(levels) / steps)) for index in range(steps)]
    return then_zero(levels[picked])


def normal_sigmas(levels, steps):
    """Even steps in time, down to the lowest training level."""
    return then_zero(at_timesteps(levels, torch.linspace(len(levels) - 1, 0, steps)))


def sgm_uniform_sigmas(levels, steps):
    """Even steps in time, without the lowest training level."""
    timesteps = torch.linspace(len(levels) - 1, 0, steps + 1)[:-1]
    return then_zero(at_timesteps(levels, timesteps))


def ddim_uniform_sigmas(levels, steps):
    """Every k-th training level, from the cleanest."""
    return then_zero(levels[1 :: max(len(levels) // steps, 1)].flip(0))


def beta_sigmas(levels, steps, alpha=0.6, beta=0.6):
    """Times at quantiles of a Beta distribution (Lee et al. 2024)."""
    places = betaincinv(alpha, beta, 1 - np.linspace(0, 1, steps, endpoint=False))
    index = torch.from_numpy(np.rint(places * (len(levels) - 1)).astype(np.int64))
    return then_zero(levels[torch.unique_consecutive(index)])


def linear_quadratic_sigmas(levels, steps, threshold=0.025):
    """A few small even steps, then quadratic ones (Polyak et al. 2024)."""
    highest = levels[-1].float()
    if steps == 1:
        return torch.tensor([1.0, 0.0]) * highest
    linear = steps // 2
    quadratic = steps - linear
    slack = linear - threshold * steps
    a = slack / (linear * quadratic**2)
    b = threshold / linear - 2 * slack / quadratic**2
    done = [index * threshold / linear for index in range(linear)]
    rest = range(linear, steps)
    done += [a * index**2 + b * index + a * linear**2 for index in rest]
    return torch.tensor([1.0 - part for part in [*done, 1.0]]) * highest


def kl_optimal_sigmas(levels, steps):
    """Even steps in arctan sigma (Sabour et al. 2024)."""
    part = torch.arange(steps, dtype=torch.float32) / max(steps - 1, 1)
    low, high = torch.atan(levels[[0, -1]].float())
    return then_zero((part * low + (1 - part) * high).tan())


def last_levels(sigmas, steps):
    """The last steps of a longer schedule: sampling starts at less noise."""
    return sigmas[-(steps + 1) :]


def without_penultimate(sigmas):
    """Noise levels without the last one above zero, which this sampler leaves out."""
    return torch.cat([sigmas[:-2], sigmas[-1:]])


def down_to_zero(sigmas):
    """Noise levels whose last step goes all the way."""
    return then_zero(sigmas[:-1])
