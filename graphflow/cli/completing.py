"""What the shell offers when Tab is pressed: names of workflows, inputs, nodes and models.

Typer brings the scripts for bash, zsh, fish and PowerShell (``graphflow --install-completion``). Nothing here imports torch,
and what goes wrong offers nothing: a shell has no place for errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from typer import Context

from graphflow.document.media.containers import ENDINGS
from graphflow.errors import InvalidInputError

if TYPE_CHECKING:
    from graphflow.document.document import Document
    from graphflow.session import Session
    from graphflow.spec.decorator import InputSpec

VARIABLE = "_GRAPHFLOW_COMPLETE"
_BREAKS = ("=", ":")

Offer = tuple[str, str]
"""What may stand there, and a word on it."""


@contextmanager
def bash_words(environment: MutableMapping[str, str]) -> Iterator[None]:
    """Undo what bash does to words, in what it asks and in what it is told.

    It breaks them at ``=`` and ``:``, so that ``-i seed=7`` comes as four, and replaces what follows the last break only.
    """
    if environment.get(VARIABLE) != "complete_bash" or "COMP_WORDS" not in environment:
        yield
        return
    words = environment["COMP_WORDS"].split("\n")
    joined: list[str] = []
    for word in words[: int(environment.get("COMP_CWORD", len(words))) + 1]:
        if joined and (word in _BREAKS or (joined[-1].endswith(_BREAKS) and not word.startswith("--"))):
            joined[-1] += word
        else:
            joined.append(word)
    environment["COMP_WORDS"], environment["COMP_CWORD"] = "\n".join(joined), str(len(joined) - 1)
    cut = max(map(joined[-1].rfind, _BREAKS)) + 1
    told = StringIO()
    try:
        with redirect_stdout(told):
            yield
    finally:
        for line in told.getvalue().splitlines():
            print(line[cut:])


def _quiet(find: Callable[[Context, str], Iterable[Offer]]) -> Callable[[Context, str], list[Offer]]:
    """Keep what fits the beginning, and offer nothing where something goes wrong."""

    def offered(ctx: Context, incomplete: str) -> list[Offer]:
        try:
            with redirect_stderr(StringIO()):  # what is said of a file has no place here either
                found = [offer for offer in find(ctx, incomplete) if offer[0].startswith(incomplete)]
        except Exception:  # see above
            return []
        return [(value, shorten(text, 70, placeholder=" …")) for value, text in found]  # typer would fold it

    offered.__annotations__ = {"ctx": Context, "incomplete": str, "return": list[Offer]}  # typer reads these
    return offered


def _session(ctx: Context) -> Session:
    """Return a session with the model folders of the line, but without its packs: Tab runs no file."""
    from graphflow.session import Session
    from graphflow.settings import load_settings

    settings = load_settings()
    given = [{"path": path} for path in ctx.params.get("models") or ()]
    known = [root.model_dump() for root in settings.models]
    return Session(settings.model_validate({**settings.model_dump(), "models": (*given, *known), "offline": True}))


def _document(ctx: Context) -> Document:
    from graphflow.cli.source import STANDARD_INPUT, load

    name = ctx.params.get("workflow") or ctx.args[0]  # an option without its value ends the parser's work
    if name == STANDARD_INPUT:
        raise InvalidInputError("nobody types a workflow while a line is completed")
    return load(name).document


@_quiet
def packaged_workflows(ctx: Context, incomplete: str) -> Iterator[Offer]:
    """Offer the names of packaged workflows."""
    from graphflow import workflows
    from graphflow.document.document import read

    for name in workflows.names():
        yield name, read(workflows.path(name)).description or ""


@_quiet
def workflow_files(ctx: Context, incomplete: str) -> Iterator[Offer]:
    """Offer the names of packaged workflows, and files."""
    yield from packaged_workflows(ctx, incomplete)
    folder, _, beginning = incomplete.rpartition("/")
    for path in sorted(Path(f"{folder}/" if folder or incomplete.startswith("/") else ".").iterdir()):
        if path.name.startswith(".") and not beginning:
            continue
        if path.is_dir() or path.suffix.lower() in ENDINGS:
            yield (f"{folder}/" if "/" in incomplete else "") + path.name + ("/" if path.is_dir() else ""), ""


@_quiet
def input_assignments(ctx: Context, incomplete: str) -> Iterator[Offer]:
    """Offer ``NAME=``, and what may follow where there are choices or models."""
    session, document = _session(ctx), _document(ctx)
    name, equals, _ = incomplete.partition("=")
    for knob, exposed in document.inputs.items():
        if not equals:
            yield f"{knob}=", exposed.description or ""
        elif knob == name:
            yield from _values(session, document, exposed.to[0], f"{name}=")


@_quiet
def parameter_assignments(ctx: Context, incomplete: str) -> Iterator[Offer]:
    """Offer ``NODE.PARAM=``, and what may follow where there are choices or models."""
    from graphflow.document.flatten import PREFIX
    from graphflow.planning.expand import parameter_of

    session, document = _session(ctx), _document(ctx)
    address, equals, _ = incomplete.partition("=")
    if equals:
        yield from _values(session, document, address, f"{address}=")
        return
    for node, entry in document.nodes.items():
        spec = session.registry.get(entry.type)
        inner = document.workflows.get(entry.type.removeprefix(PREFIX))
        names = spec.inputs if spec is not None else inner.inputs if inner is not None else ()
        for name in names:
            parameter = parameter_of(document, session.registry, f"{node}.{name}")
            if parameter is not None and not parameter.linked:
                yield f"{node}.{name}=", parameter.description


@_quiet
def node_ids(ctx: Context, incomplete: str) -> Iterator[Offer]:
    """Offer the nodes of the workflow."""
    for node, entry in _document(ctx).nodes.items():
        yield node, entry.title or entry.type


@_quiet
def node_types(ctx: Context, incomplete: str) -> Iterator[Offer]:
    """Offer the node types."""
    for spec in _session(ctx).registry.specs.values():
        yield spec.type, spec.summary


@_quiet
def node_categories(ctx: Context, incomplete: str) -> Iterator[Offer]:
    """Offer the categories of node types."""
    for category in sorted({spec.category for spec in _session(ctx).registry.specs.values()}):
        yield category, ""


@_quiet
def model_names(ctx: Context, incomplete: str) -> Iterator[Offer]:
    """Offer the models."""
    for entry in _session(ctx).library.entries():
        yield entry.name, (entry.kind or "model").replace("_", " ")


def _values(session: Session, document: Document, target: str, before: str) -> Iterator[Offer]:
    """Offer what a parameter may be, where that can be listed."""
    from graphflow.planning.expand import parameter_of

    spec: InputSpec | None = parameter_of(document, session.registry, target)
    if spec is None:
        return
    for choice in spec.choices or ((True, False) if spec.type.name == "bool" else ()):
        yield f"{before}{str(choice).lower() if isinstance(choice, bool) else choice}", ""
    if spec.model_kind:
        for entry in session.library.entries(spec.model_kind):  # type: ignore[arg-type]  # packs may name kinds of their own
            yield f"{before}{entry.name}", ""
