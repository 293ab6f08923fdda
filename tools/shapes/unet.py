"""The denoiser's configuration, its start, and the noise schedule."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel

_SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
}

CONTROLNET_CONFIG: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "DownBlock2D", "DownBlock2D"),
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "block_out_channels": (48, 80, 112),
    "layers_per_block": 1,
    "norm_num_groups": 16,
    "cross_attention_dim": 64,
    "attention_head_dim": 4,
    "conditioning_embedding_out_channels": (8, 16, 24, 32),
}
"""Configuration of the ControlNet (1.4 M parameters): as the denoiser's first half, with attention in the middle only."""


def build_unet() -> UNet2DConditionModel:
    """A new UNet (4.0 M parameters, 16x16 latents) whose residual branches and output start at zero."""
    unet = UNet2DConditionModel(
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 80, 112),
        layers_per_block=1,
        norm_num_groups=16,
        cross_attention_dim=64,
        attention_head_dim=4,
    )
    zero_residual_branches(unet)
    torch.nn.init.zeros_(unet.conv_out.weight)
    torch.nn.init.zeros_(unet.conv_out.bias)
    return unet


def zero_residual_branches(model: torch.nn.Module) -> None:
    """Set the last layer of every residual branch to zero, in place."""
    for name, module in model.named_modules():
        if name.endswith(("conv2", "to_out.0", "ff.net.2", "proj_out")):
            torch.nn.init.zeros_(module.weight)
            torch.nn.init.zeros_(module.bias)


def training_schedule() -> DDPMScheduler:
    """The noise schedule of training: Stable Diffusion 1's, v-prediction."""
    return DDPMScheduler(**_SCHEDULE)


class Noising:
    """Adds noise to latents, and gives the velocity that the denoiser is to predict (Salimans and Ho, 2022)."""

    def __init__(self) -> None:
        alphas = training_schedule().alphas_cumprod
        self._signal, self._noise = alphas.sqrt().view(-1, 1, 1, 1), (1 - alphas).sqrt().view(-1, 1, 1, 1)

    def __call__(self, x0: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Noisy latents and velocity for clean latents and noise (n, 4, h, w) at integer timesteps (n,)."""
        a, b = self._signal[t], self._noise[t]
        return a * x0 + b * noise, a * noise - b * x0


def sampling_schedule() -> DPMSolverMultistepScheduler:
    """The sampler that ships: DPM++ 2M on Karras' noise levels."""
    return DPMSolverMultistepScheduler(
        **_SCHEDULE,
        algorithm_type="dpmsolver++",
        solver_order=2,
        use_karras_sigmas=True,
        timestep_spacing="leading",
        steps_offset=1,
    )
