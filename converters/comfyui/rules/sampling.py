"""Sampling: the sampler nodes, schedules, solvers, guiders and noise."""

from __future__ import annotations

from collections.abc import Mapping

from ..building import Builder, RefusedError, Source, Value
from .common import BATCH_NOISE, END_STEP, SWITCHED
from .rule import AnyRule, Change, Made, Rule

_LAYOUT = frozenset({"noise_layout", "noise_device", "step_noise"})
_NOISE = {"layout": "batch", "step_noise": BATCH_NOISE["step_noise"]}
_NOISE_LOOSE = frozenset({"layout", "device", "step_noise"})
_CPU_NOISE = {"noise_device": {"gpu": "cpu"}}
_ON_CPU = "Brownian noise is drawn on the CPU, as ComfyUI does where it runs there; noise_device cuda gives a GPU's"
_EVERY = "model seed steps cfg:guidance_scale sampler_name:sampler scheduler:schedule positive negative latent_image:latent denoise:strength"


def _sampler_custom(builder: Builder, source: Source) -> list[Value]:
    """SamplerCustom: a guider and noise of its own, then the sampling."""
    guider = builder.add(
        source,
        "cfg_guider",
        {
            "model": source.get("model"),
            "positive": source.get("positive"),
            "negative": source.get("negative"),
            "guidance_scale": source.get("cfg"),
        },
        suffix="guider",
    )
    kind = "random_noise" if source.flag("add_noise", True) else "no_noise"
    noise = builder.add(source, kind, {"seed": source.get("noise_seed"), **_NOISE}, suffix="noise")
    made = builder.add(
        source,
        "sample_custom",
        {
            "guider": guider,
            "noise": noise,
            "sampler": source.get("sampler"),
            "sigmas": source.get("sigmas"),
            "latent": source.get("latent_image"),
        },
    )
    return [made, builder.ref(made.node, "denoised")]


def _lcm(builder: Builder, source: Source) -> list[Value]:
    """SamplerLCM, where its settings are those that the sampler was published with."""
    if (
        source.number("s_noise", 1.0) != 1
        or source.number("s_noise_end", 1.0) != 1
        or source.number("noise_clip_std", 0.0) != 0
    ):
        raise RefusedError("its settings of the noise have no native counterpart")
    return [builder.add(source, "select_sampler", {"sampler": "lcm"})]


_TILED = "sampled whole: its tiles save memory, and differ from the whole a little"
_ADVANCED = (
    "model add_noise noise_seed:seed steps cfg:guidance_scale sampler_name:sampler scheduler:schedule positive negative"
    " latent_image:latent start_at_step:start_step end_at_step:end_step return_with_leftover_noise:leftover_noise"
)
_SWITCHES: Mapping[str, Change] = {
    "add_noise": SWITCHED,
    "return_with_leftover_noise": SWITCHED,
    "end_at_step": END_STEP,
}

RULES: tuple[AnyRule, ...] = (
    Made("SamplerLCM", ("select_sampler",), _lcm, says="select_sampler (lcm)"),
    Rule("KSampler", "sample", _EVERY, fixed=BATCH_NOISE, loose=_LAYOUT),
    Rule(
        "KSamplerAdvanced", "sample", _ADVANCED, values=_SWITCHES,
        fixed=BATCH_NOISE, loose=_LAYOUT,
    ),
    Rule("KSampler (WAS)", "sample", _EVERY, fixed=BATCH_NOISE, pack="was-node-suite-comfyui", back=False),
    Rule("BNK_TiledKSampler", "sample", _EVERY, fixed=BATCH_NOISE, ignored="tile_width tile_height tiling_strategy", differs=_TILED, pack="ComfyUI_TiledKSampler", back=False),
    Rule("BNK_TiledKSamplerAdvanced", "sample", _ADVANCED, values=_SWITCHES, fixed=BATCH_NOISE, ignored="tile_width tile_height tiling_strategy preview",
         differs=_TILED, pack="ComfyUI_TiledKSampler", back=False),
    Made("SamplerCustom", ("cfg_guider", "random_noise", "no_noise", "sample_custom"), _sampler_custom,
         says="cfg_guider, random_noise or no_noise, and sample_custom"),
    Rule("SamplerCustomAdvanced", "sample_custom", "noise guider sampler sigmas latent_image:latent", "latent denoised"),
    Rule("RandomNoise", "random_noise", "noise_seed:seed", fixed=_NOISE, loose=_NOISE_LOOSE),
    Rule("DisableNoise", "no_noise", fixed=_NOISE, loose=_NOISE_LOOSE),
    Rule("AddNoise", "add_noise", "model noise sigmas latent_image:latent"),
    Rule("BasicGuider", "basic_guider", "model conditioning"),
    Rule("CFGGuider", "cfg_guider", "model positive negative cfg:guidance_scale"),
    Rule("DualCFGGuider", "dual_cfg_guider", "model cond1:positive cond2:middle negative cfg_conds:guidance_scale cfg_cond2_negative:middle_scale style:nested",
         values={"style": {"regular": False, "nested": True}}),
    Rule("PerpNegGuider", "perp_neg_guider", "model positive negative empty_conditioning:empty cfg:guidance_scale neg_scale:negative_scale"),
    # schedules
    Rule("BasicScheduler", "make_sigmas", "model scheduler:schedule steps denoise:strength"),
    Rule("KarrasScheduler", "karras_sigmas", "steps sigma_max sigma_min rho"),
    Rule("ExponentialScheduler", "exponential_sigmas", "steps sigma_max sigma_min"),
    Rule("PolyexponentialScheduler", "polyexponential_sigmas", "steps sigma_max sigma_min rho"),
    Rule("LaplaceScheduler", "laplace_sigmas", "steps sigma_max sigma_min mu beta"),
    Rule("VPScheduler", "vp_sigmas", "steps beta_d beta_min eps_s"),
    Rule("BetaSamplingScheduler", "beta_sigmas", "model steps alpha beta"),
    Rule("SDTurboScheduler", "turbo_sigmas", "model steps denoise:strength"),
    Rule("AlignYourStepsScheduler", "align_your_steps_sigmas", "model_type:variant steps denoise:strength",
         values={"model_type": {"SD1": "sd", "SDXL": "sdxl", "SVD": "svd"}}),
    Rule("LTXVScheduler", "ltxv_sigmas", "steps max_shift base_shift stretch terminal latent"),
    Rule("SplitSigmas", "split_sigmas", "sigmas step", "high low"),
    Rule("SplitSigmasDenoise", "split_sigmas_at_strength", "sigmas denoise:strength", "high low"),
    Rule("FlipSigmas", "flip_sigmas", "sigmas"),
    Rule("SetFirstSigma", "set_first_sigma", "sigmas sigma"),
    Rule("ExtendIntermediateSigmas", "extend_sigmas", "sigmas steps start_at_sigma:start_sigma end_at_sigma:end_sigma spacing"),
    Rule("SamplingPercentToSigma", "percent_to_sigma", "model sampling_percent:percent return_actual_sigma:actual"),
    # solvers
    Rule("KSamplerSelect", "select_sampler", "sampler_name:sampler"),
    Rule("SamplerEulerAncestral", "sampler_euler_ancestral", "eta s_noise"),
    Rule("SamplerEulerAncestralCFGPP", "sampler_euler_ancestral_cfg_pp", "eta s_noise"),
    Rule("SamplerDPMPP_2S_Ancestral", "sampler_dpmpp_2s_ancestral", "eta s_noise"),
    Rule("SamplerDPMPP_SDE", "sampler_dpmpp_sde", "eta s_noise r noise_device", values=_CPU_NOISE, differs=_ON_CPU),
    Rule("SamplerDPMPP_2M_SDE", "sampler_dpmpp_2m_sde", "solver_type eta s_noise noise_device", values=_CPU_NOISE, differs=_ON_CPU),
    Rule("SamplerDPMPP_3M_SDE", "sampler_dpmpp_3m_sde", "eta s_noise noise_device", values=_CPU_NOISE, differs=_ON_CPU),
    Rule("SamplerLMS", "sampler_lms", "order"),
    Rule("SamplerDPMAdaptative", "sampler_dpm_adaptive", "order rtol atol h_init pcoeff icoeff dcoeff accept_safety eta s_noise"),
    Rule("SamplerER_SDE", "sampler_er_sde", "solver_type max_stage eta s_noise",
         values={"solver_type": {"ER-SDE": "er_sde", "Reverse-time SDE": "reverse_time_sde", "ODE": "ode"}}),
    Rule("SamplerSASolver", "sampler_sa_solver",
         "eta sde_start_percent:start sde_end_percent:end s_noise predictor_order corrector_order use_pece simple_order_2", ignored="model", back=False),
)  # fmt: skip
"""By ComfyUI type."""
