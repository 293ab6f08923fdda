"""What trainers of FLUX.1 call the layers of their LoRAs: every dialect changes the weights that it is for, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphflow import Workflow, nodes
from graphflow.spec.registry import installed
from tests.closeness import assert_close
from tests.families.recorded_flows import make_session
from tests.families.recorded_models import write_model

RANK, STRENGTH = 2, 0.5
Target = tuple[str, int, int]
"""A tensor in the authors' naming, and which rows of it: the first, and the one behind the last, in units of its width."""
WHOLE = (0, 0)
DIALECTS: Mapping[str, tuple[str, str, Mapping[str, Target]]] = {
    "x-labs": (
        ".down.weight",
        ".up.weight",
        {
            "double_blocks.1.processor.qkv_lora1": ("double_blocks.1.img_attn.qkv.weight", *WHOLE),
            "double_blocks.1.processor.qkv_lora2": ("double_blocks.1.txt_attn.qkv.weight", *WHOLE),
            "double_blocks.0.processor.proj_lora1": ("double_blocks.0.img_attn.proj.weight", *WHOLE),
            "double_blocks.0.processor.proj_lora2": ("double_blocks.0.txt_attn.proj.weight", *WHOLE),
            "single_blocks.1.processor.qkv_lora": ("single_blocks.1.linear1.weight", 0, 3),
            "single_blocks.1.processor.proj_lora": ("single_blocks.1.linear2.weight", *WHOLE),
        },
    ),
    "OneTrainer": (
        ".lora_down.weight",
        ".lora_up.weight",
        {
            "lora_transformer_transformer_blocks_0_attn_to_k": ("double_blocks.0.img_attn.qkv.weight", 1, 2),
            "lora_transformer_transformer_blocks_1_attn_add_v_proj": ("double_blocks.1.txt_attn.qkv.weight", 2, 3),
            "lora_transformer_transformer_blocks_1_ff_context_net_0_proj": (
                "double_blocks.1.txt_mlp.0.weight",
                *WHOLE,
            ),
            "lora_transformer_single_transformer_blocks_0_proj_mlp": ("single_blocks.0.linear1.weight", 3, 7),
            "lora_transformer_single_transformer_blocks_0_norm_linear": (
                "single_blocks.0.modulation.lin.weight",
                *WHOLE,
            ),
            "lora_transformer_x_embedder": ("img_in.weight", *WHOLE),
        },
    ),
    "OneTrainer, by the authors' names": (
        ".lora_down.weight",
        ".lora_up.weight",
        {
            "transformer.double_blocks.0.img_attn.qkv.0": ("double_blocks.0.img_attn.qkv.weight", 0, 1),
            "transformer.double_blocks.0.txt_attn.qkv.2": ("double_blocks.0.txt_attn.qkv.weight", 2, 3),
            "transformer.double_blocks.1.img_mlp.2": ("double_blocks.1.img_mlp.2.weight", *WHOLE),
            "transformer.single_blocks.1.linear1.1": ("single_blocks.1.linear1.weight", 1, 2),
            "transformer.single_blocks.0.linear1.3": ("single_blocks.0.linear1.weight", 3, 7),
            "transformer.single_blocks.1.linear2": ("single_blocks.1.linear2.weight", *WHOLE),
        },
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_dialect_changes_what_it_is_for(tmp_path: Path, dialect: str) -> None:
    session = make_session(installed(), tmp_path / "models", tmp_path / "cache")
    original = write_model("flux_dev", tmp_path / "models")
    expected = load_file(original)
    down_ending, up_ending, targets = DIALECTS[dialect]
    dice = torch.Generator().manual_seed(1)
    tensors: dict[str, Tensor] = {}
    for name, (target, first, last) in targets.items():
        weight = expected[target]
        rows = weight[first * weight.shape[1] : last * weight.shape[1] or None]
        down, up = (torch.randn(shape, generator=dice) for shape in ((RANK, rows.shape[1]), (rows.shape[0], RANK)))
        tensors |= {name + down_ending: down, name + up_ending: up}
        rows += STRENGTH * up @ down
    (tmp_path / "models" / "loras").mkdir()
    save_file(tensors, tmp_path / "models" / "loras" / "style.safetensors")
    g = Workflow()
    model = g.add(nodes.load_diffusion_model, model=original.name)
    adapted = g.add(nodes.apply_lora, model=model, lora="style", strength=STRENGTH).model
    g.add(nodes.save_model, model=adapted, dtype="float32")
    result = session.run(g, out=tmp_path)
    assert not result.notices
    saved = load_file(result.paths[0])
    for key, weight in expected.items():
        assert_close(saved[f"model.diffusion_model.{key}"], weight)
