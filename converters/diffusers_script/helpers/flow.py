"""Transformers on a flow as the samplers see them."""
# mypy: ignore-errors

import torch

from .denoiser import Guided
from .regions import PROMPT_PLACES, Regional, Timed


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


def spread(tensor, like):
    """A tensor of one item, or of each, for each item of a batch."""
    tensor = tensor.to(like)
    return tensor.expand(len(like), *tensor.shape[1:]) if len(tensor) == 1 else tensor


class RegionalFlowDenoiser(Regional, FlowDenoiser):
    """The same for prompts in places."""


class TimedFlowDenoiser(Timed, RegionalFlowDenoiser):
    """The same for prompts that act for a part of sampling."""
