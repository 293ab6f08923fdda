"""Saved models: read again they are what they were, and other programs' loaders know them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file
from torch import Tensor

from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.loading.lora_extraction import factors
from graphflow.loading.manager import ModelManager
from graphflow.nodes.conditioning.prompts import encode_prompt
from graphflow.nodes.latents.empty import empty_latent
from graphflow.nodes.latents.vae import vae_decode
from graphflow.nodes.models.hooks import freeu
from graphflow.nodes.models.loaders import load_checkpoint, load_diffusion_model, load_text_encoder, load_vae
from graphflow.nodes.models.lora import apply_lora
from graphflow.nodes.models.merging import subtract_models, subtract_text_encoders
from graphflow.nodes.models.saving import save_checkpoint, save_lora, save_model, save_text_encoder, save_vae
from graphflow.nodes.sampling.sample import sample
from graphflow.values import Files, LoraPatch, Model, TextEncoder, Vae
from tests.models.loaded_weights import weights
from tests.models.lora_files import pair, write
from tests.models.tiny_manager import SD, SDXL, Told, make_manager, model, running

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
CONV = "down_blocks.0.resnets.0.conv1"
TEXT = "encoder.layers.1.mlp.fc1"


@pytest.fixture
def manager(tmp_path: Path) -> ModelManager:
    tensors: dict[str, Tensor] = {}
    for name, (down, up) in (
        (f"unet.{QUERY}", pair(32, 32)),
        (f"unet.{CONV}", pair(32, 32, kernel=3, seed=1)),
        (f"text_encoder.text_model.{TEXT}", pair(37, 32, seed=2)),
    ):
        tensors |= {f"{name}.lora_A.weight": down * 3, f"{name}.lora_B.weight": up * 3}
    write(tmp_path, "lora", tensors)
    return make_manager(tmp_path)


def put(files: Files, folder: Path, name: str) -> None:
    """Write a node's files as the engine would."""
    folder.mkdir(exist_ok=True)
    for number, file in enumerate(files.files):
        (folder / f"{name}{number or ''}{file.suffix}").write_bytes(file.data)


def picture(model: Model, text_encoder: TextEncoder, vae: Vae) -> Tensor:
    positive = encode_prompt(text_encoder, "a (red:1.3) cat")
    latent = sample(model, positive, empty_latent(32, 32), steps=2, guidance_scale=1.0, seed=3)
    return vae_decode(vae, latent).pixels


@pytest.mark.parametrize("name", [SD, SDXL])
def test_a_saved_checkpoint_makes_the_same_picture(manager: ModelManager, tmp_path: Path, name: str) -> None:
    with running(manager):
        plain = load_checkpoint(name)
        recipe, encoder = plain.model, plain.text_encoder
        if name == SD:
            recipe, adapted = apply_lora(plain.model, "lora", plain.text_encoder, 0.7, 0.6)
            assert adapted is not None
            encoder = adapted
        before = picture(recipe, encoder, plain.vae)
        put(save_checkpoint(recipe, encoder, plain.vae, dtype="float32"), tmp_path / "checkpoints", "saved")
        again = load_checkpoint("saved")
        assert again.model.family == plain.model.family
        after = picture(again.model, again.text_encoder, again.vae)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


def test_parts_are_saved_alone(manager: ModelManager, tmp_path: Path) -> None:
    with running(manager):
        plain = load_checkpoint(SD)
        before = picture(plain.model, plain.text_encoder, plain.vae)
        put(save_model(plain.model, dtype="float32"), tmp_path / "unet", "unet")
        put(save_text_encoder(plain.text_encoder, dtype="float32"), tmp_path / "text_encoders", "text")
        put(save_vae(plain.vae, dtype="float32"), tmp_path / "vae", "vae")
        unet = load_diffusion_model("unet", prediction="epsilon")
        assert {name: shape.shape for name, shape in weights(unet).items()} == {
            name: shape.shape for name, shape in weights(plain.model).items()
        }
        after = picture(unet, load_text_encoder("text"), load_vae("vae"))
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)


def test_sdxl_text_encoders_are_two_files(manager: ModelManager) -> None:
    with running(manager):
        files = save_text_encoder(load_checkpoint(SDXL).text_encoder).files
    assert [file.stem for file in files] == ["text_encoder-text_encoder", "text_encoder-text_encoder_2"]
    assert "transformer.resblocks.0.attn.in_proj_weight" in load(files[1].data)


def test_diffusers_reads_a_saved_model(manager: ModelManager, tmp_path: Path) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

    with running(manager):
        plain = load_checkpoint(SD)
        put(save_checkpoint(plain.model, plain.text_encoder, plain.vae, dtype="float32"), tmp_path / "x", "saved")
        with plain.model.use() as loaded, plain.vae.use() as autoencoder:
            for module, convert in (
                (loaded.module, convert_ldm_unet_checkpoint),
                (autoencoder.module, convert_ldm_vae_checkpoint),
            ):
                found: dict[str, Any] = convert(load_file(tmp_path / "x" / "saved.safetensors"), dict(module.config))
                wanted = module.state_dict()
                assert found.keys() == wanted.keys()
                assert all(torch.equal(found[name].reshape(wanted[name].shape), wanted[name]) for name in wanted)


def test_hooks_are_left_out_with_a_notice(manager: ModelManager) -> None:
    with running(manager) as told:
        recipe = load_checkpoint(SD).model
        assert save_model(freeu(recipe)).files[0].data == save_model(recipe).files[0].data
    assert len(told.notices) == 1 and "FreeU" in told.notices[0]


def test_a_weight_that_does_not_fit_is_refused(manager: ModelManager) -> None:
    with running(manager):
        huge = model(manager, SD).patched(LoraPatch(file=manager.find("lora", "lora", part=""), strength=1e7))
        with pytest.raises(ModelFormatError, match="infinite numbers as float16"):
            save_model(huge)
        assert save_model(huge, dtype="float32").files


def test_a_difference_becomes_the_lora_it_was(manager: ModelManager, tmp_path: Path) -> None:
    told: Told
    with running(manager) as told:
        plain = load_checkpoint(SD)
        adapted = apply_lora(plain.model, "lora", plain.text_encoder, 0.5, 0.5)
        assert adapted.text_encoder is not None
        files = save_lora(
            subtract_models(adapted.model, plain.model),
            subtract_text_encoders(adapted.text_encoder, plain.text_encoder),
            rank=2,
            dtype="float32",
        )
        put(files, tmp_path / "loras", "again")
        again = apply_lora(plain.model, "again", plain.text_encoder)
        assert again.text_encoder is not None
        for found, wanted in ((again.model, adapted.model), (again.text_encoder, adapted.text_encoder)):
            mine, theirs = weights(found), weights(wanted)
            for name in theirs:
                torch.testing.assert_close(mine[name], theirs[name], atol=1e-5, rtol=1e-4, msg=name)
    assert not told.notices
    assert len(load(files.files[0].data)) == 9


def test_there_must_be_a_difference(manager: ModelManager) -> None:
    with running(manager):
        recipe = load_checkpoint(SD).model
        with pytest.raises(InvalidInputError, match="no difference"):
            save_lora()
        with pytest.raises(InvalidInputError, match="do not differ"):
            save_lora(subtract_models(recipe, recipe))


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (16, 8, 3, 3), (1, 5)])
def test_factors_are_the_best_of_their_rank(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(shape, generator=generator)
    matrix = weight.flatten(1)
    values = torch.linalg.svdvals(matrix)
    for rank in (1, 3, 100):
        up, down = factors(weight, rank)
        kept = min(rank, *matrix.shape)
        assert up.shape == (shape[0], kept, *(1,) * (len(shape) - 2))
        assert down.shape == (kept, *shape[1:])
        left = (matrix - up.flatten(1) @ down.flatten(1)).norm()
        best = values[kept:].norm()
        assert left <= 1.05 * best + 1e-4
