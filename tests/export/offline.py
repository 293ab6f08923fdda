"""What exported scripts find in the process that they are forked from: configs of single files, and loaded models.

Diffusers would fetch the configs from the Hub. A script that is forked gets the models as they were just after loading,
since what it does to them stays in its own process. Knows nothing of graphflow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any


def prepare(configs: str, *checkpoints: str) -> None:
    """Have ``from_single_file`` find configs, and load checkpoints.

    Args:
        configs: JSON of an object: for each file the folder of its configs.
        *checkpoints: Files to load now, on the CPU in float32.
    """
    import torch
    from diffusers import StableDiffusionPipeline
    from diffusers.loaders import FromOriginalModelMixin, FromSingleFileMixin

    loaded: dict[str, Any] = {}
    for mixin in (FromOriginalModelMixin, FromSingleFileMixin):
        mixin.from_single_file = classmethod(_offline(mixin.from_single_file.__func__, json.loads(configs), loaded))
    for path in checkpoints:
        loaded[path] = StableDiffusionPipeline.from_single_file(path, dtype=torch.float32, safety_checker=None)


def _offline(original: Callable[..., Any], configs: Mapping[str, str], loaded: dict[str, Any]) -> Callable[..., Any]:
    def from_single_file(cls: Any, *paths: Any, **options: Any) -> Any:
        path = str(paths[0]) if paths else ""  # Diffusers itself names the argument, for the parts of a pipeline
        if path in loaded:
            # a second pipeline of this file has weights of its own
            given = {name: part for name, part in options.items() if name != "dtype"}
            return cls(**{**loaded.pop(path).components, **given}, requires_safety_checker=False)
        if path in configs:
            options = {"config": configs[path], "local_files_only": True, **options}
        return original(cls, *paths, **options)

    return from_single_file
