"""Prompts with LoRAs and models of their own, against models that have these throughout."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from graphflow import nodes
from graphflow.errors import InvalidInputError
from graphflow.loading.manager import ModelManager
from graphflow.sampling.schedules import make_sigmas
from graphflow.values import Conditioning, ConditioningEntry, Latent, Model
from tests.closeness import assert_close
from tests.models.lora_files import pair, write
from tests.models.tiny_manager import SD, make_manager, model, running

LAYERS = (
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
    "up_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0",
)
STEPS = 4


@pytest.fixture(name="manager")
def _manager(tmp_path: Path) -> Iterator[ModelManager]:
    manager = make_manager(tmp_path)
    for seed, name in enumerate(("style", "face")):
        tensors = {}
        for layer in LAYERS:
            down, up = pair(32, 32, rank=4, seed=seed)
            tensors |= {f"unet.{layer}.lora_A.weight": down * 9, f"unet.{layer}.lora_B.weight": up * 9}
        write(tmp_path, name, tensors)
    with running(manager):
        yield manager


def told(seed: int) -> Conditioning:
    generator = torch.Generator().manual_seed(seed)
    return Conditioning(entries=(ConditioningEntry(embedding=torch.randn(1, 77, 32, generator=generator)),))


def sampled(base: Model, positive: Conditioning, negative: Conditioning | None = None, **more: Any) -> torch.Tensor:
    given: dict[str, Any] = {"steps": STEPS, "guidance_scale": 3.0, "sampler": "euler", "schedule": "normal", "seed": 3}
    latent = more.pop("latent", Latent(samples=torch.zeros(1, 4, 8, 8)))
    found = nodes.sample(model=base, positive=positive, negative=negative, latent=latent, **given | more)
    return found.samples


def adapted(base: Model, lora: str = "style", strength: float = 1.0) -> Model:
    return nodes.apply_lora(base, lora, strength=strength).model


def test_a_lora_of_every_prompt_is_one_of_the_model(manager: ModelManager) -> None:
    base = model(manager, SD)
    both = [nodes.add_conditioning_lora(told(seed), "style", 0.8) for seed in (1, 2)]
    both = [nodes.add_conditioning_lora(side, "face", -0.5) for side in both]
    found = sampled(base, *both)
    assert_close(found, sampled(adapted(adapted(base, "style", 0.8), "face", -0.5), told(1), told(2)))
    assert (found - sampled(base, told(1), told(2))).abs().max() > 0.01


def test_each_prompt_is_evaluated_with_its_own_weights_and_the_models_come_back(manager: ModelManager) -> None:
    base = model(manager, SD)
    other = adapted(base, "face", 0.7)
    plain = sampled(base, told(2), steps=1, guidance_scale=1.0)
    found = sampled(base, nodes.add_conditioning_lora(told(1), "style"), told(2), steps=1)
    alone = sampled(adapted(base), told(1), steps=1, guidance_scale=1.0)
    assert_close(found, plain + 3.0 * (alone - plain))
    mixed = sampled(base, nodes.add_conditioning_model(told(1), other, 0.4), told(2), steps=1)
    alone = sampled(nodes.merge_models(base, other, ratio=0.6), told(1), steps=1, guidance_scale=1.0)
    assert_close(mixed, plain + 3.0 * (alone - plain))
    assert torch.equal(sampled(base, told(2), steps=1, guidance_scale=1.0), plain)


def test_a_schedule_changes_the_strength_over_the_steps(manager: ModelManager) -> None:
    base = model(manager, SD)
    scheduled = nodes.add_conditioning_lora(told(1), "style", 2.0, schedule="0.1:0 0.5:0.5")
    found = sampled(base, scheduled, told(2))
    with base.use() as loaded:
        middle = loaded.model_sampling.percent_to_sigma(0.5)
        levels = make_sigmas("normal", loaded.model_sampling, STEPS)[:-1]
    before = int((levels > middle).sum())
    assert 0 < before < STEPS
    first = nodes.sample(
        model=base, positive=told(1), negative=told(2), latent=Latent(samples=torch.zeros(1, 4, 8, 8)), seed=3, steps=STEPS,
        guidance_scale=3.0, sampler="euler", schedule="normal", end_step=before, leftover_noise=True,
    )  # fmt: skip
    first_two = nodes.add_conditioning_lora(told(1), "style", 1.0)
    rest = sampled(base, first_two, told(2), latent=first, start_step=before, add_noise=False)
    assert_close(found, rest)


@pytest.mark.parametrize("schedule", ["a", "0:1:2", "0.5:1 0.2:1", "2:1", "0:nan"])
def test_a_schedule_that_is_none_is_refused(manager: ModelManager, schedule: str) -> None:
    with pytest.raises(InvalidInputError, match="schedule"):
        nodes.add_conditioning_lora(told(1), "style", schedule=schedule)
