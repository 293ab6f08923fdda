"""The knobs of an imported workflow: what people change most becomes inputs that a caller may turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from graphflow.document.document import Document, ExposedInput, NodeEntry, split_address
from graphflow.spec.registry import Registry

from .app_mode import AppInput

_SIDES = {"positive": "prompt", "negative": "negative_prompt"}
_TEXTS = ("text",)
_STEPS = 10_000


def exposed_inputs(
    document: Document, registry: Registry, shown: Iterable[tuple[AppInput, list[str]]] = ()
) -> dict[str, ExposedInput]:
    """Return inputs for what the author shows in app mode, then for what people change most.

    The latter are ``prompt``, ``negative_prompt``, ``seed``, ``image``, ``width``, ``height``, ``model``, ``steps``,
    ``guidance_scale``, ``sampler`` and ``schedule``. Places that hold the same value are turned together; a second value gets a name of its own (``seed_2``). A text
    that serves both sides is offered as the prompt alone.

    Args:
        document: The document.
        registry: The native node types.
        shown: What app mode shows, with the literals that it sets.
    """
    found: dict[str, dict[Any, list[str]]] = {}
    for place, name in _knobs(document, registry):
        node, param = split_address(place)
        value = document.nodes[node].params[param or ""]
        places = found.setdefault(name, {}).setdefault(_key(value), [])
        if place not in places:
            places.append(place)
    taken: set[str] = set()
    usual: dict[str, list[str]] = {}
    for name, values in found.items():
        for places in values.values():
            free = [place for place in places if place not in taken]
            if free:
                taken.update(free)
                usual[_fresh(name, usual)] = free
    result: dict[str, ExposedInput] = {}
    for app, places in shown:
        known = next((name for name, to in usual.items() if not set(to).isdisjoint(places)), None)
        covered = {place for input in result.values() for place in input.to}
        to = usual.pop(known) if known is not None else [place for place in places if place not in covered]
        if to:
            result[_fresh(known or app.name, {**usual, **result})] = ExposedInput(to=to, description=app.title or None)
    return result | {name: ExposedInput(to=to) for name, to in usual.items()}


def _fresh(name: str, taken: Mapping[str, Any]) -> str:
    """Return a name that is not taken: itself, or with a number from 2 on."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    return found


def _knobs(document: Document, registry: Registry) -> Iterator[tuple[str, str]]:
    """Yield (address of a literal, name of the knob)."""
    for side, name in _SIDES.items():
        for entry in document.nodes.values():
            for input in (side, "conditioning") if side == "positive" else (side,):
                if input in entry.links and entry.type in _SAMPLING:
                    for place in _texts(document, registry, entry.links[input], side):
                        yield place, name
    for id, entry in document.nodes.items():
        if entry.type in _SAMPLING or entry.type == "random_noise":
            yield from _literal(document, id, entry, "seed", "seed")
        if entry.type == "load_image":
            yield from _literal(document, id, entry, "file", "image")
        if entry.type == "empty_latent":
            yield from _literal(document, id, entry, "width", "width")
            yield from _literal(document, id, entry, "height", "height")
        spec = registry.get(entry.type)
        for param, known in spec.inputs.items() if spec is not None else ():
            if known.model_kind in _MODELS:
                yield from _literal(document, id, entry, param, "model")
            elif param in _SETTINGS and (entry.type in _SETTINGS[param] or _makes_sigmas(entry, param)):
                yield from _literal(document, id, entry, param, param)


_MODELS = frozenset({"checkpoint", "diffusion_model"})
_SETTINGS: Mapping[str, frozenset[str]] = {
    "steps": frozenset({"sample"}),
    "guidance_scale": frozenset({"sample", "cfg_guider", "dual_cfg_guider", "perp_neg_guider"}),
    "sampler": frozenset({"sample", "select_sampler"}),
    "schedule": frozenset({"sample", "make_sigmas"}),
}
"""What samplers are set to, and where it stands."""


def _makes_sigmas(entry: NodeEntry, param: str) -> bool:
    return param == "steps" and entry.type.endswith("_sigmas") and entry.type != "extend_sigmas"


_SAMPLING = frozenset({"sample", "basic_guider", "cfg_guider", "dual_cfg_guider", "perp_neg_guider"})


def _literal(document: Document, id: str, entry: NodeEntry, param: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the place of a parameter, or of the value node that gives it."""
    if param in entry.params:
        yield f"{id}.{param}", name
        return
    link = entry.links.get(param)
    giver = split_address(link)[0] if isinstance(link, str) else None
    for given in ("value", "seed", "text"):
        if giver in document.nodes and given in document.nodes[giver].params:
            yield f"{giver}.{given}", name


def _texts(document: Document, registry: Registry, link: str | list[str], side: str) -> Iterator[str]:
    """Yield the literal texts that a conditioning comes from."""
    pending = [link] if isinstance(link, str) else list(link)
    seen: set[str] = set()
    while pending and len(seen) < _STEPS:
        address = pending.pop(0)
        node, output = split_address(address)
        if address in seen or node not in document.nodes:
            continue
        seen.add(address)
        entry = document.nodes[node]
        text = next((name for name in _TEXTS if isinstance(entry.params.get(name), str)), None)
        if entry.type.startswith("encode_prompt") and text is not None:
            yield f"{node}.{text}"
        elif entry.type.startswith("encode_prompt") and isinstance(entry.links.get("text"), str):
            giver = split_address(str(entry.links["text"]))[0]
            if giver in document.nodes and "text" in document.nodes[giver].params:
                yield f"{giver}.text"
        else:
            pending.extend(_upstream(entry, output or side, registry))


def _upstream(entry: NodeEntry, output: str, registry: Registry) -> Iterator[str]:
    """Yield the conditioning that a node changes; one that has both sides passes each through."""
    spec = registry.get(entry.type)
    kinds: Mapping[str, str] = {name: input.type.name for name, input in spec.inputs.items()} if spec else {}
    names = [name for name in entry.links if kinds.get(name) == "conditioning"]
    if output in names:
        names = [output]
    for name in names:
        link = entry.links[name]
        yield from [link] if isinstance(link, str) else link


def _key(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool) else repr(value)
