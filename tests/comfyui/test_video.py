"""Workflows of video families: whole in native nodes, with what cannot run yet by name."""

from __future__ import annotations

from typing import Any

import pytest

from graphflow.converters.comfyui import to_native, to_prompt
from graphflow.converters.comfyui.report import Entry
from graphflow.document.document import Document, NodeEntry
from graphflow.spec.registry import installed

from .fuzz import template

REGISTRY = installed()


def imported(prompt: Any) -> tuple[Document, dict[str, Entry]]:
    """Return the native document, and by ComfyUI type what became of the nodes."""
    result = to_native(to_prompt(prompt), registry=REGISTRY)
    return result.require(), {entry.type: entry for entry in result.report.entries if entry.live}


def node(document: Document, type: str) -> NodeEntry:
    (found,) = [entry for entry in document.nodes.values() if entry.type == type]
    return found


def shown(type: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a prompt with one node, what feeds it, and something that shows its first output."""
    sources = {
        "model": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a"}},
        "text": {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["model", 1]}},
        "image": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
    }
    sides = {"positive": ["text", 0], "negative": ["text", 0], "vae": ["model", 2]}
    return {
        **sources,
        **more,
        "x": {"class_type": type, "inputs": {**sides, **inputs}},
        "y": {"class_type": "PreviewAny", "inputs": {"source": ["x", 0]}},
    }


def test_wan_imports_whole_and_says_what_waits_for_it() -> None:
    result = to_native(to_prompt(template("image_to_video_wan.json")), registry=REGISTRY)
    document = result.require()
    assert {entry.type for entry in result.report.waiting["wan"]} == {"CLIPLoader", "WanImageToVideo"}
    made = node(document, "wan_image_conditioning")
    assert {"positive", "negative", "vae", "start_image", "image_encoder", "seen_start"} == set(made.links)
    assert (made.params["width"], made.params["height"], made.params["length"]) == (512, 512, 33)
    assert len(made.meta["comfyui"]["ids"]) == 2  # type: ignore[index,call-overload,arg-type]


@pytest.mark.parametrize("name", ["video_ltx2_i2v.json", "video_hunyuan_video_1.5_720p_i2v.json"])
def test_other_families_import_whole(name: str) -> None:
    result = to_native(to_prompt(template(name)), registry=REGISTRY)
    assert result.report.complete
    assert result.report.waiting.keys() & {"ltxv", "hunyuan_video_15"}


def test_stable_video_diffusion_imports_whole_and_waits_for_nothing() -> None:
    report = to_native(to_prompt(template("txt_to_image_to_video.json")), registry=REGISTRY).report
    assert report.complete and not report.waiting


def test_an_empty_latent_has_its_familys_compression() -> None:
    for type, sizes in {"EmptyLTXVLatentVideo": (128, 32, 8), "EmptyMochiLatentVideo": (12, 8, 6)}.items():
        size = {"width": 768, "height": 512, "length": 25, "batch_size": 1}
        prompt = shown("PreviewAny", {})
        prompt["x"] = {"class_type": type, "inputs": size}
        document, _ = imported(prompt)
        params = node(document, "empty_video_latent").params
        assert (params["channels"], params["downscale"], params["time_downscale"]) == sizes


@pytest.mark.parametrize(("length", "whole"), [(81, True), (49, False)])
def test_a_cameras_way_is_part_of_the_conditioning_where_it_fits(length: int, whole: bool) -> None:
    way = {"class_type": "WanCameraEmbedding", "inputs": {"camera_pose": "Zoom In", "length": length, "speed": 2.0}}
    prompt = shown("WanCameraImageToVideo", {"camera_conditions": ["way", 0], "length": 81}, way=way)
    result = to_native(to_prompt(prompt), registry=REGISTRY)
    assert result.report.complete == whole
    if whole:
        params = node(result.require(), "wan_camera_conditioning").params
        assert (params["camera"], params["speed"], params["length"]) == ("zoom_in", 2.0, 81)


def test_the_frame_rate_goes_to_each_side() -> None:
    document, entries = imported(shown("LTXVConditioning", {"frame_rate": 24.0, "vae": None}))
    rates = [entry.params["fps"] for entry in document.nodes.values() if entry.type == "set_frame_rate"]
    assert rates == [24.0, 24.0]
    assert not entries["LTXVConditioning"].waits


@pytest.mark.parametrize(("file", "said"), [("a.mp4", True), ("a.webp", False)])
def test_a_video_that_has_to_be_converted_is_said(file: str, said: bool) -> None:
    prompt = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": file}},
        "2": {"class_type": "SaveVideo", "inputs": {"video": ["1", 0], "filename_prefix": "a"}},
    }
    document, entries = imported(prompt)
    assert node(document, "load_video").params == {"file": file}
    assert bool(entries["LoadVideo"].remarks) == said
