"""UNets of the Stable Diffusion kind as the sampling loop sees them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphflow import runtime
from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.families.latent_diffusion import upscaler
from graphflow.families.latent_diffusion.control import Controls
from graphflow.families.latent_diffusion.gligen import Grounding, grounded
from graphflow.families.latent_diffusion.ip_adapter import PicturePrompts
from graphflow.families.latent_diffusion.labels import labels, with_label
from graphflow.families.latent_diffusion.residuals import Residuals
from graphflow.families.latent_diffusion.saving import Config, Tensors, unet_tensors
from graphflow.loading.lora_extraction import extract_lora
from graphflow.modelfiles.family import LatentFormat
from graphflow.modelfiles.footprint import OF_UNETS, Footprint
from graphflow.pixels.batches import cycled
from graphflow.pixels.resampling import resize_bilinear
from graphflow.sampling.guidance import POSITIVE, Modifier
from graphflow.sampling.loop import MakeMaskSchedule
from graphflow.sampling.network import Denoiser
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.regions import CONCAT, CONTROL_EMBEDDING, CONTROL_POOLED, HOLE, PICTURE, resize_mask
from graphflow.sampling.resuming import Remembering
from graphflow.values import Conditioning, ConditioningEntry

Variation = Callable[["UNetModel"], AbstractContextManager[None]]
"""Changes how the network runs until the block ends, e.g. with an attention replaced."""


@dataclass(kw_only=True, eq=False)
class UNetModel(Denoiser):
    """What `Model.use()` gives. It may be changed until the block ends: nobody else sees this object.

    Attributes:
        module: A Diffusers `UNet2DConditionModel`.
        model_sampling: Noise levels and what the output means.
        latent: Its latents.
        device: Where it computes.
        dtype: Dtype it computes in.
        variations: Named changes of the network, for guidance that compares with a weakened one.
        guidance: What changes guidance, in order.
        further_sides: Conditionings by name that what changes guidance asks for.
        around: Contexts in which the network runs, made from the noise level of each evaluation.
        states: What evaluations change beside their answers.
        make_mask_schedule: How a noise mask changes over the run; None has it stay the same.
        controls: The ControlNets in use.
        picture_prompts: The pictures that IP-Adapters have it attend to.
        grounding: The GLIGEN networks in use.
        architecture: The name in `modelspec.architecture` of files that hold it.
        marks_prediction: Whether files mark a prediction other than epsilon by empty tensors, too.
    """

    module: Any
    model_sampling: ModelSampling
    latent: LatentFormat
    device: torch.device
    dtype: torch.dtype
    variations: dict[str, Variation] = field(default_factory=dict)
    guidance: list[Modifier] = field(default_factory=list)
    further_sides: dict[str, Conditioning] = field(default_factory=dict)
    around: list[Callable[[float], AbstractContextManager[None]]] = field(default_factory=list)
    states: list[Remembering] = field(default_factory=list)
    make_mask_schedule: MakeMaskSchedule | None = None
    controls: Controls = field(default_factory=Controls)
    picture_prompts: PicturePrompts = field(default_factory=PicturePrompts)
    architecture: str = ""
    marks_prediction: bool = False
    grounding: Grounding = field(default_factory=Grounding)
    footprint: ClassVar[Footprint] = OF_UNETS
    _moved: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def text_width(self) -> int | None:
        """Width C of the text embeddings that the network reads; None where it does not say."""
        width = self.module.config.cross_attention_dim
        return width if isinstance(width, int) else None

    def memory(self, shape: Sequence[int]) -> int:
        """Bytes that an evaluation of one latent (C, h, w) of this shape takes at its peak, beside the weights."""
        return int(self.footprint.held(self.module.config, math.prod(shape[1:])) * self.dtype.itemsize)

    def memory_told(self, shape: Sequence[int], entries: Sequence[ConditioningEntry]) -> int:
        """Bytes that an evaluation takes with what ControlNets add, which is as much as the UNet keeps on its way down."""
        total = self.memory(shape)
        if not any(entry.controls for entry in entries):
            return total
        config, samples = self.module.config, shape[-2] * shape[-1]
        widths = config.block_out_channels
        kept = sum((width * 3) >> (2 * level) for level, width in enumerate(widths))
        return int(total + samples * kept * self.dtype.itemsize)

    def file_tensors(self) -> tuple[Tensors, Config, str]:
        """Tensors in the original layout, config by part, and the architecture's name.

        Raises:
            ModelFormatError: Its parameterisation has no name in a file.
        """
        return (*unet_tensors(self.module, self.model_sampling, marks=self.marks_prediction), self.architecture)

    def as_lora(self, rank: int, notice: Callable[[str], None]) -> dict[str, Tensor]:
        """Its weights, a difference of models, as LoRA layers in the layout of kohya."""
        return extract_lora(self.module, "lora_unet", rank, notice)

    def close(self) -> None:
        """Give the ControlNets and GLIGEN networks back that it took."""
        self.controls.close()
        self.grounding.close()

    @inference
    def predict(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor | None = None,
        variation: str | None = None,
    ) -> Tensor:
        """The network's output for several conditioning entries at once.

        Args:
            x: (n * B, C, h, w) float32, scaled as the network expects; the first B items belong to the first entry.
            timestep: (n * B,) training timesteps.
            entries: n entries whose tensors have equal shapes apart from the batch (1 or B).
            sigma: Noise level, for what changes the network at some of them.
            variation: A name in `variations`, or None for the network as it is.

        Returns:
            (n * B, C, h, w), float32, on the device of x.

        Raises:
            InvalidInputError: The entries do not fit the network.
        """
        batch = len(x) // len(entries)
        context = self.stacked([entry.embedding for entry in entries], batch)
        wanted = self.text_width
        if wanted is not None and context.shape[-1] != wanted:
            raise InvalidInputError(
                f"the conditioning has width {context.shape[-1]}, the diffusion model needs {wanted}",
                advice="encode the prompt with the text encoder of this model's family",
            )
        pictures = [self.stacked(tokens, batch) for tokens in self.picture_prompts.tokens(entries)]
        sample = self.with_concat(x.to(self.device, self.dtype), entries, batch)
        added = self.added(entries, batch, x.shape[-2] * self.latent.downscale, x.shape[-1] * self.latent.downscale)
        time = timestep.to(self.device)
        residuals = self._residuals(x, time, entries, context, added)
        with ExitStack() as changes:
            if sigma is not None:
                for around in self.around:
                    changes.enter_context(around(float(sigma)))
            if variation is not None:
                changes.enter_context(self.variations[variation](self))
            texts = changes.enter_context(
                self.picture_prompts.attending(self.module, context, pictures, None if sigma is None else float(sigma))
            )
            boxes = changes.enter_context(self.grounding.placing(self.module, entries, batch))
            output: Tensor = self.module(
                sample,
                time,
                encoder_hidden_states=texts.pop("encoder_hidden_states"),
                cross_attention_kwargs={**texts, **boxes} or None,
                added_cond_kwargs=added,
                class_labels=self._labels(entries, batch),
                return_dict=False,
                **residuals.arguments(self.device, self.dtype),
            )[0]
        return output.to(x.device, torch.float32)

    def _residuals(
        self,
        x: Tensor,
        time: Tensor,
        entries: Sequence[ConditioningEntry],
        context: Tensor,
        added: Mapping[str, Tensor] | None,
    ) -> Residuals:
        """What the ControlNets say; where they read prompts of their own, in place of the entries'."""
        if entries[0].controls and any(CONTROL_EMBEDDING in entry.extras for entry in entries):
            batch = len(x) // len(entries)
            own = [
                replace(
                    entry,
                    embedding=entry.extras.get(CONTROL_EMBEDDING, entry.embedding),
                    pooled=entry.extras.get(CONTROL_POOLED, entry.pooled),
                )
                for entry in entries
            ]
            context = self.stacked([entry.embedding for entry in own], batch)
            added = self.added(own, batch, x.shape[-2] * self.latent.downscale, x.shape[-1] * self.latent.downscale)
        return self.controls.residuals(x, time, entries, context, added, self.module.config.block_out_channels)

    def complete(
        self, conditioning: Conditioning, height: int, width: int, *, negative: bool, seed: int = 0
    ) -> Conditioning:
        """Fill in what the family reads beside the text, where nobody said it.

        Args:
            conditioning: Entries.
            height: Height of the picture in pixels.
            width: Its width.
            negative: Whether this is what the picture should avoid.
            seed: The sampling's, for noise on what pictures say.
        """
        entries = tuple(with_label(entry, self.module.config, seed) for entry in conditioning.entries)
        return self.picture_prompts.completed(Conditioning(entries=entries), negative=negative)

    def painting(
        self, sides: Mapping[str, Conditioning], latent: Tensor, noise_mask: Tensor | None
    ) -> Mapping[str, Conditioning]:
        """Tell a network that paints into a picture or edits one which and where, if the conditionings do not say it.

        Without a noise mask an inpainting network paints everywhere, over a blank; one that edits sees zeros, as
        ComfyUI has it.

        Args:
            sides: The conditionings by name.
            latent: (B, C, h, w) where sampling starts, in the network's scale.
            noise_mask: (M, H, W), what is made anew; None where no picture is given.
        """
        _, channels, height, width = latent.shape
        sides = grounded(sides, POSITIVE, height * self.latent.downscale, width * self.latent.downscale)
        more = self.module.config.in_channels - channels
        sides = {name: self._with_pictures(side, more) for name, side in sides.items()}
        if more == channels + 1 and noise_mask is not None:
            hole = cycled(resize_mask(noise_mask, height, width).round(), len(latent))
            beside = torch.cat([hole, latent], dim=1)
        elif (blank := self.latent.beside(more)) and channels == self.latent.channels:
            beside = latent.new_tensor(blank).reshape(1, more, 1, 1).expand(-1, -1, height, width)
            if not any(CONCAT in entry.extras for side in sides.values() for entry in side.entries):
                runtime.current().notice(
                    "this model changes a picture and was given none: it sees a blank one; inpaint_conditioning and"
                    " edit_conditioning give it one"
                )
        else:
            return sides

        def seeing(side: Conditioning) -> Conditioning:
            entries = (replace(entry, extras={CONCAT: beside, **entry.extras}) for entry in side.entries)
            return Conditioning(entries=tuple(entries))

        return {name: seeing(side) for name, side in sides.items()}

    def _labels(self, entries: Sequence[ConditioningEntry], batch: int) -> Tensor | None:
        found = labels(entries, self.module.config, batch)
        return found if found is None else found.to(self.device, self.dtype if found.is_floating_point() else None)

    def _with_pictures(self, told: Conditioning, more: int) -> Conditioning:
        """Bring the picture that an entry goes on from into the form that the network reads."""

        def channels(entry: ConditioningEntry) -> ConditioningEntry:
            picture, hole = entry.extras.get(PICTURE), entry.extras.get(HOLE)
            if picture is None or more != picture.shape[1] + (hole is not None):
                return entry
            beside = picture * self.latent.scale if hole is not None or self.latent.scaled_reference else picture
            if hole is not None:
                small = resize_bilinear(hole, beside.shape[-2:]).round()
                beside = torch.cat([small.expand(len(beside), -1, -1, -1), beside], dim=1)
            return replace(entry, extras={CONCAT: beside, **entry.extras})

        return Conditioning(entries=tuple(map(channels, told.entries)))

    def added(
        self, entries: Sequence[ConditioningEntry], batch: int, height: int, width: int
    ) -> dict[str, Tensor] | None:
        """What the network is told beside the text; None for SD 1.x and 2.x."""
        return None

    def stacked(self, tensors: Sequence[Tensor], batch: int) -> Tensor:
        """Tensors (1 or B, …) of n entries as one (n * B, …), on the device in the network's dtype."""
        return torch.cat([cycled(self._here(tensor), batch) for tensor in tensors])

    def with_concat(self, x: Tensor, entries: Sequence[ConditioningEntry], batch: int) -> Tensor:
        """The input with the further channels of inpainting and editing models.

        Raises:
            InvalidInputError: The network needs further channels and the entries bring none.
        """
        more = self.module.config.in_channels - x.shape[1]
        if more == 0:
            return x
        given = [entry.extras.get(CONCAT) for entry in entries]
        if any(not isinstance(tensor, Tensor) or tensor.shape[1] != more for tensor in given):
            raise InvalidInputError(
                f"this model reads {more} channels beside the latent, and the conditioning brings none",
                advice="give it the picture and mask to paint into, by inpaint_conditioning or by a noise mask on the"
                " latent, or use a model without 'inpaint' in its name",
            )
        stacked = self.stacked([tensor for tensor in given if isinstance(tensor, Tensor)], batch)
        if stacked.shape[-2:] != x.shape[-2:]:
            stacked = torch.nn.functional.interpolate(stacked, size=x.shape[-2:], mode="bilinear")
        return torch.cat([x, stacked], dim=1)

    def _here(self, tensor: Tensor) -> Tensor:
        """A tensor of the conditioning where the network is; moved once, not at every step."""
        if tensor.device == self.device and tensor.dtype == self.dtype:
            return tensor
        known = self._moved.get(id(tensor))
        if known is None or known[0] is not tensor:
            known = (tensor, tensor.to(self.device, self.dtype))
            self._moved[id(tensor)] = known
        return known[1]


def check_unet(config: dict[str, Any]) -> None:
    """Refuse UNets that read something nobody can give here.

    Raises:
        ModelFormatError: The UNet is conditioned on a class.
    """
    kind, count = config.get("class_embed_type"), config.get("num_class_embeds")
    if kind not in (None, "projection") or (count and config.get("in_channels") != upscaler.CHANNELS):
        raise ModelFormatError(
            "the UNet is conditioned on a class, which only its own pipeline gives",
            advice="run it with run_pipeline",
        )
