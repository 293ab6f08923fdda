"""Masks, lists, switches and logic of ComfyUI-Impact-Pack, by its documentation."""

from __future__ import annotations

from typing import Any

from ..building import Builder, Lost, RefusedError, Source, Value
from .rule import AnyRule, Made, Make, Rule
from .segs import IMPACT
from .values import expression, switched


def _one_of(builder: Builder, source: Source) -> list[Value]:
    """Switch (image,mask)."""
    chosen = int(source.number("select", 1))
    source.used |= set(source.inputs)
    picture, mask = (
        source.inputs.get(f"images{chosen}"),
        source.inputs.get(f"mask{chosen}_opt", source.inputs.get(f"mask{chosen}")),
    )
    if picture is None:
        raise RefusedError(f"it chooses input {chosen}, which is not linked")
    return [picture, mask]


def _inverse(builder: Builder, source: Source) -> list[Value]:
    """Inversed Switch (Any): the input at the chosen output."""
    chosen, value = int(source.number("select", 1)), source.get("input")
    source.used.add("sel_mode")
    return [value if slot == chosen else Lost() for slot in range(1, max(chosen, 8) + 1)]


def _bridged(builder: Builder, source: Source) -> list[Value]:
    if not source.flag("mode", True):
        raise RefusedError("it switches other nodes off; mute or bypass them instead")
    source.used |= set(source.inputs)
    return [source.inputs.get("value")]


def _passed(name: str) -> Make:
    """Return a function for a node that passes one of its inputs on."""

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used |= set(source.inputs)
        return [source.inputs.get(name)]

    return make


def _thresholded(builder: Builder, source: Source) -> list[Value]:
    return [
        builder.add(
            source, "threshold_mask", {"mask": source.get("mask"), "threshold": source.number("threshold", 20) / 255}
        )
    ]


def _gathered(native: str, names: str, list_of: str, **fixed: Any) -> Make:
    """Return a function for a node that takes any number of inputs of one name."""

    def make(builder: Builder, source: Source) -> list[Value]:
        found = source.numbered(names)
        values = [value for name in found if (value := source.get(name)) is not None]
        if not values:
            raise RefusedError("none of its inputs is linked")
        return [builder.add(source, native, {list_of: values, **fixed})]

    return make


def _chained(native: str, first: str, second: str) -> Make:
    """Return a function that puts any number of inputs together two by two."""

    def make(builder: Builder, source: Source) -> list[Value]:
        names = source.numbered("conditioning")
        made = source.get(names[0]) if names else None
        for number, name in enumerate(names[1:]):
            suffix = "" if number == len(names) - 2 else f"{number}"
            made = builder.add(source, native, {first: made, second: source.get(name)}, suffix=suffix)
        return [made]

    return make


def _logic(builder: Builder, source: Source) -> list[Value]:
    """ImpactLogicalOperators."""
    texts = {"and": "a * b", "or": "max(a, b)", "xor": "abs(a - b)"}
    operator = source.text("operator", "and")
    if operator not in texts:
        raise RefusedError(f"its operator {operator} has no native counterpart")
    values = {"a": source.get("bool_a", False), "b": source.get("bool_b", False)}
    return expression(builder, source, texts[operator], values)[2:]


def _not(builder: Builder, source: Source) -> list[Value]:
    return expression(builder, source, "1 - a", {"a": source.get("value", False)})[2:]


def _extreme(builder: Builder, source: Source) -> list[Value]:
    text = "max(a, b)" if source.flag("mode", True) else "min(a, b)"
    return expression(builder, source, text, {"a": source.get("a"), "b": source.get("b")})[1:2]


RULES: tuple[AnyRule, ...] = (
    *(
        Rule(type, "compose_masks", "mask1:destination mask2:source", fixed={"operation": operation}, differs=differs, pack=IMPACT, back=False)
        for type, operation, differs in (("BitwiseAndMask", "multiply", "soft edges are multiplied"), ("SubtractMask", "subtract", ""), ("AddMask", "add", ""))
    ),
    Made("ToBinaryMask", ("threshold_mask",), _thresholded, says="threshold_mask", pack=IMPACT),
    Made("ImpactMakeImageList", ("image_list",), _gathered("image_list", "image", "images"), says="image_list", pack=IMPACT),
    Made("ImpactMakeImageBatch", ("batch_images",), _gathered("batch_images", "image", "images", resize=True), says="batch_images", pack=IMPACT),
    Rule("ImpactImageBatchToImageList", "rebatch_images", "image:images", fixed={"batch_size": 1}, pack=IMPACT, back=False),
    Made("ImageListToImageBatch", ("batch_images",), _gathered("batch_images", "images", "images", resize=True), says="batch_images", pack=IMPACT),
    Rule("StringListToString", "text_from_list", "string_list:texts join_with:separator", pack=IMPACT, back=False),
    Made("ImpactCombineConditionings", ("combine_conditioning",), _gathered("combine_conditioning", "conditioning", "conditioning"), says="combine_conditioning", pack=IMPACT),
    Made("ImpactConcatConditionings", ("concat_conditioning",), _chained("concat_conditioning", "conditioning", "other"), says="concat_conditioning", pack=IMPACT),
    Made("MaskListToMaskBatch", ("batch_masks",), _gathered("batch_masks", "mask", "masks"), says="batch_masks", pack=IMPACT),
    Made("ImpactMakeMaskBatch", ("batch_masks",), _gathered("batch_masks", "mask", "masks"), says="batch_masks", pack=IMPACT),
    Made("ImageMaskSwitch", (), _one_of, says="the chosen input", pack=IMPACT),
    *(
        Made(type, ("switch_index",), switched("select", *(f"input{number}" for number in range(1, 21)), first=1), says="the chosen input", pack=IMPACT)
        for type in ("LatentSwitch", "SEGSSwitch")
    ),
    Made("ImpactInversedSwitch", (), _inverse, says="nothing: its input at the chosen output", pack=IMPACT),
    Rule("ImpactConditionalBranchSelMode", "switch", "cond:select tt_value:on_true ff_value:on_false", ignored="sel_mode", pack=IMPACT, back=False),
    Made("ImpactLogicalOperators", ("expression",), _logic, says="expression", pack=IMPACT),
    Made("ImpactNeg", ("expression",), _not, says="expression", pack=IMPACT),
    Made("ImpactMinMax", ("expression",), _extreme, says="expression", pack=IMPACT),
    Rule("ImpactLatentInfo", "latent_size", "value:latent", "batch_size height width", pack=IMPACT, back=False),
    *(
        Made(type, (), _passed(name), says="nothing: it changes no picture", differs=differs, pack=IMPACT)
        for type, name, differs in (
            ("ImpactSleep", "signal", ""), ("ImpactQueueTrigger", "signal", "it starts no further run"),
            ("ImpactQueueTriggerCountdown", "signal", "it starts no further run"), ("ImpactSchedulerAdapter", "scheduler", ""),
            ("ImpactNodeSetMuteState", "signal", "other nodes stay as they are"), ("ImpactSetWidgetValue", "signal", "other nodes stay as they are"),
            ("PreviewBridgeLatent", "latent", ""),
        )
    ),
    Made("ImpactControlBridge", (), _bridged, says="nothing, where it switches on", pack=IMPACT),
    Rule("ImageSender", "preview", "images", fixed={"max_edge": 2048}, ignored="filename_prefix link_id", pack=IMPACT, back=False),
)  # fmt: skip
"""By ComfyUI type."""
