"""Where the workflow of a command line comes from, and the values that it sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

from graphflow.errors import InvalidInputError, WorkflowError

if TYPE_CHECKING:
    from graphflow.converters.comfyui import Report
    from graphflow.document.opening import Opened
    from graphflow.planning.expand import Text

STANDARD_INPUT = "-"


def load(name: str, *, report: bool = False) -> Opened:
    """Read a workflow by path, by packaged name, or from standard input; ComfyUI's files become native ones.

    Args:
        name: What the command line called it.
        report: Whether to say of a ComfyUI file what became of every node.

    Raises:
        InvalidInputError: There is no such workflow, or it cannot be read.
        ConversionError: A ComfyUI file has nodes that are not supported.
        WorkflowError: With every problem of its shape.
    """
    from graphflow.cli.imported import show_import
    from graphflow.converters.opening import open_workflow

    tell = partial(show_import, whole=report)
    if name == STANDARD_INPUT:
        return _from_standard_input(tell)
    opened: Opened = open_workflow(name, tell=tell)
    return opened


@contextmanager
def named(loaded: Opened) -> Iterator[None]:
    """Say which workflow it is in problems that do not."""
    try:
        yield
    except WorkflowError as error:
        if error.where is not None:
            raise
        raise WorkflowError(error.problems, source=loaded.name) from error


def _from_standard_input(tell: Callable[[Report], None]) -> Opened:
    from graphflow.cli.imported import standard_input
    from graphflow.converters.opening import from_foreign
    from graphflow.document import document as workflow
    from graphflow.document.opening import Opened

    name = "standard input"
    data = standard_input()
    foreign: Opened | None = from_foreign(BytesIO(data), name, tell)
    return foreign or Opened(workflow.from_bytes(data, source=name, file=STANDARD_INPUT), name)


def assignments(given: Iterable[str] | None, option: str, form: str) -> dict[str, Text]:
    """Split ``name=value`` texts.

    Args:
        given: The texts.
        option: The option that they came with.
        form: What one looks like.

    Raises:
        InvalidInputError: A text has no ``=`` or no name, or a name is there twice.
    """
    from graphflow.planning.expand import Text

    result: dict[str, Text] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InvalidInputError(f"{text!r} is no assignment", where=option, advice=f"write {option} {form}")
        if name in result:
            raise InvalidInputError(f"{name!r} is given twice", where=option, advice="remove one")
        result[name] = Text(value)
    return result


def input_values(given: Iterable[str] | None) -> dict[str, Text]:
    """Return what ``-i`` gives, by name of the exposed input."""
    return assignments(given, "-i", "NAME=VALUE, e.g. -i seed=7")


def overrides(given: Iterable[str] | None) -> dict[str, Text]:
    """Return what ``--set`` gives, by ``node.parameter``."""
    return assignments(given, "--set", "NODE.PARAM=VALUE, e.g. --set sample.steps=30")
