"""Doing without a node type: what reads its outputs gets an input of the same kind, as behind a bypassed node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from graphflow.basics.wording import nearest
from graphflow.errors import ConversionError

from . import catalogue
from .fields import quote
from .notes import Note
from .prompt import Flattened
from .pruning import Prompt, link_of


@dataclass
class Bypass:
    """What stands for the outputs of nodes, as far as their kinds are told.

    Args:
        flattened: The prompt.
    """

    flattened: Flattened
    _readers: dict[tuple[str, int], list[tuple[str, str]]] = field(init=False)

    def __post_init__(self) -> None:
        self._readers = {}
        for id, node in self.flattened.live.items():
            for name, value in node["inputs"].items():
                if (link := link_of(value)) is not None:
                    self._readers.setdefault(link, []).append((id, name))

    def stands(self, id: str) -> dict[int, str | None]:
        """Return for each output of a node that is read the input that stands for it; None where none does."""
        slots = sorted(slot for origin, slot in self._readers if origin == id)
        return {slot: self._like(id, self._given(id, slot)) for slot in slots}

    def offer(self, type: str) -> str:
        """Return what passes on where a type is left out, in words; empty where something would be missing."""
        passed: dict[str, None] = {}
        for id, node in self.flattened.live.items():
            if node["class_type"] == type:
                for name in self.stands(id).values():
                    if name is None:
                        return ""
                    passed[name] = None
        return f"passes {' and '.join(passed)} on" if passed else "leaves out what it shows"

    def _like(self, id: str, kind: str) -> str | None:
        """Return the first input of a kind: a link, else a text that the node holds."""
        inputs = self.flattened.prompt[id]["inputs"]
        fitting = [name for name in inputs if kind and self._taken(id, name) == kind]
        linked = next((name for name in fitting if link_of(inputs[name]) is not None), None)
        texts = [name for name in fitting if isinstance(inputs[name], str)]
        return linked or (texts[0] if kind == "STRING" and len(texts) == 1 else None)

    def _taken(self, id: str, name: str) -> str:
        """Return the kind of an input, or an empty text where nobody tells."""
        known = self.flattened.kinds.get(id)
        kind = _plain(known.inputs.get(name, "")) if known is not None else ""
        interface = catalogue.find(self.flattened.prompt[id]["class_type"])
        if not kind and interface is not None and name in interface.inputs:
            kind = _plain(interface.inputs[name].type)
        link = link_of(self.flattened.prompt[id]["inputs"].get(name))
        return kind or (self._given(*link, asked=id) if link is not None else "")

    def _given(self, id: str, slot: int, asked: str = "") -> str:
        """Return the kind of an output: what its node says, else what others that read it take."""
        known = self.flattened.kinds.get(id)
        kind = _plain(known.outputs[slot]) if known is not None and slot < len(known.outputs) else ""
        interface = catalogue.find(self.flattened.prompt[id]["class_type"]) if id in self.flattened.prompt else None
        if not kind and interface is not None and slot < len(interface.outputs):
            kind = _plain(interface.outputs[slot][1])
        for reader, name in () if kind else self._readers.get((id, slot), ()):
            interface = catalogue.find(self.flattened.prompt[reader]["class_type"])
            if reader != asked and interface is not None and name in interface.inputs:
                kind = kind or _plain(interface.inputs[name].type)
        return kind


def without(flattened: Flattened, types: Iterable[str]) -> Flattened:
    """Return a prompt without the nodes of some types.

    Args:
        flattened: The prompt.
        types: ComfyUI types.

    Raises:
        ConversionError: The file has no such node, or nothing can stand for what one gives.
    """
    gone = set(types)
    there = {node["class_type"] for node in flattened.prompt.values()}
    for type in sorted(gone - there):
        near = nearest(type, sorted(there))
        advice = f"did you mean {near!r}?" if near else "`graphflow import FILE --report` lists the types that it has"
        raise ConversionError(f"the workflow has no node of type {quote(type)}", where="--without", advice=advice)
    bypass = Bypass(flattened)
    stands: dict[tuple[str, int], Any] = {}
    told: list[Note] = []
    for id, node in flattened.prompt.items():
        if node["class_type"] not in gone:
            continue
        names = bypass.stands(id)
        for slot, name in names.items():
            if name is None:
                text = (
                    f"{node['class_type']} cannot be left out: it takes nothing that could stand for its output {slot}"
                )
                raise ConversionError(text, where=f"node {quote(id, 60)}", advice="replace it in ComfyUI")
            stands[id, slot] = node["inputs"][name]
        passed = f"; {', '.join(map(str, dict.fromkeys(names.values())))} passes" if names else ""
        told.append(Note(id, "", "without", f"{node['class_type']} is left out, as --without says{passed}"))
    prompt: Prompt = {}
    for id, node in flattened.prompt.items():
        if node["class_type"] not in gone:
            inputs = {name: _behind(value, stands) for name, value in node["inputs"].items()}
            prompt[id] = {
                **node,
                "inputs": {name: value for name, value in inputs.items() if not _lost(value, gone, flattened)},
            }
    outputs = tuple(id for id in flattened.outputs if id in prompt)
    return replace(flattened, prompt=prompt, outputs=outputs, problems=(*flattened.problems, *told), drawn=None)


def _behind(value: Any, stands: Mapping[tuple[str, int], Any]) -> Any:
    """Follow a link through the nodes that are left out; one after the other, so that a circle ends."""
    for _ in range(len(stands) + 1):
        link = link_of(value)
        if link is None or link not in stands:
            break
        value = stands[link]
    return value


def _lost(value: Any, gone: set[str], flattened: Flattened) -> bool:
    """Whether a value is a link to a node that is left out and that nothing live reads."""
    link = link_of(value)
    return link is not None and flattened.prompt[link[0]]["class_type"] in gone


def _plain(kind: str) -> str:
    """Return a kind that is one; empty for one that may be any."""
    return "" if kind in ("", "*") or "," in kind else kind.upper()
