"""Models from the Hub, from a local server that answers as the Hub does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphflow.library.download import wanted_files
from tests.hub import COMMIT, Hub, graphflow_with, running_hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    yield from running_hub()


def test_a_model_is_fetched_when_it_is_first_used(hub: Hub, tmp_path: Path) -> None:
    arguments = ("txt2img", "-i", "model=tester/shapes", "-i", "steps=1")
    planned = graphflow_with(hub, tmp_path, "plan", *arguments)
    assert planned.returncode == 0, planned.stderr
    assert "downloaded when it is first used" in planned.stdout
    assert hub.fetched == []
    ran = graphflow_with(hub, tmp_path, "run", *arguments, "--quiet")
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.strip()).suffix == ".png"
    assert set(hub.fetched) == {name for name in hub.files if not name.endswith(".md")}
    assert list((tmp_path / "elsewhere").glob("models--tester--shapes/snapshots/*"))
    again = graphflow_with(hub, tmp_path, "plan", *arguments, "--offline", "--json")
    assert again.returncode == 0, again.stderr
    steps = {step["node"]: step for step in json.loads(again.stdout)["steps"]}
    assert steps["checkpoint"]["files"][0]["fingerprint"] == f"hub:tester/shapes@{COMMIT}"


def test_a_model_that_the_hub_does_not_have(hub: Hub, tmp_path: Path) -> None:
    ran = graphflow_with(hub, tmp_path, "run", "txt2img", "-i", "model=tester/squares")
    assert ran.returncode != 0
    assert "tester/squares" in ran.stderr and "cannot be downloaded" in ran.stderr and "Traceback" not in ran.stderr


def test_one_set_of_weights_is_fetched() -> None:
    listing = [
        "README.md",
        "model_index.json",
        "v1-5-pruned.safetensors",
        "v1-5-pruned.ckpt",
        "unet/config.json",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
        "text_encoder/model.fp16-00001-of-00001.safetensors",
        "text_encoder/model.safetensors.index.fp16.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
    ]
    assert wanted_files(listing) == {
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model-00002-of-00002.safetensors",
        "text_encoder/model.fp16-00001-of-00001.safetensors",
        "text_encoder/model.safetensors.index.fp16.json",
        "tokenizer/merges.txt",
    }
    assert wanted_files(["config.json", "model.safetensors", "lora.safetensors"]) == {
        "config.json",
        "model.safetensors",
        "lora.safetensors",
    }
