"""Text to image.

Make a picture from a prompt.

Fixed in this script: sampler, schedule.
"""

import argparse
from hashlib import sha256
from pathlib import Path

import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionPipeline

MODEL = "/opt/site/graphflow/assets/shapes"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPE = torch.float16 if DEVICE == "cuda" else torch.float32
ZERO_SNR_ALPHA_BAR = 4.8973451890853435e-08


def make_generators(seed, count):
    """One generator for each picture of a batch; the first has the seed itself."""
    texts = [f"graphflow noise {seed} {index}".encode() for index in range(1, count)]
    seeds = [int.from_bytes(sha256(text).digest()[:8], "little") for text in texts]
    return [torch.Generator("cpu").manual_seed(item) for item in [seed, *seeds]]


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


def normal_sigmas(levels, steps):
    """Even steps in time, down to the lowest training level."""
    return then_zero(at_timesteps(levels, torch.linspace(len(levels) - 1, 0, steps)))


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


class ExactLevels:
    """Visits the noise levels of a schedule, each at the nearest training step."""

    schedule = None
    init_noise_sigma = 1.0
    growing = True  # whether noisy latents have a larger variance than clean ones

    def set_timesteps(self, num_inference_steps, device=None, *training):
        super().set_timesteps(num_inference_steps, device, *training)
        if self.schedule is None:
            return  # it is being made
        levels = training_sigmas(self.config)
        self.sigmas = self.schedule(levels, num_inference_steps)
        self.timesteps = self.nearest(self.sigmas[:-1]).to(device)
        self.set_begin_index(0)
        first, scale = self.sigmas[0], (self.sigmas[0] ** 2 + 1) ** 0.5
        if first >= levels[-1] * (1 - 1e-5):
            first = scale  # the highest level has the variance of training
        self.init_noise_sigma = first if self.growing else first / scale

    def nearest(self, sigmas):
        """The training steps whose noise levels are nearest."""
        distances = sigmas[:, None].log() - training_sigmas(self.config).log()
        return distances.abs().argmin(dim=1).float()


class NoiseFromSeed(ExactLevels):
    """The noise of steps starts again at the seed."""

    def again(self, generator):
        """A generator, or one for each picture, with the state of its seed before the first step."""
        if self.step_index == self.begin_index:
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


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    option = parser.add_argument
    option(
        "--prompt",
        default="a green star on a black background",
        help="what the picture shows",
    )
    option("--negative-prompt", default="", help="what the picture does not show")
    option("--seed", type=int, default=21, help="what the noise is drawn from")
    option("--steps", type=int, default=8, help="sampling steps")
    option(
        "--guidance-scale",
        type=float,
        default=4.0,
        help="how strongly to follow the prompt",
    )
    option("--width", type=int, default=128, help="pixels, a multiple of 8")
    option("--height", type=int, default=128, help="pixels, a multiple of 8")
    option("--batch-size", type=int, default=2, help="how many pictures")
    option("--model", default=MODEL, help="the checkpoint")
    option("--offload", action="store_true", help="keep idle parts in main memory")
    option("--out", type=Path, default=Path("out"), help="folder to write to")
    args = parser.parse_args()

    # positive, negative, latent, sample, decode, save~safety
    pipe = StableDiffusionPipeline.from_pretrained(args.model, dtype=DTYPE)
    if args.offload:
        pipe.enable_model_cpu_offload()
    else:
        pipe.to(DEVICE)
    pipe.scheduler = ExactAncestralScheduler.from_config(pipe.scheduler.config)
    pipe.scheduler.schedule = normal_sigmas
    result = pipe(
        prompt=args.prompt,
        negative_prompt=args.negative_prompt,
        width=args.width,
        height=args.height,
        num_inference_steps=args.steps,
        guidance_scale=args.guidance_scale,
        num_images_per_prompt=args.batch_size,
        generator=make_generators(args.seed, args.batch_size),
    )

    # save
    args.out.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(result.images):
        if result.nsfw_content_detected[number]:
            print(f"picture {number} is withheld: the safety checker flagged it")
        else:
            picture.save(args.out / f"batch-{number}.png")


if __name__ == "__main__":
    main()
