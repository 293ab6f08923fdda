"""In which recorded facts two records differ, most likely cause of other pixels first."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphflow.basics.jsontools import as_table

_FACTS = ("device", "processor", "dtype")
_LATER = ("sampled", "attention", "measures", "deterministic", "instructions", "platform", "threads")
_DRAWING = ("diffusers", "transformers")


@dataclass(frozen=True)
class Unlike:
    """A fact that two records tell otherwise.

    Attributes:
        what: Its name, as people read it.
        made: What the one says; None where it says nothing.
        here: What the other says.
    """

    what: str
    made: str | None
    here: str | None

    @property
    def is_file(self) -> bool:
        """Whether it is about a file: then the values are digests."""
        return self.what.startswith(("model ", "file "))

    def __str__(self) -> str:
        if self.is_file:
            return f"another {self.what}" if self.made and self.here else f"{self.what} is in one only"
        return f"{self.what} {_shown(self.made)} (here {_shown(self.here)})"


def unlike(made: Mapping[str, Any], here: Mapping[str, Any], *, only_both: bool = False) -> list[Unlike]:
    """Return the facts in which two records differ: files first, then device and dtype, torch, threads, other packages.

    Args:
        made: The record of a file, which somebody else may have written.
        here: Another one.
        only_both: Leave out what only one of them tells.
    """
    digested = as_table(made.get("models")).keys() & as_table(here.get("models")).keys()
    one, other = (dict(_facts(record, digested)) for record in (made, here))
    names = sorted({**one, **other}, key=_rank)
    found = [Unlike(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)]
    return [item for item in found if (item.made and item.here) or (item.is_file and not only_both)]


def _rank(name: str) -> int:
    if name == "warning":  # of random weights
        return -1
    if name.startswith(("model ", "file ")):
        return 0
    if name.startswith(("node type ", "node pack ")):
        return 1
    for rank, group in enumerate((_FACTS, ("torch",), _LATER, _DRAWING), 2):
        if name in group:
            return rank
    return 7 if name == "graphflow" else 6


def _facts(record: Mapping[str, Any], digested: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the facts of a record by names that people read; what is malformed says nothing.

    Args:
        record: The record.
        digested: Models of which the digests of their files are told, in place of one fingerprint.
    """
    for name, model in as_table(record.get("models")).items():
        files = as_table(as_table(model).get("files")) if name in digested else {}
        for inside, file in files.items():
            if isinstance(digest := as_table(file).get("sha256"), str):
                yield (f"model {name!r}" if len(files) == 1 else f"model {name!r} ({inside})"), digest
    for name, fingerprint in as_table(record.get("files")).items():
        if name not in digested and isinstance(fingerprint, str):
            yield f"file {name!r}", fingerprint
    yield from ((f"node type {name}", str(number)) for name, number in as_table(record.get("node_types")).items())
    yield from ((f"node pack {name}", str(version)) for name, version in as_table(record.get("packs")).items())
    if record:
        yield "sampled", "with other variants" if record.get("batched") else "alone"
        yield "warning", _text(record.get("warning")) or "none"
    mixed = as_table(record.get("mixed"))
    for name in (*_FACTS, *_LATER, "graphflow"):
        if isinstance(several := mixed.get(name), list):
            yield name, " and ".join(_text(value) for value in several)
        elif name in record and (text := _text(record[name])):
            yield name, text
    yield from ((name, text) for name, text in as_table(record.get("versions")).items() if isinstance(text, str))


def _text(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value) and len(value) != 1:
        return " and ".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) if isinstance(value, str | int) else ""


def _shown(value: str | None) -> str:
    return "nothing" if value is None else value[:40]
