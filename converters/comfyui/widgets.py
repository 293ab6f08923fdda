"""Widget values to names: by key, by recorded name, or by the order of the node's definition."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from . import catalogue
from .catalogue import CONTROL, Interface, Order
from .documents import UiNode

CONTROL_WORDS = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})
"""What the setting beside a seed may say; files of 2023 store true or false."""

_CANVAS_ONLY = frozenset({"upload", "choose file to upload", "choose folder to upload", "videopreview", "audioUI"})
_CONTROL_NAME = re.compile(r"control_(after|before)_generate(#\d+)?")
_REPEATED = re.compile(r"(.+)#\d+", re.DOTALL)
_WIDGET_LIMIT = 4_096
_SPARE = 6


@dataclass
class Widgets:
    """The named values of one node.

    Attributes:
        values: Value by input name, in the order of the definition.
        controls: What the setting beside a seed says, by the seed's name.
        unnamed: Values that stand for inputs whose names are not known.
        fits: False where the values do not fit the definition, so that names may be wrong.
    """

    values: dict[str, Any] = field(default_factory=dict)
    controls: dict[str, str] = field(default_factory=dict)
    unnamed: tuple[Any, ...] = ()
    fits: bool = True


def name_widgets(node: UiNode) -> Widgets:
    """Return the widget values of a node by name."""
    if not isinstance(node.widgets, tuple):
        return _by_key(node.widgets)
    values = node.widgets[:_WIDGET_LIMIT]
    if not values:
        return Widgets()
    if node.named:
        return _by_recorded_name(values, node.named)
    if node.type == "Power Lora Loader (rgthree)":
        return _power_lora(values)
    if node.type == "CustomCombo":
        return _custom_combo(values)
    return _by_order(node, values)


def is_control(value: object) -> bool:
    """Say whether a value is the setting beside a seed, in today's form."""
    return isinstance(value, str) and value in CONTROL_WORDS


def _by_key(raw: Mapping[str, Any]) -> Widgets:
    found = Widgets()
    last = ""
    for name, value in list(raw.items())[:_WIDGET_LIMIT]:
        if _CONTROL_NAME.fullmatch(name):
            _control(found, last, value)
        elif name not in _CANVAS_ONLY:
            found.values[name] = value
            last = name
    return found


def _control(found: Widgets, seed: str, value: object) -> None:
    if seed and is_control(value):
        found.controls[seed] = str(value)


def _by_recorded_name(values: Sequence[Any], named: Mapping[str, Any]) -> Widgets:
    """Pair recorded names with positional values; a name that stood twice is recorded once, so a value has none."""
    found = Widgets()
    names = list(named)[:_WIDGET_LIMIT]
    last = ""
    for name, value in _pair(names, values, named):
        if _CONTROL_NAME.fullmatch(name) or (is_control(name) and is_control(value)):
            _control(found, last, value)
        elif name not in _CANVAS_ONLY and not _is_repeated(name, named):
            found.values[name] = value
            last = name
    found.fits = len(names) <= len(values)
    return found


def _is_repeated(name: str, named: Mapping[str, Any]) -> bool:
    """Say whether a name marks a second widget of one name, such as ``audio#1`` beside ``audio``."""
    match = _REPEATED.fullmatch(name)
    return match is not None and match[1] in named


def _pair(names: Sequence[str], values: Sequence[Any], named: Mapping[str, Any]) -> list[tuple[str, Any]]:
    spare = len(values) - len(names)
    if spare <= 0 or spare > _SPARE:
        return list(zip(names, values, strict=False))
    # Leave out as many values as there are names too few, so that most of the rest equal what was recorded.
    width = spare + 1
    best: list[list[int]] = [[0] * width for _ in range(len(names) + 1)]
    for row in range(len(names) - 1, -1, -1):
        for skipped in range(spare, -1, -1):
            take = best[row + 1][skipped] + _same(values[row + skipped], named[names[row]])
            skip = best[row][skipped + 1] if skipped < spare else -1
            best[row][skipped] = max(take, skip)
    pairs: list[tuple[str, Any]] = []
    skipped = 0
    for row, name in enumerate(names):
        while skipped < spare and best[row][skipped] == best[row][skipped + 1]:
            value = values[row + skipped]
            take = best[row + 1][skipped] + _same(value, named[name])
            if take == best[row][skipped] and not (is_control(value) or value is None):
                break
            skipped += 1
        pairs.append((name, values[row + skipped]))
    return pairs


def _same(a: object, b: object) -> bool:
    return type(a) is type(b) and a == b


def _by_order(node: UiNode, values: Sequence[Any]) -> Widgets:
    entries = [slot.widget for slot in node.inputs if slot.widget is not None]
    interface = catalogue.find(node.type)
    if interface is None:
        return _by_entries(entries, values)
    # Of the children of a dynamic combo box, those that are linked are left out by some files.
    linked = {slot.widget for slot in node.inputs if slot.widget and slot.link is not None and "." in slot.widget}
    orders = [replace(order, names=names) for order in interface.orders for names in _without(order.names, linked)]
    ranked = [
        (_misfit(found, leftover, order, [name for name in entries if name not in linked], interface), found, leftover)
        for order in orders
        for found, leftover in [_align(values, order.names)]
    ]
    if not ranked:
        return Widgets(unnamed=tuple(values))
    misfit, found, leftover = min(ranked, key=lambda item: item[0])
    listed = _by_entries(entries, values)
    if any(misfit[:3]) and not listed.unnamed:
        return listed  # a choice that the tables do not know, of a node that lists its widgets
    if not interface.core:
        found.unnamed = tuple(value for value in leftover if not _is_trailing_extra(value))
    found.fits = misfit[:2] == (0, 0)
    return found


def _without(names: tuple[str, ...], linked: set[str]) -> list[tuple[str, ...]]:
    return [names, tuple(name for name in names if name not in linked)] if linked else [names]


def _by_entries(entries: Sequence[str], values: Sequence[Any]) -> Widgets:
    """Name the values of an unknown type by its input entries, if these list every widget."""
    found, leftover = _align(values, entries)
    extras = [value for value in leftover if not _is_trailing_extra(value)]
    if not entries or extras or len(found.values) < len(set(entries)):
        return Widgets(unnamed=tuple(values))
    return found


def _align(values: Sequence[Any], names: Sequence[str]) -> tuple[Widgets, list[Any]]:
    """Hand out values in order of the names; the setting beside a seed may be missing, a boolean, or unannounced."""
    found = Widgets()
    plain = sum(name != CONTROL for name in names)
    at = 0
    last = ""
    for position, name in enumerate(names):
        if at >= len(values):
            break
        value = values[at]
        if name == CONTROL:
            # Files of 2023 store a boolean, and packs with a button of their own beside the seed nothing.
            if is_control(value) or ((isinstance(value, bool) or value is None) and len(values) > plain):
                _control(found, last, value)
                at += 1
            continue
        if name not in _CANVAS_ONLY:
            found.values[name] = value
        last = name
        at += 1
        announced = position + 1 < len(names) and names[position + 1] == CONTROL
        if announced or at >= len(values) or not is_control(values[at]):
            continue
        spare = len(values) - at - sum(other != CONTROL for other in names[position + 1 :])
        number = isinstance(value, int) and not isinstance(value, bool)
        if catalogue.is_seed(name) or (number and spare > 0):
            _control(found, name, values[at])
            at += 1
        elif spare > 1 and values[at + 1] == "":
            at += 2  # a combo box with a control has a filter beside it
    return found, list(values[at:])


def _misfit(
    found: Widgets, leftover: Sequence[Any], order: Order, entries: Sequence[str], interface: Interface
) -> tuple[int, int, int, int, int]:
    """Rank an order for these values: what is wrong, worst first."""
    wrong_choice = sum(found.values.get(name) not in choices for name, choices in order.when.items())
    wrong_type = sum(not may_hold(interface, name, value) for name, value in found.values.items())
    missing_entry = sum(name not in order.names for name in entries)
    missing = sum(name != CONTROL and name not in _CANVAS_ONLY for name in order.names) - len(found.values)
    return wrong_choice, wrong_type, missing_entry, len(leftover), missing


def may_hold(interface: Interface, name: str, value: object) -> bool:
    """Say whether a value may stand for an input of a core node type."""
    spec = interface.inputs.get(name)
    if spec is None or value is None:
        return True
    if spec.type in {"INT", "FLOAT"}:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if spec.type == "BOOLEAN":
        return isinstance(value, bool | int)
    if spec.type == "STRING":
        return isinstance(value, str | int | float)
    return not isinstance(value, bool) if spec.type == "COMBO" and spec.details.get("options") else True


def _is_trailing_extra(value: object) -> bool:
    """Say whether a value beyond the definition is one that display and upload widgets leave behind."""
    return (
        value is None or value in ("", "image", "video", "audio") or is_control(value) or isinstance(value, list | dict)
    )


def _power_lora(values: Sequence[Any]) -> Widgets:
    loras = [value for value in values if isinstance(value, dict) and "lora" in value]
    return Widgets({f"lora_{number}": value for number, value in enumerate(loras, 1)})


def _custom_combo(values: Sequence[Any]) -> Widgets:
    names = ["choice", "index", *(f"option{number}" for number in range(1, len(values) - 1))]
    return Widgets(dict(zip(names, values, strict=False)))
