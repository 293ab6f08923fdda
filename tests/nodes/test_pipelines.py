"""Whole pipelines: the table of classes, the check of a call, what goes in and comes out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from graphflow.basics.finite import NonFiniteError
from graphflow.errors import CancelledError, InvalidInputError, MediaError
from graphflow.nodes import run_pipeline
from graphflow.nodes.pipelines.call import check_call
from graphflow.nodes.pipelines.run import call_pipeline
from graphflow.nodes.pipelines.table import pipeline_names, scheduler_names, signature
from graphflow.spec.decorator import spec_of
from graphflow.values import Image, Mask, Video
from tests.nodes.fakes import Told

SAMPLE_OF_FAMILIES = [
    "StableDiffusionPipeline",
    "StableDiffusionXLPipeline",
    "StableDiffusion3Pipeline",
    "FluxPipeline",
    "WanPipeline",
    "LTXPipeline",
    "StableAudioPipeline",
    "DDPMPipeline",
    "ShapEPipeline",
    "AudioLDM2Pipeline",
]


# ------------------------------------------------------------------------------------------------- table


def test_the_table_lists_pipelines_and_schedulers_only() -> None:
    names = pipeline_names()
    assert set(SAMPLE_OF_FAMILIES) <= set(names)
    assert len(names) > 250
    assert not {"DiffusionPipeline", "AutoPipelineForText2Image", "Mel"} & set(names)
    assert "EulerDiscreteScheduler" in scheduler_names()


@pytest.mark.parametrize("name", SAMPLE_OF_FAMILIES)
def test_signatures_equal_those_of_the_classes(name: str) -> None:
    import inspect

    import diffusers

    real = inspect.signature(getattr(diffusers, name).__call__).parameters
    found = signature(name)
    assert list(found.arguments) == [argument for argument in real if argument not in ("self", "kwargs")]
    for argument in found.arguments.values():
        assert argument.required == (real[argument.name].default is inspect.Parameter.empty)


def test_an_inherited_call_is_found() -> None:
    assert "prompt" in signature("StableDiffusionPix2PixZeroPipeline").arguments
    assert signature("KolorsPipeline").module == "diffusers.pipelines.kolors.pipeline_kolors"


# ------------------------------------------------------------------------------------------------- check


def test_a_good_call_passes() -> None:
    check_call(
        "FluxPipeline",
        {"prompt": ["a", "b"], "num_inference_steps": 4, "guidance_scale": 3, "height": None, "sigmas": [1.0, 0.5]},
        scheduler="FlowMatchEulerDiscreteScheduler",
    )


def test_everything_wrong_is_said_at_once() -> None:
    arguments = {
        "num_inference_step": 4,
        "guidance_scale": "high",
        "generator": 3,
        "latents": [1.0],
        "width": 10**6,
        "prompt": [1, 2],
    }
    with pytest.raises(InvalidInputError) as caught:
        check_call("FluxPipeline", arguments, scheduler="EulerDiscreteSchedular", linked=["video"])
    text = str(caught.value)
    for part in (
        "no 'num_inference_step', did you mean 'num_inference_steps'?",
        "'guidance_scale' takes float, got 'high'",
        "'generator' cannot be given: the seed sets it",
        "'latents'",
        "'width' must be from 0 to 32,768",
        "'prompt' takes str | list[str]",
        "takes no 'video'",
        "did you mean 'EulerDiscreteScheduler'?",
    ):
        assert part in text


def test_an_unknown_pipeline_names_the_nearest() -> None:
    with pytest.raises(InvalidInputError, match="FluxPipeline"):
        check_call("FluxPipelin", {})
    _, wrong = spec_of(run_pipeline).inputs["pipeline"].check("FluxPipelin")
    assert wrong is not None
    assert "did you mean 'FluxPipeline'?" in wrong
    _, wrong = spec_of(run_pipeline).inputs["scheduler"].check("os.system")
    assert wrong is not None


@pytest.mark.parametrize("name", ["custom_pipeline", "trust_remote_code", "__class__", "cross_attention_kwarg"])
def test_what_is_no_argument_of_the_call_is_refused(name: str) -> None:
    """Its call takes further keyword arguments, and ignores them."""
    with pytest.raises(InvalidInputError, match=f"StableDiffusionPipeline takes no '{name}'"):
        check_call("StableDiffusionPipeline", {name: True})


@pytest.mark.parametrize(("value", "passes"), [(0, True), (1.0, True), (1.5, False), (-0.1, False), (10**400, False)])
def test_documented_ranges_hold(value: float, passes: bool) -> None:
    if passes:
        check_call("StableDiffusionImg2ImgPipeline", {"strength": value})
        return
    with pytest.raises(InvalidInputError, match=r"'strength' must be from 0\.0 to 1\.0"):
        check_call("StableDiffusionImg2ImgPipeline", {"strength": value})


def test_planning_checks_the_literal_call() -> None:
    with pytest.raises(InvalidInputError, match="no 'stepps'"):
        spec_of(run_pipeline).files({"pipeline": "FluxPipeline", "arguments": {"stepps": 3}})


# --------------------------------------------------------------------------------------------------- run


class FakePipe:
    """Remembers its call and returns what it was made with."""

    num_timesteps = 2

    def __init__(self, **outputs: Any) -> None:
        self.outputs = outputs
        self.call: dict[str, Any] = {}

    def __call__(self, **call: Any) -> Any:
        self.call = call
        for step in range(2):
            if "callback_on_step_end" in call:
                assert call["callback_on_step_end"](self, step, 0, {"latents": 1}) == {"latents": 1}
        return SimpleNamespace(**self.outputs)


def run(pipe: FakePipe, name: str = "StableDiffusionInpaintPipeline", **linked: Any) -> Any:
    return call_pipeline(pipe, signature(name), {"prompt": "a"}, linked, seed=3, fps=12)


def test_pictures_come_out_channels_first(told: Told) -> None:
    pipe = FakePipe(images=np.full((2, 8, 16, 3), 0.25, dtype=np.float32))
    images, video, audio = run(pipe)
    assert images.pixels.shape == (2, 3, 8, 16)
    assert (images.pixels == 0.25).all()
    assert video is None
    assert audio is None
    assert told.progress == [(1, 2), (2, 2)]


def test_lists_of_pil_pictures_come_out_too(told: Told) -> None:
    images, _, _ = run(FakePipe(images=[PIL.Image.new("RGB", (16, 8), (255, 0, 0))] * 2))
    assert images.pixels.shape == (2, 3, 8, 16)
    assert images.pixels[0, :, 0, 0].tolist() == [1, 0, 0]


def test_links_become_pictures_under_the_right_names(told: Told) -> None:
    pipe = FakePipe(images=np.zeros((1, 8, 8, 3), dtype=np.float32))
    run(pipe, image=Image(pixels=torch.rand(1, 3, 8, 16)), mask_image=Mask(values=torch.ones(1, 8, 16)))
    assert pipe.call["image"].size == (16, 8)
    assert pipe.call["mask_image"].mode == "L"
    assert pipe.call["mask_image"].getpixel((0, 0)) == 255
    assert pipe.call["output_type"] == "np"
    assert pipe.call["generator"].initial_seed() == 3


def test_a_batch_and_a_video_become_lists(told: Told) -> None:
    pipe = FakePipe(frames=np.zeros((1, 4, 8, 16, 3), dtype=np.float32))
    _, video, _ = run(pipe, "AnimateDiffVideoToVideoPipeline", video=Video(frames=torch.rand(3, 3, 8, 8)))
    assert len(pipe.call["video"]) == 3
    assert video.frames.shape == (4, 3, 8, 16)
    assert video.fps == 12


@pytest.mark.parametrize("shape", [(1, 2, 500), (2, 500), (500,), (1, 500)])
def test_sound_comes_out_by_channels(told: Told, shape: tuple[int, ...]) -> None:
    pipe = FakePipe(audios=np.zeros(shape, dtype=np.float32))
    pipe.vae = SimpleNamespace(sampling_rate=16_000)  # type: ignore[attr-defined]
    _, _, audio = run(pipe, "StableAudioPipeline")
    assert audio.samples.shape[-1] == 500
    assert audio.samples.ndim == 2
    assert audio.sample_rate == 16_000


def test_nan_and_nothing_are_errors(told: Told) -> None:
    with pytest.raises(NonFiniteError):
        run(FakePipe(images=np.full((1, 8, 8, 3), np.nan, dtype=np.float32)))
    with pytest.raises(MediaError, match="neither pictures nor video nor sound"):
        run(FakePipe(meshes=[1]))


class BrokenPipe(FakePipe):
    """Looks its arguments up in lists."""

    text_encoder = SimpleNamespace(config=SimpleNamespace(num_hidden_layers=12))

    def __call__(self, **call: Any) -> Any:
        guidance_rescale = call["guidance_rescale"]
        return [0][guidance_rescale]


def test_what_a_pipeline_stumbles_over_is_named(told: Told) -> None:
    known = signature("StableDiffusionPipeline")
    given = {"guidance_rescale": 7, "eta": 0.0}
    with pytest.raises(InvalidInputError, match=r"Pipeline\(guidance_rescale\): IndexError: .* or leave it out"):
        call_pipeline(BrokenPipe(), known, given, {}, seed=3, fps=12)
    with pytest.raises(InvalidInputError, match="clip_skip: must be from 0 to 12"):
        call_pipeline(BrokenPipe(), known, {"clip_skip": 10**6}, {}, seed=3, fps=12)


def test_a_pipeline_stops_when_cancelled(told: Told) -> None:
    told.cancel_at = 1
    with pytest.raises(CancelledError):
        run(FakePipe(images=np.zeros((1, 8, 8, 3), dtype=np.float32)))
