"""Transformers on a flow as the sampling loop sees them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphflow.errors import InvalidInputError
from graphflow.families.flow.control import FlowControl
from graphflow.families.flow.residuals import Residuals, summed
from graphflow.families.flow.saving import flow_families, original_tensors
from graphflow.families.latent_diffusion.nets import NetsInUse
from graphflow.families.latent_diffusion.saving import UNET, config_of
from graphflow.loading.lora_extraction import extract_lora
from graphflow.modelfiles.description import Part
from graphflow.modelfiles.family import LatentFormat
from graphflow.pixels.batches import cycled
from graphflow.sampling.guidance import Modifier
from graphflow.sampling.latent_space import space_of
from graphflow.sampling.loop import MakeMaskSchedule
from graphflow.sampling.network import Denoiser
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.regions import CONTROL_EMBEDDING
from graphflow.values import Conditioning, ConditioningEntry, Control, Latent

_BLOCKS = ("transformer_blocks", "single_transformer_blocks", "layers")
_PATCH = 4
"""Latent samples of a token, of the families that are steered."""
REFERENCES = "reference_latents"
"""Where a conditioning entry's extras have the latents of pictures to look at."""


@dataclass(kw_only=True, eq=False)
class FlowDenoiser(Denoiser):
    """What flow transformers have in common; `predict` and `memory` are the family's own.

    Attributes:
        module: The transformer.
        dtype: Dtype it computes in.
        controls: The ControlNets in use.
        everywhere: Controls of the model itself, whatever it is told.
        steered_by: The family's ControlNets; None where it has none.
        caches: Whether what it makes of references can be the same at every step.
        kept: What it made of references, by what it was asked; None where it makes it anew at every step.
    """

    module: Any
    model_sampling: ModelSampling
    latent: LatentFormat
    device: torch.device
    dtype: torch.dtype
    guidance: list[Modifier] = field(default_factory=list)
    further_sides: dict[str, Conditioning] = field(default_factory=dict)
    variations: dict[str, Callable[..., AbstractContextManager[None]]] = field(default_factory=dict)
    make_mask_schedule: MakeMaskSchedule | None = None
    controls: NetsInUse = field(default_factory=NetsInUse)
    everywhere: list[Control] = field(default_factory=list)
    steered_by: ClassVar[type[FlowControl] | None] = None
    kept: dict[tuple[object, ...], tuple[Sequence[ConditioningEntry], dict[str, Any]]] | None = None
    caches: ClassVar[bool] = False
    _moved: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def file_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any], str]:
        """Its tensors in the authors' layout, and its config."""
        class_name = type(self.module).__name__
        config = config_of(self.module)
        (family,) = (family for family in flow_families() if family.transformer == class_name)
        names = family.names(Part("transformer", class_name, config, files=(), keys="ldm"))
        return original_tensors(self.module, names, UNET), {"transformer": config}, ""

    def as_lora(self, rank: int, notice: Callable[[str], None]) -> dict[str, Tensor]:
        """Its weights, a difference of models, as LoRA layers in Diffusers' layout."""
        return extract_lora(self.module, "lora_transformer", rank, notice)

    def close(self) -> None:
        """Give the ControlNets back, and forget what was moved to the device, and what was kept."""
        self.controls.close()
        self._moved.clear()
        if self.kept is not None:
            self.kept.clear()

    def stacked(self, tensors: Sequence[Tensor], batch: int) -> Tensor:
        """Tensors (1 or B, …) of n entries as one (n * B, …), on the device in the network's dtype."""
        return torch.cat([cycled(self._here(tensor), batch) for tensor in tensors])

    def text(self, entries: Sequence[ConditioningEntry], batch: int, width: int) -> Tensor:
        """The embeddings (n * B, T, C) of n entries.

        Raises:
            InvalidInputError: They are of another width.
        """
        embedding = self.stacked([entry.embedding for entry in entries], batch)
        if embedding.shape[-1] != width:
            raise InvalidInputError(
                f"the conditioning has width {embedding.shape[-1]}, the diffusion model needs {width}",
                advice="encode the prompt with the text encoders of this model's family",
            )
        return embedding

    def pooled(self, entries: Sequence[ConditioningEntry], batch: int, width: int) -> Tensor:
        """The pooled text (n * B, D) of n entries; zeros where an entry has none.

        Raises:
            InvalidInputError: They are of another width.
        """
        found = [torch.zeros(1, width) if entry.pooled is None else entry.pooled for entry in entries]
        wrong = next((tensor.shape[-1] for tensor in found if tensor.shape[-1] != width), None)
        if wrong is not None:
            raise InvalidInputError(
                f"the pooled conditioning has width {wrong}, the diffusion model needs {width}",
                advice="encode the prompt with the text encoders of this model's family",
            )
        return self.stacked(found, batch)

    def memory_told(self, shape: Sequence[int], entries: Sequence[ConditioningEntry]) -> int:
        """Bytes that an evaluation takes at its peak with what the entries bring, see :meth:`Denoiser.memory`.

        Tokens of reference pictures go through the network beside the picture's; what ControlNets add waits for each block.
        """
        samples = math.prod(shape[1:])
        seen = [
            sum(math.prod(latent.samples.shape[2:]) for latent in entry.extras.get(REFERENCES, ())) for entry in entries
        ]
        total = self.memory((shape[0], samples + max(seen, default=0), 1))
        if not (self.everywhere or any(entry.controls for entry in entries)):
            return total
        width = getattr(self.module, "inner_dim", None) or self.module.config.get("dim", 0)
        blocks = sum(len(getattr(self.module, name, ())) for name in _BLOCKS)
        return int(total + blocks * (samples // _PATCH) * width * self.dtype.itemsize)

    def varied(self, variation: str | None) -> AbstractContextManager[None]:
        """Have the network as one of the `variations` has it until the block ends; None is as it is."""
        return nullcontext() if variation is None else self.variations[variation](self)

    def recall(self, entries: Sequence[ConditioningEntry], *asked: object) -> dict[str, Any] | None:
        """Where what is made of these entries is kept until the sampling ends; None where it is made anew at every step."""
        if self.kept is None:
            return None
        # As long as the entries are held, nothing else gets their numbers.
        return self.kept.setdefault((*asked, *map(id, entries)), (entries, {}))[1]

    def references(self, entries: Sequence[ConditioningEntry], batch: int) -> list[Tensor]:
        """The reference latents of n entries in the model's space, each (n * B, C, ...)."""
        lists = [entry.extras.get(REFERENCES, ()) for entry in entries]
        space = space_of(self.latent)
        return [
            self.stacked([space.enter(latent.samples) for latent in latents], batch)
            for latents in zip(*lists, strict=True)
        ]

    def reference_method(self, entries: Sequence[ConditioningEntry], methods: Collection[str], default: str) -> str:
        """How the reference pictures of n entries are set apart.

        Raises:
            InvalidInputError: The family has no such way, or the entries disagree.
        """
        found = {str(entry.extras.get("reference_method", default)) for entry in entries}
        method = found.pop()
        if found or method not in methods:
            raise InvalidInputError(
                f"this family's models tell reference pictures apart by {', '.join(methods)}, not by {method!r}"
                if not found
                else "the conditionings have their reference pictures told apart in different ways",
                advice="set it by set_reference_method",
            )
        return method

    def by_references(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        evaluate: Callable[[Tensor, Tensor, Sequence[ConditioningEntry]], Tensor],
    ) -> Tensor:
        """The network's output by `evaluate`, which gets entries together whose reference latents have equal shapes.

        Raises:
            InvalidInputError: An entry has ControlNets, and the family has none.
        """
        self.refuse_controls(entries)
        parts, times = x.chunk(len(entries)), timestep.chunk(len(entries))
        outputs: dict[int, Tensor] = {}
        for group in split_by_references(entries):
            output = evaluate(
                torch.cat([parts[index] for index in group]),
                torch.cat([times[index] for index in group]),
                [entries[index] for index in group],
            )
            outputs |= dict(zip(group, output.chunk(len(group)), strict=True))
        return torch.cat([outputs[index] for index in range(len(entries))]).to(x.device, torch.float32)

    def steering(
        self, entries: Sequence[ConditioningEntry], size: Sequence[int], told: Mapping[str, Any], inner: int
    ) -> Residuals:
        """The sum of what ControlNets add; entries that are evaluated together share their controls.

        Args:
            entries: n entries.
            size: Shape (n * B, C, ..., h, w) of the latent.
            told: What the transformer gets, without reference pictures.
            inner: Width of its tokens.

        Raises:
            InvalidInputError: A ControlNet is of another family.
        """
        found: list[Residuals] = []
        if entries[0].controls and any(CONTROL_EMBEDDING in entry.extras for entry in entries):
            raise InvalidInputError(
                "ControlNets of this family read no prompt of their own", advice="take set_control_prompt out"
            )
        for control in (*entries[0].controls, *self.everywhere):
            net = self.controls.net(control.net)
            self._require_fit(control, net, inner)
            encoded = self.controls.encoded(control, size[-2], size[-1], size[0] // len(entries), len(entries))
            found.append(net.residuals(encoded, told, control.strength, self.module))
        return summed(found)

    def _require_fit(self, control: Control, net: Any, inner: int) -> None:
        name, text = control.net.files[0].name, self.text_width
        if self.steered_by is None:
            problem, advice = "models of this family are steered by no ControlNets", "take apply_control_net out"
        elif not isinstance(net, self.steered_by):
            problem, advice = f"{name!r} was made for another family", "use a ControlNet of the model's family"
        elif net.inner != inner or net.width not in (None, text):
            problem = (
                f"{name!r} steers a transformer of width {net.inner} that reads texts of width {net.width or text}; this"
                f" one has {inner} and {text}"
            )
            advice = "use a ControlNet that was made for this model"
        else:
            return
        raise InvalidInputError(problem, where="control_net", advice=advice)

    def refuse_controls(self, entries: Sequence[ConditioningEntry]) -> None:
        """Refuse what nothing here reads.

        Raises:
            InvalidInputError: An entry has ControlNets, and the family has none.
        """
        if self.steered_by is None and any(entry.controls for entry in entries):
            raise InvalidInputError(
                "models of this family are steered by no ControlNets", advice="take apply_control_net out"
            )

    def _here(self, tensor: Tensor) -> Tensor:
        """A tensor of the conditioning where the network is; moved once, not at every step."""
        if tensor.device == self.device and tensor.dtype == self.dtype:
            return tensor
        known = self._moved.get(id(tensor))
        if known is None or known[0] is not tensor:
            known = (tensor, tensor.to(self.device, self.dtype))
            self._moved[id(tensor)] = known
        return known[1]


def split_by_references(entries: Sequence[ConditioningEntry]) -> list[list[int]]:
    """Group entries, by their numbers, whose reference latents have equal shapes."""

    def shapes(entry: ConditioningEntry) -> tuple[tuple[int, ...], ...]:
        latents: Sequence[Latent] = entry.extras.get(REFERENCES, ())
        return tuple(tuple(latent.samples.shape[1:]) for latent in latents)

    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for number, entry in enumerate(entries):
        groups.setdefault(shapes(entry), []).append(number)
    return list(groups.values())
