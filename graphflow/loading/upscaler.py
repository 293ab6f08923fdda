"""Upscalers in memory: spandrel tells the architecture and its sizes from the tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from graphflow.errors import ModelFormatError
from graphflow.loading.mapped import read_all
from graphflow.loading.modules import LoadedPart
from graphflow.loading.random_weights import RandomTensors
from graphflow.vision.upscale import UpscaleNetwork

if TYPE_CHECKING:
    from graphflow.modelfiles.description import Part

CLASS_NAME = "Upscaler"
"""Stands for whatever spandrel finds in the file."""

_WRAPPERS = ("params_ema.", "params.", "state_dict.", "module.")
"""What training programs put before every name."""


class LoadedUpscaler(LoadedPart):
    """An upscaler in memory; a :class:`LoadedPart` without patches.

    Args:
        part: What to load.
        dtype: Dtype of the arithmetic; float32 where the architecture overflows in it.

    Raises:
        ModelFormatError: The file holds no upscaler, or a damaged one.
    """

    def __init__(self, part: Part, dtype: torch.dtype) -> None:
        self.part = part
        self.device = torch.device("cpu")
        self.patches = ()
        self._changed = frozenset()
        self.network = _network(part)
        self.module = self.network.eval().requires_grad_(False)
        self._read_as = torch.float64  # More than any dtype of a file.
        self.shapes = {name: tensor.shape for name, tensor in self.module.state_dict().items()}
        self.cast(dtype)

    def cast(self, dtype: torch.dtype) -> None:
        """Compute in another dtype from now on, from the file's own weights."""
        self.dtype = dtype if self.network.supports(dtype) else torch.float32
        self.module.to(self.dtype)
        if next(self.module.parameters()).dtype.itemsize > self._read_as.itemsize:
            self.module.load_state_dict(_network(self.part).state_dict())
        self._read_as = self.dtype


def _network(part: Part) -> UpscaleNetwork:
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

    tensors = (
        _random(part)
        if part.stands_for
        else {_bare(name): tensor for path in part.files for name, tensor in read_all(path, path.name).items()}
    )
    where = ", ".join(path.name for path in part.files)
    try:
        found = ModelLoader().load_from_state_dict(tensors)
    except UnsupportedModelError as error:
        raise ModelFormatError(
            "no known upscaler architecture fits its tensors", where=where, advice="check that the file is an upscaler"
        ) from error
    except Exception as error:
        # An architecture was recognised by some tensors, and others are missing or have impossible shapes.
        problem = str(error).partition("\n")[0] or type(error).__name__
        raise ModelFormatError(
            f"its tensors do not form an upscaler: {problem}", where=where, advice="download the file again"
        ) from error
    if not isinstance(found, ImageModelDescriptor):
        raise ModelFormatError(
            f"is a {found.architecture.name} model, which fills holes by a mask and makes nothing larger", where=where
        )
    return UpscaleNetwork(found)


def _bare(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def _random(part: Part) -> dict[str, torch.Tensor]:
    """The tensors of a small network of ESRGAN's kind."""
    from spandrel.architectures.ESRGAN import ESRGAN

    with torch.device("meta"):
        state = ESRGAN(num_filters=8, num_blocks=1, scale=int(str(part.config["scale"]))).state_dict()
    tensors = RandomTensors(part, state)
    return {name: tensors.read(name) for name in state}
