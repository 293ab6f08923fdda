"""Tiny ONNX networks that give the same numbers for every picture, in the forms that detectors and the like have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper


def write_onnx(path: Path, *outputs: ArrayLike, edge: int = 64, names: Mapping[int, str] | None = None) -> None:
    """Write a network that takes (1, 3, edge, edge) and gives ``outputs``.

    Args:
        path: The file.
        outputs: What it gives.
        edge: Of its pictures.
        names: Names of classes by number, as Ultralytics' exports have them.
    """
    held = [numpy_helper.from_array(np.asarray(values, np.float32), f"held{n}") for n, values in enumerate(outputs)]
    nothing = numpy_helper.from_array(np.float32(0), "nothing")
    steps = [
        helper.make_node("Mul", ["images", "nothing"], ["silent"]),
        helper.make_node("ReduceSum", ["silent"], ["zero"], keepdims=0),
        *(helper.make_node("Add", [f"held{n}", "zero"], [f"output{n}"]) for n in range(len(outputs))),
    ]
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, edge, edge])
    made = [helper.make_tensor_value_info(f"output{n}", TensorProto.FLOAT, None) for n in range(len(outputs))]
    graph = helper.make_graph(steps, "fixed", [given], made, [*held, nothing])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"names": repr(dict(names or {}))})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
