"""Models that were distilled from guided ones: they read how strongly they are guided, as a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from graphflow.families.flow.distilled import GUIDANCE
from graphflow.values import ConditioningEntry


def told_guidance(
    entries: Sequence[ConditioningEntry], batch: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    """The guidance (n * B,) of n entries, and 1 where it is heard, 0 where it is left out; None where it is everywhere."""
    told = [entry.extras.get("guidance", GUIDANCE) for entry in entries]
    numbers = [GUIDANCE if value is None else float(value) for value in told]
    heard = torch.tensor([value is not None for value in told])
    values = torch.tensor(numbers).repeat_interleave(batch).to(device)
    if bool(heard.all()):
        return values, None
    return values, heard.repeat_interleave(batch).to(device, dtype)


@contextmanager
def hearing(embeddings: Any, heard: Tensor | None) -> Iterator[None]:
    """Silence the guidance among a network's embeddings for some items until the block ends; for none, where `heard` is None."""
    if heard is None:
        yield
        return
    embedder = embeddings.guidance_embedder
    share = heard[:, None]
    hook = embedder.register_forward_hook(lambda _, _inputs, output: output * share)
    try:
        yield
    finally:
        hook.remove()
