"""What is taken by default on each kind of device; nothing here needs one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graphflow import Session, Workflow, node
from graphflow.loading.devices import Placement
from graphflow.planning.numerics import HALF_BY_DEVICE
from graphflow.settings import Settings
from graphflow.spec.registry import Registry


@pytest.mark.parametrize("kind", ["cuda", "mps", "xpu"])
def test_half_precision_on_an_accelerator_unless_told_otherwise(kind: str) -> None:
    placement = Placement(torch.device(kind))
    assert placement.offloads
    assert placement.dtype_for("sd") == placement.dtype_for("sdxl") == placement.dtype_for(None) == torch.float16
    assert placement.dtype_for("flux") == torch.bfloat16  # its activations leave float16's range
    assert Placement(torch.device(kind), torch.float32).dtype_for("flux") == torch.float32


def test_float32_on_the_cpu() -> None:
    placement = Placement(torch.device("cpu"))
    assert not placement.offloads
    assert placement.dtype_for("sd") == placement.dtype_for("flux") == torch.float32


@pytest.mark.parametrize("kind", sorted(HALF_BY_DEVICE))
def test_keys_say_the_dtype_that_is_computed_in(kind: str) -> None:
    assert HALF_BY_DEVICE[kind] == str(Placement(torch.device(kind)).dtype_for("sd")).removeprefix("torch.")


@node("mode", lane="device", cache=False)
def mode() -> bool:
    """Tell whether autograd is out of the way."""
    return torch.is_inference_mode_enabled() and not torch.is_grad_enabled()


def test_nodes_that_compute_run_in_inference_mode(tmp_path: Path) -> None:
    settings = Settings.model_validate({"models": (), "cache_dir": tmp_path, "device": "cpu", "offline": True})
    g = Workflow()
    g.output("mode", g.add(mode))
    assert Session(settings, known=Registry(), functions=[mode]).run(g).outputs == {"mode": True}
    assert not torch.is_inference_mode_enabled()
