"""Models: recipes here too; a pipeline is loaded where it is first called."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphflow.modelfiles.families import family_of_encoders

from ..families import family_of, flow_of, traits_of
from ..graph import Given
from ..layout import call, quoted
from ..models import Base, ModelPart
from ..nets import described, how_to_load, net_of, tokenizer_of
from ..quantised import plain_copy
from ..script import UnsupportedError
from ..single_files import AUTOENCODERS, role_of
from .base import Emission, Emitter

TASKS = frozenset({"generate", "inpaint", "edit", "estimate"})
"""What models are made for that scripts can write."""
FLOW_TASKS = TASKS | {"control"}
"""The same of models on a flow, which read a picture that steers them as one to paint into."""


def load_checkpoint(emission: Emission) -> dict[str, Any]:
    """A checkpoint's parts."""
    base = make_base(emission, "MODEL", _options(emission))
    family_of(base)  # says where there is no script for it
    if flow_of(base) is not None and how_to_load(base) == "from_single_file":
        base = in_parts(emission, base)
    parts = {part: ModelPart(base, part) for part in ("model", "text_encoder", "vae")}
    if base.description.task not in (TASKS if flow_of(base) is None else FLOW_TASKS):
        raise UnsupportedError(f"a checkpoint made to {base.description.task} cannot be written in scripts")
    has_checker = "safety_checker" in base.description.parts
    return {**parts, "safety_checker": ModelPart(base, "safety_checker") if has_checker else Given(None)}


def load_diffusion_model(emission: Emission) -> ModelPart:
    """A UNet or transformer from a file of its own; at sampling it meets its text encoders."""
    base = make_base(emission, "MODEL", _options(emission))
    name = traits_of(base).network
    tasks = TASKS if flow_of(base) is None else FLOW_TASKS
    if name not in base.description.parts or base.description.task not in tasks:
        raise UnsupportedError(
            f"a model of the family {base.family} made to {base.description.task} cannot be written in scripts"
        )
    return ModelPart(base, name)


def load_text_encoder(emission: Emission) -> ModelPart:
    """Text encoders from files of their own."""
    names = ["model", *(name for name in ("model_2", "model_3") if emission.fixed(name))]
    bases = [make_base(emission, "TEXT_ENCODER", (), name=name) for name in names]
    family = emission.fixed("family")
    if family == "auto":
        told = bases[0].family if len(bases) == 1 else ""
        classes = [base.description.parts[part].class_name for base in bases for part in base.description.parts]
        family = told or family_of_encoders(classes).name
    whole = replace(bases[0], family=family)
    roles = [role for role in family_of(whole).encoders() if role.kind == "text"]
    parts: dict[str, ModelPart] = {}
    for base in bases:
        name = role_of(base.description, roles, parts)
        if name is None:
            raise UnsupportedError(
                f"{family} has no such text encoder as {base.description.name}, or two of them are one"
            )
        parts[name] = ModelPart(base, name)
    if flow_of(whole) is None and len(parts) != len(roles):
        raise UnsupportedError(
            f"scripts load all text encoders of a model: {family} has {len(roles)}, not {len(bases)}"
        )
    return ModelPart(
        replace(
            whole,
            key=repr([base.key for base in bases]),
            alone=tuple((name, net_of(part)) for name, part in parts.items()),
            encoders=tuple((name, described(part)) for name, part in parts.items()),
            tokenizers=tuple(_tokenizer(emission, part) for part in parts.values()),
        ),
        "text_encoder",
    )


def _tokenizer(emission: Emission, part: ModelPart) -> tuple[str, str, str]:
    loader, path = tokenizer_of(part)
    argument = part.part.replace("text_encoder", "tokenizer")
    return argument, loader, constant_for(emission, path, "TOKENIZER")


def in_parts(emission: Emission, base: Base) -> Base:
    """A single file as parts that are loaded one by one, and put together."""
    roles = [role.part for role in family_of(base).encoders() if role.kind == "text"]
    names = [name for name in (traits_of(base).network, *roles, "vae") if name in base.description.parts]
    texts = [ModelPart(base, name) for name in names if name in roles]
    return replace(
        base,
        apart=True,
        alone=tuple((name, net_of(ModelPart(base, name))) for name in names),
        tokenizers=tuple(_tokenizer(emission, part) for part in texts),
    )


def load_vae(emission: Emission) -> ModelPart:
    """An autoencoder from a file of its own."""
    base = make_base(emission, "VAE", ())
    part = base.description.parts.get("vae")
    if part is None or part.class_name not in AUTOENCODERS:
        raise UnsupportedError(f"only autoencoders of the classes {', '.join(AUTOENCODERS)} can be written in scripts")
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
    path = constant_path(emission, name, constant)
    shown = script.value(given, default=path, shown=path)
    if (copy := plain_copy(script, description, shown)) is not None:
        shown = script.assign(constant, copy)
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
