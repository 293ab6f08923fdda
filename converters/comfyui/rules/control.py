"""ControlNet, preprocessors, IP-Adapter, CLIP vision, upscaling with models."""

from __future__ import annotations

from ..building import Builder, Fused, RefusedError, Source, Value
from .rule import AnyRule, Made, Make, Rule

_UNION = {
    "hed/pidi/scribble/ted": "soft_edges",
    "canny/lineart/anime_lineart/mlsd": "hard_edges",
    "segment": "segmentation",
    "repaint": "inpaint",
}
_AUX = "comfyui_controlnet_aux"

_APPLY = "positive negative control_net image strength start_percent:start end_percent:end vae"

_METHODS = {
    "HEDPreprocessor": ("hed", "hed_safe"),
    "PiDiNetPreprocessor": ("pidi", "pidi_safe"),
    "FakeScribblePreprocessor": ("scribble_hed", "scribble_hed"),
    "Scribble_PiDiNet_Preprocessor": ("scribble_pidi", "scribble_pidi"),
    "AnimeLineArtPreprocessor": ("lineart_anime", ""),
    "LineartStandardPreprocessor": ("lineart_standard", ""),
    "M-LSDPreprocessor": ("mlsd", ""),
    "TEEDPreprocessor": ("teed", ""),
    "MiDaS-DepthMapPreprocessor": ("depth_midas", ""),
    "MiDaS-NormalMapPreprocessor": ("normal_midas", ""),
    "Zoe-DepthMapPreprocessor": ("depth_zoe", ""),
    "LeReS-DepthMapPreprocessor": ("depth_leres", ""),
    "BAE-NormalMapPreprocessor": ("normal_bae", ""),
    "ShufflePreprocessor": ("shuffle", ""),
}
"""Native method of each preprocessor; the second where its ``safe`` is switched on."""


def _preprocessor(method: str, safe: str) -> Make:
    def make(builder: Builder, source: Source) -> list[Value]:
        chosen = safe if safe and source.text("safe", "enable") == "enable" else method
        source.used |= {
            "safe",
            "rm_nearest",
            "rm_background",
            "a",
            "bg_threshold",
            "score_threshold",
            "dist_threshold",
            "environment",
            "boost",
            "seed",
            "ckpt_name",
            "merge_with_lineart",
            "lineart_lower_bound",
            "lineart_upper_bound",
            "object_min_size",
            "object_connectivity",
        }
        return [_preprocess(builder, source, chosen)]

    return make


def _preprocess(builder: Builder, source: Source, method: str) -> Value:
    inputs = {"image": source.get("image"), "method": method, "resolution": source.get("resolution", 512)}
    return builder.add(source, "preprocess", inputs)


def _lineart(builder: Builder, source: Source) -> list[Value]:
    coarse = source.text("coarse", "disable") == "enable"
    return [_preprocess(builder, source, "lineart_coarse" if coarse else "lineart")]


def _pose(builder: Builder, source: Source) -> list[Value]:
    """Body alone, or with hands and face."""
    hand = source.text("detect_hand", "enable") == "enable"
    face = source.text("detect_face", "enable") == "enable"
    source.used |= {"detect_body", "scale_stick_for_xinsr_cn", "bbox_detector", "pose_estimator"}
    if hand != face:
        source.remark("hands and face are found together or not at all")
    return [_preprocess(builder, source, "openpose_full" if hand or face else "openpose"), None]


def _canny_aux(builder: Builder, source: Source) -> list[Value]:
    """Thresholds of 0 to 255 there, of 0 to 1 here."""
    low, high = source.number("low_threshold", 100) / 255, source.number("high_threshold", 200) / 255
    source.remark("the edges are found by the native method, whose pictures differ in detail")
    source.used.add("resolution")
    inputs = {
        "image": source.get("image"),
        "low_threshold": min(max(low, 0.01), 0.99),
        "high_threshold": min(max(high, 0.01), 0.99),
    }
    return [builder.add(source, "canny_edges", inputs)]


def _coarse(how: str, back: str) -> Make:
    """Return a function that takes detail out of a picture: smaller, and as large as before again."""

    def make(builder: Builder, source: Source) -> list[Value]:
        steps = int(source.number("pyrUp_iters", 3)) if back == "bicubic" else 6
        if not 1 <= steps <= 6:
            raise RefusedError(f"pyrUp_iters {steps} has no native counterpart")
        source.used.add("resolution")
        small = {"images": source.get("image"), "scale": 1 / 2**steps, "method": how}
        made = builder.add(source, "resize", small, suffix="small")
        return [builder.add(source, "resize", {"images": made, "scale": float(2**steps), "method": back})]

    return make


def _by_name(builder: Builder, source: Source) -> list[Value]:
    """AIO_Preprocessor: the preprocessor that it names."""
    return by_name(builder, source, source.text("preprocessor", "none"))


def by_name(builder: Builder, source: Source, name: str) -> list[Value]:
    """Make the preprocessor of a name, for the picture of a node.

    Raises:
        RefusedError: There is none.
    """
    if name.lower() == "none":
        return [source.get("image")]
    rule = _NAMED.get(name)
    if rule is None:
        raise RefusedError(f"its preprocessor {name} has no native counterpart")
    if rule.differs:
        source.remark(rule.differs)
    return rule.make(builder, source)[:1]


def _features(builder: Builder, source: Source) -> list[Value]:
    """CLIPVisionEncode: a part of the node that prompts by the picture."""
    parts = {
        "image_encoder": source.get("clip_vision"),
        "image": source.get("image"),
        "crop": source.text("crop", "center"),
    }
    return [Fused("encoded picture", parts, (source.id,))]


_PREPROCESSORS = (
    Made("TilePreprocessor", ("resize",), _coarse("area", "bicubic"), says="resize, twice", pack=_AUX,
         differs="the picture keeps its resolution, and is enlarged bicubically"),
    Made("ColorPreprocessor", ("resize",), _coarse("bicubic", "nearest"), says="resize, twice", pack=_AUX, differs="the picture keeps its resolution"),
    Made("CannyEdgePreprocessor", ("canny_edges",), _canny_aux, says="canny_edges", pack=_AUX),
    *(Made(type, ("preprocess",), _preprocessor(*methods), says=f"preprocess ({methods[0]})", pack=_AUX) for type, methods in _METHODS.items()),
    Made("LineArtPreprocessor", ("preprocess",), _lineart, says="preprocess (lineart)", pack=_AUX),
    Made("OpenposePreprocessor", ("preprocess",), _pose, says="preprocess (openpose)", pack=_AUX),
    Made("DWPreprocessor", ("preprocess",), _pose, says="preprocess (openpose)", pack=_AUX, differs="the pose is found by OpenPose, not by DWPose"),
    Made("AnyLineArtPreprocessor_aux", ("preprocess",), _preprocessor("teed", ""), says="preprocess (teed)", pack=_AUX,
         differs="lines are found by TEED alone, without the second detector"),
    *(
        Made(type, ("preprocess",), _preprocessor("depth_midas", ""), says="preprocess (depth_midas)", pack=_AUX,
             differs="depth is estimated by MiDaS, not by Depth Anything")
        for type in ("DepthAnythingPreprocessor", "DepthAnythingV2Preprocessor")
    ),
)  # fmt: skip
_NAMED = {rule.comfy: rule for rule in _PREPROCESSORS}

RULES: tuple[AnyRule, ...] = (
    *_PREPROCESSORS,
    Made("AIO_Preprocessor", ("preprocess", "canny_edges"), _by_name, says="the preprocessor that it names", pack=_AUX),
    Rule("ACN_AdvancedControlNetApply", "apply_control_net", _APPLY, "positive negative", pack="ComfyUI-Advanced-ControlNet", back=False),
    Rule("ControlNetLoader", "load_control_net", "control_net_name:control_net"),
    Rule("ControlNetLoaderAdvanced", "load_control_net", "control_net_name:control_net cnet:control_net", pack="ComfyUI-Advanced-ControlNet",
         ignored="tk_optional timestep_keyframe", back=False),
    Rule("DiffControlNetLoader", "load_difference_control_net", "model control_net_name:control_net"),
    Rule("SetUnionControlNetType", "set_union_control_type", "control_net type", values={"type": _UNION}),
    Rule("ControlNetApply", "apply_control_net", "conditioning:positive control_net image strength", back=False),
    Rule("ControlNetApplyAdvanced", "apply_control_net", _APPLY, "positive negative"),
    Rule("ControlNetApplySD3", "apply_control_net", _APPLY, "positive negative", back=False),
    Rule("ControlNetInpaintingAliMamaApply", "apply_control_net", f"{_APPLY} mask", "positive negative", back=False),
    Rule("Canny", "canny_edges", "image low_threshold high_threshold"),
    Rule("CLIPVisionLoader", "load_image_encoder", "clip_name:image_encoder"),
    Made("CLIPVisionEncode", (), _features, says="part of the node that reads the encoded picture"),
    Rule("UpscaleModelLoader", "load_upscale_model", "model_name:model"),
    Rule("ImageUpscaleWithModel", "upscale_image_with_model", "upscale_model image"),
)  # fmt: skip
"""By ComfyUI type."""
