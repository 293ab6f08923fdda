"""Stand-ins for models, so that a node can be tested without one, and a runtime that remembers what it was told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from graphflow.errors import CancelledError, ModelNotFoundError
from graphflow.families.stable_diffusion.family import FAMILY
from graphflow.loading.devices import free_memory
from graphflow.loading.hooks import attach
from graphflow.modelfiles.family import LatentFormat
from graphflow.runtime import Runtime
from graphflow.sampling.batching import FREE_SHARE
from graphflow.sampling.prediction import ModelSampling
from graphflow.values import Conditioning, ConditioningEntry, ModelFile, Recipe, SafetyChecker, TextEncoder, Vae


@dataclass
class FakeDenoiser:
    """Predicts noise so that x0 is the mean of the conditioning, everywhere."""

    model_sampling: ModelSampling = field(default_factory=ModelSampling.stable_diffusion)
    latent: LatentFormat = field(default_factory=lambda: replace(FAMILY.latent, scale=0.5))
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    text_width: int = 768
    most_items: int | None = None
    broken: bool = False
    broken_from: int | None = None
    calls: int = 0
    guidance: list[Any] = field(default_factory=list)
    further_sides: dict[str, Conditioning] = field(default_factory=dict)
    states: tuple[Any, ...] = ()
    make_mask_schedule: Any = None

    def complete(
        self, conditioning: Conditioning, height: int, width: int, *, negative: bool, seed: int = 0
    ) -> Conditioning:
        return conditioning

    def painting(
        self, sides: Mapping[str, Conditioning], latent: torch.Tensor, noise_mask: Any
    ) -> Mapping[str, Conditioning]:
        return sides

    def memory(self, shape: Sequence[int]) -> int:
        free = free_memory(self.device) or 0
        return 1 if self.most_items is None else int(free * FREE_SHARE / (self.most_items + 0.5))

    def memory_told(self, shape: Sequence[int], entries: Any) -> int:
        return self.memory(shape)

    def predict(
        self, x: torch.Tensor, timestep: torch.Tensor, entries: Any, *, sigma: torch.Tensor, variation: Any = None
    ) -> torch.Tensor:
        self.calls += 1
        if self.broken or (self.broken_from is not None and self.calls > self.broken_from):
            return torch.full_like(x, float("nan"))
        noisy = x * (sigma**2 + 1) ** 0.5
        parts = noisy.chunk(len(entries))
        return torch.cat([(part - entry.embedding.mean()) / sigma for part, entry in zip(parts, entries, strict=True)])


class FakeVae:
    """Latents are pixels: each sample is repeated 8 times in both directions."""

    downscale = 8
    latent_channels = 4

    def decode(self, latents: torch.Tensor, tile: int = 0, overlap: int = 64) -> torch.Tensor:
        return latents[:, :3].repeat_interleave(8, -1).repeat_interleave(8, -2).clamp(0, 1)

    def encode(self, pixels: torch.Tensor, tile: int = 0, overlap: int = 64) -> torch.Tensor:
        height, width = pixels.shape[-2] // 8 * 8, pixels.shape[-1] // 8 * 8
        small = pixels[:, :3, :height:8, :width:8]
        return torch.cat([small, small[:, :1]], dim=1)


class FakeText:
    """The embedding of a text is its length, everywhere."""

    def __init__(self, layer: int | None) -> None:
        self.layer = layer

    def encode(self, text: str, texts: Mapping[str, str] | None = None) -> Conditioning:
        value = float(max(map(len, (text, *(texts or {}).values())))) + 1000.0 * (self.layer or 0)
        return Conditioning(entries=(ConditioningEntry(embedding=torch.full((1, 77, 8), value)),))


class FakeChecker:
    """Flags pictures that are more red than 0.9."""

    def check(self, pixels: torch.Tensor) -> tuple[bool, ...]:
        return tuple(bool(item[0].mean() > 0.9) for item in pixels)


@dataclass
class FakeModels:
    """A model provider: ``parts`` by model name, and one stand-in for each kind of recipe."""

    known: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {"full": ("unet", "text_encoder", "vae", "safety_checker")}
    )
    denoiser: FakeDenoiser = field(default_factory=FakeDenoiser)

    def parts(self, name: str, kind: str) -> tuple[str, ...]:
        if name not in self.known:
            raise ModelNotFoundError("there is no such model", where=name)
        return self.known[name]

    def family_of(self, files: Sequence[ModelFile]) -> str:
        return "sdxl" if len(files) > 1 else ""

    def find(self, name: str, kind: str, *, part: str, options: dict[str, Any] | None = None) -> ModelFile:
        if kind == "vae" and name not in self.known:
            raise ModelNotFoundError("there is no such model", where=name)
        return ModelFile(
            name=name, kind=kind, part=part, family="sd", fingerprint=f"{name}/{part}", options=options or {}
        )

    @contextmanager
    def use(self, recipe: Recipe) -> Iterator[Any]:
        if isinstance(recipe, TextEncoder):
            yield FakeText(recipe.layer)
        elif isinstance(recipe, Vae):
            yield FakeVae()
        elif isinstance(recipe, SafetyChecker):
            yield FakeChecker()
        else:
            loaded = replace(self.denoiser, guidance=[], calls=0)
            with ExitStack() as hooks:
                for hook in recipe.hooks:
                    hooks.enter_context(attach(hook, loaded))
                yield loaded
            self.denoiser.calls = loaded.calls


@dataclass
class Told:
    """What nodes told the runtime."""

    notices: list[str] = field(default_factory=list)
    progress: list[tuple[int, int]] = field(default_factory=list)
    previews: list[Any] = field(default_factory=list)
    cancel_at: int | None = None

    def report(self, step: int, total: int, preview: Any) -> None:
        self.progress.append((step, total))
        self.previews.append(preview)

    def check_cancelled(self) -> None:
        if self.cancel_at is not None and len(self.progress) >= self.cancel_at:
            raise CancelledError

    def runtime(self, models: Any = None, **more: Any) -> Runtime:
        return Runtime(
            models=models or FakeModels(),
            report=self.report,
            check_cancelled=self.check_cancelled,
            notice=self.notices.append,
            **more,
        )
