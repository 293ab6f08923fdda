"""Checking a pipeline's call against its signature, before anything is loaded."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from graphflow.basics.wording import nearest, shorten
from graphflow.errors import InvalidInputError
from graphflow.limits import LIMITS

from .table import Argument, Signature, pipeline_names, require_known, scheduler_names, signature

RESERVED = {
    "generator": "the seed sets it",
    "output_type": "the outputs set it",
    "return_dict": "the outputs set it",
    "callback": "progress uses it",
    "callback_steps": "progress uses it",
    "callback_on_step_end": "progress uses it",
    "callback_on_step_end_tensor_inputs": "progress uses it",
}
"""Arguments that the node itself gives."""

LINKED = ("image", "mask_image", "control_image", "ip_adapter_image", "last_image", "video")
"""Arguments that come over links."""

_BOUNDS = {
    "num_inference_steps": LIMITS.steps,
    "num_images_per_prompt": LIMITS.batch,
    "num_videos_per_prompt": LIMITS.batch,
    "num_waveforms_per_prompt": LIMITS.batch,
    "batch_size": LIMITS.batch,
    "num_frames": LIMITS.frames,
    "video_length": LIMITS.frames,
    "width": LIMITS.edge,
    "height": LIMITS.edge,
}


def check_call(
    pipeline: str, arguments: Mapping[str, Any], *, scheduler: str = "", linked: Collection[str] = ()
) -> Signature:
    """Check a pipeline's name, its scheduler's and the literal arguments of its call.

    Args:
        pipeline: The pipeline class.
        arguments: Literal arguments.
        scheduler: The scheduler class; empty is none.
        linked: Names of arguments that come over links.

    Raises:
        InvalidInputError: With everything that is wrong.
    """
    require_known(pipeline, pipeline_names(), "pipeline")
    known = signature(pipeline)
    problems = [problem for name, value in arguments.items() if (problem := _problem(known, name, value))]
    problems += [f"{pipeline} takes no {name!r}" for name in linked if name not in arguments_of(known)]
    if scheduler:
        try:
            require_known(scheduler, scheduler_names(), "scheduler")
        except InvalidInputError as error:
            problems.append(f"{error.message} ({error.advice})")
    if problems:
        raise InvalidInputError("; ".join(problems), where=pipeline)
    return known


def arguments_of(known: Signature) -> dict[str, str]:
    """Return which argument of a call each link goes to, by the link's name."""
    targets = {name: name for name in LINKED if name in known.arguments}
    if "mask_image" not in targets and "mask" in known.arguments:
        targets["mask_image"] = "mask"
    if "image" not in targets and "images" in known.arguments:
        targets["image"] = "images"
    return targets


def _problem(known: Signature, name: str, value: Any) -> str:
    if name in RESERVED:
        return f"{name!r} cannot be given: {RESERVED[name]}"
    argument = known.arguments.get(name)
    if argument is None:
        near = nearest(name, known.arguments)
        return f"{known.pipeline} takes no {name!r}" + (f", did you mean {near!r}?" if near else "")
    if not _takes(argument, value):
        return _mismatch(argument, value)
    bounds = argument.bounds or ((0, _BOUNDS[name]) if name in _BOUNDS else None)
    if bounds is not None and isinstance(value, int | float) and not bounds[0] <= value <= bounds[1]:
        return f"{name!r} must be from {bounds[0]:,} to {bounds[1]:,}, got {shorten(value)}"
    return ""


def _mismatch(argument: Argument, value: Any) -> str:
    if argument.kinds <= {"object", "null"}:
        way = "link it" if argument.name in LINKED else "it cannot be given here"
        return f"{argument.name!r} is a {argument.annotation}: {way}"
    shown = repr(value)
    return f"{argument.name!r} takes {argument.annotation}, got {shown if len(shown) <= 60 else shown[:59] + '…'}"


def _takes(argument: Argument, value: Any) -> bool:
    """Tell whether an argument takes a JSON value."""
    return _fits(value, argument.kinds, argument.items)


def _fits(value: Any, kinds: frozenset[str], items: frozenset[str]) -> bool:
    if "any" in kinds:
        return True
    if value is None:
        return "null" in kinds
    if isinstance(value, bool):
        return "bool" in kinds
    if isinstance(value, int):
        return bool(kinds & {"int", "float"})
    if isinstance(value, float):
        return "float" in kinds
    if isinstance(value, str):
        return "str" in kinds
    if isinstance(value, dict):
        return "dict" in kinds
    if isinstance(value, list | tuple):
        return "list" in kinds and (not items or all(_fits(item, items, frozenset()) for item in value))
    return False
