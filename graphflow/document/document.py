"""The JSON document: nodes, literals in ``params``, references in ``links``, exposed inputs.

This module checks the shape of a document. Whether its types exist and fit is the business of ``validation``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, BinaryIO, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, PrivateAttr, ValidationError

from graphflow.basics import jsontools
from graphflow.basics.regular import open_regular
from graphflow.basics.wording import PLAIN, nearest, shorten
from graphflow.document import format_1
from graphflow.document.embedded import RECORD_KEYWORD, WORKFLOW_KEYWORD, carried_beside, embedded_document
from graphflow.errors import InvalidInputError, LimitError, Problem, Problems, WorkflowError
from graphflow.limits import LIMITS

FORMAT_VERSION = 2
"""The version of the document format that this code writes; older ones are migrated when they are read."""

_NODE_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_:~-]*\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def _node_id(value: str) -> str:
    if not _NODE_ID.match(value):
        raise ValueError(
            "a node id has letters, digits, '_', ':', '~' and '-' only, and does not begin with the last three"
        )
    return value


def _name(value: str) -> str:
    if not _NAME.match(value):
        raise ValueError("a name has letters, digits and '_' only, and does not begin with a digit")
    return value


NodeId = Annotated[str, AfterValidator(_node_id)]
Name = Annotated[str, AfterValidator(_name)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, validate_default=False)


class NodeEntry(_Model):
    """One node: its type, its literals, its links, and notes that never enter a key."""

    type: str
    params: dict[Name, JsonValue] = Field(default_factory=dict)
    links: dict[Name, str | list[str]] = Field(default_factory=dict)
    version: int | None = Field(default=None, ge=1)
    title: str | None = None
    note: str | None = None
    meta: dict[str, JsonValue] | None = None


class ExposedInput(_Model):
    """A knob that a caller may turn: the parameters that it sets. Its value is what they say."""

    to: list[str] = Field(min_length=1)
    description: str | None = None


class Document(BaseModel):
    """One workflow, as its file has it."""

    model_config = ConfigDict(extra="allow", strict=True, populate_by_name=True)

    graphflow: int = Field(default=FORMAT_VERSION, ge=1, le=FORMAT_VERSION)
    name: str | None = None
    description: str | None = None
    inputs: dict[Name, ExposedInput] = Field(default_factory=dict)
    nodes: dict[NodeId, NodeEntry] = Field(default_factory=dict)
    outputs: dict[Name, str] = Field(default_factory=dict)
    requires: dict[str, str] = Field(default_factory=dict)
    workflows: dict[Name, Document] = Field(default_factory=dict)
    meta: dict[str, JsonValue] | None = None
    _notices: tuple[str, ...] = PrivateAttr(())
    _record: dict[str, Any] = PrivateAttr(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Document) and self.to_json() == other.to_json()

    @property
    def notices(self) -> tuple[str, ...]:
        """What reading it has to tell; no part of it."""
        return self._notices

    def with_notices(self, notices: Iterable[str]) -> Document:
        """Return a copy that also has these to tell."""
        copy = self.model_copy()
        copy._notices = (*self._notices, *notices)
        return copy

    @property
    def record(self) -> dict[str, Any]:
        """How the picture was made that the document was read from; empty where it comes from elsewhere."""
        return self._record

    def to_json(self) -> dict[str, Any]:
        """Return the document as plain JSON: what its file has, without empty parts."""
        data = self.model_dump(mode="json", exclude_defaults=True)
        return {"graphflow": self.graphflow, **{key: value for key, value in data.items() if key != "graphflow"}}


def parse(data: Any, *, source: str = "workflow", file: str = "FILE", keep: format_1.Keep | None = None) -> Document:
    """Make a document from parsed JSON, migrating older formats.

    Args:
        data: The JSON.
        source: What errors call it.
        file: What commands call its file.
        keep: What counts in a document of format 1 where nodes and defaults differ; None refuses it.

    Raises:
        WorkflowError: With every problem of shape that the JSON has, or every difference that ``keep`` does not settle.
        LimitError: The document has too many nodes.
    """
    if not isinstance(data, dict):
        raise WorkflowError([Problem("document", f"a workflow is a JSON object, got {shorten(data)}")], source=source)
    if keep not in (None, *get_args(format_1.Keep)):
        raise InvalidInputError(f"keep is 'nodes' or 'defaults', got {shorten(keep)}", where=source)
    version = data.get("graphflow")
    if version is None:
        advice = (
            "it looks like a ComfyUI file: the command line runs it as it is, and `graphflow import` makes it native"
            if _looks_foreign(data)
            else f'a workflow begins with "graphflow": {FORMAT_VERSION}'
        )
        raise WorkflowError([Problem("graphflow", "the format version is missing", advice)], source=source)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise WorkflowError(
            [Problem("graphflow", f"the format version must be a positive integer, got {shorten(version)}")],
            source=source,
        )
    if version > FORMAT_VERSION:
        raise WorkflowError(
            [
                Problem(
                    "graphflow",
                    f"format {version} is newer than this graphflow, which knows {FORMAT_VERSION}",
                    "upgrade graphflow",
                )
            ],
            source=source,
        )
    if (nodes := _count(data)) > LIMITS.nodes:
        raise LimitError(
            f"the workflow has {nodes:,} nodes and inner workflows, more than {LIMITS.nodes:,}", where=source
        )
    problems = Problems(source)
    problems.extend(_unknown_keys(data, ""))
    defaults: dict[format_1.Place, dict[str, Any]] = {}
    if not jsontools.is_writable(data):  # no picture could carry it
        problems.extend(_unwritable(data, ""))
    try:
        data, defaults = format_1.take_defaults(data)
        document = Document.model_validate(data)
    except ValidationError as error:
        # A link is text or a list of texts; what is neither is told once, not once for each.
        problems.extend(_problem(item) for item in error.errors(include_url=False) if "list[str]" not in item["loc"])
    except RecursionError as error:
        raise LimitError("the workflow is nested too deeply", where=source) from error
    for place, given in defaults.items() if not problems else ():
        inner = document
        for name in place:
            inner = inner.workflows[name]
        # In inner workflows nodes count in format 1, too.
        wanted: format_1.Keep | None = "nodes" if place else keep
        found, told = format_1.settle(inner.nodes, inner.inputs, given, wanted, file=file)
        problems.extend(found)
        document._notices += tuple(told)
    if problems:
        raise WorkflowError(problems, source=source)
    return document


def _count(data: Any) -> int:
    """Count the nodes that are written in a document, and the documents inside it with theirs."""
    nodes, inner = (data.get("nodes"), data.get("workflows")) if isinstance(data, dict) else (None, None)
    count = len(nodes) if isinstance(nodes, dict) else 0
    return count + sum(1 + _count(part) for part in inner.values()) if isinstance(inner, dict) else count


def _unknown_keys(data: dict[str, Any], path: str) -> Iterator[Problem]:
    """Yield a problem for each key that a document does not have, inner workflows included."""
    for key in data:
        if key not in Document.model_fields and key != "$schema" and not key.startswith("x-"):
            near = nearest(key, Document.model_fields)
            known = ", ".join(Document.model_fields)
            yield Problem(
                f"{path}{key}",
                "this key is unknown",
                f"did you mean {near!r}?" if near else f"known are {known}, $schema and x-*",
            )
    inner = data.get("workflows")
    for name, part in inner.items() if isinstance(inner, dict) else ():
        if isinstance(part, dict):
            yield from _unknown_keys(part, f"{path}workflows.{name}.")


def _unwritable(value: Any, path: str) -> Iterator[Problem]:
    """Yield a problem for each text, key and number that no file can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        yield Problem(path, f"must be a finite number, got {value}")
    elif isinstance(value, str) and not jsontools.is_writable(value):
        yield Problem(path, "a text holds half of a character (a surrogate)", "remove it")
    elif isinstance(value, dict):
        for key, part in value.items():
            place = f"{path}.{key}" if path else str(key)
            yield from _unwritable(part if jsontools.is_writable(key) else key, place)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _unwritable(part, f"{path}[{index}]")


def read(path: Path, *, keep: format_1.Keep | None = None) -> Document:
    """Read a document from a JSON file, or from a picture or the like that carries one or has it in a file beside it.

    Args:
        path: The file.
        keep: See :func:`parse`.

    Raises:
        WorkflowError: The file holds no workflow, or one with problems.
        InvalidInputError: The file cannot be read.
    """
    try:
        with open_regular(path) as stream:
            if beside := carried_beside(path, stream):
                text, told = beside[WORKFLOW_KEYWORD], beside.get(RECORD_KEYWORD)
                return _made(text, told, source=str(path), file=str(path), keep=keep)
            return from_bytes(stream, source=str(path), file=str(path), keep=keep)
    except FileNotFoundError as error:
        raise InvalidInputError("there is no such file", where=str(path)) from error
    except OSError as error:
        raise InvalidInputError(f"the file cannot be read: {error.strerror or error}", where=str(path)) from error


def from_bytes(data: bytes | BinaryIO, *, source: str, file: str, keep: format_1.Keep | None = None) -> Document:
    """Make a document of what a JSON file holds, or a picture or the like that carries one; the arguments are those of :func:`parse`.

    A picture that has a record was made with what its nodes say, so they count.

    Raises:
        WorkflowError: They hold no workflow, or one with problems.
    """
    text: str | bytes
    carried = embedded_document(data, source=source)
    if carried is None:
        text, told = data if isinstance(data, bytes) else data.read(LIMITS.document_bytes + 1), None
    else:
        text, told = carried
    return _made(text, told, source=source, file=file, keep=keep)


def _made(text: str | bytes, told: str | None, *, source: str, file: str, keep: format_1.Keep | None) -> Document:
    """Make a document of its text and that of its record."""
    if keep is None and told is not None:
        keep = "nodes"
    document = parse(jsontools.loads(text, source=source), source=source, file=file, keep=keep)
    with suppress(InvalidInputError):  # without the record it is a workflow still
        record = jsontools.loads(told or "{}", source=source)
        document._record = record if isinstance(record, dict) else {}
    return document


def split_address(address: str) -> tuple[str, str | None]:
    """Split ``node.output`` or ``node.parameter`` at its first dot; the second part is None for a bare node id."""
    node, dot, rest = address.partition(".")
    return node, rest if dot else None


def _looks_foreign(data: dict[str, Any]) -> bool:
    if isinstance(data.get("nodes"), list) or "prompt" in data:
        return True
    return any(isinstance(value, dict) and "class_type" in value for value in data.values())


def _problem(error: Any) -> Problem:
    path = ".".join(str(part) for part in error["loc"] if part not in ("[key]", "str", "list[str]"))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden" and error["loc"][-3::2] == ("inputs", "default"):
        return Problem(path, "this key is of format 1", "an input has no value: it stands in the nodes that it turns")
    if error["type"] == "extra_forbidden":
        return Problem(path, "this key is unknown", "known are " + ", ".join(_siblings(error["loc"])))
    if error["type"] == "missing":
        return Problem(path, "this key is missing")
    if error["loc"][-1:] == ("str",):
        return Problem(
            path,
            f"a link is an address or a list of addresses, got {shorten(error['input'])}",
            "write NODE or NODE.OUTPUT",
        )
    if error["type"] in PLAIN:
        return Problem(path or "document", f"must be {PLAIN[error['type']]}, got {shorten(error.get('input'))}")
    if error["type"] == "too_short":
        return Problem(path, "the list is empty")
    return Problem(path or "document", f"{message[0].lower()}{message[1:]}, got {shorten(error.get('input'))}")


def _siblings(location: tuple[int | str, ...]) -> tuple[str, ...]:
    return tuple(NodeEntry.model_fields if "nodes" in location else ExposedInput.model_fields)
