"""Merged models: every weight against plain arithmetic on the files' own, and what is said where they do not fit."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from graphflow.errors import ModelFormatError
from graphflow.loading.manager import ModelManager
from graphflow.nodes.models.merging import (
    add_models,
    add_text_encoders,
    merge_model_blocks,
    merge_models,
    merge_text_encoders,
    scale_attention,
    scale_text_attention,
    subtract_models,
    subtract_text_encoders,
)
from graphflow.values import LoraPatch
from tests.models.loaded_weights import weights
from tests.models.lora_files import pair, write
from tests.models.tiny_manager import SD, SDXL, SDXL_FILE, make_manager, model, running, text_encoder, tiny_root
from tests.scratch import process_folder

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@cache
def manager() -> ModelManager:
    """A manager with a second and a third tiny model, which differ from the first in every weight."""
    import shutil

    folder = process_folder("merging")
    for number, name in enumerate(("second", "third"), start=1):
        for base, copy in ((SD, name), (SDXL, f"{name}-sdxl")):
            shutil.copytree(tiny_root() / base, folder / copy)
            generator = torch.Generator().manual_seed(number)
            for path in (folder / copy).rglob("*.safetensors"):
                tensors = {
                    key: tensor + 0.1 * torch.randn(tensor.shape, generator=generator)
                    for key, tensor in load_file(path).items()
                    if tensor.is_floating_point()
                }
                save_file(load_file(path) | tensors, path, metadata={"format": "pt"})
    down, up = pair(32, 32)
    write(folder, "lora", {f"unet.{QUERY}.lora_A.weight": down, f"unet.{QUERY}.lora_B.weight": up})
    return make_manager(folder)


@settings(max_examples=8, deadline=None)
@given(st.floats(0, 1), st.floats(-2, 2))
def test_merges_are_sums_of_weights(ratio: float, multiplier: float) -> None:
    with running(manager()):
        first, second, third = (model(manager(), name) for name in (SD, "second", "third"))
        a, b, c = weights(first), weights(second), weights(third)
        mixed = weights(merge_models(first, second, ratio))
        moved = weights(add_models(first, subtract_models(second, third, multiplier)))
        again = weights(first)
    for name in a:
        torch.testing.assert_close(mixed[name], ratio * a[name] + (1 - ratio) * b[name])
        torch.testing.assert_close(moved[name], a[name] + multiplier * (b[name] - c[name]), atol=1e-5, rtol=1e-5)
        assert torch.equal(again[name], a[name])


def test_the_others_own_patches_and_ones_before_and_after_count() -> None:
    with running(manager()):
        first, second = model(manager(), SD), model(manager(), "second")
        lora = LoraPatch(file=manager().find("lora", "lora", part=""), strength=2.0)
        a, b = weights(first)[f"{QUERY}.weight"], weights(second)[f"{QUERY}.weight"]
        change = weights(first.patched(lora))[f"{QUERY}.weight"] - a
        inside = weights(merge_models(first, second.patched(lora), 0.25))[f"{QUERY}.weight"]
        before = weights(merge_models(first.patched(lora), second, 0.25))[f"{QUERY}.weight"]
        after = weights(merge_models(first, second, 0.25).patched(lora))[f"{QUERY}.weight"]
    mixed = 0.25 * a + 0.75 * b
    torch.testing.assert_close(inside, mixed + 0.75 * change)
    torch.testing.assert_close(before, mixed + 0.25 * change)
    torch.testing.assert_close(after, mixed + change)


def test_blocks_have_shares_of_their_own() -> None:
    with running(manager()):
        first, second = model(manager(), SD), model(manager(), "second")
        a, b = weights(first), weights(second)
        found = weights(
            merge_model_blocks(
                first,
                second,
                0.9,
                0.5,
                0.1,
                {"input_blocks.0.": 0.0, "up_blocks.0.": 0.7, "up_blocks.0.resnets.1": 0.3},
            )
        )
    shares = {
        "time_embedding.linear_1.weight": 0.9,
        "conv_in.weight": 0.0,
        "down_blocks.0.resnets.0.conv1.weight": 0.9,
        "mid_block.resnets.0.conv1.weight": 0.5,
        "up_blocks.0.resnets.0.conv1.weight": 0.7,
        "up_blocks.0.resnets.1.conv1.weight": 0.3,
        "up_blocks.1.resnets.0.conv1.weight": 0.1,
        "conv_norm_out.weight": 0.1,
        "conv_out.bias": 0.1,
    }
    for name, share in shares.items():
        torch.testing.assert_close(found[name], share * a[name] + (1 - share) * b[name], msg=name)


@pytest.mark.parametrize("name", ["", "-sdxl"])
def test_text_encoders_merge_part_by_part(name: str) -> None:
    with running(manager()):
        first, second = text_encoder(manager(), SDXL if name else SD), text_encoder(manager(), f"second{name}")
        a, b = weights(first), weights(second)
        mixed = weights(merge_text_encoders(first, second, 0.25))
        difference = weights(add_text_encoders(first, subtract_text_encoders(second, first, 0.5)))
    for key in a:
        if a[key].is_floating_point():
            torch.testing.assert_close(mixed[key], 0.25 * a[key] + 0.75 * b[key])
            torch.testing.assert_close(difference[key], a[key] + 0.5 * (b[key] - a[key]), atol=1e-5, rtol=1e-5)


def test_attention_is_scaled_where_asked() -> None:
    with running(manager()):
        plain, encoder = model(manager(), SD), text_encoder(manager(), SD)
        a, text = weights(plain), weights(encoder)
        cross = weights(scale_attention(plain, "cross", q=2.0, out=4.0))
        own = weights(scale_attention(plain, "self", k=0.5))
        told = weights(scale_text_attention(encoder, v=0.0))
    for name in a:
        factor = 2.0 if ".attn2.to_q." in name else 4.0 if ".attn2.to_out.0." in name else 1.0
        assert torch.equal(cross[name], a[name] * factor), name
        assert torch.equal(own[name], a[name] * (0.5 if ".attn1.to_k." in name else 1.0)), name
    for name in text:
        assert torch.equal(told[name], text[name] * (0 if ".v_proj." in name else 1)), name


def test_models_of_two_families_do_not_merge() -> None:
    with running(manager()):
        first, other = model(manager(), SD), model(manager(), SDXL_FILE)
        for make in (merge_models, add_models, subtract_models, merge_model_blocks):
            with pytest.raises(ModelFormatError, match="family sdxl and cannot be merged with tiny-sd, which is sd"):
                make(first, other)
        with pytest.raises(ModelFormatError, match="family sdxl"):
            merge_text_encoders(text_encoder(manager(), SD), text_encoder(manager(), SDXL))


def test_tensors_of_other_shapes_stay_and_are_named(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tiny_root() / SD, tmp_path / "inpaint")
    path = next((tmp_path / "inpaint" / "unet").glob("*.safetensors"))
    tensors = load_file(path)
    tensors["conv_in.weight"] = torch.cat([tensors["conv_in.weight"], tensors["conv_in.weight"][:, :1]], dim=1)
    save_file(tensors, path, metadata={"format": "pt"})
    config = tmp_path / "inpaint" / "unet" / "config.json"
    config.write_text(config.read_text("utf-8").replace('"in_channels": 4', '"in_channels": 5'), "utf-8")
    wider = make_manager(tmp_path)
    with running(wider) as told:
        first, other = model(wider, SD), model(wider, "inpaint")
        a, mixed = weights(first), weights(merge_models(first, other, 0.5))
    assert torch.equal(mixed["conv_in.weight"], a["conv_in.weight"])
    assert len(told.notices) == 1 and "conv_in.weight" in told.notices[0] and "1 of its" in told.notices[0]
