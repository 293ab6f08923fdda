"""Which hidden layer conditions the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphflow.values import TextEncoder
from tests.closeness import assert_close
from tests.models.tiny import TEXT_2
from tests.models.tiny_manager import SD, SDXL, SDXL_FILE, make_manager, running, text_encoder, tiny_root


def states(manager: object, recipe: TextEncoder, text: str) -> tuple[Tensor, ...]:
    """All hidden states of a recipe's last encoder for one prompt, read without our own code."""
    with recipe.use() as loaded:
        encoder = loaded.encoders[-1]
        ids = [encoder.tokenizer.start, *encoder.tokenizer.ids(text), encoder.tokenizer.end]
        ids += [encoder.tokenizer.pad] * (77 - len(ids))
        with torch.no_grad():
            found: tuple[Tensor, ...] = encoder.module(torch.tensor([ids]), output_hidden_states=True).hidden_states
        return found


@pytest.mark.parametrize("layer", [-1, -2, -3])
def test_sd_norms_the_chosen_layer_and_sdxl_does_not(layer: int) -> None:
    manager = make_manager()
    with running(manager):
        for name, normed in ((SD, True), (SDXL, False)):
            files = text_encoder(manager, name).files
            recipe = TextEncoder(files=files, layer=layer)
            hidden = states(manager, recipe, "a fox")[layer]
            with recipe.use() as loaded:
                core = getattr(loaded.encoders[-1].module, "text_model", loaded.encoders[-1].module)
                with torch.no_grad():
                    expected = core.final_layer_norm(hidden) if normed else hidden
                found = loaded.encode("a fox").entries[0].embedding[..., -32:]
            assert_close(found, expected)


def test_sd2_reads_the_layer_before_the_last_of_the_file(tmp_path: Path) -> None:
    prefix = "conditioner.embedders.1.model."
    raw = load_file(tiny_root() / "checkpoints" / f"{SDXL_FILE}.safetensors")
    sd = load_file(tiny_root() / "checkpoints" / "tiny-sd-file.safetensors")
    tensors = {key: tensor for key, tensor in sd.items() if not key.startswith("cond_stage_model.")}
    tensors |= {
        f"cond_stage_model.model.{key.removeprefix(prefix)}": t for key, t in raw.items() if key.startswith(prefix)
    }
    config = {"variant": "sd2", "text_encoder": {"num_attention_heads": 4, "hidden_act": "gelu"}}
    (tmp_path / "checkpoints").mkdir()
    save_file(tensors, tmp_path / "checkpoints" / "two.safetensors", metadata={"graphflow.config": json.dumps(config)})
    manager = make_manager(tmp_path)
    with running(manager):
        whole = states(manager, text_encoder(manager, SDXL), "a fox")
        with text_encoder(manager, SDXL).use() as loaded:
            norm = loaded.encoders[-1].module.text_model.final_layer_norm
            with torch.no_grad():
                expected = {None: norm(whole[-2]), -2: norm(whole[-2]), -3: norm(whole[-3])}
        files = text_encoder(manager, "two").files
        assert len(whole) == int(TEXT_2["num_hidden_layers"]) + 1  # type: ignore[call-overload]
        for layer, wanted in expected.items():
            with TextEncoder(files=files, layer=layer).use() as encoder:
                found = encoder.encode("a fox").entries[0].embedding
            assert_close(found, wanted)
