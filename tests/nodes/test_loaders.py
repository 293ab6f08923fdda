"""Loaders return recipes and read no weights."""

from __future__ import annotations

import pytest

from graphflow.errors import ModelFormatError, ModelNotFoundError
from graphflow.nodes import load_checkpoint, load_diffusion_model, load_safety_checker, load_text_encoder, load_vae
from tests.nodes.fakes import FakeModels, Told


def test_a_checkpoint_gives_its_parts(told: Told) -> None:
    checkpoint = load_checkpoint("full")
    assert [file.part for file in checkpoint.model.files] == ["unet"]
    assert [file.part for file in checkpoint.text_encoder.files] == ["text_encoder"]
    assert [file.part for file in checkpoint.vae.files] == ["vae"]
    assert checkpoint.safety_checker is not None
    assert checkpoint.model.files[0].options == {}


def test_a_checkpoint_without_a_checker_gives_none(told: Told, models: FakeModels) -> None:
    models.known["bare"] = ("unet", "text_encoder", "vae")
    assert load_checkpoint("bare").safety_checker is None


def test_two_text_encoders_stay_together(told: Told, models: FakeModels) -> None:
    models.known["xl"] = ("unet", "text_encoder", "text_encoder_2", "vae")
    assert [file.part for file in load_checkpoint("xl").text_encoder.files] == ["text_encoder", "text_encoder_2"]


def test_choices_against_the_file_enter_the_recipe(told: Told) -> None:
    options = load_checkpoint("full", prediction="v_prediction", zero_snr="on").model.files[0].options
    assert options == {"prediction_type": "v_prediction", "zero_snr": True}
    assert load_diffusion_model("full", zero_snr="off").files[0].options == {"zero_snr": False}


def test_a_file_without_a_denoiser_is_no_checkpoint(told: Told, models: FakeModels) -> None:
    models.known["vae_only"] = ("vae",)
    with pytest.raises(ModelFormatError, match="no denoising model, only vae"):
        load_checkpoint("vae_only")
    with pytest.raises(ModelFormatError, match="no denoising model"):
        load_diffusion_model("vae_only")
    with pytest.raises(ModelFormatError, match="no text encoder"):
        load_text_encoder("vae_only")
    with pytest.raises(ModelFormatError, match="no safety checker"):
        load_safety_checker("vae_only")
    assert load_vae("vae_only").files[0].part == "vae"


def test_single_parts(told: Told) -> None:
    assert load_diffusion_model("full").files[0].part == "unet"
    assert load_safety_checker("full").files[0].part == "safety_checker"
    assert len(load_text_encoder("full", "full").files) == 2


def test_an_unknown_name_is_an_error(told: Told) -> None:
    with pytest.raises(ModelNotFoundError):
        load_checkpoint("nothing")
