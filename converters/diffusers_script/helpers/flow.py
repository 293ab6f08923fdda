"""Transformers on a flow as the samplers see them."""
# mypy: ignore-errors

from contextlib import contextmanager

import torch

from graphflow.pixels.batches import cycled
from graphflow.pixels.hints import filling_latents, known_part, marked_latents
from graphflow.sampling.guidance import AwayFromVariation

from .denoiser import Guided
from .regions import PROMPT_PLACES, Regional, Steered, Timed, fit_hint


def simple_times(steps, levels=1000):
    """Every k-th training time, from the noisiest, as far apart as steps ask for."""
    return [1 - int(i * (levels / steps)) / levels for i in range(steps)]


class FlowDenoiser(Guided):
    """The same of a transformer on a flow, from (1 - sigma) * clean + sigma * noise.

    A prompt's entries beside where and when it acts are arguments of the function that
    evaluates the network.
    """

    def __init__(self, pipe, velocity, levels, space, *prompts, **others):
        super().__init__(levels, *prompts, **others)
        self.network, self.velocity, self.space = pipe.transformer, velocity, space

    def predict(self, x, sigma, prompts):
        """One prediction for each prompt."""
        time = self.levels.timestep(sigma).to(x.device, torch.float32).expand(len(x))
        seen = x.to(self.network.dtype)
        return [
            x
            - self.velocity(self.network, seen, time, **self.read(prompt, seen)).float()
            * sigma
            for prompt in prompts
        ]

    def read(self, prompt, x):
        """What the network reads of a prompt, for each item of a batch."""
        told = {name: prompt[name] for name in prompt if name not in PROMPT_PLACES}
        for name, value in told.items():
            if name == "references":
                value = [self.space.enter(picture.to(x.device)) for picture in value]
                told[name] = [spread(picture, x) for picture in value]
            elif isinstance(value, torch.Tensor):
                told[name] = spread(value, x)
            elif isinstance(value, (int, float)):
                told[name] = torch.full((len(x),), float(value), device=x.device)
        return told


def predict_noise(denoise):
    """Have the network tell the noise in latents of variance 1, from clean + sigma * noise."""
    predict = denoise.predict

    def predict_scaled(x, sigma, prompts):
        scaled = x / (sigma**2 + 1).sqrt()
        return [x + (clean - scaled) for clean in predict(scaled, sigma, prompts)]

    denoise.predict = predict_scaled


def predict_velocity(denoise):
    """Have the network tell the velocity (Salimans and Ho 2022) of the same latents."""
    predict = denoise.predict

    def predict_scaled(x, sigma, prompts):
        root = (sigma**2 + 1).sqrt()
        return [clean / root for clean in predict(x / root, sigma, prompts)]

    denoise.predict = predict_scaled


def keep_references(denoise, adjust=None):
    """Have the network make of references what it makes of them once, and keep it."""
    if adjust is not None:
        adjust(denoise.network)
    read, known = denoise.read, {}

    def read_and_keep(prompt, x):
        _, kept = known.setdefault(id(prompt), (prompt, {}))
        return {**read(prompt, x), "kept": kept}

    denoise.read = read_and_keep


def require_fit(denoise, misfit):
    """Stop where a network cannot draw what it is asked for, and say why."""
    predict, told = denoise.predict, ("references", "picture_places")

    def predict_if_fit(x, sigma, prompts):
        for prompt in prompts:
            if why := misfit(x, *(prompt.get(name, ()) for name in told)):
                raise SystemExit(why)
        return predict(x, sigma, prompts)

    denoise.predict = predict_if_fit


def skip_blocks(names, scale=3.0, start=0.01, end=0.15, rescale=0.0):
    """Away from the transformer without some blocks (Hyung et al. 2024)."""

    @contextmanager
    def without_blocks(network):
        blocks = [network.get_submodule(name) for name in names]
        for block in blocks:
            block.forward = hand_on
        yield
        for block in blocks:
            del block.forward

    return AwayFromVariation(
        variation=without_blocks, scale=scale, start=start, end=end, rescale=rescale
    )


def hand_on(hidden_states, encoder_hidden_states=None, *_, **__):
    """What a block gives that changes nothing: the text, where it has any apart, then the picture."""
    if encoder_hidden_states is None:
        return hidden_states
    return encoder_hidden_states, hidden_states


def spread(tensor, like):
    """A tensor of one item, or of each, for each item of a batch."""
    tensor = tensor.to(like)
    return tensor.expand(len(like), *tensor.shape[1:]) if len(tensor) == 1 else tensor


class RegionalFlowDenoiser(Regional, FlowDenoiser):
    """The same for prompts in places."""


class TimedFlowDenoiser(Timed, RegionalFlowDenoiser):
    """The same for prompts that act for a part of sampling."""


class SteeredFlowDenoiser(Steered, RegionalFlowDenoiser):
    """The same for prompts with ControlNets, each for a part of sampling."""

    def read(self, prompt, x):
        """What the network reads of a prompt, what ControlNets add with it."""
        prompt = dict(prompt)
        controls, steer, sigma = (
            prompt.pop(name, None) for name in ("controls", "steer", "sigma")
        )
        told = super().read(prompt, x)
        if not controls:
            return told
        time = self.levels.timestep(sigma).to(x.device, torch.float32).expand(len(x))
        here = [
            {**control, "picture": cycled(control["picture"], len(x)).to(x)}
            for control in controls
        ]
        return {**told, **steer(here, self.network, x, time, told)}


def hint_pixels(image, latents):
    """The picture of a ControlNet as large as latents."""
    return fit_hint(image, [8 * edge for edge in latents.shape[-2:]])


def hint_latents(encode, vae, space, image, latents):
    """The same as latents in the model's space."""
    return space.enter(encode(vae, hint_pixels(image, latents)))


def marked_hint_latents(encode, vae, space, image, latents):
    """The same, black where the picture is unknown, and a channel that is 1 elsewhere."""
    pixels, known = known_part(hint_pixels(image, latents))
    return marked_latents(space.enter(encode(vae, pixels)), known)


def filling_hint_latents(encode, vae, space, image, latents, channels, own):
    """The same with a picture to fill in."""

    def enter(picture, hidden):
        pixels, _ = known_part(hint_pixels(picture, latents), hidden)
        return space.enter(encode(vae, pixels))

    return filling_latents(image, channels, own, enter)
