"""Names of samplers and schedules, with one line each. This module imports nothing.

The names are the field's own (those of k-diffusion and ComfyUI), so a name read in a picture's
metadata means the same method here.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

SAMPLER_DESCRIPTIONS: Final = MappingProxyType(
    {
        "euler": "Euler steps along the probability flow; fast, deterministic",
        "euler_cfg_pp": "Euler with CFG++ guidance (use a scale of about 1)",
        "euler_ancestral": "Euler with fresh noise after each step",
        "euler_ancestral_cfg_pp": "ancestral Euler with CFG++ guidance",
        "heun": "second-order Heun; two evaluations a step",
        "heunpp2": "Heun++ with up to three evaluations a step",
        "exp_heun_2_x0": "Heun's method in exponential form; two evaluations a step",
        "dpm_2": "second-order DPM-Solver (midpoint); two evaluations a step",
        "dpm_2_ancestral": "DPM-Solver-2 with fresh noise after each step",
        "lms": "linear multistep, order four",
        "dpm_fast": "DPM-Solver of orders one to three on its own even grid in log sigma",
        "dpm_adaptive": "DPM-Solver-23 with adaptive steps; ignores the number of steps",
        "dpmpp_2s_ancestral": "DPM-Solver++(2S) with fresh noise after each step",
        "dpmpp_2s_ancestral_cfg_pp": "ancestral DPM-Solver++(2S) with CFG++ guidance",
        "dpmpp_sde": "stochastic DPM-Solver++; two evaluations a step, Brownian noise",
        "dpmpp_sde_gpu": "dpmpp_sde with its Brownian noise drawn on the compute device",
        "dpmpp_2m": "DPM-Solver++(2M), second-order multistep; a good default",
        "dpmpp_2m_cfg_pp": "DPM-Solver++(2M) with CFG++ guidance",
        "dpmpp_2m_sde": "DPM-Solver++(2M) SDE, midpoint form, Brownian noise",
        "dpmpp_2m_sde_gpu": "dpmpp_2m_sde with its Brownian noise drawn on the compute device",
        "dpmpp_2m_sde_heun": "DPM-Solver++(2M) SDE, Heun form, Brownian noise",
        "dpmpp_2m_sde_heun_gpu": "dpmpp_2m_sde_heun with its Brownian noise drawn on the compute device",
        "dpmpp_3m_sde": "DPM-Solver++(3M) SDE, third-order multistep, Brownian noise",
        "dpmpp_3m_sde_gpu": "dpmpp_3m_sde with its Brownian noise drawn on the compute device",
        "ddpm": "ancestral sampling of the original diffusion model",
        "lcm": "consistency sampling for LCM and other distilled models",
        "ipndm": "improved pseudo numerical method with fixed Adams-Bashforth weights",
        "ipndm_v": "improved pseudo numerical method with weights for uneven steps",
        "deis": "exponential integrator with a polynomial fit in time (tAB-DEIS)",
        "res_multistep": "refined exponential solver, second-order multistep",
        "res_multistep_cfg_pp": "refined exponential solver with CFG++ guidance",
        "res_multistep_ancestral": "refined exponential solver with fresh noise after each step",
        "res_multistep_ancestral_cfg_pp": "ancestral refined exponential solver with CFG++ guidance",
        "gradient_estimation": "Euler with a corrected gradient from the step before",
        "gradient_estimation_cfg_pp": "gradient estimation with CFG++ guidance",
        "er_sde": "extended reverse-time SDE solver, third order",
        "seeds_2": "stochastic exponential solver SEEDS-2; two evaluations a step",
        "seeds_3": "stochastic exponential solver SEEDS-3; three evaluations a step",
        "sa_solver": "stochastic Adams predictor-corrector",
        "sa_solver_pece": "stochastic Adams predictor-corrector, evaluated again after correction",
        "ddim": "DDIM without added noise; the same steps as euler",
        "uni_pc": "UniPC predictor-corrector, B1(h), order three",
        "uni_pc_bh2": "UniPC predictor-corrector, B2(h), order three",
    }
)
"""Sampler names in the order in which a list of choices shows them, with one line each."""

SCHEDULE_DESCRIPTIONS: Final = MappingProxyType(
    {
        "simple": "every k-th noise level of the model's own table, from the noisiest",
        "sgm_uniform": "even steps in time, without the last noise level before zero",
        "karras": "even steps in sigma^(1/7); many steps at low noise",
        "exponential": "even steps in log sigma",
        "ddim_uniform": "every k-th noise level of the model's own table, from the cleanest",
        "beta": "times at quantiles of a Beta(0.6, 0.6) distribution; dense at both ends",
        "normal": "even steps in time, down to the model's lowest noise level",
        "linear_quadratic": "a few tiny even steps, then quadratic ones; for flow and video models",
        "kl_optimal": "even steps in arctan sigma (align-your-steps, KL-optimal for Gaussians)",
    }
)
"""Schedule names in the order in which a list of choices shows them, with one line each."""

SAMPLER_NAMES: Final[tuple[str, ...]] = tuple(SAMPLER_DESCRIPTIONS)
SCHEDULE_NAMES: Final[tuple[str, ...]] = tuple(SCHEDULE_DESCRIPTIONS)

SAMPLER_ALIASES: Final = MappingProxyType(
    {
        **{name.replace("ancestral", "a"): name for name in SAMPLER_NAMES if "ancestral" in name},
        "plms": "ipndm",
        "EulerDiscreteScheduler": "euler",
        "EulerAncestralDiscreteScheduler": "euler_ancestral",
        "HeunDiscreteScheduler": "heun",
        "KDPM2DiscreteScheduler": "dpm_2",
        "KDPM2AncestralDiscreteScheduler": "dpm_2_ancestral",
        "LMSDiscreteScheduler": "lms",
        "PNDMScheduler": "ipndm",
        "IPNDMScheduler": "ipndm",
        "DPMSolverMultistepScheduler": "dpmpp_2m",
        "DPMSolverSinglestepScheduler": "dpmpp_2s_ancestral",
        "DPMSolverSDEScheduler": "dpmpp_sde",
        "UniPCMultistepScheduler": "uni_pc",
        "DEISMultistepScheduler": "deis",
        "SASolverScheduler": "sa_solver",
        "DDIMScheduler": "ddim",
        "DDPMScheduler": "ddpm",
        "LCMScheduler": "lcm",
    }
)
"""What other programs call the samplers: the short ``a`` for ancestral, and the classes of Diffusers
(https://huggingface.co/docs/diffusers/api/schedulers/overview)."""

SCHEDULE_ALIASES: Final = MappingProxyType(
    {
        "use_karras_sigmas": "karras",
        "use_exponential_sigmas": "exponential",
        "use_beta_sigmas": "beta",
        "trailing": "sgm_uniform",
        "leading": "ddim_uniform",
        "linspace": "normal",
        "uniform": "normal",
    }
)
"""What other programs call the schedules: options of Diffusers' classes (see above)."""
