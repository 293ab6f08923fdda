"""Where things stand on this machine, which no answer tells."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class Places:
    """Folders whose paths are told by their last part only; the home folder is ``~``.

    Args:
        folders: The folders; the root of the file system is left out.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        home = Path.home()
        named = {str(path): f"…/{path.name}" for folder in folders for path in (folder.absolute(), folder.resolve())}
        named |= {str(path): "~" for path in (home, home.resolve())}
        self._named = {path: name for path, name in named.items() if Path(path).name}
        longest = sorted(map(re.escape, self._named), key=len, reverse=True)
        self._pattern = re.compile(rf"(?<![\w.-])(?:{'|'.join(longest) or '(?!)'})(?![\w-])")

    def hide(self, data: Any) -> Any:
        """Return JSON data that names none of them by its whole path."""
        if isinstance(data, str):
            return self._pattern.sub(lambda found: self._named[found[0]], data)
        if isinstance(data, dict):
            return {self.hide(key): self.hide(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.hide(value) for value in data]
        return data
