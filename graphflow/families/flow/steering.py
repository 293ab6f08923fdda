"""How a ControlNet comes onto a model itself. Importing this module registers it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from graphflow.errors import InvalidInputError
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.loading.hooks import attach
from graphflow.values.control_hooks import ControlHook


@attach.register
def _(hook: ControlHook, loaded: FlowDenoiser) -> AbstractContextManager[None]:
    if loaded.steered_by is None:
        raise InvalidInputError(
            "models of this family are steered by no ControlNets", where="model", advice="take apply_control_patch out"
        )
    loaded.everywhere.append(hook.control)
    return nullcontext()
