"""Differential diffusion: grey masks that open on the way."""

from __future__ import annotations

import torch

from graphflow.sampling.differential import differential_schedule
from graphflow.sampling.guidance import ClassifierFree
from graphflow.sampling.loop import sample
from graphflow.sampling.noise import initial_noise
from graphflow.sampling.schedules import make_sigmas
from tests.sampling.toy import DISCRETE, RecordingModel, conditioning, entry

SIGMAS = make_sigmas("normal", DISCRETE, 10)
MASK = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).reshape(1, 1, 1, 5)


def opened(step: int, strength: float = 1.0) -> list[float]:
    schedule = differential_schedule(strength)(DISCRETE, SIGMAS)
    result: list[float] = schedule(MASK, SIGMAS[step]).flatten().tolist()
    return result


def test_the_mask_opens_from_white_to_black() -> None:
    assert opened(0) == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert opened(4) == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert opened(9) == [1.0, 1.0, 1.0, 1.0, 1.0]


def test_strength_mixes_it_with_the_plain_mask() -> None:
    assert opened(0, strength=0.5) == [0.0, 0.125, 0.25, 0.375, 1.0]
    assert opened(4, strength=0.0) == MASK.flatten().tolist()


def test_darker_places_change_less() -> None:
    latent = torch.linspace(-1, 1, 64).reshape(1, 4, 2, 8)
    mask = torch.linspace(0, 1, 8).reshape(1, 1, 8).expand(1, 2, 8)
    result = sample(
        RecordingModel(),
        DISCRETE,
        positive=conditioning(entry(0.3)),
        negative=None,
        guider=ClassifierFree(scale=1.0),
        sampler="euler",
        sigmas=SIGMAS,
        latent=latent,
        noise=initial_noise(latent.shape, 3),
        seed=3,
        noise_mask=mask,
        make_mask_schedule=differential_schedule(),
    )
    change = (result.latent - latent).abs().mean(dim=(0, 1, 2))
    assert float(change[0]) < 0.2 < float(change[3]) < float(change[7])
