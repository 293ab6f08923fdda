"""Every node that needs no model takes whatever values of its types there are, or says why not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import annotated_types
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphflow import runtime
from graphflow.errors import GraphflowError
from graphflow.spec import registry
from graphflow.spec.decorator import InputSpec
from graphflow.spec.link_types import LinkType
from graphflow.values import Area, Conditioning, ConditioningEntry, Image, Latent, Mask, Sigmas
from tests.nodes.fakes import FakeModels, Told
from tests.properties.graphs import metadata

REGISTRY = registry.installed()
EDGES = (1, 2, 3, 7, 8, 9, 16, 33)
ITEMS = (0, 1, 1, 2, 3)
TEXTS = ("", "a", "7", "-1.5", "a, b\nc", "(x", "{a|b}", "\\", "1/0", "#ff0000", "nan", "9**9**9", "é", '{"a": [1]}')
HUGE = {"batch_size": 4, "count": 4, "times": 4, "amount": 40, "steps": 40, "width": 64, "height": 64, "resolution": 64}
"""Sizes that keep a node within milliseconds."""


def _noise(random: Random, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(random.getrandbits(32))
    return torch.rand(shape, generator=generator).round(decimals=random.choice((0, 2, 7)))


def _picture(random: Random) -> Image:
    shape = random.choice(ITEMS), random.choice((3, 4)), random.choice(EDGES), random.choice(EDGES)
    return Image(pixels=_noise(random, *shape))


def _mask(random: Random) -> Mask:
    return Mask(values=_noise(random, random.choice(ITEMS), random.choice(EDGES), random.choice(EDGES)))


def _latent(random: Random) -> Latent:
    items = random.choice(ITEMS)
    time = random.choice(((), (), (), (3,)))
    samples = _noise(random, items, random.choice((4, 4, 16)), *time, random.choice(EDGES), random.choice(EDGES))
    return Latent(
        samples=samples - 0.5,
        noise_mask=random.choice((None, _noise(random, random.choice((1, 2, 3)), 5, 9))),
        batch_index=random.choice((None, tuple(random.randrange(5) for _ in range(items)))),
    )


def _conditioning(random: Random) -> Conditioning:
    def entry() -> ConditioningEntry:
        items = random.choice((1, 1, 2))
        return ConditioningEntry(
            embedding=_noise(random, items, random.choice((1, 3, 77)), random.choice((8, 8, 16))),
            pooled=random.choice((None, _noise(random, items, random.choice((8, 12))))),
            area=random.choice((None, Area(height=0.5, width=0.1, y=0.9, x=1.0, relative=True))),
            mask=random.choice((None, _noise(random, 2, 5, 7))),
            start=random.choice((0.0, 0.5)),
            end=random.choice((0.5, 1.0)),
        )

    return Conditioning(entries=tuple(entry() for _ in range(random.choice((1, 2)))))


def _sigmas(random: Random) -> Sigmas:
    return Sigmas(values=torch.tensor(sorted((random.choice((0.0, 0.1, 1.0, 14.6)) for _ in range(4)), reverse=True)))


MAKERS: dict[str, Callable[[Random], Any]] = {
    "image": _picture,
    "mask": _mask,
    "latent": _latent,
    "conditioning": _conditioning,
    "sigmas": _sigmas,
}


def _feeds(kind: LinkType) -> bool:
    return kind.name in MAKERS or (kind.name == "sequence" and kind.item is not None and kind.item.name in MAKERS)


def _linked(random: Random, kind: LinkType) -> Any:
    if kind.name == "sequence":
        assert kind.item is not None
        return tuple(MAKERS[kind.item.name](random) for _ in range(random.choice((0, 1, 2))))
    return MAKERS[kind.name](random)


def _literal(random: Random, spec: InputSpec) -> Any:
    kind = spec.type.name
    if spec.choices:
        return random.choice(spec.choices)
    if kind == "bool":
        return random.choice((True, False))
    if kind == "str":
        return random.choice(TEXTS)
    low, high = -1e308, 1e308
    for item in metadata(spec.annotation):
        match item:
            case annotated_types.Ge(ge=bound) | annotated_types.Gt(gt=bound):
                low = float(bound)  # type: ignore[arg-type]
            case annotated_types.Le(le=bound) | annotated_types.Lt(lt=bound):
                high = float(bound)  # type: ignore[arg-type]
    high = min(high, HUGE.get(spec.name, high))
    value = min(max(random.choice((low, 0.0, 0.3, 1.0, 2.0, 3.0, 8.0, 16.0, high)), low), high)
    return int(max(min(value, 2.0**62), -(2.0**62))) if kind == "int" else value


def _arguments(random: Random, inputs: dict[str, InputSpec]) -> dict[str, Any] | None:
    given: dict[str, Any] = {}
    for name, spec in inputs.items():
        if not spec.required and random.random() < 0.4 and name not in HUGE:
            continue
        if spec.linked:
            value = _linked(random, spec.type)
            given[name] = [_linked(random, spec.type) for _ in range(random.choice((0, 1, 3)))] if spec.many else value
        else:
            given[name] = _literal(random, spec)
            if spec.check(given[name])[1] is not None:
                return None
    return given


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    match value:
        case Image(pixels=tensor) | Mask(values=tensor):
            assert not tensor.numel() or (float(tensor.min()) >= 0.0 and float(tensor.max()) <= 1.0)
            yield tensor
        case Latent(samples=tensor, batch_index=index):
            assert index is None or len(index) == len(tensor)
            assert 0 not in tensor.shape[1:]
            yield tensor
        case Conditioning(entries=entries):
            yield from (entry.embedding for entry in entries)
        case Sigmas(values=tensor):
            yield tensor
        case float():
            assert math.isfinite(value)
        case tuple():
            for part in value:
                yield from _tensors(part)


TYPES = sorted(
    name
    for name, spec in REGISTRY.specs.items()
    if spec.lane != "device"
    and not spec.effect
    and not any(item.model_kind or item.file_kind for item in spec.inputs.values())
    and all(
        _feeds(item.type) if item.linked else item.type.name in ("int", "float", "bool", "str") or item.choices
        for item in spec.inputs.values()
    )
)


@pytest.mark.parametrize("name", TYPES)
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False))
def test_a_node_gives_finite_values_or_says_why_not(name: str, random: Random) -> None:
    spec = REGISTRY.specs[name]
    arguments = _arguments(random, dict(spec.inputs))
    if arguments is None:
        return
    with runtime.using(Told().runtime(FakeModels())):
        try:
            result = spec.function(**arguments)
        except GraphflowError:
            return
    for tensor in _tensors(result):
        assert tensor.isfinite().all()
        assert tensor.dtype == torch.float32
