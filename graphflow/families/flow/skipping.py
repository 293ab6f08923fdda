"""Transformers on a flow without some of their blocks. Importing this module registers the hook that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import nn

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.families.flow.denoiser import FlowDenoiser
from graphflow.families.latent_diffusion.hooks.modules import computing
from graphflow.loading.hooks import attach
from graphflow.sampling.guidance import AwayFromVariation, VariedNegative
from graphflow.values.network_hooks import SkipLayers


@attach.register
def _(hook: SkipLayers, loaded: FlowDenoiser) -> AbstractContextManager[None]:
    blocks = list(_blocks(loaded.module, hook.layers))
    name = f"without {', '.join(hook.layers)}"
    loaded.variations[name] = _without(blocks)
    span: dict[str, Any] = {"variation": name, "start": hook.start, "end": hook.end}
    loaded.guidance.append(
        VariedNegative(**span) if hook.negative else AwayFromVariation(**span, scale=hook.scale, rescale=hook.rescale)
    )
    return nullcontext()


def _blocks(module: nn.Module, names: Sequence[str]) -> Iterator[nn.Module]:
    """The blocks of these names; one that is not there is named in a notice.

    Raises:
        InvalidInputError: None of them is there.
    """
    known = {
        f"{stem}.{number}": block
        for stem in ("transformer_blocks", "single_transformer_blocks")
        for number, block in enumerate(getattr(module, stem, ()))
    }
    if not known:
        raise InvalidInputError(
            "layers of this family's models cannot be skipped", advice="leave the node out that skips them"
        )
    missing = [name for name in names if name not in known]
    if len(missing) == len(names):
        raise InvalidInputError(
            f"the model has no block {', '.join(missing)}", where="layers", advice=f"it has {', '.join(known)}"
        )
    if missing:
        runtime.current().notice(f"the model has no block {', '.join(missing)}: only the others are skipped")
    yield from (known[name] for name in names if name in known)


def _without(blocks: Sequence[nn.Module]) -> Callable[..., AbstractContextManager[None]]:
    @contextmanager
    def skipping(loaded: FlowDenoiser) -> Iterator[None]:
        with computing(blocks, _hand_on):
            yield

    return skipping


def _hand_on(hidden_states: Any, encoder_hidden_states: Any = None, *_: Any, **__: Any) -> Any:
    """What a block gives that changes nothing: the text, where it has any apart, then the picture."""
    return hidden_states if encoder_hidden_states is None else (encoder_hidden_states, hidden_states)
