"""What is taken by default on each kind of device; nothing here needs one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graphflow import Session, Workflow, node
from graphflow.basics.device_names import PARTS
from graphflow.errors import SettingsError
from graphflow.loading.devices import Placement, place_parts
from graphflow.planning.numerics import HALF_BY_DEVICE, choose
from graphflow.settings import Settings, change_settings
from graphflow.spec.registry import Registry
from graphflow.values.models import Recipe
from graphflow.values.types import type_name
from tests.models.tiny_manager import SD, make_manager, model, running, vae


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


def test_parts_stand_on_devices_of_their_own() -> None:
    elsewhere = Placement(torch.device("meta"), torch.bfloat16)  # computes shapes only, on any machine
    manager = make_manager(placement=Placement(torch.device("cpu")), apart={"vae": elsewhere})
    with running(manager):
        with vae(manager, SD).use() as autoencoder:
            assert {(weight.device.type, weight.dtype) for weight in autoencoder.module.parameters()} == {
                ("meta", torch.bfloat16)
            }
            with pytest.raises(NotImplementedError, match="out of meta"):  # computed there, and brought back
                autoencoder.encode(torch.zeros(1, 3, 16, 16))
        with model(manager, SD).use() as denoiser:
            assert {weight.device.type for weight in denoiser.module.parameters()} == {"cpu"}


def test_each_part_that_may_stand_apart_is_a_type_of_value() -> None:
    recipes = {type_name(kind) for kind in Recipe.__subclasses__()}
    assert set(PARTS) < recipes


def test_keys_say_which_parts_compute_on_another_kind_of_device() -> None:
    plain, near, far = (
        choose("cuda:0", parts=parts).to_json()
        for parts in ({}, {"vae": "cuda:1"}, {"vae": "cuda:1", "text_encoder": "cpu"})
    )
    assert plain == near
    assert far == {**plain, "parts": "text_encoder=cpu"}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("vae", "must be parts with one device each"),
        ("vae=cpu,vae=cuda", "must be parts with one device each"),
        ("unet=cpu", "names 'unet', and the parts are text_encoder, vae"),
        ({"vae": "gpu"}, "has 'gpu' for vae, which must be cpu, cuda"),
    ],
)
def test_wrong_parts_are_refused_with_what_there_is(given: object, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        change_settings(Settings(), {"part_devices": given}, {"part_devices": "GRAPHFLOW_PART_DEVICES"})


def test_a_device_that_is_not_there_is_named_with_its_part() -> None:
    settings = change_settings(Settings(), {"device": "cpu", "part_devices": "vae=xpu:9, text_encoder=cpu"}, {})
    with pytest.raises(SettingsError, match="finds no device 'xpu:9'") as caught:
        place_parts(settings)
    assert caught.value.where == "part_devices.vae"


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
