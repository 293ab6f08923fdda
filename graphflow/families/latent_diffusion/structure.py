"""The shape of a UNet or ControlNet, read from the names and shapes of its tensors.

Both namings lead to the same :class:`Structure`: the CompVis one (`input_blocks.4.1.transformer_blocks.0…`), a flat
list cut into levels at each down- or upsampling, and Diffusers' own (`down_blocks.1.attentions.0.…`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from graphflow.errors import ModelFormatError
from graphflow.modelfiles.inferred import Shapes

_LDM = re.compile(r"(input_blocks|output_blocks|middle_block)\.(\d{1,3})\.(.+)")
_DIFFUSERS = re.compile(r"(down_blocks|up_blocks)\.(\d{1,3})\.(resnets|attentions)\.(\d{1,3})\.(.+)")
_MID = re.compile(r"mid_block\.(resnets|attentions)\.(\d{1,3})\.(.+)")
_LAYER = re.compile(r"transformer_blocks\.(\d{1,3})\.")


@dataclass(slots=True)
class Layer:
    """One residual layer with the attention behind it.

    Attributes:
        width: Output channels.
        depth: Transformer layers in its attention; 0 without attention.
        only_cross: Whether the first attention of each transformer layer looks at the text, too.
    """

    width: int = 0
    depth: int = 0
    only_cross: bool = False


@dataclass(slots=True)
class Structure:
    """Levels from the outside inwards (`down`), the middle, and back (`up`).

    Attributes:
        down: Layers of each level of the encoder.
        up: Layers of each level of the decoder; empty for a ControlNet.
        mid: Layers of the middle; empty where there is none.
        mid_depth: Transformer layers of the middle's attention; 0 without.
        linear: Whether attention projects with linear layers (not 1x1 convolutions).
        cross: Width of the text embedding; 0 without cross-attention.
    """

    down: list[list[Layer]] = field(default_factory=list)
    up: list[list[Layer]] = field(default_factory=list)
    mid: int = 0
    mid_depth: int = 0
    linear: bool = False
    cross: int = 0


def is_ldm(shapes: Shapes) -> bool:
    """Whether the names are the CompVis ones."""
    return "input_blocks.0.0.weight" in shapes


def read_structure(shapes: Shapes, where: str) -> Structure:
    """Read levels, widths and depths.

    Args:
        shapes: The part's tensors.
        where: The file, for errors.

    Raises:
        ModelFormatError: The names do not form a UNet.
    """
    structure = _from_ldm(shapes) if is_ldm(shapes) else _from_diffusers(shapes)
    levels = [*structure.down, *structure.up]
    if not structure.down or not all(level and all(layer.width for layer in level) for level in levels):
        raise ModelFormatError("the tensors do not form a UNet: a level has no residual layers", where=where)
    for name, shape in shapes.items():
        if name.endswith("attn2.to_k.weight") and len(shape) == 2:
            structure.cross = shape[1]
        elif name.endswith("proj_in.weight") and "transformer_blocks" not in name:
            structure.linear = structure.linear or len(shape) == 2
    if structure.cross:
        _mark_only_cross(shapes, structure)
    return structure


def _from_ldm(shapes: Shapes) -> Structure:
    blocks: dict[str, dict[int, Layer]] = {"input_blocks": {}, "output_blocks": {}}
    steps: dict[str, set[int]] = {"input_blocks": set(), "output_blocks": set()}
    structure = Structure()
    for name, shape in shapes.items():
        match = _LDM.match(name)
        if not match:
            continue
        section, index, rest = match[1], int(match[2]), match[3]
        if section == "middle_block":
            if rest == "out_layers.3.weight":
                structure.mid += 1
            elif layer := _LAYER.match(rest):
                structure.mid_depth = max(structure.mid_depth, int(layer[1]) + 1)
        elif rest in ("0.op.weight", "1.conv.weight", "2.conv.weight"):
            steps[section].add(index)
        elif rest == "0.out_layers.3.weight" and shape:
            blocks[section].setdefault(index, Layer()).width = shape[0]
        elif layer := _LAYER.match(rest.removeprefix("1.")):
            found = blocks[section].setdefault(index, Layer())
            found.depth = max(found.depth, int(layer[1]) + 1)
    structure.down = [[]]
    for index in range(1, max([0, *blocks["input_blocks"], *steps["input_blocks"]]) + 1):
        if index in steps["input_blocks"]:
            structure.down.append([])
        elif index in blocks["input_blocks"]:
            structure.down[-1].append(blocks["input_blocks"][index])
    if blocks["output_blocks"]:
        structure.up = [[]]
        last = max(blocks["output_blocks"])
        for index in range(last + 1):
            if index in blocks["output_blocks"]:
                structure.up[-1].append(blocks["output_blocks"][index])
            if index in steps["output_blocks"] and index != last:
                structure.up.append([])
    return structure


def _from_diffusers(shapes: Shapes) -> Structure:
    found: dict[str, dict[int, dict[int, Layer]]] = {"down_blocks": {}, "up_blocks": {}}
    structure = Structure()
    for name, shape in shapes.items():
        if match := _DIFFUSERS.match(name):
            section, level, what, index, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
            layers = found[section].setdefault(level, {})
            if what == "resnets" and rest == "conv1.weight" and shape:
                layers.setdefault(index, Layer()).width = shape[0]
            elif what == "attentions" and (layer := _LAYER.match(rest)):
                attention = layers.setdefault(index, Layer())
                attention.depth = max(attention.depth, int(layer[1]) + 1)
        elif match := _MID.match(name):
            if match[1] == "resnets" and match[3] == "conv1.weight":
                structure.mid += 1
            elif match[1] == "attentions" and (layer := _LAYER.match(match[3])):
                structure.mid_depth = max(structure.mid_depth, int(layer[1]) + 1)
    for section, levels in (("down_blocks", structure.down), ("up_blocks", structure.up)):
        for level in sorted(found[section]):
            levels.append([found[section][level][index] for index in sorted(found[section][level])])
    return structure


def _mark_only_cross(shapes: Shapes, structure: Structure) -> None:
    """Where even the first attention takes the text's width as its input, it is a cross-attention."""
    position = 0
    for level_index, level in enumerate(structure.down):
        for layer_index, layer in enumerate(level):
            position += 1
            if layer.depth:
                ldm = f"input_blocks.{position}.1."
                own = f"down_blocks.{level_index}.attentions.{layer_index}."
                for prefix in (ldm, own):
                    shape = shapes.get(prefix + "transformer_blocks.0.attn1.to_k.weight", ())
                    layer.only_cross |= len(shape) == 2 and shape[1] == structure.cross != layer.width
        position += 1
