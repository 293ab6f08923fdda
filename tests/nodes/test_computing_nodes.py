"""Nodes that compute with models: prompts, sampling, autoencoder, safety."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from graphflow import runtime
from graphflow.basics.finite import NonFiniteError
from graphflow.errors import CancelledError, InvalidInputError
from graphflow.nodes import (
    empty_latent,
    encode_image,
    encode_prompt,
    load_checkpoint,
    safety_filter,
    safety_filter_video,
    sample,
    set_noise_mask,
    set_text_layer,
    vae_decode,
)
from graphflow.nodes.models.loaders import Checkpoint
from graphflow.spec.decorator import spec_of
from graphflow.values import Image, Latent, Mask, Video
from tests.closeness import assert_close
from tests.nodes.fakes import FakeModels, Told


@pytest.fixture
def checkpoint(told: Told) -> Checkpoint:
    return load_checkpoint("full")


def mean_of(latent: Latent) -> float:
    return float(latent.samples.mean())


# --------------------------------------------------------------------------------------------- prompts


def test_a_prompt_becomes_conditioning(checkpoint: Checkpoint) -> None:
    assert encode_prompt(checkpoint.text_encoder, "abc").entries[0].embedding.mean() == 3


def test_clip_skip_and_the_layer_node_say_the_same(checkpoint: Checkpoint) -> None:
    skipped = encode_prompt(checkpoint.text_encoder, "abc", clip_skip=2).entries[0].embedding
    layered = encode_prompt(set_text_layer(checkpoint.text_encoder, -2), "abc").entries[0].embedding
    assert torch.equal(skipped, layered)
    assert skipped.mean() == 3 - 2000


def test_embeddings_in_a_prompt_are_optional_files() -> None:
    needs = spec_of(encode_prompt).files({"text": "a (embedding:style:1.2) cat, embedding:other"})
    assert [(need.name, need.kind, need.optional) for need in needs] == [
        ("style", "embedding", True),
        ("other", "embedding", True),
    ]


# -------------------------------------------------------------------------------------------- sampling


def test_sampling_reaches_what_the_model_predicts(checkpoint: Checkpoint, told: Told) -> None:
    positive = encode_prompt(checkpoint.text_encoder, "ab")
    result = sample(checkpoint.model, positive, empty_latent(64, 64), steps=4, guidance_scale=1.0)
    # The stand-in predicts 2 in the model's space, whose scale is a half.
    assert torch.allclose(result.samples, torch.tensor(4.0), atol=1e-4)
    assert result.family == "sd"
    assert told.progress == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told.previews == [None] * 4


def test_guidance_leads_away_from_the_negative_prompt(checkpoint: Checkpoint) -> None:
    positive, negative = (encode_prompt(checkpoint.text_encoder, text) for text in ("ab", "a"))
    result = sample(checkpoint.model, positive, empty_latent(64, 64), negative, steps=2, guidance_scale=3.0)
    assert mean_of(result) == pytest.approx((1 + 3 * (2 - 1)) * 2, abs=1e-3)


def test_strength_zero_changes_nothing(checkpoint: Checkpoint) -> None:
    latent = Latent(samples=torch.rand(1, 4, 8, 8))
    positive = encode_prompt(checkpoint.text_encoder, "ab")
    assert torch.equal(sample(checkpoint.model, positive, latent, strength=0.0).samples, latent.samples)


def test_a_noise_mask_keeps_the_rest(checkpoint: Checkpoint) -> None:
    latent = Latent(samples=torch.rand(1, 4, 8, 8))
    mask = torch.zeros(1, 64, 64)
    mask[:, :, 32:] = 1
    positive = encode_prompt(checkpoint.text_encoder, "ab")
    result = sample(checkpoint.model, positive, set_noise_mask(latent, Mask(values=mask)), steps=3, guidance_scale=1.0)
    assert torch.allclose(result.samples[..., :4], latent.samples[..., :4], atol=1e-4)
    assert torch.allclose(result.samples[..., 4:], torch.tensor(4.0), atol=1e-3)


def test_items_of_a_batch_depend_on_seed_and_place_alone(checkpoint: Checkpoint) -> None:
    positive = encode_prompt(checkpoint.text_encoder, "ab")

    def noisy(items: int, layout: str = "per_sample") -> torch.Tensor:
        latent = empty_latent(64, 64, batch_size=items)
        options = {
            "steps": 4,
            "guidance_scale": 1.0,
            "end_step": 3,
            "leftover_noise": True,
            "sampler": "euler_ancestral",
        }
        return sample(checkpoint.model, positive, latent, seed=3, noise_layout=layout, **options).samples  # type: ignore[arg-type]

    assert_close(noisy(3)[:2], noisy(2))
    assert not torch.equal(noisy(3, "batch")[:1], noisy(1, "batch"))


def test_two_stages_equal_one(checkpoint: Checkpoint) -> None:
    positive = encode_prompt(checkpoint.text_encoder, "ab")
    latent, model = empty_latent(64, 64), checkpoint.model
    common = {"seed": 5, "steps": 6, "guidance_scale": 1.0, "sampler": "euler", "schedule": "karras"}
    whole = sample(model, positive, latent, **common)  # type: ignore[arg-type]
    first = sample(model, positive, latent, end_step=2, leftover_noise=True, **common)  # type: ignore[arg-type]
    second = sample(model, positive, first, start_step=2, add_noise=False, **common)  # type: ignore[arg-type]
    assert not torch.allclose(first.samples, whole.samples, atol=0.1)
    assert torch.allclose(second.samples, whole.samples, atol=1e-4)


def test_previews_are_made_where_somebody_looks(models: FakeModels) -> None:
    told = Told()
    with runtime.using(told.runtime(models, previews=True)):
        checkpoint = load_checkpoint("full")
        positive = encode_prompt(checkpoint.text_encoder, "")
        sample(checkpoint.model, positive, empty_latent(64, 64), steps=2, guidance_scale=1.0)
    assert [preview.shape for preview in told.previews] == [(1, 3, 8, 8)] * 2
    assert told.previews[-1].min() >= 0
    assert told.previews[-1].max() <= 1


def test_sampling_stops_when_cancelled(checkpoint: Checkpoint, told: Told) -> None:
    told.cancel_at = 2
    with pytest.raises(CancelledError):
        sample(checkpoint.model, encode_prompt(checkpoint.text_encoder, "a"), empty_latent(64, 64), steps=8)
    assert len(told.progress) == 2


def test_nan_is_an_error_at_the_step_where_it_appears(checkpoint: Checkpoint, models: FakeModels) -> None:
    models.denoiser.broken = True
    with pytest.raises(NonFiniteError, match="step 1 of 4"):
        sample(checkpoint.model, encode_prompt(checkpoint.text_encoder, "a"), empty_latent(64, 64), steps=4)


@pytest.mark.parametrize("window", [(0, 0), (4, 2), (5, 5), (20, None), (30, None)])
@pytest.mark.parametrize("leftover", [True, False])
def test_a_window_without_steps_leaves_the_latent_as_it_is(
    checkpoint: Checkpoint, told: Told, window: tuple[int, int | None], leftover: bool
) -> None:
    start, end = window
    latent = set_noise_mask(Latent(samples=torch.randn(1, 4, 8, 8)), Mask(values=torch.ones(1, 8, 8)))
    positive = encode_prompt(checkpoint.text_encoder, "a")
    result = sample(checkpoint.model, positive, latent, start_step=start, end_step=end, leftover_noise=leftover)
    assert result == latent
    assert "no step lies between" in told.notices[-1]


@pytest.mark.parametrize(("linked", "written"), [(1.5, 1.0), (-0.5, 0.0)])
def test_a_strength_that_a_link_carries_may_lie_outside(checkpoint: Checkpoint, linked: float, written: float) -> None:
    positive, latent = encode_prompt(checkpoint.text_encoder, "a"), Latent(samples=torch.ones(1, 4, 8, 8))
    made = [sample(checkpoint.model, positive, latent, steps=2, strength=share) for share in (linked, written)]
    assert torch.equal(made[0].samples, made[1].samples)


def test_impossible_requests_are_refused(checkpoint: Checkpoint) -> None:
    positive = encode_prompt(checkpoint.text_encoder, "a")
    with pytest.raises(InvalidInputError, match="16 channels"):
        sample(checkpoint.model, positive, Latent(samples=torch.ones(1, 16, 8, 8)))


def test_an_empty_latent_gets_the_channels_of_the_model(checkpoint: Checkpoint) -> None:
    positive = encode_prompt(checkpoint.text_encoder, "a")
    made = [sample(checkpoint.model, positive, empty_latent(64, 64, channels=count), steps=1) for count in (4, 16)]
    assert torch.equal(made[0].samples, made[1].samples)


# ------------------------------------------------------------------------------------------ autoencoder


def test_encoding_and_decoding_are_inverse_for_the_stand_in(checkpoint: Checkpoint) -> None:
    pixels = torch.rand(2, 3, 4, 5).repeat_interleave(8, -1).repeat_interleave(8, -2)
    latent = encode_image(checkpoint.vae, Image(pixels=pixels))
    assert latent.samples.shape == (2, 4, 4, 5)
    assert latent.family == "sd"
    assert torch.equal(vae_decode(checkpoint.vae, latent).pixels, pixels)


def test_wrong_shapes_are_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(InvalidInputError, match="smaller than 8 pixels"):
        encode_image(checkpoint.vae, Image(pixels=torch.rand(1, 3, 4, 64)))
    with pytest.raises(InvalidInputError, match="16 channels"):
        vae_decode(checkpoint.vae, empty_latent(64, 64, channels=16))


# ------------------------------------------------------------------------------------------------ safety


def colours(*reds: float) -> Image:
    return Image(pixels=torch.stack([torch.full((3, 8, 8), red) for red in reds]))


def test_flagged_pictures_are_withheld_and_the_rest_keep_their_numbers(checkpoint: Checkpoint, told: Told) -> None:
    assert checkpoint.safety_checker is not None
    images, flags = safety_filter(colours(0.1, 1.0, 0.3, 1.0), checkpoint.safety_checker)
    assert flags == [False, True, False, True]
    assert images.numbers == (0, 2)
    assert images.withheld == 2
    assert images.pixels[:, 0, 0, 0].tolist() == pytest.approx([0.1, 0.3])
    assert told.notices == ["the safety checker withheld pictures 1, 3 of 4"]


def test_filtering_twice_keeps_the_first_numbers(checkpoint: Checkpoint) -> None:
    assert checkpoint.safety_checker is not None
    once = safety_filter(colours(1.0, 0.2, 0.3), checkpoint.safety_checker).images
    twice = safety_filter(replace(once, pixels=once.pixels * 4), checkpoint.safety_checker).images
    assert twice.numbers == (1,)
    assert twice.withheld == 2


def test_clean_and_empty_batches_pass_unchanged(checkpoint: Checkpoint, told: Told) -> None:
    assert checkpoint.safety_checker is not None
    clean = colours(0.1, 0.2)
    assert safety_filter(clean, checkpoint.safety_checker).images is clean
    empty = Image(pixels=torch.zeros(0, 3, 8, 8), withheld=3)
    assert safety_filter(empty, checkpoint.safety_checker).images.withheld == 3
    assert not told.notices


def test_a_video_is_blackened_around_flagged_frames(checkpoint: Checkpoint, told: Told) -> None:
    assert checkpoint.safety_checker is not None
    frames = torch.full((10, 3, 4, 4), 0.5)
    frames[4] = 1.0
    video, flags = safety_filter_video(Video(frames=frames), checkpoint.safety_checker, every=4)
    assert [index for index, flag in enumerate(flags) if flag] == [1, 2, 3, 4, 5, 6, 7]
    assert video.withheld == 7
    assert not video.frames[1:8].any()
    assert (video.frames[[0, 8, 9]] == 0.5).all()
    assert frames[4].all()
    with pytest.raises(InvalidInputError, match="no frame"):
        safety_filter_video(Video(frames=torch.zeros(0, 3, 4, 4)), checkpoint.safety_checker)


def test_alpha_and_what_lies_under_it_are_checked(checkpoint: Checkpoint) -> None:
    assert checkpoint.safety_checker is not None
    clear, half, full = 0.0, 0.5, 1.0
    pixels = torch.zeros(5, 4, 8, 8)
    for index, (red, blue, alpha) in enumerate(
        [(0.1, 0.1, full), (1.0, 0.1, clear), (0.1, 0.1, clear), (0.1, 0.1, half), (0.1, 0.1, 0.95)]
    ):
        pixels[index, 0], pixels[index, 2], pixels[index, 3] = red, blue, alpha
    _, flags = safety_filter(Image(pixels=pixels), checkpoint.safety_checker)
    # Alpha alone, the colours under it, white through it, nothing, alpha again.
    assert flags == [True, True, True, False, True]


@pytest.mark.parametrize(
    ("total", "fps", "red"),
    [(128, 1000.0, [77]), (129, 24.0, [77]), (300, 1.0, [140]), (300, 1000.0, [0, 140, 299])],
    ids=["short", "a cut", "slow", "the ends"],
)
def test_a_frame_that_differs_is_checked_in_a_video_of_any_length(
    checkpoint: Checkpoint, total: int, fps: float, red: list[int]
) -> None:
    assert checkpoint.safety_checker is not None
    frames = torch.full((total, 3, 4, 4), 0.5)
    frames[red] = 1.0
    video, flags = safety_filter_video(Video(frames=frames, fps=fps), checkpoint.safety_checker)
    assert all(flags[index] for index in red) and sum(flags) < total // 2
    assert not video.frames[red].any()


def test_what_comes_slowly_into_a_long_video_is_checked(checkpoint: Checkpoint) -> None:
    """No frame differs much from the one before it."""
    assert checkpoint.safety_checker is not None
    frames = torch.linspace(0, 1, 1000)[:, None, None, None].expand(-1, 3, 4, 4)
    video, _ = safety_filter_video(Video(frames=frames, fps=1000.0), checkpoint.safety_checker)
    assert float(video.frames[:, 0].amax()) <= 0.9
