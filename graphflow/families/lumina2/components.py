"""Lumina 2: a transformer on a flow that reads Gemma 2, and FLUX.1's autoencoder."""

from __future__ import annotations

from graphflow.families.flow.next_dit import NextComponents
from graphflow.families.lumina2.config import BEGIN, SHIFT
from graphflow.families.lumina2.denoiser import Lumina2Denoiser
from graphflow.families.lumina2.family import FAMILY

COMPONENTS = NextComponents(
    latent=FAMILY.latent,
    transformer=FAMILY.transformer,
    network=Lumina2Denoiser,
    shift=SHIFT,
    reads="Gemma2Model",
    file="gemma_2_2b",
    begin=BEGIN,
)
