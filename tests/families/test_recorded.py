"""Text and pictures against numbers recorded from ComfyUI 0.3.64 on the CPU in float32 with one thread."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from graphflow.loading.manager import ModelManager
from graphflow.values import LoraPatch, TextEncoder, Vae
from tests.families.recorded_weights import write_text, write_vae
from tests.models.tiny_manager import error, make_manager, running

DATA = Path(__file__).parent / "data"
PROMPTS: dict[str, str] = json.loads((DATA / "prompts.json").read_text("utf-8"))
BOUND = 1e-5
VAE_BOUND = 2e-5

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def recorded() -> Iterator[dict[str, Any]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with np.load(DATA / "recorded.npz") as arrays:
        yield {name: arrays[name] for name in arrays.files}
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def text_manager(tmp_path_factory: pytest.TempPathFactory) -> ModelManager:
    root = tmp_path_factory.mktemp("text")
    write_text(root)
    return make_manager(root)


@pytest.fixture(scope="module")
def vae_manager(tmp_path_factory: pytest.TempPathFactory) -> ModelManager:
    root = tmp_path_factory.mktemp("vae")
    write_vae(root)
    return make_manager(root)


@pytest.mark.parametrize("case", PROMPTS)
def test_prompts(case: str, text_manager: ModelManager, recorded: dict[str, Any]) -> None:
    with running(text_manager) as told:
        recipe = TextEncoder(
            files=(text_manager.find("recorded", "text_encoder", part="text_encoder"),),
            layer=-2 if case.startswith("clipskip-2") else None,
        )
        if "lora" in case:
            recipe = recipe.patched(LoraPatch(file=text_manager.find("lora_a", "lora", part=""), strength=0.6))
        with recipe.use() as encoder:
            (entry,) = encoder.encode(PROMPTS[case]).entries
    assert entry.pooled is not None
    assert error(entry.embedding[:, :, ::16], torch.from_numpy(recorded[f"{case}/embedding"])) < BOUND
    assert error(entry.pooled, torch.from_numpy(recorded[f"{case}/pooled"])) < BOUND
    missing = [notice for notice in told.notices if "does_not_exist" in notice]
    assert len(missing) == (case == "clip_embedding_missing") == len(told.notices)


def picture(data: Any) -> Tensor:
    return torch.from_numpy(data.astype(np.float32) / 255).permute(2, 0, 1)[None]


def test_pictures_to_latents_and_back(vae_manager: ModelManager, recorded: dict[str, Any]) -> None:
    with running(vae_manager), Vae(files=(vae_manager.find("recorded", "vae", part="vae"),)).use() as vae:
        latent = vae.encode(picture(recorded["input/lab64.png"]))
        pixels = vae.decode(latent)
    assert error(latent, torch.from_numpy(recorded["vae/latent"])) < VAE_BOUND
    assert error(pixels.permute(0, 2, 3, 1), torch.from_numpy(recorded["vae/image"])) < VAE_BOUND


def test_pictures_in_tiles(vae_manager: ModelManager, recorded: dict[str, Any]) -> None:
    with running(vae_manager), Vae(files=(vae_manager.find("recorded", "vae", part="vae"),)).use() as vae:
        latent = vae.encode(picture(recorded["input/lab128x96.png"]), tile=64, overlap=16)
    assert error(latent, torch.from_numpy(recorded["vae/encoded_in_tiles"])) < VAE_BOUND


@pytest.mark.skipif(
    "GRAPHFLOW_TEST_SOAK" not in os.environ, reason="ten seconds of an idle core; set GRAPHFLOW_TEST_SOAK"
)
def test_latents_in_tiles(vae_manager: ModelManager, recorded: dict[str, Any]) -> None:
    with running(vae_manager), Vae(files=(vae_manager.find("recorded", "vae", part="vae"),)).use() as vae:
        pixels = vae.decode(torch.from_numpy(recorded["vae/encoded"]), tile=64, overlap=16)
    saved = (pixels[0].permute(1, 2, 0) * 255).to(torch.uint8).int()
    difference = (saved - torch.from_numpy(recorded["vae/decoded_in_tiles"]).int()).abs()
    # What was saved is cut to eight bits, so a value on the edge may fall to either side.
    assert int(difference.max()) <= 1 and float(difference.float().mean()) < 1e-3
