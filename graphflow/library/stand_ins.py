"""Descriptions of tiny models that stand in for files which are not there, by the names under which those are published."""

from __future__ import annotations

import re
from functools import cache

from graphflow.basics.jsontools import digest
from graphflow.modelfiles.description import Description, Kind, Part
from graphflow.modelfiles.families import installed
from graphflow.modelfiles.family import Family
from graphflow.modelfiles.stand_in import TINY_VISION, StandIn

WHOLE: tuple[Kind, ...] = ("checkpoint", "diffusion_model")
"""Kinds of files that name a family."""
ADAPTERS: tuple[Kind, ...] = ("lora",)
"""Kinds of files for which random changes of the model that they meet stand in."""
_DRAWN = "stand-in, 2"
"""Goes up when other weights are drawn for the same names."""
_SCALE = re.compile(r"(?:^|[^0-9a-z])(?:([1248])x|x([1248]))(?![0-9])", re.IGNORECASE)


def family_by_name(name: str) -> Family | None:
    """The family whose models are published under such a name; None where none is."""
    return next((family for family, _ in _by_name(name, "checkpoint")), None)


def runs_nowhere(name: str) -> bool:
    """Whether models that are published under such a name are known, and no family runs them."""
    entries = (entry for family in installed().values() for entry in family.stand_ins if not entry.parts)
    return any(re.search(entry.names, name.lower()) for entry in entries)


def by_name(name: str, kind: Kind, said: str = "") -> Description | None:
    """What stands in for a file by what is said of it; None where no family publishes one that is called so.

    Args:
        name: The name.
        kind: What it is wanted as.
        said: What tells the family, such as an address; empty is the name.
    """
    if kind == "upscale_model":
        return _upscaler(name)
    if kind in TINY_VISION:
        return _vision(name, kind)
    for family, entry in _by_name(said or name, kind):
        if entry.denoises == (kind in WHOLE):
            return _described(name, kind, family, entry)
    return None


def by_family(name: str, kind: Kind, family: Family, role: str = "") -> Description | None:
    """What stands in for a file of a family whose name says nothing; None where the family has none of its kind.

    Args:
        name: The name.
        kind: What it is wanted as.
        family: The family of the models that it meets.
        role: Which text encoder it is, by the name of its part in a whole model.
    """
    if kind in ADAPTERS:
        fingerprint = digest([_DRAWN, name, kind, family.name])
        return Description(name, None, kind, "stand-in", family.name, fingerprint=fingerprint)
    entry = next((entry for entry in family.stand_ins if entry.denoises and entry.of_kind(kind, role)), None)
    return None if entry is None else _described(name, kind, family, entry, role)


@cache
def _by_name(name: str, kind: Kind) -> tuple[tuple[Family, StandIn], ...]:
    """Families and what stands in for their files of a kind that are called so, those whose names fit longest first."""
    wanted: list[Kind] = [kind, "diffusion_model"] if kind == "checkpoint" else [kind]
    found = [
        (len(match[0]), family, entry)
        for family in installed().values()
        for entry in family.stand_ins
        if (match := re.search(entry.names, name.lower())) and any(entry.of_kind(one) for one in wanted)
    ]
    return tuple((family, entry) for _, family, entry in sorted(found, key=lambda item: -item[0]))


def _described(name: str, kind: Kind, family: Family, entry: StandIn, role: str = "") -> Description:
    tiny = entry.of_kind(kind, role)
    parts = {part: small.part(part, family.name, name) for part, small in tiny.items()}
    mark = [name, family.name, entry.variant, {part: [small.class_name, small.config] for part, small in tiny.items()}]
    return Description(
        name=name,
        path=None,
        kind=kind,
        layout="stand-in",
        family=family.name if kind in (*WHOLE, "controlnet", "ip_adapter", "motion_module") else None,
        variant=entry.variant,
        task=entry.task,
        parts=parts,
        scheduler=entry.scheduler if entry.denoises else {},
        tokenizers=tuple(spec for part, small in tiny.items() for spec in small.tokenizers(part)),
        fingerprint=digest([_DRAWN, *mark]),
    )


def _vision(name: str, kind: Kind) -> Description:
    """A network that finds things in pictures, with random weights: what it finds is chance."""
    class_name, config = TINY_VISION[kind]
    part = Part(kind, class_name, dict(config), files=(), stands_for=name)
    return Description(name, None, kind, "stand-in", parts={kind: part}, fingerprint=digest([_DRAWN, name, kind]))


def _upscaler(name: str) -> Description:
    """An upscaler of the size that its name tells; else it makes edges four times as long."""
    told = _SCALE.search(name)
    scale = int(told[1] or told[2]) if told else 4
    part = Part("upscaler", "Upscaler", {"scale": scale}, files=(), stands_for=name)
    fingerprint = digest([_DRAWN, name, scale])
    return Description(name, None, "upscale_model", "stand-in", parts={part.name: part}, fingerprint=fingerprint)
