"""Model managers over tiny models, and a runtime that remembers what it was told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from graphflow import runtime
from graphflow.library.library import Library
from graphflow.loading.manager import ModelManager
from graphflow.settings import Settings
from graphflow.values import Model, SafetyChecker, TextEncoder, Vae
from tests.models.tiny import make_tiny_sd, make_tiny_sd_file, make_tiny_sdxl, make_tiny_sdxl_file
from tests.scratch import process_folder

SD, SD_FILE, SDXL, SDXL_FILE = "tiny-sd", "tiny-sd-file", "tiny-sdxl", "tiny-sdxl-file"


@cache
def tiny_root() -> Path:
    """A model folder with tiny models, made once for all tests of a process."""
    root = process_folder("tiny")
    make_tiny_sd(root / SD)
    make_tiny_sdxl(root / SDXL)
    make_tiny_sd_file(root / "checkpoints" / f"{SD_FILE}.safetensors")
    make_tiny_sdxl_file(root / "checkpoints" / f"{SDXL_FILE}.safetensors")
    return root


@dataclass
class Told:
    """What the runtime was told."""

    notices: list[str] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)


def make_manager(*roots: Path, **more: Any) -> ModelManager:
    """A manager over the tiny models and further folders."""
    return ModelManager(Library(Settings(models=(tiny_root(), *roots))), **more)


@contextmanager
def running(manager: ModelManager) -> Iterator[Told]:
    """Make a manager the current runtime's."""
    told = Told()
    with runtime.using(runtime.Runtime(models=manager, notice=told.notices.append, inexact=told.inexact.append)):
        yield told


def model(manager: ModelManager, name: str) -> Model:
    """The diffusion model of a tiny checkpoint."""
    return Model(files=(manager.find(name, "checkpoint", part="unet"),))


def vae(manager: ModelManager, name: str) -> Vae:
    """Its autoencoder."""
    return Vae(files=(manager.find(name, "checkpoint", part="vae"),))


def text_encoder(manager: ModelManager, name: str) -> TextEncoder:
    """Its text encoders."""
    parts = [part for part in manager.parts(name, "checkpoint") if part.startswith("text_encoder")]
    return TextEncoder(files=tuple(manager.find(name, "checkpoint", part=part) for part in sorted(parts)))


def safety_checker(manager: ModelManager, name: str) -> SafetyChecker:
    """Its safety checker."""
    return SafetyChecker(files=(manager.find(name, "checkpoint", part="safety_checker"),))


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """max |a - b| / max |b|."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float((found - expected).abs().max() / expected.abs().max())
