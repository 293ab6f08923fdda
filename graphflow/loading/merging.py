"""Weights of one model mixed with those of another, read tensor by tensor from its mapped file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch

from graphflow.basics.wording import some
from graphflow.errors import ModelFormatError
from graphflow.loading.mapped import MappedTensors, role_of
from graphflow.loading.modules import Change
from graphflow.loading.random_weights import RandomTensors, tensors_of
from graphflow.modelfiles.families import maker_of

if TYPE_CHECKING:
    from graphflow.modelfiles.description import Description, Part
    from graphflow.values import ModelFile
    from graphflow.values.patches import AttentionScalePatch, MergePatch

_PROJECTIONS: Mapping[str, Mapping[str, str]] = {
    "cross": {"attn2.to_q": "q", "attn2.to_k": "k", "attn2.to_v": "v", "attn2.to_out.0": "out"},
    "self": {"attn1.to_q": "q", "attn1.to_k": "k", "attn1.to_v": "v", "attn1.to_out.0": "out"},
    "text": {
        "self_attn.q_proj": "q",
        "self_attn.k_proj": "k",
        "self_attn.v_proj": "v",
        "self_attn.out_proj": "out",
    },
}


def counterpart(patch: MergePatch, part: Part, describe: Callable[[ModelFile], Description], family: str = "") -> Part:
    """The other recipe's part that merges with a part of a family.

    Raises:
        ModelFormatError: It has none.
    """
    wanted = role_of(part, family)
    for file in patch.other.files:
        found = describe(file).parts.get(file.part)
        if found is not None and role_of(found, family) == wanted:
            return found
    names = ", ".join(file.name for file in patch.other.files)
    raise ModelFormatError(f"has no {wanted} to merge with", where=names, advice="merge models of the same family")


def merge_changes(
    patch: MergePatch,
    part: Part,
    shapes: Mapping[str, torch.Size],
    other: Part,
    inner: Mapping[str, Change],
    notice: Callable[[str], None],
) -> dict[str, Change]:
    """What a merge does to each weight.

    Args:
        patch: The merge.
        part: The part that is changed.
        shapes: Its tensors, by the names of its class.
        other: The part that it is mixed with.
        inner: What the other recipe's own patches do.
        notice: Tells the user something.

    Raises:
        ModelFormatError: The parts have different tensors.
    """
    tensors = tensors_of(other, shapes)
    tensors.tell_unused(notice)
    originals = maker_of(part).tensor_names(part).originals(shapes)
    changes: dict[str, Change] = {}
    odd: list[str] = []
    for name, shape in shapes.items():
        found = tensors.read(name)
        if not found.is_floating_point():
            continue
        if found.numel() != shape.numel():
            odd.append(name)
            continue
        keep, add = _shares(patch, name, originals.get(name, ""))
        if (keep, add) != (1.0, 0.0):
            changes[name] = _mixing(tensors, name, inner.get(name), keep, add)
    if len(odd) == len(shapes):
        raise ModelFormatError(
            f"none of its tensors has the shape of this {part.name}'s",
            where=tensors.where,
            advice="merge models of the same family",
        )
    if odd:
        notice(
            f"{tensors.where}: {len(odd)} of its {len(shapes)} tensors have other shapes than this model's and are not"
            f" merged: {some(odd)}"
        )
    return changes


def attention_changes(patch: AttentionScalePatch, shapes: Mapping[str, torch.Size]) -> dict[str, Change]:
    """What scaled attention does to each weight."""
    changes: dict[str, Change] = {}
    for name in shapes:
        module, _, leaf = name.rpartition(".")
        for ending, role in _PROJECTIONS[patch.attention].items():
            factor = float(getattr(patch, role))
            if leaf in ("weight", "bias") and module.endswith("." + ending) and factor != 1.0:
                changes[name] = _scaling(factor)
    return changes


def _shares(patch: MergePatch, name: str, original: str) -> tuple[float, float]:
    """The factors on a tensor and on its counterpart."""
    for table, names in ((patch.blocks, (name, original)), (patch.sections, (original,))):
        fitting = [start for start in table if any(known.startswith(start) for known in names)]
        if fitting:
            share = table[max(fitting, key=len)]
            return share, 1.0 - share
    return patch.keep, patch.add


def _mixing(tensors: MappedTensors | RandomTensors, name: str, inner: Change | None, keep: float, add: float) -> Change:
    def change(weight: torch.Tensor) -> torch.Tensor:
        other = tensors.read(name).to(weight.device, torch.float32).reshape(weight.shape)
        if inner is not None:
            other = inner(other)
        return keep * weight + add * other

    return change


def _scaling(factor: float) -> Change:
    return lambda weight: weight * factor
