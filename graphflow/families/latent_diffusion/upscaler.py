"""What the Stable Diffusion x4 upscaler is known by (Rombach et al. 2022, arXiv:2112.10752); without torch."""

from __future__ import annotations

from graphflow.modelfiles.description import Config

CHANNELS = 7
"""Its input: a latent, and the picture that is enlarged."""
HEADS = 8
SCALE = 0.08333
"""Factor on its latents."""
DOWNSCALE = 4
"""Pixels per latent sample."""
SCHEDULE: Config = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "scaled_linear"}
"""The noise on what it makes and on what it is given."""
