"""Checks that imports go one way, as the contracts in pyproject.toml say: ``python -m tools.house``.

Imports inside functions and under TYPE_CHECKING count.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Check the contracts; returns the exit code."""
    with contextlib.chdir(ROOT):  # where the linter looks first
        return lint_imports(config_filename="pyproject.toml", no_cache=True)


if __name__ == "__main__":
    sys.exit(main())
