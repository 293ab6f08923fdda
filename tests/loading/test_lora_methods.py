"""LoHa, LoKr, DoRA and full differences: merged weights against PEFT's, and what is said of damaged layers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphflow.errors import ModelFormatError
from graphflow.loading.lora import read_lora
from graphflow.loading.lora_layers import Layer
from tests.closeness import assert_close

WHERE = "x.safetensors"


class Small(nn.Module):
    """A linear layer and a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 8)
        self.conv = nn.Conv2d(4, 6, 3)


def configs() -> dict[str, Any]:
    """PEFT's methods, each with an alpha that is not the rank."""
    from peft import LoHaConfig, LoKrConfig, LoraConfig

    common: dict[str, Any] = {"target_modules": ["linear", "conv"]}
    return {
        "lora": LoraConfig(r=2, lora_alpha=3, init_lora_weights=False, **common),
        "dora": LoraConfig(r=2, lora_alpha=3, init_lora_weights=False, use_dora=True, **common),
        "loha": LoHaConfig(r=2, alpha=3, init_weights=False, **common),
        "loha, Tucker": LoHaConfig(r=2, alpha=3, init_weights=False, use_effective_conv2d=True, **common),
        "lokr": LoKrConfig(r=1, alpha=3, init_weights=False, **common),
        "lokr, both": LoKrConfig(r=1, alpha=3, init_weights=False, decompose_both=True, **common),
        "lokr, Tucker": LoKrConfig(r=1, alpha=3, init_weights=False, use_effective_conv2d=True, **common),
    }


@pytest.mark.parametrize("method", ["lora", "dora", "loha", "loha, Tucker", "lokr", "lokr, both", "lokr, Tucker"])
def test_merged_weights_equal_those_of_peft(method: str) -> None:
    from peft import get_peft_model, get_peft_model_state_dict

    torch.manual_seed(3)
    plain = Small()
    before = {name: tensor.detach().clone() for name, tensor in plain.state_dict().items()}
    # Every method starts as it is made: only `init_weights=False` draws matrices that do something.
    adapted = get_peft_model(plain, configs()[method])
    if method == "dora":
        with torch.no_grad():
            for name, tensor in adapted.named_parameters():
                if "magnitude" in name:
                    tensor.mul_(torch.rand_like(tensor) + 0.5)
    tensors = {
        key.removeprefix("base_model.model."): tensor.detach().clone()
        for key, tensor in get_peft_model_state_dict(adapted).items()
    }
    for module in ("linear", "conv"):
        tensors[f"{module}.alpha"] = torch.tensor(3.0)
    wanted = adapted.merge_and_unload().state_dict()
    layers = read_lora(tensors, WHERE).layers
    for module in ("linear", "conv"):
        (layer,) = layers[module]
        found = layer.apply(before[f"{module}.weight"], 1.0, WHERE)
        assert_close(found, wanted[f"{module}.weight"])
        assert not torch.allclose(found, before[f"{module}.weight"])


def one(tensors: Mapping[str, Tensor], **more: Any) -> Layer:
    (layer,) = read_lora(tensors, WHERE, **more).layers["x"]
    return layer


def test_dora_lengths_of_columns_are_those_of_columns() -> None:
    torch.manual_seed(0)
    weight, down, up = torch.randn(5, 4), torch.randn(2, 4), torch.randn(5, 2)
    lengths = torch.rand(1, 4) + 1
    layer = one({"x.lora_down.weight": down, "x.lora_up.weight": up, "x.dora_scale": lengths})
    found = layer.apply(weight, 1.0, WHERE)
    assert_close(found.norm(dim=0), lengths[0])
    assert_close(nn.functional.normalize(found, dim=0), nn.functional.normalize(weight + up @ down, dim=0))
    half = layer.apply(weight, 0.5, WHERE)
    assert_close(half, (weight + found) / 2)


def test_full_differences_change_weights_and_biases() -> None:
    found = read_lora({"x.diff": torch.ones(2, 3), "x.diff_b": torch.ones(2)}, WHERE).layers["x"]
    assert [layer.leaf for layer in found] == ["weight", "bias"]
    for layer, shape in zip(found, ((2, 3), (2,)), strict=True):
        assert_close(layer.apply(torch.zeros(shape), -0.5, WHERE), torch.full(shape, -0.5))


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({"lora_alpha": 8, "r": 2}, 4.0),
        ({"lora_alpha": 8, "r": 2, "use_rslora": True}, 8 / 2**0.5),
        ({"lora_alpha": 8, "r": 2, "alpha_pattern": {"conv": 1}}, 0.5),
        ({"lora_alpha": 8, "r": 2, "alpha_pattern": {"c.*": 1}}, 0.5),
        ({"lora_alpha": 8, "r": 2, "alpha_pattern": {"on": 1, "mid.cnv": 1}}, 4.0),
        ({"r": 2}, 1.0),
    ],
)
def test_alpha_in_the_metadata_counts(config: dict[str, Any], scale: float) -> None:
    tensors = {"unet.mid.conv.lora_A.weight": torch.ones(2, 3), "unet.mid.conv.lora_B.weight": torch.ones(4, 2)}
    metadata = {"lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in config.items()})}
    (layer,) = read_lora(tensors, WHERE, metadata).layers["unet.mid.conv"]
    assert_close(layer.delta(torch.device("cpu")), torch.full((4, 3), 2 * scale))


@pytest.mark.parametrize("text", ["{", "[1]", "7"])
def test_metadata_that_is_no_object_is_refused(text: str) -> None:
    tensors = {"x.lora_A.weight": torch.ones(2, 3), "x.lora_B.weight": torch.ones(4, 2)}
    with pytest.raises(ModelFormatError, match="metadata"):
        read_lora(tensors, WHERE, {"lora_adapter_metadata": text})


@pytest.mark.parametrize(
    "keys",
    [
        ("x.lora_down.weight",),
        ("x.alpha",),
        ("x.hada_w1_a", "x.hada_w1_b", "x.hada_w2_a"),
        ("x.lokr_w1", "x.lokr_w2_a"),
    ],
)
def test_a_layer_with_a_matrix_missing_is_named(keys: tuple[str, ...]) -> None:
    with pytest.raises(ModelFormatError, match=r"layer x"):
        read_lora({key: torch.ones(2, 2) for key in keys}, WHERE)


def test_a_layer_of_two_methods_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="LoRA and LoKr at once"):
        read_lora({"x.lora_down.weight": torch.ones(2, 2), "x.lokr_w1": torch.ones(2, 2)}, WHERE)


def test_matrices_that_do_not_fit_are_refused() -> None:
    layer = one({"x.lora_down.weight": torch.ones(3, 3), "x.lora_up.weight": torch.ones(4, 2)})
    with pytest.raises(ModelFormatError, match="do not fit each other"):
        layer.apply(torch.zeros(4, 3), 1.0, WHERE)
    with pytest.raises(ModelFormatError, match="lengths"):
        one(
            {
                "x.lora_down.weight": torch.ones(2, 3),
                "x.lora_up.weight": torch.ones(4, 2),
                "x.dora_scale": torch.ones(7),
            }
        ).apply(torch.zeros(4, 3), 1.0, WHERE)


def test_tensors_of_no_layer_are_listed() -> None:
    found = read_lora({"x.diff": torch.ones(2), "y.something": torch.ones(2)}, WHERE)
    assert found.strange == ("y.something",)
    with pytest.raises(ModelFormatError, match="holds no LoRA layers"):
        read_lora({"y.something": torch.ones(2)}, WHERE)
