"""Networks that look at pictures, in memory: those of transformers' folders, and ONNX files."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from graphflow.basics.wording import some
from graphflow.errors import ModelFormatError
from graphflow.library.describe import ONNX, TRANSPARENCY
from graphflow.loading.mapped import read_all
from graphflow.loading.modules import LoadedPart
from graphflow.loading.random_weights import RandomTensors
from graphflow.vision.networks import OnnxNetwork, StandInNetwork, quiet
from graphflow.vision.transparency import TransparencyDecoder

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
        self.module = _MAKERS.get(part.class_name, _transformers)(part)
        self.module.eval().requires_grad_(False)
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
                return _filled(part, cls(cls.config_class.from_dict(dict(part.config))))
            dtype = "auto" if part.name == "language_model" else torch.float32  # language models are large
            module, told = cls.from_pretrained(
                where, local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError) as error:
        problem = str(error).partition("\n")[0][:200]
        raise ModelFormatError(
            f"its weights do not form a {part.class_name}: {problem}", where=where, advice="download the folder again"
        ) from error
    if told["missing_keys"]:  # transformers would draw them
        raise ModelFormatError(
            f"its weights lack {some(sorted(told['missing_keys']))} of a {part.class_name}",
            where=where,
            advice="use a folder as transformers saves it, without code of its own",
        )
    return module


def _transparency(part: Part) -> TransparencyDecoder:
    if part.stands_for:
        sizes: Any = part.config
        stand_in: TransparencyDecoder = _filled(part, TransparencyDecoder(sizes["widths"], sizes["attending"]))
        return stand_in
    tensors = {name: tensor for path in part.files for name, tensor in read_all(path, path.name).items()}
    try:
        module = TransparencyDecoder.like(tensors)
        module.load_state_dict(tensors)
    except (RuntimeError, KeyError, ValueError, IndexError) as error:
        problem = str(error).partition("\n")[0][:200]
        raise ModelFormatError(
            f"its tensors do not form LayerDiffuse's decoder: {problem}",
            where=", ".join(path.name for path in part.files),
            advice="download the file again",
        ) from error
    return module


_MAKERS: dict[str, Callable[[Part], Any]] = {
    ONNX: lambda part: OnnxNetwork(part.files[0]),
    TRANSPARENCY: _transparency,
    "StandIn": lambda part: StandInNetwork(),
}
"""By class, of those that transformers does not have."""


def _filled(part: Part, module: Any) -> Any:
    """The network with random weights, the same each time."""
    state = module.state_dict()
    tensors = RandomTensors(part, {name: tensor.shape for name, tensor in state.items()})
    module.load_state_dict({name: tensors.read(name).to(tensor.dtype) for name, tensor in state.items()})
    return module
