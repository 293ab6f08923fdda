"""Calls of pipelines of flow models: where they draw what the engine does, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graphflow.modelfiles.scripts import FlowCall

from .conditionings import Conditioning
from .families import flow_of, text_parts
from .flows import described_network, levels_of, times_of
from .graph import Given
from .handles import EmptyLatent, Sampling
from .layout import Expression, call, flat, literal
from .loading import Loader
from .prompts import Prompts
from .script import Script
from .solvers import SAME_STEPS, schedule_function
from .steps import FULL_STRENGTH

NETWORKS_TIME = "1.0"
"""What the time of a network is at pure noise where a pipeline tells it."""
_ADDED = 2
"""Tokens of T5 beyond one a byte: the space before a text, and its end."""


def flow_misfit(script: Script, sampling: Sampling) -> str:
    """What keeps the pipeline of a flow model from drawing the same picture; empty where nothing does."""
    return next((reason for rule, reason in RULES if not rule(script, sampling)), "")


def _call_of(sampling: Sampling) -> FlowCall | None:
    flow = flow_of(sampling.model.base)
    assert flow is not None
    return flow.call


def _has_call(_: Script, sampling: Sampling) -> bool:
    return _call_of(sampling) is not None


def _starts_from_noise(script: Script, sampling: Sampling) -> bool:
    latent, values, fixed = sampling.latent, sampling.values, script.fixed
    if not isinstance(latent, EmptyLatent) or latent.mask or latent.places:
        return False
    whole = script.is_open(values["strength"]) or values["strength"].value > FULL_STRENGTH
    return whole and bool(fixed(values["add_noise"])) and fixed(values["strength"]) > FULL_STRENGTH


def _samples_to_the_end(script: Script, sampling: Sampling) -> bool:
    first, last = sampling.values["start_step"], sampling.values["end_step"]
    return not (script.is_open(first) or script.is_open(last)) and not first.value and last.value is None


def _by_euler(script: Script, sampling: Sampling) -> bool:
    sampler = str(script.fixed(sampling.values["sampler"]))
    return SAME_STEPS.get(sampler, sampler) == "euler"


def _is_plain(_: Script, sampling: Sampling) -> bool:
    model = sampling.model
    return not (model.hooks or model.pictures or model.controls) and sampling.guider is None and not sampling.others


def _generates(_: Script, sampling: Sampling) -> bool:
    return described_network(sampling.model).task == "generate"


def _has_plain_prompts(_: Script, sampling: Sampling) -> bool:
    """Whether each side is one prompt that acts everywhere and always, and shows no pictures."""
    return all(
        not more and not first.controls and set(dict(first.settings)) <= {"guidance"}
        for first, *more in (side.entries for side in sampling.sides)
    )


def _has_usual_time(_: Script, sampling: Sampling) -> bool:
    return times_of(sampling.model)[2] == NETWORKS_TIME


def _has_whole_patches(_: Script, sampling: Sampling) -> bool:
    known, latent = _call_of(sampling), sampling.latent
    assert known is not None
    return all(not size.isdigit() or int(size) % known.multiple == 0 for size in (latent.width, latent.height))


def _has_one_pipe(_: Script, sampling: Sampling) -> bool:
    encoders = [entry.encoder for side in sampling.sides for entry in side.entries]
    return all(encoder.base.key == sampling.model.base.key for encoder in encoders)


def _is_guided_alike(script: Script, sampling: Sampling) -> bool:
    known, scale = _call_of(sampling), sampling.values["guidance_scale"]
    assert known is not None
    if sampling.negative is None:
        return True
    if known.scale:
        return script.is_open(scale) or (isinstance(scale, Given) and bool(scale.value >= 1))
    if not isinstance(scale, Given) or scale.value != 1:
        return False
    return bool(script.fixed(scale) == 1)


RULES: Sequence[tuple[Callable[[Script, Sampling], bool], str]] = (
    (_has_call, "pipelines of its family have other noise levels, padding of prompts or guidance"),
    (_starts_from_noise, "it begins with a picture"),
    (_samples_to_the_end, "only a part of its schedule is sampled"),
    (_is_plain, "its guidance, its denoiser or its attention is changed"),
    (_generates, "its model reads a picture beside the noise"),
    (_has_plain_prompts, "its prompts act in areas, for a time, together or with pictures"),
    (_has_usual_time, "its model is told another time than pipelines tell"),
    (_has_whole_patches, "its edges are no multiples of what pipelines draw"),
    (_has_one_pipe, "its text encoders are another checkpoint's"),
    (_by_euler, "no scheduler of Diffusers for flow models takes the steps of its sampler"),
    (_is_guided_alike, "its pipeline has no such guidance"),
)
"""What must hold, in the order in which it is asked, and what is so where it fails; what fixes inputs comes last."""


@dataclass(frozen=True)
class FlowCalls:
    """Writes the calls.

    Attributes:
        script: Where to.
        loader: Where pipelines come from.
    """

    script: Script
    loader: Loader

    def call(self, sampling: Sampling, pipe: str) -> dict[str, Expression]:
        """Arguments but for seeds and numbers of pictures; what they need is written before."""
        known, latent, values = _call_of(sampling), sampling.latent, sampling.values
        assert known is not None
        arguments: dict[str, Expression] = {name: literal(value) for name, value in known.arguments.items()}
        guided = sampling.negative is not None and bool(known.scale)
        if known.reads and self._is_text(sampling.positive, known):
            arguments |= {"prompt": sampling.positive.entries[0].text, "max_sequence_length": str(known.reads)}
        else:
            arguments |= self._embeds(sampling.positive, known)
            if guided and sampling.negative is not None:
                negative = self._embeds(sampling.negative, known)
                arguments |= {f"negative_{name}": shown for name, shown in negative.items()}
        if known.told:
            name, usual = known.told
            arguments[name] = dict(sampling.positive.entries[0].settings).get("guidance", repr(usual))
        if guided and known.scale:
            name, less = known.scale
            shown = self.script.value(values["guidance_scale"])
            arguments[name] = f"{shown} - {less}" if less else shown
        steps = self.script.value(values["steps"])
        arguments |= {"width": latent.width, "height": latent.height, "num_inference_steps": steps}
        shift, levels, _ = times_of(sampling.model)
        self.script.use("diffusers", "FlowMatchEulerDiscreteScheduler")
        schedule = str(self.script.fixed(values["schedule"]))
        if schedule == "simple":
            self.script.need("simple_times")
            arguments["sigmas"] = call("simple_times", steps, *([] if levels == "1000" else [levels]))
            made = call("FlowMatchEulerDiscreteScheduler", shift=shift)
        else:
            function = schedule_function(schedule)
            self.script.need(function)
            made = call("FlowMatchEulerDiscreteScheduler")
            sigmas = call(function, levels_of(self.script, sampling.model), steps)
            arguments["sigmas"] = f"{flat(sigmas)}[:-1].tolist()"
        self.loader.set_scheduler(pipe, made, {})
        return arguments

    def _is_text(self, side: Conditioning, known: FlowCall) -> bool:
        """Whether the pipeline makes the same of its text."""
        (entry,) = side.entries
        base = entry.encoder.base
        if not entry.plain or entry.further or entry.encoder.length:
            return False
        loaders = {loader for _, loader, _ in base.tokenizers}
        there = {*base.description.parts, *dict(base.alone)}
        if not there.issuperset(text_parts(base)) or loaders - {"load_clip_tokenizer", "AutoTokenizer.from_pretrained"}:
            return False
        return entry.bytes + _ADDED <= known.reads

    def _embeds(self, side: Conditioning, known: FlowCall) -> dict[str, Expression]:
        """A prompt as embeddings."""
        plain = replace(side.entries[0], settings=())
        variable = Prompts(self.script, self.loader).entry(plain)
        found: dict[str, Any] = {argument: f'{variable}["{name}"]' for name, argument in known.embeds.items()}
        return {name: call("list", shown) for name, shown in found.items()} if known.listed else found
