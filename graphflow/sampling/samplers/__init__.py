"""Samplers: one function per published method, and the registry that names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from inspect import signature
from types import MappingProxyType
from typing import Any

from torch import Tensor

from graphflow.sampling.errors import SamplingError
from graphflow.sampling.names import SAMPLER_NAMES

from . import (
    dpm_solver,
    dpmpp,
    dpmpp_sde,
    er_sde,
    euler,
    multistep,
    res,
    sa_solver,
    second_order,
    seeds,
    uni_pc,
)
from .base import Callback, Denoiser, NoiseKind, SamplerFunction, Step, StepNoise

__all__ = [
    "SAMPLERS",
    "Callback",
    "Denoiser",
    "NoiseKind",
    "Sampler",
    "SamplerFunction",
    "Step",
    "StepNoise",
    "get_sampler",
]

_GIVEN = frozenset(signature(SamplerFunction.__call__).parameters)
"""What every sampler receives; its other parameters are options."""


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A sampling method and what it needs from its surroundings.

    Attributes:
        run: the method.
        noise: step noise it uses: none, independent normal draws, a Brownian path on the CPU, or one on
            the compute device.
        needs_uncond: it uses the unconditional prediction (CFG++), so that is evaluated at every scale.
        discards_penultimate: schedules leave out the level before the last for it.
        log_snr_form: it is written for alpha = 1, so flow models are brought to that form.
        stops_early: it ends at the lowest level above zero, so one with a single such level returns what it got.
        stays: a step from a level to itself does something; for the others it does nothing and divides by 0.
        spans_batch: how it goes on depends on all items of a batch, so several samplings are never one.
        renoises_kept: what a noise mask keeps carries noise of its own on the way, not the noise of the start.
        told: makes of the denoiser, for a schedule, one that is told other levels; None leaves it.
    """

    run: SamplerFunction
    noise: NoiseKind = "none"
    needs_uncond: bool = False
    discards_penultimate: bool = False
    log_snr_form: bool = False
    stops_early: bool = False
    stays: bool = False
    renoises_kept: bool = False
    spans_batch: bool = False
    told: Callable[[Denoiser, Tensor], Denoiser] | None = None


def _gaussian(run: Any, **options: Any) -> Sampler:
    return Sampler(run=run, noise="gaussian", **options)


def _brownian(run: Any, *, on_device: bool = False) -> Sampler:
    return Sampler(
        run=run, noise="brownian_device" if on_device else "brownian", log_snr_form=True
    )


SAMPLERS: Mapping[str, Sampler] = MappingProxyType(
    {
        "euler": Sampler(run=euler.euler),
        "euler_cfg_pp": Sampler(run=euler.euler_cfg_pp, needs_uncond=True),
        "euler_ancestral": _gaussian(euler.euler_ancestral),
        "euler_ancestral_cfg_pp": _gaussian(
            euler.euler_ancestral_cfg_pp, needs_uncond=True
        ),
        "heun": Sampler(run=second_order.heun),
        "heunpp2": Sampler(run=second_order.heunpp2),
        "exp_heun_2_x0": Sampler(run=second_order.exp_heun_2_x0, log_snr_form=True),
        "dpm_2": Sampler(run=second_order.dpm_2, discards_penultimate=True),
        "dpm_2_ancestral": _gaussian(
            second_order.dpm_2_ancestral, discards_penultimate=True
        ),
        "lms": Sampler(run=multistep.lms),
        "dpm_fast": Sampler(run=dpm_solver.dpm_fast, stops_early=True),
        "dpm_adaptive": _gaussian(
            dpm_solver.dpm_adaptive, stops_early=True, spans_batch=True
        ),
        "dpmpp_2s_ancestral": _gaussian(dpmpp.dpmpp_2s_ancestral),
        "dpmpp_2s_ancestral_cfg_pp": _gaussian(
            dpmpp.dpmpp_2s_ancestral_cfg_pp, needs_uncond=True
        ),
        "dpmpp_sde": _brownian(dpmpp_sde.dpmpp_sde),
        "dpmpp_sde_gpu": _brownian(dpmpp_sde.dpmpp_sde, on_device=True),
        "dpmpp_2m": Sampler(run=dpmpp.dpmpp_2m),
        "dpmpp_2m_cfg_pp": Sampler(run=dpmpp.dpmpp_2m_cfg_pp, needs_uncond=True),
        "dpmpp_2m_sde": _brownian(dpmpp_sde.dpmpp_2m_sde),
        "dpmpp_2m_sde_gpu": _brownian(dpmpp_sde.dpmpp_2m_sde, on_device=True),
        "dpmpp_2m_sde_heun": _brownian(dpmpp_sde.dpmpp_2m_sde_heun),
        "dpmpp_2m_sde_heun_gpu": _brownian(dpmpp_sde.dpmpp_2m_sde_heun, on_device=True),
        "dpmpp_3m_sde": _brownian(dpmpp_sde.dpmpp_3m_sde),
        "dpmpp_3m_sde_gpu": _brownian(dpmpp_sde.dpmpp_3m_sde, on_device=True),
        "ddpm": _gaussian(euler.ddpm),
        "lcm": _gaussian(euler.lcm, stays=True),
        "ipndm": Sampler(run=multistep.ipndm),
        "ipndm_v": Sampler(run=multistep.ipndm_v),
        "deis": Sampler(run=multistep.deis),
        "res_multistep": Sampler(run=res.res_multistep),
        "res_multistep_cfg_pp": Sampler(
            run=res.res_multistep_cfg_pp, needs_uncond=True
        ),
        "res_multistep_ancestral": _gaussian(res.res_multistep_ancestral),
        "res_multistep_ancestral_cfg_pp": _gaussian(
            res.res_multistep_ancestral_cfg_pp, needs_uncond=True
        ),
        "gradient_estimation": Sampler(run=euler.gradient_estimation),
        "gradient_estimation_cfg_pp": Sampler(
            run=euler.gradient_estimation_cfg_pp, needs_uncond=True
        ),
        "er_sde": _gaussian(er_sde.er_sde, log_snr_form=True),
        "seeds_2": _gaussian(seeds.seeds_2, log_snr_form=True),
        "seeds_3": _gaussian(seeds.seeds_3, log_snr_form=True),
        "sa_solver": _gaussian(sa_solver.sa_solver, log_snr_form=True),
        "sa_solver_pece": _gaussian(sa_solver.sa_solver_pece, log_snr_form=True),
        "ddim": Sampler(run=euler.euler, renoises_kept=True),
        "uni_pc": Sampler(run=uni_pc.uni_pc, discards_penultimate=True),
        "uni_pc_bh2": Sampler(run=uni_pc.uni_pc_bh2, discards_penultimate=True),
    }
)
"""Samplers by name, in the order of `names.SAMPLER_NAMES`."""


def get_sampler(name: str, options: Mapping[str, Any] | None = None) -> Sampler:
    """The sampler called `name`.

    Args:
        name: a name of `names.SAMPLER_NAMES`.
        options: keyword arguments of its function, e.g. `{"eta": 0.5}`.

    Raises:
        SamplingError: there is none, and the message gives the nearest name; or it has no such option.
    """
    if name not in SAMPLERS:
        near = get_close_matches(name, SAMPLER_NAMES, n=1)
        advice = (
            f"did you mean {near[0]!r}?"
            if near
            else f"use one of {', '.join(SAMPLER_NAMES)}"
        )
        raise SamplingError(f"unknown sampler {name!r}", advice=advice)
    sampler = SAMPLERS[name]
    if not options:
        return sampler
    known = [key for key in signature(sampler.run).parameters if key not in _GIVEN]
    if unknown := sorted(set(options) - set(known)):
        raise SamplingError(
            f"the sampler {name!r} has no option {unknown[0]!r}",
            advice=f"its options are {', '.join(known)}" if known else "it has none",
        )
    return replace(sampler, run=partial(sampler.run, **options))
