"""Nodes that steer by ControlNets and T2I-Adapters."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Conditioning, Control, ControlNet, Image, Mask, Model, Vae
from graphflow.values.control_hooks import ControlDifferencePatch, ControlHook, UnionType

from ..choices import Share

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "apply_control_net",
    "apply_control_patch",
    "load_control_net",
    "load_control_patch",
    "load_difference_control_net",
    "set_union_control_type",
]


ControlNetName = Annotated[
    str, ModelName("controlnet"), Field(min_length=1, description="a ControlNet or T2I-Adapter, file or folder")
]

PARTS = ("controlnet", "adapter")
STYLE = "style_projector"
DIFFERENCE = "controlnet_difference"


class Controlled(NamedTuple):
    """The conditioning with one more ControlNet on each entry."""

    positive: Annotated[Conditioning, Field(description="what the picture should show, with the control")]
    negative: Annotated[
        Conditioning | None,
        Field(description="what it should not show, with the control; none where none is linked"),
    ]


@node("load_control_net")
def load_control_net(control_net: ControlNetName) -> ControlNet:
    """Name a ControlNet, a union ControlNet or a T2I-Adapter.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file holds none of them, or one that needs another loader.
    """
    models = runtime.current().models
    parts = models.parts(control_net, "controlnet")
    part = next((part for part in PARTS if part in parts), None)
    if DIFFERENCE in parts:
        raise ModelFormatError(
            "it holds only the difference to a diffusion model",
            where=control_net,
            advice="load it with load_difference_control_net, which takes the model, too",
        )
    if part is None:
        raise ModelFormatError(
            "it holds no weights of its own: a Control-LoRA only changes those of its base model",
            where=control_net,
            advice="use the full ControlNet that it was made from",
        )
    return ControlNet(files=(models.find(control_net, "controlnet", part=part),))


@node("load_difference_control_net")
def load_difference_control_net(
    control_net: ControlNetName,
    model: Annotated[Model, Field(description="the denoising model that it was made from, or a relative of it")],
) -> ControlNet:
    """Name a ControlNet that was published as the difference to a diffusion model, and add that model's weights to it.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file holds no difference. When it is used: it was made from a model of other shapes.
    """
    models = runtime.current().models
    if DIFFERENCE not in models.parts(control_net, "controlnet"):
        raise ModelFormatError(
            "it holds a whole ControlNet, not the difference to a model",
            where=control_net,
            advice="load it with load_control_net",
        )
    found = models.find(control_net, "controlnet", part=DIFFERENCE)
    return ControlNet(files=(found,)).patched(ControlDifferencePatch(model=model))


@node("set_union_control_type")
def set_union_control_type(
    control_net: Annotated[ControlNet, Field(description="a union ControlNet")],
    type: Annotated[
        Literal[
            "auto",
            "openpose",
            "depth",
            "soft_edges",
            "hard_edges",
            "normal",
            "segmentation",
            "tile",
            "inpaint",
            "blur",
            "gray",
            "low_quality",
        ],
        Field(
            description="what kind of picture it gets: soft_edges are HED, PiDiNet and scribbles; hard_edges Canny,"
            " line art and straight lines; blur, gray and low_quality are of FLUX.1's alone; auto leaves it open, as a"
            " ControlNet for one kind has it"
        ),
    ] = "auto",
) -> ControlNet:
    """Tell a union ControlNet what kind of picture it gets.

    Raises:
        InvalidInputError: When it is used: it is no union ControlNet, or does not know the type.
    """
    others = tuple(hook for hook in control_net.hooks if not isinstance(hook, UnionType))
    return replace(control_net, hooks=others if type == "auto" else (*others, UnionType(type=type)))


@node("apply_control_net", map=True)
def apply_control_net(
    positive: Annotated[Conditioning, Field(description="what the picture should show")],
    control_net: Annotated[ControlNet, Field(description="the ControlNet or T2I-Adapter")],
    image: Annotated[Image, Field(description="what steers: edges, depth, a pose, … as the ControlNet reads it")],
    negative: Annotated[
        Conditioning | None, Field(description="what the picture should not show; steered in the same way")
    ] = None,
    mask: Annotated[
        Mask | None, Field(description="for inpainting ControlNets only: where the picture is unknown")
    ] = None,
    strength: Annotated[float, Field(ge=0, le=10, description="how strongly it steers; 0 not at all")] = 1.0,
    start: Annotated[Share, Field(description="share of the sampling at which it begins")] = 0.0,
    end: Annotated[Share, Field(description="share of the sampling at which it ends")] = 1.0,
    vae: Annotated[
        Vae | None,
        Field(
            description="the autoencoder: most ControlNets of FLUX.1, SD3 and Qwen-Image read the picture as latents"
        ),
    ] = None,
) -> Controlled:
    """Steer by a picture; several ControlNets are applied by chaining, and their effects add up.

    Zhang et al. 2023, arXiv:2302.05543; Mou et al. 2023, arXiv:2302.08453 (T2I-Adapter). The picture is cut to the
    proportions of what is sampled and scaled to it, the mask to the picture.

    Raises:
        InvalidInputError: There is no picture.
    """
    _refuse_style(control_net)
    if strength == 0.0 or never_acts(start, end):
        return Controlled(positive, negative)
    control = Control(net=control_net, hint=_masked(image, mask), strength=strength, start=start, end=end, vae=vae)
    return Controlled(_steered(positive, control), None if negative is None else _steered(negative, control))


@node("load_control_patch")
def load_control_patch(control_net: ControlNetName) -> ControlNet:
    """Name what steers a model whatever it is told: a ControlNet as ``load_control_net`` does, or a patch for styles.

    See ``apply_control_patch`` and ``apply_style_patch``.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file holds none, or one that needs another loader.
    """
    models = runtime.current().models
    if STYLE in models.parts(control_net, "controlnet"):
        return ControlNet(files=(models.find(control_net, "controlnet", part=STYLE),))
    return load_control_net(control_net)


def _refuse_style(control_net: ControlNet) -> None:
    if any(file.part == STYLE for file in control_net.files):
        raise InvalidInputError(
            "the patch takes the style of a picture", where="control_net", advice="apply it with apply_style_patch"
        )


@node("apply_control_patch")
def apply_control_patch(
    model: Annotated[Model, Field(description="the denoising model")],
    control_net: Annotated[ControlNet, Field(description="a ControlNet of a transformer: DiffSynth's, Fun, …")],
    image: Annotated[
        Image | None, Field(description="what steers: edges, depth, a pose, … as the ControlNet reads it")
    ] = None,
    vae: Annotated[Vae | None, Field(description="the autoencoder that encodes the pictures")] = None,
    mask: Annotated[
        Mask | None,
        Field(description="where the picture to fill in is unknown; of image, where no picture to fill in is given"),
    ] = None,
    strength: Annotated[float, Field(ge=-10, le=10, description="how strongly it steers; 0 not at all")] = 1.0,
    inpaint_image: Annotated[
        Image | None, Field(description="a picture to fill in, of Z-Image's ControlNets from 2.0 on")
    ] = None,
) -> Model:
    """Steer a model by a picture whatever it is told, both sides of the guidance alike; several add up.

    The pictures are cut to the proportions of what is sampled and scaled to it, the mask to its picture.

    Raises:
        InvalidInputError: There is no picture. When it is used: models of this family are steered by none.
    """
    _refuse_style(control_net)
    if strength == 0.0:
        return model
    if inpaint_image is not None:
        from graphflow.pixels.hints import with_filling

        hint = with_filling(None if image is None else image.pixels, _masked(inpaint_image, mask))
    elif image is not None:
        hint = _masked(image, mask)
    else:
        raise InvalidInputError("there is no picture to steer by", where="image")
    return model.hooked(ControlHook(control=Control(net=control_net, hint=hint, strength=strength, vae=vae)))


def _masked(image: Image, mask: Mask | None) -> Tensor:
    """A picture (B, 3, H, W) with -1 where it is unknown."""
    hint = image.pixels[:, :3]
    if not hint.shape[0]:
        raise InvalidInputError("there is no picture to steer by", where="image")
    if mask is None:
        return hint
    from graphflow.pixels.hints import hide_part

    return hide_part(hint, mask.values)


def never_acts(start: float, end: float) -> bool:
    """Say whether a range of the sampling is empty, and tell the user that it is."""
    if end < start:
        runtime.current().notice(f"it ends at {end}, before it starts at {start}, so it never acts")
    return end < start


def _steered(conditioning: Conditioning, control: Control) -> Conditioning:
    return Conditioning(
        entries=tuple(replace(entry, controls=(*entry.controls, control)) for entry in conditioning.entries)
    )
