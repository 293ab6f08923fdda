"""The plain sampler of RES4LYF, by its documentation and the papers of its solvers.

Res is Zhang et al. 2023 (arXiv:2308.02157), DEIS Zhang and Chen 2022 (arXiv:2204.13902), DPM-Solver++ Lu et al. 2022
(arXiv:2211.01095); Heun, Ralston and the midpoint are the Runge-Kutta methods of these names.
"""

from __future__ import annotations

from typing import Any

from ..building import Builder, Const, Ref, RefusedError, Source, Value
from .common import BATCH_NOISE
from .rule import AnyRule, Made

_PACK = "RES4LYF"
_SOLVERS = {
    "euler": "euler", "heun_2s": "heun", "midpoint_2s": "dpm_2", "res_2m": "res_multistep", "dpmpp_2m": "dpmpp_2m", "ddim": "ddim",
    "dpmpp_sde_2s": "dpmpp_sde", "deis_2m": "deis", "deis_3m": "deis", "deis_4m": "deis",
    "res_2s": "exp_heun_2_x0", "ralston_2s": "heun",
}  # fmt: skip
_NEAR = {
    "res_2s": "its second evaluation lies at the end of the step, not in its middle",
    "ralston_2s": "Heun's method stands for Ralston's, which is of the same order",
}


def _solver(source: Source) -> str:
    name = source.text("sampler_name", "multistep/res_2m").rpartition("/")[2]
    if name not in _SOLVERS:
        raise RefusedError(f"its solver {name} has no native counterpart; {', '.join(_SOLVERS)} have")
    if name in _NEAR:
        source.remark(_NEAR[name])
    if source.number("eta", 0.5) and name != "dpmpp_sde_2s":
        source.remark("eta is left out: its steps add no noise")
    if source.flag("bongmath", True):
        source.remark("bongmath, which runs steps back and forth, is left out")
    return _SOLVERS[name]


def _sigmas(builder: Builder, source: Source) -> Ref | Value:
    """Return the noise levels: those that are linked, or a schedule's."""
    model, steps, strength = source.get("model"), source.get("steps", 30), source.number("denoise", 1.0)
    schedule = source.text("scheduler", "beta57")
    linked = source.get("sigmas")
    if linked is not None:
        return linked
    if schedule != "beta57":
        inputs = {"model": model, "schedule": schedule, "steps": steps, "strength": strength}
        return builder.add(source, "make_sigmas", inputs, suffix="sigmas")
    if strength >= 1:
        return builder.add(
            source, "beta_sigmas", {"model": model, "steps": steps, "alpha": 0.5, "beta": 0.7}, suffix="sigmas"
        )
    if strength <= 0:
        raise RefusedError("its denoise is 0, so it samples nothing")
    every = {"model": model, "steps": int(source.number("steps", 30) / strength), "alpha": 0.5, "beta": 0.7}
    whole = builder.add(source, "beta_sigmas", every, suffix="all-sigmas")
    made = builder.add(source, "split_sigmas_at_strength", {"sigmas": whole, "strength": strength}, suffix="sigmas")
    return builder.ref(made.node, "low")


def _sampled(builder: Builder, source: Source) -> list[Value]:
    """ClownsharKSampler_Beta."""
    if source.text("sampler_mode", "standard") != "standard":
        raise RefusedError(f"its mode {source.text('sampler_mode')} runs towards noise or goes on from another sampler")
    solver = builder.add(source, "select_sampler", {"sampler": _solver(source)}, suffix="solver")
    sigmas = _sigmas(builder, source)
    run = int(source.number("steps_to_run", -1))
    if run >= 0:
        made = builder.add(source, "split_sigmas", {"sigmas": sigmas, "step": run}, suffix="part")
        sigmas = builder.ref(made.node, "high")
    sides = {name: source.get(name) for name in ("model", "positive", "negative")}
    if sides["negative"] is None:
        guided = {"model": sides["model"], "conditioning": sides["positive"]}
        guider = builder.add(source, "basic_guider", guided, suffix="guider")
        source.used.add("cfg")
    else:
        guider = builder.add(source, "cfg_guider", {**sides, "guidance_scale": source.get("cfg", 5.5)}, suffix="guider")
    seed = source.get("seed", 0)
    seed = Const("random") if isinstance(seed, Const) and seed.value == -1 else seed
    noise = builder.add(
        source,
        "random_noise",
        {"seed": seed, "layout": "batch", "step_noise": BATCH_NOISE["step_noise"]},
        suffix="noise",
    )
    inputs: dict[str, Any] = {
        "guider": guider, "noise": noise, "sampler": solver, "sigmas": sigmas, "latent": source.get("latent_image"),
    }  # fmt: skip
    made = builder.add(source, "sample_custom", inputs)
    return [made, builder.ref(made.node, "denoised"), None]


RULES: tuple[AnyRule, ...] = (
    Made(
        "ClownsharKSampler_Beta",
        ("select_sampler", "make_sigmas", "beta_sigmas", "split_sigmas", "split_sigmas_at_strength", "basic_guider", "cfg_guider", "random_noise", "sample_custom"),
        _sampled,
        says="a guider, noise, a solver, noise levels, and sample_custom",
        differs="by description: the numbers are those of the published solvers",
        pack=_PACK,
    ),
)  # fmt: skip
"""By ComfyUI type."""
