"""Nodes that return a recipe with one more patch or hook, without any model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from graphflow.errors import ModelFormatError
from graphflow.nodes.models.hooks import (
    deep_shrink,
    freeu,
    hypertile,
    merge_tokens,
    perturbed_attention_guidance,
    self_attention_guidance,
)
from graphflow.nodes.models.loaders import load_checkpoint
from graphflow.nodes.models.lora import apply_lora
from graphflow.nodes.models.merging import merge_model_blocks, merge_models, scale_attention
from graphflow.values import LoraPatch, Model, ModelFile
from graphflow.values.network_hooks import (
    DeepShrink,
    FreeU,
    HyperTile,
    MergeTokens,
    PerturbedAttention,
    SelfAttentionGuidance,
)
from graphflow.values.types import decode, encode
from tests.nodes.fakes import FakeModels, Told


def test_a_lora_goes_to_the_model_and_to_the_text_encoder_where_linked(told: Told) -> None:
    model, text_encoder, *_ = load_checkpoint("full")
    both = apply_lora(model, "style", text_encoder, 0.8, 0.6)
    alone = apply_lora(both.model, "other", strength=-1.0)
    assert [(patch.file.name, patch.strength) for patch in alone.model.patches] == [("style", 0.8), ("other", -1.0)]
    assert alone.text_encoder is None
    assert both.text_encoder is not None
    assert [(patch.file.name, patch.strength) for patch in both.text_encoder.patches] == [("style", 0.6)]
    assert model.patches == text_encoder.patches == ()


def test_a_lora_of_another_family_is_refused_with_both_names(told: Told, models: FakeModels) -> None:
    model, text_encoder, *_ = load_checkpoint("full")
    found = models.find

    def of_sdxl(name: str, kind: str, **more: Any) -> ModelFile:
        return replace(found(name, kind, **more), family="sdxl" if kind == "lora" else "sd")

    models.find = of_sdxl  # type: ignore[method-assign]
    with pytest.raises(ModelFormatError, match=r"style.*family sdxl, the model is sd.*load a sdxl checkpoint"):
        apply_lora(model, "style", text_encoder)
    models.find = lambda name, kind, **more: replace(found(name, kind, **more), family="")  # type: ignore[method-assign]
    assert apply_lora(model, "style").model.patches


HOOKS: list[tuple[Callable[[Model], Model], Any]] = [
    (freeu, FreeU(b1=1.3, b2=1.4, s1=0.9, s2=0.2, method="v2")),
    (perturbed_attention_guidance, PerturbedAttention(scale=3.0)),
    (self_attention_guidance, SelfAttentionGuidance(scale=0.5, blur_sigma=2.0)),
    (
        deep_shrink,
        DeepShrink(
            block=3,
            factor=2.0,
            start=0.0,
            end=0.35,
            after_skip=True,
            downscale_method="bicubic",
            upscale_method="bicubic",
        ),
    ),
    (hypertile, HyperTile(tile=32, swap=2, max_depth=0, scale_depth=False)),
    (merge_tokens, MergeTokens(ratio=0.3)),
]


@pytest.mark.parametrize(("function", "hook"), HOOKS, ids=[hook[0].__name__ for hook in HOOKS])
def test_a_hook_is_added_behind_those_that_are_there(
    told: Told, function: Callable[[Model], Model], hook: object
) -> None:
    model = load_checkpoint("full").model.hooked(MergeTokens(ratio=0.1))
    assert function(model) == replace(model, hooks=(MergeTokens(ratio=0.1), hook))


def test_changed_recipes_survive_the_store(told: Told) -> None:
    model = load_checkpoint("full").model
    for function, _ in HOOKS:
        model = function(model)
    model = apply_lora(model, "style", strength=0.5).model
    model = merge_models(model, scale_attention(model, q=2.0), 0.25)
    model = merge_model_blocks(model, model, 0.5, 1.0, 0.0, {"out.": 0.25})
    assert decode(*encode(model)) == model
    assert any(isinstance(patch, LoraPatch) for patch in model.patches)
