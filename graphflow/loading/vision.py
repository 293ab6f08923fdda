"""Networks that look at pictures, in memory: those of transformers' folders, and ONNX files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from graphflow.errors import ModelFormatError
from graphflow.library.describe import ONNX
from graphflow.loading.modules import LoadedPart
from graphflow.loading.random_weights import RandomTensors
from graphflow.vision.networks import OnnxNetwork, quiet

if TYPE_CHECKING:
    from graphflow.modelfiles.description import Part


class LoadedVision(LoadedPart):
    """A network that looks at pictures, in float32; a :class:`LoadedPart` without patches.

    Args:
        part: What to load.

    Raises:
        ModelFormatError: transformers has no such class, or the weights do not fit it.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.patches = ()
        self._changed = frozenset()
        module = OnnxNetwork(part.files[0]) if part.class_name == ONNX else _transformers(part)
        self.module = module.eval().requires_grad_(False)
        self.shapes = {name: tensor.shape for name, tensor in self.module.state_dict().items()}

    def cast(self, dtype: torch.dtype) -> None:
        """Stay in float32."""


def _transformers(part: Part) -> Any:
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    where = str(part.files[0].parent) if part.files else part.stands_for
    cls: Any = getattr(transformers, part.class_name, None)
    known: bool = isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel)
    if not known:
        raise ModelFormatError(
            f"transformers has no network {part.class_name!r}",
            where=where,
            advice="use a model that transformers runs without code of its own",
        )
    try:
        with quiet():
            if part.stands_for:
                return _random(part, cls)
            return cls.from_pretrained(where, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError) as error:
        problem = str(error).partition("\n")[0][:200]
        raise ModelFormatError(
            f"its weights do not form a {part.class_name}: {problem}", where=where, advice="download the folder again"
        ) from error


def _random(part: Part, cls: Any) -> Any:
    """The network with random weights, the same each time."""
    module = cls(cls.config_class.from_dict(dict(part.config)))
    state = module.state_dict()
    tensors = RandomTensors(part, {name: tensor.shape for name, tensor in state.items()})
    module.load_state_dict({name: tensors.read(name).to(tensor.dtype) for name, tensor in state.items()})
    return module
