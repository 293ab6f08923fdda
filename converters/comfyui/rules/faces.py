"""Faces: FaceID's IP-Adapters of the pack IPAdapter plus, and InstantID.

The packs' rules go by their documentation. Recognisers are ONNX files that the user provides: no free one is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..building import Builder, Fused, Ref, RefusedError, Source, Value
from .rule import AnyRule, Made

ADAPTER = "IP-Adapter"
RECOGNISER = "recogniser of faces"
_PACK, _INSTANT = "ComfyUI_IPAdapter_plus", "ComfyUI_InstantID"
_INSTANT_ADAPTER, _EMBEDDED = "InstantID", "face that InstantID's ControlNet reads"

_NETWORKS: Mapping[str, Mapping[str, str]] = {
    "buffalo_l": {"detector": "buffalo_l/det_10g.onnx", "recogniser": "buffalo_l/w600k_r50.onnx"},
    "antelopev2": {"detector": "antelopev2/scrfd_10g_bnkps.onnx", "recogniser": "antelopev2/glintr100.onnx"},
}
"""Files by the name under which InsightFace publishes them."""


def recogniser(name: str, source: Source) -> Fused:
    """The networks of a name.

    Raises:
        RefusedError: No name of InsightFace's.
    """
    found = _NETWORKS.get(name)
    if found is None:
        raise RefusedError(f"its model {name} is none of {', '.join(_NETWORKS)}")
    return Fused(RECOGNISER, found, (source.id,))


def _named(default: str, name: str = "") -> Any:
    def make(builder: Builder, source: Source) -> list[Value]:
        source.used.add("provider")
        return [recogniser(source.text(name, default) if name else default, source)]

    return make


def _found(builder: Builder, source: Source, image: Value, networks: Fused, suffix: str = "faces") -> Ref:
    return builder.add(source, "find_faces", {"image": image, **networks.parts}, suffix=suffix, ids=networks.ids)


def faces_applied(builder: Builder, source: Source) -> list[Value]:
    """IPAdapterFaceID, and other nodes of the pack where they are given a recogniser."""
    adapter = source.part("ipadapter", ADAPTER)
    networks = source.fused("insightface", RECOGNISER) or adapter.parts.get(RECOGNISER)
    if networks is None:
        raise RefusedError("its recogniser of faces is missing (insightface)")
    source.used |= {"embeds_scaling", "unfold_batch", "encode_batch_size", "weight_kolors"}
    if (kind := source.text("weight_type", "linear")) not in ("linear", "standard", "original"):
        source.remark(f"weight_type {kind} is taken as linear")
    if (together := source.text("combine_embeds", "concat")) != "concat":
        source.remark(f"several faces are seen side by side (concat), not combined by {together}")
    if source.get("image_negative") is not None or source.number("noise", 0.0):
        source.remark("what the result should not look like is nobody's face, not a picture or noise")
    encoder = source.get("clip_vision")
    inputs = {
        "model": source.get("model"),
        "ip_adapter": adapter.parts["ip_adapter"],
        "faces": _found(builder, source, source.get("image"), networks),
        "image_encoder": adapter.parts.get("image_encoder") if encoder is None else encoder,
        "mask": source.get("attn_mask"),
        "strength": source.get("weight", 1.0),
        "start": source.get("start_at", 0.0),
        "end": source.get("end_at", 1.0),
        "likeness": source.get("weight_v2" if "weight_v2" in source.inputs else "weight_faceidv2", 1.0),
    }
    source.used.add("faceid_v2")
    return [builder.add(source, "apply_face_adapter", inputs, ids=adapter.ids), None]


def _instant_loaded(builder: Builder, source: Source) -> list[Value]:
    name = source.text("instantid_file")
    name = name if "instantid" in name.lower() else f"instantid/{name}"
    made = builder.add(source, "load_ip_adapter", {"ip_adapter": name})
    return [Fused(_INSTANT_ADAPTER, {"ip_adapter": made})]


def _strengths(source: Source) -> tuple[Value, Value]:
    """Of the adapter and of the ControlNet; the simple node has one for both."""
    if "ip_weight" in source.inputs or "cn_strength" in source.inputs:
        return source.get("ip_weight", 0.8), source.get("cn_strength", 0.8)
    return source.get("weight", 0.8), source.get("weight", 0.8)


def _attended(builder: Builder, source: Source, faces: Ref, strength: Value, suffix: str = "") -> Ref:
    adapter = source.part("instantid", _INSTANT_ADAPTER)
    source.used |= {"noise", "combine_embeds"}
    source.remark("nobody's face is without the noise that the pack adds to it")
    inputs = {
        "model": source.get("model"), "ip_adapter": adapter.parts["ip_adapter"], "faces": faces, "mask": source.get("mask"),
        "strength": strength, "start": source.get("start_at", 0.0), "end": source.get("end_at", 1.0),
    }  # fmt: skip
    return builder.add(source, "apply_face_adapter", inputs, suffix=suffix)


def _controlled(
    builder: Builder, source: Source, told: Ref, hint: Value, strength: Value, sides: Mapping[str, Value]
) -> list[Value]:
    """The conditionings with a ControlNet that reads faces instead of the text."""
    read = {
        side: builder.add(
            source,
            "set_control_prompt",
            {"conditioning": value, "prompt": builder.ref(told.node, side)},
            suffix=f"{side}-face",
        )
        for side, value in sides.items()
    }
    inputs = {
        **read, "control_net": source.get("control_net"), "image": hint, "strength": strength,
        "start": source.get("start_at", 0.0), "end": source.get("end_at", 1.0),
    }  # fmt: skip
    made = builder.add(source, "apply_control_net", inputs)
    return [builder.ref(made.node, side) for side in ("positive", "negative")]


def _points(builder: Builder, source: Source, name: str, faces: Ref, networks: Fused) -> Value:
    """The picture that the ControlNet reads: of the face's points, or of those in another picture."""
    image = source.get(name)
    seen = faces if image is None else _found(builder, source, image, networks, "pose")
    return builder.add(source, "draw_face_points", {"faces": seen}, suffix="points")


def _told(builder: Builder, source: Source, faces: Ref) -> Ref:
    adapter = source.part("instantid", _INSTANT_ADAPTER).parts["ip_adapter"]
    return builder.add(source, "encode_faces", {"ip_adapter": adapter, "faces": faces}, suffix="face")


def _instant_applied(builder: Builder, source: Source) -> list[Value]:
    """ApplyInstantID and ApplyInstantIDAdvanced."""
    networks = source.part("insightface", RECOGNISER)
    faces = _found(builder, source, source.get("image"), networks)
    acting, steering = _strengths(source)
    model = _attended(builder, source, faces, acting, "model")
    if source.get("mask") is not None:
        source.remark("its mask says where the face acts; the ControlNet steers the whole picture")
    points = _points(builder, source, "image_kps", faces, networks)
    sides = {side: source.get(side) for side in ("positive", "negative")}
    return [model, *_controlled(builder, source, _told(builder, source, faces), points, steering, sides)]


def _instant_patched(builder: Builder, source: Source) -> list[Value]:
    """InstantIDAttentionPatch: the adapter alone, and the face for ApplyInstantIDControlNet."""
    networks = source.part("insightface", RECOGNISER)
    faces = _found(builder, source, source.get("image"), networks)
    model = _attended(builder, source, faces, source.get("weight", 1.0))
    parts = {"told": _told(builder, source, faces), "faces": faces}
    return [model, Fused(_EMBEDDED, parts, (source.id,))]


def _instant_steered(builder: Builder, source: Source) -> list[Value]:
    """ApplyInstantIDControlNet; its picture is one of points."""
    face = source.part("face_embeds", _EMBEDDED)
    if source.get("mask") is not None:
        source.remark("the ControlNet steers the whole picture, not where its mask says")
    sides = {side: source.get(side) for side in ("positive", "negative")}
    hint = source.get("image_kps")
    if hint is None:
        hint = builder.add(source, "draw_face_points", {"faces": face.parts["faces"]}, suffix="points")
    return _controlled(builder, source, face.parts["told"], hint, source.get("strength", 1.0), sides)


def _keypoints(builder: Builder, source: Source) -> list[Value]:
    """FaceKeypointsPreprocessor."""
    faces = _found(builder, source, source.get("image"), source.part("faceanalysis", RECOGNISER))
    return [builder.add(source, "draw_face_points", {"faces": faces})]


_FOUND = ("find_faces", "apply_face_adapter")
_STEERED = ("set_control_prompt", "apply_control_net", "draw_face_points")
_SAYS = "the files of its networks, for the nodes that find faces"
RULES: tuple[AnyRule, ...] = (
    Made("IPAdapterInsightFaceLoader", (), _named("buffalo_l", "model_name"), says=_SAYS, pack=_PACK),
    Made("InsightFaceLoader", (), _named("buffalo_l"), says=_SAYS, pack=_PACK),
    *(
        Made(type, _FOUND, faces_applied, says="find_faces and apply_face_adapter", pack=_PACK)
        for type in ("IPAdapterFaceID", "IPAdapterApplyFaceID")
    ),
    Made("InstantIDFaceAnalysis", (), _named("antelopev2"), says=_SAYS, pack=_INSTANT),
    Made("InstantIDModelLoader", ("load_ip_adapter",), _instant_loaded, says="load_ip_adapter", pack=_INSTANT),
    *(
        Made(type, (*_FOUND, "encode_faces", *_STEERED), _instant_applied,
             says="find_faces, apply_face_adapter and a ControlNet that reads the face", pack=_INSTANT)
        for type in ("ApplyInstantID", "ApplyInstantIDAdvanced")
    ),
    Made("InstantIDAttentionPatch", (*_FOUND, "encode_faces"), _instant_patched, says="find_faces and apply_face_adapter", pack=_INSTANT),
    Made("ApplyInstantIDControlNet", _STEERED, _instant_steered, says="a ControlNet that reads the face", pack=_INSTANT),
    Made("FaceKeypointsPreprocessor", ("find_faces", "draw_face_points"), _keypoints, says="find_faces and draw_face_points", pack=_INSTANT),
)  # fmt: skip
"""By ComfyUI type."""
