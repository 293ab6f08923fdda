"""Whole Diffusers pipelines: what they are already."""

from __future__ import annotations

from typing import Any

from graphflow.nodes.pipelines.call import arguments_of
from graphflow.nodes.pipelines.table import signature

from ..graph import Given
from ..handles import Masks, Pictures, Pixels
from ..layout import Expression, call, literal
from ..models import ModelPart
from ..script import UnsupportedError
from .base import Emission, Emitter
from .loaders import make_base

LINKED = ("image", "mask_image", "control_image", "ip_adapter_image", "last_image", "video")


def run_pipeline(emission: Emission) -> dict[str, Any]:
    """A pipeline's call, with the arguments as they stand."""
    script = emission.script
    name = str(emission.fixed("pipeline"))
    known = signature(name)
    emission.begin()
    arguments = _arguments(emission, known)
    base = make_base(emission, "MODEL", (("pipeline", name),))
    script.use("diffusers", name)
    has_checker = "safety_checker" in base.description.parts
    options: dict[str, Expression] = {"dtype": "DTYPE", **emission.loader.checking(base)}
    pipe = script.assign("pipe", call(f"{name}.from_pretrained", base.path, **options))
    script.place(pipe)
    _set_scheduler(emission, pipe)
    result = script.assign("result", call(pipe, **arguments))
    flags = f"{result}.nsfw_content_detected" if has_checker and base.key in script.facts.checked else ""
    return {
        "images": Pictures(f"{result}.images", flags, ModelPart(base, "safety_checker")),
        "safety_checker": ModelPart(base, "safety_checker") if has_checker else Given(None),
    }


def _arguments(emission: Emission, known: Any) -> dict[str, Expression]:
    arguments: dict[str, Expression] = {}
    if emission.inputs["prompt"].value or emission.script.is_open(emission.inputs["prompt"]):
        arguments["prompt"] = emission.value("prompt")
    arguments |= {name: literal(value) for name, value in (emission.fixed("arguments") or {}).items()}
    targets = arguments_of(known)
    for name in LINKED:
        found = emission.inputs[name]
        if isinstance(found, Given):
            continue
        if isinstance(found, Masks):
            variable = f"{found.variable}[:, None].expand(-1, 3, -1, -1)"
        elif isinstance(found, Pixels):
            variable = found.variable
        else:
            raise UnsupportedError(f"its input {name} cannot be given to a pipeline in a script")
        emission.script.need("to_pil")
        arguments[targets[name]] = f"to_pil({variable})"
    if "generator" in known.arguments:
        arguments["generator"] = f'torch.Generator("cpu").manual_seed({emission.value("seed")})'
    return arguments


def _set_scheduler(emission: Emission, pipe: str) -> None:
    name, options = emission.fixed("scheduler"), emission.fixed("scheduler_options") or {}
    if not name and not options:
        return
    changes: dict[str, Expression] = {str(option): literal(value) for option, value in options.items()}
    made = f"{name}.from_config" if name else f"type({pipe}.scheduler).from_config"
    if name:
        emission.script.use("diffusers", str(name))
    emission.script.add(f"{pipe}.scheduler = ", call(made, f"{pipe}.scheduler.config", **changes))


EMITTERS: dict[str, Emitter] = {"run_pipeline": run_pipeline}
