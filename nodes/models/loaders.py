"""Nodes that name models. They return recipes: no weight is read before a node computes with them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.errors import ModelFormatError
from graphflow.modelfiles.description import DENOISERS
from graphflow.modelfiles.families import installed
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Model, ModelFile, SafetyChecker, TextEncoder, Vae

__all__ = ["load_checkpoint", "load_diffusion_model", "load_safety_checker", "load_text_encoder", "load_vae"]

TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")

CheckpointName = Annotated[
    str,
    ModelName("checkpoint"),
    Field(min_length=1, description="a checkpoint: a single file, a Diffusers folder, or a Hub id"),
]
Prediction = Annotated[
    Literal["auto", "epsilon", "v_prediction", "sample", "flow"],
    Field(description="what the model predicts; auto takes what the file or its family says"),
]
ZeroSnr = Annotated[
    Literal["auto", "on", "off"],
    Field(description="whether it was trained down to zero signal (zero terminal SNR); auto takes what the file says"),
]


if TYPE_CHECKING:
    EncodedFamily = str
else:
    EncodedFamily = Literal[
        (
            "auto",
            *(name for name, family in installed().items() if any(role.kind == "text" for role in family.encoders())),
        )
    ]


class Checkpoint(NamedTuple):
    """The parts of a checkpoint."""

    model: Annotated[Model, Field(description="the denoising model")]
    text_encoder: Annotated[TextEncoder, Field(description="the text encoders with their tokenizers")]
    vae: Annotated[Vae, Field(description="the autoencoder between pixels and latents")]
    safety_checker: Annotated[
        SafetyChecker | None, Field(description="the safety checker, where the checkpoint has one")
    ]


@node("load_checkpoint")
def load_checkpoint(model: CheckpointName, prediction: Prediction = "auto", zero_snr: ZeroSnr = "auto") -> Checkpoint:
    """Name a checkpoint and get its model, text encoder, autoencoder and, where it has one, safety checker.

    Only headers are read here. A part that the file lacks is reported by the first node that computes with it.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file is no checkpoint.
    """
    models = runtime.current().models
    parts = models.parts(model, "checkpoint")
    denoiser = _the_part(model, "checkpoint", DENOISERS, parts)
    found: ModelFile = models.find(model, "checkpoint", part=denoiser, options=_options(prediction, zero_snr))

    def other(part: str) -> ModelFile:
        return replace(found, part=part, options={})

    encoders = [part for part in TEXT_ENCODERS if part in parts] or ["text_encoder"]
    return Checkpoint(
        model=Model(files=(found,)),
        text_encoder=TextEncoder(files=tuple(other(part) for part in encoders)),
        vae=Vae(files=(other("vae"),)),
        safety_checker=SafetyChecker(files=(other("safety_checker"),)) if "safety_checker" in parts else None,
    )


@node("load_diffusion_model")
def load_diffusion_model(
    model: Annotated[str, ModelName("diffusion_model"), Field(min_length=1, description="a UNet or transformer alone")],
    prediction: Prediction = "auto",
    zero_snr: ZeroSnr = "auto",
) -> Model:
    """Name a denoising model that lies in a file or folder of its own.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file holds no denoising model.
    """
    models = runtime.current().models
    part = _the_part(model, "diffusion_model", DENOISERS, models.parts(model, "diffusion_model"))
    return Model(files=(models.find(model, "diffusion_model", part=part, options=_options(prediction, zero_snr)),))


@node("load_text_encoder")
def load_text_encoder(
    model: Annotated[str, ModelName("text_encoder"), Field(min_length=1, description="a text encoder")],
    model_2: Annotated[
        str,
        ModelName("text_encoder"),
        Field(description="the second encoder of a family that has several; empty where there is one"),
    ] = "",
    model_3: Annotated[
        str,
        ModelName("text_encoder"),
        Field(description="the third encoder of a family that has three; empty where there are fewer"),
    ] = "",
    family: Annotated[
        EncodedFamily,
        Field(description="which family it conditions; auto: what the file says, else one that reads such encoders"),
    ] = "auto",
) -> TextEncoder:
    """Name one to three text encoders that lie in files or folders of their own.

    Raises:
        ModelNotFoundError: A name resolves to nothing.
        ModelFormatError: A file holds no text encoder, or no family reads these together.
    """
    models = runtime.current().models
    names = [name for name in (model, model_2, model_3) if name]
    files = [
        models.find(
            name,
            "text_encoder",
            part=_the_part(name, "text_encoder", TEXT_ENCODERS, models.parts(name, "text_encoder")),
        )
        for name in names
    ]
    wanted = family if family != "auto" else models.family_of(files)
    return TextEncoder(files=tuple(replace(file, family=wanted) if wanted else file for file in files))


@node("load_vae")
def load_vae(model: Annotated[str, ModelName("vae"), Field(min_length=1, description="an autoencoder")]) -> Vae:
    """Name an autoencoder that lies in a file or folder of its own.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file holds no autoencoder.
    """
    models = runtime.current().models
    part = _the_part(model, "vae", ("vae",), models.parts(model, "vae"))
    return Vae(files=(models.find(model, "vae", part=part),))


@node("load_safety_checker")
def load_safety_checker(
    model: Annotated[
        str,
        ModelName("safety_checker"),
        Field(min_length=1, description="a safety checker, or a checkpoint that has one"),
    ],
) -> SafetyChecker:
    """Name a safety checker.

    Raises:
        ModelNotFoundError: The name resolves to nothing.
        ModelFormatError: The file holds no safety checker.
    """
    models = runtime.current().models
    part = _the_part(model, "safety_checker", ("safety_checker",), models.parts(model, "safety_checker"))
    return SafetyChecker(files=(models.find(model, "safety_checker", part=part),))


def _options(prediction: str, zero_snr: str) -> dict[str, Any] | None:
    """Return the choices that the user made against what the file says."""
    chosen: dict[str, Any] = {}
    if prediction != "auto":
        chosen["prediction_type"] = prediction
    if zero_snr != "auto":
        chosen["zero_snr"] = zero_snr == "on"
    return chosen or None


def _the_part(name: str, kind: str, wanted: tuple[str, ...], parts: tuple[str, ...]) -> str:
    for part in wanted:
        if part in parts:
            return part
    what = "denoising model" if wanted is DENOISERS else kind.replace("_", " ")
    held = ", ".join(parts) or "nothing known"
    raise ModelFormatError(
        f"it has no {what}, only {held}",
        where=name,
        advice="load_vae, load_text_encoder and load_safety_checker load single parts",
    )
