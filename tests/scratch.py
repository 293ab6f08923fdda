"""Folders that live as long as the process."""

from __future__ import annotations

import atexit
import os
import shutil
from pathlib import Path
from tempfile import mkdtemp


def process_folder(name: str) -> Path:
    """Make an empty folder that is removed when this process ends, not when one of its forked children does."""
    folder, owner = Path(mkdtemp(prefix=f"graphflow-{name}-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder
