"""Stable Video Diffusion's autoencoder beside Diffusers, from a file in the layout of its authors."""

from __future__ import annotations

from pathlib import Path

import torch

from graphflow import node
from graphflow.document.document import Document
from graphflow.session import Session
from graphflow.settings import RootSetting, Settings
from graphflow.spec import registry
from graphflow.values import Latent
from tests.families.svd_files import temporal_vae, write_temporal_vae


@node("some_frames")
def some_frames() -> Latent:
    """Return three frames."""
    return Latent(samples=torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1)))


def test_frames_are_decoded_together_as_diffusers_decodes_them(tmp_path: Path) -> None:
    plain = temporal_vae()
    write_temporal_vae(tmp_path / "vae" / "svd_vae.safetensors")
    nodes = {
        "vae": {"type": "load_vae", "params": {"model": "svd_vae"}},
        "frames": {"type": "some_frames"},
        "video": {"type": "vae_decode", "links": {"vae": "vae", "latent": "frames"}},
    }
    document = Document.model_validate({"graphflow": 2, "nodes": nodes, "outputs": {"video": "video"}})
    settings = Settings(models=(RootSetting(path=tmp_path),), cache_dir=tmp_path / "cache", device="cpu", dtype="float32", offline=True)  # fmt: skip
    known = registry.installed().with_nodes((some_frames,), pack="frames")
    pixels = Session(settings, known=known).run(document).outputs["video"].pixels
    with torch.inference_mode():
        wanted = plain.decode(some_frames().samples, num_frames=3).sample
    assert torch.allclose(pixels, (wanted / 2 + 0.5).clamp(0, 1), atol=1e-5)
