"""Schedulers of Diffusers on other noise levels, and some that keep a part of the latents."""
# mypy: ignore-errors

import numpy as np
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    DPMSolverSDEScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LMSDiscreteScheduler,
)
from diffusers.utils.torch_utils import randn_tensor

from graphflow.sampling.levels import Levels, training_sigmas

from .brownian import BrownianNoise


class ExactLevels:
    """Visits the noise levels of a schedule, each at the nearest training step."""

    schedule = None
    init_noise_sigma = 1.0
    growing = True  # whether noisy latents have a larger variance than clean ones

    def set_timesteps(self, num_inference_steps, device=None, *training):
        super().set_timesteps(num_inference_steps, device, *training)
        if self.schedule is None:
            return  # it is being made
        levels = Levels(training_sigmas(self.config))
        self.sigmas = self.schedule(levels, num_inference_steps)
        self.timesteps = levels.timestep(self.sigmas[:-1]).float().to(device)
        self.set_begin_index(0)
        first, scale = self.sigmas[0], (self.sigmas[0] ** 2 + 1) ** 0.5
        if first >= levels.sigmas[-1] * (1 - 1e-5):
            first = scale  # the highest level has the variance of training
        self.init_noise_sigma = first if self.growing else first / scale


class ExactEulerScheduler(ExactLevels, EulerDiscreteScheduler):
    """Euler's method on the noise levels of a schedule."""


class ExactMultistepScheduler(ExactLevels, DPMSolverMultistepScheduler):
    """DPM-Solver++ on the noise levels of a schedule."""

    growing = False


class ExactLmsScheduler(ExactLevels, LMSDiscreteScheduler):
    """Linear multistep whose last step, to no noise, is one of Euler's."""

    def step(self, model_output, timestep, sample, return_dict=True):
        known = self.step_index - self.begin_index + 1
        last = self.sigmas[self.step_index + 1] == 0
        return super().step(
            model_output,
            timestep,
            sample,
            order=1 if last else min(known, 4),
            return_dict=return_dict,
        )


class TwoEvaluations(ExactLevels):
    """Two evaluations a step, so that each level but the ends stands there twice."""

    def set_timesteps(self, num_inference_steps, device=None, *training):
        super().set_timesteps(num_inference_steps, device, *training)
        if self.schedule is None:
            return
        first, rest, last = self.sigmas[:1], self.sigmas[1:-1], self.sigmas[-1:]
        self.sigmas = torch.cat([first, rest.repeat_interleave(2), last])
        first, rest = self.timesteps[:1], self.timesteps[1:]
        self.timesteps = torch.cat([first, rest.repeat_interleave(2)])


class ExactHeunScheduler(TwoEvaluations, HeunDiscreteScheduler):
    """Heun's method on the noise levels of a schedule."""


class BrownianSteps:
    """The noise of steps is that of a Brownian path from the seed."""

    def path(self, sample, generator, now):
        """The path, which begins with the first step."""
        if now == self.begin_index:
            one_draw = not isinstance(generator, list)
            seed = (generator if one_draw else generator[0]).initial_seed()
            self.noise = BrownianNoise(sample, seed, self.sigmas[now:], one_draw)
        return self.noise


class ExactPairScheduler(BrownianSteps, TwoEvaluations, DPMSolverSDEScheduler):
    """Stochastic DPM-Solver++ whose second evaluation is halfway in log sigma."""

    def set_timesteps(self, num_inference_steps, device=None, *training):
        super().set_timesteps(num_inference_steps, device, *training)
        if self.schedule is None:
            return
        starts, ends = -self.sigmas.log().reshape(-1, 2).T
        self.middles = (starts + (ends - starts) / 2).neg().exp()
        nearest = Levels(training_sigmas(self.config)).timestep(self.middles[:-1])
        self.timesteps[1::2] = nearest.float()

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        path = self.path(sample, generator, self.step_index)
        number, second = divmod(self.step_index, 2)
        start, end = self.sigmas[2 * number : 2 * number + 2]
        end = end if second else self.middles[number]
        # the class would ask for rounded levels, at which the path is elsewhere
        self.noise_sampler = lambda *_: path(start, end)
        return super().step(model_output, timestep, sample, return_dict=return_dict)


class ExactSdeScheduler(BrownianSteps, ExactMultistepScheduler):
    """Stochastic DPM-Solver++ on the noise levels of a schedule."""

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        now = self.begin_index if self.step_index is None else self.step_index
        path = self.path(sample, generator, now)
        sigma, following = self.sigmas[now : now + 2]
        noise = path(sigma, following) if following else torch.zeros_like(sample)
        return super().step(
            model_output,
            timestep,
            sample,
            variance_noise=noise,
            return_dict=return_dict,
        )


class NoiseFromSeed(ExactLevels):
    """The noise of steps starts again at the seed, or at those of other generators."""

    steps_from = None

    def again(self, generator):
        """A generator, or one for each picture, with the state of its seed before the first step."""
        if self.step_index == self.begin_index:
            generator = self.steps_from or generator
            several = generator if isinstance(generator, list) else [generator]
            seeds = [item.initial_seed() for item in several]
            fresh = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
            self.fresh = fresh if isinstance(generator, list) else fresh[0]
        return self.fresh


class ExactAncestralScheduler(NoiseFromSeed, EulerAncestralDiscreteScheduler):
    """Ancestral Euler steps on the noise levels of a schedule."""

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        return super().step(
            model_output,
            timestep,
            sample,
            generator=self.again(generator),
            return_dict=return_dict,
        )


class ExactConsistencyScheduler(NoiseFromSeed, EulerDiscreteScheduler):
    """Each step guesses the clean latents and adds fresh noise (Song et al. 2023)."""

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        generator = self.again(generator)
        made = super().step(model_output, timestep, sample)
        made.prev_sample = made.pred_original_sample.to(model_output.dtype)
        sigma = self.sigmas[self.step_index]
        if sigma > 0:
            noise = randn_tensor(sample.shape, generator, sample.device, sample.dtype)
            made.prev_sample = made.prev_sample + noise * sigma
        return made if return_dict else (made.prev_sample,)


class KeepsOutside:
    """Keeps latents where a mask is 0, and a share of them where it is between."""

    mask = None
    growing = False  # whether noisy latents have a larger variance than clean ones

    def shares(self):
        """How much of picture and noise latents of variance 1 have; how much less theirs is."""
        now = self.begin_index if self.step_index is None else self.step_index
        sigma = self.sigmas[now]
        alpha = 1 / (sigma**2 + 1) ** 0.5
        return alpha, sigma * alpha, alpha if self.growing else 1.0

    def add_noise(self, original_samples, noise, timesteps):
        """Latents to start from; at the highest level their noise is that of training."""
        self.original, self.noise = original_samples, noise
        alpha, sigma, scale = self.shares()
        highest = (1 / self.alphas_cumprod[-1] - 1) ** 0.5 * (1 - 1e-5)
        sigma = 1.0 if self.sigmas[self.begin_index] >= highest else sigma
        return (alpha * original_samples + sigma * noise) / scale

    def inside(self, sample, outside):
        """The latents where the mask is 1, others where it is 0."""
        mask = self.mask.to(sample)
        if len(mask) > 1:
            mask = mask.repeat(len(sample) // len(mask), 1, 1, 1)
        outside = outside.repeat(len(sample) // len(outside), 1, 1, 1)
        return sample * mask + outside * (1 - mask)

    def noised(self, sample):
        """The latents with the original at this noise level outside."""
        alpha, sigma, scale = self.shares()
        return self.inside(sample, (alpha * self.original + sigma * self.noise) / scale)

    def scale_model_input(self, sample, timestep=None):
        return super().scale_model_input(self.noised(sample), timestep)

    def step(self, model_output, timestep, sample, return_dict=True):
        """A step towards clean latents that are the original outside."""
        alpha, sigma, scale = self.shares()
        seen, here = self.noised(sample) * scale, sample * scale
        velocity = self.config.prediction_type == "v_prediction"
        a, b = (alpha, 1.0) if velocity else (1.0, alpha)
        clean = self.inside((a * seen - sigma * model_output) / b, self.original)
        output = (a * here - b * clean) / sigma
        return super().step(output, timestep, sample, return_dict=return_dict)


class InpaintMultistepScheduler(KeepsOutside, DPMSolverMultistepScheduler):
    """DPM-Solver++ that makes latents anew under a mask."""


class InpaintExactMultistepScheduler(KeepsOutside, ExactMultistepScheduler):
    """DPM-Solver++ on the levels of a schedule that makes latents anew under a mask."""


class InpaintExactEulerScheduler(KeepsOutside, ExactEulerScheduler):
    """Euler's method on the levels of a schedule that makes latents anew under a mask."""

    growing = True


def latent_mask(mask, latents):
    """A mask (B, 1, h, w) as large as latents."""
    mask = mask.reshape(-1, 1, *mask.shape[-2:]).to(latents)
    size = latents.shape[-2:]
    return torch.nn.functional.interpolate(mask, size=size, mode="bilinear")


def of_length(schedule):
    """A schedule with as many steps as pipelines count on, of which they take the last."""

    def levels_of(levels, steps):
        sigmas = schedule(levels, steps)[-steps - 1 :]
        missing = steps + 1 - len(sigmas)
        return torch.cat([sigmas[:1].expand(missing), sigmas])

    return levels_of


def share_of_steps(scheduler, total, steps, share):
    """The share of the last steps of a schedule that lie in a share of the training time."""
    if share in (0, 1):
        return float(share)
    scheduler.set_timesteps(total)
    levels = (1 / scheduler.alphas_cumprod - 1).log() / 2  # log sigma = -log SNR / 2
    sigmas = scheduler.sigmas[total - steps : -1].log()
    times = np.interp(sigmas, levels, range(len(levels)))
    return float((times > (1 - share) * (len(levels) - 1)).mean())


def share_before(scheduler, steps, step):
    """The share of the training time that the steps before one take, as SDXL counts."""
    scheduler.set_timesteps(steps)
    last = float(scheduler.timesteps[step - 1])
    return 1 - last / scheduler.config.num_train_timesteps


def start_latents(scheduler, steps, latents, noise):
    """Latents at the highest noise level, as pipelines take them."""
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    noised = scheduler.add_noise(latents, noise, scheduler.timesteps[:1])
    return noised / scheduler.init_noise_sigma
