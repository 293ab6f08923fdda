"""Which samplings are a pipeline's call: what Diffusers draws just as graphflow does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .conditionings import Conditioning
from .handles import EmptyLatent, Sampling
from .models import ModelPart, text_patches
from .ranges import time_before as share_before_step
from .script import Script
from .solvers import UNEVEN, Scheduler, exact_scheduler, near_scheduler
from .steps import FULL_STRENGTH

MOST_STEPS = 1000
"""No schedule has more steps than there are training steps."""


@dataclass(frozen=True)
class Fitting:
    """Decides between a pipeline call and a loop.

    Attributes:
        script: The script; inputs that decide are fixed in it.
    """

    script: Script

    def fits(self, sampling: Sampling) -> bool:
        """Whether a pipeline call gives the same picture."""
        if getattr(sampling.latent, "carries", ""):
            return True
        return self.stage(sampling) == "whole" and self._fits_but_for_steps(sampling)

    def fits_stages(self, first: Sampling, second: Sampling) -> bool:
        """Whether SDXL's pipelines take over from each other: the first leaves noise, the second goes on from there."""
        if {first.model.base.family, second.model.base.family} != {"sdxl"}:
            return False
        if (self.stage(first), self.stage(second)) != ("first", "second") or self.time_before(first) == "":
            return False
        if not isinstance(first.latent, EmptyLatent) or first.model.base.refiner:
            return False
        value = self.script.value
        same = [value(one.values[name]) for one in (first, second) for name in ("steps", "sampler", "schedule")]
        if same[:3] != same[3:] or value(first.values["end_step"]) != value(second.values["start_step"]):
            return False
        alike = self._fits_but_for_steps(first) and self._fits_but_for_steps(second)
        chosen = self.scheduler(first)
        return alike and chosen == self.scheduler(second) and chosen is not None and chosen.shares

    def scheduler_of(self, sampling: Sampling) -> str:
        """The class of its scheduler."""
        found = self.scheduler(sampling)
        return found.name if found else ""

    def stage(self, sampling: Sampling) -> str:
        """Which part of a schedule is sampled: ``whole``, ``first`` with noise left over, ``second``, or neither."""
        values, fixed, is_open = sampling.values, self.script.fixed, self.script.is_open
        start, ends = values["start_step"], self._runs_to_the_end(sampling)
        begins = not is_open(start) and start.value == 0
        adds, leaves = fixed(values["add_noise"]), fixed(values["leftover_noise"])
        if begins and ends and adds:
            return "whole"
        if begins and adds and leaves and not ends:
            return "first"
        return "second" if ends and not begins and not adds else ""

    def _runs_to_the_end(self, sampling: Sampling) -> bool:
        end = sampling.values["end_step"]
        if self.script.is_open(end) or end.value is None:
            return not self.script.is_open(end)
        if self._uneven(sampling):
            return bool(end.value >= MOST_STEPS)
        return bool(end.value >= self.script.fixed(sampling.values["steps"]))

    def _uneven(self, sampling: Sampling) -> bool:
        return self.script.fixed(sampling.values["schedule"]) in UNEVEN

    def counts_otherwise(self, sampling: Sampling) -> bool:
        """Whether its schedule may have another number of steps than a pipeline that takes the last of them reckons with."""
        strength = sampling.values["strength"]
        partial = self.script.is_open(strength) or strength.value <= FULL_STRENGTH
        return partial and not isinstance(sampling.latent, EmptyLatent) and self._uneven(sampling)

    def _fits_but_for_steps(self, sampling: Sampling) -> bool:
        values, fixed = sampling.values, self.script.fixed
        if guidance_hooks(sampling.model) or sampling.latent.places:
            return False
        chosen = self.scheduler(sampling)
        if chosen is None or (chosen.twice and not self._steps_do_not_count(sampling)):
            return False
        if sampling.model.base.description.task == "edit":
            return False
        if self._zero_snr(sampling) or _downscale(sampling.model) != 8:
            return False
        if not self._one_pipe(sampling) or not all(self._plain(side) for side in sampling.sides):
            return False
        if not self._fits_controls(sampling) or not self._fits_pictures(sampling) or not self._fits_sizes(sampling):
            return False
        scale = values["guidance_scale"]
        if not self.script.is_open(scale) and scale.value < 1:
            return False
        strength = values["strength"]
        if isinstance(sampling.latent, EmptyLatent):
            full = bool(fixed(strength) > FULL_STRENGTH)
            return full and sampling.latent.channels == "4" and not sampling.model.base.refiner
        if sampling.latent.scaled_for is None or sampling.latent.scaled_for.base.family != sampling.model.base.family:
            return False
        if self.stage(sampling) == "second":
            return bool(fixed(strength) > FULL_STRENGTH) and not sampling.positive.entries[0].controls
        if sampling.channels:
            fixed(strength)
            return not sampling.positive.entries[0].controls
        return bool(sampling.latent.mask) or not self._starts_at_the_top(sampling)

    def _starts_at_the_top(self, sampling: Sampling) -> bool:
        """Whether it surely puts the highest noise on a picture, whose variance is another one in training."""
        steps, strength = sampling.values["steps"], sampling.values["strength"]
        if self.script.is_open(steps) or self.script.is_open(strength):
            return bool(strength.value > FULL_STRENGTH)
        return bool(strength.value > FULL_STRENGTH or int(steps.value / strength.value) == steps.value)

    def lacks_tensors(self, sampling: Sampling) -> bool:
        """Whether the pipeline's pictures cannot be had as tensors."""
        return sampling.model.base.family == "sd" and self.kind(sampling).startswith("adapter")

    def scheduler(self, sampling: Sampling) -> Scheduler | None:
        """The scheduler of Diffusers for a sampling, or None; with the style ``pipeline`` a near one will do."""
        values, fixed = sampling.values, self.script.fixed
        names = str(fixed(values["sampler"])), str(fixed(values["schedule"]))
        found = exact_scheduler(*names, inpaint=_inpaints(sampling) and not self.hard(sampling))
        if found is not None and found.name.startswith("Inpaint") and not _keeps_outside(sampling.model):
            found = None
        return near_scheduler(*names) if found is None and self.script.style == "pipeline" else found

    def _one_pipe(self, sampling: Sampling) -> bool:
        """Whether one pipeline has the LoRAs of the model and of all text encoders."""
        encoders = [entry.encoder for side in sampling.sides for entry in side.entries]
        own = text_patches(sampling.model.patches)
        return all(
            encoder.base.key == sampling.model.base.key and text_patches(encoder.patches) == own for encoder in encoders
        )

    def _plain(self, conditioning: Conditioning) -> bool:
        (entry, *more) = conditioning.entries
        return not more and not set(dict(entry.settings)) - {"sizes"}

    def _steps_do_not_count(self, sampling: Sampling) -> bool:
        """Whether nothing begins or ends in the middle."""
        controls = sampling.positive.entries[0].controls
        always = all(control.always for control in controls)
        return always and all(prompt.end == "1.0" for prompt in sampling.model.pictures)

    def _zero_snr(self, sampling: Sampling) -> bool:
        return bool(config_of(sampling.model).get("rescale_betas_zero_snr"))

    def _fits_controls(self, sampling: Sampling) -> bool:
        """Whether ControlNets, or T2I-Adapters, steer both sides alike, each with one picture."""
        sides = [side.entries[0].controls for side in sampling.sides]
        controls = sides[0]
        if any(repr(side) != repr(controls) for side in sides):
            return False
        if not all(control.single and not _pools(control.net) for control in controls):
            return False
        if any(control.net.mode is not None for control in controls):
            return len(controls) == 1 and sampling.model.base.family == "sdxl"
        if not any(control.is_adapter for control in controls):
            return True
        whole = all(control.is_adapter and control.always for control in controls)
        both = sampling.model.pictures and sampling.model.base.family == "sd"
        return whole and not both and isinstance(sampling.latent, EmptyLatent)

    def _fits_sizes(self, sampling: Sampling) -> bool:
        """Whether what SDXL is told of sizes can be arguments: of both sides, or of the size of the picture."""
        told = ["sizes" in dict(side.entries[0].settings) for side in sampling.sides]
        return all(told) or not any(told) or isinstance(sampling.latent, EmptyLatent)

    def _fits_pictures(self, sampling: Sampling) -> bool:
        """Whether a callback of Diffusers ends what IP-Adapters do: they begin at once, and end together after a step."""
        pictures = sampling.model.pictures
        ends = {prompt.end for prompt in pictures}
        late = ends <= {"1.0"} or (isinstance(sampling.latent, EmptyLatent) and not ends & {"0", "0.0"})
        counted = ends <= {"1.0"} or not self._uneven(sampling)
        return late and counted and len(ends) <= 1 and all(prompt.start == "0.0" for prompt in pictures)

    def kind(self, sampling: Sampling) -> str:
        """Which pipeline class of the family draws it."""
        controls = sampling.positive.entries[0].controls
        kind = (
            "text2img"
            if isinstance(sampling.latent, EmptyLatent)
            else "inpaint"
            if sampling.channels or self.hard(sampling)
            else "img2img"
        )
        if not controls:
            return kind
        first = "adapter" if controls[0].is_adapter else "union" if controls[0].net.mode is not None else "control"
        return f"{first}_{kind}"

    def hard(self, sampling: Sampling) -> bool:
        """Whether Diffusers' own inpainting will do, which reads masks as black or white."""
        inpaints = sampling.latent.mask and not sampling.channels and not sampling.positive.entries[0].controls
        return bool(inpaints) and self.script.style == "pipeline"

    def time_before(self, sampling: Sampling) -> str | None:
        """The same as a number; None where an argument decides it, empty where timesteps do not tell the steps apart."""
        values, fixed = sampling.values, self.script.fixed
        step = values["end_step" if self.stage(sampling) == "first" else "start_step"]
        if self.script.is_open(step) or self.script.is_open(values["steps"]):
            return None
        found = share_before_step(
            config_of(sampling.model),
            sampler=str(fixed(values["sampler"])),
            schedule=str(fixed(values["schedule"])),
            steps=values["steps"].value,
            step=step.value,
        )
        return "" if found is None else repr(found)


def guidance_hooks(model: ModelPart) -> list[Any]:
    """The hooks that change a denoiser, its guidance or its mask."""
    return [hook for hook in model.hooks if hook.stage != "unet"]


def config_of(model: ModelPart) -> dict[str, Any]:
    """What is known of a model's own scheduler."""
    return {**model.base.description.scheduler, **dict(model.base.options)}


def _inpaints(sampling: Sampling) -> bool:
    """Whether the scheduler has to know the original, to keep it or to start from it."""
    return bool(sampling.latent.mask or sampling.channels)


def _keeps_outside(model: ModelPart) -> bool:
    """Whether the script's schedulers know what the model predicts."""
    return str(config_of(model).get("prediction_type", "epsilon")) in ("epsilon", "v_prediction")


def _downscale(model: ModelPart) -> int:
    """Pixels per latent sample, as a pipeline reckons with them."""
    vae = model.base.description.parts.get("vae")
    widths = vae.config.get("block_out_channels") if vae is not None else None
    return 2 ** (len(widths) - 1) if isinstance(widths, list | tuple) else 8


def _pools(net: ModelPart) -> bool:
    """Whether a ControlNet makes one number of each residual, which has pipelines leave out the negative prompt."""
    part = net.base.description.parts.get("controlnet")
    return bool(part and part.config.get("global_pool_conditions"))
