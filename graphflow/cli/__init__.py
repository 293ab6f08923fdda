"""The command line. ``main`` is the console script ``graphflow``; one module per command.

Importing it, and every command but ``run``, ``demo``, ``doctor`` and ``models convert``, imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows the program's name; None takes the process's own.

    Returns:
        The exit code: 0 done, 1 a node failed, 2 invalid input, 130 interrupted.
    """
    try:
        from graphflow.cli.app import run_command

        return run_command(arguments)
    except KeyboardInterrupt:
        return 130


__all__ = ["main"]
