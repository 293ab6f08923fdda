"""Parts of pipelines that lie in files of their own: ControlNets, adapters, encoders."""

from __future__ import annotations

from dataclasses import dataclass

from .handles import Base, ModelPart
from .layout import flat, literal


@dataclass(frozen=True, order=True)
class Net:
    """How a part that lies in a file of its own is loaded.

    Attributes:
        key: What tells it from others.
        function: The script's helper for it, or a method of a class.
        module: Where the class is imported from; empty for a helper.
        path: Expression of its path.
        options: Expressions of further arguments.
        hint: What its variable is called.
    """

    key: str
    function: str
    module: str
    path: str
    options: tuple[tuple[str, str], ...]
    hint: str


ALONE = {
    "control_net": ("controlnet", "diffusers"),
    "adapter": ("adapter", "diffusers"),
    "image_encoder": ("image_encoder", "transformers"),
    "vae": ("vae", "diffusers"),
}
"""For parts that lie in files of their own: what the description calls them, and the package of their class."""

HELPERS = {"T2IAdapter": "load_t2i_adapter", "CLIPVisionModelWithProjection": "load_image_encoder"}
"""What loads a single file where the class itself reads folders only."""


def net_of(part: ModelPart) -> Net:
    """How a part is loaded."""
    name, module = ALONE[part.part]
    base = part.base
    found = base.description.parts[name]
    class_name, how = found.class_name, how_to_load(base)
    if how == "from_single_file" and class_name in HELPERS:
        options = tuple((option, flat(literal(value))) for option, value in found.config.items())
        return Net(base.key, HELPERS[class_name], "", base.path, options, part.part)
    return Net(base.key, f"{class_name}.{how}", module, base.path, (), part.part)


def how_to_load(base: Base) -> str:
    """The method of Diffusers' classes that reads a file or a folder."""
    path = base.description.path
    return "from_single_file" if path is not None and path.is_file() else "from_pretrained"
