"""Nodes that choose a sampler and set its options."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from graphflow.spec.decorator import node
from graphflow.values import Sampler

from ..choices import SamplerName, Share
from .versions import keep_ddim

__all__ = [
    "detail_sampler",
    "sampler_dpm_adaptive",
    "sampler_dpmpp_2m_sde",
    "sampler_dpmpp_2s_ancestral",
    "sampler_dpmpp_3m_sde",
    "sampler_dpmpp_sde",
    "sampler_er_sde",
    "sampler_euler_ancestral",
    "sampler_euler_ancestral_cfg_pp",
    "sampler_lms",
    "sampler_sa_solver",
    "select_sampler",
]

Eta = Annotated[float, Field(ge=0, le=100, description="how much fresh noise a step adds; 0 adds none")]
SNoise = Annotated[float, Field(ge=0, le=100, description="factor on the noise that is added")]
NoiseStream = Annotated[
    Literal["cpu", "gpu"],
    Field(description="cpu: the CPU's random numbers; gpu: those of the noise node's step_device"),
]


@node("select_sampler", version=2, migrate=keep_ddim)
def select_sampler(sampler: Annotated[SamplerName, Field(description="the solver")] = "dpmpp_2m") -> Sampler:
    """Choose a sampler by name, with the options it was published with."""
    return Sampler(name=sampler)


@node("sampler_euler_ancestral")
def sampler_euler_ancestral(eta: Eta = 1.0, s_noise: SNoise = 1.0) -> Sampler:
    """Euler with fresh noise after each step (k-diffusion)."""
    return Sampler(name="euler_ancestral", options={"eta": eta, "s_noise": s_noise})


@node("sampler_euler_ancestral_cfg_pp")
def sampler_euler_ancestral_cfg_pp(eta: Eta = 1.0, s_noise: SNoise = 1.0) -> Sampler:
    """Ancestral Euler with CFG++ (Chung et al. 2024, arXiv:2406.08070)."""
    return Sampler(name="euler_ancestral_cfg_pp", options={"eta": eta, "s_noise": s_noise})


@node("sampler_dpmpp_2s_ancestral")
def sampler_dpmpp_2s_ancestral(eta: Eta = 1.0, s_noise: SNoise = 1.0) -> Sampler:
    """DPM-Solver++(2S) with fresh noise after each step (Lu et al. 2022, arXiv:2211.01095)."""
    return Sampler(name="dpmpp_2s_ancestral", options={"eta": eta, "s_noise": s_noise})


@node("sampler_dpmpp_sde")
def sampler_dpmpp_sde(
    eta: Eta = 1.0,
    s_noise: SNoise = 1.0,
    r: Annotated[float, Field(gt=0, le=100, description="where in the step the second evaluation lies")] = 0.5,
    noise_device: NoiseStream = "cpu",
) -> Sampler:
    """Stochastic DPM-Solver++, two evaluations a step (Lu et al. 2022, arXiv:2211.01095)."""
    return Sampler(name=_on("dpmpp_sde", noise_device), options={"eta": eta, "s_noise": s_noise, "r": r})


@node("sampler_dpmpp_2m_sde")
def sampler_dpmpp_2m_sde(
    solver_type: Annotated[Literal["midpoint", "heun"], Field(description="form of the second order")] = "midpoint",
    eta: Eta = 1.0,
    s_noise: SNoise = 1.0,
    noise_device: NoiseStream = "cpu",
) -> Sampler:
    """Stochastic DPM-Solver++(2M), second-order multistep (Lu et al. 2022, arXiv:2211.01095)."""
    name = "dpmpp_2m_sde" if solver_type == "midpoint" else "dpmpp_2m_sde_heun"
    return Sampler(name=_on(name, noise_device), options={"eta": eta, "s_noise": s_noise})


@node("sampler_dpmpp_3m_sde")
def sampler_dpmpp_3m_sde(eta: Eta = 1.0, s_noise: SNoise = 1.0, noise_device: NoiseStream = "cpu") -> Sampler:
    """Stochastic DPM-Solver++(3M), third-order multistep (Lu et al. 2022, arXiv:2211.01095)."""
    return Sampler(name=_on("dpmpp_3m_sde", noise_device), options={"eta": eta, "s_noise": s_noise})


@node("sampler_lms")
def sampler_lms(
    order: Annotated[int, Field(ge=1, le=100, description="steps that the slope is fitted to; 4 is usual")] = 4,
) -> Sampler:
    """Linear multistep (k-diffusion)."""
    return Sampler(name="lms", options={"order": order})


@node("sampler_dpm_adaptive")
def sampler_dpm_adaptive(
    order: Annotated[int, Field(ge=2, le=3, description="order of the solver")] = 3,
    rtol: Annotated[float, Field(ge=0, le=100, description="tolerated error relative to the latent")] = 0.05,
    atol: Annotated[float, Field(ge=0, le=100, description="tolerated error")] = 0.0078,
    h_init: Annotated[float, Field(gt=0, le=100, description="first step in log sigma")] = 0.05,
    pcoeff: Annotated[float, Field(ge=0, le=100, description="proportional part of the step control")] = 0.0,
    icoeff: Annotated[float, Field(ge=0, le=100, description="integral part")] = 1.0,
    dcoeff: Annotated[float, Field(ge=0, le=100, description="derivative part")] = 0.0,
    accept_safety: Annotated[
        float, Field(ge=0, le=100, description="steps that would have to shrink below this factor are taken again")
    ] = 0.81,
    eta: Eta = 0.0,
    s_noise: SNoise = 1.0,
) -> Sampler:
    """DPM-Solver with steps of adaptive length (Lu et al. 2022, arXiv:2206.00927); only a schedule's ends matter."""
    options = {
        "order": order,
        "rtol": rtol,
        "atol": atol,
        "h_init": h_init,
        "pcoeff": pcoeff,
        "icoeff": icoeff,
        "dcoeff": dcoeff,
        "accept_safety": accept_safety,
        "eta": eta,
        "s_noise": s_noise,
    }
    return Sampler(name="dpm_adaptive", options=options)


@node("sampler_er_sde")
def sampler_er_sde(
    solver_type: Annotated[
        Literal["er_sde", "reverse_time_sde", "ode"], Field(description="the process that is solved; ode has no noise")
    ] = "er_sde",
    max_stage: Annotated[int, Field(ge=1, le=3, description="order of the solver")] = 3,
    eta: Annotated[float, Field(ge=0, le=100, description="share of the usual noise, for reverse_time_sde")] = 1.0,
    s_noise: SNoise = 1.0,
) -> Sampler:
    """Extended reverse-time SDE solver (Cui et al. 2023, arXiv:2309.06169)."""
    options = {"solver": solver_type, "order": max_stage, "eta": eta, "s_noise": s_noise}
    return Sampler(name="er_sde", options=options)


@node("sampler_sa_solver")
def sampler_sa_solver(
    eta: Annotated[float, Field(ge=0, le=10, description="how stochastic it is; 0 adds no noise")] = 1.0,
    start: Annotated[float, Field(ge=0, le=1, description="share of sampling at which noise begins")] = 0.2,
    end: Annotated[float, Field(ge=0, le=1, description="share of sampling at which noise ends")] = 0.8,
    s_noise: SNoise = 1.0,
    predictor_order: Annotated[int, Field(ge=1, le=6, description="order of the predictor")] = 3,
    corrector_order: Annotated[int, Field(ge=0, le=6, description="order of the corrector; 0 corrects nothing")] = 4,
    use_pece: Annotated[bool, Field(description="evaluate once more after correcting")] = False,
    simple_order_2: Annotated[bool, Field(description="simpler weights at order 2")] = False,
) -> Sampler:
    """Stochastic Adams solver (Xue et al. 2023, arXiv:2309.05019)."""
    options = {
        "eta": eta,
        "start": start,
        "end": end,
        "s_noise": s_noise,
        "predictor_order": predictor_order,
        "corrector_order": corrector_order,
        "pece": use_pece,
        "simple_second_order": simple_order_2,
    }
    return Sampler(name="sa_solver", options=options)


def _on(name: str, device: str) -> str:
    return f"{name}_gpu" if device == "gpu" else name


@node("detail_sampler", map=True)
def detail_sampler(
    sampler: Annotated[Sampler, Field(description="the solver")],
    amount: Annotated[
        float, Field(ge=-5, le=5, description="at the peak, in tenths of the level; below 0 smooths")
    ] = 0.1,
    start: Annotated[Share, Field(description="where the curve begins to rise, as a share of the steps")] = 0.2,
    end: Annotated[Share, Field(description="where it has fallen again")] = 0.8,
    bias: Annotated[Share, Field(description="where between them the peak is")] = 0.5,
    exponent: Annotated[float, Field(ge=0, le=10, description="of rise and fall")] = 1.0,
    start_offset: Annotated[float, Field(ge=-1, le=1, description="the curve before the start")] = 0.0,
    end_offset: Annotated[float, Field(ge=-1, le=1, description="the curve behind the end")] = 0.0,
    fade: Annotated[Share, Field(description="how much of the curve is taken back")] = 0.0,
    smooth: Annotated[bool, Field(description="cosines instead of lines")] = True,
    strength: Annotated[
        float | None,
        Field(ge=0, le=100, description="factor on the curve; null is the scale of classifier-free guidance"),
    ] = None,
) -> Sampler:
    """Have the model told of less noise than there is, so that it leaves more detail (Detail Daemon, by muerrilla).

    It is told sigma * (1 - strength * curve / 10); the steps go by the schedule as ever. One curve replaces another.
    """
    curve = {
        "amount": amount, "start": start, "end": end, "bias": bias, "exponent": exponent, "start_offset": start_offset,
        "end_offset": end_offset, "fade": fade, "smooth": smooth, "strength": strength,
    }  # fmt: skip
    return replace(sampler, detail=curve)
