"""Motion modules on a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import ModelName, node
from graphflow.spec.spec import FileNeed
from graphflow.values import LoraPatch, Model, NetworkExtension
from graphflow.values.network_hooks import MotionModules

__all__ = ["apply_motion_module"]

LoraStrength: TypeAlias = Annotated[float, Field(ge=-10, le=10)]


def _loras(params: Mapping[str, Any]) -> Iterable[FileNeed]:
    told = params.get("loras")
    for name in told if isinstance(told, dict) else ():
        yield FileNeed("loras", name, "lora")


@node("apply_motion_module", map=True, needs=_loras)
def apply_motion_module(
    model: Annotated[Model, Field(description="the denoising model")],
    motion_module: Annotated[
        str, ModelName("motion_module"), Field(min_length=1, description="AnimateDiff's motion modules")
    ],
    strength: Annotated[float, Field(ge=0, le=2, description="how much they move; 0 leaves single pictures")] = 1.0,
    loras: Annotated[
        dict[str, LoraStrength] | None, Field(description='motion LoRAs by name, e.g. {"v2_lora_ZoomIn": 0.8}')
    ] = None,
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
    models = runtime.current().models
    network = NetworkExtension(files=(models.find(motion_module, "motion_module", part="adapter"),))
    patches = ((models.find(name, "lora", part=""), share) for name, share in (loras or {}).items())
    network = network.patched(*(LoraPatch(file=file, strength=share) for file, share in patches))
    hook = MotionModules(network=network, strength=strength, window=window, overlap=overlap, linear=levels == "linear")
    return model.hooked(hook)
