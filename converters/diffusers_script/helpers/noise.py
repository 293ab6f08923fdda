"""Noise: where a picture starts."""
# mypy: ignore-errors

from hashlib import sha256

import torch


def make_generators(seed, count):
    """One generator for each picture of a batch; the first has the seed itself."""
    texts = [f"graphflow noise {seed} {index}".encode() for index in range(1, count)]
    seeds = [int.from_bytes(sha256(text).digest()[:8], "little") for text in texts]
    return [torch.Generator("cpu").manual_seed(item) for item in [seed, *seeds]]


def draw_noise(like, seed):
    """Standard normal noise like a batch of latents, each item from its own seed."""
    shape = (1, *like.shape[1:])
    generators = make_generators(seed, like.shape[0])
    noise = torch.cat([torch.randn(shape, generator=item) for item in generators])
    return noise.to(like.device)


def draw_batch_noise(like, seed):
    """Standard normal noise like a batch of latents, in one draw."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(like.shape, generator=generator).to(like.device)


def draw_placed_noise(like, seed, places):
    """The noise that latents have at these places of a batch, each from its own seed."""
    shape = (1, *like.shape[1:])
    generators = make_generators(seed, max(places) + 1)
    drawn = [torch.randn(shape, generator=item) for item in generators]
    return torch.cat([drawn[place] for place in places]).to(like.device)


def draw_placed_batch_noise(like, seed, places):
    """The noise that latents have at these places of a batch that is one draw."""
    shape = (1, *like.shape[1:])
    generator = torch.Generator("cpu").manual_seed(seed)
    drawn = [torch.randn(shape, generator=generator) for _ in range(max(places) + 1)]
    return torch.cat([drawn[place] for place in places]).to(like.device)


class StepNoise:
    """Fresh noise for each step, from generators that start again at the seed."""

    def __init__(self, like, seed):
        self.generators = make_generators(seed, like.shape[0])
        self.shape, self.device = (1, *like.shape[1:]), like.device

    def __call__(self, sigma, sigma_next):
        draws = [torch.randn(self.shape, generator=item) for item in self.generators]
        return torch.cat(draws).to(self.device)


class StepBatchNoise:
    """Fresh noise for each step, one draw for the batch, from the seed again."""

    def __init__(self, like, seed):
        self.generator = torch.Generator("cpu").manual_seed(seed)
        self.like = like

    def __call__(self, sigma, sigma_next):
        noise = torch.randn(self.like.shape, generator=self.generator)
        return noise.to(self.like.device)
