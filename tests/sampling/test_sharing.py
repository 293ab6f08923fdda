"""Equal ControlNets are evaluated together, whether or not they are one object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from graphflow.sampling.sharing import with_shared_controls
from graphflow.values import Conditioning, ConditioningEntry, Control, ControlNet, ModelFile

HINT = torch.linspace(0, 1, 48).reshape(1, 3, 4, 4)


def control(**changes: Any) -> Control:
    file = ModelFile(name="edges", kind="controlnet", part="controlnet", family="sd", fingerprint="")
    return Control(**{"net": ControlNet(files=(file,)), "hint": HINT.clone(), "extras": {"union": "canny"}, **changes})


def shared(one: Control, other: Control) -> bool:
    entry = ConditioningEntry(embedding=torch.zeros(1, 77, 8))
    sides = {
        name: Conditioning(entries=(replace(entry, controls=(part,)),))
        for name, part in (("positive", one), ("negative", other))
    }
    found = with_shared_controls(sides)
    return found["positive"].entries[0].controls[0] is found["negative"].entries[0].controls[0]


def test_what_comes_back_from_the_store_is_shared_again() -> None:
    assert shared(control(), control())


@pytest.mark.parametrize(
    "change",
    [{"strength": 0.5}, {"end": 0.5}, {"hint": HINT + 1e-6}, {"extras": {}}, {"extras": {"union": torch.zeros(1)}}],
)
def test_different_ones_stay_apart(change: dict[str, Any]) -> None:
    assert not shared(control(), control(**change))
