"""The nodes on tiny random models, loaded by the real manager."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.nodes import (
    empty_latent,
    encode_image,
    encode_prompt,
    load_checkpoint,
    load_diffusion_model,
    load_text_encoder,
    load_vae,
    run_pipeline,
    safety_filter,
    sample,
    vae_decode,
)
from graphflow.values import Image
from tests.closeness import assert_close
from tests.models.tiny_manager import SD, SD_FILE, SDXL, SDXL_FILE, Told, make_manager, running, tiny_root


@pytest.fixture
def told() -> Iterator[Told]:
    manager = make_manager()
    with running(manager) as memory:
        yield memory


@pytest.mark.parametrize(("folder", "file"), [(SD, SD_FILE), (SDXL, SDXL_FILE)])
def test_a_folder_and_a_single_file_give_the_same_picture(told: Told, folder: str, file: str) -> None:
    pictures = []
    for name in (folder, file):
        model, text_encoder, vae, _ = load_checkpoint(name)
        positive = encode_prompt(text_encoder, "a (red:1.3) cat")
        negative = encode_prompt(text_encoder, "")
        latent = sample(model, positive, empty_latent(32, 32, batch_size=2), negative, seed=1, steps=2)
        pictures.append(vae_decode(vae, latent).pixels)
    assert pictures[0].shape[:2] == (2, 3)
    assert pictures[0].std() > 0.001
    assert torch.allclose(*pictures, atol=1e-4)


def test_parts_loaded_one_by_one_equal_the_checkpoint(told: Told) -> None:
    whole = load_checkpoint(SD)
    positive = encode_prompt(whole.text_encoder, "a cat")
    alone = encode_prompt(load_text_encoder(SD), "a cat")
    assert_close(alone.entries[0].embedding, positive.entries[0].embedding)
    latent = empty_latent(32, 32)
    expected = sample(whole.model, positive, latent, steps=2)
    assert_close(sample(load_diffusion_model(SD), positive, latent, steps=2).samples, expected.samples)
    assert_close(vae_decode(load_vae(SD), expected).pixels, vae_decode(whole.vae, expected).pixels)


def test_prediction_can_be_chosen_against_the_file(told: Told) -> None:
    checkpoint = load_checkpoint(SD)
    positive = encode_prompt(checkpoint.text_encoder, "a cat")
    results = [
        sample(load_checkpoint(SD, prediction=kind).model, positive, empty_latent(32, 32), steps=2).samples
        for kind in ("auto", "epsilon", "v_prediction")
    ]
    assert_close(results[1], results[0])
    assert not torch.allclose(results[0], results[2], atol=0.01)


def test_a_missing_embedding_is_left_out_with_a_notice(told: Told) -> None:
    checkpoint = load_checkpoint(SD)
    with_name = encode_prompt(checkpoint.text_encoder, "a cat embedding:nothing")
    without = encode_prompt(checkpoint.text_encoder, "a cat")
    assert torch.equal(with_name.entries[0].embedding, without.entries[0].embedding)
    assert any("nothing" in notice for notice in told.notices)


def test_conditioning_of_another_family_is_refused(told: Told) -> None:
    positive = encode_prompt(load_checkpoint(SDXL).text_encoder, "a cat")
    with pytest.raises(InvalidInputError, match="width 64"):
        sample(load_checkpoint(SD).model, positive, empty_latent(32, 32), steps=1)


def test_the_autoencoder_cuts_what_fills_no_sample(told: Told) -> None:
    vae = load_checkpoint(SD).vae
    latent = encode_image(vae, Image(pixels=torch.rand(1, 4, 33, 47)), tile=0)
    assert latent.samples.shape == (1, 4, 33 // latent.downscale, 47 // latent.downscale)
    assert vae_decode(vae, latent).pixels.min() >= 0


def test_the_safety_checker_of_a_checkpoint_runs(told: Told) -> None:
    checker = load_checkpoint(SD).safety_checker
    assert checker is not None
    images, flags = safety_filter(Image(pixels=torch.rand(3, 3, 40, 40)), checker)
    assert images.pixels.shape[0] + sum(flags) == 3


def test_a_family_that_is_asked_for_is_used(told: Told) -> None:
    assert load_text_encoder(SD, family="sdxl").family == "sdxl"
    assert load_text_encoder(SD).family == "sd"


# ------------------------------------------------------------------------------------- whole pipelines

ARGUMENTS = {"num_inference_steps": 2, "width": 16, "height": 16}


def test_a_whole_pipeline_makes_a_picture_again_and_again(told: Told) -> None:
    first = run_pipeline("StableDiffusionPipeline", SD, "a cat", dict(ARGUMENTS), seed=4)
    second = run_pipeline("StableDiffusionPipeline", SD, "a cat", dict(ARGUMENTS), seed=4)
    other = run_pipeline("StableDiffusionPipeline", SD, "a cat", dict(ARGUMENTS), seed=5)
    assert first.images is not None
    assert second.images is not None
    assert other.images is not None
    assert first.video is None
    assert first.safety_checker is not None
    assert torch.equal(first.images.pixels, second.images.pixels)
    assert not torch.equal(first.images.pixels, other.images.pixels)


def test_the_scheduler_can_be_changed(told: Told) -> None:
    plain = run_pipeline("StableDiffusionPipeline", SD, "a cat", dict(ARGUMENTS)).images
    changed = run_pipeline(
        "StableDiffusionPipeline",
        SD,
        "a cat",
        dict(ARGUMENTS),
        scheduler="DDPMScheduler",
        scheduler_options={"timestep_spacing": "trailing"},
    ).images
    assert plain is not None
    assert changed is not None
    assert not torch.allclose(plain.pixels, changed.pixels, atol=1e-4)
    with pytest.raises(InvalidInputError, match="did you mean 'timestep_spacing'"):
        run_pipeline(
            "StableDiffusionPipeline", SD, "a", dict(ARGUMENTS), scheduler_options={"timestep_spacings": "trailing"}
        )


def test_a_picture_goes_in_over_a_link(told: Told) -> None:
    image = Image(pixels=torch.rand(1, 3, 16, 16))
    result = run_pipeline(
        "StableDiffusionImg2ImgPipeline", SD, "a cat", {"num_inference_steps": 2, "strength": 0.5}, image=image
    )
    assert result.images is not None
    assert result.images.pixels.shape == (1, 3, 16, 16)
    with pytest.raises(InvalidInputError, match="no 'image'"):
        run_pipeline("StableDiffusionPipeline", SD, "a cat", dict(ARGUMENTS), image=image)


def test_what_a_pipeline_refuses_is_an_error_of_the_input(told: Told) -> None:
    with pytest.raises(InvalidInputError, match="divisible by 8"):
        run_pipeline("StableDiffusionPipeline", SD, "a cat", {**ARGUMENTS, "width": 17})


def test_a_single_file_and_a_model_for_another_pipeline_are_refused(told: Told) -> None:
    with pytest.raises(ModelFormatError, match="Diffusers folder"):
        run_pipeline("StableDiffusionPipeline", SD_FILE, "a cat")
    with pytest.raises(ModelFormatError, match="cannot be made of it"):
        run_pipeline("FluxPipeline", SD, "a cat")


@pytest.mark.parametrize("entry", [{"unet": ["os", "system"]}, {"_class_name": ["my_pipeline", "MyPipeline"]}])
def test_an_index_with_code_of_its_own_is_refused(tmp_path: Path, entry: dict[str, list[str]]) -> None:
    folder = tmp_path / "strange"
    shutil.copytree(tiny_root() / SD, folder)
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text("utf-8")), **entry}), "utf-8")
    with running(make_manager(tmp_path)), pytest.raises(ModelFormatError):
        run_pipeline("StableDiffusionPipeline", "strange", "a cat")
