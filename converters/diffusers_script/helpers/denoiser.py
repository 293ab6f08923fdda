"""The guided model as samplers see it."""
# mypy: ignore-errors

import torch

from graphflow.sampling.geometry import task_vector
from graphflow.sampling.levels import Levels, training_sigmas


def encode_prompt(pipe, prompt):
    """What the UNet reads of a prompt."""
    embeds, _ = pipe.encode_prompt(prompt, pipe.device, 1, False)
    return {"embeds": embeds}


def encode_prompt_sdxl(pipe, prompt, prompt_2=None):
    """What SDXL's UNet reads of a prompt, or of one for each text encoder."""
    embeds, _, pooled, _ = pipe.encode_prompt(
        prompt,
        prompt_2,
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
    )
    return {"embeds": embeds, "pooled": pooled}


class Guided:
    """D(x, sigma): the clean latents that a guided model sees in noisy ones."""

    def __init__(self, levels, positive, negative=None, scale=1.0, **others):
        self.levels, self.others = levels, others
        self.positive, self.negative = positive, negative or positive
        self.scale = scale if negative else 1.0

    def __call__(self, x, sigma):
        """The guided prediction."""
        return self.guided(x, sigma)[0]

    def with_uncond(self, x, sigma):
        """The guided prediction, and the one for the negative prompt."""
        return self.guided(x, sigma, both=True)

    def guided(self, x, sigma, both=False):
        """Away from the negative prompt's prediction, which is not made in vain."""
        if self.scale == 1.0 and not both:
            cond = self.predict(x, sigma, [self.positive])[0]
            return cond, cond
        cond, uncond = self.predict(x, sigma, [self.positive, self.negative])
        return uncond + (cond - uncond) * self.scale, uncond


class Denoiser(Guided):
    """The same of a UNet, whose noisy latents are clean + sigma * noise (Karras et al. 2022)."""

    def __init__(self, pipe, *prompts, **others):
        self.network, self.config = pipe.unet, pipe.scheduler.config
        super().__init__(Levels(training_sigmas(self.config)), *prompts, **others)

    def predict(self, x, sigma, prompts):
        """One prediction for each prompt; those of one length share a batch."""
        if len({prompt["embeds"].shape[1] for prompt in prompts}) > 1:
            return [self.predict(x, sigma, [prompt])[0] for prompt in prompts]
        x = torch.cat([x] * len(prompts))
        output = self.network(
            (x / (sigma**2 + 1).sqrt()).to(self.network.dtype),
            self.levels.timestep(sigma).to(x.device),
            **self.conditions(x, prompts),
        ).sample.float()
        return self.to_clean(x, output, sigma).chunk(len(prompts))

    def conditions(self, x, prompts):
        """What the UNet reads beside the latents."""
        count = x.shape[0] // len(prompts)
        embeds = [prompt["embeds"].expand(count, -1, -1) for prompt in prompts]
        return {"encoder_hidden_states": torch.cat(embeds)}

    def to_clean(self, x, output, sigma):
        """The clean latents that the UNet's output means."""
        if self.config.prediction_type == "epsilon":
            return x - output * sigma
        if self.config.prediction_type == "v_prediction":
            return x / (sigma**2 + 1) - output * sigma / (sigma**2 + 1).sqrt()
        return output


class GeometryDenoiser(Denoiser):
    """The same of Lotus, which reads the latents of a picture as they are."""

    def predict(self, x, sigma, prompts):
        """One estimate for each prompt."""
        x = torch.cat([x] * len(prompts))
        output = self.network(
            x.to(self.network.dtype),
            self.levels.timestep(sigma).to(x.device),
            class_labels=task_vector().expand(len(x), -1).to(x, self.network.dtype),
            **self.conditions(x, prompts),
        )
        return output.sample.float().chunk(len(prompts))


class SdxlDenoiser(Denoiser):
    """The same for SDXL, which is also told the size of the picture."""

    def conditions(self, x, prompts):
        """What the UNet reads beside the latents."""
        count = x.shape[0] // len(prompts)
        height, width = x.shape[-2] * 8, x.shape[-1] * 8
        sizes = [
            prompt.get("sizes") or self.usual_sizes(prompt, height, width)
            for prompt in prompts
        ]
        rows = torch.tensor(sizes, device=x.device, dtype=self.network.dtype)
        pooled = [prompt["pooled"].expand(count, -1) for prompt in prompts]
        return {
            **super().conditions(x, prompts),
            "added_cond_kwargs": {
                "text_embeds": torch.cat(pooled),
                "time_ids": rows.repeat_interleave(count, dim=0),
            },
        }

    def usual_sizes(self, prompt, height, width):
        """Sizes of a picture that is neither cut nor scaled."""
        return (height, width, 0, 0, height, width)


class RefinerDenoiser(SdxlDenoiser):
    """The same for SDXL's refiner, which is told how good the picture looks."""

    def usual_sizes(self, prompt, height, width):
        """Size and aesthetic score."""
        return (height, width, 0, 0, 2.5 if prompt is self.negative else 6.0)


class Inpainting:
    """A denoiser that keeps the latents where a mask is 0."""

    def __init__(self, denoise, mask, original, noise):
        self.inner, self.original, self.noise = denoise, original, noise
        size = original.shape[-2:]
        mask = mask.reshape(-1, 1, *mask.shape[-2:]).to(original.device)
        self.mask = torch.nn.functional.interpolate(mask, size=size, mode="bilinear")
        self.levels = denoise.levels

    def __call__(self, x, sigma):
        """The prediction inside, the original outside."""
        return self.keep(self.inner(self.noised(x, sigma), sigma))

    def with_uncond(self, x, sigma):
        """The same, and the prediction for the negative prompt."""
        denoised, uncond = self.inner.with_uncond(self.noised(x, sigma), sigma)
        return self.keep(denoised), uncond

    def noised(self, x, sigma):
        """The latents with the original at this noise level outside."""
        kept = self.levels.noise_latent(sigma, self.noise, self.original)
        return x * self.mask + kept * (1 - self.mask)

    def keep(self, denoised):
        """The clean latents with the original outside."""
        return denoised * self.mask + self.original * (1 - self.mask)


class DifferentialInpainting(Inpainting):
    """The same with a mask that opens on the way (Levin and Fried 2023).

    A place with the grey value g is made anew once the share g of time is left.
    """

    def __init__(self, denoise, mask, original, noise, sigmas, strength=1.0):
        super().__init__(denoise, mask, original, noise)
        self.grey, self.strength = self.mask, strength
        ends = sigmas[0], sigmas[-1].clamp(min=self.levels.sigmas[0])
        self.first, self.last = map(float, map(self.levels.timestep, ends))

    def noised(self, x, sigma):
        """The latents with the original at this noise level where nothing may change."""
        span = self.first - self.last
        left = (
            (float(self.levels.timestep(sigma)) - self.last) / span if span > 0 else 0.0
        )
        opened = (self.grey >= left).to(self.grey)
        self.mask = self.strength * opened + (1 - self.strength) * self.grey
        return super().noised(x, sigma)


def add_noise(latents, noise, sigma, levels):
    """Latents at a noise level; the highest one has the variance of training."""
    if sigma >= levels.sigmas[-1] * (1 - 1e-5):
        sigma = (1 + sigma**2).sqrt()
    return latents + noise * sigma


def show_progress(pipe, sigmas):
    """A callback for samplers that counts their steps."""
    bar = pipe.progress_bar(total=len(sigmas) - 1)
    return lambda step: bar.update()


def remember(progress, seen):
    """A callback that keeps the last clean latents, too."""

    def watch(step):
        seen[:] = [step.denoised]
        progress(step)

    return watch


def show_share(pipe, sigmas):
    """A callback for samplers that choose their steps: how much of the way is done."""
    bar = pipe.progress_bar(total=len(sigmas) - 1)
    return lambda step: bar.update(int(step.share * bar.total) - bar.n)
