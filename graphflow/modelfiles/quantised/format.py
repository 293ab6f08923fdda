"""What a format of quantised weights is known by: the tensors of a layer, and the shape that they stand for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from graphflow.modelfiles.description import JsonValue
from graphflow.modelfiles.header import TensorInfo

Options = Mapping[str, JsonValue]
"""What a marker says of a layer beside its format, such as `convrot_groupsize`."""

Found = Mapping[str, TensorInfo]
"""The tensors of a layer by role."""


class Misfit(ValueError):  # noqa: N818 - a problem of a layer, which the caller makes an error of the file
    """The tensors of a layer do not fit each other; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedLayer:
    """One weight that a file holds in a quantised format.

    Attributes:
        format: The format's name in :mod:`graphflow.modelfiles.quantised.registry`.
        label: What people are told: the format, and what sets this layer apart in it.
        shape: The weight's own shape, outermost first; it may be larger by padding.
        tensors: Names in the file by role.
        options: What the marker says of it.
    """

    format: str
    label: str
    shape: tuple[int, ...]
    tensors: Mapping[str, str]
    options: Options = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format.

    Attributes:
        name: Its name.
        marks: What markers call it.
        roles: Last names of a layer's tensors, by what they are; a role may have several.
        needed: Roles without which a layer is not complete.
        layout: The shape of the weight that tensors of a layer stand for.
        unmarked: Tells whether a layer that nothing marks is in this format for certain.
        label: What people are told of a layer.
        settle: Options by what a marker calls the format, where that says more than the format.
        warning: What people should know of a file that is taken for this format without being marked.
    """

    name: str
    layout: Callable[[Found, Options], tuple[int, ...]]
    marks: tuple[str, ...] = ()
    roles: Mapping[str, tuple[str, ...]]
    needed: frozenset[str] = frozenset({"weight"})
    unmarked: Callable[[Found], bool] = lambda found: False
    label: Callable[[Found, Options], str] | None = None
    settle: Mapping[str, Options] = field(default_factory=dict)
    warning: str = ""

    def role(self, leaf: str) -> str | None:
        """What a tensor of this last name is in a layer."""
        return next((role for role, leaves in self.roles.items() if leaf in leaves), None)


def require(condition: bool, problem: str) -> None:
    """Refuse a layer.

    Raises:
        Misfit: The condition does not hold.
    """
    if not condition:
        raise Misfit(problem)


def matrix(found: Found, dtypes: tuple[str, ...], role: str = "weight") -> tuple[int, int]:
    """Sizes of a matrix of one of some dtypes.

    Raises:
        Misfit: It is none.
    """
    tensor = found[role]
    require(
        len(tensor.shape) == 2 and all(tensor.shape) and tensor.dtype in dtypes,
        f"{role} is {tensor.dtype} {list(tensor.shape)}, not a matrix of {' or '.join(dtypes)}",
    )
    return tensor.shape[0], tensor.shape[1]


def require_shape(found: Found, role: str, *shapes: tuple[int, ...], dtypes: tuple[str, ...] = ()) -> None:
    """Refuse a tensor that has none of these shapes and dtypes; a missing one is fine.

    Trailing ones may be added to shapes of fewer than two axes.

    Raises:
        Misfit: It has another shape or dtype.
    """
    if role not in found:
        return
    tensor = found[role]
    wanted = " or ".join(str(list(shape)) for shape in shapes)
    fits = tensor.shape in shapes or any(len(shape) < 2 and _without_ones(tensor.shape) == shape for shape in shapes)
    require(fits, f"{role} has the shape {list(tensor.shape)}, it needs {wanted}")
    require(not dtypes or tensor.dtype in dtypes, f"{role} is {tensor.dtype}, not {' or '.join(dtypes)}")


def whole(options: Options, name: str, default: int) -> int:
    """A whole number from 1 of a marker.

    Raises:
        Misfit: It is none.
    """
    value = options.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise Misfit(f"its marker says {name} is {value!r}, not a whole number from 1")
    return value


def flag(options: Options, name: str) -> bool:
    """A yes or no of a marker; no where it does not say.

    Raises:
        Misfit: It is neither.
    """
    value = options.get(name, False)
    if not isinstance(value, bool):
        raise Misfit(f"its marker says {name} is {value!r}, not true or false")
    return value


def rotation(options: Options, columns: int, name: str = "convrot_groupsize") -> int:
    """Columns that a ConvRot rotation mixes: a power of 4 that divides the width.

    Raises:
        Misfit: The marker says another number.
    """
    group = whole(options, name, 256)
    power = group.bit_length() % 2 == 1 and group & (group - 1) == 0
    require(power and columns % group == 0, f"{name} {group} is no power of 4 that divides {columns} columns")
    return group


def ceiling(number: int, step: int) -> int:
    """How many steps hold a number."""
    return -(-number // step)


def count(tensor: TensorInfo) -> int:
    """How many values a tensor has."""
    return math.prod(tensor.shape)


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    end = len(shape)
    while end and shape[end - 1] == 1:
        end -= 1
    return shape[:end]


FLOATS = ("F32", "F16", "BF16", "F64")
"""Dtypes of scales that need no decoding."""
E4M3 = ("F8_E4M3", "U8")
"""Dtypes that eight-bit floats are stored as; the latter is a view."""
BYTES = ("U8", "I8")
"""Dtypes that packed codes are stored as."""
