"""Models: recipes here too; a pipeline is loaded where it is first called."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphflow.modelfiles.families import family_of_encoders
from graphflow.modelfiles.quantised.float8 import DTYPES as PLAIN
from graphflow.modelfiles.quantised.recognise import WIDE

from ..families import family_of, text_parts
from ..graph import Given
from ..layout import call, quoted
from ..models import Base, ModelPart
from ..nets import net_of, tokenizer_path
from ..script import UnsupportedError
from .base import Emission, Emitter

TASKS = frozenset({"generate", "inpaint", "edit"})
"""What models are made for that scripts can write."""


def load_checkpoint(emission: Emission) -> dict[str, Any]:
    """A checkpoint's parts."""
    base = make_base(emission, "MODEL", _options(emission))
    family_of(base)  # says where there is no script for it
    parts = {part: ModelPart(base, part) for part in ("model", "text_encoder", "vae")}
    if base.description.task not in TASKS:
        raise UnsupportedError(f"a checkpoint made to {base.description.task} cannot be written in scripts")
    has_checker = "safety_checker" in base.description.parts
    return {**parts, "safety_checker": ModelPart(base, "safety_checker") if has_checker else Given(None)}


def load_diffusion_model(emission: Emission) -> ModelPart:
    """A UNet from a file of its own; at sampling it meets its text encoders."""
    base = make_base(emission, "UNET", _options(emission))
    part = base.description.parts.get("unet")
    if part is None or base.description.task not in TASKS:
        raise UnsupportedError("only UNets of Stable Diffusion 1, 2 and XL can be written in scripts")
    return ModelPart(base, "unet")


def load_text_encoder(emission: Emission) -> ModelPart:
    """Text encoders from files of their own."""
    names = ["model", *(name for name in ("model_2", "model_3") if emission.fixed(name))]
    bases = [make_base(emission, "TEXT_ENCODER", (), name=name) for name in names]
    family = emission.fixed("family")
    if family == "auto":
        told = bases[0].family if len(bases) == 1 else ""
        classes = [base.description.parts[part].class_name for base in bases for part in base.description.parts]
        family = told or family_of_encoders(classes).name
    roles = text_parts(replace(bases[0], family=family))
    if len(bases) != len(roles):
        raise UnsupportedError(
            f"scripts load all text encoders of a model: {family} has {len(roles)}, not {len(bases)}"
        )
    if len(bases) > 1 and roles[1] in bases[0].description.parts:
        bases.reverse()
    parts = [ModelPart(base, role) for base, role in zip(bases, roles, strict=True)]
    paths = [constant_for(emission, tokenizer_path(part), "TOKENIZER") for part in parts]
    return ModelPart(
        replace(
            bases[0],
            key=repr([base.key for base in bases]),
            family=family,
            alone=tuple((part.part, net_of(part)) for part in parts),
            tokenizers=tuple(paths),
        ),
        "text_encoder",
    )


def load_vae(emission: Emission) -> ModelPart:
    """An autoencoder from a file of its own."""
    base = make_base(emission, "VAE", ())
    part = base.description.parts.get("vae")
    if part is None or part.class_name != "AutoencoderKL":
        raise UnsupportedError("only autoencoders of the class AutoencoderKL can be written in scripts")
    return ModelPart(base, "vae")


def load_safety_checker(emission: Emission) -> ModelPart:
    """A safety checker from a checkpoint."""
    base = make_base(emission, "SAFETY_CHECKER", ())
    if base.description.kind != "checkpoint":
        raise UnsupportedError("a safety checker that is no part of a checkpoint cannot be exported")
    return ModelPart(base, "safety_checker")


def make_base(emission: Emission, constant: str, options: tuple[tuple[str, Any], ...], *, name: str = "model") -> Base:
    """The handle of the model that a parameter names; its path becomes a constant."""
    script, given = emission.script, emission.inputs[name]
    description = emission.described(name)
    formats = {dtype for part in description.parts.values() for dtype in part.bytes_by_dtype}
    if strange := sorted(formats - WIDE - PLAIN - {"pickle"}):
        raise UnsupportedError(f"{description.name} is quantised ({', '.join(strange)}), which Diffusers reads wrongly")
    path = constant_path(emission, name, constant)
    shown = script.value(given, default=path, shown=path)
    return Base(
        key=repr((shown, options)),
        family=description.family or "",
        description=description,
        path=shown,
        options=options,
        node=emission.node.id,
    )


def constant_path(emission: Emission, name: str, constant: str, *, kind: str = "") -> str:
    """The name of the constant at the top that holds the path of a file."""
    return constant_for(emission, str(emission.use_of(name).path), constant, kind=kind)


def input_path(emission: Emission, constant: str) -> str:
    """The expression of a user's file: an argument of the command line, or a constant at the top."""
    given = emission.inputs["file"]
    if not hasattr(given, "value"):
        raise UnsupportedError("its file name is computed")
    path = constant_path(emission, "file", constant)
    return emission.script.value(given, default=path, shown=path)


def constant_for(emission: Emission, text: str, constant: str, *, kind: str = "") -> str:
    """The name of a constant at the top with this text, or with what ``kind`` makes of it."""
    return emission.script.constant(constant, call(kind, quoted(text)) if kind else quoted(text))


def _options(emission: Emission) -> tuple[tuple[str, Any], ...]:
    chosen: dict[str, Any] = {}
    prediction, zero_snr = emission.fixed("prediction"), emission.fixed("zero_snr")
    if prediction != "auto":
        chosen["prediction_type"] = prediction
    if zero_snr != "auto":
        chosen["rescale_betas_zero_snr"] = zero_snr == "on"
    return tuple(chosen.items())


EMITTERS: dict[str, Emitter] = {
    "load_checkpoint": load_checkpoint,
    "load_diffusion_model": load_diffusion_model,
    "load_text_encoder": load_text_encoder,
    "load_vae": load_vae,
    "load_safety_checker": load_safety_checker,
}
