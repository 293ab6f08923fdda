"""Values, texts, lists and pictures of Comfyroll, ComfyMath, Crystools, Inspire and other small packs, by their documentation."""

from __future__ import annotations

import re
from typing import Any

from ..building import Builder, Const, Lost, Ref, RefusedError, Source, Value
from .common import BATCH_NOISE, PREFIX
from .control import by_name
from .images import sized
from .pack_prompts import with_loras
from .rule import AnyRule, Made, Make, Rule
from .values import expression, shown, switched

_CR, _MATH, _CRYSTOOLS, _INSPIRE = (
    "ComfyUI_Comfyroll_CustomNodes",
    "ComfyMath",
    "ComfyUI-Crystools",
    "ComfyUI-Inspire-Pack",
)
_ESSENTIALS = "ComfyUI_essentials"
_PYSSSSS, _TOOLING, _RGTHREE, _ART = (
    "ComfyUI-Custom-Scripts",
    "comfyui-tooling-nodes",
    "rgthree-comfy",
    "comfyui-art-venture",
)
_OPERATIONS = {
    "Add": "a + b", "Sub": "a - b", "Mul": "a * b", "Div": "a / b", "Mod": "a % b", "Pow": "a ** b", "FloorDiv": "a // b", "Max": "max(a, b)",
    "Min": "min(a, b)", "Neg": "-a", "Inc": "a + 1", "Dec": "a - 1", "Abs": "abs(a)", "Sqr": "a * a", "Cube": "a ** 3", "Sqrt": "sqrt(a)",
    "Exp": "exp(a)", "Ln": "log(a)", "Log10": "log10(a)", "Log2": "log2(a)", "Sin": "sin(a)", "Cos": "cos(a)", "Tan": "tan(a)", "Floor": "floor(a)",
    "Ceil": "ceil(a)", "Round": "round(a)", "a == b": "a == b", "a != b": "a != b", "a < b": "a < b", "a > b": "a > b", "a <= b": "a <= b",
    "a >= b": "a >= b", "Eq": "a == b", "Neq": "a != b", "Gt": "a > b", "Gte": "a >= b", "Lt": "a < b", "Lte": "a <= b", "And": "a and b",
    "Or": "a or b", "Xor": "not (a == b)", "Nor": "not (a or b)", "Nand": "not (a and b)", "Not": "not a", "a == 0": "a == 0", "a != 0": "a != 0",
    "a > 0": "a > 0", "a < 0": "a < 0", "a >= 0": "a >= 0", "a <= 0": "a <= 0", "IsZero": "a == 0", "IsNonZero": "a != 0", "IsPositive": "a > 0",
    "IsNegative": "a < 0", "IsEven": "a % 2 == 0", "IsOdd": "a % 2 == 1",
    "addition": "a + b", "subtraction": "a - b", "multiplication": "a * b", "division": "a / b", "floor division": "a // b", "power": "a ** b",
    "modulus": "a % b", "sin": "sin(a)", "cos": "cos(a)", "tan": "tan(a)",
}  # fmt: skip


def _operated(which: int, operator: str = "op") -> Make:
    """Return a function for an operation: as a real (0), a whole number (1) or a truth value (2)."""

    def make(builder: Builder, source: Source) -> list[Value]:
        name = source.text(operator, "Add")
        if name not in _OPERATIONS:
            raise RefusedError(f"its operation {name} has no native counterpart")
        text = _OPERATIONS[name]
        source.used |= {"a", "b"}
        values = {letter: source.get(letter, 0) for letter in "ab" if re.search(rf"\b{letter}\b", text)}
        return [expression(builder, source, text, values)[which]]

    return make


def _calculated(builder: Builder, source: Source) -> list[Value]:
    """CR Math Operation: rounded to so many places."""
    name = source.text("operation", "addition")
    if name not in _OPERATIONS:
        raise RefusedError(f"its operation {name} has no native counterpart")
    values = {letter: source.get(letter, 0) for letter in "ab" if re.search(rf"\b{letter}\b", _OPERATIONS[name])}
    source.used |= {"a", "b"}
    places = int(source.number("decimal_places", 3))
    text = f"round(({_OPERATIONS[name]}) * {10**places}) / {10**places}" if places else f"round({_OPERATIONS[name]})"
    real = expression(builder, source, text, values)[0]
    return [real, builder.add(source, "to_text", {"value": real}, suffix="text")]


def _numbered(builder: Builder, source: Source) -> list[Value]:
    """CR Value: as a real and as a whole number."""
    value = source.get("value", 1.0)
    real = builder.add(source, "to_float", {"value": value})
    return [real, builder.add(source, "to_int", {"value": value}, suffix="int"), None]


def _combined(*names: str) -> Make:
    """Return a function for texts that are joined, empty ones left out."""

    def make(builder: Builder, source: Source) -> list[Value]:
        texts = [source.get(name, "") for name in names]
        texts = [text for text in texts if not (isinstance(text, Const) and text.value == "")]
        if len(texts) > 4:
            raise RefusedError("it joins more than four texts")
        separator = source.text("separator", ",").replace("\\n", "\n")
        places = dict(zip(("first", "second", "third", "fourth"), texts, strict=False))
        return [builder.add(source, "text_join", {**places, "separator": separator, "skip_empty": True})]

    return make


def _changed(builder: Builder, source: Source) -> list[Value]:
    """CR Text Operation: capitals and small letters."""
    cases = {"uppercase": "upper", "lowercase": "lower", "capitalize": "capitalize", "titlecase": "title"}
    how = source.text("operation", "uppercase")
    if how not in cases:
        raise RefusedError(f"its operation {how} has no native counterpart")
    return [builder.add(source, "text_case", {"text": source.get("text", ""), "case": cases[how]})]


def _split(builder: Builder, source: Source) -> list[Value]:
    """CR Split String: up to four parts of a text that is known."""
    parts = source.text("text").split(source.text("delimiter", ",") or ",")
    texts = [part.strip() for part in parts][:4]
    made: list[Value] = []
    for number, text in enumerate([*texts, *[""] * (4 - len(texts))], 1):
        made.append(Ref(builder.add(source, "text_value", {"text": text}, suffix=f"{number}").node, "", text))
    return made


def _both(builder: Builder, source: Source) -> list[Value]:
    """CR Switch Model and CLIP: one of two pairs."""
    number = int(source.number("Input", 1))
    chosen = [source.get(f"{name}{number}") for name in ("model", "clip")]
    source.used |= {f"{name}{place}" for name in ("model", "clip") for place in (1, 2)}
    if chosen[0] is None:
        raise RefusedError(f"it chooses pair {number}, which is not linked")
    return [*chosen, None]


def _colored(builder: Builder, source: Source) -> list[Value]:
    """CR Color Panel: one colour."""
    names = {"white": "#ffffff", "black": "#000000", "red": "#ff0000", "green": "#00ff00", "blue": "#0000ff", "yellow": "#ffff00", "cyan": "#00ffff",
             "magenta": "#ff00ff", "gray": "#808080", "grey": "#808080"}  # fmt: skip
    name, custom = source.text("fill_color", "white"), source.text("fill_color_hex", "#000000")
    color = custom if name == "custom" else names.get(name)
    if color is None:
        raise RefusedError(f"its fill_color {name} has no native counterpart; custom has")
    size = {"width": source.get("panel_width", 512), "height": source.get("panel_height", 512)}
    return [builder.add(source, "solid_image", {**size, "color": color.lower()}), None]


def _nets(builder: Builder, source: Source) -> list[Value]:
    """CR Apply ControlNet: on one side, where it is switched on."""
    told = source.get("conditioning")
    if not source.flag("switch", True) or source.number("strength", 1.0) == 0:
        source.used |= {"control_net", "image", "strength"}
        return [told, None]
    inputs = {
        "positive": told,
        "control_net": source.get("control_net"),
        "image": source.get("image"),
        "strength": source.get("strength", 1.0),
    }
    return [builder.add(source, "apply_control_net", inputs), None]


def _valued(native: str, name: str) -> Make:
    def make(builder: Builder, source: Source) -> list[Value]:
        key = "text" if native == "text_value" else "value"
        made = builder.add(source, native, {key: source.get(name)})
        return [made]

    return make


def _parameter(builder: Builder, source: Source) -> list[Value]:
    """ETN_Parameter: what a client would set; its default here."""
    kind, value = source.text("type", "auto"), source.literal("default", "")
    source.used |= {"name", "min", "max"}
    if "number (integer)" in kind:
        return [builder.add(source, "int_value", {"value": int(float(value))})]
    if kind.startswith("number"):
        return [builder.add(source, "float_value", {"value": float(value)})]
    if kind == "toggle":
        return [builder.add(source, "bool_value", {"value": str(value).lower() in ("true", "1")})]
    text = str(value)
    return [Ref(builder.add(source, "text_value", {"text": text}).node, "", text)]


def _transparent(builder: Builder, source: Source) -> list[Value]:
    """ETN_ApplyMaskToImage: the mask is what is seen."""
    hidden = builder.add(source, "invert_mask", {"mask": source.get("mask")}, suffix="hidden")
    return [builder.add(source, "join_alpha", {"images": source.get("image"), "mask": hidden})]


def _latent_size(builder: Builder, source: Source) -> list[Value]:
    """Image or Latent Size (rgthree)."""
    value = next((found for name in ("input", "image", "latent") if (found := source.get(name)) is not None), None)
    if not isinstance(value, Ref):
        raise RefusedError("nothing is linked to it")
    native, name = ("latent_size", "latent") if builder.type_of(value).name == "latent" else ("image_size", "images")
    made = builder.add(source, native, {name: value})
    return [made, builder.ref(made.node, "height")]


def _resized(builder: Builder, source: Source) -> list[Value]:
    """Image Resize (rgthree): pixels or percent, cut, padded or within."""
    image, fit, method = source.get("image"), source.text("fit", "crop"), source.text("method", "nearest-exact")
    how = {"nearest-exact": "nearest", "lanczos": "lanczos_8bit"}.get(method, method)
    width, height = source.number("width", 0), source.number("height", 0)
    inputs: dict[str, Any] = {"images": image, "method": how}
    if source.text("measurement", "pixels") == "percentage":
        for edge, extent, share in (("width", "a", width), ("height", "b", height)):
            if share:
                made = sized(source, builder, image, f"{extent} * {share:g} / 100", suffix=edge)
                inputs[edge] = builder.ref(made.node, "rounded")
    else:
        inputs |= {"width": int(width), "height": int(height)}
    native = "resize"
    if width and height:
        if fit == "crop":
            inputs["crop"] = "center"
        elif fit == "pad":
            native = "resize_and_pad"
        elif fit == "contain":
            scale = sized(
                source,
                builder,
                image,
                "min(c / a, d / b)",
                suffix="scale",
                c=inputs.pop("width"),
                d=inputs.pop("height"),
            )
            inputs["scale"] = scale
        else:
            raise RefusedError(f"its fit {fit} has no native counterpart")
    resized = builder.add(source, native, inputs)
    size = builder.add(source, "image_size", {"images": resized}, suffix="size")
    return [resized, size, builder.ref(size.node, "height")]


def _within(builder: Builder, source: Source) -> list[Value]:
    """ConstrainImage|pysssss: no larger than one size, no smaller than another."""
    image = source.get("images")
    low = (int(source.number("min_width", 0)), int(source.number("min_height", 0)))
    high = (int(source.number("max_width", 1024)), int(source.number("max_height", 1024)))
    if source.text("crop_if_required", "no") == "yes":
        source.remark("it is not cut where both limits cannot be kept")
    text = f"min({high[0]} / a, {high[1]} / b, max(1, {low[0]} / a, {low[1]} / b))"
    scale = sized(source, builder, image, text, suffix="scale")
    return [builder.add(source, "resize", {"images": image, "scale": scale, "method": "lanczos_8bit"})]


def _sampled(builder: Builder, source: Source) -> list[Value]:
    """KSampler //Inspire: ComfyUI's, with noise of the CPU or the GPU, and a share of another noise."""
    if source.number("variation_strength", 0.0) > 0:
        raise RefusedError("noise that is mixed of two seeds has no native counterpart")
    source.used |= {"variation_seed", "variation_strength", "variation_method", "internal_seed", "variation_seed_opt"}
    mode = source.text("noise_mode", "GPU(=A1111)")
    if source.text("batch_seed_mode", "incremental") != "incremental":
        source.remark("the noise of a batch is drawn as incremental seeds do")
    if source.get("scheduler_func_opt") is not None:
        raise RefusedError("its input scheduler_func_opt has no native counterpart")
    inputs = {
        "model": source.get("model"), "positive": source.get("positive"), "negative": source.get("negative"), "latent": source.get("latent_image"),
        "seed": source.get("seed", 0), "steps": source.get("steps", 20), "guidance_scale": source.get("cfg", 8.0),
        "sampler": source.get("sampler_name", "euler"), "schedule": source.get("scheduler", "normal"), "strength": source.get("denoise", 1.0),
        **BATCH_NOISE, "noise_layout": "per_sample",
    }  # fmt: skip
    if mode.startswith("GPU"):
        source.remark("noise is drawn on the CPU, whatever noise_mode says")
    return [builder.add(source, "sample", inputs)]


def _encoded(builder: Builder, source: Source) -> list[Value]:
    """WildcardEncode //Inspire: the text that was filled in last, with its LoRAs."""
    source.used |= {"wildcard_text", "mode", "seed", "Select to add Wildcard", "Select to add LoRA"}
    source.remark("the text that was filled in last is taken; nothing is drawn anew")
    if (
        source.text("weight_interpretation", "comfy++") not in ("comfy", "comfy++")
        or source.text("token_normalization", "none") != "none"
    ):
        source.remark("weights act as in ComfyUI's own node, whatever the node's settings say")
    told = source.text("populated_text") or source.text("wildcard_text")
    text, model, clip = with_loras(builder, source, told, source.get("model"), source.get("clip"))
    prompt = builder.add(source, "encode_prompt", {"text": text, "text_encoder": clip})
    return [model, clip, prompt, Ref(builder.add(source, "text_value", {"text": told}, suffix="text").node, "", told)]


def _same_as(*names: str) -> Make:
    """Return a function for a node that passes on the first of some inputs, and changes no picture."""

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used |= set(source.inputs)
        value = next(
            (found for name in names if (found := source.inputs.get(name)) is not None and not isinstance(found, Lost)),
            None,
        )
        if value is None:
            raise RefusedError("nothing is linked to it")
        return [value]

    return make


def _all_of(*names: str) -> Make:
    """Return a function for a node that passes each input on at an output of its own, and changes no picture."""

    def make(builder: Builder, source: Source) -> list[Value]:
        source.used |= set(source.inputs)
        return [source.get(name) for name in names]

    return make


def _flux_size(builder: Builder, source: Source) -> list[Value]:
    """FluxResolutionNode: a size of a shape and an area."""
    ratio = (
        source.text("custom_aspect_ratio", "1:1")
        if source.flag("custom_ratio")
        else source.text("aspect_ratio", "1:1").partition(" ")[0]
    )
    source.used |= {"aspect_ratio", "custom_aspect_ratio"}
    source.remark("edges are rounded as the native node does it")
    told = {
        "ratio": ratio,
        "megapixels": source.number("megapixel", 1.0),
        "multiple_of": int(source.number("divisible_by", 64)),
    }
    made = builder.add(source, "aspect_ratio_size", told)
    return [made, builder.ref(made.node, "height"), None, None]


def _drawn(builder: Builder, source: Source) -> list[Value]:
    """DPRandomGenerator: choices are drawn when the file is imported; wildcards stay."""
    source.used |= {"seed", "autorefresh"}
    text = source.get("text", "")
    if not isinstance(text, Const) or re.search(r"__[^_\s]+__|\$\$|\{", str(text.value)):
        source.remark("wildcards and choices of several options in it stay as they are")
    made = builder.add(source, "text_value", {"text": text})
    literal = builder.nodes[made.node].params.get("text")
    return [made if literal is None else Ref(made.node, made.output, literal)]


def _told_until(builder: Builder, source: Source) -> list[Value]:
    """SD3NegativeConditioning+: what is said at first, then nothing."""
    told, end = source.get("conditioning"), source.number("end", 0.1)
    nothing = builder.add(source, "zero_out_conditioning", {"conditioning": told}, suffix="nothing")
    first, last = (
        builder.add(
            source, "set_conditioning_range", {"conditioning": what, "start": start, "end": stop}, suffix=suffix
        )
        for what, start, stop, suffix in ((told, 0.0, end, "first"), (nothing, end, 1.0, "last"))
    )
    return [builder.add(source, "combine_conditioning", {"conditioning": [last, first]})]


def _told_together(builder: Builder, source: Source) -> list[Value]:
    """ConditioningCombineMultiple+."""
    told = [value for name in source.numbered("conditioning_") if (value := source.get(name)) is not None]
    if not told:
        raise RefusedError("nothing is linked to it")
    return [builder.add(source, "combine_conditioning", {"conditioning": told})]


def _colors(builder: Builder, source: Source) -> list[Value]:
    """ImageColorMatch+: the colours of another picture."""
    source.used |= {"color_space", "device", "batch_size", "reference_mask"}
    if source.get("reference_mask") is not None:
        raise RefusedError("its input reference_mask has no native counterpart")
    source.remark("colours are matched by mean and spread in YCbCr, whatever its color_space says")
    inputs = {
        "images": source.get("image"),
        "reference": source.get("reference"),
        "strength": source.get("factor", 1.0),
    }
    return [builder.add(source, "match_colors", inputs)]


def _varied(builder: Builder, source: Source) -> list[Value]:
    """SeedVarianceEnhancer: noise in the prompt, for some of the steps."""
    told, when = source.get("conditioning"), source.text("noise_insert", "noise on beginning steps")
    source.used |= {"log_to_console", "seed"}
    percent = {
        name: source.number(name, default) / 100
        for name, default in (("randomize_percent", 50), ("mask_percent", 0), ("steps_switchover_percent", 20))
    }
    inputs = {
        "conditioning": told,
        "seed": source.get("seed", 0),
        "strength": source.get("strength", 20.0),
        "share": percent["randomize_percent"],
    }
    if source.text("mask_starts_at", "beginning") == "beginning":
        inputs["first"] = percent["mask_percent"]
    else:
        inputs["last"] = 1 - percent["mask_percent"]
    if when == "disabled":
        return [told]
    source.remark("other noise than the node's is drawn")
    if when == "noise on all steps":
        return [builder.add(source, "vary_conditioning", inputs)]
    noisy: Value = builder.add(source, "vary_conditioning", inputs, suffix="noisy")
    sides = (told, noisy) if "ending" in when else (noisy, told)
    turn = percent["steps_switchover_percent"]
    parts = [
        builder.add(source, "set_conditioning_range", {"conditioning": side, "start": start, "end": end}, suffix=suffix)
        for side, start, end, suffix in zip(sides, (0.0, turn), (turn, 1.0), ("first", "rest"), strict=True)
    ]
    return [builder.add(source, "combine_conditioning", {"conditioning": parts})]


def _compared(builder: Builder, source: Source) -> list[Value]:
    """Compare-🔬: two values."""
    text = source.text("comparison", "a == b")
    if not re.fullmatch(r"a (==|!=|<|>|<=|>=) b", text):
        raise RefusedError(f"its comparison {text} has no native counterpart")
    return [expression(builder, source, text, {"a": source.get("a", 0), "b": source.get("b", 0)})[2]]


def _preprocessed(builder: Builder, source: Source) -> list[Value]:
    """AV_ControlNetPreprocessor: the preprocessor that it names."""
    source.used.add("sd_version")
    return by_name(builder, source, source.text("preprocessor", "none"))


def _controlled(builder: Builder, source: Source) -> list[Value]:
    """AV_ControlNetEfficientLoader: a ControlNet with its picture, on both sides."""
    net, image = source.get("control_net_override"), source.get("image")
    if net is None:
        net = builder.add(source, "load_control_net", {"control_net": source.get("control_net_name")}, suffix="net")
    source.used |= {"control_net_name", "sd_version", "timestep_keyframe"}
    if source.text("preprocessor", "None").lower() != "none":
        (image,) = by_name(builder, source, source.text("preprocessor"))
    source.used.add("resolution")
    inputs = {
        "positive": source.get("positive"),
        "negative": source.get("negative"),
        "control_net": net,
        "image": image,
        "strength": source.get("strength", 1.0),
    }
    more = {"start": source.get("start_percent", 0.0), "end": source.get("end_percent", 1.0)}
    made = builder.add(source, "apply_control_net", {**inputs, **more})
    return [made, builder.ref(made.node, "negative")]


def _loaded_net(builder: Builder, source: Source) -> list[Value]:
    """AV_ControlNetLoader."""
    net = source.get("control_net_override")
    source.used |= {"control_net_name", "timestep_keyframe"}
    return [
        builder.add(source, "load_control_net", {"control_net": source.get("control_net_name")}) if net is None else net
    ]


_BINARY = tuple(
    f"CM_{kind}{what}" for kind in ("Int", "Float", "Number") for what in ("BinaryOperation", "UnaryOperation")
)
_CONDITIONS = tuple(
    f"CM_{kind}{what}" for kind in ("Int", "Float", "Number") for what in ("BinaryCondition", "UnaryCondition")
)
_VALUES = (
    # type, native, input, pack
    ("CM_IntToFloat", "to_float", "a", _MATH), ("CM_FloatToInt", "to_int", "a", _MATH), ("CM_IntToBool", "to_int", "a", _MATH),
    ("CM_BoolToInt", "to_int", "a", _MATH), ("CM_IntToNumber", "to_float", "a", _MATH), ("CM_NumberToInt", "to_int", "a", _MATH),
    ("CM_FloatToNumber", "to_float", "a", _MATH), ("CM_NumberToFloat", "to_float", "a", _MATH),
    ("CR String To Number", "to_float", "text", _CR), ("StringToInt", "to_int", "string", _ART),
)  # fmt: skip

RULES: tuple[AnyRule, ...] = (
    # Comfyroll
    Made("CR Math Operation", ("expression", "to_text"), _calculated, says="expression", pack=_CR),
    Made("CR Value", ("to_float", "to_int"), _numbered, says="to_float and to_int", pack=_CR),
    Made("CR Combine Prompt", ("text_join",), _combined("part1", "part2", "part3", "part4"), says="text_join", pack=_CR),
    Made("CR Text Operation", ("text_case",), _changed, says="text_case", pack=_CR),
    Rule("CR Text Length", "text_length", "text", "value -", pack=_CR, back=False),
    Made("CR Split String", ("text_value",), _split, says="four text_value", pack=_CR),
    Made("CR Switch Model and CLIP", (), _both, says="the chosen pair", pack=_CR),
    *(
        Made(f"CR {kind} Input Switch (4 way)", ("switch_index",), switched("Input", *(f"{name}{number}" for number in range(1, 5)), first=1), says="the chosen input", pack=_CR)
        for kind, name in (("Image", "image"), ("Model", "model"), ("Text", "text"), ("Latent", "latent"), ("Conditioning", "conditioning"))
    ),
    Made("CR ControlNet Input Switch", ("switch_index",), switched("Input", "control_net1", "control_net2", first=1), says="the chosen input", pack=_CR),
    Made("CR Color Panel", ("solid_image",), _colored, says="solid_image", pack=_CR),
    Made("CR Apply ControlNet", ("apply_control_net",), _nets, says="apply_control_net", pack=_CR),
    Rule("CR VAE Decode", "vae_decode", "samples:latent vae", "image -", ignored="tiled circular", pack=_CR, back=False),
    Rule("CR Latent Batch Size", "repeat_latents", "latent batch_size:count", pack=_CR, back=False),
    Rule("CR Conditioning Mixer", "average_conditioning", "conditioning_1:conditioning conditioning_2:other average_strength:strength", "conditioning -",
         ignored="mix_method", differs="prompts are averaged, whatever mix_method says", pack=_CR, back=False),
    # ComfyMath
    *(Made(type, ("expression",), _operated(1 if "Int" in type else 0), says="expression", pack=_MATH) for type in _BINARY),
    *(Made(type, ("expression",), _operated(2), says="expression", pack=_MATH) for type in _CONDITIONS),
    *(Made(f"CM_Bool{what}Operation", ("expression",), _operated(2), says="expression", pack=_MATH) for what in ("Binary", "Unary")),
    *(Rule(type, native, f"{name}:value", pack=pack, back=False) for type, native, name, pack in _VALUES),
    # Crystools
    *(
        Rule(f"Switch {kind} [Crystools]", "switch", "boolean:select on_true on_false", pack=_CRYSTOOLS, back=False)
        for kind in ("any", "latent", "conditioning", "image", "mask", "string")
    ),
    *(
        Made(f"Primitive {kind} [Crystools]", (native,), _valued(native, name), says=native, pack=_CRYSTOOLS)
        for kind, native, name in (
            ("integer", "int_value", "int"), ("float", "float_value", "float"), ("boolean", "bool_value", "boolean"), ("string", "text_value", "string"),
            ("string multiline", "text_value", "string"),
        )
    ),
    Rule("RandomInt", "random_int", "min:minimum max:maximum seed", differs="another number than the node's is drawn, from the same range", pack=_ART, back=False),
    # rgthree, Custom-Scripts, ArtVenture
    Made("Image or Latent Size (rgthree)", ("image_size", "latent_size"), _latent_size, says="image_size or latent_size", pack=_RGTHREE),
    Made("Image Resize (rgthree)", ("image_size", "expression", "resize", "resize_and_pad"), _resized, says="resize or resize_and_pad", pack=_RGTHREE),
    Made("ConstrainImage|pysssss", ("image_size", "expression", "resize"), _within, says="image_size, expression and resize", pack=_PYSSSSS),
    Rule("ImageRepeat", "repeat_images", "images amount:count", pack=_ART, back=False),
    Rule("BooleanPrimitive", "bool_value", "value", ignored="reverse", pack=_ART, back=False),
    # Inspire
    Made("KSampler //Inspire", ("sample",), _sampled, says="sample", differs="noise is drawn for each picture from its own seed", pack=_INSPIRE),
    Made("WildcardEncode //Inspire", ("apply_lora", "encode_prompt", "text_value"), _encoded, says="encode_prompt, and apply_lora for each LoRA that the text names", pack=_INSPIRE),
    Rule("CheckpointLoaderSimpleShared //Inspire", "load_checkpoint", "ckpt_name:model", "model text_encoder vae -", ignored="key_opt mode", pack=_INSPIRE, back=False),
    # tooling for clients
    Rule("ETN_CropImage", "crop_image", "image:images x y width height", pack=_TOOLING, back=False),
    Made("ETN_ApplyMaskToImage", ("invert_mask", "join_alpha"), _transparent, says="join_alpha", pack=_TOOLING),
    Made("ETN_Parameter", ("int_value", "float_value", "bool_value", "text_value"), _parameter, says="a value node of its default, which becomes an input", pack=_TOOLING),
    Rule("ETN_KritaOutput", "save_image", "images", fixed={"rounding": "truncate"}, ignored="format", pack=_TOOLING, back=False),
    Made("AV_ControlNetPreprocessor", ("preprocess", "canny_edges"), _preprocessed, says="the preprocessor that it names", pack=_ART),
    Made("AV_ControlNetLoader", ("load_control_net",), _loaded_net, says="load_control_net", pack=_ART),
    Made("AV_ControlNetEfficientLoader", ("load_control_net", "preprocess", "canny_edges", "apply_control_net"), _controlled, says="load_control_net and apply_control_net", pack=_ART),
    # others
    Made("FluxResolutionNode", ("aspect_ratio_size",), _flux_size, says="aspect_ratio_size", pack="ControlAltAI-Nodes"),
    Made("DPRandomGenerator", ("text_value",), _drawn, says="text_value", pack="comfyui-dynamicprompts"),
    Made("SD3NegativeConditioning+", ("zero_out_conditioning", "set_conditioning_range", "combine_conditioning"), _told_until,
         says="set_conditioning_range of the prompt, then of nothing", pack=_ESSENTIALS),
    Made("ConditioningCombineMultiple+", ("combine_conditioning",), _told_together, says="combine_conditioning", pack=_ESSENTIALS),
    Made("ImageColorMatch+", ("match_colors",), _colors, says="match_colors", pack=_ESSENTIALS),
    Made("SeedVarianceEnhancer", ("vary_conditioning", "set_conditioning_range", "combine_conditioning"), _varied,
         says="vary_conditioning, for some of the steps", pack="SeedVarianceEnhancer"),
    Made("ShowAnything|Mie", ("show",), shown, says="show, and the value passed on", pack="ComfyUI_Mie_Nodes"),
    Made("Compare-🔬", ("expression",), _compared, says="expression", pack="ComfyUI-Logic"),
    Rule("If ANY return A else B-🔬", "switch", "ANY:select IF_TRUE:on_true IF_FALSE:on_false", pack="ComfyUI-Logic", back=False),
    *(
        Made(f"{kind}-🔬", (native,), _valued(native, "Value"), says=native, pack="ComfyUI-Logic")
        for kind, native in (("Int", "int_value"), ("Float", "float_value"), ("Bool", "bool_value"), ("String", "text_value"))
    ),
    # what changes no picture
    *(
        Made(type, (), _same_as(*names.split()), says="nothing: it changes no picture", pack=pack)
        for type, names, pack in (
            ("LayerUtility: PurgeVRAM V2", "anything", "ComfyUI_LayerStyle"),
            ("LayerUtility: AnyRerouter", "any", "ComfyUI_LayerStyle"), ("PlaySound|pysssss", "any", _PYSSSSS), ("SystemNotification|pysssss", "any", _PYSSSSS),
            ("ModelPatchTorchSettings", "model", "ComfyUI-KJNodes"), ("PatchModelPatcherOrder", "model", "ComfyUI-KJNodes"),
            ("TorchCompileModelFluxAdvanced", "model", "ComfyUI-KJNodes"), ("TorchCompileModelFluxAdvancedV2", "model", "ComfyUI-KJNodes"),
            ("TorchCompileModelQwenImage", "model", "ComfyUI-KJNodes"), ("TorchCompileVAE", "vae", "ComfyUI-KJNodes"),
            ("TorchCompileModelWanVideoV2", "model", "ComfyUI-KJNodes"), ("easy showTensorShape", "tensor", "ComfyUI-Easy-Use"),
            ("FreeMemoryImage", "image", "ComfyUI-FreeMemory"), ("FreeMemoryLatent", "latent", "ComfyUI-FreeMemory"), ("FreeMemoryModel", "model", "ComfyUI-FreeMemory"),
            ("UnloadAllModels", "value", "ComfyUI-Unload-Model"), ("UnloadModel", "value", "ComfyUI-Unload-Model"),
        )
    ),
    Made("ImpactExecutionOrderController", (), _all_of("signal", "value"), says="nothing: the order follows the links", pack="ComfyUI-Impact-Pack"),
    Made("VRAM_Debug", (), _all_of("any_input", "image_pass", "model_pass"), says="nothing: it changes no picture", pack="ComfyUI-KJNodes"),
    Rule("SaveImage|pysssss", "save_image", "images filename_prefix", values={"filename_prefix": PREFIX}, fixed={"rounding": "truncate"}, pack=_PYSSSSS, back=False),
)  # fmt: skip
"""By ComfyUI type."""
