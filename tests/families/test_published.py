from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphflow.families.latent_diffusion.published import config_folder
from graphflow.library.describe import describe_file
from graphflow.modelfiles.description import Description
from tests.models.weight_shapes import checkpoint, write_header


def describe(tmp_path: Path, variant: str, overrides: dict[str, Any] | None = None, **changes: Any) -> Description:
    path = write_header(tmp_path / "m.safetensors", checkpoint(variant, **changes))
    return describe_file("m", path, overrides=overrides)


def read(path: Path) -> dict[str, Any]:
    raw = json.loads(path.read_text("utf-8"))
    return {key: value for key, value in raw.items() if not key.startswith("_")}


@pytest.mark.parametrize(
    ("variant", "overrides", "folder"),
    [
        ("sd1", {}, "sd1"),
        ("sd2", {}, "sd2"),
        ("sd2", {"prediction_type": "epsilon", "unet": {"sample_size": 64}}, "sd2-base"),
        ("sdxl", {}, "sdxl"),
        ("sdxl_refiner", {}, "sdxl-refiner"),
    ],
)
def test_what_is_read_from_shapes_is_what_was_published(
    tmp_path: Path, variant: str, overrides: dict[str, Any], folder: str
) -> None:
    found = describe(tmp_path, variant, overrides)
    published = config_folder(found)
    assert published is not None
    assert published.name == folder
    assert found.parts["unet"].config == read(published / "unet/config.json")
    vae = read(published / "vae/config.json")
    assert {key: found.parts["vae"].config[key] for key in vae} == vae
    assert {key: value for key, value in found.scheduler.items() if key != "_class_name"} == read(
        published / "scheduler/scheduler_config.json"
    )
    index = read(published / "model_index.json")
    encoders = [name for name in ("text_encoder", "text_encoder_2") if index.get(name, [None, None])[1]]
    assert [name for name in found.parts if name.startswith("text")] == encoders
    for name, spec in zip(encoders, found.tokenizers, strict=True):
        text = read(published / name / "config.json")
        assert text.pop("architectures") == [found.parts[name].class_name] == [index[name][1]]
        text.pop("model_type")
        assert found.parts[name].config == text
        tokenizer = read(published / name.replace("text_encoder", "tokenizer") / "tokenizer_config.json")
        assert {key: tokenizer[key] for key in spec.config} == spec.config


def test_pruned_and_inpainting_models_have_no_published_config(tmp_path: Path) -> None:
    assert config_folder(describe(tmp_path, "sd1", layers=1)) is None
    assert config_folder(describe(tmp_path, "sd1", channels=9)) is None
