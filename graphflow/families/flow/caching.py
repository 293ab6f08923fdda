"""What is the same at every step is computed once. Importing this module registers the hook that asks for it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from graphflow.errors import InvalidInputError
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.loading.hooks import attach
from graphflow.values.network_hooks import CachedReferences


@attach.register
def _(hook: CachedReferences, loaded: FlowDenoiser) -> AbstractContextManager[None]:
    if not loaded.caches:
        raise InvalidInputError(
            "this family's models see references anew at every step", advice="take cache_references out"
        )
    loaded.kept = {}
    return nullcontext()
