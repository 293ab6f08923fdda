"""Numbers, texts, sizes and prompts of much used custom packs, beyond single values."""

from __future__ import annotations

import re
from typing import Any

from ..building import NOTHING, Builder, Const, Ref, RefusedError, Source, Value
from .common import METHOD
from .rule import AnyRule, Made, Make, Rule
from .values import expression

_WAS, _KJ, _ESSENTIALS, _EASY = "was-node-suite-comfyui", "ComfyUI-KJNodes", "ComfyUI_essentials", "ComfyUI-Easy-Use"
_IMPACT, _RGTHREE, _PYSSSSS = "ComfyUI-Impact-Pack", "rgthree-comfy", "ComfyUI-Custom-Scripts"
_COMPARED = {"a = b": "==", "a <> b": "!=", "a > b": ">", "a < b": "<", "a >= b": ">=", "a <= b": "<="}
_OPERATIONS = {
    "addition": "+", "subtraction": "-", "division": "/", "floor division": "//", "multiplication": "*", "exponentiation": "**", "modulus": "%",
    "greater-than": ">", "greater-than or equals": ">=", "less-than": "<", "less-than or equals": "<=", "equals": "==", "does not equal": "!=",
}  # fmt: skip
_SIZE = re.compile(r"\s*(\d{1,5})\s*[x×]\s*(\d{1,5})")


def _given(builder: Builder, source: Source, native: str, value: Value, *, suffix: str = "") -> Ref:
    """Make a value node whose value others may take as a literal."""
    name = "text" if native == "text_value" else "value"
    made = builder.add(source, native, {name: value}, suffix=suffix)
    return Ref(made.node, made.output, builder.nodes[made.node].params.get(name, NOTHING))


def _each(*values: tuple[str, str, Any]) -> Make:
    """Return a function for nodes that give several literals: (input, native type, default) by output."""

    def make(builder: Builder, source: Source) -> list[Value]:
        return [
            _given(builder, source, native, source.get(name, default), suffix=name if number else "")
            for number, (name, native, default) in enumerate(values)
        ]

    return make


def _primitive(builder: Builder, source: Source) -> list[Value]:
    """Power Primitive (rgthree): one value of the chosen type."""
    kinds = {"STRING": "text_value", "INT": "int_value", "FLOAT": "float_value", "BOOLEAN": "bool_value"}
    kind = source.text("type", "STRING")
    if kind not in kinds:
        raise RefusedError(f"its type {kind} has no native counterpart")
    return [_given(builder, source, kinds[kind], source.get("value", ""))]


def _constant(builder: Builder, source: Source) -> list[Value]:
    """Constant Number: the number, as a real and as a whole one."""
    kind = source.text("number_type", "integer")
    number = source.number("number", 0)
    number = float(number != 0) if kind == "bool" else float(int(number)) if kind == "integer" else number
    real = _given(builder, source, "float_value", Const(number))
    whole = _given(builder, source, "int_value", Const(int(number)), suffix="int")
    return [whole if kind in ("integer", "bool") else real, real, whole]


def _slider(builder: Builder, source: Source) -> list[Value]:
    if source.flag("isfloatX"):
        source.used.add("Xi")
        return [_given(builder, source, "float_value", source.get("Xf", 0.0))]
    source.used.add("Xf")
    return [_given(builder, source, "int_value", source.get("Xi", 0))]


def _populated(builder: Builder, source: Source) -> list[Value]:
    """ImpactWildcardProcessor: the text that was filled in last."""
    source.used |= {"wildcard_text", "mode", "seed", "Select to add Wildcard"}
    source.remark("the text that was filled in last is taken; nothing is drawn anew")
    return [_given(builder, source, "text_value", source.get("populated_text", ""))]


def _tokens(builder: Builder, source: Source) -> list[Value]:
    text = source.get("text", "")
    if not isinstance(text, Const) or "[" in str(text.value):
        source.remark("tokens such as [time] stay as they are")
    return [_given(builder, source, "text_value", text)]


def _strings(builder: Builder, source: Source) -> list[Value]:
    """StringFunction|pysssss: join up to three texts, or replace one in another."""
    source.used.add("result")
    tidy = source.text("tidy_tags", "yes") == "yes"
    texts = [source.get(name, "") for name in ("text_a", "text_b", "text_c")]
    if source.text("action", "append") == "append":
        places = dict(zip(("first", "second", "third"), texts, strict=True))
        return [builder.add(source, "text_join", {**places, "separator": ", " if tidy else "", "skip_empty": True})]
    if re.fullmatch(r"/.*/[gimsuy]*", source.text("text_b"), re.DOTALL):
        raise RefusedError("replacing by a regular expression has no native counterpart here")
    if tidy:
        source.remark("commas are not tidied up behind the replacement")
    return [builder.add(source, "text_replace", dict(zip(("text", "find", "replacement"), texts, strict=True)))]


def _replaced(builder: Builder, source: Source) -> list[Value]:
    """CR Text Replace: three replacements, one behind the other."""
    text = source.get("text", "")
    for number in (1, 2, 3):
        find, replacement = source.get(f"find{number}", ""), source.get(f"replace{number}", "")
        if isinstance(find, Const) and find.value == "":
            continue
        inputs = {"text": text, "find": find, "replacement": replacement}
        text = builder.add(source, "text_replace", inputs, suffix=f"{number}")
    return [text if isinstance(text, Ref) else _given(builder, source, "text_value", text), None]


def _math(builder: Builder, source: Source) -> list[Value]:
    """MathExpression|pysssss: a, b and c, as a whole and as a real number."""
    values = {name: source.get(name) for name in ("a", "b", "c")}
    text = source.text("expression")
    if re.search(r"[A-Za-z_]\w*\s*\.\s*\w", text):
        raise RefusedError("its expression reads a widget of another node")
    real, whole, *_ = expression(
        builder, source, text, {name: value for name, value in values.items() if value is not None}
    )
    return [whole, real]


def _debugged(builder: Builder, source: Source) -> list[Value]:
    source.used.add("prefix")
    builder.add(source, "show", {"value": source.get("value")})
    return []


def _combined(builder: Builder, source: Source) -> list[Value]:
    """ConditioningMultiCombine: conditioning_1, conditioning_2 and so on."""
    source.used.add("inputcount")
    if source.text("operation", "combine") != "combine":
        raise RefusedError(f"its operation {source.text('operation')} has no native counterpart")
    names = source.numbered("conditioning")
    told = [value for name in names if (value := source.get(name)) is not None]
    return [builder.add(source, "combine_conditioning", {"conditioning": told}), None]


def _prompt_sdxl(builder: Builder, source: Source) -> list[Value]:
    """CLIPTextEncodeSDXL+: one text for both encoders, and a size that is a multiple of the picture's."""
    factor = int(source.number("size_cond_factor", 4))
    size = {name: int(source.number(name, 1024)) * factor for name in ("width", "height")}
    text = source.get("text", "")
    inputs = {**size, "target_width": size["width"], "target_height": size["height"], "text": text, "text_l": text}
    return [builder.add(source, "encode_prompt_sdxl", {**inputs, "text_encoder": source.get("clip")})]


def _picked_size(name: str, *outputs: str) -> Make:
    """Return a function for empty latents whose size is chosen from a list, such as ``1024 x 1024 (square)``."""

    def make(builder: Builder, source: Source) -> list[Value]:
        found = _SIZE.match(source.text(name))
        if found is None:
            raise RefusedError(f"{name} names no size: {source.text(name)}")
        width, height = int(found[1]), int(found[2])
        if source.flag("invert"):
            width, height = height, width
        width, height = (
            int(source.number(f"{side}_override", 0)) or edge for side, edge in (("width", width), ("height", height))
        )
        factor = source.number("clip_scale", 1.0)
        inputs = {"width": width, "height": height, "batch_size": source.get("batch_size", 1)}
        told = {
            "width": width,
            "height": height,
            "clip_width": int(width * factor),
            "clip_height": int(height * factor),
        }
        made = builder.add(source, "empty_latent", inputs)
        return [made, *(_given(builder, source, "int_value", Const(told[output]), suffix=output) for output in outputs)]

    return make


def _scaled_latent(builder: Builder, source: Source) -> list[Value]:
    across, down = source.number("WidthFactor", 2.0), source.number("HeightFactor", 2.0)
    if across != down:
        raise RefusedError("two different factors for width and height have no native counterpart")
    source.used.add("crop")
    method = source.text("upscale_method", "nearest-exact")
    inputs = {"latent": source.get("samples"), "method": METHOD.get(method, method), "scale": across}
    return [builder.add(source, "upscale_latent", inputs)]


def _thresholded(builder: Builder, source: Source) -> list[Value]:
    """DynamicThresholdingFull, where it does what DynamicThresholdingSimple does."""
    simple = {
        "mimic_mode": "Constant", "cfg_mode": "Constant", "separate_feature_channels": "enable", "scaling_startpoint": "MEAN",
        "variability_measure": "AD", "interpolate_phi": "1.0",
    }  # fmt: skip
    for name, wanted in simple.items():
        given = source.literal(name, wanted)
        if name == "interpolate_phi":
            given, wanted = source.number(name, 1.0), 1.0  # type: ignore[assignment]
        if given != wanted:
            raise RefusedError(f"{name} other than {wanted} has no native counterpart")
    source.used |= {"mimic_scale_min", "cfg_scale_min", "sched_val"}
    inputs = {"model": source.get("model"), "mimic_scale": source.get("mimic_scale", 7.0)}
    return [
        builder.add(source, "dynamic_thresholding", {**inputs, "percentile": source.get("threshold_percentile", 1.0)})
    ]


def _compared(builder: Builder, source: Source) -> list[Value]:
    """ImpactCompare: two values by a comparison, or a constant."""
    how = source.text("cmp", "a = b")
    if how in ("tt", "ff"):
        source.used |= {"a", "b"}
        return [_given(builder, source, "bool_value", Const(how == "tt"))]
    if how not in _COMPARED:
        raise RefusedError(f"its comparison {how} has no native counterpart")
    values = {name: value for name in ("a", "b") if (value := source.get(name)) is not None}
    return expression(builder, source, f"a {_COMPARED[how]} b", values)[2:3]


def _operated(builder: Builder, source: Source) -> list[Value]:
    """Number Operation: as a real and, cut, as a whole number."""
    how = source.text("operation", "addition")
    if how not in _OPERATIONS:
        raise RefusedError(f"its operation {how} has no native counterpart")
    values = {name: source.get(f"number_{name}", 0) for name in "ab"}
    real, whole, _ = expression(builder, source, f"a {_OPERATIONS[how]} b", values)
    return [real, real, whole]


def _seeded(builder: Builder, source: Source) -> list[Value]:
    """Easy Global Seed writes seeds into other nodes; a file has them there already."""
    source.used |= set(source.inputs)
    source.remark("the seeds stay as they stand in the nodes")
    return []


RULES: tuple[AnyRule, ...] = (
    Made("KSampler Config (rgthree)", ("int_value", "float_value", "text_value"),
         _each(("steps_total", "int_value", 30), ("refiner_step", "int_value", 24), ("cfg", "float_value", 8.0),
               ("sampler_name", "text_value", "euler"), ("scheduler", "text_value", "normal")), says="one value node for each", pack=_RGTHREE),
    *(
        Made(f"TextBox{count}", ("text_value",), _each(*((f"text{number}", "text_value", "") for number in range(1, count + 1))),
             says="one text_value for each", pack="RES4LYF")
        for count in (1, 2, 3)
    ),
    Made("Power Primitive (rgthree)", ("text_value", "int_value", "float_value", "bool_value"), _primitive, says="a value node", pack=_RGTHREE),
    Made("Constant Number", ("float_value", "int_value"), _constant, says="float_value and int_value", pack=_WAS),
    Made("mxSlider", ("int_value", "float_value"), _slider, says="int_value or float_value", pack="ComfyUI-mxToolkit"),
    Made("ImpactWildcardProcessor", ("text_value",), _populated, says="text_value", pack=_IMPACT),
    Made("Text Parse Tokens", ("text_value",), _tokens, says="text_value", pack=_WAS),
    Made("StringFunction|pysssss", ("text_join", "text_replace"), _strings, says="text_join or text_replace", pack=_PYSSSSS),
    Made("CR Text Replace", ("text_replace", "text_value"), _replaced, says="up to three text_replace", pack="ComfyUI_Comfyroll_CustomNodes"),
    Made("MathExpression|pysssss", ("expression",), _math, says="expression", pack=_PYSSSSS),
    Made("ConsoleDebug+", ("show",), _debugged, says="show", pack=_ESSENTIALS),
    Made("ConditioningMultiCombine", ("combine_conditioning",), _combined, says="combine_conditioning", pack=_KJ),
    Made("CLIPTextEncodeSDXL+", ("encode_prompt_sdxl",), _prompt_sdxl, says="encode_prompt_sdxl", pack=_ESSENTIALS),
    Made("SDXL Empty Latent Image (rgthree)", ("empty_latent", "int_value"), _picked_size("dimensions", "clip_width", "clip_height"),
         says="empty_latent and int_value", pack=_RGTHREE),
    Made("SDXLEmptyLatentSizePicker+", ("empty_latent", "int_value"), _picked_size("resolution", "width", "height"), says="empty_latent and int_value", pack=_ESSENTIALS),
    Made("EmptyLatentImageCustomPresets", ("empty_latent", "int_value"), _picked_size("dimensions", "width", "height"), says="empty_latent and int_value", pack=_KJ),
    Made("EmptyLatentImagePresets", ("empty_latent", "int_value"), _picked_size("dimensions", "width", "height"), says="empty_latent and int_value", pack=_KJ),
    Made("LatentUpscaleFactor _O", ("upscale_latent",), _scaled_latent, says="upscale_latent", pack="ComfyUI-QualityOfLifeSuit_Omar92"),
    Made("DynamicThresholdingFull", ("dynamic_thresholding",), _thresholded, says="dynamic_thresholding", pack="sd-dynamic-thresholding"),
    Made("easy globalSeed", (), _seeded, says="nothing: the seeds stand in the nodes", pack=_EASY),
    # conditions
    Made("ImpactCompare", ("expression", "bool_value"), _compared, says="expression", pack=_IMPACT),
    Rule("ImpactConditionalBranch", "switch", "cond:select tt_value:on_true ff_value:on_false", pack=_IMPACT, back=False),
    Rule("SimpleCondition+", "switch", "evaluate:select on_true on_false", pack=_ESSENTIALS, back=False),
    Rule("easy ifElse", "switch", "boolean:select on_true on_false", pack=_EASY, back=False),
    # numbers
    Made("Number Operation", ("expression",), _operated, says="expression", pack=_WAS),
    Rule("Number to Int", "to_int", "number:value", pack=_WAS, back=False),
    Rule("Number to Float", "to_float", "number:value", pack=_WAS, back=False),
    Rule("SimpleMathInt+", "int_value", "value", pack=_ESSENTIALS, back=False),
    Rule("SimpleMathFloat+", "float_value", "value", pack=_ESSENTIALS, back=False),
)  # fmt: skip
"""By ComfyUI type."""
