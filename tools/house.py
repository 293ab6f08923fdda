"""Checks that imports go one way, as the contracts in pyproject.toml say: ``python -m tools.house``.

The packages ``nodes``, ``converters`` and ``workflows`` stand at the top of the repository and are installed under
``graphflow``; the linter sees them there in a folder of links. Imports inside functions and under TYPE_CHECKING count.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent
MAPPED = ("nodes", "converters", "workflows")


def link(folder: Path) -> None:
    """Make the package as it is installed, of links to the checkout."""
    package = folder / "graphflow"
    package.mkdir()
    for child in (ROOT / "graphflow").iterdir():
        (package / child.name).symlink_to(child)
    for name in MAPPED:
        (package / name).symlink_to(ROOT / name)


def main() -> int:
    """Check the contracts; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        link(Path(folder))
        with contextlib.chdir(folder):  # where the linter looks first
            return lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)


if __name__ == "__main__":
    sys.exit(main())
