"""Parts of pipelines that lie in files of their own: ControlNets, adapters, encoders."""

from __future__ import annotations

from graphflow.modelfiles.description import Part, TokenizerSpec
from graphflow.modelfiles.families import family_named

from .layout import flat, literal, quoted
from .models import Base, ModelPart, Net
from .single_files import loader_of, names_table, tokenizer_source

UNET = "UNet2DConditionModel"
FILES_OF_DIFFUSERS = frozenset({UNET, "ControlNetModel", "ControlNetUnionModel"})
"""Classes whose single files Diffusers reads by itself, in the sizes of Stable Diffusion; UNets by their authors' names only."""

KINDS = {
    "AutoencoderKL": "raw",
    "AutoencoderKLFlux2": "patches",
    "AutoencoderKLTemporalDecoder": "together",
    "PaellaVQModel": "stage_a",
    "CascadeAutoencoder": "stage_c",
}
"""What the functions that encode and decode with an autoencoder end in, by its class; others were made for videos."""

RAW_CHANNELS = 4
"""Autoencoders with more channels are those of flow models; their latents are kept as they make them."""

PLACES = {"PaellaVQModel": "diffusers.pipelines.deprecated.wuerstchen"}
"""Where classes are that their library does not show at its top."""

HELPERS = {
    "T2IAdapter": "load_t2i_adapter",
    "CLIPVisionModelWithProjection": "load_image_encoder",
    "CLIPTextModel": "load_text_encoder",
    "CLIPTextModelWithProjection": "load_projecting_text_encoder",
}
"""What loads a single file where the class itself reads folders only."""


def described(part: ModelPart) -> Part:
    """What is known of a part; a file with a text encoder alone may call it otherwise."""
    parts, name = part.base.description.parts, NAMES.get(part.part, part.part)
    return parts[name] if name in parts else parts["text_encoder"]


NAMES = {"control_net": "controlnet"}
"""What descriptions call parts otherwise."""


def net_of(part: ModelPart) -> Net:
    """How a part is loaded.

    Raises:
        UnsupportedError: Scripts do not read its file.
    """
    base, found = part.base, described(part)
    class_name, how = found.class_name, how_to_load(base)
    package = "transformers" if part.part.startswith(("text_encoder", "image_encoder")) else "diffusers"
    by_diffusers = class_name in FILES_OF_DIFFUSERS and not (class_name == UNET and found.keys == "diffusers")
    if how == "from_pretrained" or by_diffusers or _is_scaled(found):
        return Net(base.key, f"{class_name}.{how}", package, base.path, (), part.part)
    if class_name in HELPERS and not found.prefix:
        return Net(base.key, HELPERS[class_name], "", base.path, _config(found), part.part)
    function = loader_of(found)
    table = names_table(found) if function == "load_part" else ""
    prefix = (("prefix", quoted(found.prefix)),) if found.prefix else ()
    key = f"{base.key} {found.name}"
    scripts = family_named(found.maker).scripts if found.maker else None
    flow = scripts.flow if scripts is not None else None
    converter = flow.converter(found.config) if flow is not None and table and found.name == "transformer" else ""
    if function == "load_part" and (converter or not table):
        function, table = "load_converted", ""
    built = ""
    if flow is not None:
        built = flow.builds.get(class_name) or (flow.steering.built(class_name, found.config) if flow.steering else "")
    made, module = (built, "") if built else (class_name, PLACES.get(class_name, package))
    return Net(key, function, module, base.path, (*prefix, *_config(found)), part.part, made, table, converter)


def autoencoder_functions(part: ModelPart) -> tuple[str, str] | None:
    """The functions that encode to and decode latents as the autoencoder makes them; None where they have a model's scale."""
    found = part.base.description.parts.get("vae")
    if found is None or _is_scaled(found):
        return None
    kind = KINDS.get(found.class_name, "frame")
    return "encode_raw" if kind == "together" else f"encode_{kind}", f"decode_{kind}"


def _is_scaled(part: Part) -> bool:
    return part.class_name == "AutoencoderKL" and part.config.get("latent_channels", RAW_CHANNELS) == RAW_CHANNELS


def _config(part: Part) -> tuple[tuple[str, str], ...]:
    return tuple((option, flat(literal(value))) for option, value in part.config.items())


def how_to_load(base: Base) -> str:
    """The method of Diffusers' classes that reads a file or a folder."""
    path = base.description.path
    return "from_single_file" if path is not None and path.is_file() else "from_pretrained"


TOKENIZERS = {
    "text_encoder": "openai/clip-vit-large-patch14",
    "text_encoder_2": "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
}
"""Where the Hub has the tokenizers of text encoders that lie in files of their own."""


def tokenizer_of(part: ModelPart) -> tuple[str, str]:
    """What loads the tokenizer of a text encoder, and where it is."""
    specs = part.base.description.tokenizers
    name = described(part).name
    spec = next((spec for spec in specs if spec.part == name), TokenizerSpec(name, "missing", {}))
    return tokenizer_source(spec, TOKENIZERS.get(part.part, ""))
