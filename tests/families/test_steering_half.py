"""ControlNets, T2I-Adapters and IP-Adapters in half precision, and when memory is scarce."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphflow.loading import offload
from graphflow.loading.devices import Placement
from graphflow.loading.manager import ModelManager
from graphflow.values import Conditioning, ConditioningEntry, Control, Mask, Model
from graphflow.values.control_hooks import UnionType
from tests.families.controls import SIGMA, adapter, controlnet, entry, net, random, union
from tests.families.ip_adapters import applied, manager_with, pictures, weights
from tests.models.tiny import sd_parts
from tests.models.tiny_manager import SD, error, make_manager, model, running

Steer = Callable[[ModelManager], tuple[Model, ConditioningEntry]]


def with_controlnets(manager: ModelManager) -> tuple[Model, ConditioningEntry]:
    hint = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(7))
    small = hint[..., :16, :16]
    nets = [net(manager, "plain"), net(manager, "t2i"), net(manager, "union").hooked(UnionType(type="depth"))]
    controls = tuple(
        Control(net=one, hint=picture, strength=0.5) for one, picture in zip(nets, (hint, hint, small), strict=True)
    )
    plain = entry(None)
    return model(manager, SD), ConditioningEntry(embedding=plain.embedding, controls=controls)


def with_pictures(manager: ModelManager) -> tuple[Model, ConditioningEntry]:
    first = applied(model(manager, SD), "first", pictures(2), mask=Mask(values=torch.ones(2, 8, 8) * 0.5))
    return applied(first, "second", pictures(), strength=0.5), entry(None)


def predicted(manager: ModelManager, steer: Steer) -> Tensor:
    with running(manager):
        base, one = steer(manager)
        with base.use() as loaded:
            told = loaded.complete(Conditioning(entries=(one,)), 64, 64, negative=False)
            found: Tensor = loaded.predict(random(2, 4, 8, 8), torch.tensor([400, 400]), told.entries, sigma=SIGMA)
            return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    controlnet().save_pretrained(root / "controlnet" / "plain")
    adapter("full_adapter").save_pretrained(root / "controlnet" / "t2i")
    union().save_pretrained(root / "controlnet" / "union")
    unet = sd_parts()["unet"]
    manager_with(root, first=weights(unet, "plus", 32), second=weights(unet, "plain", 24))
    return root


@pytest.mark.parametrize("steer", [with_controlnets, with_pictures])
def test_half_precision_is_near(root: Path, steer: Steer) -> None:
    wanted = predicted(make_manager(root), steer)
    half = Placement(device=torch.device("cpu"), dtype=torch.bfloat16)
    found = predicted(make_manager(root, placement=half), steer)
    assert found.dtype == torch.float32
    assert 0 < error(found, wanted) < 0.1


@pytest.mark.parametrize("steer", [with_controlnets, with_pictures])
def test_measures_of_the_memory_ladder_change_no_more_than_rounding(root: Path, steer: Steer) -> None:
    wanted = predicted(make_manager(root), steer)
    sliced = make_manager(root, measures=(offload.SLICED_ATTENTION,))
    assert error(predicted(sliced, steer), wanted) < 1e-5
