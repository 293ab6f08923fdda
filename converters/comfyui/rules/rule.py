"""What a rule is: how one ComfyUI node type is said in native nodes.

Most nodes need a :class:`Rule` and no code: a native type and the names of inputs and outputs. Where nodes fuse or split
there is a :class:`Made` rule, whose function builds the native nodes. Rules are data, so the way back, ComfyUI nodes from
native ones, is read from the same tables (see ``export``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ..building import Builder, Source, Value


@dataclass(frozen=True)
class Convert:
    """A change of form between a ComfyUI value and a native one, both ways.

    Either function raises ValueError for a value that has no counterpart.
    """

    to_native: Callable[[Any], Any]
    to_comfy: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Input:
    """Where one ComfyUI input goes.

    Attributes:
        comfy: Its name there.
        native: The native input.
        many: Whether it is one of several that go into a native list of links, in the order of the rule.
    """

    comfy: str
    native: str
    many: bool = False


Change: TypeAlias = Mapping[Any, Any] | Convert
"""Values that have other names here, or a conversion; values that a mapping does not name pass as they are."""


@dataclass(frozen=True)
class Rule:
    """One ComfyUI node type that is one native node.

    Attributes:
        comfy: The ComfyUI type.
        native: The native type.
        inputs: ``"cfg:guidance_scale model"``: ComfyUI name, and after a colon the native one where it differs;
            ``"image1:images[] image2:images[]"`` go into one list.
        outputs: Native output names by slot, ``-`` where there is none; empty: the primary output at slot 0.
        values: How values change, by ComfyUI input.
        fixed: Native parameters that ComfyUI has no input for, because it does just this.
        loose: Those of ``fixed`` that another value may stand for on the way back, with a remark.
        unsaid: Those of ``loose`` of which nothing is said where a document leaves them out: few files make a difference.
        defaults: Values of inputs that a file lacks, where ComfyUI's own tables do not say them.
        ignored: ComfyUI inputs that change no picture.
        dropped: Inputs that the native node has no use for, and what to say where one is linked.
        passes: The ComfyUI input that a node which saves or shows passes on, at its slot 0.
        differs: What the native node does otherwise; empty where the result is the same.
        pack: The custom pack that has the node; empty for ComfyUI's own.
        back: Whether exports use this rule (else the type is only read).
    """

    comfy: str
    native: str
    inputs: str = ""
    outputs: str = ""
    _: KW_ONLY
    values: Mapping[str, Change] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    loose: frozenset[str] = frozenset()
    unsaid: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    ignored: str = ""
    dropped: Mapping[str, str] = field(default_factory=dict)
    passes: str = ""
    differs: str = ""
    pack: str = ""
    back: bool = True

    @cached_property
    def parsed(self) -> tuple[Input, ...]:
        """The inputs, parsed."""
        return tuple(_input(word) for word in self.inputs.split())

    @cached_property
    def slots(self) -> tuple[str | None, ...]:
        """Native output by slot; empty for the primary output alone."""
        return tuple(None if name == "-" else name for name in self.outputs.split())

    @cached_property
    def unused(self) -> frozenset[str]:
        """Inputs that change nothing."""
        return frozenset(self.ignored.split())

    @property
    def natives(self) -> tuple[str, ...]:
        """Native types that this rule makes."""
        return (self.native,)


Make: TypeAlias = "Callable[[Builder, Source], list[Value]]"
"""Builds the native nodes of a ComfyUI node and returns what stands at each of its output slots."""


@dataclass(frozen=True)
class Made:
    """One ComfyUI node type that takes a function: it becomes several nodes, none, or a part of another.

    Attributes:
        comfy: The ComfyUI type.
        natives: Native types that the function may make.
        make: Builds the native nodes and returns what stands at each output slot.
        says: What becomes of it, for the table in the docs.
        differs: What is done otherwise; empty where the result is the same.
        pack: The custom pack that has the node; empty for ComfyUI's own.
        back: A rule for the way back, where one native node is this node again.
        gives: Native parameters that the function always gives, with what may stand for their values.
    """

    comfy: str
    natives: tuple[str, ...]
    make: Make
    _: KW_ONLY
    says: str = ""
    differs: str = ""
    pack: str = ""
    back: Rule | None = None
    gives: Mapping[str, Any] = field(default_factory=dict)


AnyRule: TypeAlias = Rule | Made


def _input(word: str) -> Input:
    comfy, _, native = word.partition(":")
    native = native or comfy
    return Input(comfy, native.removesuffix("[]"), many=native.endswith("[]"))
