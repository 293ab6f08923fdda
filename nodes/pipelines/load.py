"""Loading a whole Diffusers pipeline from a folder, on the device that the settings name."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from graphflow import runtime
from graphflow.basics.wording import nearest
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.values import SafetyChecker

from .table import Signature, pipeline_folders

if TYPE_CHECKING:
    from graphflow.loading.manager import ModelManager
    from graphflow.modelfiles.description import Description

_VARIANT = re.compile(r"\.([a-z0-9_]+)(?:-\d{5}-of-\d{5})?\.safetensors\Z")
_LIBRARIES = ("diffusers", "transformers")
_DEVICE_SHARE = 0.9
"""Share of the device's memory that weights may fill; the rest is for what is computed."""


@dataclass(frozen=True)
class Opened:
    """A pipeline, ready to be called, and the recipe of its model's safety checker."""

    pipe: Any
    checker: SafetyChecker | None


@contextmanager
def open_pipeline(known: Signature, model: str, scheduler: str, options: Mapping[str, Any]) -> Iterator[Opened]:
    """Have a pipeline in place until the block ends; other models leave the device to make room.

    Weights are read from safetensors only, nothing is downloaded, and no code that comes with the model runs. The
    pipeline's own safety checker is left out: the checker is returned, so that the safety policy decides.

    Args:
        known: The pipeline class.
        model: Name of a model that is a Diffusers folder.
        scheduler: Scheduler class to use instead of the model's; empty keeps it.
        options: Changes to the scheduler's config.

    Raises:
        ModelNotFoundError: There is no such model.
        ModelFormatError: The model is no Diffusers folder, or not made for this pipeline.
        InvalidInputError: The scheduler has no such option.
    """
    manager = cast("ModelManager", runtime.current().models)
    file = manager.find(model, "checkpoint", part="")
    description = manager.describe(file)
    folder = description.path
    if folder is None or not (folder / "model_index.json").is_file():
        raise ModelFormatError(
            "a whole pipeline needs a Diffusers folder (with model_index.json)",
            where=model,
            advice="use load_checkpoint and sample for a single file, or save it once with save_pretrained",
        )
    _check_index(folder, model)
    manager.free()
    cls = getattr(importlib.import_module(known.module), known.pipeline)
    with _quiet():
        pipe = _load(cls, folder, manager.placement.dtype_for(description.family), _variant(description), model)
    if scheduler or options:
        pipe.scheduler = _scheduler(pipe, scheduler, options)
    _place(pipe, manager, description.bytes)
    pipe.set_progress_bar_config(disable=True)
    checker = None
    if "safety_checker" in description.parts:
        checker = SafetyChecker(files=(manager.find(model, "checkpoint", part="safety_checker"),))
    try:
        yield Opened(pipe, checker)
    finally:
        pipe.maybe_free_model_hooks()
        del pipe
        manager.free()


def _check_index(folder: Path, model: str) -> None:
    """Refuse an index that names code of its own or classes outside Diffusers and transformers."""
    try:
        index = json.loads((folder / "model_index.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFormatError(f"model_index.json cannot be read: {error}", where=model) from error
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise ModelFormatError(
            "model_index.json names no pipeline class",
            where=model,
            advice="pipelines with code of their own are not run",
        )
    for name, entry in index.items():
        if (
            isinstance(entry, list)
            and len(entry) == 2
            and entry[0] is not None
            and entry[0] not in (*_LIBRARIES, *pipeline_folders())
        ):
            raise ModelFormatError(
                f"its part {name!r} is a class of {entry[0]!r}, which is neither Diffusers nor transformers",
                where=model,
                advice="pipelines with code of their own are not run",
            )


def _variant(description: Description) -> str | None:
    """Return the variant of the weights, such as ``fp16``, where a folder has no plain ones."""
    variants = {match[1] if (match := _VARIANT.search(file.name)) else "" for file in description.files}
    return None if "" in variants or not variants else min(variants)


def _load(cls: Any, folder: Path, dtype: Any, variant: str | None, model: str) -> Any:
    given: dict[str, Any] = {
        "dtype": dtype,
        "local_files_only": True,
        "use_safetensors": True,
        "trust_remote_code": False,
    }
    if variant is not None:
        given["variant"] = variant
    taken = inspect.signature(cls.__init__).parameters
    if "safety_checker" in taken:
        given["safety_checker"] = None
    if "requires_safety_checker" in taken:
        given["requires_safety_checker"] = False
    try:
        return cls.from_pretrained(folder, **given)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError) as error:
        raise ModelFormatError(
            f"{cls.__name__} cannot be made of it: {error}",
            where=model,
            advice="model_index.json names the class that it is made for",
        ) from error


def _scheduler(pipe: Any, name: str, options: Mapping[str, Any]) -> Any:
    import diffusers

    current = getattr(pipe, "scheduler", None)
    if current is None:
        raise InvalidInputError(f"{type(pipe).__name__} has no scheduler to change", where="scheduler")
    cls = getattr(diffusers, name) if name else type(current)
    known = [
        parameter for parameter in inspect.signature(cls.__init__).parameters if parameter not in ("self", "kwargs")
    ]
    for option in options:
        if option not in known:
            near = nearest(option, known)
            raise InvalidInputError(
                f"{cls.__name__} has no option {option!r}",
                where="scheduler_options",
                advice=f"did you mean {near!r}?" if near else "it has " + ", ".join(known),
            )
    try:
        return cls.from_config(current.config, **options)
    except Exception as error:  # whatever its arithmetic does with values that nobody checked
        raise InvalidInputError(
            f"{cls.__name__} cannot be made with {', '.join(options) or 'the config of the model'}: {error}",
            where="scheduler_options",
        ) from error


def _place(pipe: Any, manager: ModelManager, weight_bytes: int) -> None:
    """Put the pipeline on the device, in the way that its size and the memory ladder call for."""
    from graphflow.loading import offload
    from graphflow.loading.devices import device_memory

    device = manager.placement.device
    vae: Any = getattr(pipe, "vae", None)
    if offload.TILES in manager.measures and hasattr(vae, "enable_tiling"):
        vae.enable_tiling()
    if not manager.placement.offloads:
        pipe.to(device)
    elif offload.GROUPS in manager.measures:
        pipe.enable_sequential_cpu_offload(device=device)
    elif offload.MODELS in manager.measures or weight_bytes > device_memory(device) * _DEVICE_SHARE:
        pipe.enable_model_cpu_offload(device=device)
    else:
        pipe.to(device)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' progress bars of loading off the console."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    shown = [log for log in (diffusers_logging, transformers_logging) if log.is_progress_bar_enabled()]
    for log in shown:
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log in shown:
            log.enable_progress_bar()
