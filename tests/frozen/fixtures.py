"""Where the frozen files are, and how they are compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FROZEN = Path(__file__).resolve().parent / "1"
DOCUMENTS = FROZEN / "documents"
PICTURES = FROZEN / "pictures"
STORE = FROZEN / "store"
PACK = FROZEN / "pack.py"

MEAN_BOUND = 0.1
"""Most that two pictures of one run may differ, as the mean over all channels in 8-bit levels.

Other vector widths and thread counts stay below 0.001. One step more differs by 0.27, guidance 4.5 for 4 by 0.42,
another sampler or schedule by 0.85 and more, another seed by 2.3, another prompt by 8.6.
"""

SHARE_BOUND = 0.002
"""Most pixels that may differ by more than :data:`VISIBLE` levels in some channel, as a share of all."""

VISIBLE = 8


def apart(found: Path, expected: Path) -> tuple[float, float]:
    """Return how far two pictures are apart: mean difference in 8-bit levels, share of pixels that visibly differ."""
    with Image.open(found) as one, Image.open(expected) as other:
        a, b = (np.asarray(picture.convert("RGB"), dtype=np.int16) for picture in (one, other))
    assert a.shape == b.shape, f"{found.name} has the shape {a.shape}, expected {b.shape}"
    difference = np.abs(a - b)
    return float(difference.mean()), float((difference.max(axis=-1) > VISIBLE).mean())


def same_picture(found: Path, expected: Path, *, cut: bool = False) -> bool:
    """Return whether two pictures show the same, but for rounding in other processors and library versions.

    Args:
        found: The one.
        expected: The other.
        cut: Whether the one was cut to 8 bits as ComfyUI does, which takes half a level off on average.
    """
    mean, share = apart(found, expected)
    return mean <= MEAN_BOUND + 0.5 * cut and share <= SHARE_BOUND


def assert_same_pictures(found: Path, expected: Path, *, named: bool = True, cut: bool = False) -> None:
    """Check that a folder has the pictures of another one, and that they show the same.

    Args:
        found: The one.
        expected: The other.
        named: Whether they are called the same; otherwise they are compared in order.
        cut: See :func:`same_picture`.
    """
    ours, theirs = (sorted(folder.glob("*.png")) for folder in (found, expected))
    assert len(ours) == len(theirs) > 0
    assert not named or [path.name for path in ours] == [path.name for path in theirs]
    pairs = list(zip(ours, theirs, strict=True))
    assert all(same_picture(one, other, cut=cut) for one, other in pairs), [apart(*pair) for pair in pairs]


def meaning(plan: Any) -> dict[str, Any]:
    """Return what a plan does, by node: its type, the type's version, the action, and where each input comes from."""
    return {
        name: {
            "type": step.spec.type,
            "version": step.spec.version,
            "action": step.action,
            "arguments": {key: _argument(part) for key, part in sorted(step.arguments.items())},
        }
        for name, step in sorted(plan.steps.items())
    }


def _argument(part: Any) -> Any:
    if isinstance(part, tuple):
        return [_argument(item) for item in part]
    return {"value": part.value} if hasattr(part, "value") else {"from": f"{part.node}.{part.output}"}
