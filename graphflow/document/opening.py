"""Opening a workflow, whatever the caller has of it: one way for the command line and for Python.

Who knows the packaged workflows and the files of other programs stands further up and registers itself here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from graphflow.errors import InvalidInputError

if TYPE_CHECKING:
    from graphflow.document.document import Document
    from graphflow.document.format_1 import Keep


class Built(Protocol):
    """A document that Python code made; :class:`graphflow.Workflow` is one."""

    @property
    def document(self) -> Document:
        """The document."""
        ...

    @property
    def own(self) -> frozenset[tuple[str, str]]:
        """(node, parameter) pairs whose values the Python code gave."""
        ...

    @property
    def folder(self) -> Path | None:
        """The folder in which its file names resolve, where it was read from one."""
        ...

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know of the file that it was read from."""
        ...


Source: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any]"
"""A packaged name, the path of a file (JSON or a picture, native or ComfyUI's), or parsed JSON."""

Openable: TypeAlias = "Built | Document | Source"
"""All that stands for a workflow."""


@dataclass(frozen=True)
class Opened:
    """A workflow as it was found.

    Attributes:
        document: The document.
        name: What the caller called it.
        folder: The folder in which its file names resolve; None where it came from no file.
        own: (node, parameter) pairs whose values are the caller's own, not a document's.
        notices: What the native form says otherwise than the file of another program.
    """

    document: Document
    name: str
    folder: Path | None = None
    own: frozenset[tuple[str, str]] = frozenset()
    notices: tuple[str, ...] = ()


Opener: TypeAlias = "Callable[[Source, Keep | None], Opened]"
"""Opens a source; what counts in a document of format 1 is said by the second argument."""

_openers: list[Opener] = []


def open_by(opener: Opener) -> None:
    """Say what opens names, paths and parsed JSON; the last word holds."""
    _openers[:] = [opener]


def opened(workflow: Openable, *, keep: Keep | None = None) -> Opened:
    """Return the document behind whatever stands for a workflow.

    Args:
        workflow: A workflow, a document, a packaged name, the path of a file that holds one, or parsed JSON.
        keep: What counts in a document of format 1 where nodes and defaults differ; None refuses it.

    Raises:
        InvalidInputError: It is none of these, there is no such file, or it holds no workflow.
        WorkflowError: With every problem of its shape.
        ConversionError: It is a ComfyUI file that cannot be read, or has nodes that are not supported.
    """
    from graphflow.basics.wording import shorten
    from graphflow.document.document import Document

    if isinstance(workflow, Document):
        return Opened(workflow, workflow.name or "workflow", notices=workflow.notices)
    if isinstance(workflow, str | os.PathLike | Mapping):
        found = _openers[0](workflow, keep)
        return replace(found, notices=(*found.document.notices, *found.notices))
    if isinstance(getattr(workflow, "document", None), Document):
        document = workflow.document
        return Opened(document, document.name or "workflow", workflow.folder, workflow.own, workflow.notices)
    raise InvalidInputError(
        f"must be a workflow, got {shorten(workflow)}",
        where="workflow",
        advice="give a Workflow, the path of a JSON file or picture, a packaged name such as 'txt2img', or parsed JSON",
    )
