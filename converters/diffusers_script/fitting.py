"""Which samplings are a pipeline's call: what Diffusers draws just as graphflow does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .conditionings import Conditioning
from .families import family_of, flow_of, traits_of
from .flow_calls import flow_misfit
from .flows import described_network
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
        return not self.misfit(sampling)

    def misfit(self, sampling: Sampling) -> str:
        """What keeps a pipeline call from giving the same picture; empty where nothing does."""
        if getattr(sampling.latent, "carries", ""):
            return ""
        if flow_of(sampling.model.base) is not None:
            return flow_misfit(self.script, sampling)
        if self.stage(sampling) != "whole":
            return "only a part of its schedule is sampled"
        return self._misfit_but_for_steps(sampling)

    def fits_stages(self, first: Sampling, second: Sampling) -> bool:
        """Whether pipelines take over from each other: the first leaves noise, the second goes on from there."""
        if first.model.base.family != second.model.base.family or not traits_of(first.model.base).staged:
            return False
        if (self.stage(first), self.stage(second)) != ("first", "second") or self.time_before(first) == "":
            return False
        if not isinstance(first.latent, EmptyLatent) or first.model.base.refiner:
            return False
        value = self.script.value
        same = [value(one.values[name]) for one in (first, second) for name in ("steps", "sampler", "schedule")]
        if same[:3] != same[3:] or value(first.values["end_step"]) != value(second.values["start_step"]):
            return False
        alike = not self._misfit_but_for_steps(first) and not self._misfit_but_for_steps(second)
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

    def _misfit_but_for_steps(self, sampling: Sampling) -> str:
        return next((reason for rule, reason in RULES if not rule(self, sampling)), "")

    def plain_guidance(self, sampling: Sampling) -> bool:
        """Whether nothing changes guidance or the denoiser."""
        return not guidance_hooks(sampling.model)

    def own_places(self, sampling: Sampling) -> bool:
        """Whether each item of the batch has its own noise."""
        return not sampling.latent.places

    def has_scheduler(self, sampling: Sampling) -> bool:
        """Whether a scheduler takes the sampler's steps."""
        return self.scheduler(sampling) is not None

    def counts_steps(self, sampling: Sampling) -> bool:
        """Whether the pipeline counts steps as the sampler does, or need not."""
        chosen = self.scheduler(sampling)
        return chosen is not None and (not chosen.twice or self._steps_do_not_count(sampling))

    def generates(self, sampling: Sampling) -> bool:
        """Whether the model makes pictures from noise, and neither edits nor estimates."""
        return described_network(sampling.model).task not in ("edit", "estimate")

    def sees(self, sampling: Sampling) -> bool:
        """Whether a model that reads a picture is given one."""
        return not sampling.channels or sampling.channels.isidentifier()

    def usual_levels(self, sampling: Sampling) -> bool:
        """Whether its highest noise level is finite."""
        return not self._zero_snr(sampling)

    def usual_downscale(self, sampling: Sampling) -> bool:
        """Whether a latent sample is eight pixels."""
        return _downscale(sampling.model) == 8

    def plain_prompts(self, sampling: Sampling) -> bool:
        """Whether each side is one prompt that acts everywhere, always."""
        return all(self._plain(side) for side in sampling.sides)

    def usual_scale(self, sampling: Sampling) -> bool:
        """Whether pipelines take its guidance scale for one."""
        scale = sampling.values["guidance_scale"]
        return self.script.is_open(scale) or bool(scale.value >= 1)

    def full_from_nothing(self, sampling: Sampling) -> bool:
        """Whether empty latents of four channels are sampled at full strength, by a model that makes pictures of them."""
        if not isinstance(sampling.latent, EmptyLatent):
            return True
        full = bool(self.script.fixed(sampling.values["strength"]) > FULL_STRENGTH)
        return full and sampling.latent.channels == "4" and not sampling.model.base.refiner

    def own_scale(self, sampling: Sampling) -> bool:
        """Whether latents have the scale of the model's family."""
        latent = sampling.latent
        if isinstance(latent, EmptyLatent):
            return True
        return latent.scaled_for is not None and latent.scaled_for.base.family == sampling.model.base.family

    def starts_as_pipelines_do(self, sampling: Sampling) -> bool:
        """Whether a pipeline puts as much noise on the latents."""
        if isinstance(sampling.latent, EmptyLatent):
            return True
        strength = sampling.values["strength"]
        if self.stage(sampling) == "second":
            return bool(self.script.fixed(strength) > FULL_STRENGTH) and not sampling.positive.entries[0].controls
        if sampling.channels:
            self.script.fixed(strength)
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
        return self.kind(sampling) in traits_of(sampling.model.base).without_tensors

    def scheduler(self, sampling: Sampling) -> Scheduler | None:
        """The scheduler of Diffusers for a sampling, or None; with the style ``pipeline`` a near one will do."""
        values, fixed = sampling.values, self.script.fixed
        names = str(fixed(values["sampler"])), str(fixed(values["schedule"]))
        found = exact_scheduler(*names, inpaint=_inpaints(sampling) and not self.hard(sampling))
        if found is not None and found.name.startswith("Inpaint") and not _keeps_outside(sampling.model):
            found = None
        return near_scheduler(*names) if found is None and self.script.style == "pipeline" else found

    def one_pipe(self, sampling: Sampling) -> bool:
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

    def fits_controls(self, sampling: Sampling) -> bool:
        """Whether ControlNets, or T2I-Adapters, steer both sides alike, each with one picture."""
        sides = [side.entries[0].controls for side in sampling.sides]
        controls = sides[0]
        if any(repr(side) != repr(controls) for side in sides):
            return False
        if not all(control.single and not control.hole and not _pools(control.net) for control in controls):
            return False
        if any(control.net.mode is not None for control in controls):
            return len(controls) == 1 and "union_text2img" in family_of(sampling.model.base).pipelines()
        if not any(control.is_adapter for control in controls):
            return True
        whole = all(control.is_adapter and control.always for control in controls)
        both = sampling.model.pictures and self.kind(sampling) in traits_of(sampling.model.base).without_pictures
        return whole and not both and isinstance(sampling.latent, EmptyLatent)

    def fits_sizes(self, sampling: Sampling) -> bool:
        """Whether what SDXL is told of sizes can be arguments: of both sides, or of the size of the picture."""
        told = ["sizes" in dict(side.entries[0].settings) for side in sampling.sides]
        return all(told) or not any(told) or isinstance(sampling.latent, EmptyLatent)

    def fits_pictures(self, sampling: Sampling) -> bool:
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


RULES: Sequence[tuple[Callable[[Fitting, Sampling], bool], str]] = (
    (Fitting.plain_guidance, "its guidance or its denoiser is changed"),
    (Fitting.own_places, "its latents take the noise of other places in a batch"),
    (Fitting.has_scheduler, "no scheduler takes just the steps of its sampler and schedule"),
    (Fitting.counts_steps, "something begins or ends between the two evaluations of a step"),
    (Fitting.generates, "its model edits pictures, or estimates from them"),
    (Fitting.sees, "its model paints into a picture and is given none"),
    (Fitting.usual_levels, "its model has a terminal signal-to-noise ratio of zero"),
    (Fitting.usual_downscale, "its latent samples are not eight pixels wide"),
    (Fitting.one_pipe, "its text encoders are another checkpoint's, or have other LoRAs"),
    (Fitting.plain_prompts, "its prompts act in areas, for a time or together"),
    (Fitting.fits_controls, "its ControlNets do not steer both prompts alike, or in a way that pipelines have"),
    (Fitting.fits_pictures, "its IP-Adapters begin or end in a way that pipelines have not"),
    (Fitting.fits_sizes, "only one of its prompts is told sizes"),
    (Fitting.usual_scale, "its guidance scale is below 1"),
    (Fitting.full_from_nothing, "empty latents are sampled at less than full strength, or by a refiner"),
    (Fitting.own_scale, "its latents have the scale of another family"),
    (Fitting.starts_as_pipelines_do, "a pipeline starts it from another amount of noise"),
)
"""What must hold for a pipeline to draw the same picture, in the order in which it is asked, and what is so where it fails."""


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
