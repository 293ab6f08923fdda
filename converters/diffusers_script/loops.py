"""How a denoising loop is written, with just the sampler, the schedule and the helpers that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .conditionings import TOLD, Conditioning, Control
from .families import family_of, flow_of, steering_of, traits_of
from .fitting import guidance_hooks
from .flows import described_network, is_flow, is_raw, latent_of, levels_of, space_of
from .handles import EmptyLatent, Latents, Noise, Sampling, Solver
from .layout import Expression, call, listed, mapped
from .loading import Loader
from .models import ModelPart
from .prompts import Prompts
from .script import Script, UnsupportedError
from .solvers import RENOISES_KEPT, SAME_STEPS, schedule_function
from .steps import FULL_STRENGTH, next_seed, plus_one, sliced, step_seed, total_steps

GAUSSIAN = frozenset(
    [
        "euler_ancestral",
        "euler_ancestral_cfg_pp",
        "dpm_2_ancestral",
        "dpmpp_2s_ancestral",
        "dpmpp_2s_ancestral_cfg_pp",
        "ddpm",
        "dpm_adaptive",
        "lcm",
        "res_multistep_ancestral",
        "res_multistep_ancestral_cfg_pp",
        "er_sde",
        "seeds_2",
        "seeds_3",
        "sa_solver",
        "sa_solver_pece",
    ]
)
BROWNIAN = frozenset({"dpmpp_sde", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde"})
LOG_SNR = BROWNIAN | {"exp_heun_2_x0", "er_sde", "seeds_2", "seeds_3", "sa_solver", "sa_solver_pece"}
"""Samplers that see a flow model as one whose latents are clean + sigma * noise."""
SKIPS_PENULTIMATE = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})
OWN_STEPS = frozenset({"dpm_fast", "dpm_adaptive"})


@dataclass(frozen=True)
class Loops:
    """Writes loops over a UNet.

    Attributes:
        script: Where to.
        loader: Where pipelines come from.
    """

    script: Script
    loader: Loader

    def loop(self, sampling: Sampling) -> Latents:
        """Write a sampling as a loop over the UNet."""
        values, fixed = sampling.values, self.script.fixed
        pipe = self.loader.pipe(sampling.model)
        sampler = fixed(values["sampler"])
        start = self._start(sampling, pipe)
        denoise = self.denoiser(sampling, pipe, start)
        sigmas = self._sigmas(sampling, denoise, sampler)
        seed, batch = self.script.value(values["seed"]), fixed(values["noise_layout"]) == "batch"
        steps = step_seed(seed, fixed(values["step_noise"]))
        noise = Noise(seed, bool(fixed(values["add_noise"])), batch, steps)
        return self._run(sampling, start, denoise, sigmas, Solver(sampler), noise)

    def custom(
        self, sampling: Sampling, levels: str, solver: Solver, noise: Noise, *, denoised: bool = False
    ) -> tuple[Latents, Latents | None]:
        """Write a sampling whose schedule, sampler and noise come from elsewhere; gives the last clean latents, too."""
        pipe, script = self.loader.pipe(sampling.model), self.script
        start = self._start(sampling, pipe)
        denoise = self.denoiser(sampling, pipe, start)
        seen = script.assign("seen", "[]") if denoised else ""
        made = self._run(sampling, start, denoise, levels, solver, noise, seen)
        if not seen:
            return made, None
        last = f"{seen}[-1]"
        if flow_of(sampling.model.base) is not None:
            last = f"{space_of(script, sampling.model)}.leave({last})"
        return made, replace(made, variable=script.assign("denoised", last))

    def _run(
        self, sampling: Sampling, start: str, denoise: str, sigmas: str, solver: Solver, noise: Noise, seen: str = ""
    ) -> Latents:
        script = self.script
        drawn = ""
        if noise.add:
            places = [sampling.latent.places] if sampling.latent.places else []
            name = f"draw_{'placed_' if places else ''}{'batch_' if noise.batch else ''}noise"
            script.need(name)
            drawn = script.assign("noise", call(name, start, noise.seed, *places))
        if sampling.latent.mask:
            kept: list[Expression] = [denoise, sampling.latent.mask, start, drawn or f"torch.zeros_like({start})"]
            if solver.name == RENOISES_KEPT:
                name = f"draw_{'batch_' if noise.batch else ''}noise"
                script.need(name)
                kept[-1] = call(name, start, next_seed(noise.seed))
            opening = [hook for hook in sampling.model.hooks if hook.stage == "mask"]
            made = call("Inpainting", *kept)
            if opening:
                made = call(opening[-1].helper, *kept, sigmas, **dict(opening[-1].arguments))
            script.need(opening[-1].helper if opening else "Inpainting")
            script.add(f"{denoise} = ", made)
        begin, flow = start, is_flow(sampling.model.base)
        if flow:
            made = call(f"{denoise}.levels.noise_latent", f"{sigmas}[0]", drawn or f"torch.zeros_like({start})", start)
            begin = script.assign("noisy", made)
        elif drawn:
            script.need("add_noise")
            begin = script.assign("noisy", call("add_noise", start, drawn, f"{sigmas}[0]", f"{denoise}.levels"))
        function = SAME_STEPS.get(solver.name, solver.name).removesuffix("_gpu")
        script.need(function)
        drawing = self._step_noise(noise, function, start, sigmas)
        watch = "show_share" if function in OWN_STEPS else "show_progress"
        script.need(watch)
        progress = script.assign("progress", call(watch, self.loader.pipe(sampling.model), sigmas))
        if seen:
            script.need("remember")
            script.add(f"{progress} = ", call("remember", progress, seen))
        if sampling.channels:
            script.need("read_channels")
            hook = script.assign("hook", call("read_channels", self.loader.pipe(sampling.model), sampling.channels))
        taken: list[Expression] = [denoise, begin, sigmas]
        if flow and function in LOG_SNR:
            script.need("run_in_log_snr_form")
            taken, function = [function, *taken], "run_in_log_snr_form"
        made = call(function, *taken, noise=drawing, callback=progress, **dict(solver.options))
        variable = script.assign(sampling.node, made)
        if flow_of(sampling.model.base) is not None:
            last = f"{variable} / (1 - {sigmas}[-1])" if flow else variable
            script.add(f"{variable} = ", f"{space_of(script, sampling.model)}.leave({last})")
        if sampling.channels:
            script.add(f"{hook}.remove()")
        return Latents(variable, sampling.model, sampling.latent.mask, sampling.latent.places)

    def _start(self, sampling: Sampling, pipe: str) -> str:
        latent, base = sampling.latent, sampling.model.base
        flow = flow_of(base) is not None
        if isinstance(latent, EmptyLatent):
            channels, edge = latent.channels, 8
            if flow:
                known = latent_of(sampling.model)
                edge = latent.edge if channels == str(known.channels) else known.downscale
                channels = str(known.channels)
            if latent.frames and (not flow or family_of(base).latent.axes != 3):
                raise UnsupportedError("models of its family make no frames")
            frames = [latent.frames] if latent.frames else []
            sizes = [latent.batch, channels, *frames, _divided(latent.height, edge), _divided(latent.width, edge)]
            return self.script.assign(latent.node, call("torch.zeros", *sizes, device="DEVICE"))
        if latent.scaled_for is not None and is_raw(latent.scaled_for) != flow:
            raise UnsupportedError("its latents are those of another family; decode them, and encode the picture again")
        if flow:
            return self.script.assign(
                "latents", f"{space_of(self.script, sampling.model)}.enter({latent.variable}.to(DEVICE))"
            )
        if latent.scaled_for is None:
            return self.script.assign("latents", f"{latent.variable} * {pipe}.vae.config.scaling_factor")
        if latent.scaled_for.base.key == base.key or latent.scaled_for.base.family == base.family:
            return str(latent.variable)
        other = self.loader.vae(latent.scaled_for)
        own = f"{pipe}.vae.config.scaling_factor"
        if not (base.is_whole or base.host):  # it brings no autoencoder
            own, part = str(family_of(base).latent.scale), latent.scaled_for.base.description.parts["vae"]
            if str(part.config.get("scaling_factor")) == own:
                return str(latent.variable)
        factor = f"{own} / {other}.config.scaling_factor"
        return self.script.assign("latents", f"{latent.variable} * ({factor})")

    def denoiser(self, sampling: Sampling, pipe: str, latents: str) -> str:
        """Write the guided model of a sampling of latents in a variable; returns its own variable."""
        sides = [_steered(side, sampling.model.controls) for side in sampling.sides]
        regional = not all(_alone(side) for side in sides)
        flow = flow_of(sampling.model.base)
        own = "Flow" if flow else traits_of(sampling.model.base).suffix.capitalize()
        if described_network(sampling.model).task == "estimate":
            own = "Geometry"
            if _place(sides):
                raise UnsupportedError("models that estimate depth read one prompt, everywhere and always")
        name = f"{_place(sides)}{own}Denoiser"
        if flow:
            _require_flow(sampling, sides)
        if sampling.model.base.refiner:
            if regional and not all("sizes" in dict(entry.settings) for side in sides for entry in side.entries):
                raise UnsupportedError("prompts of SDXL's refiner in areas need encode_prompt_refiner")
            name = name if regional else "RefinerDenoiser"
        self.script.need(name)
        writer = Prompts(self.script, self.loader)
        prompts = [writer.encoded(side, regional=regional, model=sampling.model, latents=latents) for side in sides]
        others = dict(zip((name for name, _ in sampling.others), prompts[2:], strict=True))
        arguments: list[Expression] = [pipe]
        if flow:
            self.script.need(flow.velocity)
            arguments += [flow.velocity, levels_of(self.script, sampling.model)]
            arguments.append(space_of(self.script, sampling.model))
        arguments += prompts[:2]
        if sampling.negative is not None and sampling.guider is None:
            arguments.append(self.script.value(sampling.values["guidance_scale"]))
        denoise = self.script.assign("denoise", call(name, *arguments, **others))
        if flow and flow.tells:
            self.script.need(flow.tells)
            self.script.add("", call(flow.tells, denoise))
        if flow and flow.misfit:
            self.script.need("require_fit", flow.misfit)
            self.script.add("", call("require_fit", denoise, flow.misfit))
        hooks = guidance_hooks(sampling.model)
        for hook in hooks:
            if hook.stage in ("denoiser", "references"):
                self.script.need(hook.helper)
                self.script.add("", call(hook.helper, denoise, **dict(hook.arguments)))
        changes = [hook for hook in hooks if hook.stage == "guidance"]
        guider = {"guider": sampling.guider} if sampling.guider else {}
        if changes or guider:
            self.script.need("change_guidance", *(hook.helper for hook in (*changes, *guider.values())))
            shown = [call(hook.helper, **dict(hook.arguments)) for hook in changes]
            formula = {name: call(hook.helper, **dict(hook.arguments)) for name, hook in guider.items()}
            self.script.add("", call("change_guidance", denoise, *shown, **formula))
        if sampling.model.pictures:
            self._see_pictures(pipe, denoise, sampling.model)
        return denoise

    def _see_pictures(self, pipe: str, denoise: str, model: ModelPart) -> None:
        """Have a denoiser's model take after pictures."""
        function = "see_pictures" if flow_of(model.base) is None else "see_pictures_in_flow"
        self.script.need(function, "clip_pixels")
        rows = []
        for prompt in model.pictures:
            row: dict[str, Expression] = {"image": call("clip_pixels", prompt.image, prompt.size)}
            row["strength"] = prompt.strength
            row |= {name: value for name in ("start", "end", "mask") if (value := getattr(prompt, name))}
            rows.append(mapped(row))
        self.script.add("", call(function, denoise, pipe, listed(rows)))

    def _sigmas(self, sampling: Sampling, denoise: str, sampler: str) -> str:
        script, values = self.script, sampling.values
        schedule = script.fixed(values["schedule"])
        make = schedule_function(schedule)
        script.need(make)
        steps, strength = script.value(values["steps"]), values["strength"]
        partial = script.is_open(strength) or strength.value <= FULL_STRENGTH
        total = total_steps(script, steps, strength) if partial else steps
        skips = sampler in SKIPS_PENULTIMATE
        made: Expression = call(make, f"{denoise}.levels", plus_one(total) if skips else total)
        if skips:
            script.need("without_penultimate")
            made = call("without_penultimate", made)
        if partial:
            script.need("last_levels")
            made = call("last_levels", made, steps)
        variable = script.assign("sigmas", made)
        first, last = values["start_step"], values["end_step"]
        cut = ""
        if script.is_open(last) or last.value is not None:
            cut = plus_one(script.value(last))
        if cut:
            script.add(f"{variable} = ", sliced(variable, end=cut))
            if not script.fixed(values["leftover_noise"]):
                script.need("down_to_zero")
                script.add(f"{variable} = ", f"down_to_zero({variable})")
        if script.is_open(first) or first.value != 0:
            script.add(f"{variable} = ", sliced(variable, start=script.value(first)))
        return variable

    def _step_noise(self, noise: Noise, function: str, start: str, sigmas: str) -> Expression:
        if function in GAUSSIAN:
            name = "StepBatchNoise" if noise.batch else "StepNoise"
            self.script.need(name)
            return call(name, start, noise.steps)
        if function in BROWNIAN:
            self.script.need("BrownianNoise")
            return call("BrownianNoise", start, noise.seed, sigmas, *(["True"] if noise.batch else []))
        return "None"


UNETS_ONLY = frozenset(
    {"perturbed_attention_guidance", "self_attention_guidance", "skip_layer_guidance", "SelfAttentionGuidance"}
)
"""Changes of guidance by other states of a UNet."""


def _require_flow(sampling: Sampling, sides: Sequence[Conditioning]) -> None:
    """Refuse what scripts do to UNets only.

    Raises:
        UnsupportedError: Always where there is something of the kind.
    """
    steered = any(entry.controls for side in sides for entry in side.entries)
    if steered and steering_of(sampling.model.base) is None:
        raise UnsupportedError("ControlNets of its family cannot be written in scripts")
    hooks = sampling.model.hooks
    only = [hook.helper for hook in hooks if hook.stage in ("unet", "denoiser") or hook.helper in UNETS_ONLY]
    if only:
        raise UnsupportedError(f"scripts change UNets by {', '.join(only)}, not models of its family")
    flow = flow_of(sampling.model.base)
    if sampling.model.pictures and (flow is None or not flow.adapts):
        raise UnsupportedError("scripts have no IP-Adapters for models of its family")
    if any(prompt.mask for prompt in sampling.model.pictures):
        raise UnsupportedError("models of its family attend to pictures everywhere, not where a mask says")
    if {"keep_references", "skip_blocks"} <= {hook.helper for hook in hooks}:
        raise UnsupportedError("scripts keep references of a network that is whole; take skip_transformer_layers out")


def _steered(conditioning: Conditioning, controls: tuple[Control, ...]) -> Conditioning:
    """A conditioning with further ControlNets."""
    return Conditioning(tuple(replace(entry, controls=(*entry.controls, *controls)) for entry in conditioning.entries))


def _place(sides: Sequence[Conditioning]) -> str:
    """Which denoiser they need: for prompts everywhere and always, in places, in time, or with ControlNets."""
    entries = [entry for side in sides for entry in side.entries]
    if any(entry.controls for entry in entries):
        return "Steered"
    if any({"start", "end"} & set(dict(entry.settings)) for entry in entries):
        return "Timed"
    return "" if all(_alone(side) for side in sides) else "Regional"


def _alone(conditioning: Conditioning) -> bool:
    """Whether it is one prompt that acts everywhere, always."""
    (first, *more) = conditioning.entries
    return not more and not set(dict(first.settings)) - TOLD and not first.controls


def _divided(pixels: str, edge: int) -> str:
    return str(int(pixels) // edge) if pixels.isdigit() else f"{pixels} // {edge}"
