"""Pictures of what is being sampled, as files that a viewer shows anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from graphflow.basics.atomic import write_bytes
from graphflow.errors import InvalidInputError
from graphflow.events import NodeProgress
from graphflow.jobs.previews import jpeg

if TYPE_CHECKING:
    from graphflow.events import Event

_NOT_IN_NAMES = re.compile(r"[^\w~-]")


class PreviewFiles:
    """A sink that keeps ``FOLDER/NODE.jpg`` as the last preview of each node; a batch lies side by side.

    Args:
        folder: The folder, made if it is missing.

    Raises:
        InvalidInputError: It cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInputError(
                f"cannot be made: {error.strerror or error}", where=str(folder), advice="name another folder"
            ) from error

    def __call__(self, event: Event) -> None:
        """Take an event; those without a preview change nothing."""
        if isinstance(event, NodeProgress) and event.preview is not None:
            name = _NOT_IN_NAMES.sub("-", event.node)
            write_bytes(self.folder / f"{name}.jpg", jpeg(event.preview))
