"""Which samplings are a pipeline's call, and how that call is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .handles import Conditioning, Control, EmptyLatent, ModelPart, Sampling, text_patches
from .layout import Expression, Items, call, flat, listed, mapped
from .loading import Loader, one_or_list, scheduler
from .ranges import active_steps, pipeline_range, time_before
from .script import Script, ids
from .solvers import Scheduler, exact_scheduler, near_scheduler

FULL_STRENGTH = 0.9999

Encode = Callable[[Conditioning], str]
"""Writes what encodes a conditioning; returns the variable of its embeddings."""

WITHIN_ONE_PROMPT = frozenset({"zeroed", "averaged"})
"""Changes of an embedding that keep its length, so that both sides fit in one batch."""


@dataclass(frozen=True)
class Calls:
    """Writes pipeline calls.

    Attributes:
        script: Where to.
        loader: Where pipelines come from.
        encode: Writes embeddings of prompts.
    """

    script: Script
    loader: Loader
    encode: Encode

    # ------------------------------------------------------------------------------------- what fits

    def fits(self, sampling: Sampling) -> bool:
        """Whether a pipeline call gives the same picture."""
        if getattr(sampling.latent, "carries", ""):
            return True
        return self._stage(sampling) == "whole" and self._fits_but_for_steps(sampling)

    def fits_stages(self, first: Sampling, second: Sampling) -> bool:
        """Whether SDXL's pipelines take over from each other: the first leaves noise, the second goes on from there."""
        if {first.model.base.family, second.model.base.family} != {"sdxl"}:
            return False
        if (self._stage(first), self._stage(second)) != ("first", "second") or self._time_before(first) == "":
            return False
        if not isinstance(first.latent, EmptyLatent) or first.model.base.refiner:
            return False
        value = self.script.value
        same = [value(one.values[name]) for one in (first, second) for name in ("steps", "sampler", "schedule")]
        if same[:3] != same[3:] or value(first.values["end_step"]) != value(second.values["start_step"]):
            return False
        alike = self._fits_but_for_steps(first) and self._fits_but_for_steps(second)
        return alike and self.scheduler_of(first) == self.scheduler_of(second)

    def scheduler_of(self, sampling: Sampling) -> str:
        """The class of its scheduler."""
        found = self._scheduler(sampling)
        return found.name if found else ""

    def _stage(self, sampling: Sampling) -> str:
        """Which part of a schedule is sampled: ``whole``, ``first`` with noise left over, ``second``, or neither."""
        values, fixed, is_open = sampling.values, self.script.fixed, self.script.is_open
        start, end = values["start_step"], values["end_step"]
        begins = not is_open(start) and start.value == 0
        ends = not is_open(end) and (end.value is None or (end.value >= fixed(values["steps"])))
        adds, leaves = fixed(values["add_noise"]), fixed(values["leftover_noise"])
        if begins and ends and adds:
            return "whole"
        if begins and adds and leaves and not ends:
            return "first"
        return "second" if ends and not begins and not adds else ""

    def _fits_but_for_steps(self, sampling: Sampling) -> bool:
        values, fixed = sampling.values, self.script.fixed
        if guidance_hooks(sampling.model) or sampling.latent.places:
            return False
        if self._scheduler(sampling) is None:
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
        if sampling.latent.scaled_for.base.family != sampling.model.base.family:
            return False
        if self._stage(sampling) == "second":
            return bool(fixed(strength) > FULL_STRENGTH) and not sampling.positive.entries[0].controls
        if sampling.channels:
            fixed(strength)
            return not sampling.positive.entries[0].controls
        return bool(sampling.latent.mask) or bool(strength.value <= FULL_STRENGTH)

    def lacks_tensors(self, sampling: Sampling) -> bool:
        """Whether the pipeline's pictures cannot be had as tensors."""
        return sampling.model.base.family == "sd" and self._kind(sampling).startswith("adapter")

    def _scheduler(self, sampling: Sampling) -> Scheduler | None:
        """The scheduler of Diffusers for a sampling, or None; with the style ``pipeline`` a near one will do."""
        values, fixed = sampling.values, self.script.fixed
        names = str(fixed(values["sampler"])), str(fixed(values["schedule"]))
        found = exact_scheduler(*names, inpaint=_inpaints(sampling) and not self._hard(sampling))
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
        if more or not entry.single or set(dict(entry.settings)) - {"sizes"}:
            return False
        return all(helper in WITHIN_ONE_PROMPT for helper, _ in entry.edits)

    def _zero_snr(self, sampling: Sampling) -> bool:
        return bool(_config(sampling.model).get("rescale_betas_zero_snr"))

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
        """Whether a callback of Diffusers ends what IP-Adapters do: they begin at once and end together."""
        pictures = sampling.model.pictures
        return all(prompt.start == "0.0" for prompt in pictures) and len({prompt.end for prompt in pictures}) <= 1

    # ------------------------------------------------------------------------------------- what is written

    def prepare(self, sampling: Sampling) -> None:
        """Write what stands before a pipeline call, so that the call itself may stand in a loop."""
        self.script.stage(ids(sampling.nodes))
        self.call(sampling)

    def call(self, sampling: Sampling, extra: dict[str, Expression] | None = None) -> Items:
        """The pipeline call of a sampling that fits one; what it needs is written before."""
        values, value = sampling.values, self.script.value
        arguments = self._prompts(sampling)
        steps = value(values["steps"])
        latent, controls = sampling.latent, sampling.positive.entries[0].controls
        pipe = self.loader.pipe(sampling.model, self._kind(sampling), [control.net for control in controls])
        self._set_scheduler(sampling, pipe)
        total = steps
        if isinstance(latent, EmptyLatent):
            if not controls or controls[0].is_adapter:
                arguments |= {"width": latent.width, "height": latent.height}
            arguments["num_inference_steps"] = steps
            if self._stage(sampling) == "first":
                arguments["denoising_end"] = self._switch(sampling, pipe)
        elif latent.carries:
            arguments |= {"image": latent.variable, "num_inference_steps": steps}
            arguments["denoising_start"] = self._switch(sampling, pipe)
        else:
            total = self._total_steps(steps, values["strength"])
            arguments |= {"image": latent.variable, "num_inference_steps": total, "strength": _share(steps, total)}
            if sampling.channels:
                arguments |= self._hole(sampling, pipe, steps, full=steps == total)
            elif self._hard(sampling):
                arguments |= self._size(sampling) | {"mask_image": f"{latent.mask}[:, None]"}
                if sampling.model.base.family == "sd":
                    # Not read by the UNet; without it that pipeline masks latents as if they were pixels, and fails.
                    arguments["masked_image_latents"] = latent.variable
        if controls:
            arguments |= self._controls(sampling, pipe, steps, total)
        if sampling.model.pictures:
            arguments |= self._pictures(sampling, pipe, steps, total)
        arguments["guidance_scale"] = "1.0" if sampling.negative is None else value(values["guidance_scale"])
        count = self._count(sampling)
        if count != "1":
            arguments["num_images_per_prompt"] = count
        arguments |= self._sizes(sampling)
        if not getattr(latent, "carries", ""):
            arguments["generator"] = self._generator(sampling, count)
        return call(pipe, **arguments, **(extra or {}))

    def _count(self, sampling: Sampling) -> str:
        """How many pictures it makes."""
        if isinstance(sampling.latent, EmptyLatent):
            return sampling.latent.batch
        return "1" if sampling.single else f"len({sampling.latent.variable})"

    def _kind(self, sampling: Sampling) -> str:
        """Which pipeline class of the family draws it."""
        controls = sampling.positive.entries[0].controls
        kind = (
            "text2img"
            if isinstance(sampling.latent, EmptyLatent)
            else "inpaint"
            if sampling.channels or self._hard(sampling)
            else "img2img"
        )
        if not controls:
            return kind
        first = "adapter" if controls[0].is_adapter else "union" if controls[0].net.mode is not None else "control"
        return f"{first}_{kind}"

    def _hard(self, sampling: Sampling) -> bool:
        """Whether Diffusers' own inpainting will do, which reads masks as black or white."""
        inpaints = sampling.latent.mask and not sampling.channels and not sampling.positive.entries[0].controls
        return bool(inpaints) and self.script.style == "pipeline"

    def _size(self, sampling: Sampling) -> dict[str, Expression]:
        latents = sampling.latent.variable
        return {"width": f"8 * {latents}.shape[-1]", "height": f"8 * {latents}.shape[-2]"}

    def _hole(self, sampling: Sampling, pipe: str, steps: str, *, full: bool) -> dict[str, Expression]:
        """What an inpainting pipeline is told beside the latents; at full strength, what it starts from, too."""
        latents, channels = sampling.latent.variable, sampling.channels
        seed = self.script.value(sampling.values["seed"])
        arguments: dict[str, Expression] = {
            **self._size(sampling),
            "mask_image": f"torch.nn.functional.interpolate({channels}[:, :1], scale_factor=8)",
            "masked_image_latents": f"{channels}[:, 1:]",
        }
        if full:
            drawn = (
                "draw_batch_noise" if self.script.fixed(sampling.values["noise_layout"]) == "batch" else "draw_noise"
            )
            self.script.need("start_latents", drawn)
            noise = call(drawn, latents, seed)
            arguments["latents"] = call("start_latents", f"{pipe}.scheduler", steps, latents, noise)
        return arguments

    def _switch(self, sampling: Sampling, pipe: str) -> str:
        """The share of the training time at which one pipeline takes over from another."""
        known = self._time_before(sampling)
        if known is not None:
            return known
        step = self.script.value(sampling.values["end_step" if self._stage(sampling) == "first" else "start_step"])
        steps = self.script.value(sampling.values["steps"])
        key = ("switch", steps, step, self.scheduler_of(sampling))
        if key not in self.script.written:
            self.script.need("share_before")
            made = call("share_before", f"{pipe}.scheduler", steps, step)
            self.script.written[key] = self.script.assign("switch", made)
        return str(self.script.written[key])

    def _time_before(self, sampling: Sampling) -> str | None:
        """The same as a number; None where an argument decides it, empty where timesteps do not tell the steps apart."""
        values, fixed = sampling.values, self.script.fixed
        step = values["end_step" if self._stage(sampling) == "first" else "start_step"]
        if self.script.is_open(step) or self.script.is_open(values["steps"]):
            return None
        found = time_before(
            _config(sampling.model),
            sampler=str(fixed(values["sampler"])),
            schedule=str(fixed(values["schedule"])),
            steps=values["steps"].value,
            step=step.value,
        )
        return "" if found is None else repr(found)

    def _sizes(self, sampling: Sampling) -> dict[str, Expression]:
        """What SDXL is told of sizes and looks; pipelines tell the negative prompt the same where nobody says it."""
        told: list[Any] = [dict(side.entries[0].settings).get("sizes") for side in sampling.sides]
        if not any(told):
            return {}
        if isinstance(sampling.latent, EmptyLatent):
            size = (sampling.latent.height, sampling.latent.width)
            usual = Items("(", tuple(("", part) for part in (*size, "0", "0", *size)), ")")
            told = [found or usual for found in told]
        found: dict[str, Expression] = {}
        for prefix, sizes in zip(("", "negative_"), told, strict=False):
            parts = [flat(part) for _, part in sizes.items]
            if not prefix or sizes != told[0]:
                found[f"{prefix}original_size"] = f"({parts[0]}, {parts[1]})"
                if parts[2:4] != ["0", "0"]:
                    found[f"{prefix}crops_coords_top_left"] = f"({parts[2]}, {parts[3]})"
            if len(parts) == 5:
                found[f"{prefix}aesthetic_score"] = parts[4]
            elif not prefix or sizes != told[0]:
                found[f"{prefix}target_size"] = f"({parts[4]}, {parts[5]})"
        return found

    def _generator(self, sampling: Sampling, count: str) -> Expression:
        seed = self.script.value(sampling.values["seed"])
        if count == "1" or self.script.fixed(sampling.values["noise_layout"]) == "batch":
            return f'torch.Generator("cpu").manual_seed({seed})'
        self.script.need("make_generators")
        return call("make_generators", seed, count)

    def _set_scheduler(self, sampling: Sampling, pipe: str) -> None:
        values = sampling.values
        solver = self._scheduler(sampling)
        assert solver is not None
        if solver.piece:
            self.script.need(solver.name)
        else:
            self.script.use("diffusers", solver.name)
        if not solver.exact:
            names = f"{self.script.fixed(values['sampler'])} on the schedule {self.script.fixed(values['schedule'])}"
            self.script.say(f"{sampling.node}: {solver.name} is near {names}; the picture differs from graphflow's.")
        attributes: dict[str, Expression] = {}
        if solver.levels:
            self.script.need(solver.levels)
            attributes["schedule"] = solver.levels
        if self._hard(sampling):
            self.script.say(
                f"{sampling.node}: the inpainting pipeline reads the mask as black or white, one value for 8x8 pixels, and"
                " forgets the picture under it at full strength; graphflow blends soft edges."
            )
        elif sampling.latent.mask:
            self.script.need("latent_mask")
            attributes["mask"] = call("latent_mask", sampling.latent.mask, sampling.latent.variable)
        elif sampling.channels:
            attributes["mask"] = "torch.ones(1, 1, 1, 1)"
        made = scheduler(sampling.model, pipe, solver.name, solver.config, solver.shown)
        self.loader.set_scheduler(pipe, made, attributes)

    def _controls(self, sampling: Sampling, pipe: str, steps: str, total: str) -> dict[str, Expression]:
        """What ControlNets are told: their pictures, how strongly they steer and in which steps."""
        controls, latent = sampling.positive.entries[0].controls, sampling.latent
        self.script.need("fit_hint")
        if isinstance(latent, EmptyLatent):
            size = f"({latent.height}, {latent.width})"
        else:
            size = self.script.assign("size", f"[8 * edge for edge in {latent.variable}.shape[-2:]]")
        images = [self._hint(control, size) for control in controls]
        strengths = [control.strength for control in controls]
        if controls[0].is_adapter:
            return {"image": one_or_list(images), "adapter_conditioning_scale": one_or_list(strengths)}
        union = controls[0].net.mode
        plain = isinstance(latent, EmptyLatent) and union is None
        arguments: dict[str, Expression] = {"image" if plain else "control_image": one_or_list(images)}
        if union is not None:
            arguments["control_mode"] = str(union)
        arguments["controlnet_conditioning_scale"] = one_or_list(strengths)
        ranges = [self._range(sampling, control.start, control.end, pipe, steps, total) for control in controls]
        for index, (name, usual) in enumerate((("start", "0.0"), ("end", "1.0"))):
            if any(found[index] != usual for found in ranges):
                arguments[f"control_guidance_{name}"] = one_or_list([found[index] for found in ranges])
        return arguments

    def _hint(self, control: Control, size: str) -> Expression:
        """The picture of a ControlNet as large as what is drawn."""
        made = call("fit_hint", control.image, size)
        part = control.net.base.description.parts.get("adapter")
        grey = part is not None and part.config.get("in_channels") == 1
        return made.then(".mean(dim=1, keepdim=True)") if grey else made

    def _pictures(self, sampling: Sampling, pipe: str, steps: str, total: str) -> dict[str, Expression]:
        """What IP-Adapters are told: pictures, places and, by a callback, when they end."""
        pictures = sampling.model.pictures
        self.script.need("clip_pixels")
        self.script.add("", call(f"{pipe}.set_ip_adapter_scale", one_or_list([prompt.strength for prompt in pictures])))
        images = [call("clip_pixels", prompt.image, prompt.size) for prompt in pictures]
        arguments: dict[str, Expression] = {"ip_adapter_image": one_or_list(images)}
        if any(prompt.mask for prompt in pictures):
            masks = listed(prompt.mask or "None" for prompt in pictures)
            arguments["cross_attention_kwargs"] = mapped({"ip_adapter_masks": masks})
        end = pictures[0].end
        if end != "1.0":
            _, shown = self._range(sampling, "0.0", end, pipe, steps, total)
            last = f"round({steps} * {flat(shown)}) - 1"
            if steps.isdigit() and " / " in flat(shown):
                last = str(int(flat(shown).split(" / ")[0]) - 1)
            self.script.use("diffusers.callbacks", "IPAdapterScaleCutoffCallback")
            cutoff = call("IPAdapterScaleCutoffCallback", cutoff_step_ratio="None", cutoff_step_index=last)
            arguments["callback_on_step_end"] = cutoff
        return arguments

    def _range(
        self, sampling: Sampling, start: str, end: str, pipe: str, steps: str, total: str
    ) -> tuple[Expression, Expression]:
        """When something acts, as a pipeline counts."""
        values, fixed = sampling.values, self.script.fixed
        if (start, end) == ("0.0", "1.0"):
            return start, end
        if not all(map(_is_number, (start, end, steps, total))):
            self.script.need("share_of_steps")
            made = [call("share_of_steps", f"{pipe}.scheduler", total, steps, share) for share in (start, end)]
            return start if start == "0.0" else made[0], end if end == "1.0" else made[1]
        first, behind, count = active_steps(
            _config(sampling.model),
            sampler=str(fixed(values["sampler"])),
            schedule=str(fixed(values["schedule"])),
            steps=int(steps),
            strength=values["strength"].value,
            start=float(start),
            end=float(end),
        )
        return pipeline_range(first, behind, count, float(start), float(end))

    def _prompts(self, sampling: Sampling) -> dict[str, Expression]:
        """Prompts as a pipeline call takes them: texts, or embeddings where weights or a layer ask for them."""
        sides = {"prompt": sampling.positive}
        if sampling.negative is not None:
            sides["negative_prompt"] = sampling.negative
        if all(side.entries[0].plain for side in sides.values()):
            return {name: side.entries[0].text for name, side in sides.items()}
        found: dict[str, Expression] = {}
        for name, side in sides.items():
            variable = self.encode(side)
            found[f"{name}_embeds"] = f'{variable}["embeds"]'
            if sampling.model.base.family == "sdxl":
                pooled = "pooled_prompt_embeds" if name == "prompt" else "negative_pooled_prompt_embeds"
                found[pooled] = f'{variable}["pooled"]'
        return found

    def _total_steps(self, steps: str, strength: Any) -> str:
        return total_steps(self.script, steps, strength)


def total_steps(script: Script, steps: str, strength: Any) -> str:
    """The number of steps of the whole schedule, of which ``steps`` are taken."""
    shown = script.value(strength)
    if shown.startswith("args.") or steps.startswith("args."):
        return script.assign("total_steps", f"int({steps} / {shown})")
    return str(int(int(steps) / (1.0 if strength.value > FULL_STRENGTH else strength.value)))


def guidance_hooks(model: ModelPart) -> list[Any]:
    """The hooks that change guidance."""
    return [hook for hook in model.hooks if hook.stage != "unet"]


def _config(model: ModelPart) -> dict[str, Any]:
    """What is known of a model's own scheduler."""
    return {**model.base.description.scheduler, **dict(model.base.options)}


def _inpaints(sampling: Sampling) -> bool:
    """Whether the scheduler has to know the original, to keep it or to start from it."""
    return bool(sampling.latent.mask or sampling.channels)


def _keeps_outside(model: ModelPart) -> bool:
    """Whether the script's schedulers know what the model predicts."""
    return str(_config(model).get("prediction_type", "epsilon")) in ("epsilon", "v_prediction")


def _downscale(model: ModelPart) -> int:
    """Pixels per latent sample, as a pipeline reckons with them."""
    vae = model.base.description.parts.get("vae")
    widths = vae.config.get("block_out_channels") if vae is not None else None
    return 2 ** (len(widths) - 1) if isinstance(widths, list | tuple) else 8


def _pools(net: ModelPart) -> bool:
    """Whether a ControlNet makes one number of each residual, which has pipelines leave out the negative prompt."""
    part = net.base.description.parts.get("controlnet")
    return bool(part and part.config.get("global_pool_conditions"))


def _share(steps: str, total: str) -> str:
    """A strength of which Diffusers makes int(total * strength) == steps evaluations, in spite of rounding."""
    if steps == total:
        return "1.0"
    if steps.isdigit() and total.isdigit() and int(int(total) * (int(steps) / int(total))) == int(steps):
        return f"{steps} / {total}"
    return f"min(({steps} + 0.5) / {total}, 1.0)"


def _is_number(shown: str) -> bool:
    return shown.replace(".", "", 1).isdigit()
