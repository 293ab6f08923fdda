"""How Z-Image's tensors are called by its authors and in Diffusers' `ZImageTransformer2DModel`."""

from __future__ import annotations

from collections.abc import Iterator

from graphflow.families.flow.names import Row, TableNames
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import THIRDS

_SIZE = "2-1"
"""Diffusers' name for patches of 2 x 2 samples of one picture."""


def control_names(part: Part) -> TableNames:
    """Return the names of a ControlNet's tensors; some files carry layers that were not trained."""
    return TableNames(tuple(_rows()), {}, original=True, spare=("control_noise_refiner.",))


def transformer_names(part: Part) -> TableNames:
    """Return the names of a transformer's tensors."""
    # A norm that the authors' code does not use, either.
    return TableNames(tuple(_rows()), {}, original=part.keys == "ldm", spare=("norm_final.",))


def _rows() -> Iterator[Row]:
    yield "x_embedder", f"all_x_embedder.{_SIZE}", ""
    yield "final_layer.linear", f"all_final_layer.{_SIZE}.linear", ""
    yield "final_layer.adaLN_modulation.1", f"all_final_layer.{_SIZE}.adaLN_modulation.1", ""
    for blocks in ("layers", "noise_refiner", "context_refiner", "control_layers", "control_noise_refiner"):
        attention = f"{blocks}.{{}}.attention."
        for letter, third in zip("qkv", THIRDS, strict=True):
            yield f"{attention}qkv", f"{attention}to_{letter}", third
        yield f"{attention}out", f"{attention}to_out.0", ""
        yield f"{attention}q_norm", f"{attention}norm_q", ""
        yield f"{attention}k_norm", f"{attention}norm_k", ""
