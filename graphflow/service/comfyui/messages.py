"""What ComfyUI's websocket tells of a prompt, made from the events of the job that carries it out. Nothing here sends."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from graphflow import events

Prompt: TypeAlias = "Mapping[str, Mapping[str, Any]]"
"""A workflow as ComfyUI's API has it: by node id, ``class_type`` and ``inputs``."""

_PREVIEW, _PREVIEW_WITH_METADATA = 1, 4
_JPEG, _PNG = 1, 2
_BUSY = frozenset({"run", "write"})


@dataclass(frozen=True)
class Preview:
    """A picture of what a node samples.

    Attributes:
        picture: The pixels (B, 3, h, w) in [0, 1].
        node: The node of the prompt.
        prompt_id: The prompt.
    """

    picture: Any
    node: str
    prompt_id: str

    def frame(self, jpeg: bytes, *, metadata: bool) -> bytes:
        """Return the binary message.

        Args:
            jpeg: The picture as a JPEG file.
            metadata: Whether the client understands frames that say which node they are of (event 4): big-endian event and
                length of the metadata, the metadata as JSON, the file. Else (event 1) event, image type, file.
        """
        if not metadata:
            return struct.pack(">II", _PREVIEW, _JPEG) + jpeg
        told = json.dumps({**_place(self.node, self.prompt_id), "image_type": "image/jpeg"}).encode()
        return struct.pack(">II", _PREVIEW_WITH_METADATA, len(told)) + told + jpeg


Message: TypeAlias = "dict[str, Any] | bytes | Preview"
Shows: TypeAlias = "Callable[[str, Mapping[str, Sequence[str]], Mapping[str, Sequence[str]]], tuple[Mapping[str, Any], Sequence[bytes]]]"


@dataclass
class _Progress:
    """How far a node of the prompt is; ``open``: its native nodes that are still to finish."""

    open: set[str]
    value: float = 0.0
    most: float = 1.0
    state: str = "pending"


class Telling:
    """Tells of one attempt at a prompt.

    A node of the prompt begins with the first and is finished with the last of the native nodes that stand for it; where a
    native node stands for several, it is told of its own one, and the others are finished as it begins. A node that has nothing
    to compute counts as cached, and so does one that writes again what is stored. Outputs are told once all files of their node are
    written; at the end those of which nobody knew how many there would be.

    Args:
        prompt_id: The prompt's id.
        prompt: The prompt.
        outputs: The nodes that it is carried out for.
        origins: By native node, the nodes of the prompt that it stands for, its own one first.
        shows: Returns what a node gave to be seen, and PNG files that it sends, given the files that its native nodes wrote and
            what they gave notice of.
        now: Returns the time in seconds since 1970.
    """

    def __init__(
        self,
        prompt_id: str,
        prompt: Prompt,
        outputs: Iterable[str],
        origins: Mapping[str, Sequence[str]],
        shows: Shows = lambda node, files, texts: ({}, ()),
        now: Callable[[], float] = time.time,
    ) -> None:
        self.prompt_id = prompt_id
        self._prompt = prompt
        self._outputs = frozenset(outputs)
        self._origins = {native: [id for id in ids if id in prompt] for native, ids in origins.items()}
        self._shows = shows
        self._now = now
        self._nodes: dict[str, _Progress] = {}
        self._shown: dict[str, dict[str, Any]] = {}
        self._cached: set[str] = set()
        self._elements: dict[str, int] = {}
        self._ended: list[str] = []
        self._files: dict[str, dict[int, list[str]]] = {}
        self._short: set[tuple[str, int | None]] = set()
        self._texts: dict[str, list[str]] = {}
        self._executed: dict[str, Mapping[str, Any]] = {}
        self.current: str | None = None

    def begin(self) -> list[Message]:
        """Tell that it is carried out."""
        return [self._say("execution_start", timestamp=self._time())]

    def take(self, event: events.Event) -> list[Message]:
        """Tell an event of the run."""
        match event:
            case events.RunStarted():
                return self._plan(event.actions)
            case events.NodeStarted():
                return list(self._start(event.node))
            case events.NodeProgress():
                return self._step(event)
            case events.NodeFinished():
                self._elements[event.node] = self._elements.get(event.node, 0) + 1
                if self._elements[event.node] >= (event.elements or 1):
                    return list(self._finish(event.node))
            case events.Written():
                return list(self._write(event))
            case events.Notice():
                self._texts.setdefault(event.node, []).append(event.message)
        return []

    def end(
        self,
        outputs: Mapping[str, Mapping[str, Any]],
        last: Message | None,
        sent: Mapping[str, Sequence[bytes]] = MappingProxyType({}),
    ) -> list[Message]:
        """Tell how it ended, but that nothing is executed any more, which comes after the new state of the queue.

        Args:
            outputs: What its nodes gave to be seen.
            last: How it ended; None where it goes on later.
            sent: PNG files that nodes send, in a frame as that of a preview.
        """
        told: list[Message] = []
        for id in dict.fromkeys([*self._ended, *outputs]):
            if id in outputs and outputs[id] != self._executed.get(id):
                told += self._show(id, outputs[id], sent.get(id, ()))
            told += self._done(id)
        self.current = None
        return told if last is None else [*told, last]

    def executing(self) -> Message:
        """Tell which node is executed; None where none is."""
        shown = {} if self.current is None else {"display_node": self.current}
        return self._say("executing", node=self.current, **shown)

    # ------------------------------------------------------------------------------------------------ its steps

    def _plan(self, actions: Mapping[str, str]) -> list[Message]:
        """Tell what is stored already, of all that the prompt's outputs need."""
        before = Before(self._prompt)
        natives: dict[str, set[str]] = {}
        conditional: set[str] = set()
        for native, action in actions.items():
            for id in self._of(native):
                natives.setdefault(id, set()).update([native] if action in _BUSY else ())
                conditional.update([id] if action == "conditional" else ())
        needed = before.of(natives)
        self._nodes = {id: _Progress(natives.get(id, set())) for id in self._prompt if id in needed}
        idle = {id for id, node in self._nodes.items() if not node.open and id not in conditional}
        writes = {
            id for id, node in self._nodes.items()
            if node.open and all(actions[native] == "write" for native in node.open) and before.of({id}) - {id} <= idle
        }  # fmt: skip
        self._cached = idle | writes
        cached = [id for id in self._nodes if id in self._cached]
        return [self._say("execution_cached", nodes=cached, timestamp=self._time())]

    def _of(self, native: str) -> Sequence[str]:
        """Return the nodes that a native node stands for; the safety check ``x~safety`` is part of ``x``."""
        return self._origins.get(native) or self._origins.get(native.partition("~")[0]) or ()

    def _start(self, native: str) -> Iterable[Message]:
        own, *others = self._of(native) or (None,)
        for id in others:
            yield from self._enter(id)
            yield from self._leave(id, native)
        if own is not None:
            yield from self._enter(own)

    def _finish(self, native: str) -> Iterable[Message]:
        for id in self._of(native)[:1]:
            yield from self._leave(id, native)

    def _enter(self, id: str) -> Iterable[Message]:
        node = self._nodes.setdefault(id, _Progress(set()))
        if node.state != "pending" or id in self._cached:
            return
        node.state = "running"
        self.current = id
        yield self._state(id)
        yield self.executing()

    def _leave(self, id: str, native: str) -> Iterable[Message]:
        node = self._nodes.setdefault(id, _Progress(set()))
        node.open.discard(native)
        if node.open:
            return
        if id not in self._outputs:
            yield from self._done(id)
        elif id not in self._executed and not (yield from self._given(id)):
            self._ended.append(id)

    def _write(self, event: events.Written) -> Iterable[Message]:
        """Take a file; the last one of a node ends it."""
        elements = self._files.setdefault(event.node, {})
        files = elements.setdefault(event.element or 0, [])
        files.append(event.path)
        if len(files) < event.files:
            self._short.add((event.node, event.element))
            return
        self._short.discard((event.node, event.element))
        if len(elements) == (event.elements or 1) and not any(node == event.node for node, _ in self._short):
            yield from self._finish(event.node)

    def _given(self, id: str) -> Generator[Message, None, bool]:
        """Tell what a node gave to be seen; returns whether that is anything."""
        natives = [native for native, ids in self._origins.items() if ids[:1] == [id]]
        files = {
            native: [path for _, paths in sorted(self._files[native].items()) for path in paths]
            for native in natives
            if native in self._files
        }
        output, sent = self._shows(
            id, files, {native: self._texts[native] for native in natives if native in self._texts}
        )
        if output:
            yield from self._show(id, output, sent)
            yield from self._done(id)
        return bool(output)

    def _show(self, id: str, output: Mapping[str, Any], sent: Sequence[bytes]) -> Iterable[Message]:
        if sent and id != self.current:  # whose a frame is, clients know by what is executed
            self.current = id
            yield self.executing()
        yield from (struct.pack(">II", _PREVIEW, _PNG) + file for file in sent)
        self._executed[id] = output
        yield self._say("executed", node=id, display_node=id, output=output)

    def _done(self, id: str) -> Iterable[Message]:
        node = self._nodes.setdefault(id, _Progress(set()))
        if node.state != "finished":
            node.state, node.value = "finished", node.most
            yield self._state(id)

    def _step(self, event: events.NodeProgress) -> list[Message]:
        own = next(iter(self._of(event.node)), None)
        if own is None or own not in self._shown:
            return []
        node = self._nodes[own]
        node.value, node.most = event.step, event.total
        told: list[Message] = [self._state(own), self._say("progress", value=event.step, max=event.total, node=own)]
        return told if event.preview is None else [*told, Preview(event.preview, own, self.prompt_id)]

    # ---------------------------------------------------------------------------------------------- its wording

    def _say(self, type: str, /, **data: Any) -> dict[str, Any]:
        return {"type": type, "data": {**data, "prompt_id": self.prompt_id}}

    def _state(self, id: str) -> Message:
        """Tell how far all nodes are, one of which has changed."""
        node = self._nodes[id]
        told = {"value": node.value, "max": node.most, "state": node.state, **_place(id, self.prompt_id)}
        self._shown = {**self._shown, id: told}
        return self._say("progress_state", nodes=self._shown)

    def _time(self) -> int:
        return round(self._now() * 1000)


class Before:
    """Which nodes of a prompt come before which."""

    def __init__(self, prompt: Prompt) -> None:
        self._links = {
            id: [value[0] for value in node.get("inputs", {}).values() if _is_link(value, prompt)]
            for id, node in prompt.items()
        }

    def of(self, ids: Iterable[str]) -> set[str]:
        """Return these nodes and all before them."""
        found: set[str] = set()
        stack = list(ids)
        while stack:
            id = stack.pop()
            if id not in found:
                found.add(id)
                stack.extend(self._links.get(id, ()))
        return found


def literals(prompt: Prompt, node: str) -> dict[str, list[Any]]:
    """Return the inputs of a node that are no links, each as a list of one value."""
    inputs = prompt[node].get("inputs", {})
    return {name: [value] for name, value in inputs.items() if not _is_link(value, prompt)}


def status(remaining: int, sid: str | None = None) -> Message:
    """Tell how many prompts wait or run, and a client that has come its ``sid``."""
    told: dict[str, Any] = {"status": {"exec_info": {"queue_remaining": remaining}}}
    return {"type": "status", "data": told if sid is None else {**told, "sid": sid}}


def _place(id: str, prompt_id: str) -> dict[str, Any]:
    return {"node_id": id, "prompt_id": prompt_id, "display_node_id": id, "parent_node_id": None, "real_node_id": id}


def _is_link(value: Any, prompt: Prompt) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[0] in prompt
