"""Loops whose number of turns the file tells, as their nodes one after another.

The behaviour is that of ComfyUI's documentation (docs.comfy.org, StartLoop and EndLoop), and of the interfaces of the packs'
nodes. What stands behind a loop's start and not behind its end runs in each turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphflow.limits import LIMITS

from .notes import Journal
from .pruning import Prompt, Selectors, fold_switches, link_of, needed, ordered

_CORE = "StartLoop"
_FLOWS: Mapping[str, tuple[str, str, int]] = {
    "easy forLoopStart": ("easy forLoopEnd", "total", 0),
    "ForLoopOpen": ("ForLoopClose", "remaining", 1),
}
"""By the start of a pack's loop: its end, what its turns are called, and whether they are counted down."""
_WHILE = ("easy whileLoopStart", "easy whileLoopEnd", "WhileLoopOpen", "WhileLoopClose")
ENDS: Mapping[str, str] = {_CORE: "EndLoop", **{start: told[0] for start, told in _FLOWS.items()}}
"""The end of each kind of loop by its start."""
LOOPS: Mapping[str, str] = {
    **dict.fromkeys(
        (*ENDS, *ENDS.values()),
        f"a loop with both ends, whose number of turns stands in the file and makes no more than {LIMITS.imported:,} nodes",
    ),
    **dict.fromkeys(_WHILE, "a loop with a number of turns; whether this one goes on is computed while it runs"),
}  # fmt: skip
"""Types that start and end loops, with what one that is left would need."""
_LIST = "ImpactMakeImageList"
"""What gathers the pictures of all turns."""


@dataclass
class Unrolled:
    """A prompt without loops whose turns are known.

    Attributes:
        prompt: The nodes that run. Those of the first turn keep their ids; later ones are called ``ID~turn``.
        outputs: Those that a run is for.
        told: What became of the start and the end of each loop.
        copies: Id of the first turn's node by that of a later one's.
    """

    prompt: Prompt
    outputs: tuple[str, ...]
    told: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)


def unrolled(prompt: Prompt, outputs: Iterable[str]) -> Unrolled:
    """Return a prompt whose loops are turns one after another, as far as their number is known.

    Args:
        prompt: What runs.
        outputs: What the run is for.
    """
    result = Unrolled(prompt, tuple(outputs))
    while (loop := _next(result.prompt)) is not None:
        _unroll(result, loop)
        result.prompt = fold_switches(result.prompt, Journal())
        keep = needed(result.prompt, result.outputs)
        result.prompt = {id: node for id, node in result.prompt.items() if id in keep}
    return result


@dataclass(frozen=True)
class _Loop:
    """A loop: its ends, the numbers of its turns, and what runs in each of them."""

    start: str
    end: str
    turns: range
    body: tuple[str, ...]


def _next(prompt: Prompt) -> _Loop | None:
    """A loop whose turns are known and not too many; None where there is none."""
    kinds = {id: node["class_type"] for id, node in prompt.items()}
    if not any(kind in ENDS for kind in kinds.values()):
        return None
    order = ordered(prompt)
    taken: set[str] = set()
    for end in (id for id in order if kinds[id] in ENDS.values()):
        before = needed(prompt, [end])
        starts = [id for id in order if id in before and id not in taken and ENDS.get(kinds[id]) == kinds[end]]
        flow = link_of(prompt[end]["inputs"].get("flow") or prompt[end]["inputs"].get("flow_control"))
        if flow is not None:
            starts = [id for id in starts if id == flow[0]]
        if not starts:
            continue
        start = starts[-1]
        taken.add(start)
        turns = _turns(prompt, start)
        if turns is None:
            continue
        inside = _behind(prompt, start) - _behind(prompt, end) - {end}
        body = tuple(id for id in order if id in inside)
        if len(turns) * len(body) + len(prompt) <= LIMITS.imported:
            return _Loop(start, end, turns, body)
    return None


def _turns(prompt: Prompt, start: str) -> range | None:
    node, known = prompt[start], Selectors(prompt)

    def number(name: str, default: int | None = None) -> int | None:
        value = known.literal(node["inputs"].get(name, default))
        return int(value) if isinstance(value, int | float) and abs(value) < LIMITS.imported else None

    if node["class_type"] != _CORE:
        _, name, down = _FLOWS[node["class_type"]]
        count = number(name)
        return None if count is None else range(count, 0, -1) if down else range(max(0, count))
    mode = known.literal(node["inputs"].get("mode", "simple"))
    if mode == "simple":
        count = number("mode.num_iterations")
        return None if count is None else range(max(0, count))
    first, last, step = number("mode.start_iteration_index", 0), number("mode.max_iteration"), number("mode.step", 1)
    if mode != "For" or first is None or last is None or not step or step < 1:
        return None
    return range(first, last, step)


def _behind(prompt: Prompt, origin: str) -> set[str]:
    """The nodes that a node feeds, directly or through others."""
    readers: dict[str, list[str]] = {}
    for id, node in prompt.items():
        for value in node["inputs"].values():
            if (link := link_of(value)) is not None:
                readers.setdefault(link[0], []).append(id)
    found: set[str] = set()
    pending = [origin]
    while pending:
        for reader in readers.get(pending.pop(), ()):
            if reader not in found:
                found.add(reader)
                pending.append(reader)
    return found


class _Turns:
    """What stands for the links of a loop in each of its turns."""

    def __init__(self, prompt: Prompt, loop: _Loop) -> None:
        self.loop = loop
        self.start, self.end = prompt[loop.start], prompt[loop.end]
        self.core = self.start["class_type"] == _CORE
        self._inside = frozenset(loop.body)
        self._names = self._unused(prompt)

    def name(self, id: str, turn: int) -> str:
        """The id of a node of the loop in a turn."""
        return id if turn == 0 else f"{id}{self._names}{turn + 1}"

    def value(self, value: Any, turn: int) -> Any:
        """The value of an input in a turn; None where it is left out."""
        for now in range(turn, -1, -1):
            link = link_of(value)
            if link is None:
                return value
            if link[0] in self._inside:
                return [self.name(link[0], now), link[1]]
            if link[0] != self.loop.start:
                return value
            number = self._number(link[1], now)
            if not isinstance(number, str):
                return number
            if now == 0:
                return self.start["inputs"].get(self._initial(number))
            value = self.end["inputs"].get(self._carried(number))
        return value

    def outcome(self, slot: int) -> Any:
        """What an output of the loop is: what is carried on behind the last turn, or what the last one gives."""
        last = len(self.loop.turns) - 1
        if self.core:
            return self.value(self.end["inputs"].get("output_value"), last) if last >= 0 else None
        if last < 0:
            return self.start["inputs"].get(self._initial(str(slot + 1)))
        return self.value(self.end["inputs"].get(self._carried(str(slot + 1))), last)

    def gathered(self) -> list[Any]:
        """What all turns give."""
        return [self.value(self.end["inputs"].get("output_value"), turn) for turn in range(len(self.loop.turns))]

    def _number(self, slot: int, turn: int) -> Any:
        """What an output of the start is in a turn: a literal, or as text which carried value."""
        if not self.core:
            return (None, self.loop.turns[turn])[slot] if slot < 2 else str(slot - 1)
        known = (self.loop.turns[turn], turn == 0, turn == len(self.loop.turns) - 1, None)
        return known[slot] if slot < len(known) else "1"

    def _initial(self, number: str) -> str:
        return "initial_iteration_value" if self.core else f"initial_value{number}"

    def _carried(self, number: str) -> str:
        return "next_iteration_value" if self.core else f"initial_value{number}"

    def _unused(self, prompt: Prompt) -> str:
        """A mark between an id and a turn that makes no id that is there."""
        mark, numbers = "~", range(2, len(self.loop.turns) + 1)
        while any(f"{id}{mark}{number}" in prompt for id in self._inside for number in numbers):
            mark += "~"
        return mark


def _unroll(result: Unrolled, loop: _Loop) -> None:
    prompt, turns = result.prompt, _Turns(result.prompt, loop)
    made: Prompt = {}
    for turn in range(len(loop.turns)):
        for id in loop.body:
            node, name = prompt[id], turns.name(id, turn)
            told = {key: turns.value(value, turn) for key, value in node["inputs"].items()}
            inputs = {key: value for key, value in told.items() if value is not None or node["inputs"][key] is None}
            made[name] = {**node, "inputs": inputs}
            if turn:
                result.copies[name] = result.copies.get(id, id)
    last = max(0, len(loop.turns) - 1)
    gathers = turns.core and turns.end["inputs"].get("accumulate") is True
    if gathers:
        items = {f"image{number}": value for number, value in enumerate(turns.gathered(), 1)}
        made[loop.end] = {**turns.end, "class_type": _LIST, "inputs": items}
    for id, node in prompt.items():
        if id in (loop.start, loop.end) or id in loop.body:
            continue
        inputs = {}
        for key, value in node["inputs"].items():
            link = link_of(value)
            if link is not None and link[0] == loop.end and not gathers:
                value = turns.outcome(link[1])
            elif link is not None and (link[0] == loop.start or link[0] in loop.body):
                value = turns.value(value, last) if loop.turns else None
            if value is not None or node["inputs"][key] is None:
                inputs[key] = value
        made[id] = {**node, "inputs": inputs}
    times = "once" if len(loop.turns) == 1 else f"{len(loop.turns)} times"
    result.told |= dict.fromkeys(
        (loop.start, loop.end), f"the nodes of the loop stand there {times}, one turn after another"
    )
    outputs = [turns.name(id, turn) for id in result.outputs if id in loop.body for turn in range(len(loop.turns))]
    result.outputs = (*(id for id in result.outputs if id not in loop.body and id != loop.end), *outputs)
    result.prompt = made
