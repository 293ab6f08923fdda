"""Tensors of quantised layers in the plain order that everything here computes with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from graphflow.loading.quantised.packed import PackedWeight
from graphflow.modelfiles.quantised.format import PackedLayer

Raw = Mapping[str, Tensor]
"""A layer's tensors as they stand in the file, by role."""

Unpack = Callable[[Raw, PackedLayer], PackedWeight]
"""Bring a layer's tensors in order."""


def eight_bit_float(tensor: Tensor, dtype: torch.dtype = torch.float8_e4m3fn) -> Tensor:
    """Eight-bit floats, which some files hold as plain bytes."""
    return tensor if tensor.is_floating_point() else tensor.view(dtype)


def scale_table(scale: Tensor, rows: int, shape: tuple[int, int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A scale as a tensor of entries, one for each row, or as a shared number.

    Args:
        scale: As in the file.
        rows: Rows of the weight.
        shape: Its rows and columns, as :func:`graphflow.modelfiles.quantised.float8.scale_rows` has them.
    """
    if shape == (1, 1):
        return {}, {"scale": scale.float().reshape(())}
    return {"scale": scale.float().reshape(shape).repeat_interleave(rows // shape[0], 0)}, {}
