"""Transformers and autoencoders of flow families are saved as their authors have them, merged or as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphflow import Workflow, nodes
from graphflow.errors import NodeError
from graphflow.library.describe import describe_file
from graphflow.session import Session
from graphflow.spec.registry import installed
from tests.families.recorded_flows import make_session, write_qwen_tokenizer, write_t5_tokenizer
from tests.families.recorded_models import write_model
from tests.families.svd_files import write_temporal_vae

TRANSFORMERS = (
    "chroma", "flux_canny", "flux_dev", "flux_fill", "flux_schnell", "lumina2", "qwen_image", "qwen_image_2511", "sd3",
    "sd35_large", "sd35_medium", "z_image",
)  # fmt: skip
ENCODERS = {
    "clip_l_tiny": "flux",
    "clip_g_tiny": "sd3",
    "t5xxl_tiny": "sd3",
    "qwen25_7b": "qwen_image",
    "qwen3_4b": "z-image",
}
PROJECTION = "text_projection.weight"
UNUSED = {"norm_final.weight", PROJECTION}
"""What the authors' code does not use, either: of CLIP's projections that of the small one."""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return make_session(installed(), tmp_path / "models", tmp_path / "cache")


def read(path: Path) -> dict[str, Tensor]:
    return {name.removeprefix("model.diffusion_model."): tensor for name, tensor in load_file(path).items()}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_transformer_comes_out_as_it_went_in(session: Session, tmp_path: Path, name: str) -> None:
    original = write_model(name, tmp_path / "models")
    g = Workflow()
    model = g.add(nodes.load_diffusion_model, model=original.name)
    g.add(nodes.save_model, model=model, dtype="float32")
    (saved,) = session.run(g, out=tmp_path).paths
    before, after = read(original), read(saved)
    assert before.keys() - UNUSED == after.keys()
    for key, tensor in after.items():
        assert torch.equal(tensor, before[key]), key
    told, again = describe_file("", original), describe_file("", saved)
    assert (told.family, told.variant, told.task) == (again.family, again.variant, again.task)


def test_stable_video_diffusion_is_written_as_it_was_read(session: Session, tmp_path: Path) -> None:
    """The checkpoint's UNet and image encoder, and an autoencoder that decodes frames together."""
    original = write_model("svd", tmp_path / "models")
    vae = write_temporal_vae(tmp_path / "models" / "vae" / "svd_vae.safetensors")
    g = Workflow()
    loaded = g.add(nodes.load_image_to_video_checkpoint, model=original.name)
    parts = {
        "model": loaded.model,
        "image_encoder": loaded.image_encoder,
        "vae": g.add(nodes.load_vae, model="svd_vae"),
    }
    g.add(nodes.save_image_to_video_checkpoint, **parts, dtype="float32")
    (saved,) = session.run(g, out=tmp_path).paths
    after = load_file(saved)
    before = {
        key: tensor for key, tensor in load_file(original).items() if not key.startswith("first_stage_model.")
    } | vae
    assert before.keys() == after.keys()
    for key, tensor in after.items():
        assert torch.equal(tensor, before[key].reshape(tensor.shape)), key
    told, again = describe_file("", original), describe_file("", saved)
    assert (told.family, told.variant) == (again.family, again.variant)
    other = g.add(nodes.load_checkpoint, model="shapes")
    g.add(nodes.save_image_to_video_checkpoint, **{**parts, "model": other.model}, id="wrong")
    with pytest.raises(NodeError, match="hold no image encoder"):
        session.run(g, out=tmp_path, targets=["wrong"])


def test_models_are_merged_and_the_result_is_a_model(session: Session, tmp_path: Path) -> None:
    first = write_model("flux_dev", tmp_path / "models")
    weights = load_file(first)
    save_file({key: -3 * tensor for key, tensor in weights.items()}, first.with_name("other.safetensors"))
    g = Workflow()
    model, other = (g.add(nodes.load_diffusion_model, model=name) for name in (first.name, "other"))
    merged = g.add(nodes.merge_models, model=model, other=other, ratio=0.5)
    blocks = {"double_blocks.1.": 1.0, "single_blocks.0.linear1": 0.0}
    by_block = g.add(nodes.merge_model_blocks, model=model, other=other, input_ratio=0.5, blocks=blocks)
    for number, made in enumerate((merged, by_block)):
        g.add(nodes.save_model, model=made, dtype="float32", filename_prefix=f"made{number}")
    for path, shares in zip(session.run(g, out=tmp_path).paths, ({}, blocks), strict=True):
        for key, tensor in read(path).items():
            share = next((share for start, share in shares.items() if key.startswith(start)), 0.5)
            assert torch.allclose(tensor, (share - 3 * (1 - share)) * weights[key]), key


@pytest.mark.parametrize("name", ["ae_tiny", "wan_vae"])
def test_an_autoencoder_comes_out_as_it_went_in(session: Session, tmp_path: Path, name: str) -> None:
    original = write_model(name, tmp_path / "models")
    g = Workflow()
    g.add(nodes.save_vae, vae=g.add(nodes.load_vae, model=original.name), dtype="float32")
    (saved,) = session.run(g, out=tmp_path).paths
    before, after = load_file(original), load_file(saved)
    assert before.keys() == after.keys()
    for key, tensor in after.items():
        assert torch.equal(tensor, before[key].reshape(tensor.shape)), key


@pytest.mark.parametrize("name", ENCODERS)
def test_a_text_encoder_comes_out_as_it_went_in(session: Session, tmp_path: Path, name: str) -> None:
    original = write_model(name, tmp_path / "models")
    tokenizers = tmp_path / "models" / "tokenizers"
    write_t5_tokenizer(tokenizers / "t5" / "tokenizer.json")
    for vocabulary in ("qwen2", "qwen2_5_vl"):
        write_qwen_tokenizer(tokenizers / vocabulary / "tokenizer.json")
    g = Workflow()
    encoder = g.add(nodes.load_text_encoder, model=original.name, family=ENCODERS[name])
    g.add(nodes.save_text_encoder, text_encoder=encoder, dtype="float32")
    (saved,) = session.run(g, out=tmp_path).paths
    before, after = load_file(original), load_file(saved)
    assert before.keys() - UNUSED == after.keys() - UNUSED
    for key, tensor in after.items():
        assert torch.equal(tensor, before[key]), key


def test_a_whole_checkpoint_is_written_and_read(session: Session, tmp_path: Path) -> None:
    original = write_model("sd3_checkpoint", tmp_path / "models")
    write_t5_tokenizer(tmp_path / "models" / "tokenizers" / "t5" / "tokenizer.json")
    g = Workflow()
    checkpoint = g.add(nodes.load_checkpoint, model=original.name)
    parts = {"model": checkpoint.model, "text_encoder": checkpoint.text_encoder, "vae": checkpoint.vae}
    g.add(nodes.save_checkpoint, **parts, dtype="float32")
    (saved,) = session.run(g, out=tmp_path).paths
    told, again = describe_file("", original), describe_file("", saved)
    assert (again.family, again.variant, again.parts.keys()) == (told.family, told.variant, told.parts.keys())
    before, after = load_file(original), load_file(saved)
    assert all(torch.equal(tensor, before[key]) for key, tensor in after.items())
    assert before.keys() - after.keys() == {f"text_encoders.clip_l.transformer.{PROJECTION}"}
