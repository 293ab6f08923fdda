"""How errors are shown: one message on standard error with place, problem and way out, and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from graphflow.basics.wording import shorten
from graphflow.cli.output import answers
from graphflow.cli.terminal import clean, console, count, has_unicode, paragraph, styled
from graphflow.errors import GraphflowError, InvalidInputError, Problem, WorkflowError, printable
from graphflow.jobs.telling import error_json, finite

INTERRUPTED = 130
_SHOWN = 200


def show(error: Exception, *, traceback: bool = False) -> int:
    """Print an error on standard error and return the exit code that it asks for."""
    target = console(error=True)
    if traceback:
        import traceback as tracebacks

        target.print(Text(clean("".join(tracebacks.format_exception(error)))))
    if isinstance(error, WorkflowError):
        print_problems(target, error.problems, where=error.where)
        return error.exit_code
    if isinstance(error, GraphflowError):
        place = f"{error.where}: " if error.where else ""
        paragraph(target, Text.assemble(("error: ", "bold red"), styled(f"{place}{error.message}")))
        if error.advice:
            paragraph(target, styled(error.advice), indent=7)
        return error.exit_code
    if isinstance(error, OSError) and error.strerror:  # the system refuses a name, a folder or a disk
        place = "" if error.filename is None else f"{shorten(str(error.filename), 200)}: "
        paragraph(target, Text.assemble(("error: ", "bold red"), styled(f"{place}{error.strerror.lower()}")))
        paragraph(target, styled("name another file or folder; --traceback shows where it was used"), indent=7)
        return InvalidInputError.exit_code
    paragraph(
        target,
        Text.assemble(("error: ", "bold red"), styled(f"this is a bug in graphflow: {type(error).__name__}: {error}")),
    )
    if not traceback:
        paragraph(target, styled("the same command with --traceback shows where; please report it"), indent=7)
    return 1


def print_problems(target: Console, problems: tuple[Problem, ...], *, where: str | None) -> None:
    """Print every problem of a document: its path, what is wrong, and below it the way out."""
    place = f"{where}: " if where else ""
    paragraph(target, Text.assemble(("error: ", "bold red"), styled(place), count(len(problems), "problem")))
    for problem in problems[:_SHOWN]:
        paragraph(target, Text.assemble(styled(problem.path, "bold"), ": ", styled(problem.message)), indent=2)
        if problem.advice:
            paragraph(target, styled(problem.advice, "dim"), indent=6)
    if len(problems) > _SHOWN:
        paragraph(target, styled(f"… and {len(problems) - _SHOWN:,} more; --json lists all"), indent=2)


@contextmanager
def json_errors(wanted: bool) -> Iterator[dict[str, Any]]:
    """Also print an error that passes through as a JSON object on standard output, where ``wanted``.

    Yields:
        Further fields of that object, for whoever knows any.
    """
    fields: dict[str, Any] = {}
    try:
        yield fields
    except Exception as error:
        if wanted:
            print_json({"event": "error", **fields, **error_json(error)})
        raise


def print_json(data: Any, *, indent: int | None = None) -> None:
    """Print JSON on standard output, in one line unless indented, at once; NaN and infinities as text."""
    import json

    text = json.dumps(finite(data), ensure_ascii=not has_unicode(), indent=indent, default=repr, allow_nan=False)
    stream = answers()
    stream.write(printable(text) + "\n")
    stream.flush()
