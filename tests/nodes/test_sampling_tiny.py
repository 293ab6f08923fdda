"""The sampling nodes on tiny Stable Diffusion and SDXL models, with networks that compute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from graphflow.basics.finite import NonFiniteError
from graphflow.errors import InvalidInputError
from graphflow.loading.manager import ModelManager
from graphflow.nodes import (
    combine_conditioning,
    empty_latent,
    encode_for_inpaint,
    encode_prompt,
    encode_prompt_sdxl,
    inpaint_conditioning,
    load_checkpoint,
    rectangle_mask,
    rescale_guidance,
    sample,
    set_conditioning_area,
    set_conditioning_range,
    set_prediction,
)
from graphflow.values import Conditioning, Image
from tests.closeness import assert_close
from tests.models.tiny import UNET, make_tiny_sd
from tests.models.tiny_manager import SD, SDXL, error, make_manager, running

PAINTER, EDITOR, UPSCALER = "tiny-painter", "tiny-editor", "tiny-upscaler"


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelManager]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("models")
    for name, channels in ((PAINTER, 9), (EDITOR, 8), (UPSCALER, 7)):
        torch.manual_seed(channels)
        UNet2DConditionModel(**{**UNET, "in_channels": channels}).save_pretrained(make_tiny_sd(root / name) / "unet")
    made = make_manager(root)
    with running(made):
        yield made
    torch.set_num_threads(threads)


def drawn(name: str, positive: Conditioning, negative: Conditioning | None = None, **changes: Any) -> Tensor:
    model = changes.pop("model", None) or load_checkpoint(name).model
    latent = changes.pop("latent", None) or empty_latent(64, 64)
    settings: dict[str, Any] = {"steps": 3, "sampler": "euler", "schedule": "normal", "seed": 3, **changes}
    samples: Tensor = sample(model, positive, latent, negative, **settings).samples
    return samples


def test_an_area_over_everything_is_no_area(manager: ModelManager) -> None:
    told = encode_prompt(load_checkpoint(SD).text_encoder, "a fox")
    whole = set_conditioning_area(told, 64, 64, unit="pixels")
    assert error(drawn(SD, whole, told), drawn(SD, told, told)) < 1e-5


def test_equal_prompts_in_parts_are_one_prompt(manager: ModelManager) -> None:
    told = encode_prompt(load_checkpoint(SD).text_encoder, "a fox")
    parts = combine_conditioning([set_conditioning_range(told, 0.0, 0.5), set_conditioning_range(told, 0.5, 1.0)])
    assert error(drawn(SD, parts, told, guidance_scale=3.0), drawn(SD, told, told, guidance_scale=3.0)) < 1e-5
    assert error(drawn(SD, combine_conditioning([told, told])), drawn(SD, told)) < 1e-5


def test_what_is_put_on_a_model_acts_in_the_run_and_leaves_the_model_as_it_was(manager: ModelManager) -> None:
    checkpoint = load_checkpoint(SD)
    positive, negative = (encode_prompt(checkpoint.text_encoder, text) for text in ("a fox", "a dog"))
    before = drawn(SD, positive, negative)
    rescaled = drawn(SD, positive, negative, model=rescale_guidance(checkpoint.model, 1.0))
    velocity = drawn(SD, positive, negative, model=set_prediction(checkpoint.model, "v_prediction"))
    assert error(rescaled, before) > 1e-3
    assert error(velocity, before) > 1e-3
    assert torch.equal(drawn(SD, positive, negative), before)


def test_sdxl_reads_each_text_with_its_encoder_and_the_sizes(manager: ModelManager) -> None:
    encoder = load_checkpoint(SDXL).text_encoder
    base = encode_prompt_sdxl(encoder, "a fox", "a fox")
    large, small = encode_prompt_sdxl(encoder, "a dog", "a fox"), encode_prompt_sdxl(encoder, "a fox", "a dog")
    (one,), (other_large,), (other_small,) = base.entries, large.entries, small.entries
    same_large = (one.embedding == other_small.embedding).all(dim=(0, 1))
    same_small = (one.embedding == other_large.embedding).all(dim=(0, 1))
    assert bool((same_large ^ same_small).all())  # each channel belongs to one of the encoders
    assert bool(same_small[0]) and bool(same_large[-1])  # the small one's come first
    assert one.pooled is not None and other_small.pooled is not None and other_large.pooled is not None
    assert torch.equal(one.pooled, other_small.pooled)
    assert not torch.equal(one.pooled, other_large.pooled)
    cropped = encode_prompt_sdxl(encoder, "a fox", "a fox", crop_x=512)
    assert error(drawn(SDXL, cropped), drawn(SDXL, base)) > 1e-6


def test_a_network_that_makes_nan_is_named_with_its_step(manager: ModelManager) -> None:
    checkpoint = load_checkpoint(SD)
    told = encode_prompt(checkpoint.text_encoder, "a fox")
    with checkpoint.model.use() as loaded:
        weight = loaded.module.conv_out.bias
        kept = weight.detach().clone()
        weight.data.fill_(float("nan"))
        try:
            with pytest.raises(NonFiniteError, match="step 1 of 3"):
                drawn(SD, told)
        finally:
            weight.data.copy_(kept)
    assert bool(torch.isfinite(drawn(SD, told)).all())


def test_a_painting_network_reads_the_latent_and_its_noise_mask_where_nobody_said_more(manager: ModelManager) -> None:
    checkpoint = load_checkpoint(PAINTER)
    told, not_told = (encode_prompt(checkpoint.text_encoder, text) for text in ("a fox", ""))
    picture = Image(pixels=torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)))
    hole = rectangle_mask(64, 64, left=0, right=0.5, top=0, bottom=1)
    implied = encode_for_inpaint(checkpoint.vae, picture, hole, grow=0)
    said = inpaint_conditioning(told, not_told, checkpoint.vae, picture, hole)
    by_mask = drawn(PAINTER, told, not_told, latent=implied)
    by_name = drawn(PAINTER, said.positive, said.negative, latent=implied)
    assert_close(by_mask, by_name)


@pytest.mark.parametrize("scaled", [False, True])
def test_an_editing_network_reads_the_picture_in_its_own_scale_or_raw(manager: ModelManager, scaled: bool) -> None:
    checkpoint = load_checkpoint(EDITOR)
    (entry,) = encode_prompt(checkpoint.text_encoder, "a fox").entries
    picture = torch.rand(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    told = {"positive": Conditioning(entries=(replace(entry, extras={"picture": picture}),))}
    with checkpoint.model.use() as loaded:
        loaded.latent = replace(loaded.latent, scale=0.5, scaled_reference=scaled)
        (seeing,) = loaded.painting(told, torch.zeros(1, 4, 8, 8), None)["positive"].entries
    assert torch.equal(seeing.extras["concat"], picture * 0.5 if scaled else picture)


@pytest.mark.parametrize(
    ("name", "beside"), [(PAINTER, (1.0, 0.8223, -0.6876, 0.6364, 0.1380)), (EDITOR, (0.0, 0.0, 0.0, 0.0))]
)
def test_a_network_that_changes_a_picture_and_is_given_none_sees_a_blank(
    manager: ModelManager, name: str, beside: tuple[float, ...]
) -> None:
    checkpoint = load_checkpoint(name)
    sides = [encode_prompt(checkpoint.text_encoder, text) for text in ("a fox", "")]
    seen = torch.tensor(beside).reshape(1, -1, 1, 1).expand(2, -1, 8, 8)
    said = [
        Conditioning(entries=tuple(replace(entry, extras={"concat": seen}) for entry in side.entries)) for side in sides
    ]
    latent = empty_latent(64, 64, batch_size=2)
    with running(manager) as told:
        assert_close(drawn(name, *sides, latent=latent), drawn(name, *said, latent=latent))
        (notice,) = told.notices
        assert "was given none" in notice
        # An editing model's guidance has a side without the picture.
        assert_close(drawn(name, sides[0], said[1], latent=latent), drawn(name, *said, latent=latent))
        assert len(told.notices) == 1
    with pytest.raises(InvalidInputError, match="reads 3 channels beside the latent"):
        drawn(UPSCALER, *sides)


def test_prompts_of_another_family_are_refused_with_the_reason(manager: ModelManager) -> None:
    told = encode_prompt(load_checkpoint(SDXL).text_encoder, "a fox")
    with pytest.raises(InvalidInputError, match="conditioning has width") as caught:
        drawn(SD, told)
    assert caught.value.advice is not None and "text encoder of this model's family" in caught.value.advice
