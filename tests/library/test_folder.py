from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graphflow.errors import ModelFormatError
from graphflow.library.library import Library
from tests.models.weight_shapes import UNETS, clip, ldm_unet, ldm_vae, write_header

UNET = {**UNETS["sd1"], "widths": (32, 64), "depths": (1, 1), "layers": 1}
CONFIGS: dict[str, dict[str, Any]] = {
    "unet": {"_class_name": "UNet2DConditionModel", "in_channels": 4, "cross_attention_dim": 768, "norm_num_groups": 8},
    "vae": {"_class_name": "AutoencoderKL", "scaling_factor": 0.3, "latent_channels": 4},
    "text_encoder": {"architectures": ["CLIPTextModel"], "hidden_size": 768},
    "scheduler": {"_class_name": "DDIMScheduler", "prediction_type": "v_prediction", "beta_start": 0.001},
    "tokenizer": {"model_max_length": 32, "pad_token": {"content": "!"}, "bos_token": "<s>"},
}
SHAPES = {"unet": ldm_unet(**UNET), "vae": ldm_vae(widths=(32, 64)), "text_encoder": clip(64, 1)}
CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}


def pipeline(folder: Path, class_name: str = "StableDiffusionPipeline") -> Path:
    index: dict[str, Any] = {
        "_class_name": class_name,
        "safety_checker": [None, None],
        "requires_safety_checker": False,
    }
    index |= {name: ["diffusers", value] for name, value in CLASSES.items()}
    index |= {"scheduler": ["diffusers", "DDIMScheduler"], "tokenizer": ["transformers", "CLIPTokenizer"]}
    files = {"scheduler": "scheduler_config.json", "tokenizer": "tokenizer_config.json"}
    for name, config in CONFIGS.items():
        (folder / name).mkdir(parents=True)
        (folder / name / files.get(name, "config.json")).write_text(json.dumps(config), "utf-8")
    for name, shapes in SHAPES.items():
        stem = "model" if name == "text_encoder" else "diffusion_pytorch_model"
        write_header(folder / name / f"{stem}.safetensors", shapes, dtype="F32")
    (folder / "tokenizer/vocab.json").write_text("{}", "utf-8")
    (folder / "model_index.json").write_text(json.dumps(index), "utf-8")
    return folder


def test_a_pipeline_folder(root: Path, library: Library) -> None:
    folder = pipeline(root / "checkpoints/mine")
    found = library.describe("mine", "checkpoint")
    assert (found.kind, found.layout, found.family, found.variant) == ("checkpoint", "diffusers", "sd", "sd1")
    assert set(found.parts) == {"unet", "vae", "text_encoder"}
    assert found.parts["unet"].config == {"in_channels": 4, "cross_attention_dim": 768, "norm_num_groups": 8}
    assert (found.parts["unet"].folder, found.parts["unet"].tensors) == ("unet", len(SHAPES["unet"]))
    assert found.scheduler == {
        "_class_name": "DDIMScheduler", "prediction_type": "v_prediction", "beta_start": 0.001,
        "rescale_betas_zero_snr": False,
    }  # fmt: skip
    (spec,) = found.tokenizers
    assert (spec.part, spec.source, spec.path) == ("text_encoder", "folder", folder / "tokenizer")
    assert spec.config == {"model_max_length": 32, "pad_token": "!", "bos_token": "<s>"}
    guess = found.guess("scheduler.prediction_type")
    assert guess is not None
    assert (guess.source, guess.certain) == ("config", True)
    assert set(found.bytes_by_dtype) == {"F32"}


def test_parameters_and_sidecar_come_before_the_config(root: Path, library: Library) -> None:
    pipeline(root / "mine")
    (root / "mine.json").write_text(json.dumps({"prediction_type": "epsilon", "scaling_factor": 0.7}), "utf-8")
    found = library.describe("mine", "checkpoint", overrides={"scaling_factor": 0.9})
    assert (found.scheduler["prediction_type"], found.parts["vae"].config["scaling_factor"]) == ("epsilon", 0.9)
    guess = found.guess("scheduler.prediction_type")
    assert guess is not None
    assert guess.source == "sidecar"


def test_a_folder_stands_anywhere_and_its_inner_files_do_not_count(root: Path, library: Library) -> None:
    pipeline(root / "diffusers/deep/er/mine")
    assert library.describe("deep/er/mine", "checkpoint").kind == "checkpoint"
    assert [entry.name for entry in library.entries() if not entry.root.only] == ["deep/er/mine"]


def test_the_half_precision_set_is_preferred(root: Path, library: Library) -> None:
    folder = pipeline(root / "mine")
    write_header(folder / "unet/diffusion_pytorch_model.fp16.safetensors", SHAPES["unet"])
    half = library.describe("mine").parts["unet"]
    assert [file.name for file in half.files] == ["diffusion_pytorch_model.fp16.safetensors"]
    whole = library.describe("mine", overrides={"weights_variant": ""}).parts["unet"]
    assert [file.name for file in whole.files] == ["diffusion_pytorch_model.safetensors"]
    with pytest.raises(ModelFormatError, match=r"no 'bf16' set of weights.*there are"):
        library.describe("mine", overrides={"weights_variant": "bf16"})
    with pytest.raises(ModelFormatError, match="weights_variant must be"):
        library.describe("mine", overrides={"weights_variant": "../x"})


@pytest.mark.parametrize(
    "index", ["diffusion_pytorch_model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.fp16.json"]
)
def test_sharded_parts(root: Path, library: Library, index: str) -> None:
    folder = pipeline(root / "mine") / "unet"
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    items = list(SHAPES["unet"].items())
    names = [f"diffusion_pytorch_model-{number:05}-of-00002.safetensors" for number in (1, 2)]
    halves = (dict(items[:20]), dict(items[20:]))
    for name, half in zip(names, halves, strict=True):
        write_header(folder / name, half)
    weight_map = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    (folder / index).write_text(json.dumps({"weight_map": weight_map}), "utf-8")
    part = library.describe("mine").parts["unet"]
    assert ([file.name for file in part.files], part.tensors) == (names, len(items))


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("unet/config.json", '{"_class_name": "UNet2DConditionModel", "norm_num_groups": 4}'),
        ("scheduler/scheduler_config.json", '{"prediction_type": "epsilon"}'),
        ("tokenizer/vocab.json", '{"a": 1}'),
    ],
)
def test_every_file_that_is_loaded_counts(
    root: Path, make_library: Callable[..., Library], path: str, content: str
) -> None:
    folder = pipeline(root / "mine")
    before = make_library().describe("mine").fingerprint
    (folder / "README.md").write_text("does not count", "utf-8")
    assert make_library().describe("mine").fingerprint == before
    (folder / path).write_text(content, "utf-8")
    assert make_library().describe("mine").fingerprint != before


@pytest.mark.parametrize(
    ("kind", "folder", "config", "shapes"),
    [
        ("vae", "vae/mine", CONFIGS["vae"], SHAPES["vae"]),
        ("diffusion_model", "unet/mine", CONFIGS["unet"], SHAPES["unet"]),
        ("text_encoder", "clip/mine", CONFIGS["text_encoder"], SHAPES["text_encoder"]),
        ("controlnet", "controlnet/mine", {"_class_name": "ControlNetModel", "cross_attention_dim": 768}, {"a": (1,)}),
        ("safety_checker", "safety_checkers/mine", {"architectures": ["StableDiffusionSafetyChecker"]}, {"a": (1,)}),
    ],
)
def test_component_folders(
    root: Path, library: Library, kind: Any, folder: str, config: dict[str, Any], shapes: dict[str, Any]
) -> None:
    write_header(root / folder / "model.safetensors", shapes)
    (root / folder / "config.json").write_text(json.dumps(config), "utf-8")
    found = library.describe("mine", kind)
    (part,) = found.parts.values()
    assert (found.kind, part.folder) == (kind, "")
    assert not any(key.startswith("_") for key in part.config)


def test_pickle_weights_in_a_folder_are_refused(root: Path, library: Library) -> None:
    folder = pipeline(root / "mine")
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet/diffusion_pytorch_model.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelFormatError, match="graphflow models convert mine"):
        library.describe("mine")
    assert library.describe("mine", allow_pickle=True).needs_conversion


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "unet/diffusion_pytorch_model.safetensors").unlink(), "unet: has no weights"),
        (lambda folder: (folder / "unet").rename(folder / "other"), "lacks its component 'unet'"),
        (lambda folder: (folder / "vae/config.json").write_text("{", "utf-8"), "vae/config.json: is not valid JSON"),
        (lambda folder: (folder / "scheduler/scheduler_config.json").unlink(), "scheduler_config.json: cannot be read"),
        (
            lambda folder: (folder / "model_index.json").write_text('{"../x": ["a", "b"]}', "utf-8"),
            "component named '../x'",
        ),
        (lambda folder: (folder / "model_index.json").write_text("[]", "utf-8"), "no.* JSON object"),
    ],
)
def test_damaged_folders(root: Path, library: Library, damage: Callable[[Path], object], message: str) -> None:
    damage(pipeline(root / "mine"))
    with pytest.raises(ModelFormatError, match=message):
        library.describe("mine")


def test_sdxl_by_its_pipeline(root: Path, library: Library) -> None:
    pipeline(root / "mine", "StableDiffusionXLPipeline")
    found = library.describe("mine")
    assert (found.family, found.variant) == ("sdxl", "sdxl")
