"""Every node type of the pack is run by a packaged workflow or by a test of this folder."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from graphflow import workflows
from graphflow.document.document import Document, read
from graphflow.nodes import NODES
from graphflow.spec.decorator import spec_of

HERE = Path(__file__).resolve().parent

REFUSING = {
    "add_image_prompt",
    "apply_control_patch",
    "apply_style_patch",
    "compress_frames",
    "cosmos_image_latent",
    "decode_audio",
    "encode_audio",
    "empty_audio_latent",
    "encode_prompt_parts",
    "encode_prompt_with_images",
    "encode_song",
    "encode_song_plan",
    "encode_video_prompt_with_image",
    "hunyuan15_image_conditioning",
    "hunyuan_image_conditioning",
    "kandinsky5_image_conditioning",
    "load_control_patch",
    "load_family_text_encoder",
    "load_image_to_video_checkpoint",
    "lotus_conditioning",
    "ltxv_add_guide",
    "ltxv_crop_guides",
    "ltxv_decode_audio",
    "ltxv_empty_audio_latent",
    "ltxv_encode_audio",
    "ltxv_image_conditioning",
    "ltxv_join_audio",
    "ltxv_load_audio_vae",
    "ltxv_reference_audio",
    "ltxv_set_start",
    "ltxv_split_audio",
    "ltxv_upscale_latent",
    "scale_temporal_attention",
    "set_context_windows",
    "set_ltxv_shift",
    "set_t5_length",
    "skip_transformer_layers",
    "svd_conditioning",
    "wan22_image_latent",
    "wan_animate_conditioning",
    "wan_camera_conditioning",
    "wan_control_conditioning",
    "wan_image_conditioning",
    "wan_speech_conditioning",
    "wan_speech_continuation",
    "wan_subject_conditioning",
    "wan_track_conditioning",
    "wan_vace_conditioning",
}
"""Nodes that stand for parts of families which do not run by components: running them is an error, and that is tested
with the nodes themselves."""


def types_of(document: Document) -> Iterator[str]:
    yield from (node.type for node in document.nodes.values())
    for inner in document.workflows.values():
        yield from types_of(inner)


def named_in(path: Path) -> Iterator[str]:
    """Names that a test gives as a node type: a text of its own, or an attribute that it calls."""
    for found in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(found, ast.Constant) and isinstance(found.value, str):
            yield found.value
        elif isinstance(found, ast.Call) and isinstance(found.func, ast.Attribute):
            yield found.func.attr


def test_every_node_type_has_its_place_in_a_graph_that_runs() -> None:
    used = {type for name in workflows.names() for type in types_of(read(workflows.path(name)))}
    for path in HERE.glob("test_*.py"):
        if path != Path(__file__).resolve():
            used.update(named_in(path))
    types = {spec_of(function).type for function in NODES}
    assert sorted(types - used - REFUSING) == []
    assert sorted(REFUSING - types) == sorted(REFUSING & used) == []
