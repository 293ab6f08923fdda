"""Which of a family's text encoders the layers of a LoRA are for, where each encoder lies in a file of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graphflow.library.describe import describe_file
from graphflow.loading.lora import part_layers, read_lora
from tests.families.recorded_models import shapes
from tests.models.lora_files import pair
from tests.models.weight_shapes import write_header

CLIP, T5 = "encoder.layers.0.mlp.fc1", "encoder.block.0.layer.0.SelfAttention.q"
ROLES = [
    ("sd3", "clip_l_tiny", CLIP, "te1", ("te2", "te3")),
    ("sd3", "clip_g_tiny", CLIP, "te2", ("te1", "te3")),
    ("sd3", "t5xxl_tiny", T5, "te3", ("te1", "te2")),
    ("flux", "clip_l_tiny", CLIP, "te1", ("te2", "te3")),
    ("flux", "t5xxl_tiny", T5, "te2", ("te1",)),
    ("flux", "t5xxl_tiny", T5, "te3", ("te1",)),
    ("chroma", "t5xxl_tiny", T5, "te1", ("te2",)),
    ("", "clip_g_tiny", CLIP, "te2", ("te1",)),
]


@pytest.mark.parametrize(("family", "file", "module", "prefix", "others"), ROLES)
def test_an_encoder_takes_the_layers_of_its_place_in_the_family(
    family: str, file: str, module: str, prefix: str, others: tuple[str, ...], tmp_path: Path
) -> None:
    part = describe_file("m", write_header(tmp_path / "m.safetensors", shapes()[file]["tensors"])).parts["text_encoder"]
    down, up = pair(8, 8)
    names = {prefix: module, **dict.fromkeys(others, "encoder.elsewhere")}
    flat = [f"lora_{start}_text_model_{name.replace('.', '_')}" for start, name in names.items()]
    tensors = {f"{name}.lora_{side}.weight": tensor for name in flat for side, tensor in (("down", down), ("up", up))}
    layers = read_lora(tensors, "m").layers
    found = part_layers(layers, part, {f"{module}.weight": torch.Size((8, 8))}, family)
    assert (list(found.matched), found.unmatched) == ([f"{module}.weight"], ())
