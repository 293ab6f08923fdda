"""Conditioning and schedules of families without components: what is carried, and what waits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from graphflow import nodes
from graphflow.errors import InvalidInputError
from graphflow.values import Conditioning, ConditioningEntry, Latent

TOLD = Conditioning(
    entries=(
        ConditioningEntry(embedding=torch.zeros(1, 2, 4), extras={"width": 64}),
        ConditioningEntry(embedding=torch.ones(1, 2, 4)),
    )
)


def extras(told: Conditioning) -> list[dict[str, Any]]:
    return [dict(entry.extras) for entry in told.entries]


def test_guidance_stands_in_every_entry_and_can_be_left_out() -> None:
    told = nodes.set_guidance(TOLD, 2.5)
    assert extras(told) == [{"width": 64, "guidance": 2.5}, {"guidance": 2.5}]
    assert [entry["guidance"] for entry in extras(nodes.set_guidance(told, None))] == [None, None]


def test_reference_latents_stand_in_the_order_in_which_they_came() -> None:
    first, second = Latent(samples=torch.zeros(1, 4, 2, 2)), Latent(samples=torch.ones(1, 4, 2, 2))
    told = nodes.add_reference_latent(nodes.add_reference_latent(TOLD, first), second)
    assert [entry.extras["reference_latents"] for entry in told.entries] == [(first, second)] * 2
    assert nodes.add_reference_latent(TOLD) is TOLD


def test_the_method_of_references_is_carried() -> None:
    assert extras(nodes.set_reference_method(TOLD, "index"))[1] == {"reference_method": "index"}


@pytest.mark.parametrize("size", [(1024, 1024, 20), (1248, 832, 4), (2048, 2048, 50)])
def test_the_schedule_of_flux_2_equals_the_pipelines(size: tuple[int, int, int]) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu

    width, height, steps = size
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    mu = compute_empirical_mu(width * height // 256, steps)
    scheduler.set_timesteps(sigmas=torch.linspace(1.0, 1 / steps, steps).tolist(), mu=mu)
    got = nodes.flux2_sigmas(steps, width, height).values
    assert got.shape == (steps + 1,)
    assert torch.allclose(got, scheduler.sigmas.float(), atol=2e-6)


@pytest.mark.parametrize(("shape", "steps"), [(None, 20), ((1, 128, 9, 16, 24), 8)])
def test_the_schedule_of_ltx_video_equals_the_schedulers(shape: tuple[int, ...] | None, steps: int) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.ltx.pipeline_ltx import calculate_shift

    latent = None if shape is None else Latent(samples=torch.zeros(shape))
    tokens = 4096 if shape is None else 9 * 16 * 24
    mu = calculate_shift(tokens, 1024, 4096, 0.95, 2.05)
    for stretch in (True, False):
        scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1 if stretch else None)
        scheduler.set_timesteps(sigmas=torch.linspace(1.0, 1 / steps, steps).tolist(), mu=mu)
        got = nodes.ltxv_sigmas(steps, stretch=stretch, latent=latent).values
        assert torch.allclose(got, scheduler.sigmas.float(), atol=2e-6)
    assert torch.equal(nodes.ltxv_sigmas(1).values, torch.tensor([1.0, 0.0]))


def test_the_frame_rate_is_carried() -> None:
    assert extras(nodes.set_frame_rate(TOLD, 24.0)) == [{"width": 64, "frame_rate": 24.0}, {"frame_rate": 24.0}]


def test_the_length_of_a_sound_is_carried() -> None:
    assert extras(nodes.set_audio_length(TOLD, 1.0, 30.0))[1] == {"seconds_start": 1.0, "seconds_total": 30.0}


def test_what_a_setting_switches_off_needs_no_family() -> None:
    some: Any = object()
    assert nodes.ltxv_set_start(some, some, some, bypass=True) is some
    assert nodes.compress_frames(some, 0) is some
    assert nodes.scale_temporal_attention(some) is some


def test_what_needs_a_video_family_names_it() -> None:
    some: Any = object()
    sides = (some, some, some)
    calls: dict[str, list[Any]] = {
        "wan": [
            lambda: nodes.wan_image_conditioning(*sides),
            lambda: nodes.wan22_image_latent(some),
            lambda: nodes.wan_control_conditioning(*sides),
            lambda: nodes.wan_camera_conditioning(*sides),
            lambda: nodes.wan_track_conditioning(*sides, some),
            lambda: nodes.wan_vace_conditioning(*sides),
            lambda: nodes.wan_subject_conditioning(*sides),
            lambda: nodes.wan_speech_conditioning(*sides),
            lambda: nodes.wan_speech_continuation(*sides, some),
            lambda: nodes.wan_animate_conditioning(*sides),
        ],
        "ltxv": [
            lambda: nodes.ltxv_image_conditioning(*sides, some),
            lambda: nodes.ltxv_set_start(some, some, some),
            lambda: nodes.ltxv_add_guide(*sides, some, some),
            lambda: nodes.ltxv_crop_guides(*sides),
            lambda: nodes.compress_frames(some),
            lambda: nodes.set_ltxv_shift(some),
            lambda: nodes.ltxv_upscale_latent(some, some, "upscaler"),
            lambda: nodes.ltxv_load_audio_vae("ltx-2"),
            lambda: nodes.ltxv_empty_audio_latent(some),
            lambda: nodes.ltxv_join_audio(some, some),
            lambda: nodes.ltxv_split_audio(some),
            lambda: nodes.ltxv_decode_audio(some, some),
            lambda: nodes.ltxv_encode_audio(some, some),
            lambda: nodes.ltxv_reference_audio(*sides, some, some),
        ],
        "hunyuan_video": [
            lambda: nodes.hunyuan_image_conditioning(some, some),
            lambda: nodes.encode_video_prompt_with_image(*sides),
            lambda: nodes.hunyuan15_image_conditioning(*sides),
        ],
        "kandinsky5": [lambda: nodes.kandinsky5_image_conditioning(*sides)],
        "cosmos": [lambda: nodes.cosmos_image_latent(some)],
        "videos": [lambda: nodes.set_context_windows(some), lambda: nodes.scale_temporal_attention(some, 1.5)],
        "sound": [
            lambda: nodes.decode_audio(some, some),
            lambda: nodes.encode_audio(some, some),
        ],
        "ace": [
            lambda: nodes.encode_song(some),
            lambda: nodes.encode_song_plan(some),
            lambda: nodes.empty_audio_latent(),
        ],
    }
    for family, refused in calls.items():
        for call in refused:
            with pytest.raises(InvalidInputError, match=f"waits for .*{family}"):
                call()


def test_what_needs_such_a_family_says_that_it_is_not_there() -> None:
    some: Any = object()
    calls: list[Any] = [
        lambda: nodes.load_family_text_encoder("t5", family="mochi"),
        lambda: nodes.encode_prompt_parts(some, family="hidream"),
    ]
    for call in calls:
        with pytest.raises(InvalidInputError) as raised:
            call()
        assert "run_pipeline" in str(raised.value)
