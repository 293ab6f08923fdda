"""Parts of pipelines that lie in files of their own: ControlNets, adapters, encoders."""

from __future__ import annotations

from .layout import flat, literal
from .models import Base, ModelPart, Net

ALONE = {
    "control_net": ("controlnet", "diffusers"),
    "adapter": ("adapter", "diffusers"),
    "image_encoder": ("image_encoder", "transformers"),
    "vae": ("vae", "diffusers"),
    "unet": ("unet", "diffusers"),
    "text_encoder": ("text_encoder", "transformers"),
    "text_encoder_2": ("text_encoder_2", "transformers"),
}
"""For parts that lie in files of their own: what the description calls them, and the package of their class."""

HELPERS = {
    "T2IAdapter": "load_t2i_adapter",
    "CLIPVisionModelWithProjection": "load_image_encoder",
    "CLIPTextModel": "load_text_encoder",
    "CLIPTextModelWithProjection": "load_projecting_text_encoder",
}
"""What loads a single file where the class itself reads folders only."""


def net_of(part: ModelPart) -> Net:
    """How a part is loaded."""
    name, module = ALONE[part.part]
    base = part.base
    parts = base.description.parts
    found = parts[name] if name in parts else parts["text_encoder"]
    class_name, how = found.class_name, how_to_load(base)
    if how == "from_single_file" and class_name in HELPERS:
        options = tuple((option, flat(literal(value))) for option, value in found.config.items())
        return Net(base.key, HELPERS[class_name], "", base.path, options, part.part)
    return Net(base.key, f"{class_name}.{how}", module, base.path, (), part.part)


def how_to_load(base: Base) -> str:
    """The method of Diffusers' classes that reads a file or a folder."""
    path = base.description.path
    return "from_single_file" if path is not None and path.is_file() else "from_pretrained"


TOKENIZERS = {
    "text_encoder": "openai/clip-vit-large-patch14",
    "text_encoder_2": "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
}
"""Where the Hub has the tokenizers of text encoders that lie in files of their own."""


def tokenizer_path(part: ModelPart) -> str:
    """Where the tokenizer of a text encoder is."""
    specs = part.base.description.tokenizers
    folder = next((spec.path for spec in specs if spec.source == "folder" and spec.path), None)
    return str(folder) if folder else TOKENIZERS[part.part]
