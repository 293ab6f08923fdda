"""Prompts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphflow.basics.prompt_syntax import Piece, pieces

from ..conditionings import Conditioning, Entry
from ..families import family_of, flow_of
from ..graph import Given
from ..handles import EmptyLatent
from ..layout import Expression, Items, call, flat, listed, quoted
from ..models import ModelPart
from ..nets import autoencoder_functions
from ..script import UnsupportedError
from .base import Emission, Emitter
from .loaders import constant_for, make_base

LONG = 60
"""Longer literals become constants at the top."""

SURELY_ONE_CHUNK = 75
"""A text of so many bytes has at most as many tokens."""


def encode_prompt(emission: Emission) -> Conditioning:
    """A prompt, encoded where it is read."""
    encoder = emission.part("text_encoder")
    skip = emission.fixed("clip_skip")
    if skip:
        encoder = replace(encoder, layer=-skip)
    return Conditioning((make_entry(emission, encoder, "text"),))


def encode_prompt_sdxl(emission: Emission) -> Conditioning:
    """A prompt with the sizes that SDXL is told."""
    other, encoder = emission.inputs["text_l"], emission.part("text_encoder")
    if not isinstance(other, Given):
        raise UnsupportedError("its input text_l is computed, which a script cannot follow")
    entry = make_entry(emission, encoder, "text")
    if other.value not in (None, emission.inputs["text"].value) or emission.script.is_open(other):
        small = make_entry(emission, encoder, "text_l")
        single = entry.single and small.single
        entry = replace(entry, text_l=small.text, parts_l=small.parts, single=single)
    names = ("height", "width", "crop_y", "crop_x", "target_height", "target_width")
    return Conditioning((replace(entry, settings=(("sizes", _sizes(emission, names)),)),))


def encode_prompt_refiner(emission: Emission) -> Conditioning:
    """A prompt for SDXL's refiner with size and aesthetic score."""
    entry = make_entry(emission, emission.part("text_encoder"), "text")
    sizes = _sizes(emission, ("height", "width", "", "", "aesthetic_score"))
    return Conditioning((replace(entry, settings=(("sizes", sizes),)),))


def _sizes(emission: Emission, names: tuple[str, ...]) -> Items:
    return Items("(", tuple(("", emission.value(name) if name else "0") for name in names), ")")


def make_entry(emission: Emission, encoder: ModelPart, name: str) -> Entry:
    """The handle of one prompt, plain text where a pipeline reads it the same way."""
    text = str(emission.inputs[name].value)
    flow = flow_of(encoder.base)
    if flow is not None and flow.reads is not None:
        told = flow.reads(text)
        if told != text:
            emission.script.fixed(emission.inputs[name], "it is written as the text encoder reads it")
        shown = emission.value(name) if told == text else quoted(told)
        if len(shown) > LONG:
            shown = constant_for(emission, told, emission.node.id if emission.node.id.isidentifier() else "PROMPT")
        return Entry(encoder, shown, emission.node.id, parts=f"[({shown}, 1.0)]")
    found = list(pieces(text, ()))
    marked = [part for part in found if part.is_embedding or part.weight != 1.0]
    single = flow is not None or len(text.encode()) <= SURELY_ONE_CHUNK or _tokens(encoder, text) <= SURELY_ONE_CHUNK
    if not marked and "".join(part.text for part in found) == text:
        shown = emission.value(name)
        if len(shown) > LONG:
            shown = constant_for(emission, text, emission.node.id if emission.node.id.isidentifier() else "PROMPT")
        size = len(text.encode())
        return Entry(encoder, shown, emission.node.id, parts=f"[({shown}, 1.0)]", single=single, bytes=size)
    emission.script.fixed(emission.inputs[name], "its weights are written as parts")
    rows = [row for part in found if (row := _row(emission, part)) is not None]
    constant = emission.script.constant(emission.node.id, listed(rows))
    single = single and not any(part.is_embedding for part in found)
    return Entry(encoder, "", emission.node.id, parts=constant, single=single)


def _row(emission: Emission, part: Piece) -> Expression | None:
    """One part of a prompt with its weight; None for an embedding that is not there."""
    shown: Expression = quoted(part.text)
    if part.is_embedding:
        use = next((use for use in emission.node.uses if use.need.name == part.text and use.path), None)
        if use is None:
            emission.script.say(f"There is no embedding {part.text!r}: the prompt is read without it.")
            return None
        shown = call("Path", quoted(str(use.path)))
    return Items("(", (("", shown), ("", repr(part.weight))), ")")


def lotus_conditioning(emission: Emission) -> Conditioning:
    """An empty text that nothing fills up."""
    base = make_base(emission, "TEXT_ENCODER", (), name="text_encoder")
    if base.description.path is not None and base.description.path.is_file():
        raise UnsupportedError("scripts read Lotus' text encoder from a folder in the layout of Diffusers")
    emission.script.need("encode_nothing")
    variable = emission.script.assign(emission.node.id, call("encode_nothing", base.path, "DEVICE", "DTYPE"))
    # It is read here; no pipeline gets it.
    base = replace(base, family="sd", description=replace(base.description, kind="text_encoder", parts={}))
    entry = Entry(ModelPart(base, "text_encoder"), "", emission.node.id, variable=variable)
    return Conditioning((entry,))


def set_text_layer(emission: Emission) -> ModelPart:
    """The hidden layer that conditions."""
    return replace(emission.part("text_encoder"), layer=emission.fixed("layer"))


def encode_prompt_parts(emission: Emission) -> Conditioning:
    """A text of its own for each text encoder."""
    encoder = emission.part("text_encoder")
    flow = flow_of(encoder.base)
    if flow is None or flow.reads is not None:
        raise UnsupportedError("its text encoders read one text together")
    entries = {name: make_entry(emission, encoder, name) for name in ("text_t5", "text_l", "text_g")}
    _ = emission.inputs["text_llama"]
    entry = entries["text_t5"]
    further = tuple((option, entries[name].parts) for name, option in flow.texts.items())
    guidance = emission.value("guidance")
    told = (("guidance", guidance),) if emission.fixed("family") == "flux" else ()
    return Conditioning((replace(entry, text="", further=further, settings=told),))


def encode_prompt_with_images(emission: Emission) -> Conditioning:
    """An instruction and the pictures that it speaks of."""
    encoder, vae = emission.part("text_encoder"), emission.inputs["vae"]
    flow = flow_of(encoder.base)
    if flow is None or not flow.sees:
        raise UnsupportedError("its text encoders read no pictures in scripts")
    numbered = emission.fixed("template") == "qwen_edit_plus"
    entry = make_entry(emission, encoder, "text")
    pictures = [emission.pixels_of(part).variable for part in _listed(emission.inputs["images"])]
    options = [("pictures", flat(listed(f"{name}[:, :3]" for name in pictures)))] if pictures else []
    entry = replace(entry, further=(*options, *([("numbered", "True")] if numbered else [])))
    if not pictures or isinstance(vae, Given):
        return Conditioning((entry,))
    encode = (autoencoder_functions(vae) or ("encode_image",))[0]
    emission.begin()
    emission.script.need(encode, "resize_area", "size_of_area")
    multiple = ["8"] if numbered else []
    sizes = [call("size_of_area", f"{name}.shape[-2:]", "1024 * 1024", *multiple) for name in pictures]
    seen = [call("resize_area", f"{name}[:, :3]", size) for name, size in zip(pictures, sizes, strict=True)]
    references = [
        emission.script.assign("latents", call(encode, emission.loader.vae(vae), picture)) for picture in seen
    ]
    return Conditioning((replace(entry, settings=(("references", tuple(references)),)),))


def encode_prompts_with_images(emission: Emission) -> dict[str, Any]:
    """An instruction, what the picture does not show, and the pictures that both speak of."""
    encoder, vae, resolution = emission.part("text_encoder"), emission.inputs["vae"], emission.fixed("resolution")
    flow = flow_of(encoder.base)
    if flow is None or not flow.sees:
        raise UnsupportedError("its text encoders read no pictures in scripts")
    sides = {name: make_entry(emission, encoder, name) for name in ("text", "negative_text")}
    given = [emission.pixels_of(part).variable for part in _listed(emission.inputs["images"])]
    emission.begin()
    script = emission.script
    pictures = []
    for picture in given:
        script.need("resize_lanczos", "size_of_area")
        area = f"{resolution} * {resolution}" if resolution else f"{picture}.shape[-2] * {picture}.shape[-1]"
        size = call("size_of_area", f"{picture}.shape[-2:]", area, "32")
        pictures.append(script.assign("shown", call("resize_lanczos", picture, size)))
    if pictures:
        seen = ("pictures", flat(listed(pictures)))
        sides = {name: replace(entry, further=(seen,)) for name, entry in sides.items()}
    if pictures and isinstance(vae, ModelPart):
        encode = (autoencoder_functions(vae) or ("encode_image",))[0]
        script.need(encode)
        made = [script.assign("latents", call(encode, emission.loader.vae(vae), picture)) for picture in pictures]
        sides = {name: replace(entry, settings=(("references", tuple(made)),)) for name, entry in sides.items()}
    height, width = [f"{pictures[0]}.shape[{axis}]" for axis in (-2, -1)] if pictures else 2 * [str(resolution or 1024)]
    known = family_of(encoder.base).latent
    latent = EmptyLatent(width, height, "1", str(known.channels), emission.node.id, edge=known.downscale)
    positive, negative = (Conditioning((entry,)) for entry in sides.values())
    return {"positive": positive, "negative": negative, "latent": latent}


def _listed(found: Any) -> tuple[Any, ...]:
    """Pictures that a list of links or none gives."""
    return found if isinstance(found, tuple) else () if isinstance(found, Given) else (found,)


def set_t5_length(emission: Emission) -> ModelPart:
    """How far T5's prompts are filled up."""
    return replace(
        emission.part("text_encoder"),
        length=(("least", emission.value("min_length")), ("padding", emission.value("min_padding"))),
    )


def _tokens(encoder: ModelPart, text: str) -> int:
    specs = encoder.base.description.tokenizers
    if not specs:
        raise UnsupportedError("its text encoder has no tokenizer that is known")
    return max(family_of(encoder.base).count_tokens(spec, text) for spec in specs)


EMITTERS: dict[str, Emitter] = {
    "encode_prompt": encode_prompt,
    "encode_prompt_sdxl": encode_prompt_sdxl,
    "encode_prompt_refiner": encode_prompt_refiner,
    "lotus_conditioning": lotus_conditioning,
    "set_text_layer": set_text_layer,
    "set_t5_length": set_t5_length,
    "encode_prompt_with_images": encode_prompt_with_images,
    "encode_prompts_with_images": encode_prompts_with_images,
    "encode_prompt_parts": encode_prompt_parts,
}
