"""What stands between two ``%`` in the file names of effects, filled in when the file is written.

Documents and records keep the tokens, so that a name with a date is no other workflow every day. The tokens are those
of ComfyUI (https://blenderneko.github.io/ComfyUI-docs/Interface/SaveFileFormatting), and names of inputs.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from graphflow.document.document import split_address
from graphflow.planning.steps import Constant, Plan

TOKEN = re.compile(r"%([^%]+)%")
NOT_IN_NAMES = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
_DATE_PART = re.compile(r"yyyy|yy|MM|M|dd|d|hh|h|mm|m|ss|s")
_CLOCK = {"year": "yyyy", "month": "MM", "day": "dd", "hour": "hh", "minute": "mm", "second": "ss"}
_VALUE_CHARACTERS = 60

Names = Callable[[str, str, int | None], tuple[str, tuple[str, ...]]]
"""(effect, wanted name, element) -> the name with its tokens filled in, and those that mean nothing and stay."""


def format_date(pattern: str, now: datetime) -> str:
    """Write a date by a pattern of yyyy, yy, M(M), d(d), h(h), m(m) and s(s); nothing means yyyyMMddhhmmss."""
    values = {"M": now.month, "d": now.day, "h": now.hour, "m": now.minute, "s": now.second}

    def part(match: re.Match[str]) -> str:
        found = match[0]
        if found[0] == "y":
            return f"{now.year:04d}"[-len(found) :]
        return f"{values[found[0]]:0{len(found)}d}"

    return _DATE_PART.sub(part, pattern or "yyyyMMddhhmmss")


class FileNames:
    """Fills names in, for the effects of one plan.

    ``%date:yyyy-MM-dd%`` and ``%year%`` … ``%second%`` are the time at which the run began; ``%NODE.PARAM%`` is a literal
    of a node, which its id or its title names; ``%NAME%`` is the exposed input of that name, or the parameter of that
    name of the nearest node before the effect.

    Args:
        plan: The plan.
        now: When the run began.
    """

    def __init__(self, plan: Plan, now: datetime) -> None:
        self._plan = plan
        self._now = now

    def __call__(self, step: str, stem: str, element: int | None = None) -> tuple[str, tuple[str, ...]]:
        """Return a name with its tokens filled in, and the tokens that mean nothing and stay.

        Args:
            step: The effect.
            stem: The name that it wants.
            element: Which element of a sequence it writes, where it runs once for each.
        """
        left: list[str] = []

        def fill(match: re.Match[str]) -> str:
            text = self._text(step, match[1], element)
            if text is None:
                left.append(match[0])
            return match[0] if text is None else text

        return TOKEN.sub(fill, stem), tuple(left)

    def _text(self, step: str, token: str, element: int | None) -> str | None:
        kind, colon, pattern = token.partition(":")
        if kind == "date" and colon:
            return format_date(pattern, self._now)
        if token in _CLOCK:
            return format_date(_CLOCK[token], self._now)
        for value in self._values(step, token):
            if isinstance(value, list | tuple) and value and element is not None:
                value = value[min(element, len(value) - 1)]
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if isinstance(value, str | int | float):
                return NOT_IN_NAMES.sub("_", str(value))[:_VALUE_CHARACTERS].strip()
        return None

    def _values(self, step: str, token: str) -> Iterator[Any]:
        """Yield what a token may stand for, the likeliest first."""
        if "." in token:
            node, _, parameter = token.rpartition(".")
            for id in [node, *(other.id for other in self._plan.steps.values() if other.title == node)]:
                yield self._literal(id, parameter)
            return
        document = self._plan.expanded.document
        if token in document.inputs:
            id, target = split_address(document.inputs[token].to[0])
            yield document.nodes[id].params.get(target or "") if id in document.nodes else None
            yield self._literal(id, target or "")
        pending, seen = deque([step]), {step}
        while pending:
            for source in self._plan.steps[pending.popleft()].sources:
                if source.node not in seen:
                    seen.add(source.node)
                    pending.append(source.node)
                    yield self._literal(source.node, token)

    def _literal(self, id: str, parameter: str) -> Any:
        step = self._plan.steps.get(id)
        if step is None or parameter not in step.spec.inputs:
            return None
        argument = step.arguments.get(parameter)
        if argument is None:
            return step.spec.inputs[parameter].default
        return argument.value if isinstance(argument, Constant) else None
