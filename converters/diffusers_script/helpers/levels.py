"""Noise levels that are made without a model, or from its training levels, and changed."""
# mypy: ignore-errors

import math
from itertools import pairwise

import torch
from .schedules import at_timesteps, then_zero

ALIGN_YOUR_STEPS = {
    "sd": [999, 850, 736, 645, 545, 455, 343, 233, 124, 24, 0],
    "sdxl": [999, 845, 730, 587, 443, 310, 193, 116, 53, 13, 0],
}


def karras_levels(steps, sigma_max=14.614642, sigma_min=0.0291675, rho=7.0):
    """Even steps in sigma^(1/rho) (Karras et al. 2022), then none."""
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return then_zero((high + torch.linspace(0, 1, steps) * (low - high)) ** rho)


def exponential_levels(steps, sigma_max=14.614642, sigma_min=0.0291675):
    """Even steps in log sigma, then none."""
    ends = math.log(sigma_max), math.log(sigma_min)
    return then_zero(torch.linspace(*ends, steps).exp())


def polyexponential_levels(steps, sigma_max=14.614642, sigma_min=0.0291675, rho=1.0):
    """Steps that are a polynomial in log sigma, then none."""
    ramp, low = torch.linspace(1, 0, steps) ** rho, math.log(sigma_min)
    return then_zero(torch.exp(ramp * (math.log(sigma_max) - low) + low))


def laplace_levels(steps, sigma_max=14.614642, sigma_min=0.0291675, mu=0.0, beta=0.5):
    """Quantiles of a Laplace distribution of log sigma (Hang et al. 2024)."""
    off = 0.5 - torch.linspace(0, 1, steps)
    logs = mu - beta * torch.sign(off) * torch.log(1 - 2 * torch.abs(off) + 1e-5)
    return torch.clamp(torch.exp(logs), min=sigma_min, max=sigma_max)


def vp_levels(steps, beta_d=19.9, beta_min=0.1, eps_s=0.001):
    """Even steps in time of the variance-preserving process (Song et al. 2021)."""
    t = torch.linspace(1, eps_s, steps)
    return then_zero(torch.sqrt(torch.expm1(beta_d * t**2 / 2 + beta_min * t)))


def turbo_levels(levels, steps, strength=1.0):
    """The first of ten even times, then none (Sauer et al. 2023)."""
    start = 10 - int(10 * strength)
    times = torch.arange(10, 0, -1) * 100 - 1
    return then_zero(at_timesteps(levels, times[start : start + steps].float()))


def stable_diffusion_levels():
    """Noise levels of the timesteps that Stable Diffusion was trained on, ascending."""
    root = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64)
    alphas = torch.cumprod(1 - root**2, dim=0)
    return ((1 - alphas) / alphas).sqrt()


def align_your_steps(levels, variant, steps=10, strength=1.0):
    """An optimised schedule (Sabour et al. 2024), then none; its last share."""
    logs = levels[ALIGN_YOUR_STEPS[variant]].log()
    place = torch.arange(steps, dtype=torch.float64) * (len(logs) - 1) / steps
    low = place.floor().long()
    made = then_zero(torch.lerp(logs[low], logs[low + 1], place.frac()).exp())
    taken = round(steps * strength)
    return made[-(taken + 1) :] if taken else torch.zeros(0)


def sigma_at(levels, percent, actual=False):
    """Noise level at a share of the way from noise to picture.

    At both ends infinity and zero, or with ``actual`` the highest and lowest level.
    """
    if not 0 < percent < 1 and not actual:
        return 999999999.9 if percent <= 0 else 0.0
    return float(at_timesteps(levels, torch.tensor((1 - percent) * (len(levels) - 1))))


def split_at_strength(sigmas, strength):
    """Two parts of a schedule of which the second has a share of the steps."""
    steps = max(len(sigmas) - 1, 0)
    step = steps - round(steps * strength)
    return sigmas[: step + 1], sigmas[step:]


def flip_levels(sigmas):
    """A schedule turned round, from a picture to noise; it begins above zero."""
    flipped = sigmas.flip(0)
    if len(flipped) and float(flipped[0]) == 0:
        flipped[0] = 1e-4
    return flipped


def with_first_level(sigmas, sigma):
    """A schedule that begins at another level."""
    values = sigmas.clone()
    values[0] = sigma
    return values


def extend_levels(sigmas, steps=2, start_sigma=-1.0, end_sigma=12.0, spacing="linear"):
    """A schedule with each step between two levels cut into several."""
    high = math.inf if start_sigma < 0 else start_sigma
    part = torch.linspace(0, 1, steps + 1)[:-1]
    if spacing == "cosine":
        part = torch.sin(part * math.pi / 2)
    elif spacing == "sine":
        part = 1 - torch.cos(part * math.pi / 2)
    pieces = []
    for sigma, following in pairwise(sigmas):
        inside = end_sigma <= float(sigma) <= high
        cut = sigma + part * (following - sigma)
        pieces.append(cut if inside else sigma.reshape(1))
    return torch.cat([*pieces, sigmas[-1:]])
