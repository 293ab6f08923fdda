"""How a sampling is written: a pipeline call where one is exact, else a denoising loop with just the sampler it needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from graphflow.sampling.names import SCHEDULE_NAMES

from .calls import Calls, total_steps
from .fitting import FULL_STRENGTH, guidance_hooks
from .handles import (
    Conditioning,
    Control,
    Decoding,
    EmptyLatent,
    Entry,
    Latents,
    ModelPart,
    Noise,
    PicturePrompt,
    Pixels,
    Sampling,
    Solver,
)
from .layout import Expression, Items, call, listed, mapped, quoted
from .loading import Loader
from .script import Script, UnsupportedError, ids

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
        shared = wanted.shared or sampling.shared
        if shared or not self.fits_pipeline(sampling, tensors=truncate) or not self._own_vae(wanted):
            pixels = self.pixels(wanted)
            return self.to_pil(pixels.variable, truncate=truncate), pixels.flags
        nodes = [*sampling.nodes, wanted.node, *([wanted.checked] if wanted.checked else [])]
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
        return self.check(pixels, wanted.sampling.model, wanted.checked) if wanted.checked else pixels

    def decode(self, latents: Latents, vae: Any, node: str) -> Pixels:
        """Write the decoding of latents."""
        self.script.need("decode_latents")
        return Pixels(self.script.assign(node, call("decode_latents", self.loader.vae(vae), latents.variable)))

    def check(self, pixels: Pixels, checker: Any, node: str) -> Pixels:
        """Write a safety check."""
        self.script.stage(ids([node]))
        self.script.facts.checked.add(checker.base.checkpoint)
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
        self.script.stage(ids(sampling.nodes))
        if self.fits_pipeline(sampling):
            pipe_call = self.call(sampling, {"output_type": '"latent"'})
            variable = self.script.assign(sampling.node, pipe_call.then(".images"))
            return Latents(variable, sampling.model)
        return self._loop(sampling)

    def first_stage(self, sampling: Sampling) -> Latents:
        """Write a sampling that leaves noise for another pipeline with the same scheduler."""
        self.script.stage(ids(sampling.nodes))
        made = self.calls.call(sampling, {"output_type": '"latent"'}).then(".images")
        variable = self.script.assign(sampling.node, made)
        return Latents(variable, sampling.model, carries=self.calls.fit.scheduler_of(sampling))

    def nodes(self, sampling: Sampling) -> list[str]:
        """The nodes that a sampling stands for."""
        return sampling.nodes

    # ------------------------------------------------------------------------------------- pipeline calls

    def _own_vae(self, wanted: Decoding) -> bool:
        base = wanted.sampling.model.base
        has_checker = "safety_checker" in base.description.parts and base.checkpoint in self.script.facts.checked
        return self.loader.use_vae(base, wanted.vae.base) and bool(wanted.checked) == has_checker

    @property
    def calls(self) -> Calls:
        """Writes pipeline calls."""
        return Calls(self.script, self.loader, lambda side: self.encoded(side, in_parts=True))

    def fits_pipeline(self, sampling: Sampling, *, tensors: bool = False) -> bool:
        """Whether a pipeline call gives the same picture, or the same tensors."""
        return self.calls.fit.fits(sampling) and not (tensors and self.calls.fit.lacks_tensors(sampling))

    def prepare(self, sampling: Sampling) -> None:
        """Write what stands before a pipeline call, so that the call itself may stand in a loop."""
        self.calls.prepare(sampling)

    def call(self, sampling: Sampling, extra: dict[str, Expression] | None = None) -> Items:
        """The pipeline call of a sampling that fits one; what it needs is written before."""
        return self.calls.call(sampling, extra)

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
            places = [sampling.latent.places] if sampling.latent.places else []
            name = f"draw_{'placed_' if places else ''}{'batch_' if noise.batch else ''}noise"
            script.need(name)
            drawn = script.assign("noise", call(name, start, noise.seed, *places))
        if sampling.latent.mask:
            kept: list[Expression] = [denoise, sampling.latent.mask, start, drawn or f"torch.zeros_like({start})"]
            opening = [hook for hook in sampling.model.hooks if hook.stage == "mask"]
            made = call("Inpainting", *kept)
            if opening:
                made = call(opening[-1].helper, *kept, sigmas, **dict(opening[-1].arguments))
            script.need(opening[-1].helper if opening else "Inpainting")
            script.add(f"{denoise} = ", made)
        begin: Expression = start
        if drawn:
            script.need("add_noise")
            begin = call("add_noise", start, drawn, f"{sigmas}[0]", f"{denoise}.levels")
        function = SAME_STEPS.get(solver.name, solver.name).removesuffix("_gpu")
        script.need(function)
        arguments = self._step_noise(noise, function, start, sigmas)
        if sampling.channels:
            script.need("read_channels")
            hook = script.assign("hook", call("read_channels", self.loader.pipe(sampling.model), sampling.channels))
        made = call(function, denoise, begin, sigmas, *arguments, **dict(solver.options))
        variable = script.assign(sampling.node, made)
        if sampling.channels:
            script.add(f"{hook}.remove()")
        return Latents(variable, sampling.model, sampling.latent.mask, sampling.latent.places)

    def _start(self, sampling: Sampling, pipe: str) -> str:
        latent = sampling.latent
        if isinstance(latent, EmptyLatent):
            sizes = [latent.batch, latent.channels, _eighth(latent.height), _eighth(latent.width)]
            return self.script.assign(latent.node, call("torch.zeros", *sizes, device="DEVICE"))
        if latent.scaled_for is None:
            return self.script.assign("latents", f"{latent.variable} * {pipe}.vae.config.scaling_factor")
        if (
            latent.scaled_for.base.key == sampling.model.base.key
            or latent.scaled_for.base.family == sampling.model.base.family
        ):
            return str(latent.variable)
        other = self.loader.vae(latent.scaled_for)
        factor = f"{pipe}.vae.config.scaling_factor / {other}.config.scaling_factor"
        return self.script.assign("latents", f"{latent.variable} * ({factor})")

    def _denoiser(self, sampling: Sampling, pipe: str) -> str:
        sides = sampling.sides
        regional = not all(_alone(side) for side in sides)
        family = "Sdxl" if sampling.model.base.family == "sdxl" else ""
        name = f"{'Regional' if regional else ''}{family}Denoiser"
        if sampling.model.base.refiner:
            if regional and not all("sizes" in dict(entry.settings) for side in sides for entry in side.entries):
                raise UnsupportedError("prompts of SDXL's refiner in areas need encode_prompt_refiner")
            name = name if regional else "RefinerDenoiser"
        self.script.need(name)
        prompts = [self.encoded(side, regional=regional) for side in sides]
        others = dict(zip((name for name, _ in sampling.others), prompts[2:], strict=True))
        arguments: list[Expression] = [pipe, *prompts[:2]]
        if sampling.negative is not None and sampling.guider is None:
            arguments.append(self.script.value(sampling.values["guidance_scale"]))
        denoise = self.script.assign("denoise", call(name, *arguments, **others))
        hooks = guidance_hooks(sampling.model)
        for hook in hooks:
            if hook.stage == "denoiser":
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
            self._see_pictures(pipe, denoise, sampling.model.pictures)
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
        found: dict[str, Expression] = {"net": self.loader.component(control.net)}
        if control.net.mode is not None:
            found["mode"] = str(control.net.mode)
        return mapped(found | {name: getattr(control, name) for name in ("image", "strength", "start", "end")})

    def _see_pictures(self, pipe: str, denoise: str, pictures: tuple[PicturePrompt, ...]) -> None:
        """Have a denoiser's model take after pictures."""
        self.script.need("see_pictures", "clip_pixels")
        rows = []
        for prompt in pictures:
            row: dict[str, Expression] = {"image": call("clip_pixels", prompt.image, prompt.size)}
            row["strength"] = prompt.strength
            row |= {name: value for name in ("start", "end", "mask") if (value := getattr(prompt, name))}
            rows.append(mapped(row))
        self.script.add("", call("see_pictures", denoise, pipe, listed(rows)))

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
            shown = [self.entry(item, in_parts=in_parts) if isinstance(item, Entry) else item for item in arguments]
            return self.script.assign(entry.node, call(helper, self.entry(before, in_parts=in_parts), *shown))
        if entry.plain and not in_parts:
            name = f"encode_prompt{family}"
            self.script.need(name)
            texts = [entry.text_l, entry.text] if entry.text_l else [entry.text]
            return self.script.assign(entry.node, call(name, pipe, *texts))
        name = f"encode_weighted{family}"
        self.script.need(name)
        layer = _layer(entry.encoder)
        options: dict[str, Expression] = {} if layer is None else {"layer": str(layer)}
        options |= {"parts_l": entry.parts_l} if entry.parts_l else {}
        return self.script.assign(entry.node, call(name, pipe, entry.parts, **options))

    def _sigmas(self, sampling: Sampling, denoise: str, sampler: str) -> str:
        script, values = self.script, sampling.values
        schedule = script.fixed(values["schedule"])
        assert schedule in SCHEDULE_NAMES
        script.need(f"{schedule}_sigmas")
        steps, strength = script.value(values["steps"]), values["strength"]
        partial = script.is_open(strength) or strength.value <= FULL_STRENGTH
        total = total_steps(script, steps, strength) if partial else steps
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


def _eighth(pixels: str) -> str:
    return str(int(pixels) // 8) if pixels.isdigit() else f"{pixels} // 8"


def sliced(variable: str, *, start: str = "", end: str = "") -> str:
    """A slice from or to some place, with spaces where formatters put them."""
    simple = (start + end).isidentifier() or (start + end).isdigit()
    return f"{variable}[{start}:{end}]" if simple else f"{variable}[{start} :]" if start else f"{variable}[: {end}]"


def _plus_one(number: str) -> str:
    return str(int(number) + 1) if number.isdigit() else f"{number} + 1"
