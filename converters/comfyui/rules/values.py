"""Numbers, texts, switches, seeds and lists, of ComfyUI and of much used custom packs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..building import Builder, Const, Lost, RefusedError, Source, Value
from .rule import AnyRule, Convert, Made, Make, Rule

_OPERATIONS = {"add": "add", "+": "add", "subtract": "subtract", "-": "subtract", "multiply": "multiply", "*": "multiply",
               "divide": "divide", "/": "divide", "min": "minimum", "max": "maximum"}  # fmt: skip
_EXTRACT = {
    "First Match": "first_match",
    "All Matches": "all_matches",
    "First Group": "first_group",
    "All Groups": "all_groups",
}
_REGEX = "case_insensitive:ignore_case multiline dotall"
_NAMES = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


def _sigma_list(value: Any) -> list[float]:
    return [float(part) for part in re.split(r"[\s,;]+", str(value).strip("[]() \n")) if part]


SIGMAS = Convert(_sigma_list, lambda value: ", ".join(f"{number:g}" for number in value))


def value_node(native: str, input: str, outputs: int = 1, *, others: str = "") -> Make:
    """Return a function that makes one value node, whose value stands at several outputs."""

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used |= set(others.split())
        value = source.get(input)
        if value is None:
            value = Const(False if native == "bool_value" else "" if native == "text_value" else 0)
        literal = value.value if isinstance(value, Const) else None
        if native == "seed_value" and isinstance(literal, int | float) and literal < 0:
            value = Const("random")
        name = "text" if native == "text_value" else "seed" if native == "seed_value" else "value"
        made = builder.add(source, native, {name: value})
        constant = builder.nodes[made.node].params.get(name)
        ref = type(made)(made.node, made.output, constant) if constant is not None else made
        return [ref] * outputs

    return make


def switched(selector: str, *names: str, first: int = 0) -> Make:
    """Return a function that follows a switch with a literal selector, and else makes ``switch_index``."""

    def make(builder: Builder, source: Source) -> list[Value]:
        chosen = source.get(selector, first)
        values = [source.get(name) for name in names]
        if isinstance(chosen, Const):
            index = int(source.number(selector, first)) - first
            if not 0 <= index < len(names) or values[index] is None:
                raise RefusedError(f"it chooses input {index + first}, which is not linked")
            return [values[index]]
        linked = [value for value in values if value is not None]
        return [builder.add(source, "switch_index", {"index": chosen, "inputs": linked})]

    return make


def _any_switch(builder: Builder, source: Source) -> list[Value]:
    """Any Switch (rgthree): the first input that is linked."""
    for name in sorted(source.inputs):
        value = source.get(name)
        if value is not None and not isinstance(value, Lost):
            source.used |= set(source.inputs)
            return [value]
    raise RefusedError("none of its inputs is linked")


def _concatenate(names: str, separator: str = "delimiter") -> Make:
    def make(builder: Builder, source: Source) -> list[Value]:
        places = ("first", "second", "third", "fourth")
        texts = [source.get(name) for name in names.split()]
        texts = [text for text in texts if text is not None]
        if len(texts) > len(places):
            raise RefusedError("it joins more than four texts")
        delimiter = source.text(separator).replace("\\n", "\n")
        source.used |= {"clean_whitespace", "linebreak_addition", "inputcount", "return_list"}
        inputs = {"separator": delimiter, "skip_empty": False}
        return [builder.add(source, "text_join", {**dict(zip(places, texts, strict=False)), **inputs})]

    return make


def _replace(builder: Builder, source: Source) -> list[Value]:
    inputs = {"text": source.get("text"), "find": source.get("find"), "replacement": source.get("replace")}
    made = builder.add(source, "text_replace", inputs)
    return [made]


def _math(builder: Builder, source: Source) -> list[Value]:
    """ComfyMathExpression, SimpleMath+ and easy simpleMath: names in the expression become a to d."""
    text = source.text("expression") or source.text("value")
    values: dict[str, Value] = {}
    for name in source.inputs:
        short = name.removeprefix("values.")
        if name not in ("expression", "value"):
            values[short] = source.get(name)
    return expression(builder, source, text, values)


def expression(builder: Builder, source: Source, text: str, values: Mapping[str, Value]) -> list[Value]:
    """Make an expression, and return its value as a real number, as a whole one and as a truth value.

    Raises:
        RefusedError: It has more than four values.
    """
    used = [name for name in dict.fromkeys(_NAMES.findall(text)) if name in values]
    free = [letter for letter in "abcd" if letter not in used]
    renamed = {name: name if name in "abcd" else (free.pop(0) if free else "") for name in used}
    if "" in renamed.values() or len(used) > 4:
        raise RefusedError("its expression has more than four values")
    text = _NAMES.sub(lambda match: renamed.get(match[0], match[0]), text)
    made = builder.add(source, "expression", {"expression": text, **{renamed[name]: values[name] for name in used}})
    return [made, builder.ref(made.node, "rounded"), builder.ref(made.node, "truth")]


def _int_first(builder: Builder, source: Source) -> list[Value]:
    real, whole, truth = _math(builder, source)
    return [whole, real, truth]


def _rounded_first(builder: Builder, source: Source) -> list[Value]:
    """SimpleMath+: the nearest whole number, and the real one."""
    real, *_ = _math(builder, source)
    return [builder.add(source, "to_int", {"value": real, "rounding": "nearest"}, suffix="int"), real]


def _convert(builder: Builder, source: Source) -> list[Value]:
    value = source.get("value")
    return [
        builder.add(source, "to_float", {"value": value}),
        builder.add(source, "to_int", {"value": value}, suffix="int"),
    ]


def _combo(builder: Builder, source: Source) -> list[Value]:
    """CustomCombo: the chosen text and its index."""
    text = source.text("choice")
    source.used |= {name for name in source.inputs if name.startswith("option")}
    chosen = builder.add(source, "text_value", {"text": text})
    index = int(source.number("index"))
    return [
        type(chosen)(chosen.node, chosen.output, text),
        builder.add(source, "int_value", {"value": index}, suffix="index"),
    ]


def _ratio(builder: Builder, source: Source) -> list[Value]:
    """ResolutionSelector: a size from a ratio and an area."""
    ratio = source.text("aspect_ratio", "1:1 (Square)").partition(" ")[0]
    made = builder.add(
        source,
        "aspect_ratio_size",
        {"ratio": ratio, "megapixels": source.get("megapixels", 1.0), "multiple_of": source.get("multiple", 8)},
    )
    return [made, builder.ref(made.node, "height")]


def _numbers(operation: str | None, kind: str) -> Make:
    def make(builder: Builder, source: Source) -> list[Value]:
        name = operation or source.text("operation", "add")
        if name not in _OPERATIONS:
            raise RefusedError(f"its operation {name} has no native counterpart")
        native = _OPERATIONS[name]
        if kind == "int" and native == "divide":
            native = "floor_divide"
        inputs = {"a": source.get("a", 0), "b": source.get("b", 0), "operation": native}
        return [builder.add(source, f"{kind}_math", inputs)]

    return make


def _format(builder: Builder, source: Source) -> list[Value]:
    """StringFormat: braces name the inputs ``values.a`` to ``values.d``."""
    names = [name for name in source.inputs if name.startswith("values.")]
    if any(name.removeprefix("values.") not in "abcd" for name in names):
        raise RefusedError("it fills in more than four values")
    inputs = {name.removeprefix("values."): source.get(name) for name in names}
    return [builder.add(source, "text_format", {"template": source.text("f_string"), **inputs})]


def shown(builder: Builder, source: Source) -> list[Value]:
    """Show a value, and pass it on."""
    names = ("source", "text", "anything", "input", "value", "any", "text_0", "output")
    value = next((found for name in names if (found := source.get(name)) is not None), None)
    source.used |= {name for name in source.inputs if isinstance(source.inputs[name], Const)}
    if value is None:
        return []
    if not isinstance(value, Const | Lost):
        builder.add(source, "show", {"value": value})
    return [value]


def _compared(builder: Builder, source: Source) -> list[Value]:
    """Image comparers: each picture is previewed."""
    for name in sorted(source.inputs):
        value = source.get(name)
        if value is not None and not isinstance(value, Lost | Const):
            builder.add(
                source, "preview", {"images": value, "max_edge": 2048}, suffix=name.replace(".", "-").replace(" ", "-")
            )
    return []


def _passes(name: str, outputs: int = 1) -> Make:
    """Return a function for nodes that free memory, choose kernels and the like: they change no picture."""

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used |= set(source.inputs)
        return [source.get(name)] * outputs

    return make


def _same(type: str, name: str, pack: str = "", *, remark: str = "") -> Made:
    return Made(type, (), _passes(name), says=f"nothing: {remark or 'it changes no picture'}", pack=pack)


_VALUES: tuple[tuple[str, str, str, int, str], ...] = (
    # ComfyUI type, native type, input, outputs, pack
    ("INTConstant", "int_value", "value", 1, "ComfyUI-KJNodes"),
    ("FloatConstant", "float_value", "value", 1, "ComfyUI-KJNodes"),
    ("StringConstant", "text_value", "string", 1, "ComfyUI-KJNodes"),
    ("StringConstantMultiline", "text_value", "string", 1, "ComfyUI-KJNodes"),
    ("BOOLConstant", "bool_value", "value", 1, "ComfyUI-KJNodes"),
    ("ImpactInt", "int_value", "value", 1, "ComfyUI-Impact-Pack"),
    ("ImpactFloat", "float_value", "value", 1, "ComfyUI-Impact-Pack"),
    ("ImpactBoolean", "bool_value", "value", 1, "ComfyUI-Impact-Pack"),
    ("easy int", "int_value", "value", 1, "ComfyUI-Easy-Use"),
    ("easy float", "float_value", "value", 1, "ComfyUI-Easy-Use"),
    ("easy string", "text_value", "value", 1, "ComfyUI-Easy-Use"),
    ("easy boolean", "bool_value", "value", 1, "ComfyUI-Easy-Use"),
    ("easy positive", "text_value", "positive", 1, "ComfyUI-Easy-Use"),
    ("easy negative", "text_value", "negative", 1, "ComfyUI-Easy-Use"),
    ("easy seed", "seed_value", "seed", 1, "ComfyUI-Easy-Use"),
    ("Text Multiline", "text_value", "text", 1, "was-node-suite-comfyui"),
    ("Text _O", "text_value", "text", 1, "ComfyUI-QualityOfLifeSuit_Omar92"),
    ("Seed", "seed_value", "seed", 4, "was-node-suite-comfyui"),
    ("Seed (rgthree)", "seed_value", "seed", 1, "rgthree-comfy"),
    ("CR Seed", "seed_value", "seed", 1, "ComfyUI_Comfyroll_CustomNodes"),
    ("CR Integer To String", "int_value", "int_", 1, "ComfyUI_Comfyroll_CustomNodes"),
    ("CR Prompt Text", "text_value", "prompt", 1, "ComfyUI_Comfyroll_CustomNodes"),
    ("CR Text", "text_value", "text", 1, "ComfyUI_Comfyroll_CustomNodes"),
    ("SeedNode", "seed_value", "seed", 1, ""),
    ("Int", "int_value", "int", 1, ""),
    ("SimpleText", "text_value", "text", 1, ""),
    ("DF_Text", "text_value", "Text", 1, "Derfuu_ComfyUI_ModdedNodes"),
    ("DF_Integer", "int_value", "Value", 1, "Derfuu_ComfyUI_ModdedNodes"),
    ("DF_Float", "float_value", "Value", 1, "Derfuu_ComfyUI_ModdedNodes"),
    ("mxSeed", "seed_value", "seed", 1, "ComfyUI-mxToolkit"),
    ("JWInteger", "int_value", "value", 1, "comfyui-various"),
    ("JWFloat", "float_value", "value", 1, "comfyui-various"),
    ("JWString", "text_value", "text", 1, "comfyui-various"),
    ("ttN text", "text_value", "text", 1, "ComfyUI_tinyterraNodes"),
    ("ttN int", "int_value", "int", 1, "ComfyUI_tinyterraNodes"),
    ("ttN float", "float_value", "float", 1, "ComfyUI_tinyterraNodes"),
    ("ttN seed", "seed_value", "seed", 1, "ComfyUI_tinyterraNodes"),
    ("String Literal", "text_value", "string", 1, ""),
    ("Int Literal", "int_value", "int", 1, ""),
    ("Float Literal", "float_value", "float", 1, ""),
    ("Cfg Literal", "float_value", "float", 1, ""),
    ("Width/Height Literal", "int_value", "int", 1, ""),
    ("Seed Generator", "seed_value", "seed", 1, ""),
    ("Sampler Selector", "text_value", "sampler_name", 1, ""),
    ("Scheduler Selector", "text_value", "scheduler", 1, ""),
)
_OTHERS = "show_help control_after_generate mode note fixed"

RULES: tuple[AnyRule, ...] = (
    *(
        Made(type, (native,), value_node(native, input, outputs, others=_OTHERS), says=native, pack=pack)
        for type, native, input, outputs, pack in _VALUES
    ),
    Rule("PrimitiveInt", "int_value", "value", defaults={"value": 0}),
    Rule("PrimitiveFloat", "float_value", "value", defaults={"value": 0.0}),
    Rule("PrimitiveBoolean", "bool_value", "value", defaults={"value": False}),
    Rule("PrimitiveString", "text_value", "value:text", defaults={"value": ""}, back=False),
    Rule("PrimitiveStringMultiline", "text_value", "value:text", defaults={"value": ""}),
    # switches; one whose selector is a literal is folded before
    Rule("ComfySwitchNode", "switch", "switch:select on_false on_true"),
    Made("Any Switch (rgthree)", (), _any_switch, says="the first input that is linked", pack="rgthree-comfy"),
    Made("ImpactSwitch", ("switch_index",), switched("select", *(f"input{n}" for n in range(1, 21)), first=1), says="the chosen input", pack="ComfyUI-Impact-Pack"),
    *(
        Made(f"CR {kind} Input Switch", ("switch_index",), switched("Input", f"{name}1", f"{name}2", first=1), says="the chosen input",
             pack="ComfyUI_Comfyroll_CustomNodes")
        for kind, name in (("Image", "image"), ("Model", "model"), ("Latent", "latent"), ("Conditioning", "conditioning"), ("Text", "text"), ("VAE", "VAE"), ("Clip", "clip"))
    ),
    # texts
    Rule("StringConcatenate", "text_join", "string_a:first string_b:second delimiter:separator", fixed={"skip_empty": False}, defaults={"string_a": "", "string_b": "", "delimiter": ""}),
    Made("Text Concatenate", ("text_join",), _concatenate("text_a text_b text_c text_d"), says="text_join", pack="was-node-suite-comfyui"),
    Made("JoinStrings", ("text_join",), _concatenate("string1 string2"), says="text_join", pack="ComfyUI-KJNodes"),
    Made("JoinStringMulti", ("text_join",), _concatenate("string_1 string_2 string_3 string_4"), says="text_join", pack="ComfyUI-KJNodes"),
    Made("CR Text Concatenate", ("text_join",), _concatenate("text1 text2", "separator"), says="text_join", pack="ComfyUI_Comfyroll_CustomNodes"),
    Rule("StringReplace", "text_replace", "string:text find replace:replacement"),
    Made("Text Find and Replace", ("text_replace",), _replace, says="text_replace", pack="was-node-suite-comfyui"),
    Rule("String Replace (mtb)", "text_replace", "string:text old:find new:replacement", pack="comfy-mtb", back=False),
    Rule("StringTrim", "text_trim", "string:text mode:side", values={"mode": {"Both": "both", "Left": "left", "Right": "right"}}),
    Rule("CaseConverter", "text_case", "string:text mode:case",
         values={"mode": {"UPPERCASE": "upper", "lowercase": "lower", "Capitalize": "capitalize", "Title Case": "title"}}),
    Rule("StringSubstring", "text_substring", "string:text start end", defaults={"start": 0, "end": 0}),
    Rule("JsonExtractString", "json_value", "json_string:text key"),
    Rule("StringLength", "text_length", "string:text"),
    Rule("StringContains", "text_contains", "string:text substring:find case_sensitive"),
    Rule("StringCompare", "text_compare", "string_a:a string_b:b mode:operation case_sensitive",
         values={"mode": {"Starts With": "starts_with", "Ends With": "ends_with", "Equal": "equal"}}),
    Rule("RegexMatch", "regex_match", f"string:text regex_pattern:pattern {_REGEX}"),
    Rule("RegexExtract", "regex_extract", f"string:text regex_pattern:pattern mode {_REGEX} group_index:group", values={"mode": _EXTRACT}),
    Rule("RegexReplace", "regex_replace", f"string:text regex_pattern:pattern replace:replacement count {_REGEX}"),
    Made("StringFormat", ("text_format",), _format, says="text_format"),
    Rule("Text Random Line", "random_line", "text seed", pack="was-node-suite-comfyui", differs="another line than the node's is picked", back=False),
    # numbers
    Made("ComfyMathExpression", ("expression",), _math, says="expression"),
    Made("SimpleMath+", ("expression", "to_int"), _rounded_first, says="expression", pack="ComfyUI_essentials"),
    Made("easy simpleMath", ("expression",), _int_first, says="expression", pack="ComfyUI-Easy-Use"),
    Made("ComfyNumberConvert", ("to_float", "to_int"), _convert, says="to_float and to_int"),
    Made("CustomCombo", ("text_value", "int_value"), _combo, says="text_value and int_value"),
    Made("ResolutionSelector", ("aspect_ratio_size",), _ratio, says="aspect_ratio_size"),
    Made("easy mathInt", ("int_math",), _numbers(None, "int"), says="int_math", pack="ComfyUI-Easy-Use"),
    Made("easy mathFloat", ("float_math",), _numbers(None, "float"), says="float_math", pack="ComfyUI-Easy-Use"),
    Rule("Number to Text", "to_text", "number:value", pack="was-node-suite-comfyui", back=False),
    Rule("SomethingToString", "to_text", "input:value", pack="ComfyUI-KJNodes", ignored="prefix suffix", back=False),
    Rule("ManualSigmas", "sigmas_from_list", "sigmas:values", values={"sigmas": SIGMAS}),
    # showing
    Made("PreviewAny", ("show",), shown, says="show, and the value passed on", back=Rule("PreviewAny", "show", "source:value", passes="source")),
    *(
        Made(type, ("show",), shown, says="show, and the value passed on", pack=pack)
        for type, pack in (
            ("ShowText|pysssss", "ComfyUI-Custom-Scripts"), ("easy showAnything", "ComfyUI-Easy-Use"),
            ("Display Any (rgthree)", "rgthree-comfy"), ("Display Int (rgthree)", "rgthree-comfy"), ("DisplayText_Zho", "a pack of ZHO-ZHO-ZHO"),
            ("Text to Console", "was-node-suite-comfyui"),
        )
    ),
    Made("ImageCompare", ("preview",), _compared, says="one preview for each picture"),
    Made("Image Comparer (rgthree)", ("preview",), _compared, says="one preview for each picture", pack="rgthree-comfy"),
    # nothing to do
    _same("ModelAttentionBackend", "model"),
    _same("ModelComputeDtype", "model", remark="the dtype is chosen for the run, with --dtype"),
    _same("TorchCompileModel", "model", remark="compiling changes speed alone"),
    _same("PathchSageAttentionKJ", "model", "ComfyUI-KJNodes", remark="the attention kernel changes speed alone"),
    _same("easy cleanGpuUsed", "anything", "ComfyUI-Easy-Use"),
    _same("easy clearCacheAll", "anything", "ComfyUI-Easy-Use"),
    _same("ChromaRadianceOptions", "model", remark="tiles of the last layers save memory alone"),
    _same("PreviewBridge", "images", "ComfyUI-Impact-Pack"),
    _same("ReroutePrimitive|pysssss", "value", "ComfyUI-Custom-Scripts", remark="what it gets goes on"),
)  # fmt: skip
"""By ComfyUI type."""
