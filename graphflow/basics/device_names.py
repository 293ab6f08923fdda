"""How a user names devices: ``cuda:0,cuda:1``, ``cpu*2``, ``all``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

DEVICE = r"cpu|mps|(?:cuda|xpu)(?::\d{1,3})?"
"""What one device is called, as torch has it."""

ALL = "all"

PARTS = ("text_encoder", "vae", "image_encoder", "style_model", "upscale_model", "vision_model", "safety_checker")
"""What of models may stand on a device of its own, by value type; a network that samples and what steers it stand together."""

_ITEM = re.compile(rf"({DEVICE})(?:\*(\d{{1,4}}))?")
_MOST = 1_024


def listed(text: str) -> tuple[str, ...]:
    """Return the devices that a text names, one for each lane; ``("all",)`` for all that there are.

    Raises:
        ValueError: It names none, too many, or devices of different kinds, whose numbers would differ.
    """
    if text.strip() == ALL:
        return (ALL,)
    found: list[str] = []
    for part in text.split(","):
        match = _ITEM.fullmatch(part.strip())
        number = int(match[2] or 1) if match else 0
        if match is None or not number:
            raise ValueError("must be all, or devices such as cuda:0,cuda:1 or cpu*2")
        found += [match[1]] * min(number, _MOST + 1)
    if len(found) > _MOST:
        raise ValueError(f"must be {_MOST:,} devices at most")
    if len({kind_of(name) for name in found}) > 1:
        raise ValueError("must be devices of one kind, since another kind gives other numbers")
    return tuple(found)


def by_part(text: str) -> dict[str, str]:
    """Return the devices that a text such as ``text_encoder=cpu,vae=cuda:1`` names, by part.

    Raises:
        ValueError: A part is named twice, or a pair has no ``=``.
    """
    pairs = [tuple(map(str.strip, part.split("=", 1))) for part in text.split(",") if part.strip()]
    found = dict(pair for pair in pairs if len(pair) == 2)
    if len(found) < len(pairs):
        raise ValueError("must be parts with one device each, such as text_encoder=cpu,vae=cuda:1")
    return found


def require_parts(devices: Mapping[str, str]) -> None:
    """Require that all of these are parts and devices.

    Raises:
        ValueError: One is not.
    """
    for part, device in devices.items():
        if part not in PARTS:
            raise ValueError(f"names {part!r}, and the parts are {', '.join(PARTS)}")
        if not re.fullmatch(DEVICE, device):
            raise ValueError(f"has {device!r} for {part}, which must be cpu, cuda, cuda:N, mps, xpu or xpu:N")


def kind_of(device: str) -> str:
    """Return a device's kind, e.g. ``cuda``."""
    return device.partition(":")[0]


def told_apart(devices: Sequence[str]) -> list[str]:
    """Return names of lanes: the device's, with a number where it has several."""
    counts = Counter(devices)
    seen: Counter[str] = Counter()
    names: list[str] = []
    for device in devices:
        seen[device] += 1
        names.append(device if counts[device] == 1 else f"{device}#{seen[device]}")
    return names
