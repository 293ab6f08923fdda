"""The errors graphflow raises on purpose.

Every one says where the problem is, what it is and what to do about it::

    GraphflowError
    ├── InvalidInputError            exit code 2: something the user gave cannot be used
    │   ├── WorkflowError            a document with problems; carries all of them
    │   ├── ConversionError          a foreign file cannot be read or a workflow cannot be exported
    │   ├── NodeDefinitionError      a function cannot be a node
    │   ├── PackError                a node pack cannot be loaded
    │   ├── SettingsError            a settings file or environment variable is wrong
    │   ├── ModelNotFoundError       a model name resolves to nothing, or outside the roots
    │   ├── ModelFormatError         a file is not the kind of model it claims to be
    │   ├── MediaError               a picture, video or sound cannot be read or written
    │   └── LimitError               something is larger than the limits allow
    ├── NodeError                    exit code 1: a node failed while running
    ├── SafetyError                  exit code 1: the safety policy refuses the result
    ├── StoreError                   exit code 1: the store cannot be used
    ├── OutOfMemoryError             exit code 1: the memory ladder has no step left
    └── CancelledError               exit code 130: the user stopped the run
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from graphflow.limits import LIMITS

__all__ = [
    "CancelledError",
    "ConversionError",
    "GraphflowError",
    "InvalidInputError",
    "LimitError",
    "MediaError",
    "ModelFormatError",
    "ModelNotFoundError",
    "NodeDefinitionError",
    "NodeError",
    "OutOfMemoryError",
    "PackError",
    "Problem",
    "SafetyError",
    "SettingsError",
    "StoreError",
    "WorkflowError",
]


def printable(text: str) -> str:
    """Return a text in which halves of characters, which no file and no terminal can hold, are spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class GraphflowError(Exception):
    """Base of all errors that graphflow raises on purpose.

    Args:
        message: What is wrong, as a sentence without the place.
        where: The place, e.g. ``nodes.sample.params.steps`` or a file name.
        advice: The way out, as a sentence.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, advice: str | None = None) -> None:
        self.message = printable(message)
        self.where = None if where is None else printable(where)
        self.advice = None if advice is None else printable(advice)
        super().__init__(self.message)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" ({self.advice})" if self.advice else ""
        return f"{place}{self.message}{advice}"


class InvalidInputError(GraphflowError):
    """Something the user gave cannot be used."""

    exit_code = 2


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a document.

    Attributes:
        path: Path to it, e.g. ``nodes.sample.params.steps``.
        message: What is wrong, with the offending value.
        advice: The way out, or an empty string.
    """

    path: str
    message: str
    advice: str = ""

    def __post_init__(self) -> None:
        for name in ("path", "message", "advice"):
            object.__setattr__(self, name, printable(getattr(self, name)))

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" + (f" ({self.advice})" if self.advice else "")


class WorkflowError(InvalidInputError):
    """A workflow document has problems; ``problems`` holds every one of them."""

    def __init__(self, problems: Iterable[Problem], *, source: str | None = None) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "the workflow has a problem" if count == 1 else f"the workflow has {count} problems"
        super().__init__(head, where=source)

    def __str__(self) -> str:
        lines = [super().__str__(), *(f"  {problem}" for problem in self.problems)]
        return "\n".join(lines)


class Problems(list[Problem]):
    """The problems of one document, up to the limit: who looks for more of them is stopped.

    Args:
        source: What the error calls the document.
    """

    def __init__(self, source: str | None = None) -> None:
        super().__init__()
        self._source = source

    def append(self, problem: Problem, /) -> None:
        """Add a problem.

        Raises:
            WorkflowError: There are more than are told at once; it carries those.
        """
        if len(self) >= LIMITS.problems:
            more = Problem("document", f"there are more than {LIMITS.problems} problems", "mend these first")
            raise WorkflowError([*self, more], source=self._source)
        super().append(problem)

    def extend(self, problems: Iterable[Problem], /) -> None:
        """Add problems, as :meth:`append` does."""
        for problem in problems:
            self.append(problem)


class ConversionError(InvalidInputError):
    """A foreign file cannot be read, or a workflow cannot be exported."""


class NodeDefinitionError(InvalidInputError):
    """A function cannot be made a node."""


class PackError(InvalidInputError):
    """A node pack cannot be loaded."""


class SettingsError(InvalidInputError):
    """A settings file or an environment variable is wrong."""


class ModelNotFoundError(InvalidInputError):
    """A model name resolves to nothing, or to something outside the roots."""


class ModelFormatError(InvalidInputError):
    """A file is not the kind of model it claims to be."""


class MediaError(InvalidInputError):
    """A picture, video or sound cannot be read or written."""


class LimitError(InvalidInputError):
    """Something is larger than the limits allow."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a device or in main memory; torch tells by the text alone."""
    marks = ("DefaultCPUAllocator: not enough memory", "DefaultCPUAllocator: can't allocate memory", "out of memory")
    text = str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(mark in text for mark in marks))


class NodeError(GraphflowError):
    """A node failed while running.

    Attributes:
        node: The node's id.
        node_type: The node's type.
        cause: The exception that the node raised.
        element: Which element of a sequence it was at, and of how many; empty where it runs once.
        place: The file and line of the node pack where it was raised, ``FILE:LINE``, or None.
    """

    def __init__(
        self,
        node: str,
        node_type: str,
        cause: BaseException,
        *,
        title: str | None = None,
        element: str = "",
        place: str | None = None,
    ) -> None:
        self.node = node
        self.node_type = node_type
        self.cause = cause
        self.title = title
        self.place = place
        self.element = element
        advice = cause.advice if isinstance(cause, GraphflowError) else None
        text = f"{type(cause).__name__}: {cause}" + (f" (at {place})" if place else "")
        if is_out_of_memory(cause):
            text = f"memory ran out ({str(cause).partition(chr(10))[0] or type(cause).__name__})"
            advice = "use a smaller size or batch, or close other programs"
        if isinstance(cause, GraphflowError):
            text = f"{cause.where}: {cause.message}" if cause.where else cause.message
        place = (
            f"node {node!r} ({node_type})"
            + (f" {title!r}" if title else "")
            + (f", element {element}" if element else "")
        )
        super().__init__(text, where=place, advice=advice)
        if isinstance(cause, GraphflowError):
            self.exit_code = cause.exit_code


class SafetyError(GraphflowError):
    """The safety policy refuses the result."""


class StoreError(GraphflowError):
    """The store cannot be used; most often its folder, which the user chooses."""

    exit_code = 2


class StaleTapeError(GraphflowError):
    """What an interrupted run has left does not fit this one; nobody sees it, since the work is begun anew."""


class OutOfMemoryError(GraphflowError):
    """The device has too little memory, and no step of the memory ladder is left."""


class CancelledError(GraphflowError):
    """The user stopped the run."""

    exit_code = 130

    def __init__(self, message: str = "the run was cancelled") -> None:
        super().__init__(message)
