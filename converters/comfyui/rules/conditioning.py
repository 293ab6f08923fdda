"""Prompts and conditioning."""

from __future__ import annotations

from ..building import Builder, Const, Source, Value
from .common import BOUNDS
from .rule import AnyRule, Made, Rule


def _pair_combined(builder: Builder, source: Source) -> list[Value]:
    """PairConditioningCombine: each side is combined for itself."""
    return [
        builder.add(
            source,
            "combine_conditioning",
            {"conditioning": [source.get(f"{side}_A"), source.get(f"{side}_B")]},
            suffix="" if side == "positive" else side,
        )
        for side in ("positive", "negative")
    ]


_SDXL = Rule(
    "CLIPTextEncodeSDXL",
    "encode_prompt_sdxl",
    "width height crop_w:crop_x crop_h:crop_y target_width target_height text_g:text clip:text_encoder text_l",
)


def _prompt_sdxl(builder: Builder, source: Source) -> list[Value]:
    """CLIPTextEncodeSDXL; one text for both encoders is said once, so that it is turned once."""
    inputs = {item.native: source.get(item.comfy) for item in _SDXL.parsed}
    same = inputs["text_l"] == inputs["text"]
    if same:
        inputs["text_l"] = None
    made = builder.add(source, "encode_prompt_sdxl", inputs)
    for item in _SDXL.parsed:
        if same and item.native == "text":
            continue  # it stands for two inputs
        if isinstance(source.inputs.get(item.comfy), Const) and item.native in builder.nodes[made.node].params:
            builder.direct[f"{made.node}.{item.native}"] = (source.id, item.comfy)
    return [made]


RULES: tuple[AnyRule, ...] = (
    Rule("CLIPTextEncode", "encode_prompt", "text clip:text_encoder"),
    Made("CLIPTextEncodeSDXL", ("encode_prompt_sdxl",), _prompt_sdxl, says="encode_prompt_sdxl", back=_SDXL),
    Rule("CLIPTextEncodeSDXLRefiner", "encode_prompt_refiner", "ascore:aesthetic_score width height text clip:text_encoder"),
    Rule("ConditioningCombine", "combine_conditioning", "conditioning_1:conditioning[] conditioning_2:conditioning[]"),
    Rule("ConditioningConcat", "concat_conditioning", "conditioning_to:conditioning conditioning_from:other"),
    Rule("ConditioningAverage", "average_conditioning", "conditioning_to:conditioning conditioning_from:other conditioning_to_strength:strength"),
    Rule("ConditioningSetArea", "set_conditioning_area", "conditioning width height x y strength", fixed={"unit": "pixels"}),
    Rule("ConditioningSetAreaPercentage", "set_conditioning_area", "conditioning width height x y strength", fixed={"unit": "fraction"}),
    Rule("ConditioningSetAreaStrength", "set_conditioning_strength", "conditioning strength"),
    Rule("ConditioningSetMask", "set_conditioning_mask", "conditioning mask strength set_cond_area:bounds", values={"set_cond_area": BOUNDS}),
    Rule("ConditioningSetTimestepRange", "set_conditioning_range", "conditioning start end"),
    Rule("ConditioningZeroOut", "zero_out_conditioning", "conditioning"),
    Made("PairConditioningCombine", ("combine_conditioning",), _pair_combined, says="one combine_conditioning for each side"),
    Rule("BNK_CLIPTextEncodeAdvanced", "encode_prompt", "text clip:text_encoder", pack="ComfyUI_ADV_CLIP_emb",
         ignored="token_normalization weight_interpretation", differs="weights act as in ComfyUI's own node, whatever the node's two settings say", back=False),
    Rule("smZ CLIPTextEncode", "encode_prompt", "text clip:text_encoder", pack="ComfyUI_smZNodes", differs="weights act as in ComfyUI's own node", back=False,
         ignored="parser mean_normalization multi_conditioning use_old_emphasis_implementation with_SDXL ascore width height crop_w crop_h target_width target_height text_g text_l smZ_steps"),
    Rule("Text to Conditioning", "encode_prompt", "text clip:text_encoder", pack="was-node-suite-comfyui", back=False),
)  # fmt: skip
"""By ComfyUI type."""
