"""What an emitter gets and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphflow.planning.files import FileUse

from ..conditionings import Conditioning
from ..graph import Given, Node
from ..handles import Decoding, EmptyLatent, Latents, Masks, Pictures, Pixels, Sampling
from ..layout import Expression
from ..loading import Loader
from ..models import ModelPart
from ..sampling import Writer
from ..script import Script, UnsupportedError

if TYPE_CHECKING:
    from graphflow.library.library import Library
    from graphflow.modelfiles.description import Description


@dataclass(frozen=True)
class Emission:
    """One node on its way into a script.

    Attributes:
        script: Where to write.
        loader: Where pipelines come from.
        node: The node.
        inputs: Its literals (``Given``) and what other nodes gave.
        library: The models.
    """

    script: Script
    loader: Loader
    node: Node
    inputs: Mapping[str, Any]
    library: Library

    @property
    def writer(self) -> Writer:
        """Writes samplings."""
        return Writer(self.script, self.loader)

    def begin(self) -> None:
        """Begin a stage for this node."""
        self.script.stage(self.node.id)

    def value(self, name: str) -> str:
        """The expression of a literal."""
        return self.script.value(self.inputs[name])

    def fixed(self, name: str) -> Any:
        """A literal's value, where the script's shape depends on it."""
        return self.script.fixed(self.inputs[name])

    def is_default(self, name: str, default: Any) -> bool:
        """Whether a literal is what leaves something out, and no argument can change that."""
        given = self.inputs[name]
        return isinstance(given, Given) and not self.script.is_open(given) and given.value == default

    def ends_before(self, start: str, end: str, least: int = 0) -> bool:
        """Whether a window is shorter than ``least``, and no argument can change that."""
        given = [self.inputs[name] for name in (start, end)]
        if not all(isinstance(one, Given) and not self.script.is_open(one) for one in given):
            return False
        first, last = (one.value for one in given)
        return last is not None and bool(last < first + least)

    def has_no_effect(self) -> None:
        """Take the inputs that were not read as making no difference."""
        for name in self.inputs:
            _ = self.inputs[name]

    def options(self, **defaults: Any) -> dict[str, Expression]:
        """Those of the node's literals that are not their helper's defaults, by name."""
        return {name: self.value(name) for name, value in defaults.items() if not self.is_default(name, value)}

    def assign(self, expression: Expression, hint: str = "") -> str:
        """Assign to a variable named after the node."""
        return self.script.assign(hint or self.node.id, expression)

    def part(self, name: str) -> ModelPart:
        """A linked model part."""
        found = self.inputs[name]
        assert isinstance(found, ModelPart), found
        return found

    def conditioning(self, name: str) -> Conditioning | None:
        """A linked conditioning."""
        found = self.inputs[name]
        return found if isinstance(found, Conditioning) else None

    def pixels(self, name: str) -> Pixels:
        """Linked pictures as a variable with a tensor; written now where they are not yet."""
        return as_pixels(self.writer, self.inputs[name])

    def pixels_of(self, found: Any) -> Pixels:
        """Pictures as a variable with a tensor."""
        return as_pixels(self.writer, found)

    def mask(self, name: str) -> str:
        """The variable of a linked mask."""
        found = self.inputs[name]
        assert isinstance(found, Masks), found
        return found.variable

    def latents(self, name: str) -> Latents | EmptyLatent:
        """Linked latents; written now where they are not yet."""
        return as_latents(self.writer, self.inputs[name])

    def use_of(self, name: str) -> FileUse:
        """The file that a parameter names."""
        if name not in self.node.files:
            raise UnsupportedError(f"its file {self.inputs[name]} is not known before it runs")
        return self.node.files[name]

    def described(self, name: str, **overrides: Any) -> Description:
        """What is known of the model that a parameter names."""
        use = self.use_of(name)
        return self.library.describe(
            use.path or use.need.name,
            use.need.kind,  # type: ignore[arg-type]
            overrides=overrides or None,
            trusted=True,
        )


Emitter = Callable[[Emission], Any]
"""Writes a node, and returns a handle, or for several outputs a dict of handles."""


def as_pixels(writer: Writer, found: Any) -> Pixels:
    """Pictures as a variable."""
    if isinstance(found, Decoding):
        return writer.pixels(found)
    if isinstance(found, Pictures):
        writer.script.need("to_tensor")
        return Pixels(writer.script.assign("images", f"to_tensor({found.expression})"), found.flags)
    assert isinstance(found, Pixels), found
    return found


def as_latents(writer: Writer, found: Any) -> Latents | EmptyLatent:
    """Latents as a variable, or still empty."""
    if isinstance(found, Sampling):
        return writer.latents(found)
    assert isinstance(found, Latents | EmptyLatent), found
    return found
