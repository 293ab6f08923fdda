"""Runs a recorded case on the small U-Net and measures its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphflow.sampling.guidance import ClassifierFree
from graphflow.sampling.latent_space import LatentSpace
from graphflow.sampling.loop import sample
from graphflow.sampling.noise import initial_noise
from graphflow.sampling.prediction import ModelSampling
from graphflow.sampling.samplers import SAMPLERS
from graphflow.values import Conditioning, ConditioningEntry
from tests.parity.weights import tiny_unet

DATA = Path(__file__).parent / "data"
STEPS, SEED, SCALE = 8, 42, 7.0

BOUND, BROWNIAN_BOUND = 1e-4, 1e-3
"""Largest error allowed, and where a Brownian tree is involved."""

SOLVED_IN_FLOAT32, SOLVED_BOUND = {"sa_solver-linear_quadratic", "sa_solver_pece-linear_quadratic"}, 5e-2
"""Cases whose steps are so short that the solver's weights lose most digits where they are solved in float32, as the
recorded ones were: any other order of operations moves the result by a few percent. Here they are solved in float64."""

PERTURBATION, ILL_CONDITIONED, AMPLIFIED = 1e-6, 1e-5, 10.0
"""A case that moves by more than 1e-5 when its initial noise moves by 1e-6 may err by ten times that movement."""


def recorded(name: str) -> dict[str, Tensor]:
    """Return the arrays of one file of recordings."""
    with np.load(DATA / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def error(got: Tensor, wanted: Tensor) -> float:
    """Return max |got - wanted| / max |wanted|."""
    return float((got - wanted).abs().max() / wanted.abs().max())


class TinyModel:
    """The recordings' small U-Net as a prediction function."""

    def __init__(self) -> None:
        from diffusers import UNet2DConditionModel
        from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

        with torch.device("meta"):
            self.unet = UNet2DConditionModel(
                layers_per_block=1,
                block_out_channels=(320, 320),
                down_block_types=("CrossAttnDownBlock2D",) * 2,
                up_block_types=("CrossAttnUpBlock2D",) * 2,
                cross_attention_dim=768,
                attention_head_dim=8,
            )
        original = {f"model.diffusion_model.{k}": torch.from_numpy(v) for k, v in tiny_unet().items()}
        converted = convert_ldm_unet_checkpoint(original, dict(self.unet.config))
        self.unet.load_state_dict(converted, strict=True, assign=True)
        self.unet.eval()

    def __call__(
        self,
        x: Tensor,
        timestep: Tensor,
        entries: Sequence[ConditioningEntry],
        *,
        sigma: Tensor,
        variation: str | None = None,
    ) -> Tensor:
        repeats = len(x) // len(entries)
        text = torch.cat([entry.embedding.expand(repeats, -1, -1) for entry in entries])
        output: Tensor = self.unet(x, timestep, text).sample
        return output


@dataclass(frozen=True)
class Measured:
    """Error of one case, and how far it may go."""

    error: float
    bound: float
    movement: float | None = None

    @property
    def passed(self) -> bool:
        return self.error <= self.bound


def run_case(model: TinyModel, case: str, wanted: Tensor, *, perturbation: float = 0.0) -> Tensor:
    """Return the latent of `SAMPLER-SCHEDULE` with the settings of the recordings."""
    sampler, schedule = case.rsplit("-", 1)
    sampling = ModelSampling.stable_diffusion()
    # The recorded levels, not ours: rounding in a level's last place moves Brownian noise by 3e-3.
    kind = "dpm_2" if SAMPLERS[sampler].discards_penultimate else "euler"
    sigmas = recorded("sigmas")[f"ksampler_{kind}_steps{STEPS}_denoise1.0/{schedule}"]
    noise = initial_noise(wanted.shape, SEED, "batch")
    noise = noise + perturbation * initial_noise(wanted.shape, SEED + 1, "batch")
    prompts = recorded("conditioning")
    positive, negative = (
        Conditioning(entries=(ConditioningEntry(embedding=prompts[side]),)) for side in ("positive", "negative")
    )
    return sample(
        model,
        sampling,
        positive=positive,
        negative=negative,
        guider=ClassifierFree(scale=SCALE),
        sampler=sampler,
        sigmas=sigmas,
        latent=torch.zeros_like(wanted),
        noise=noise,
        seed=SEED,
        noise_layout="batch",
        latent_space=LatentSpace(scale=0.18215),
    ).latent


def measure(model: TinyModel, case: str, wanted: Tensor) -> Measured:
    """Run a case and compare it with the recording."""
    got = run_case(model, case, wanted)
    sampler = case.rsplit("-", 1)[0]
    bound = BROWNIAN_BOUND if SAMPLERS[sampler].noise.startswith("brownian") else BOUND
    if case in SOLVED_IN_FLOAT32:
        return Measured(error(got, wanted), SOLVED_BOUND)
    result = Measured(error(got, wanted), bound)
    if result.passed and float(wanted.abs().max()) <= 1e3:
        return result
    movement = error(run_case(model, case, wanted, perturbation=PERTURBATION), got)
    if movement > ILL_CONDITIONED or float(wanted.abs().max()) > 1e3:
        return Measured(result.error, max(bound, AMPLIFIED * movement), movement)
    return result
