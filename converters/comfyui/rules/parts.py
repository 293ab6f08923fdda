"""Rules of nodes that take what other nodes fused into parts: encoded pictures, encoded sound, a camera's way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..building import Builder, Const, Source, Value
from .rule import Made, Rule


@dataclass(frozen=True)
class Part:
    """An input that takes a part.

    Attributes:
        comfy: The ComfyUI input.
        kind: What the part is.
        names: Native inputs by the part's own names.
    """

    comfy: str
    kind: str
    names: Mapping[str, str]


def picture(comfy: str = "clip_vision_output", seen: str = "seen_image") -> Part:
    """Return the part of an input that takes an encoded picture."""
    return Part(comfy, "encoded picture", {"image_encoder": "image_encoder", "image": seen, "crop": "crop"})


def with_parts(rule: Rule, *parts: Part) -> Made:
    """Return a rule that is ``rule``, and puts parts into the same native node.

    Exports use ``rule`` where its ``back`` is set: for native nodes without those parts.
    """

    def make(builder: Builder, source: Source) -> list[Value]:
        inputs: dict[str, Any] = {name: Const(value) for name, value in rule.fixed.items()}
        inputs |= {item.native: source.get(item.comfy, rule.defaults.get(item.comfy)) for item in rule.parsed}
        ids: list[str] = []
        for part in parts:
            found = source.fused(part.comfy, part.kind)
            if found is not None:
                inputs |= {native: found.parts[name] for name, native in part.names.items()}
                ids += found.ids
        made = builder.add(source, rule.native, inputs, ids=ids)
        return (
            [made]
            if not rule.slots
            else [None if name is None else builder.ref(made.node, name) for name in rule.slots]
        )

    return Made(
        rule.comfy,
        (rule.native,),
        make,
        says=f"`{rule.native}`",
        differs=rule.differs,
        back=rule if rule.back else None,
    )
