"""The shape of a hypernetwork, read from the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.inferred import Inferred, Shapes

_NAME = re.compile(r"(\d{1,5})\.([01])\.linear\.(\d{1,3})\.(weight|bias)")


def is_hypernetwork(shapes: Shapes) -> bool:
    """Whether tensors are those of a converted hypernetwork file."""
    return bool(shapes) and all(_NAME.fullmatch(name) for name in shapes)


def widths_of(shapes: Shapes) -> list[int]:
    """Widths of the inputs that it changes."""
    return sorted({int(match[1]) for name in shapes if (match := _NAME.fullmatch(name))})


def infer_hypernetwork(shapes: Shapes, where: str) -> Inferred:
    """Config of a :class:`HypernetworkModule`; what the tensors do not say stands in the file's settings.

    Raises:
        ModelFormatError: The tensors do not form one.
    """
    chains: dict[str, dict[int, list[int]]] = {}
    for name, shape in shapes.items():
        match = _NAME.fullmatch(name)
        if match is not None and match[4] == "weight":
            chains.setdefault(f"{match[1]}.{match[2]}", {})[int(match[3])] = list(shape)
    for name, layers in chains.items():
        width = int(name.partition(".")[0])
        for number in sorted(layers):
            size = layers[number]
            if len(size) not in (1, 2) or size[-1] != width:
                raise ModelFormatError(f"{name}.linear.{number} does not follow the layer before it", where=where)
            width = size[0]
        if width != int(name.partition(".")[0]):
            raise ModelFormatError(f"{name} ends with another width than it begins with", where=where)
    facts: Config = {
        "chains": {name: {str(n): [*shape] for n, shape in found.items()} for name, found in chains.items()}
    }
    return Inferred("Hypernetwork", "", facts, {"activation": "linear", "activate_output": False})


def hypernetwork_places(key: str) -> Iterator[str]:
    """The tensor of the class that a tensor of a file makes."""
    if match := _NAME.fullmatch(key):
        yield f"chains.{match[1]}_{match[2]}.{match[3]}.{match[4]}"
