"""The limit on a batch by memory."""

from __future__ import annotations

import torch
from diffusers import FluxTransformer2DModel
from hypothesis import given
from hypothesis import strategies as st

from graphflow.families.flux.denoiser import FluxDenoiser
from graphflow.families.flux.family import FAMILY
from graphflow.families.latent_diffusion.batching import evaluation_bytes
from graphflow.loading.devices import free_memory
from graphflow.sampling.batching import fitting_items
from graphflow.sampling.prediction import ModelSampling
from graphflow.values import ConditioningEntry, Control, ControlNet, Latent

GIB = 2**30


def test_a_pair_of_large_pictures_is_split_where_memory_is_short() -> None:
    samples = 128 * 128
    roomy = fitting_items(evaluation_bytes(samples, 320, torch.float16), 8 * GIB)
    assert roomy is not None and roomy >= 2
    assert fitting_items(evaluation_bytes(samples, 320, torch.float32), GIB) == 1
    assert fitting_items(evaluation_bytes(samples, 320, torch.float32), None) is None


@given(st.integers(1, 2**20), st.integers(0, 2**40))
def test_less_memory_never_means_more_items(samples: int, free: int) -> None:
    more, less = (fitting_items(evaluation_bytes(samples, 320, torch.float16), bytes_) for bytes_ in (free, free // 2))
    assert more is not None and less is not None
    assert 1 <= less <= more


def test_references_and_controlnets_count() -> None:
    with torch.device("meta"):
        module = FluxTransformer2DModel(num_layers=2, num_single_layers=3, num_attention_heads=2)
    denoiser = FluxDenoiser(
        module=module,
        model_sampling=ModelSampling.flow(shift=1.0),
        latent=FAMILY.latent,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    text, shape = torch.zeros(1, 1, 8), (16, 32, 32)
    plain = ConditioningEntry(embedding=text)
    seen = tuple(Latent(samples=torch.zeros(1, 16, height, 32)) for height in (16, 32))
    shown = ConditioningEntry(embedding=text, extras={"reference_latents": seen})
    assert denoiser.memory_told(shape, [plain]) == denoiser.memory(shape)
    assert denoiser.memory_told(shape, [plain, shown]) == denoiser.memory((16, 32 + 48, 32))
    control = Control(net=ControlNet(files=()), hint=torch.zeros(1, 3, 8, 8), strength=1.0)
    steered = ConditioningEntry(embedding=text, controls=(control,))
    behind_blocks = (2 + 3) * (32 * 32 // 4) * 2 * 128 * 4
    assert denoiser.memory_told(shape, [steered]) == denoiser.memory(shape) + behind_blocks


def test_the_machine_says_how_much_is_free() -> None:
    free = free_memory(torch.device("cpu"))
    assert free is None or free > 0
    assert free_memory(torch.device("meta")) is None
