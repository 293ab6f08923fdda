"""Sampling taken apart: noise levels, solvers, random numbers, guidance."""

from __future__ import annotations

from typing import Any

from ..conditionings import Conditioning, Guidance
from ..graph import Given, Linked
from ..handles import EmptyLatent, Latents, Levels, Noise, Sampling, Solver
from ..layout import Expression, call
from ..models import Hook, ModelPart
from ..solvers import schedule_function
from ..steps import FULL_STRENGTH, sliced, step_seed
from .base import Emission, Emitter
from .sampling import together, with_text, without_channels
from .sigmas import training_levels

SOLVERS = {
    "sampler_euler_ancestral": "euler_ancestral",
    "sampler_euler_ancestral_cfg_pp": "euler_ancestral_cfg_pp",
    "sampler_dpmpp_2s_ancestral": "dpmpp_2s_ancestral",
    "sampler_dpmpp_sde": "dpmpp_sde",
    "sampler_dpmpp_3m_sde": "dpmpp_3m_sde",
    "sampler_lms": "lms",
    "sampler_dpm_adaptive": "dpm_adaptive",
    "sampler_er_sde": "er_sde",
    "sampler_sa_solver": "sa_solver",
}
"""Sampler nodes whose parameters are their function's options."""

OPTIONS = {"solver_type": "solver", "max_stage": "order", "use_pece": "pece", "simple_order_2": "simple_second_order"}
"""Parameters that are called otherwise there."""


def random_noise(emission: Emission) -> Noise:
    """Random numbers for the start and the steps."""
    return _noise(emission, add=True)


def no_noise(emission: Emission) -> Noise:
    """Random numbers for the steps alone."""
    return _noise(emission, add=False)


def _noise(emission: Emission, *, add: bool) -> Noise:
    seed = emission.value("seed")
    return Noise(seed, add, emission.fixed("layout") == "batch", step_seed(seed, emission.fixed("step_noise")))


def select_sampler(emission: Emission) -> Solver:
    """A sampler by name."""
    return Solver(emission.fixed("sampler"))


def solver(emission: Emission) -> Solver:
    """A sampler with options."""
    names = [name for name in emission.node.values if name != "noise_device"]
    standard = emission.node.standard
    changed = [name for name in names if not emission.is_default(name, standard[name])]
    options = [(OPTIONS.get(name, name), emission.value(name)) for name in changed]
    return Solver(SOLVERS[emission.node.type], tuple(options))


def dpmpp_2m_sde(emission: Emission) -> Solver:
    """One function with two forms."""
    form = emission.fixed("solver_type")
    names = ("eta", "s_noise")
    options = [(name, emission.value(name)) for name in names if not emission.is_default(name, 1.0)]
    return Solver("dpmpp_2m_sde" if form == "midpoint" else "dpmpp_2m_sde_heun", tuple(options))


def basic_guider(emission: Emission) -> Guidance:
    """One conditioning, no guidance."""
    model, positive, _ = _together(emission, "conditioning")
    return Guidance(with_text(model, positive), positive, None, Given(1.0))


def cfg_guider(emission: Emission) -> Guidance:
    """Classifier-free guidance."""
    model, positive, (negative,) = _together(emission, "positive", "negative")
    return Guidance(with_text(model, positive), positive, negative, emission.inputs["guidance_scale"])


def _together(emission: Emission, *names: str) -> tuple[ModelPart, Conditioning, list[Conditioning | None]]:
    """The model and its conditionings, the first of which must be there."""
    positive, *others = (emission.conditioning(name) for name in names)
    assert positive is not None
    return together(emission.part("model"), positive, *others)


GUIDERS = {"dual_cfg_guider": ("DualClassifierFree", "middle"), "perp_neg_guider": ("PerpendicularNegative", "empty")}
"""The formulas of guidance by three conditionings, with the name of the third, by node type."""


def guider(emission: Emission) -> Guidance:
    """Guidance by three conditionings."""
    helper, third = GUIDERS[emission.node.type]
    model, positive, (negative, other) = _together(emission, "positive", "negative", third)
    assert other is not None
    names = [name for name in emission.node.values if name not in ("model", "positive", "negative", third)]
    arguments = tuple((name.replace("guidance_scale", "scale"), emission.value(name)) for name in names)
    return Guidance(
        with_text(model, positive),
        positive,
        negative,
        guider=Hook(helper, arguments, "guidance"),
        others=((third, other),),
    )


def make_sigmas(emission: Emission) -> Levels:
    """A schedule of the model."""
    model, schedule = emission.part("model"), emission.fixed("schedule")
    emission.begin()
    make = schedule_function(schedule)
    emission.script.need(make)
    levels = training_levels(emission, model)
    steps, strength = emission.value("steps"), emission.inputs["strength"]
    if not emission.script.is_open(strength) and strength.value > FULL_STRENGTH:
        return Levels(emission.assign(call(make, levels, steps)))
    emission.script.need("last_levels")
    made: Expression = call(make, levels, f"int({steps} / {emission.value('strength')})")
    return Levels(emission.assign(call("last_levels", made, steps)))


def split_sigmas(emission: Emission) -> dict[str, Levels]:
    """Two parts of a schedule."""
    sigmas = emission.inputs["sigmas"]
    emission.begin()
    step = emission.value("step")
    high, low = emission.script.name("high"), emission.script.name("low")
    emission.script.add(f"{high} = ", sliced(sigmas.variable, end=f"{step} + 1"))
    emission.script.add(f"{low} = ", sliced(sigmas.variable, start=step))
    return {"high": Levels(high), "low": Levels(low)}


def sigmas_from_list(emission: Emission) -> Levels:
    """Noise levels as they are written."""
    emission.begin()
    return Levels(emission.assign(call("torch.tensor", emission.value("values"))))


def sample_custom(emission: Emission) -> dict[str, Any]:
    """Sampling with all of these."""
    guidance, latent = emission.inputs["guider"], emission.latents("latent")
    solved, noise, levels = emission.inputs["sampler"], emission.inputs["noise"], emission.inputs["sigmas"]
    assert isinstance(guidance, Guidance) and isinstance(latent, Latents | EmptyLatent)
    given = [guidance.positive, *([guidance.negative] if guidance.negative else []), *dict(guidance.others).values()]
    sides, channels = without_channels(guidance.model, given, latent)
    positive, *rest = sides
    sampling = Sampling(
        node=emission.node.id,
        model=guidance.model,
        positive=positive,
        negative=rest.pop(0) if guidance.negative else None,
        latent=latent,
        values={"guidance_scale": guidance.scale},
        channels=channels,
        guider=guidance.guider,
        others=tuple(zip((name for name, _ in guidance.others), rest, strict=True)),
    )
    emission.begin()
    wanted = bool(emission.script.graph.readers.get(Linked(emission.node.id, "denoised")))
    latent, denoised = emission.writer.loops.custom(sampling, levels.variable, solved, noise, denoised=wanted)
    return {"latent": latent, "denoised": denoised}


EMITTERS: dict[str, Emitter] = {
    "random_noise": random_noise,
    "no_noise": no_noise,
    "select_sampler": select_sampler,
    **dict.fromkeys(SOLVERS, solver),
    "sampler_dpmpp_2m_sde": dpmpp_2m_sde,
    "basic_guider": basic_guider,
    "cfg_guider": cfg_guider,
    **dict.fromkeys(GUIDERS, guider),
    "make_sigmas": make_sigmas,
    "split_sigmas": split_sigmas,
    "sigmas_from_list": sigmas_from_list,
    "sample_custom": sample_custom,
}
