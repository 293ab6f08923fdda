"""Which scheduler of Diffusers stands for a sampler: exactly, or near enough for ``--style pipeline``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from graphflow.sampling.names import SCHEDULE_NAMES

Config = dict[str, tuple[Any, Any]]
"""What a scheduler's config must say: (value, the class's default) by name."""


@dataclass(frozen=True)
class Scheduler:
    """A scheduler class with the config that makes it take a sampler's steps.

    Attributes:
        name: The class.
        config: What its config must say.
        shown: What of it the script says even where the config says it already.
        exact: Whether its steps are the sampler's.
        piece: Whether the script carries the class.
        levels: The script's function that makes its noise levels; empty where the class has its own.
        shares: Whether one pipeline can take over from another between its steps.
        twice: Whether it sees each level twice, which pipelines count as two steps.
    """

    name: str
    config: Config
    shown: tuple[str, ...] = ()
    exact: bool = True
    piece: bool = False
    levels: str = ""
    shares: bool = True
    twice: bool = False


SAME_STEPS = {"ddim": "euler"}
"""Samplers whose steps are those of another."""
_SPACINGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")
_MULTISTEP: Config = {
    "algorithm_type": ("dpmsolver++", "dpmsolver++"),
    "solver_order": (2, 2),
    "solver_type": ("midpoint", "midpoint"),
    "lower_order_final": (True, True),
    "euler_at_final": (False, False),
    "use_lu_lambdas": (False, False),
    "final_sigmas_type": ("zero", "zero"),
    "thresholding": (False, False),
}
_STOCHASTIC: Config = {**_MULTISTEP, "algorithm_type": ("sde-dpmsolver++", "dpmsolver++")}
_NEAR: dict[str, tuple[str, Config]] = {
    "euler": ("EulerDiscreteScheduler", {}),
    "ddim": ("EulerDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm_2": ("KDPM2DiscreteScheduler", {}),
    "dpm_2_ancestral": ("KDPM2AncestralDiscreteScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", _MULTISTEP),
    "res_multistep": ("DPMSolverMultistepScheduler", {**_MULTISTEP, "solver_type": ("heun", "midpoint")}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", _STOCHASTIC),
    "dpmpp_sde": ("DPMSolverSDEScheduler", {}),
    "uni_pc": ("UniPCMultistepScheduler", {"solver_order": (3, 2)}),
    "uni_pc_bh2": ("UniPCMultistepScheduler", {"solver_order": (3, 2), "solver_type": ("bh2", "bh2")}),
    "deis": ("DEISMultistepScheduler", {"solver_order": (3, 2)}),
    "sa_solver": ("SASolverScheduler", {}),
}
_SPACING_OF = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas"}
_TIMES_OF = {"simple": "trailing", "sgm_uniform": "trailing", "normal": "linspace", "ddim_uniform": "leading"}
_TIMES_ONLY = frozenset({"EulerAncestralDiscreteScheduler"})


_EXACT: dict[str, tuple[str, Config]] = {
    "euler": ("ExactEulerScheduler", {}),
    "ddim": ("ExactEulerScheduler", {}),
    "euler_ancestral": ("ExactAncestralScheduler", {}),
    "ddpm": ("ExactAncestralScheduler", {}),
    "lcm": ("ExactConsistencyScheduler", {}),
    "lms": ("ExactLmsScheduler", {}),
    "dpmpp_sde": ("ExactPairScheduler", {}),
    "dpmpp_2m": ("ExactMultistepScheduler", _MULTISTEP),
    "res_multistep": ("ExactMultistepScheduler", {**_MULTISTEP, "solver_type": ("heun", "midpoint")}),
    "heun": ("ExactHeunScheduler", {"clip_sample": (False, False)}),
    "dpmpp_2m_sde": ("ExactSdeScheduler", _STOCHASTIC),
    "dpmpp_2m_sde_heun": ("ExactSdeScheduler", {**_STOCHASTIC, "solver_type": ("heun", "midpoint")}),
}
"""Classes that the script carries: a scheduler whose noise levels and timesteps are those of a schedule.

On latents clean + sigma * noise, DDPM's posterior (Ho et al. 2020, equation 7) is an ancestral Euler step.
"""

_SIMPLE = frozenset({"ExactEulerScheduler", "ExactMultistepScheduler"})
"""Those that draw no noise and see each level once: they can keep latents outside a mask, and share steps."""

RENOISES_KEPT = "ddim"
"""The sampler under which what a mask keeps carries noise of its own."""

FROM_SEED = frozenset({"ExactAncestralScheduler", "ExactConsistencyScheduler"})
"""Those whose steps draw noise that is no Brownian path."""

_TWICE = frozenset({"ExactHeunScheduler", "ExactPairScheduler"})
"""Those with two evaluations a step."""

UNEVEN = frozenset({"ddim_uniform", "beta"})
"""Schedules that may have another number of steps than is asked for."""


def exact_scheduler(sampler: str, schedule: str, *, inpaint: bool = False) -> Scheduler | None:
    """The scheduler whose steps are just these; None where Diffusers has none that could be made so.

    Only the Karras levels of DPM-Solver++ round timesteps as other programs do; for the rest Diffusers interpolates
    them or cuts them down, so that the script carries a subclass.

    Args:
        sampler: The sampler.
        schedule: The noise levels.
        inpaint: Whether it shall keep latents outside a mask.
    """
    if sampler == "dpmpp_2m" and schedule == "karras":
        found = near_scheduler(sampler, schedule, exact=True)
        assert found is not None
        return replace(found, name="InpaintMultistepScheduler", piece=True) if inpaint else found
    sampler = sampler.removesuffix("_gpu")
    if sampler not in _EXACT or schedule not in SCHEDULE_NAMES:
        return None
    if (sampler, schedule) == ("lms", "linear_quadratic"):
        return None  # it extrapolates so far that the order of additions shows
    name, config = _EXACT[sampler]
    if inpaint and (name not in _SIMPLE or sampler == RENOISES_KEPT):
        return None
    spacing: Config = dict.fromkeys(_SPACINGS, (False, False)) if config else {}
    return Scheduler(
        f"Inpaint{name}" if inpaint else name,
        {**config, **spacing},
        piece=True,
        levels=schedule_function(schedule),
        shares=name in _SIMPLE,
        twice=name in _TWICE,
    )


def schedule_function(schedule: str) -> str:
    """The function that makes a model's noise levels by a schedule."""
    from graphflow.sampling.schedules import SCHEDULES

    return str(SCHEDULES[schedule].__name__)


def near_scheduler(sampler: str, schedule: str, *, exact: bool = False) -> Scheduler | None:
    """The scheduler that is nearest; None where Diffusers has nothing of the kind."""
    if sampler not in _NEAR or schedule not in (*_SPACING_OF, *_TIMES_OF):
        return None
    name, config = _NEAR[sampler]
    if name in _TIMES_ONLY:
        if schedule not in _TIMES_OF:
            return None
        return Scheduler(name, {"timestep_spacing": (_TIMES_OF[schedule], "")}, ("timestep_spacing",), exact)
    chosen = _SPACING_OF.get(schedule, "")
    spacing: Config = {option: (option == chosen, False) for option in _SPACINGS}
    shown = (chosen,) if chosen else ("timestep_spacing",)
    if not chosen:
        spacing["timestep_spacing"] = (_TIMES_OF[schedule], "")
    return Scheduler(name, {**config, **spacing}, shown, exact)
