"""How a sampling is written: a pipeline call where one is exact, else a denoising loop with just the sampler it needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from .calls import Calls
from .families import flow_of
from .handles import Decoding, Latents, Pixels, Sampling
from .layout import Expression, Items, call
from .loading import Loader
from .loops import Loops
from .nets import autoencoder_functions
from .script import Script, UnsupportedError, ids


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
        if not self.is_one_call(wanted, tensors=truncate):
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

    def is_one_call(self, wanted: Decoding, *, tensors: bool = False) -> bool:
        """Whether a pipeline call goes all the way to the pictures, and nobody needs what is before them."""
        shared = wanted.shared or wanted.sampling.shared
        return not shared and self.fits_pipeline(wanted.sampling, tensors=tensors) and self._own_vae(wanted)

    def to_pil(self, images: str, *, truncate: bool) -> str:
        """The expression of tensors as pictures with 8 bits."""
        function = "to_pil_truncated" if truncate else "to_pil"
        self.script.need(function)
        return f"{function}({images})"

    def pixels(self, wanted: Decoding) -> Pixels:
        """Write a sampling up to pictures as tensors, once."""
        key = ("pixels", wanted.node, wanted.sampling.node, repr(replace(wanted, shared=False)))
        if key not in self.script.written:
            self.script.written[key] = self._pixels(wanted)
        found: Pixels = self.script.written[key]
        return found

    def _pixels(self, wanted: Decoding) -> Pixels:
        if wanted.checked:
            pixels = self.pixels(replace(wanted, checked=""))
            return self.check(pixels, wanted.sampling.model, wanted.checked)
        latents = self.latents(wanted.sampling)
        self.script.stage(ids([wanted.node]))
        return self.decode(latents, wanted.vae, wanted.node)

    def decode(self, latents: Latents, vae: Any, node: str) -> Pixels:
        """Write the decoding of latents."""
        function = (autoencoder_functions(vae) or ("", "decode_latents"))[1]
        self.script.need(function)
        return Pixels(self.script.assign(node, call(function, self.loader.vae(vae), latents.variable)))

    def check(self, pixels: Pixels, checker: Any, node: str) -> Pixels:
        """Write a safety check."""
        self.script.stage(ids([node]))
        self.script.facts.checked.add(checker.base.checkpoint)
        self.script.need("check_safety")
        pipe = self.loader.any_pipe(checker.base)
        flags = self.script.assign("flags", call("check_safety", pipe, pixels.variable))
        if pixels.flags:  # checked before, by the document's own filter
            both = call("map", "any", call("zip", pixels.flags, flags))
            flags = self.script.assign("flags", call("list", both))
        return replace(pixels, flags=flags)

    # --------------------------------------------------------------------------------------------- latents

    def latents(self, sampling: Sampling) -> Latents:
        """Write a sampling up to latents, once."""
        key = ("latents", sampling.node, repr(sampling))
        if key not in self.script.written:
            try:
                self.script.written[key] = self._latents(sampling)
            except UnsupportedError as error:  # it is written where it is read, by another node's emitter
                error.node = error.node or sampling.node
                raise
        found: Latents = self.script.written[key]
        return found

    def _latents(self, sampling: Sampling) -> Latents:
        self.script.stage(ids(sampling.nodes))
        misfit = self.calls.fit.misfit(sampling)
        if not misfit and flow_of(sampling.model.base) is not None:
            misfit = "its latents are read by more than the pipeline's autoencoder"
        if not misfit:
            pipe_call = self.call(sampling, {"output_type": '"latent"'})
            variable = self.script.assign(sampling.node, pipe_call.then(".images"))
            return Latents(variable, sampling.model)
        self.script.say(f"{sampling.node}: a denoising loop, since {misfit}.")
        return self.loops.loop(sampling)

    def first_stage(self, sampling: Sampling) -> Latents:
        """Write a sampling that leaves noise for another pipeline with the same scheduler."""
        self.script.stage(ids(sampling.nodes))
        made = self.calls.call(sampling, {"output_type": '"latent"'}).then(".images")
        variable = self.script.assign(sampling.node, made)
        return Latents(variable, sampling.model, carries=self.calls.fit.scheduler_of(sampling))

    # ------------------------------------------------------------------------------------- pipeline calls

    def _own_vae(self, wanted: Decoding) -> bool:
        base = wanted.sampling.model.base
        has_checker = "safety_checker" in base.description.parts and base.checkpoint in self.script.facts.checked
        return self.loader.use_vae(base, wanted.vae.base) and bool(wanted.checked) == has_checker

    @property
    def calls(self) -> Calls:
        """Writes pipeline calls."""
        return Calls(self.script, self.loader)

    @property
    def loops(self) -> Loops:
        """Writes denoising loops."""
        return Loops(self.script, self.loader)

    def fits_pipeline(self, sampling: Sampling, *, tensors: bool = False) -> bool:
        """Whether a pipeline call gives the same picture, or the same tensors."""
        return self.calls.fit.fits(sampling) and not (tensors and self.calls.fit.lacks_tensors(sampling))

    def prepare(self, sampling: Sampling) -> None:
        """Write what stands before a pipeline call, so that the call itself may stand in a loop."""
        self.calls.prepare(sampling)

    def call(self, sampling: Sampling, extra: dict[str, Expression] | None = None) -> Items:
        """The pipeline call of a sampling that fits one; what it needs is written before."""
        return self.calls.call(sampling, extra)
