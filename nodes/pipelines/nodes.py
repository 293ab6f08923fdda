"""The node that runs a whole Diffusers pipeline, for every family that has no nodes of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from graphflow.basics.wording import nearest
from graphflow.limits import LIMITS
from graphflow.spec.decorator import FileNeed, ModelName, Seed, node
from graphflow.values import Audio, Image, Mask, SafetyChecker, Video

from .call import check_call
from .table import pipeline_names, scheduler_names

__all__ = ["run_pipeline"]


class PipelineResult(NamedTuple):
    """What a pipeline made; None for what it does not make."""

    images: Annotated[Image | None, Field(description="pictures (B, 3, H, W) in [0, 1]")]
    video: Annotated[Video | None, Field(description="the video; the first where it makes several")]
    audio: Annotated[Audio | None, Field(description="the sound; the first where it makes several")]
    safety_checker: Annotated[
        SafetyChecker | None, Field(description="the model's own safety checker, where it has one")
    ]


def _checked(params: Mapping[str, Any]) -> Iterable[FileNeed]:
    """Check the literal call while planning; it needs no further files."""
    pipeline, arguments = params.get("pipeline"), params.get("arguments", {})
    if isinstance(pipeline, str) and isinstance(arguments, dict):
        check_call(pipeline, arguments, scheduler=params.get("scheduler", ""))
    return ()


def _known_class(known: Callable[[], tuple[str, ...]], what: str) -> AfterValidator:
    """Check a class name against an allow-list, as soon as a document is read."""

    def check(name: str) -> str:
        if name and name not in known():
            near = nearest(name, known())
            hint = f" (did you mean {near!r}?)" if near else ""
            raise PydanticCustomError(
                "unknown_class", "no {what} class of Diffusers has this name{hint}", {"what": what, "hint": hint}
            )
        return name

    return AfterValidator(check)


@node("run_pipeline", lane="device", generates=True, needs=_checked)
def run_pipeline(
    pipeline: Annotated[
        str,
        _known_class(pipeline_names, "pipeline"),
        Field(min_length=1, max_length=200, description="a pipeline class of Diffusers, e.g. FluxPipeline"),
    ],
    model: Annotated[
        str,
        ModelName("checkpoint"),
        Field(min_length=1, description="a Diffusers folder (with model_index.json) or a Hub id"),
    ],
    prompt: Annotated[
        str, Field(max_length=LIMITS.text, description="goes into the argument of that name; empty gives none")
    ] = "",
    arguments: Annotated[
        dict[str, JsonValue] | None, Field(description="further arguments of the pipeline's call, by name")
    ] = None,
    seed: Seed = 0,
    scheduler: Annotated[
        str,
        _known_class(scheduler_names, "scheduler"),
        Field(max_length=200, description="a scheduler class of Diffusers; empty keeps the model's own"),
    ] = "",
    scheduler_options: Annotated[
        dict[str, JsonValue] | None, Field(description="changes to the scheduler's config, by name")
    ] = None,
    image: Annotated[Image | None, Field(description="goes into the argument of that name")] = None,
    mask_image: Annotated[Mask | None, Field(description="goes into the argument mask_image or mask")] = None,
    control_image: Annotated[Image | None, Field(description="goes into the argument of that name")] = None,
    ip_adapter_image: Annotated[Image | None, Field(description="goes into the argument of that name")] = None,
    last_image: Annotated[Image | None, Field(description="goes into the argument of that name")] = None,
    video: Annotated[Video | None, Field(description="goes into the argument of that name, as frames")] = None,
    fps: Annotated[float, Field(gt=0, le=240, description="frames a second of a video that the pipeline makes")] = 8.0,
) -> PipelineResult:
    """Run a Diffusers pipeline as its class has it: pictures, a video or sound come out.

    The class must be one that the installed Diffusers has; the arguments are checked against its call before anything
    is loaded. Code that comes with a model is never run.

    Raises:
        InvalidInputError: There is no such pipeline, scheduler or argument, or a value does not fit.
        ModelFormatError: The model is not made for this pipeline.
        NonFiniteError: The pipeline makes NaN.
    """
    from .load import open_pipeline
    from .run import call_pipeline

    linked = {
        "image": image,
        "mask_image": mask_image,
        "control_image": control_image,
        "ip_adapter_image": ip_adapter_image,
        "last_image": last_image,
        "video": video,
    }
    given = {**(arguments or {}), **({"prompt": prompt} if prompt else {})}
    present = {name: value for name, value in linked.items() if value is not None}
    known = check_call(pipeline, given, scheduler=scheduler, linked=present)
    with open_pipeline(known, model, scheduler, scheduler_options or {}) as opened:
        images, film, sound = call_pipeline(opened.pipe, known, given, present, seed=seed, fps=fps)
    return PipelineResult(images, film, sound, opened.checker)
