"""Weights that stand in for files which are not there are the same each time that they are made."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from graphflow.library.stand_ins import by_name
from graphflow.loading.modules import LoadedPart
from graphflow.loading.vision import LoadedVision
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.families import installed
from graphflow.modelfiles.stand_in import TINY_VISION


def parts() -> Iterator[Part]:
    """Every network that stands in for something, once."""
    seen = []
    for family in installed().values():
        for entry in family.stand_ins:
            for name, tiny in entry.parts.items():
                if (tiny.class_name, tiny.config) not in seen:
                    seen.append((tiny.class_name, tiny.config))
                    yield tiny.part(name, family.name, "x.safetensors")
    for kind in TINY_VISION:
        described = by_name("x", kind)
        assert described is not None
        yield from described.parts.values()


@pytest.mark.parametrize("part", [*parts()], ids=lambda part: f"{part.maker}-{part.name}-{part.class_name}")
def test_a_stand_in_has_the_same_weights_each_time(part: Part) -> None:
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        loaded = LoadedPart(part, torch.float32) if part.maker else LoadedVision(part)
        made.append({**loaded.module.state_dict(), **dict(loaded.module.named_buffers())})
    one, two = made
    assert one.keys() == two.keys()
    unlike = [name for name in one if not torch.equal(one[name], two[name])]
    assert not unlike
