"""Nodes for workers of a cluster, and the sessions of driver and workers that have them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphflow import runtime
from graphflow.cluster.employment import Employment, settings_of
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from graphflow.spec.registry import Registry
from graphflow.store import MemoryTier, Store
from graphflow.values import ModelFile
from graphflow.values.types import value_type
from tests.conftest import NoModels


@value_type("cluster_block")
@dataclass(frozen=True, eq=False)
class Block:
    """A tensor."""

    data: Any


@node("cluster_combine", lane="device")
def combine(a: int, b: int = 0, factor: int = 1) -> int:
    """Combine numbers, so that order and factor matter."""
    return (31 * a + 17 * b + factor) % 1_000_003


@node("cluster_block", lane="device")
def block(size: int, value: float = 1.0) -> Block:
    """Fill a tensor."""
    import torch

    return Block(torch.full((size,), value, dtype=torch.bfloat16))


@node("cluster_total", lane="device")
def total(block: Block) -> float:
    """Add up a tensor."""
    return float(block.data.double().sum())


@node("cluster_steps", lane="device")
def steps(count: int, folder: str = "") -> int:
    """Report steps, each of which takes a moment; write the process's id first."""
    if folder:
        Path(folder, str(os.getpid())).touch()
    for step in range(count):
        time.sleep(0.02)
        runtime.current().report(step + 1, count, None)
    return os.getpid()


@node("cluster_dies", lane="device")
def dies(folder: str, times: int) -> int:
    """Die as a process does that the system ends, the first times that it is called."""
    place = Path(folder)
    place.mkdir(exist_ok=True)
    before = len(list(place.iterdir()))
    if before < times:
        (place / str(before)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return before


@node("cluster_fails", lane="device")
def fails(text: str) -> int:
    """Raise an error."""
    raise ValueError(text)


@node("cluster_model")
def model(fingerprint: str) -> ModelFile:
    """Name a model file."""
    return ModelFile(name="upscaler", kind="upscale_model", part="", family="", fingerprint=fingerprint)


@node("cluster_uses", lane="device")
def uses(model: ModelFile) -> str:
    """Tell which file was meant."""
    return model.fingerprint


REGISTRY = Registry().with_nodes(
    [combine, block, total, steps, dies, fails, model, uses], pack="cluster", version="1.0"
)


def driver(folder: Path, *, disk: bool = True, cluster: str | None = "local*2", **more: Any) -> Session:
    """Make a session with these nodes and no models."""
    settings = Settings(models=(), cache_dir=folder / "cache", cluster=cluster)
    return Session(
        settings, known=REGISTRY, models=NoModels(), store=None if disk else Store(MemoryTier(2**30)), **more
    )


def worker(told: Employment) -> Session:
    """Make the session of a worker."""
    store = None if told.probe is not None else Store(MemoryTier(2**30))
    return Session(settings_of(told), known=REGISTRY, models=NoModels(), store=store)
