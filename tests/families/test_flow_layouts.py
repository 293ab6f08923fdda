"""The same weights in the other layouts that people have them in draw what the recorded files drew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diffusers.loaders.single_file_utils import convert_z_image_transformer_checkpoint_to_diffusers
from safetensors.torch import load_file, save_file

from graphflow.library.describe import describe_file
from tests.families.lab import lab
from tests.families.recorded_flows import SAMPLING_BOUND, cases, make_session, run_prompt, write_models

pytestmark = pytest.mark.parity
CASE = cases("z_image")["pipeline/txt2img"]
TRANSFORMER, TEXT, VAE = "diffusion_models/z_image_tiny", "text_encoders/qwen_3_4b_tiny", "vae/ae_tiny"


def tensors(models: Path, name: str, prefix: str = "") -> dict[str, Any]:
    return {prefix + key: tensor for key, tensor in load_file(models / f"{name}.safetensors").items()}


def in_diffusers_names(models: Path) -> dict[str, Any]:
    converted = convert_z_image_transformer_checkpoint_to_diffusers(tensors(models, TRANSFORMER))
    return {key: tensor.contiguous() for key, tensor in converted.items()}


def whole_checkpoint(models: Path) -> dict[str, Any]:
    whole = tensors(models, TRANSFORMER, "model.diffusion_model.") | tensors(models, VAE, "vae.")
    whole |= tensors(models, TEXT, "text_encoders.qwen3_4b.transformer.")
    (models / "checkpoints").mkdir(exist_ok=True)
    save_file(whole, models / "checkpoints" / "whole.safetensors")
    return {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "whole.safetensors"}}


def renamed(models: Path) -> dict[str, Any]:
    save_file(in_diffusers_names(models), models / "diffusion_models" / "renamed.safetensors")
    return {"class_type": "UNETLoader", "inputs": {"unet_name": "renamed.safetensors"}}


def diffusers_folder(models: Path) -> dict[str, Any]:
    folder = models / "checkpoints" / "folder"
    parts = {
        "transformer": (TRANSFORMER, "diffusers", "ZImageTransformer2DModel", in_diffusers_names(models)),
        "text_encoder": (TEXT, "transformers", "Qwen3Model", tensors(models, TEXT)),
    }
    for part, (name, _, _, weights) in parts.items():
        (folder / part).mkdir(parents=True)
        config = describe_file(name, models / f"{name}.safetensors").parts[part].config
        (folder / part / "config.json").write_text(json.dumps(config), "utf-8")
        save_file(weights, folder / part / "model.safetensors")
    shutil.move(models / "tokenizers" / "qwen2", folder / "tokenizer")
    index = {part: [library, class_name] for part, (_, library, class_name, _) in parts.items()}
    index["tokenizer"] = ["transformers", "Qwen2Tokenizer"]
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "ZImagePipeline", **index}), "utf-8")
    return {"class_type": "DiffusersLoader", "inputs": {"model_path": "folder"}}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_models(CASE["prompt"], folder)
    return folder


@pytest.mark.parametrize("make", [whole_checkpoint, renamed, diffusers_folder])
def test_other_layouts_draw_the_same(make: Callable[[Path], dict[str, Any]], models: Path, tmp_path: Path) -> None:
    prompt = json.loads(json.dumps(CASE["prompt"]))
    loader = make(models)
    (transformer,) = (number for number, entry in prompt.items() if entry["class_type"] == "UNETLoader")
    prompt[transformer] = loader
    if loader["class_type"] != "UNETLoader":
        for entry in prompt.values():
            if entry["class_type"] == "CLIPTextEncode":
                entry["inputs"]["clip"] = [transformer, 1]
    with lab() as registry:
        session = make_session(registry, models, tmp_path / "cache")
        errors = run_prompt(session, "z_image", "pipeline/txt2img", prompt, CASE["taps"], models)
    assert max(errors.values()) <= SAMPLING_BOUND, errors
