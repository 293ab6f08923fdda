"""Samplers, made by tools/make_sampler_pieces.py from graphflow.sampling.samplers."""

# mypy: ignore-errors

import functools
import math
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor
from .denoiser import Denoiser


def steps_of(sigmas):
    """(index, sigma, sigma_next) of each step."""
    for i, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
        yield (i, sigma, sigma_next)


def derivative(x, sigma, denoised):
    """dx/dsigma of the probability flow ODE, (x - x0) / sigma; the same for flow models."""
    return (x - denoised) / sigma


@dataclass(frozen=True, slots=True)
class Ancestral:
    """How an ancestral step reaches sigma_next: down to `sigma_down`, then x * scale + noise * sigma_up."""

    sigma_down: Tensor
    sigma_up: Tensor
    scale: Tensor

    def renoise(self, x, sigma, sigma_next, noise, s_noise):
        """Add the noise of the step; nothing at the last one and where eta is 0."""
        if self.sigma_up == 0:
            return x
        return x * self.scale + noise(sigma, sigma_next) * s_noise * self.sigma_up


def ancestral_step(sigma, sigma_next, eta):
    """Split a step into a deterministic part and fresh noise with the right variance at its end.

    eta = 0 adds no noise, eta = 1 as much as ancestral sampling of DDPM does (Song et al. 2021,
    arXiv:2010.02502, equation 16). Flow models lower sigma by the same ratio once more and rescale,
    so that alpha = 1 - sigma still holds.
    """
    one = torch.ones_like(sigma)
    if eta == 0:
        return Ancestral(sigma_next, torch.zeros_like(sigma), one)
    up = torch.minimum(
        sigma_next, eta * (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2) ** 0.5
    )
    return Ancestral((sigma_next**2 - up**2) ** 0.5, up, one)


def negative_log(sigma):
    """The half log-SNR of a model with alpha = 1, t = -log sigma."""
    return sigma.log().neg()


def weights_from_moments(nodes, moments):
    """Weights w_j with sum_j w_j nodes_j^k = moments_k, for k below the number of nodes.

    A rule that is exact for 1, u, u^2, ... is exact for the polynomial through the nodes: this is how linear
    multistep methods get their weights.
    """
    powers = torch.vander(torch.tensor(nodes, dtype=torch.float64), increasing=True).T
    solved = torch.linalg.solve(
        powers, torch.tensor(moments, dtype=torch.float64)
    ).tolist()
    return solved


def euler(denoise, x, sigmas, noise=None):
    """Euler steps of the probability flow ODE (Karras et al. 2022, arXiv:2206.00364, algorithm 2 without churn).

    DDIM with eta = 0 (Song et al. 2021, arXiv:2010.02502) takes the same steps.
    """
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        x = x + derivative(x, sigma, denoised) * (sigma_next - sigma)
    return x


def euler_cfg_pp(denoise, x, sigmas, noise=None):
    """Euler steps that renoise with the unconditional prediction (Chung et al. 2024, CFG++, arXiv:2406.08070)."""
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = denoise.with_uncond(x, sigma)
        alpha, alpha_next = (1.0, 1.0)
        x = alpha_next * denoised + sigma_next * (x - alpha * uncond) / sigma
    return x


def euler_ancestral(denoise, x, sigmas, noise=None, *, eta=1.0, s_noise=1.0):
    """Euler steps with fresh noise after each (k-diffusion; eta = 1 is ancestral sampling of DDPM)."""
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        step = ancestral_step(sigma, sigma_next, eta)
        x = x + derivative(x, sigma, denoised) * (step.sigma_down - sigma)
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
    return x


def euler_ancestral_cfg_pp(denoise, x, sigmas, noise=None, *, eta=1.0, s_noise=1.0):
    """Ancestral Euler steps with CFG++ (arXiv:2406.08070)."""
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = denoise.with_uncond(x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        step = ancestral_step(sigma, sigma_next, eta)
        away = (x - uncond) / sigma
        x = denoised + step.sigma_down * away
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
    return x


def ddpm(denoise, x, sigmas, noise=None):
    """Ancestral sampling from the posterior q(x_s | x_t, x0) (Ho et al. 2020, arXiv:2006.11239, equation 7).

    With alpha = 1 its mean is a blend of x and x0 with weight (sigma_next / sigma)^2; flow models are
    brought to that form by dividing by alpha.
    """
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        alpha, alpha_next = (1.0, 1.0)
        ratio = (alpha * sigma_next / (alpha_next * sigma)) ** 2
        weight = alpha * sigma_next**2 / (alpha_next * sigma**2)
        spread = sigma_next * (1 - ratio).clamp(min=0).sqrt()
        x = (
            weight * x
            + alpha_next * (1 - ratio) * denoised
            + spread * noise(sigma, sigma_next)
        )
    return x


def lcm(denoise, x, sigmas, noise=None):
    """Multistep consistency sampling (Song et al. 2023, arXiv:2303.01469, algorithm 1), as LCM uses it.

    LCM: Luo et al. 2023, arXiv:2310.04378.
    """
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        x = denoised
        if sigma_next > 0:
            x = noise(sigma, sigma_next) * sigma_next + x
    return x


def gradient_estimation(denoise, x, sigmas, noise=None, *, gamma=2.0):
    """Euler steps along gamma * d + (1 - gamma) * d_before (Permenter and Yuan 2024, arXiv:2306.04848, algorithm 2)."""
    before = None
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        d = derivative(x, sigma, denoised)
        if sigma_next == 0:
            x = denoised
        else:
            mixed = d if before is None else gamma * d + (1 - gamma) * before
            x = x + mixed * (sigma_next - sigma)
        before = d
    return x


def gradient_estimation_cfg_pp(denoise, x, sigmas, noise=None, *, gamma=2.0):
    """Gradient estimation (arXiv:2306.04848) with the unconditional gradient of CFG++ (arXiv:2406.08070)."""
    before = None
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = denoise.with_uncond(x, sigma)
        d = derivative(x, sigma, uncond)
        if sigma_next == 0:
            x = denoised
        else:
            away = (x - uncond) / sigma
            x = denoised + away * sigma_next
            if before is not None:
                x = x + (gamma - 1) * (d - before) * (sigma_next - sigma)
        before = d
    return x


def heun(denoise, x, sigmas, noise=None):
    """Heun's second-order steps (Karras et al. 2022, arXiv:2206.00364, algorithm 1)."""
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        d = derivative(x, sigma, denoised)
        dt = sigma_next - sigma
        if sigma_next > 0:
            ahead = x + d * dt
            d = (d + derivative(ahead, sigma_next, denoise(ahead, sigma_next))) / 2
        x = x + d * dt
    return x


def heunpp2(denoise, x, sigmas, noise=None):
    """Heun++: the slopes at this and the next two levels, weighted by sigma / (n * sigmas[0]).

    A method of the community without a paper (Carzit, sd-webui-samplers-scheduler).
    """
    last = sigmas[-1]
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        d = derivative(x, sigma, denoised)
        dt = sigma_next - sigma
        if sigma_next == last:
            x = x + d * dt
            continue
        ahead = x + d * dt
        d_2 = derivative(ahead, sigma_next, denoise(ahead, sigma_next))
        sigma_after = sigmas[i + 2]
        if sigma_after == last:
            w_2 = sigma_next / (2 * sigmas[0])
            slope = d * (1 - w_2) + d_2 * w_2
        else:
            ahead = ahead + d_2 * (sigma_after - sigma_next)
            d_3 = derivative(ahead, sigma_after, denoise(ahead, sigma_after))
            w_2, w_3 = (sigma_next / (3 * sigmas[0]), sigma_after / (3 * sigmas[0]))
            slope = d * (1 - w_2 - w_3) + d_2 * w_2 + d_3 * w_3
        x = x + slope * dt
    return x


def dpm_2(denoise, x, sigmas, noise=None):
    """DPM-Solver-2 with its midpoint halfway in log sigma (Lu et al. 2022, arXiv:2206.00927; k-diffusion)."""
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        d = derivative(x, sigma, denoised)
        if sigma_next > 0:
            middle = _log_middle(sigma, sigma_next)
            halfway = x + d * (middle - sigma)
            d = derivative(halfway, middle, denoise(halfway, middle))
        x = x + d * (sigma_next - sigma)
    return x


def dpm_2_ancestral(denoise, x, sigmas, noise=None, *, eta=1.0, s_noise=1.0):
    """DPM-Solver-2 (arXiv:2206.00927) with fresh noise after each step (k-diffusion)."""
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        step = ancestral_step(sigma, sigma_next, eta)
        d = derivative(x, sigma, denoised)
        if step.sigma_down > 0:
            middle = _log_middle(sigma, step.sigma_down)
            halfway = x + d * (middle - sigma)
            d = derivative(halfway, middle, denoise(halfway, middle))
        x = x + d * (step.sigma_down - sigma)
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
    return x


def _log_middle(sigma, sigma_next):
    return torch.lerp(sigma.log(), sigma_next.log(), 0.5).exp()


_ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


def lms(denoise, x, sigmas, noise=None, *, order=4):
    """Adams-Bashforth on uneven steps (k-diffusion; Hairer, Norsett and Wanner 1993, chapter III.5)."""
    return _walk(denoise, x, sigmas, _lagrange_weights, order=order)


def ipndm(denoise, x, sigmas, noise=None):
    """Adams-Bashforth of order four with the weights of even steps (Zhang and Chen 2022, arXiv:2204.13902)."""
    return _walk(denoise, x, sigmas, _even_weights, order=4)


def ipndm_v(denoise, x, sigmas, noise=None):
    """Adams-Bashforth of order four with the weights for uneven steps as first published.

    The published weights (Zhou et al. 2024, arXiv:2312.00094, its code) deviate from the exact ones at
    orders three and four, and diverge on very uneven schedules; pictures made with this name need them.
    `lms` has the exact weights.
    """
    return _walk(denoise, x, sigmas, _published_weights, order=4)


def deis(denoise, x, sigmas, noise=None):
    """tAB-DEIS of order three: the slope is a polynomial in time (Zhang and Chen 2022, arXiv:2204.13902)."""
    return _walk(denoise, x, sigmas, _time_weights, order=3)


def _walk(denoise, x, sigmas, weights, order):
    levels = sigmas.tolist()
    slopes = []
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        slopes = [derivative(x, sigma, denoised), *slopes[: order - 1]]
        if sigma_next == 0:
            x = denoised
            continue
        used = weights(levels[i + 1 - len(slopes) : i + 2][::-1])
        for weight, slope in zip(used, slopes, strict=True):
            x = x + weight * slope
    return x


def _lagrange_weights(levels):
    """Integrals over the step of the Lagrange polynomials through the levels after the first."""
    end, start = (levels[0], levels[1])
    step = end - start
    nodes = [(level - start) / step for level in levels[1:]]
    moments = [1 / (k + 1) for k in range(len(nodes))]
    return [step * w for w in weights_from_moments(nodes, moments)]


def _even_weights(levels):
    step = levels[0] - levels[1]
    return [step * w for w in _ADAMS_BASHFORTH[len(levels) - 2]]


def _published_weights(levels):
    h, *before = (a - b for a, b in pairwise(levels))
    weights = [1.0]
    if len(before) >= 1:
        h1 = before[0]
        weights = [1 + h / h1 / 2, -h / h1 / 2]
    if len(before) >= 2:
        h2 = before[1]
        term = (1 - h / (3 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2
        weights = [weights[0] + term, weights[1] - (1 + h1 / h2) * term, term * h1 / h2]
    if len(before) >= 3:
        h3 = before[2]
        inner = (1 - h / (3 * (h + h1))) / 2 + (1 - h / (2 * (h + h1))) * h / (
            6 * (h + h1 + h2)
        )
        term = (
            inner * (h * (h + h1) * (h + h1 + h2)) / (h1 * (h1 + h2) * (h1 + h2 + h3))
        )
        q = h1 * (h1 + h2) / (h2 * (h2 + h3))
        weights = [
            weights[0] + term,
            weights[1] - (1 + h1 / h2 + q) * term,
            weights[2] + (h1 / h2 + q * (1 + h2 / h3)) * term,
            -term * q * h1 / h2,
        ]
    return [h * w for w in weights]


def _time_weights(levels, points=10000):
    """Integrals over the step, in time t, of dsigma/dt times the Lagrange polynomials.

    t belongs to the variance-preserving process that runs from sigma = 0.002 at t = 0.001 to sigma = 80
    at t = 1, and the integral is a sum over 10,000 points, both as published.
    """
    if len(levels) == 2:
        return [levels[0] - levels[1]]
    eps, low, high = (0.001, math.log(0.002**2 + 1), math.log(80.0**2 + 1))
    beta_d = 2 * (low / eps - high) / (eps - 1)
    beta_min = high - beta_d / 2
    end, *nodes = (
        (math.sqrt(beta_min**2 + 2 * beta_d * math.log(s**2 + 1)) - beta_min) / beta_d
        for s in levels
    )
    t = torch.linspace(nodes[0], end, points, dtype=torch.float64)
    variance = torch.expm1(beta_d * t**2 / 2 + beta_min * t)
    slope = (beta_d * t + beta_min) * (1 + variance) / variance.sqrt() / 2
    weights = []
    for node in nodes:
        polynomial = torch.ones_like(t)
        for other in nodes:
            if other != node:
                polynomial = polynomial * (t - other) / (node - other)
        weights.append(float((slope * polynomial).sum()) * (end - nodes[0]) / points)
    return weights


SUB_ORDERS = {0: [2, 1], 1: [1], 2: [2]}


SMALLEST_STEP = 0.0001


@dataclass
class _Interval:
    """One step from t to t_next; remembers the slopes so that lower and higher orders share them."""

    denoise: Denoiser
    x: Tensor
    t: Tensor
    t_next: Tensor
    slopes: dict[str, Tensor] = field(default_factory=dict)

    @property
    def h(self):
        return self.t_next - self.t

    def slope(self, key, x, t):
        if key not in self.slopes:
            sigma = t.neg().exp()
            self.slopes[key] = derivative(x, sigma, self.denoise(x, sigma))
        return self.slopes[key]

    def denoised(self):
        return self.x - self.t.neg().exp() * self.slope("start", self.x, self.t)

    def _euler(self, fraction):
        t = self.t + fraction * self.h
        return self.x - t.neg().exp() * (fraction * self.h).expm1() * self.slope(
            "start", self.x, self.t
        )

    def first(self):
        return self._euler(1.0)

    def second(self, r1=1 / 2):
        start, h = (self.slope("start", self.x, self.t), self.h)
        middle = self.slope(f"r{r1}", self._euler(r1), self.t + r1 * h)
        return self.first() - self.t_next.neg().exp() / (2 * r1) * h.expm1() * (
            middle - start
        )

    def third(self, r1=1 / 3, r2=2 / 3):
        start, h = (self.slope("start", self.x, self.t), self.h)
        one = self.slope(f"r{r1}", self._euler(r1), self.t + r1 * h)
        t_2 = self.t + r2 * h
        phi = (r2 * h).expm1() / (r2 * h) - 1
        x_2 = self._euler(r2) - t_2.neg().exp() * (r2 / r1) * phi * (one - start)
        two = self.slope(f"r{r2}", x_2, t_2)
        return self.first() - self.t_next.neg().exp() / r2 * (h.expm1() / h - 1) * (
            two - start
        )


def _range(sigmas):
    lowest = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
    return (negative_log(sigmas[0]), negative_log(lowest))


def dpm_fast(denoise, x, sigmas, noise=None):
    """DPM-Solver-fast: as many evaluations as the schedule has steps, on an even grid in log sigma."""
    t_start, t_end = _range(sigmas)
    evaluations = len(sigmas) - 1
    intervals = evaluations // 3 + 1
    rest = SUB_ORDERS[evaluations % 3]
    orders = [3] * (intervals - len(rest)) + rest
    grid = torch.linspace(float(t_start), float(t_end), intervals + 1)
    for i, order in enumerate(orders[-intervals:]):
        step = _Interval(denoise, x, grid[i], grid[i + 1])
        x = (
            step.first()
            if order == 1
            else step.second()
            if order == 2
            else step.third()
        )
    return x


@dataclass
class _StepSize:
    """Proportional-integral-derivative controller of the step length (k-diffusion)."""

    h: float
    exponents: tuple[float, float, float]
    accept_safety: float
    errors: tuple[float, float] | None = None

    @classmethod
    def make(cls, h, pcoeff, icoeff, dcoeff, order, accept_safety):
        exponents = (
            (pcoeff + icoeff + dcoeff) / order,
            -(pcoeff + 2 * dcoeff) / order,
            dcoeff / order,
        )
        return cls(h, exponents, accept_safety)

    def accepts(self, error):
        inverse = 1 / (error + 1e-08)
        before, earlier = self.errors or (inverse, inverse)
        factor = math.prod(
            (
                e**b
                for e, b in zip((inverse, before, earlier), self.exponents, strict=True)
            )
        )
        factor = 1 + math.atan(factor - 1)
        self.h *= factor
        accepted = factor >= self.accept_safety
        self.errors = (inverse, before) if accepted else (before, earlier)
        return accepted


STOCHASTIC_ORDER = 1.5


def dpm_adaptive(
    denoise,
    x,
    sigmas,
    noise=None,
    *,
    order=3,
    rtol=0.05,
    atol=0.0078,
    h_init=0.05,
    pcoeff=0.0,
    icoeff=1.0,
    dcoeff=0.0,
    accept_safety=0.81,
    eta=0.0,
    s_noise=1.0,
):
    """DPM-Solver-23 or -12: steps whose length follows the difference to the order below.

    Only the ends of the schedule matter. `atol` and `rtol` are the tolerated error per element, `h_init` is the first
    step in log sigma; `eta` above 0 adds fresh noise after each step.

    Raises:
        SamplingError: The tolerances make the steps vanish.
    """
    t_start, t_end = _range(sigmas)
    t, before = (t_start, x)
    size = _StepSize.make(
        h_init,
        pcoeff,
        icoeff,
        dcoeff,
        STOCHASTIC_ORDER if eta else order,
        accept_safety,
    )
    index = 0
    while t < t_end - 1e-05:
        if not size.h > SMALLEST_STEP:
            raise ValueError(
                f"dpm_adaptive finds no step that is accurate enough at sigma {float(t.neg().exp()):.4g}"
            )
        t_next = torch.minimum(t_end, t + size.h)
        sigma, sigma_next = (t.neg().exp(), t_next.neg().exp())
        t_down, sigma_up = (t_next, torch.zeros_like(t))
        if eta:
            down = ancestral_step(sigma, sigma_next, eta).sigma_down
            t_down = torch.minimum(t_end, negative_log(down))
            sigma_up = (sigma_next**2 - t_down.neg().exp() ** 2).clamp(min=0).sqrt()
        step = _Interval(denoise, x, t, t_down)
        low, high = (
            (step.first(), step.second())
            if order == 2
            else (step.second(1 / 3), step.third())
        )
        tolerance = torch.maximum(
            torch.tensor(atol), rtol * torch.maximum(low.abs(), before.abs())
        )
        error = torch.linalg.norm((low - high) / tolerance) / x.numel() ** 0.5
        if size.accepts(float(error)):
            before, x, t = (low, high, t_next)
            if sigma_up > 0:
                x = x + sigma_up * s_noise * noise(sigma, sigma_next)
        index += 1
    return x


def dpmpp_2m(denoise, x, sigmas, noise=None):
    """DPM-Solver++(2M): second order from the prediction of the step before; first order at the end."""
    before = None
    h_before = sigmas.new_zeros(())
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        h = negative_log(sigma_next) - negative_log(sigma)
        target = denoised
        if before is not None and sigma_next > 0:
            r = h_before / h
            target = (1 + 1 / (2 * r)) * denoised - 1 / (2 * r) * before
        x = sigma_next / sigma * x - (-h).expm1() * target
        before, h_before = (denoised, h)
    return x


def dpmpp_2m_cfg_pp(denoise, x, sigmas, noise=None):
    """DPM-Solver++(2M) with CFG++ (Chung et al. 2024, arXiv:2406.08070)."""
    before = None
    h_before = sigmas.new_zeros(())
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = denoise.with_uncond(x, sigma)
        h = negative_log(sigma_next) - negative_log(sigma)
        x = denoised + sigma_next / sigma * (x - uncond)
        if before is not None and sigma_next > 0:
            r = h_before / h
            x = x - (-h).expm1() * (1 / (2 * r)) * (denoised - before)
        before, h_before = (uncond, h)
    return x


def dpmpp_2s_ancestral(denoise, x, sigmas, noise=None, *, eta=1.0, s_noise=1.0):
    """DPM-Solver++(2S) with fresh noise after each step; the second evaluation is halfway in half log-SNR."""
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        step = ancestral_step(sigma, sigma_next, eta)
        middle = _middle(sigma, step.sigma_down)
        target = (
            denoised
            if middle is None
            else denoise(_towards(x, sigma, middle, denoised), middle)
        )
        x = _towards(x, sigma, step.sigma_down, target)
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
    return x


def dpmpp_2s_ancestral_cfg_pp(
    denoise, x, sigmas, noise=None, *, eta=1.0, s_noise=1.0, latest_uncond=True
):
    """Ancestral DPM-Solver++(2S) with CFG++ (arXiv:2406.08070): steps start from x + alpha (x0 - x0_uncond).

    Pictures made with this name come from an implementation that takes, for the whole step, the
    unconditional prediction of the second evaluation. `latest_uncond=False` takes the first one's, which
    belongs to x.
    """
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = denoise.with_uncond(x, sigma)
        step = ancestral_step(sigma, sigma_next, eta)
        target = denoised
        middle = _middle(sigma, step.sigma_down)
        if middle is not None:
            moved = x + (denoised - uncond)
            target, second_uncond = denoise.with_uncond(
                _towards(moved, sigma, middle, denoised), middle
            )
            uncond = second_uncond if latest_uncond else uncond
        moved = x + (denoised - uncond)
        x = _towards(moved, sigma, step.sigma_down, target)
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
    return x


def _towards(x, sigma, sigma_next, target):
    """The exact solution from sigma to sigma_next where the prediction is constant; also for flow models."""
    ratio = sigma_next / sigma
    return ratio * x + (1 - ratio) * target


def _middle(sigma, sigma_next):
    """The level halfway in half log-SNR; None where the step ends at 0, and just below pure noise where it starts there."""
    if sigma_next == 0:
        return None
    return ((negative_log(sigma) + negative_log(sigma_next)) / 2).neg().exp()


def dpmpp_sde(denoise, x, sigmas, noise=None, *, eta=1.0, s_noise=1.0, r=1 / 2):
    """DPM-Solver++ SDE: two evaluations a step, the second at the fraction `r` of the step in log sigma."""
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        t, t_next = (negative_log(sigma), negative_log(sigma_next))
        start, middle, end = (sigma, (t + (t_next - t) * r).neg().exp(), sigma_next)

        def towards(target, prediction, x=x, start=start):
            step = ancestral_step(start, target, eta)
            t, t_down = (negative_log(start), negative_log(step.sigma_down))
            moved = t_down.neg().exp() / start * x - (t - t_down).expm1() * prediction
            return step.renoise(moved, start, target, noise, s_noise)

        second = denoise(towards(middle, denoised), middle)
        weight = 1 / (2 * r)
        x = towards(end, (1 - weight) * denoised + weight * second)
    return x


def dpmpp_2m_sde(
    denoise, x, sigmas, noise=None, *, eta=1.0, s_noise=1.0, solver="midpoint"
):
    """DPM-Solver++(2M) SDE: second-order multistep with fresh noise."""
    before = None
    h_before = sigmas.new_zeros(())
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        h = negative_log(sigma_next) - negative_log(sigma)
        h_eta = h * (eta + 1)
        x = (
            sigma_next / sigma * (-h * eta).exp() * x
            + (-h_eta).expm1().neg() * denoised
        )
        if before is not None:
            weight = (-h_eta).expm1().neg()
            weight = 0.5 * weight if solver == "midpoint" else weight / -h_eta + 1
            x = x + weight * (h / h_before) * (denoised - before)
        if eta > 0 and s_noise > 0:
            x = (
                x
                + noise(sigma, sigma_next)
                * sigma_next
                * (-2 * h * eta).expm1().neg().sqrt()
                * s_noise
            )
        before, h_before = (denoised, h)
    return x


dpmpp_2m_sde_heun = functools.partial(dpmpp_2m_sde, solver="heun")


def dpmpp_3m_sde(denoise, x, sigmas, noise=None, *, eta=1.0, s_noise=1.0):
    """DPM-Solver++(3M) SDE: third-order multistep with fresh noise."""
    history = []
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        h = negative_log(sigma_next) - negative_log(sigma)
        h_eta = h * (eta + 1)
        x = (-h_eta).exp() * x + (-h_eta).expm1().neg() * denoised
        phi_2 = (-h_eta).expm1() / h_eta + 1
        if len(history) == 2:
            (one, h_1), (two, h_2) = history
            r_0, r_1 = (h_1 / h, h_2 / h)
            d1_0, d1_1 = ((denoised - one) / r_0, (one - two) / r_1)
            d1 = d1_0 + (d1_0 - d1_1) * r_0 / (r_0 + r_1)
            d2 = (d1_0 - d1_1) / (r_0 + r_1)
            x = x + phi_2 * d1 - (phi_2 / h_eta - 0.5) * d2
        elif history:
            one, h_1 = history[0]
            x = x + phi_2 * (denoised - one) / (h_1 / h)
        if eta > 0 and s_noise > 0:
            x = (
                x
                + noise(sigma, sigma_next)
                * sigma_next
                * (-2 * h * eta).expm1().neg().sqrt()
                * s_noise
            )
        history = [(denoised, h), *history[:1]]
    return x


def er_sde(
    denoise,
    x,
    sigmas,
    noise=None,
    *,
    solver="er_sde",
    eta=1.0,
    s_noise=1.0,
    order=3,
    points=200,
):
    """Taylor steps up to third order, in one of the paper's families of stochastic processes.

    Their noise scale is sigma * (exp(sigma^0.3) + 10) for `er_sde` ("SDE 5" of the paper), sigma^(1 + eta) for the
    reverse-time SDE with `eta` times its usual noise variance, and sigma for the ODE, which has none. The integrals of
    1 / scale are sums over `points` points. Written for alpha = 1.
    """
    scale = (
        _extended_scale
        if solver == "er_sde"
        else _power_scale(eta if solver == "reverse_time_sde" else 0.0)
    )
    fraction = torch.arange(points, dtype=torch.float32, device=sigmas.device) / points
    x0_before = slope_before = x
    for i, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            return denoised
        ratio = scale(sigma_next) / scale(sigma)
        moved = ratio * x + (1 - ratio) * denoised
        dt = sigma_next - sigma
        levels = sigma_next - fraction * dt
        slope = torch.zeros_like(x)
        if i >= 1 and order >= 2:
            slope = (denoised - x0_before) / (sigma - sigmas[i - 1])
            integral = torch.sum(1 / scale(levels)) * (-dt / points)
            moved = moved + (dt + integral * scale(sigma_next)) * slope
        if i >= 2 and order >= 3:
            curvature = (slope - slope_before) / ((sigma - sigmas[i - 2]) / 2)
            integral = torch.sum((levels - sigma) / scale(levels)) * (-dt / points)
            moved = moved + (dt**2 / 2 + integral * scale(sigma_next)) * curvature
        spread = (sigma_next**2 - sigma**2 * ratio**2).clamp(min=0).sqrt()
        x = (
            moved
            if spread == 0 or s_noise == 0
            else moved + noise(sigma, sigma_next) * s_noise * spread
        )
        x0_before, slope_before = (denoised, slope)
    return x


def _extended_scale(sigma):
    return sigma * ((sigma**0.3).exp() + 10.0)


def _power_scale(eta):
    return lambda sigma: sigma ** (1.0 + eta)


def _res_multistep(denoise, x, sigmas, noise=None, *, eta, cfg_pp, s_noise=1.0):
    """Second-order multistep with phi functions; order conditions of the paper's table 1.

    With `cfg_pp` (Chung et al. 2024, arXiv:2406.08070) the step starts from x + x0 - x0_uncond and
    moves along the unconditional predictions.
    """
    before = None
    t_before = t_reached = sigmas.new_zeros(())
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised, uncond = (
            denoise.with_uncond(x, sigma) if cfg_pp else (denoise(x, sigma),) * 2
        )
        step = ancestral_step(sigma, sigma_next, eta)
        t = negative_log(sigma)
        if before is None or step.sigma_down == 0:
            away = (x - uncond) / sigma
            x = denoised + step.sigma_down * away
        else:
            h = negative_log(step.sigma_down) - t
            c_2 = (t_before - t_reached) / h
            phi_1 = torch.expm1(-h) / -h
            phi_2 = (phi_1 - 1) / -h
            x = x + (denoised - uncond) if cfg_pp else x
            x = (-h).exp() * x + h * (
                (phi_1 - phi_2 / c_2) * uncond + phi_2 / c_2 * before
            )
        x = step.renoise(x, sigma, sigma_next, noise, s_noise)
        before, t_before, t_reached = (uncond, t, negative_log(step.sigma_down))
    return x


res_multistep = functools.partial(_res_multistep, eta=0.0, cfg_pp=False)


res_multistep_cfg_pp = functools.partial(_res_multistep, eta=0.0, cfg_pp=True)


res_multistep_ancestral = functools.partial(_res_multistep, eta=1.0, cfg_pp=False)


res_multistep_ancestral_cfg_pp = functools.partial(_res_multistep, eta=1.0, cfg_pp=True)


def sa_solver(
    denoise,
    x,
    sigmas,
    noise=None,
    *,
    eta=1.0,
    s_noise=1.0,
    start=0.2,
    end=0.8,
    predictor_order=3,
    corrector_order=4,
    pece=False,
    simple_second_order=False,
):
    """Predict, evaluate, correct (algorithm 1 of the paper); with `pece` evaluate once more after correcting.

    Noise (tau = eta) is added between the shares `start` and `end` of sampling, tau = 0 outside, as the authors do
    for latent models. The order falls towards the last step; a corrector of order 0 corrects nothing.
    `simple_second_order` takes the first term of the series of h for the second-order weight, as the authors' code
    may, which leaves the order of convergence as it is.
    """
    levels = sigmas.tolist()
    lambdas = [-math.log(level) if level > 0 else math.inf for level in levels]
    quiet_below, quiet_above = (denoise.percent_to_sigma(p) for p in (end, start))
    to_zero = levels[-1] == 0
    last = len(levels) - 1
    predictions = []
    predicted = before = x
    added = None
    tau, decay = (0.0, 1.0)
    for i in range(last):
        denoised = denoise(predicted, sigmas[i])
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


def _advance(x, decay, weights, predictions, added):
    x = decay * x
    for weight, prediction in zip(
        reversed(weights), reversed(predictions), strict=False
    ):
        x = x + weight * prediction
    return x if added is None else x + added


def _adams_weights(nodes, start, end, tau, *, simple=False):
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
        moments[1] = h * h / 2 - h * moments[0]
    return weights_from_moments([rate * (node - end) for node in nodes], moments)


def seeds_2(denoise, x, sigmas, noise=None, *, eta=1.0, s_noise=1.0, r=1 / 2):
    """SEEDS-2 in data prediction: two evaluations a step, the second at the fraction `r` of it."""
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            return denoised
        part = _Substeps(sigma, sigma_next, (r,), eta, s_noise, noise)
        (middle,) = part.levels
        x_2 = part.decay(r) * x - part.expm1(r) * denoised + part.noise_until(0)
        second = denoise(x_2, middle)
        weight = 1 / (2 * r)
        target = (1 - weight) * denoised + weight * second
        x = part.decay(1) * x - part.expm1(1) * target + part.noise_until(1)
    return x


def seeds_3(
    denoise, x, sigmas, noise=None, *, eta=1.0, s_noise=1.0, r_1=1 / 3, r_2=2 / 3
):
    """SEEDS-3 in data prediction: three evaluations a step, at the fractions 0, `r_1` and `r_2` of it."""
    for _, sigma, sigma_next in steps_of(sigmas):
        denoised = denoise(x, sigma)
        if sigma_next == 0:
            return denoised
        part = _Substeps(sigma, sigma_next, (r_1, r_2), eta, s_noise, noise)
        first, middle = part.levels
        x_2 = part.decay(r_1) * x - part.expm1(r_1) * denoised + part.noise_until(0)
        second = denoise(x_2, first)
        x_3 = part.decay(r_2) * x - part.expm1(r_2) * denoised
        x_3 = (
            x_3
            + r_2 / r_1 * part.phi_2(r_2) * (second - denoised)
            + part.noise_until(1)
        )
        third = denoise(x_3, middle)
        x = part.decay(1) * x - part.expm1(1) * denoised
        x = x + 1 / r_2 * part.phi_2(1) * (third - denoised) + part.noise_until(2)
    return x


class _Substeps:
    """The levels within one step, and the noise of the SDE between them."""

    def __init__(self, sigma, sigma_next, fractions, eta, s_noise, noise):
        self.h = negative_log(sigma_next) - negative_log(sigma)
        self.eta = eta
        self.fractions = (*fractions, 1.0)
        self.sigma = sigma
        self.levels = [self._level(f) for f in fractions]
        ends = [sigma, *self.levels, sigma_next]
        self.draws = (
            [noise(a, b) * s_noise for a, b in pairwise(ends)] if eta > 0 else []
        )

    def _level(self, fraction):
        return self.sigma * (-fraction * self.h).exp()

    def decay(self, fraction):
        """How much of x is left after `fraction` of the step."""
        return (-fraction * self.h * (1 + self.eta)).exp()

    def expm1(self, fraction):
        return (-fraction * self.h * (1 + self.eta)).expm1()

    def phi_2(self, fraction):
        return self.expm1(fraction) / (fraction * self.h * (1 + self.eta)) + 1

    def noise_until(self, end):
        """Noise of the SDE from the start of the step to the end of its part `end`.

        What was drawn in an earlier part has decayed; together the parts have variance
        sigma^2 (1 - exp(-2 eta h)) at each end.
        """
        if not self.draws:
            return 0.0
        rate = 2 * self.eta * self.h
        at = self.fractions[end]
        total = 0.0
        start = 0.0
        for fraction, draw in zip(self.fractions[: end + 1], self.draws, strict=False):
            share = (-(at - fraction) * rate).exp() - (-(at - start) * rate).exp()
            total = total + share.sqrt() * draw
            start = fraction
        return self._level(at) * total


SIGMA_END = 0.001


def _uni_pc(denoise, x, sigmas, noise=None, *, variant, order=3):
    """Multistep UniPC of the given order, lower in the first and last steps; no corrector in the last."""
    levels = (
        sigmas
        if sigmas[-1] > 0
        else torch.cat([sigmas[:-1], sigmas.new_tensor([SIGMA_END])])
    )
    steps = len(levels) - 1
    order = min(order, max(steps - 1, 1))
    predictions = [denoise(x, levels[0])]
    for i in range(1, steps + 1):
        used = min(order, i, steps + 1 - i)
        update = _Update(x, levels[i - used : i + 1], predictions[-used:], variant)
        x = update.predict()
        if i < steps:
            model_t = denoise(x, levels[i])
            x = update.correct(model_t)
            predictions = (
                [*predictions[1 - order :], model_t] if order > 1 else [model_t]
            )
    return x


class _Update:
    """One step from the level before the last of `sigmas` to the last, from the predictions before it."""

    def __init__(self, x, sigmas, predictions, variant):
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
        phi, factorial, rows = (torch.expm1(-h) / -h - 1, 1, [])
        for k in range(1, len(self.nodes) + 1):
            rows.append(phi * factorial / self.b_h)
            factorial *= k + 1
            phi = phi / -h - 1 / factorial
        self.right = torch.stack(rows)

    def _solve(self, count):
        """Coefficients rho for the first `count` nodes; 1/2 for a single one, as the paper simplifies."""
        if count == 1:
            return self.nodes.new_tensor([0.5])
        matrix = torch.vander(self.nodes[:count], increasing=True).T
        return torch.linalg.solve(matrix, self.right[:count])

    def _add(self, rhos, differences):
        x = self.base
        if differences:
            x = x - self.b_h * torch.stack(
                [r * d for r, d in zip(rhos, differences, strict=True)]
            ).sum(0)
        return x

    def predict(self):
        """UniP: from the predictions before this step."""
        count = len(self.differences)
        return self._add(self._solve(count), self.differences) if count else self.base

    def correct(self, model_t):
        """UniC: with the prediction at the end of this step too."""
        differences = [*self.differences, model_t - self.latest]
        return self._add(self._solve(len(differences)), differences)


uni_pc = functools.partial(_uni_pc, variant="bh1")


uni_pc_bh2 = functools.partial(_uni_pc, variant="bh2")
