"""What a person sees while sampling runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from graphflow import runtime
from graphflow.families.stable_diffusion.family import FAMILY as SD_FAMILY
from graphflow.nodes import load_checkpoint
from graphflow.nodes.sampling.previews import fit_factors, latent_to_rgb, previewer, published_factors
from graphflow.sampling.latent_space import LatentSpace
from graphflow.session import Session
from graphflow.values import Model
from tests.closeness import assert_close
from tests.models.tiny_manager import SD, make_manager, running
from tests.nodes.fakes import FakeModels, FakeVae, Told

LATENT = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
LATENT = torch.cat([LATENT, LATENT[:, :1]], dim=1)  # as the stand-in's autoencoder makes them


def preview(models: FakeModels, latent: torch.Tensor = LATENT, **loaded: Any) -> torch.Tensor | None:
    with runtime.using(Told().runtime(models)):
        model: Model = load_checkpoint("full").model
        return previewer(model, replace(models.denoiser, **loaded))(latent)


def test_published_models_have_a_published_map(models: FakeModels) -> None:
    got = preview(models)
    assert got is not None
    assert_close(got, latent_to_rgb(LATENT, published_factors(SD_FAMILY.latent)))
    assert got.shape == (2, 3, 8, 8)
    grey = preview(models, torch.zeros(1, 4, 2, 2))
    assert grey is not None
    assert torch.equal(grey, torch.full((1, 3, 2, 2), 0.5))


def test_other_models_have_a_map_fitted_to_their_autoencoder(models: FakeModels) -> None:
    # the stand-in's latents are colours, and the model's space is half as large
    got = preview(models, LATENT * 0.5, text_width=64)
    assert got is not None
    assert torch.allclose(got, LATENT[:, :3], atol=1e-3)


def test_a_fitted_map_undoes_scale_and_shift() -> None:
    factors = fit_factors(FakeVae(), LatentSpace(scale=0.25, shift=0.1))
    latent = (LATENT - 0.1) * 0.25
    assert torch.allclose(latent_to_rgb(latent, factors), LATENT[:, :3], atol=1e-3)


def test_a_tiny_autoencoder_is_taken_where_there_is_one(models: FakeModels) -> None:
    models.known["taesd"] = ("vae",)
    got = preview(models, LATENT * 0.5)
    assert got is not None
    assert got.shape == (2, 3, 64, 64)
    assert torch.allclose(got[..., ::8, ::8], LATENT[:, :3], atol=1e-5)


@pytest.mark.parametrize("latent", [torch.zeros(1, 16, 2, 2), torch.zeros(1, 4, 3, 2, 2)])
def test_latents_of_another_kind_have_none(models: FakeModels, latent: torch.Tensor) -> None:
    assert preview(models, latent) is None


def test_the_packaged_model_shows_its_colours() -> None:
    """Decoded and previewed pictures of the shapes model agree."""
    session = Session()
    with runtime.using(session.runtime()):
        checkpoint = load_checkpoint("shapes")
        colours = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
        pixels = colours[:, :, None, None].expand(-1, -1, 128, 128)
        with checkpoint.vae.use() as vae:
            latent = vae.encode(pixels)
        with checkpoint.model.use() as loaded:
            shown = previewer(checkpoint.model, loaded)(latent * loaded.latent.scale)
    assert shown is not None
    assert float((shown.mean(dim=(2, 3)) - colours).abs().mean()) < 0.15


def test_a_tiny_autoencoder_in_the_model_folder_decodes_what_the_model_sees(tmp_path: Path) -> None:
    from diffusers import AutoencoderTiny

    torch.manual_seed(0)
    tiny = AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, num_encoder_blocks=(1,) * 4,
        num_decoder_blocks=(1,) * 4,
    )  # fmt: skip
    tiny.save_pretrained(tmp_path / "vae" / "taesd")
    manager = make_manager(tmp_path)
    with running(manager):
        model = load_checkpoint(SD).model
        with model.use() as loaded:
            shown = previewer(model, loaded)(LATENT)
    with torch.no_grad():
        expected = (tiny.decode(LATENT).sample / 2 + 0.5).clamp(0, 1)
    assert shown is not None
    assert torch.allclose(shown, expected, atol=1e-5)
