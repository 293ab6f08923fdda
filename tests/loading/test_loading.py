"""Modules from files: layouts, names, and clear words where a file does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.library.library import Library
from graphflow.loading.mapped import MappedTensors
from graphflow.loading.modules import LoadedPart, build
from graphflow.modelfiles.description import Description, Part
from graphflow.settings import Settings
from tests.models.tiny_manager import (
    SD,
    SD_FILE,
    SDXL,
    SDXL_FILE,
    make_manager,
    model,
    running,
    text_encoder,
    tiny_root,
    vae,
)


def describe(name: str, *roots: Path) -> Description:
    return Library(Settings(models=(*roots, tiny_root()))).describe(name)


def tensors_of(part: Part) -> dict[str, Tensor]:
    mapped = MappedTensors(part, build(part).state_dict())
    return {name: mapped.read(name) for name in mapped.names}


def rewritten(
    folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], name: str = "changed"
) -> Description:
    """Describe the tiny single file with its tensors changed."""
    path = tiny_root() / "checkpoints" / f"{SD_FILE}.safetensors"
    config = {"text_encoder": {"num_attention_heads": 4}}
    tensors = {key: tensor.contiguous() for key, tensor in change(load_file(path)).items()}
    save_file(tensors, folder / f"{name}.safetensors", metadata={"graphflow.config": json.dumps(config)})
    return describe(name, folder)


@pytest.mark.parametrize(("folder", "file"), [(SD, SD_FILE), (SDXL, SDXL_FILE)])
def test_a_folder_and_a_single_file_hold_the_same_weights(folder: str, file: str) -> None:
    ours, theirs = describe(file), describe(folder)
    for name, part in ours.parts.items():
        expected = tensors_of(theirs.parts[name])
        found = tensors_of(part)
        assert found.keys() == expected.keys()
        for key, tensor in found.items():
            shape = expected[key].shape
            assert torch.equal(tensor.reshape(shape), expected[key]), key


@pytest.mark.parametrize("file", [SD_FILE, SDXL_FILE])
def test_original_names_mean_what_diffusers_says(file: str) -> None:
    from diffusers.loaders import single_file_utils

    description = describe(file)
    raw = load_file(description.files[0])
    unet, vae = description.parts["unet"], description.parts["vae"]
    for part, converted in (
        (unet, single_file_utils.convert_ldm_unet_checkpoint(dict(raw), unet.config)),
        (vae, single_file_utils.convert_ldm_vae_checkpoint(dict(raw), vae.config)),
    ):
        found = tensors_of(part)
        assert found.keys() == converted.keys()
        for key, tensor in found.items():
            assert torch.equal(tensor.reshape(converted[key].shape), converted[key]), key


def test_openclip_weights_are_split_as_diffusers_does_it() -> None:
    from diffusers.loaders import single_file_utils

    part = describe(SDXL_FILE).parts["text_encoder_2"]
    found = tensors_of(part)
    converted = single_file_utils.convert_open_clip_checkpoint(
        build(part), load_file(part.files[0]), prefix="conditioner.embedders.1.model."
    )
    converted = {key: tensor for key, tensor in converted.items() if key in found}
    assert found.keys() == converted.keys()
    assert all(torch.equal(tensor, converted[key]) for key, tensor in found.items())


def test_parts_in_files_of_their_own(tmp_path: Path) -> None:
    raw = load_file(tiny_root() / "checkpoints" / f"{SD_FILE}.safetensors")
    for stem, prefix in (("unet", "model.diffusion_model."), ("vae", "first_stage_model.")):
        own = {key.removeprefix(prefix): tensor for key, tensor in raw.items() if key.startswith(prefix)}
        save_file(own, tmp_path / f"only-{stem}.safetensors")
        part = describe(f"only-{stem}", tmp_path).parts[stem]
        expected = tensors_of(describe(SD_FILE).parts[stem])
        assert all(torch.equal(tensor, expected[key]) for key, tensor in tensors_of(part).items())


def test_a_vae_of_an_old_diffusers_is_read(tmp_path: Path) -> None:
    source = tiny_root() / SD / "vae"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(source / "diffusion_pytorch_model.safetensors")
    renamed = {}
    for key, tensor in tensors.items():
        for new, name in old.items():
            key = key.replace(f"attentions.0.{new}.", f"attentions.0.{name}.")
        renamed[key] = tensor
    assert renamed.keys() != tensors.keys()
    (tmp_path / "old").mkdir()
    save_file(renamed, tmp_path / "old" / "diffusion_pytorch_model.safetensors")
    (tmp_path / "old" / "config.json").write_text((source / "config.json").read_text("utf-8"), "utf-8")
    found = tensors_of(describe("old", tmp_path).parts["vae"])
    assert all(torch.equal(found[key], tensor) for key, tensor in tensors.items())


def test_weights_keep_the_files_dtype_until_they_compute(tmp_path: Path) -> None:
    half = rewritten(tmp_path, lambda raw: {key: tensor.half() for key, tensor in raw.items()})
    part = half.parts["unet"]
    assert MappedTensors(part, build(part).state_dict()).read("conv_in.weight").dtype == torch.float16
    loaded = LoadedPart(part, torch.float32)
    assert {tensor.dtype for tensor in loaded.module.state_dict().values()} == {torch.float32}
    assert loaded.bytes == 4 * sum(tensor.numel() for tensor in loaded.module.state_dict().values())


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    gone = "model.diffusion_model.middle_block.0.in_layers.0.weight"
    part = rewritten(tmp_path, lambda raw: {key: t for key, t in raw.items() if key != gone}).parts["unet"]
    with pytest.raises(
        ModelFormatError, match=r"unet does not fit UNet2DConditionModel.*lacks 1 .*mid_block.resnets.0.norm1.weight"
    ) as e:
        LoadedPart(part, torch.float32)
    assert e.value.advice


@pytest.mark.parametrize(
    ("part", "extra"),
    [
        ("unet", "model.diffusion_model.middle_block.0.surprise.weight"),
        ("unet", "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k_ip.weight"),
        ("vae", "first_stage_model.loss.discriminator.main.0.weight"),
        ("vae", "first_stage_model.model_ema.decoderconv_inweight.x"),
        ("text_encoder", "cond_stage_model.transformer.vision_model.encoder.layers.7.mlp.fc1.weight"),
    ],
)
def test_leftover_tensors_are_counted_once_and_change_nothing(tmp_path: Path, part: str, extra: str) -> None:
    extras = {extra: torch.zeros(3, 2), extra.replace("weight", "bias") + ".y": torch.zeros(3)}
    rewritten(tmp_path, lambda raw: {**raw, **extras})
    manager = make_manager(tmp_path)
    find = {"unet": model, "vae": vae, "text_encoder": text_encoder}[part]
    with running(manager) as told:
        recipe = find(manager, "changed")
        for _ in range(2):
            with recipe.use():
                pass
    (notice,) = told.notices
    assert "2 of its tensors" in notice and extra in notice and "left out" in notice
    ours, plain = (describe(name, tmp_path).parts[part] for name in ("changed", SD_FILE))
    assert ours.config == plain.config
    expected = tensors_of(plain)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in tensors_of(ours).items())


@pytest.mark.parametrize(
    ("bad", "dtype"),
    [(float("nan"), torch.float32), (float("-inf"), torch.float16), (float("nan"), torch.float8_e5m2)],
)
def test_numbers_that_are_none_are_named_with_their_tensor(tmp_path: Path, bad: float, dtype: torch.dtype) -> None:
    key = "first_stage_model.decoder.mid.block_1.conv1.weight"

    def broken(raw: dict[str, Tensor]) -> dict[str, Tensor]:
        raw[key].view(-1)[5] = bad
        return raw | {key: raw[key].to(dtype)}

    part = rewritten(tmp_path, broken).parts["vae"]
    with pytest.raises(ModelFormatError, match=rf"changed.safetensors: its tensor {key} holds NaN or infinite numbers"):
        LoadedPart(part, torch.float32)


def test_a_wrong_shape_is_named(tmp_path: Path) -> None:
    key = "first_stage_model.decoder.mid.block_1.norm1.weight"
    part = rewritten(tmp_path, lambda raw: {**raw, key: torch.zeros(7)}).parts["vae"]
    with pytest.raises(ModelFormatError, match=r"decoder.mid.block_1.norm1.weight has the shape \[7\]"):
        LoadedPart(part, torch.float32)


def test_constants_that_nobody_uses_are_passed_over(tmp_path: Path) -> None:
    spare = {
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
        "first_stage_model.loss.logvar": torch.zeros(()),
        "betas": torch.zeros(1000),
    }
    parts = rewritten(tmp_path, lambda raw: {**raw, **spare}).parts
    for part in parts.values():
        LoadedPart(part, torch.float32)
