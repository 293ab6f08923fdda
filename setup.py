"""Says where the packages stand; everything else is in pyproject.toml.

``graphflow/`` has links to the folders beside it, so that an editable install is a path, which type checkers and editors
follow. Where git made no links, as on some Windows machines, the folders are mapped.
"""

from pathlib import Path

from setuptools import setup

FOLDERS = ("nodes", "converters", "workflows")

if all(Path("graphflow", name).is_dir() for name in FOLDERS):
    setup(package_dir={"": "."})
else:
    setup(package_dir={"graphflow": "graphflow", **{f"graphflow.{name}": name for name in FOLDERS}})
