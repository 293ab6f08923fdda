"""Transformers on a flow are told by the header of their file, in the authors' naming and in Diffusers'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from graphflow.errors import ModelFormatError
from graphflow.library.describe import describe_file
from graphflow.modelfiles.description import Part
from tests.families.recorded_models import shapes
from tests.models.weight_shapes import write_header

PREFIX = "model.diffusion_model."
MODELS = [
    ("chroma", "chroma", {"num_layers": 2, "num_single_layers": 2, "approximator_layers": 2, "num_attention_heads": 2}),
    ("flux_dev", "flux_dev", {"guidance_embeds": True, "axes_dims_rope": [16, 56, 56], "pooled_projection_dim": 64}),
    ("sd3", "sd3", {"num_layers": 3, "num_attention_heads": 3, "dual_attention_layers": [], "qk_norm": None}),
    ("sd35_large", "sd35_large", {"num_layers": 3, "dual_attention_layers": [], "qk_norm": "rms_norm"}),
    ("sd35_medium", "sd35_medium", {"dual_attention_layers": [0, 1], "qk_norm": "rms_norm", "pos_embed_max_size": 16}),
]


def transformer(folder: Path, tensors: dict[str, Any], variant: str) -> Part:
    """Describe a file with these tensors, which is of a variant."""
    found = describe_file("m", write_header(folder / "m.safetensors", tensors))
    assert (found.kind, found.variant) == ("diffusion_model", variant)
    assert variant.startswith(found.family or "?")
    return found.parts["transformer"]


@pytest.mark.filterwarnings("ignore:.*FluxPosEmbed:FutureWarning")  # of Diffusers' own class
@pytest.mark.parametrize(("name", "variant", "facts"), MODELS)
def test_a_transformer_is_told_in_both_namings(name: str, variant: str, facts: dict[str, Any], tmp_path: Path) -> None:
    import diffusers

    original = shapes()[name]["tensors"]
    part = transformer(tmp_path, {PREFIX + key: shape for key, shape in original.items()}, variant)
    assert {key: part.config[key] for key in facts} == facts
    with torch.device("meta"):
        module = getattr(diffusers, part.class_name).from_config(dict(part.config))
    renamed = {key: list(tensor.shape) for key, tensor in module.state_dict().items()}
    assert transformer(tmp_path, renamed, variant).config == part.config


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        ("sd3", "x_embedder.proj.weight"),
        ("sd3", "pos_embed"),
        ("sd3", "final_layer.linear.weight"),
        ("chroma", "img_in.weight"),
        ("chroma", "distilled_guidance_layer.in_proj.weight"),
        ("flux_dev", "vector_in.in_layer.weight"),
    ],
)
def test_a_transformer_that_lacks_layers_is_refused(name: str, lacking: str, tmp_path: Path) -> None:
    tensors = {key: shape for key, shape in shapes()[name]["tensors"].items() if key != lacking}
    with pytest.raises(ModelFormatError, match="transformer lacks"):
        describe_file("m", write_header(tmp_path / "m.safetensors", tensors))


def test_chroma_radiance_is_refused_by_name(tmp_path: Path) -> None:
    tensors = dict(shapes()["chroma"]["tensors"])
    del tensors["img_in.weight"]
    tensors |= {"img_in_patch.weight": [256, 3, 16, 16], "nerf_final_layer_conv.conv.weight": [3, 64, 3, 3]}
    with pytest.raises(ModelFormatError, match="is Chroma Radiance, which draws pixels"):
        describe_file("m", write_header(tmp_path / "m.safetensors", tensors))
