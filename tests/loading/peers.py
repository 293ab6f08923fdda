"""Layers that bitsandbytes, torchao and optimum-quanto quantise, as they save them, and the weights they read of these.

`python -m tests.loading.peers` records them anew where the three packages are installed (the extra `peers`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

RECORDED = Path(__file__).parent / "recorded" / "folders.npz"
SEEN = (0, 1, 7, -1)
"""Rows of the weights that are recorded."""
ROWS, COLUMNS = 32, 128


class Made(NamedTuple):
    """A layer `a` in a file, what the folder's config says, and its weight (32, 128) in float32."""

    file: bytes
    config: Mapping[str, Any]
    weight: Tensor


def bitsandbytes(kind: str, *, nested: bool = False) -> Made:
    import bitsandbytes as bnb

    weight = torch.randn(ROWS, COLUMNS)
    if kind == "int8":
        layer = bnb.nn.Linear8bitLt(COLUMNS, ROWS, has_fp16_weights=False)
        layer.weight = bnb.nn.Int8Params(weight.half(), requires_grad=False, has_fp16_weights=False)
        layer.to("cpu")
        dense = bnb.functional.int8_vectorwise_dequant(layer.weight.data, layer.weight.SCB)
    else:
        layer = bnb.nn.Linear4bit(COLUMNS, ROWS, quant_type=kind)
        layer.weight = bnb.nn.Params4bit(weight, requires_grad=False, quant_type=kind, compress_statistics=nested)
        layer.to("cpu")
        dense = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return _made(layer.state_dict(), {"quant_method": "bitsandbytes"}, dense)


def torchao(config: str, **options: Any) -> Made:
    from torchao import quantization
    from torchao.prototype import mx_formats
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict

    module = nn.Sequential(nn.Linear(COLUMNS, ROWS, dtype=torch.bfloat16))
    if "group" in options:
        options["granularity"] = quantization.PerGroup(options.pop("group"))
    known = quantization if hasattr(quantization, config) else mx_formats
    quantization.quantize_(module, getattr(known, config)(**options))
    dense = module[0].weight.dequantize()
    state = {f"a.{name.removeprefix('0.')}": tensor for name, tensor in module.state_dict().items()}
    tensors, metadata = flatten_tensor_state_dict(state)
    return _made(tensors, {"quant_method": "torchao"}, dense, metadata)


def quanto(kind: str) -> Made:
    from optimum import quanto

    module = nn.Sequential(nn.Linear(COLUMNS, ROWS))
    quanto.quantize(module, weights=getattr(quanto, f"q{kind}"))
    quanto.freeze(module)
    if kind.startswith("int") and kind != "int8":
        # Its own unpacking is C++, compiled at first use.
        packed = module[0].weight._data
        bits = packed._bits
        parts = [packed._data >> shift & (1 << bits) - 1 for shift in range(0, 8, bits)]
        dense = torch.cat(parts) * module[0].weight._scale - module[0].weight._shift
    else:
        dense = module[0].weight.dequantize()
    state = {name.removeprefix("0."): tensor for name, tensor in module.state_dict().items()}
    return _made(state, {"quant_method": "quanto", "weights_dtype": kind}, dense.reshape(ROWS, COLUMNS))


MAKERS: Mapping[str, Callable[[], Made]] = {
    "bitsandbytes-nf4": lambda: bitsandbytes("nf4"),
    "bitsandbytes-nf4-nested": lambda: bitsandbytes("nf4", nested=True),
    "bitsandbytes-fp4": lambda: bitsandbytes("fp4", nested=True),
    "bitsandbytes-int8": lambda: bitsandbytes("int8"),
    "torchao-int8": lambda: torchao("Int8WeightOnlyConfig"),
    "torchao-int8-groups": lambda: torchao("Int8WeightOnlyConfig", version=2, group=32),
    "torchao-int8-activations": lambda: torchao("Int8DynamicActivationInt8WeightConfig"),
    "torchao-int4-unpacked": lambda: torchao("IntxWeightOnlyConfig", weight_dtype=torch.int4, group=32),
    "torchao-float8": lambda: torchao("Float8WeightOnlyConfig"),
    "torchao-mxfp8": lambda: torchao("MXDynamicActivationMXWeightConfig"),
    "torchao-nvfp4": lambda: torchao("NVFP4WeightOnlyConfig"),
    "quanto-int8": lambda: quanto("int8"),
    "quanto-float8": lambda: quanto("float8"),
    "quanto-int4": lambda: quanto("int4"),
    "quanto-int2": lambda: quanto("int2"),
}


def _made(state: Mapping[str, Tensor], config: Mapping[str, Any], dense: Tensor, metadata: Any = None) -> Made:
    named = {name if name.startswith("a.") else f"a.{name}": tensor.contiguous() for name, tensor in state.items()}
    return Made(save(named, metadata), config, dense.detach().float().clone())


def folders() -> dict[str, Made]:
    """All layers that are recorded; of the weight the rows :data:`SEEN`."""
    with np.load(RECORDED) as data:
        return {
            kind: Made(
                data[f"file/{kind}"].tobytes(),
                json.loads(data[f"config/{kind}"].tobytes()),
                torch.from_numpy(data[f"weight/{kind}"]),
            )
            for kind in (name.removeprefix("file/") for name in data if name.startswith("file/"))
        }


def record() -> None:
    """Write all layers beside those that are recorded of other programs (SDNQ 0.2.8, run apart)."""
    torch.manual_seed(7)
    with np.load(RECORDED) as kept:
        arrays: dict[str, Any] = dict(kept)
    for kind, make in MAKERS.items():
        made = make()
        arrays[f"file/{kind}"] = np.frombuffer(made.file, np.uint8)
        arrays[f"config/{kind}"] = np.frombuffer(json.dumps(made.config).encode(), np.uint8)
        arrays[f"weight/{kind}"] = made.weight[list(SEEN)].numpy()
    np.savez_compressed(RECORDED, **arrays)


if __name__ == "__main__":
    record()
