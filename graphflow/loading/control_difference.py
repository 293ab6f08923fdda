"""ControlNets published as the difference to a diffusion model: the model's own weights are added back."""

from __future__ import annotations

from dataclasses import replace

import torch

from graphflow.errors import ModelFormatError
from graphflow.loading.mapped import MappedTensors
from graphflow.loading.modules import Change, build
from graphflow.loading.patches import Target, combined_changes, weight_changes
from graphflow.loading.random_weights import RandomTensors, tensors_of
from graphflow.values.control_hooks import ControlDifferencePatch


@weight_changes.register
def _(patch: ControlDifferencePatch, target: Target) -> dict[str, Change]:
    file = patch.model.files[0]
    base = target.describe(file).parts.get(file.part)
    if base is None:
        raise ModelFormatError(f"has no {file.part}", where=file.name)
    shapes = {name: tensor.shape for name, tensor in build(base).state_dict().items()}
    shared = [name for name, shape in target.shapes.items() if shapes.get(name) == shape]
    others = [name for name in target.shapes if name in shapes and name not in shared]
    if others or not shared:
        raise ModelFormatError(
            f"{len(others) or len(target.shapes)} of its tensors have other shapes than {file.name!r}'s"
            f"{' (' + others[0] + ')' if others else ''}",
            where=", ".join(path.name for path in target.part.files),
            advice="use the checkpoint, or one of the family, that the ControlNet was made from",
        )
    tensors = tensors_of(base, shapes)
    inner = combined_changes(patch.model.patches, replace(target, part=base, shapes=shapes))
    return {name: _adding(tensors, name, inner.get(name)) for name in shared}


def _adding(tensors: MappedTensors | RandomTensors, name: str, inner: Change | None) -> Change:
    def change(weight: torch.Tensor) -> torch.Tensor:
        other = tensors.read(name).to(weight.device, torch.float32)
        return weight + (other if inner is None else inner(other))

    return change
