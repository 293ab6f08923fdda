"""Asking before something is removed or fetched."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from graphflow.errors import CancelledError, InvalidInputError

Yes = Annotated[bool, typer.Option("--yes", "-y", metavar="", help="Do not ask.")]


def confirm(question: str, yes: bool) -> None:
    """Ask on standard error, unless the answer was given on the command line.

    Raises:
        InvalidInputError: There is nobody to ask.
        CancelledError: The answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInputError(f"{question} Nobody is here to answer", advice="--yes answers yes")
    if not typer.confirm(question, err=True):
        raise CancelledError("nothing was changed")
