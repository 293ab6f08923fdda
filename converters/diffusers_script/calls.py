"""How a pipeline's call is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .conditionings import Control
from .families import flow_of, traits_of
from .fitting import Fitting, config_of
from .flow_calls import FlowCalls
from .handles import EmptyLatent, Sampling
from .layout import Expression, Items, call, flat, listed, mapped
from .loading import Loader, one_or_list, scheduler
from .prompts import Prompts
from .ranges import active_steps, pipeline_range
from .script import Script, ids
from .solvers import FROM_SEED
from .steps import share_of, step_seed, total_steps


@dataclass(frozen=True)
class Calls:
    """Writes pipeline calls.

    Attributes:
        script: Where to.
        loader: Where pipelines come from.
    """

    script: Script
    loader: Loader

    @property
    def fit(self) -> Fitting:
        """Decides between a pipeline call and a loop."""
        return Fitting(self.script)

    def prepare(self, sampling: Sampling) -> None:
        """Write what stands before a pipeline call, so that the call itself may stand in a loop."""
        self.script.stage(ids(sampling.nodes))
        self.call(sampling)

    def call(self, sampling: Sampling, extra: dict[str, Expression] | None = None) -> Items:
        """The pipeline call of a sampling that fits one; what it needs is written before."""
        if flow_of(sampling.model.base) is not None:
            pipe = self.loader.pipe(sampling.model, self.fit.kind(sampling))
            arguments = FlowCalls(self.script, self.loader).call(sampling, pipe) | self._drawn(sampling)
            return call(pipe, **arguments, **(extra or {}))
        values, value = sampling.values, self.script.value
        arguments = Prompts(self.script, self.loader).for_call(sampling)
        steps = value(values["steps"])
        latent, controls = sampling.latent, sampling.positive.entries[0].controls
        pipe = self.loader.pipe(sampling.model, self.fit.kind(sampling), [control.net for control in controls])
        self._set_scheduler(sampling, pipe)
        total = steps
        if isinstance(latent, EmptyLatent):
            if not controls or controls[0].is_adapter:
                arguments |= {"width": latent.width, "height": latent.height}
            arguments["num_inference_steps"] = steps
            if self.fit.stage(sampling) == "first":
                arguments["denoising_end"] = self._switch(sampling, pipe)
        elif latent.carries:
            arguments |= {"image": latent.variable, "num_inference_steps": steps}
            arguments["denoising_start"] = self._switch(sampling, pipe)
        else:
            total = total_steps(self.script, steps, values["strength"])
            arguments |= {"image": latent.variable, "num_inference_steps": total, "strength": share_of(steps, total)}
            if sampling.channels:
                arguments |= self._hole(sampling, pipe, steps, full=steps == total)
            elif self.fit.hard(sampling):
                arguments |= self._size(sampling) | {"mask_image": f"{latent.mask}[:, None]"}
                if traits_of(sampling.model.base).masks_latents:
                    # Not read by the UNet; without it that pipeline masks latents as if they were pixels, and fails.
                    arguments["masked_image_latents"] = latent.variable
        if controls:
            arguments |= self._controls(sampling, pipe, steps, total)
        if sampling.model.pictures:
            arguments |= self._pictures(sampling, pipe, steps, total)
        arguments["guidance_scale"] = "1.0" if sampling.negative is None else value(values["guidance_scale"])
        arguments |= self._sizes(sampling) | self._drawn(sampling)
        return call(pipe, **arguments, **(extra or {}))

    def _drawn(self, sampling: Sampling) -> dict[str, Expression]:
        """How many pictures it makes of each prompt, and what their noise is drawn from."""
        count = self._count(sampling)
        found: dict[str, Expression] = {} if count == "1" else {"num_images_per_prompt": count}
        if not getattr(sampling.latent, "carries", ""):
            found["generator"] = self._generator(sampling, self.script.value(sampling.values["seed"]))
        return found

    def _count(self, sampling: Sampling) -> str:
        """How many pictures it makes."""
        if isinstance(sampling.latent, EmptyLatent):
            return sampling.latent.batch
        return "1" if sampling.single else f"len({sampling.latent.variable})"

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
        known = self.fit.time_before(sampling)
        if known is not None:
            return known
        step = self.script.value(sampling.values["end_step" if self.fit.stage(sampling) == "first" else "start_step"])
        steps = self.script.value(sampling.values["steps"])
        key = ("switch", steps, step, self.fit.scheduler_of(sampling))
        if key not in self.script.written:
            self.script.need("share_before")
            made = call("share_before", f"{pipe}.scheduler", steps, step)
            self.script.written[key] = self.script.assign("switch", made)
        return str(self.script.written[key])

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

    def _generator(self, sampling: Sampling, seed: str) -> Expression:
        count = self._count(sampling)
        if count == "1" or self.script.fixed(sampling.values["noise_layout"]) == "batch":
            return f'torch.Generator("cpu").manual_seed({seed})'
        self.script.need("make_generators")
        return call("make_generators", seed, count)

    def _set_scheduler(self, sampling: Sampling, pipe: str) -> None:
        values = sampling.values
        solver = self.fit.scheduler(sampling)
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
            if self.fit.counts_otherwise(sampling):
                self.script.need("of_length")
                attributes["schedule"] = f"of_length({solver.levels})"
        seed = self.script.value(values["seed"])
        steps = step_seed(seed, self.script.fixed(values["step_noise"]))
        if solver.name in FROM_SEED and steps != seed:
            attributes["steps_from"] = self._generator(sampling, steps)
        if self.fit.hard(sampling):
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
            known = self._active(sampling, "0.0", end, steps, total)
            if known is None:
                self.script.need("share_of_steps")
                share = flat(call("share_of_steps", f"{pipe}.scheduler", total, steps, end))
                last = f"round({steps} * {share}) - 1"
            else:
                last = str(known[1] - 1)
            self.script.use("diffusers.callbacks", "IPAdapterScaleCutoffCallback")
            cutoff = call("IPAdapterScaleCutoffCallback", cutoff_step_ratio="None", cutoff_step_index=last)
            arguments["callback_on_step_end"] = cutoff
        return arguments

    def _range(
        self, sampling: Sampling, start: str, end: str, pipe: str, steps: str, total: str
    ) -> tuple[Expression, Expression]:
        """When something acts, as a pipeline counts."""
        if (start, end) == ("0.0", "1.0"):
            return start, end
        known = self._active(sampling, start, end, steps, total)
        if known is None:
            self.script.need("share_of_steps")
            made = [call("share_of_steps", f"{pipe}.scheduler", total, steps, share) for share in (start, end)]
            return start if start == "0.0" else made[0], end if end == "1.0" else made[1]
        return pipeline_range(*known, float(start), float(end))

    def _active(self, sampling: Sampling, start: str, end: str, steps: str, total: str) -> tuple[int, int, int] | None:
        """The steps in which something acts; None where arguments decide it."""
        if not all(map(_is_number, (start, end, steps, total))):
            return None
        values, fixed = sampling.values, self.script.fixed
        return active_steps(
            config_of(sampling.model),
            sampler=str(fixed(values["sampler"])),
            schedule=str(fixed(values["schedule"])),
            steps=int(steps),
            strength=values["strength"].value,
            start=float(start),
            end=float(end),
        )


def _is_number(shown: str) -> bool:
    return shown.replace(".", "", 1).isdigit()
