"""Motion modules on a model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Model, NetworkExtension
from graphflow.values.network_hooks import MotionModules

__all__ = ["apply_motion_module"]


@node("apply_motion_module", map=True)
def apply_motion_module(
    model: Annotated[Model, Field(description="the denoising model")],
    motion_module: Annotated[
        str, ModelName("motion_module"), Field(min_length=1, description="AnimateDiff's motion modules")
    ],
    strength: Annotated[float, Field(ge=0, le=2, description="how much they move; 0 leaves single pictures")] = 1.0,
    window: Annotated[
        int, Field(ge=0, le=128, description="frames that are seen at once; 0 sees all of them, as far as they go")
    ] = 16,
    overlap: Annotated[int, Field(ge=0, le=127, description="frames that neighbouring windows share")] = 4,
    levels: Annotated[
        Literal["linear", "model"],
        Field(description="noise levels: linear, as Stable Diffusion 1.5's were trained with, or the model's own"),
    ] = "linear",
) -> Model:
    """Have a batch of latents be the frames of one video (AnimateDiff, Guo et al. 2023, arXiv:2307.04725).

    Where there are more frames than a window holds, windows that overlap are evaluated each for itself and averaged, the
    more a frame stands in a window's middle the more it counts.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file holds no motion modules.
        InvalidInputError: Windows overlap wholly. When the model is used: the motion modules are for another family, or
            for fewer frames than there are.
    """
    if window and overlap >= window:
        raise InvalidInputError("windows cannot overlap wholly", where="overlap", advice="set it below window")
    if strength == 0.0:
        return model
    found = runtime.current().models.find(motion_module, "motion_module", part="adapter")
    network = NetworkExtension(files=(found,))
    hook = MotionModules(network=network, strength=strength, window=window, overlap=overlap, linear=levels == "linear")
    return model.hooked(hook)
