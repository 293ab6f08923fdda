"""Why a node has no place in a script: one sentence for each type that cannot be exported."""

from __future__ import annotations

from collections.abc import Mapping

from graphflow.nodes import NODES
from graphflow.spec.decorator import spec_of

_RUNTIME = "it computes with what is known only when the workflow runs"
_RANDOM = "it draws anew for every run"
_FAMILY = "it is for models whose families have no scripts but calls of whole pipelines"
_WAITS = "it waits for a family that is not built, so that graphflow does not run it, either"
_FILES = "scripts write pictures and latents; save models with graphflow"
_MEDIA = "scripts write pictures, moving ones and latents, and read no video, sound or text"
_UNKNOWN_COUNT = "how many batches it makes is known only when the workflow runs"

_GROUPS: Mapping[str, tuple[str, ...]] = {
    _RUNTIME: (
        "bool_value", "float_value", "int_value", "int_range", "seed_value", "text_value", "text_join", "text_lines",
        "text_replace", "int_item", "list_length", "text_from_list", "text_item", "bool_math", "compare", "expression",
        "float_math", "int_math", "to_float", "to_int", "to_text", "aspect_ratio_size", "resolution_preset", "switch",
        "switch_index", "regex_extract", "regex_match", "regex_replace", "json_value", "text_case", "text_compare",
        "text_contains", "text_format", "text_length", "text_substring", "text_trim", "count_segments", "seeds_for",
        "describe_image", "generate_text",
    ),
    _RANDOM: ("random_float", "random_int", "random_line"),
    _FAMILY: (
        "ltxv_sigmas", "replace_latent_frames", "set_audio_length", "set_frame_rate", "trim_video_latent",
    ),
    _FILES: ("save_checkpoint", "save_lora", "save_model", "save_text_encoder", "save_vae"),
    _MEDIA: (
        "safety_filter_video", "save_audio", "save_text", "show", "video_to_images",
        "load_audio", "load_video", "slice_video", "trim_audio", "silent_audio", "change_volume", "concat_audio",
        "mix_audio", "split_channels",
    ),
    _UNKNOWN_COUNT: ("rebatch_images", "rebatch_latents"),
    "scripts carry no function for parts of pictures": (
        "batch_masks", "change_segment_masks", "choose_segments", "crop_segments", "detect_segments", "foreground_mask",
        "join_segments", "mask_segments", "outline_segments", "paste_segments", "segments_from_mask", "segments_to_mask",
        "tile_segments",
    ),
    "scripts have no levels of models that were trained on a whole range of them": ("set_continuous_sampling",),
    "it is computed from two models' weights when it is loaded": ("load_difference_control_net",),
    "scripts put noise on latents when they sample": ("add_noise",),
    "scripts carry no function for it": (
        "add_conditioning_lora", "add_conditioning_model", "apply_motion_module", "apply_text_encoder_lora", "add_default_conditioning", "add_gligen_box", "crop_conditioning", "decode_transparency", "apply_hypernetwork",
        "enlarge_conditioning", "perp_neg_guidance",
        "set_control_prompt", "detail_sampler", "vary_conditioning",
    ),
}  # fmt: skip

_SOMETIMES = frozenset({"encode_prompt_parts"})
"""Waits for some families, and runs for others."""

REASONS: Mapping[str, str] = {
    **{name: reason for reason, names in _GROUPS.items() for name in names},
    **{spec.type: _WAITS for spec in map(spec_of, NODES) if spec.waits is not None and spec.type not in _SOMETIMES},
}
"""Reasons by node type."""

NODE_PACK = "it is a node pack's, and scripts know no function for it"


def reason(node_type: str) -> str:
    """Why scripts cannot hold a node type."""
    return REASONS.get(node_type, NODE_PACK)
