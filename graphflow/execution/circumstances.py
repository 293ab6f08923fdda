"""What can change the bits of a value and enters no key: threads, instruction set, patch versions, measures taken.

It is stored with the value, so that a file which is made of stored values tells of the run that computed them. A value's
circumstances are those of all computing behind it: one canonical JSON object for each different set, in most cases one.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from graphflow.basics.jsontools import canonical
from graphflow.planning.record import versions_here
from graphflow.spec.spec import Lane

Circumstances = tuple[str, ...]


def circumstances(lane: Lane, device: str = "cpu", measures: Iterable[str] = ()) -> Circumstances:
    """Return those of what is computed now; torch must be there already, else there is nothing that they change.

    Args:
        lane: Where it is computed; what is said of models counts for the lane ``device`` only.
        device: The device that models compute on, e.g. ``cuda:0``.
        measures: What was done to save memory, see :mod:`graphflow.loading.offload`.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return ()
    models = (device, *measures) if lane == "device" else ()
    return (_told(torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), models),)


def take_threads() -> None:
    """Have the thread that calls compute with as many threads as torch says.

    Torch tells OpenMP in a thread's first parallel loop; a convolution before that takes OpenMP's own number, and other
    threads give other bits.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.get_num_threads()


@lru_cache(maxsize=64)
def _told(threads: int, deterministic: bool, models: tuple[str, ...]) -> str:
    import torch

    facts: dict[str, Any] = {
        **versions_here(),
        "platform": f"{platform.system()} {platform.machine()}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": threads,
        "deterministic": deterministic,
    }
    device, *measures = models or ("",)
    if models:
        facts["attention"] = "sliced" if "sliced_attention" in measures else "sdpa"
    if device.startswith("cuda"):
        facts["processor"] = torch.cuda.get_device_name(device)
    if measures:
        facts["measures"] = sorted(measures)
    return canonical(facts).decode()


def merged(parts: Iterable[Circumstances]) -> Circumstances:
    """Return the different ones among several, in a stable order."""
    found = dict.fromkeys(item for part in parts for item in part)
    return tuple(found) if len(found) < 2 else tuple(sorted(found))


def to_json(made: Circumstances) -> list[Any]:
    """Return circumstances as JSON."""
    return [json.loads(item) for item in made]


def from_json(made: Any) -> Circumstances:
    """Return circumstances from JSON; what is none says nothing."""
    return (
        tuple(canonical(item).decode() for item in made if isinstance(item, Mapping)) if isinstance(made, list) else ()
    )


def facts(made: Circumstances) -> dict[str, Any]:
    """Return what a record says of circumstances: what all agree in that tell it, and under ``mixed`` the values of the rest."""
    told = to_json(made)
    names = sorted({name for item in told for name in item})
    values = {name: _unlike([item[name] for item in told if name in item]) for name in names}
    agreed = {name: found[0] for name, found in values.items() if len(found) == 1}
    mixed = {name: found for name, found in values.items() if len(found) > 1}
    return {**agreed, "mixed": mixed} if mixed else agreed


def _unlike(values: list[Any]) -> list[Any]:
    return [value for index, value in enumerate(values) if value not in values[:index]]
