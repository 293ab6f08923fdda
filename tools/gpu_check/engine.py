"""All that the checks take from inside the engine: memory measures from the start, and the stream of CUDA noise."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from graphflow import Session
from graphflow.library.library import Library
from graphflow.loading.devices import Placement, place
from graphflow.loading.manager import ModelManager
from graphflow.sampling.noise import Stream, stream
from graphflow.settings import Settings
from graphflow.values import Recipe, TextEncoder

RUNGS = ("freed", "slices", "leave the device", "layer by layer")
"""A word of what each rung of the ladder says, in its order."""

LAST_MEASURE = (None, "tiles", "model_offload", "group_offload")
"""The measure that each rung puts in force at last."""


def noise(device: str, seed: int) -> Stream:
    """The engine's own stream of a device's random numbers."""
    return stream("cuda" if device == "cuda" else "cpu", seed)


def session_with(settings: Settings, measures: Collection[str], **more: Any) -> Session:
    """A session whose memory measures are in force from the start."""
    placement = place(settings.device, settings.dtype)
    return Session(settings, models=ModelManager(Library(settings), placement=placement, measures=measures), **more)


def session_in_want(settings: Settings, rung: int, **more: Any) -> Session:
    """A session on the CPU whose device seems to have too little memory until a rung is climbed."""
    placement = _Apart(torch.device("cpu"), place("cpu", settings.dtype).dtype)
    return Session(settings, models=_InWant(rung, Library(settings), placement=placement), **more)


class _Apart(Placement):
    """The CPU, treated as if its memory were apart."""

    @property
    def offloads(self) -> bool:
        return True


class _InWant(ModelManager):
    """Runs out of memory until a rung is climbed, whenever anything but a text encoder is asked for."""

    def __init__(self, rung: int, library: Library, **more: Any) -> None:
        super().__init__(library, **more)
        self.rung, self.failures = rung, 0

    @contextmanager
    def use(self, recipe: Recipe) -> Iterator[Any]:
        if not isinstance(recipe, TextEncoder) and not self._relieved():
            self.failures += 1
            raise torch.OutOfMemoryError("pretended: out of memory")
        with super().use(recipe) as loaded:
            yield loaded

    def _relieved(self) -> bool:
        measure = LAST_MEASURE[self.rung]
        return self.failures > 0 if measure is None else measure in self.measures
