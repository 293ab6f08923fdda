"""Where the models that a document names are published: ``meta.models``, a list of ``{name, url, sha256?}``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from graphflow.document.document import Document

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_ENDING = re.compile(r"\.(safetensors|sft|gguf|ckpt|pt|pth|bin)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Published:
    """A file that somebody publishes.

    Attributes:
        name: What documents call it; folders and the extension do not count.
        url: Where it is.
        sha256: Its SHA-256 in lower case; empty where the document does not say.
    """

    name: str
    url: str
    sha256: str = ""

    def to_json(self) -> dict[str, str]:
        """Return the entry of ``meta.models``."""
        data = {"name": self.name, "url": self.url, "sha256": self.sha256}
        return {key: value for key, value in data.items() if value}


def published(document: Document) -> tuple[Published, ...]:
    """Return what a document and its inner workflows say; what is malformed says nothing."""
    return tuple(dict.fromkeys(_of(document)))


def _of(document: Document) -> Iterator[Published]:
    listed = (document.meta or {}).get("models")
    for entry in listed if isinstance(listed, list) else ():
        if (found := read_entry(entry)) is not None:
            yield found
    for inner in document.workflows.values():
        yield from _of(inner)


def read_entry(entry: Any) -> Published | None:
    """Read one entry, or one of ComfyUI's ``properties.models`` (``name``, ``url``, ``hash``, ``hash_type``)."""
    if not isinstance(entry, dict):
        return None
    name, url = entry.get("name"), entry.get("url")
    digest = entry.get("hash") if str(entry.get("hash_type", "")).upper() == "SHA256" else entry.get("sha256")
    if not isinstance(name, str) or not isinstance(url, str) or not url.startswith(("https://", "http://")):
        return None
    known = isinstance(digest, str) and _SHA256.fullmatch(digest)
    return Published(name, url, str(digest).lower() if known else "")


def source_of(name: str, known: Iterable[Published]) -> Published | None:
    """Return where a model is published, or None where nobody says."""
    return next((entry for entry in known if _bare(entry.name) == _bare(name)), None)


def _bare(name: str) -> str:
    return _ENDING.sub("", name.replace("\\", "/").rpartition("/")[2])
