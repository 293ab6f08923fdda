"""How a sampling is written: a pipeline call where one is exact, else a denoising loop with just the sampler it needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from graphflow.sampling.names import SCHEDULE_NAMES

from .handles import (
    Conditioning,
    Control,
    Decoding,
    EmptyLatent,
    Entry,
    Latents,
    ModelPart,
    Noise,
    Pixels,
    Sampling,
    Solver,
    text_patches,
)
from .layout import Expression, Items, call, listed, mapped, quoted
from .loading import Loader, scheduler
from .script import Script, ids
from .solvers import Scheduler, exact_scheduler, near_scheduler

FULL_STRENGTH = 0.9999

GAUSSIAN = frozenset(
    [
        "euler_ancestral",
        "euler_ancestral_cfg_pp",
        "dpm_2_ancestral",
        "dpmpp_2s_ancestral",
        "dpmpp_2s_ancestral_cfg_pp",
        "ddpm",
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
SKIPS_PENULTIMATE = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})
SAME_STEPS = {"ddim": "euler"}


@dataclass(frozen=True)
class Writer:
    """Writes samplings.

    Attributes:
        script: Where to.
        loader: Where pipelines come from.
    """

    script: Script
    loader: Loader

    # -------------------------------------------------------------------------------------------- pictures

    def pictures(self, wanted: Decoding, *, truncate: bool = False) -> tuple[str, str]:
        """Write a sampling up to pictures as files have them; returns their variable and the checker's verdicts.

        Pipelines round to 8 bits; with ``truncate`` the script cuts instead, from the pipeline's tensors.
        """
        sampling = wanted.sampling
        if wanted.shared or sampling.shared or not self.fits_pipeline(sampling) or not self._own_vae(wanted):
            pixels = self.pixels(wanted)
            return self.to_pil(pixels.variable, truncate=truncate), pixels.flags
        nodes = [*self.nodes(sampling), wanted.node, *([wanted.checked] if wanted.checked else [])]
        self.script.stage(ids(nodes))
        pipe_call = self.call(sampling, {"output_type": '"pt"'} if truncate else None)
        if wanted.checked:
            result = self.script.assign("result", pipe_call)
            images, flags = f"{result}.images", f"{result}.nsfw_content_detected"
        else:
            images, flags = self.script.assign("images", pipe_call.then(".images")), ""
        return self.to_pil(images, truncate=True) if truncate else images, flags

    def to_pil(self, images: str, *, truncate: bool) -> str:
        """The expression of tensors as pictures with 8 bits."""
        self.script.need("to_pil")
        return f"to_pil({images}, truncate=True)" if truncate else f"to_pil({images})"

    def pixels(self, wanted: Decoding) -> Pixels:
        """Write a sampling up to pictures as tensors, once."""
        key = ("pixels", wanted.node, wanted.sampling.node, repr(wanted))
        if key not in self.script.written:
            self.script.written[key] = self._pixels(wanted)
        found: Pixels = self.script.written[key]
        return found

    def _pixels(self, wanted: Decoding) -> Pixels:
        latents = self.latents(wanted.sampling)
        self.script.stage(ids([wanted.node]))
        pixels = self.decode(latents, wanted.vae, wanted.node)
        return self.check(pixels, wanted.vae, wanted.checked) if wanted.checked else pixels

    def decode(self, latents: Latents, vae: Any, node: str) -> Pixels:
        """Write the decoding of latents."""
        self.script.need("decode_latents")
        return Pixels(self.script.assign(node, call("decode_latents", self.loader.vae(vae), latents.variable)))

    def check(self, pixels: Pixels, checker: Any, node: str) -> Pixels:
        """Write a safety check."""
        self.script.stage(ids([node]))
        self.script.facts.checked.add(checker.base.key)
        self.script.need("check_safety")
        pipe = self.loader.any_pipe(checker.base)
        flags = self.script.assign("flags", call("check_safety", pipe, pixels.variable))
        return replace(pixels, flags=flags)

    # --------------------------------------------------------------------------------------------- latents

    def latents(self, sampling: Sampling) -> Latents:
        """Write a sampling up to latents, once."""
        key = ("latents", sampling.node, repr(sampling))
        if key not in self.script.written:
            self.script.written[key] = self._latents(sampling)
        found: Latents = self.script.written[key]
        return found

    def _latents(self, sampling: Sampling) -> Latents:
        self.script.stage(ids(self.nodes(sampling)))
        if self.fits_pipeline(sampling):
            pipe_call = self.call(sampling, {"output_type": '"latent"'})
            variable = self.script.assign(sampling.node, pipe_call.then(".images"))
            return Latents(variable, sampling.model)
        return self._loop(sampling)

    def nodes(self, sampling: Sampling) -> list[str]:
        """The nodes that a sampling stands for."""
        entries = [*sampling.positive.entries, *(sampling.negative.entries if sampling.negative else ())]
        start = [sampling.latent.node] if isinstance(sampling.latent, EmptyLatent) else []
        return [*(entry.node for entry in entries), *start, sampling.node]

    # ------------------------------------------------------------------------------------- pipeline calls

    def _own_vae(self, wanted: Decoding) -> bool:
        base = wanted.sampling.model.base
        has_checker = "safety_checker" in base.description.parts and base.key in self.script.facts.checked
        return wanted.vae.base.key == base.key and bool(wanted.checked) == has_checker

    def fits_pipeline(self, sampling: Sampling) -> bool:
        """Whether a pipeline call gives the same picture."""
        values, fixed = sampling.values, self.script.fixed
        if _guidance_hooks(sampling.model) or sampling.model.base.refiner:
            return False
        if self._scheduler(sampling) is None:
            return False
        if self._zero_snr(sampling) or _downscale(sampling.model) != 8:
            return False
        whole = fixed(values["start_step"]) == 0 and fixed(values["end_step"]) is None
        if not whole or not fixed(values["add_noise"]) or fixed(values["leftover_noise"]):
            return False
        if not self._one_pipe(sampling) or not self._plain(sampling.positive):
            return False
        if sampling.negative and not self._plain(sampling.negative):
            return False
        scale = values["guidance_scale"]
        if not self.script.is_open(scale) and scale.value < 1:
            return False
        strength = values["strength"]
        if isinstance(sampling.latent, EmptyLatent):
            return bool(fixed(strength) > FULL_STRENGTH) and sampling.latent.channels == "4"
        return (
            not sampling.latent.mask
            and sampling.latent.scaled_for.base.family == sampling.model.base.family
            and 0 < strength.value <= FULL_STRENGTH
        )

    def _scheduler(self, sampling: Sampling) -> Scheduler | None:
        """The scheduler of Diffusers for a sampling, or None; with the style ``pipeline`` a near one will do."""
        values, fixed = sampling.values, self.script.fixed
        names = str(fixed(values["sampler"])), str(fixed(values["schedule"]))
        found = exact_scheduler(*names)
        return near_scheduler(*names) if found is None and self.script.style == "pipeline" else found

    def _one_pipe(self, sampling: Sampling) -> bool:
        """Whether one pipeline has the LoRAs of the model and of all text encoders."""
        sides = [sampling.positive, *([sampling.negative] if sampling.negative else [])]
        encoders = [entry.encoder for side in sides for entry in side.entries]
        own = text_patches(sampling.model.patches)
        return all(
            encoder.base.key == sampling.model.base.key and text_patches(encoder.patches) == own for encoder in encoders
        )

    def _plain(self, conditioning: Conditioning) -> bool:
        return len(conditioning.entries) == 1 and all(
            entry.single and not entry.settings and not entry.controls and not entry.edits
            for entry in conditioning.entries
        )

    def _zero_snr(self, sampling: Sampling) -> bool:
        base = sampling.model.base
        config = {**base.description.scheduler, **dict(base.options)}
        return bool(config.get("rescale_betas_zero_snr"))

    def prepare(self, sampling: Sampling) -> None:
        """Write what stands before a pipeline call, so that the call itself may stand in a loop."""
        self.script.stage(ids(self.nodes(sampling)))
        self.call(sampling)

    def call(self, sampling: Sampling, extra: dict[str, Expression] | None = None) -> Items:
        """The pipeline call of a sampling that fits one; what it needs is written before."""
        values, value = sampling.values, self.script.value
        arguments = self._prompts(sampling)
        steps, seed = value(values["steps"]), value(values["seed"])
        latent = sampling.latent
        if isinstance(latent, EmptyLatent):
            kind, count = "text2img", latent.batch
            arguments |= {"width": latent.width, "height": latent.height, "num_inference_steps": steps}
            if count != "1":
                arguments["num_images_per_prompt"] = count
        else:
            kind = "img2img"
            count = f"len({latent.variable})"
        pipe = self.loader.pipe(sampling.model, kind)
        solver = self._scheduler(sampling)
        assert solver is not None
        self.script.use("diffusers", solver.name)
        if not solver.exact:
            names = f"{self.script.fixed(values['sampler'])} on the schedule {self.script.fixed(values['schedule'])}"
            self.script.say(f"{sampling.node}: {solver.name} is near {names}; the picture differs from graphflow's.")
        self.loader.set_scheduler(pipe, scheduler(sampling.model, pipe, solver.name, solver.config, solver.shown))
        if kind == "img2img":
            total = self._total_steps(steps, values["strength"])
            share = _share(steps, total)
            arguments |= {"image": latent.variable, "num_inference_steps": total, "strength": share}
        scale = "1.0" if sampling.negative is None else value(values["guidance_scale"])
        arguments["guidance_scale"] = scale
        if count == "1" or self.script.fixed(values["noise_layout"]) == "batch":
            arguments["generator"] = f'torch.Generator("cpu").manual_seed({seed})'
        else:
            self.script.need("make_generators")
            arguments["generator"] = call("make_generators", seed, count)
        return call(pipe, **arguments, **(extra or {}))

    def _prompts(self, sampling: Sampling) -> dict[str, Expression]:
        """Prompts as a pipeline call takes them: texts, or embeddings where weights or a layer ask for them."""
        sides = {"prompt": sampling.positive}
        if sampling.negative is not None:
            sides["negative_prompt"] = sampling.negative
        if all(side.entries[0].plain for side in sides.values()):
            return {name: side.entries[0].text for name, side in sides.items()}
        found: dict[str, Expression] = {}
        for name, side in sides.items():
            variable = self.encoded(side, in_parts=True)
            found[f"{name}_embeds"] = f'{variable}["embeds"]'
            if sampling.model.base.family == "sdxl":
                pooled = "pooled_prompt_embeds" if name == "prompt" else "negative_pooled_prompt_embeds"
                found[pooled] = f'{variable}["pooled"]'
        return found

    def _total_steps(self, steps: str, strength: Any) -> str:
        """The number of steps of the whole schedule, of which ``steps`` are taken."""
        shown = self.script.value(strength)
        if shown.startswith("args.") or steps.startswith("args."):
            return self.script.assign("total_steps", f"int({steps} / {shown})")
        return str(int(int(steps) / strength.value))

    # ----------------------------------------------------------------------------------------------- loops

    def _loop(self, sampling: Sampling) -> Latents:
        """Write a sampling as a loop over the UNet."""
        values, fixed = sampling.values, self.script.fixed
        pipe = self.loader.pipe(sampling.model)
        sampler = fixed(values["sampler"])
        start = self._start(sampling, pipe)
        denoise = self._denoiser(sampling, pipe)
        sigmas = self._sigmas(sampling, denoise, sampler)
        layout = fixed(values["noise_layout"]) == "batch"
        noise = Noise(self.script.value(values["seed"]), bool(fixed(values["add_noise"])), layout)
        return self._run(sampling, start, denoise, sigmas, Solver(sampler), noise)

    def custom(self, sampling: Sampling, levels: str, solver: Solver, noise: Noise) -> Latents:
        """Write a sampling whose schedule, sampler and noise come from elsewhere."""
        pipe = self.loader.pipe(sampling.model)
        start = self._start(sampling, pipe)
        return self._run(sampling, start, self._denoiser(sampling, pipe), levels, solver, noise)

    def _run(self, sampling: Sampling, start: str, denoise: str, sigmas: str, solver: Solver, noise: Noise) -> Latents:
        script = self.script
        drawn = ""
        if noise.add:
            name = "draw_batch_noise" if noise.batch else "draw_noise"
            script.need(name)
            drawn = script.assign("noise", call(name, start, noise.seed))
        if sampling.latent.mask:
            script.need("Inpainting")
            kept = drawn or f"torch.zeros_like({start})"
            script.add(f"{denoise} = ", call("Inpainting", denoise, sampling.latent.mask, start, kept))
        begin: Expression = start
        if drawn:
            script.need("add_noise")
            begin = call("add_noise", start, drawn, f"{sigmas}[0]", f"{denoise}.levels")
        function = SAME_STEPS.get(solver.name, solver.name).removesuffix("_gpu")
        script.need(function)
        arguments = self._step_noise(noise, function, start, sigmas)
        made = call(function, denoise, begin, sigmas, *arguments, **dict(solver.options))
        return Latents(script.assign(sampling.node, made), sampling.model, sampling.latent.mask)

    def _start(self, sampling: Sampling, pipe: str) -> str:
        latent = sampling.latent
        if isinstance(latent, EmptyLatent):
            sizes = [latent.batch, latent.channels, _eighth(latent.height), _eighth(latent.width)]
            return self.script.assign(latent.node, call("torch.zeros", *sizes, device="DEVICE"))
        if (
            latent.scaled_for.base.key == sampling.model.base.key
            or latent.scaled_for.base.family == sampling.model.base.family
        ):
            return str(latent.variable)
        other = self.loader.vae(latent.scaled_for)
        factor = f"{pipe}.vae.config.scaling_factor / {other}.config.scaling_factor"
        return self.script.assign("latents", f"{latent.variable} * ({factor})")

    def _denoiser(self, sampling: Sampling, pipe: str) -> str:
        sides = [sampling.positive, *([sampling.negative] if sampling.negative else [])]
        regional = not all(_alone(side) for side in sides)
        name = f"{'Regional' if regional else ''}{'Sdxl' if sampling.model.base.family == 'sdxl' else ''}Denoiser"
        self.script.need(name)
        arguments: list[Expression] = [pipe, *(self.encoded(side, regional=regional) for side in sides)]
        if sampling.negative is not None:
            arguments.append(self.script.value(sampling.values["guidance_scale"]))
        denoise = self.script.assign("denoise", call(name, *arguments))
        changes = sorted(_guidance_hooks(sampling.model), key=lambda hook: hook.stage)
        if changes:
            self.script.need("change_guidance", *(hook.helper for hook in changes))
            shown = [call(hook.helper, **dict(hook.arguments)) for hook in changes]
            self.script.add("", call("change_guidance", denoise, *shown))
        return denoise

    def encoded(self, conditioning: Conditioning, *, in_parts: bool = False, regional: bool = False) -> str:
        """The expression of a conditioning as a denoiser reads it: one prompt, or a list of them with settings."""
        if not regional:
            return self.entry(conditioning.entries[0], in_parts=in_parts)
        rows = [self._with_settings(entry) for entry in conditioning.entries]
        return self.script.assign("prompts", listed(rows))

    def _with_settings(self, entry: Entry) -> Expression:
        settings: dict[str, Expression] = dict(entry.settings)
        if entry.controls:
            settings["controls"] = listed(self._control(control) for control in entry.controls)
        variable = self.entry(entry)
        if not settings:
            return variable
        items = [("", f"**{variable}"), *((f"{quoted(name)}: ", shown) for name, shown in settings.items())]
        return Items("{", tuple(items), "}")

    def _control(self, control: Control) -> Expression:
        net = self.loader.component(control.net, "ControlNetModel")
        names = ("image", "strength", "start", "end")
        return mapped({"net": net, **{name: getattr(control, name) for name in names}})

    def entry(self, entry: Entry, *, in_parts: bool = False) -> str:
        """The variable of an encoded prompt, written once."""
        entry = replace(entry, settings=(), controls=())
        key = ("entry", repr(entry), in_parts)
        if key not in self.script.written:
            self.script.written[key] = self._entry(entry, in_parts)
        return str(self.script.written[key])

    def _entry(self, entry: Entry, in_parts: bool) -> str:
        family = "_sdxl" if entry.encoder.base.family == "sdxl" else ""
        pipe = self.loader.text_pipe(entry.encoder)
        if entry.edits:
            (helper, arguments), before = entry.edits[-1], replace(entry, edits=entry.edits[:-1])
            self.script.need(helper)
            shown = [self.entry(item) if isinstance(item, Entry) else item for item in arguments]
            return self.script.assign(entry.node, call(helper, self.entry(before, in_parts=in_parts), *shown))
        if entry.plain and not in_parts:
            name = f"encode_prompt{family}"
            self.script.need(name)
            return self.script.assign(entry.node, call(name, pipe, entry.text))
        name = f"encode_weighted{family}"
        self.script.need(name)
        layer = _layer(entry.encoder)
        options: dict[str, Expression] = {} if layer is None else {"layer": str(layer)}
        return self.script.assign(entry.node, call(name, pipe, entry.parts, **options))

    def _sigmas(self, sampling: Sampling, denoise: str, sampler: str) -> str:
        script, values = self.script, sampling.values
        schedule = script.fixed(values["schedule"])
        assert schedule in SCHEDULE_NAMES
        script.need(f"{schedule}_sigmas")
        steps, strength = script.value(values["steps"]), values["strength"]
        partial = script.is_open(strength) or strength.value <= FULL_STRENGTH
        total = self._total_steps(steps, strength) if partial else steps
        skips = sampler in SKIPS_PENULTIMATE
        made: Expression = call(f"{schedule}_sigmas", f"{denoise}.levels", _plus_one(total) if skips else total)
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
            cut = _plus_one(script.value(last))
        if cut:
            script.add(f"{variable} = ", sliced(variable, end=cut))
            if not script.fixed(values["leftover_noise"]):
                script.need("down_to_zero")
                script.add(f"{variable} = ", f"down_to_zero({variable})")
        if script.is_open(first) or first.value != 0:
            script.add(f"{variable} = ", sliced(variable, start=script.value(first)))
        return variable

    def _step_noise(self, noise: Noise, function: str, start: str, sigmas: str) -> list[Expression]:
        if function in GAUSSIAN:
            name = "StepBatchNoise" if noise.batch else "StepNoise"
            self.script.need(name)
            return [call(name, start, noise.seed)]
        if function in BROWNIAN:
            self.script.need("BrownianNoise")
            return [call("BrownianNoise", start, noise.seed, sigmas, *(["True"] if noise.batch else []))]
        return []


def _guidance_hooks(model: ModelPart) -> list[Any]:
    return [hook for hook in model.hooks if hook.stage != "unet"]


def _downscale(model: ModelPart) -> int:
    """Pixels per latent sample, as a pipeline reckons with them."""
    vae = model.base.description.parts.get("vae")
    widths = vae.config.get("block_out_channels") if vae is not None else None
    return 2 ** (len(widths) - 1) if isinstance(widths, list | tuple) else 8


def _alone(conditioning: Conditioning) -> bool:
    """Whether it is one prompt that acts everywhere, always."""
    (first, *more) = conditioning.entries
    return not more and not first.settings and not first.controls


def _layer(encoder: ModelPart) -> int | None:
    """The hidden layer to read where it is not the family's own; SD 2's last layer is left out of the model."""
    if encoder.layer is None:
        return None
    dropped = encoder.base.description.variant == "sd2"
    return min(encoder.layer + 1, -1) if dropped else encoder.layer


def _share(steps: str, total: str) -> str:
    """A strength of which Diffusers makes int(total * strength) == steps evaluations, in spite of rounding."""
    if steps.isdigit() and total.isdigit() and int(int(total) * (int(steps) / int(total))) == int(steps):
        return f"{steps} / {total}"
    return f"min(({steps} + 0.5) / {total}, 1.0)"


def _eighth(pixels: str) -> str:
    return str(int(pixels) // 8) if pixels.isdigit() else f"{pixels} // 8"


def sliced(variable: str, *, start: str = "", end: str = "") -> str:
    """A slice from or to some place, with spaces where formatters put them."""
    simple = (start + end).isidentifier() or (start + end).isdigit()
    return f"{variable}[{start}:{end}]" if simple else f"{variable}[{start} :]" if start else f"{variable}[: {end}]"


def _plus_one(number: str) -> str:
    return str(int(number) + 1) if number.isdigit() else f"{number} + 1"
