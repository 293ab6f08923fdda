"""The command line. ``program`` is the console script ``graphflow``; one module per command.

Importing it, and every command but ``run``, ``demo``, ``doctor`` and ``models convert``, imports no torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from graphflow.basics.allocator import keep_freed_memory
from graphflow.basics.importing import collector_paused
from graphflow.cli import handing


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows the program's name; None takes the process's own.

    Returns:
        The exit code: 0 done, 1 a node failed, 2 invalid input, 130 interrupted.
    """
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        if handing.wanted(given) and (code := handing.hand_over(given)) is not None:
            return code
        with collector_paused():
            from graphflow.cli.app import run_command

        return run_command(given)
    except KeyboardInterrupt:
        return 130


def program() -> NoReturn:
    """Run the process's own command line and leave with its exit code."""
    if not handing.wanted(sys.argv[1:]):
        keep_freed_memory()
    code = main()
    from graphflow.cli.leaving import leave

    leave(code)


__all__ = ["main", "program"]
