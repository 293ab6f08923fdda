"""The way back of a declarative rule: one native node as one ComfyUI node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from graphflow.document.document import NodeEntry
from graphflow.spec.spec import NodeSpec

from .. import catalogue
from ..rules import RULES
from ..rules.rule import Convert, Input, Made, Rule


@dataclass
class Fit:
    """How a rule says a native node.

    Attributes:
        rule: The rule.
        values: Literals by ComfyUI input.
        links: Native addresses by ComfyUI input; a list where the rule takes several native links of one input.
        notes: What is lost.
    """

    rule: Rule
    values: dict[str, Any] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class MisfitError(Exception):
    """A rule cannot say a node, for the reason given."""


@cache
def rules_back() -> Mapping[str, tuple[Rule, ...]]:
    """Return the rules that exports use, by native type, in their order."""
    found: dict[str, list[Rule]] = {}
    for rule in RULES.values():
        back = rule.back if isinstance(rule, Made) else rule if rule.back else None
        if back is not None and not back.pack:
            found.setdefault(back.native, []).append(back)
    return {native: tuple(rules) for native, rules in found.items()}


def best_fit(entry: NodeEntry, spec: NodeSpec) -> Fit:
    """Return how the node is said best: by the rule that loses least, the first of equals.

    Raises:
        MisfitError: No rule says it.
    """
    fits: list[Fit] = []
    reasons: list[str] = []
    for rule in rules_back().get(entry.type, ()):
        try:
            fits.append(_fit(rule, entry, spec))
        except MisfitError as error:
            reasons.append(f"not as {rule.comfy}: {error}")
    if not fits:
        raise MisfitError("; ".join(reasons) or "ComfyUI has no such node")
    return min(fits, key=lambda fit: len(fit.notes))


def _fit(rule: Rule, entry: NodeEntry, spec: NodeSpec) -> Fit:
    fit = Fit(rule)
    _check_fixed(rule, entry, spec, fit)
    native: dict[str, list[Input]] = {}
    for item in rule.parsed:
        native.setdefault(item.native, []).append(item)
    _check_covered(rule, entry, spec, native, fit)
    for name, items in native.items():
        link = entry.links.get(name)
        if link is None:
            _literal(rule, items[0], entry, spec, fit)
            continue
        addresses = [link] if isinstance(link, str) else list(link)
        if len(addresses) != len(items):
            raise MisfitError(f"{name} has {len(addresses)} links, not {len(items)}")
        for item, address in zip(items, addresses, strict=True):
            if item.comfy in rule.values:
                raise MisfitError(f"{name} is linked, and its values have other names there")
            fit.links[item.comfy] = address
    _check_required(rule, fit)
    return fit


def _check_fixed(rule: Rule, entry: NodeEntry, spec: NodeSpec, fit: Fit) -> None:
    for name, wanted in rule.fixed.items():
        if name in entry.links:
            raise MisfitError(f"{name} is linked")
        have = entry.params.get(name, spec.inputs[name].default)
        if have == wanted:
            continue
        if name not in rule.loose:
            raise MisfitError(f"{name} is {have!r}, not {wanted!r}")
        if name in entry.params:
            fit.notes.append(f"{name} {have!r} becomes {wanted!r}")
        elif name not in rule.unsaid:
            fit.notes.append(f"{name} is {wanted!r} there, {have!r} here")


def _check_covered(
    rule: Rule, entry: NodeEntry, spec: NodeSpec, native: Mapping[str, Iterable[Input]], fit: Fit
) -> None:
    """Check that nothing the node says is lost."""
    for name in entry.links:
        if name not in native:
            raise MisfitError(f"it has no input for {name}")
    for name, value in entry.params.items():
        if name in native or name in rule.fixed or value == spec.inputs[name].default:
            continue
        if name not in rule.loose:
            raise MisfitError(f"it has no input for {name}")
        fit.notes.append(f"{name} {value!r} is lost")


def _literal(rule: Rule, item: Input, entry: NodeEntry, spec: NodeSpec, fit: Fit) -> None:
    target = spec.inputs[item.native]
    if target.linked:
        return
    value = entry.params.get(item.native, target.default)
    interface = catalogue.find(rule.comfy)
    if interface is not None and interface.core and item.comfy not in interface.inputs and value == target.default:
        return  # an input of newer versions alone
    if value is None and item.comfy not in rule.values:
        if not target.required and target.default is None:
            return
        raise MisfitError(f"{item.native} has no value there")
    fit.values[item.comfy] = _comfy_value(rule, item.comfy, value)


def _comfy_value(rule: Rule, name: str, value: Any) -> Any:
    change = rule.values.get(name)
    if isinstance(change, Convert):
        try:
            value = change.to_comfy(value)
        except (ValueError, TypeError) as error:
            raise MisfitError(f"{name} cannot be {value!r}") from error
    elif change is not None:
        for comfy, native in change.items():
            if native == value and type(native) is type(value):
                return comfy
    interface = catalogue.find(rule.comfy)
    known = interface.inputs.get(name) if interface is not None else None
    if known is not None and known.type == "COMBO":
        options = known.details.get("options") or ()
        if options and not any(option == value and type(option) is type(value) for option in options):
            raise MisfitError(f"{name} cannot be {value!r}")
    return value


def _check_required(rule: Rule, fit: Fit) -> None:
    interface = catalogue.find(rule.comfy)
    if interface is None:
        return
    said = {item.comfy for item in rule.parsed}
    for name, known in interface.inputs.items():
        if not known.required or name in fit.links or name in fit.values:
            continue
        if not known.widget:
            raise MisfitError(f"{name} is not linked")
        if name in said:
            raise MisfitError(f"{name} has no value there")
        fit.values[name] = catalogue.default_of(known)  # changes nothing here, and ComfyUI asks for it
