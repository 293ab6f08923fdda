"""The first ControlNetApply of ComfyUI has one conditioning, and acts on the other side of the guidance all the same.

Its control is marked to act on what the sampler gets as negative, too, where that has no control of its own. Native nodes
do only what their links say, so the controls on the way to ``positive`` are put on the way to ``negative`` as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphflow.document.document import NodeEntry, split_address

from .building import Builder

OLD = "ControlNetApply"
APPLY = "apply_control_net"
ALONE = "acts on the positive side alone, where ComfyUI has it act on the negative one, too"
_STEPS = 1_000


def mirror_controls(builder: Builder) -> dict[str, str]:
    """Put the controls of every sampler's positive side on its negative one.

    Returns:
        Remarks by ComfyUI id, for controls whose way to the sampler is too branched for that.
    """
    done: set[str] = set()
    remarks: dict[str, str] = {}
    mirrored: dict[tuple[str, ...], str] = {}
    for entry in list(builder.nodes.values()):
        positive, negative = entry.links.get("positive"), entry.links.get("negative")
        if entry.type == APPLY or not isinstance(positive, str) or not isinstance(negative, str):
            continue
        chain, own = list(_chain(builder, positive)), list(_controls(builder, negative))
        if chain and not own:
            entry.links["negative"] = _mirror(builder, tuple(chain), negative, mirrored)
        done.update(chain, own)
    for id, entry in builder.nodes.items():
        if _is_old(entry) and id not in done and "~" not in id:
            remarks[_origin(entry)] = ALONE
    return remarks


def drop_unused_sides(builder: Builder) -> None:
    """Leave out the negative side of controls that got one prompt twice, because only one of their outputs is read."""
    read = {address for entry in builder.nodes.values() for address in _addresses(entry)}
    for id, entry in builder.nodes.items():
        same = entry.links.get("positive") == entry.links.get("negative")
        if entry.type == APPLY and same and f"{id}.negative" not in read:
            entry.links.pop("negative", None)


def _addresses(entry: NodeEntry) -> Iterator[str]:
    for link in entry.links.values():
        yield from [link] if isinstance(link, str) else link


def _chain(builder: Builder, address: str) -> Iterator[str]:
    """Yield the controls that stand one behind the other, from the sampler upwards; a branching ends the walk."""
    current: str | None = address
    for _ in range(_STEPS):
        if current is None:
            return
        node = split_address(current)[0]
        entry = builder.nodes.get(node)
        if entry is None:
            return
        if _is_old(entry):
            yield node
        sources = list(_conditioning(builder, entry))
        current = sources[0] if len(sources) == 1 else None


def _controls(builder: Builder, address: str) -> Iterator[str]:
    """Yield every control upstream."""
    pending, seen = [address], set[str]()
    while pending:
        node = split_address(pending.pop())[0]
        entry = builder.nodes.get(node)
        if entry is None or node in seen:
            continue
        seen.add(node)
        if entry.type == APPLY:
            yield node
        pending.extend(_conditioning(builder, entry))


def _conditioning(builder: Builder, entry: NodeEntry) -> Iterator[str]:
    spec = builder.registry.get(entry.type)
    for name, link in entry.links.items():
        if spec is not None and spec.inputs[name].type.name == "conditioning":
            yield from [link] if isinstance(link, str) else link


def _mirror(builder: Builder, chain: tuple[str, ...], negative: str, known: dict[tuple[str, ...], str]) -> str:
    """Return the negative side with the same controls, made once for the same ones."""
    for id in reversed(chain):
        key = (id, negative)
        if key not in known:
            entry = builder.nodes[id]
            number = sum(made[0] == id for made in known)
            new = f"{id}~negative" + (str(number + 1) if number else "")
            builder.nodes[new] = entry.model_copy(
                update={"links": {**entry.links, "positive": negative}, "title": None}
            )
            known[key] = new
        negative = known[key]
    return negative


def _is_old(entry: NodeEntry) -> bool:
    return entry.type == APPLY and _told(entry).get("type") == OLD


def _origin(entry: NodeEntry) -> str:
    ids = _told(entry).get("ids")
    return str(ids[0]) if isinstance(ids, list) and ids else ""


def _told(entry: NodeEntry) -> dict[str, object]:
    told = (entry.meta or {}).get("comfyui")
    return dict(told) if isinstance(told, dict) else {}
