"""Modules made without memory for their weights, in one thread whatever others do.

accelerate's ``init_empty_weights`` exchanges a method of ``nn.Module`` for the whole process: modules that another
thread makes meanwhile lose their weights, too, and two such threads leave the exchanged method behind. A mode of torch
belongs to its thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Weightless(TorchFunctionMode):  # type: ignore[misc]
    """Has ``torch.empty``, with which layers make their parameters, allocate nothing; to be used as a context.

    What is made otherwise, such as tables in buffers, is made as always.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[Any], args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch."""
        options = dict(kwargs or {})
        if func is torch.empty:
            options["device"] = "meta"
        return func(*args, **options)
