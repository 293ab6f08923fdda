"""LoRA folders as PEFT saves them: found by the folder's name, with the scales of their configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from graphflow.errors import ModelFormatError
from graphflow.loading.lora import read_lora
from graphflow.modelfiles.peft_folder import lora_metadata
from graphflow.values import LoraPatch
from tests.closeness import close
from tests.models.tiny import sd_parts
from tests.models.tiny_manager import SD, make_manager, model, running, text_encoder

LAYERS = ("attn1.to_q", "attn2.to_v", "conv1", "ff.net.2")


def save(folder: Path, *, part: str = "unet", targets: Any = LAYERS, method: str = "LORA", **more: Any) -> Any:
    """Let PEFT put a random adapter on a part, save it, and merge it; returns the merged module."""
    from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model

    kinds: dict[str, Any] = {"LORA": LoraConfig, "LOHA": LoHaConfig, "LOKR": LoKrConfig}
    config = kinds[method](target_modules=[*targets], **more)
    adapted: Any = get_peft_model(sd_parts()[part], config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, tensor in adapted.named_parameters():
            if any(mark in name for mark in ("lora_", "hada_", "lokr_")):
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
    adapted.save_pretrained(folder)
    return adapted.merge_and_unload()


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("LORA", {"r": 4, "lora_alpha": 8}),
        ("LORA", {"r": 4, "lora_alpha": 8, "rank_pattern": {"to_q": 2}, "alpha_pattern": {"to_q": 6, "conv1": 1}}),
        ("LORA", {"r": 4, "lora_alpha": 8, "alpha_pattern": {r"down_blocks\..*attn\d\.to_[qv]": 3}}),
        ("LORA", {"r": 4, "lora_alpha": 8, "use_rslora": True}),
        ("LOHA", {"r": 4, "alpha": 6, "alpha_pattern": {"attn2.to_v": 2}}),
        ("LOKR", {"r": 2, "alpha": 6, "decompose_both": True}),
    ],
)
def test_merged_weights_equal_pefts(tmp_path: Path, method: str, options: dict[str, Any]) -> None:
    merged = save(tmp_path / "loras" / "style", method=method, **options).state_dict()
    manager = make_manager(tmp_path)
    with running(manager) as told:
        file = manager.find("style", "lora", part="")
        described = manager.library.describe("style", "lora")
        assert described.details["targets"] == ["unet"]
        assert method != "LORA" or not described.warnings
        with model(manager, SD).patched(LoraPatch(file=file, strength=1.0)).use() as loaded:
            found = {name: tensor.clone() for name, tensor in loaded.module.state_dict().items()}
        with model(manager, SD).use() as loaded:
            changed = [name for name, tensor in loaded.module.state_dict().items() if not close(tensor, found[name])]
    assert len(changed) > 8
    for name, tensor in merged.items():
        torch.testing.assert_close(found[name], tensor, atol=2e-5, rtol=1e-4, msg=name)
    assert not told.notices


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_an_adapter_of_a_text_encoder_goes_to_the_text_encoder(tmp_path: Path) -> None:
    folder = tmp_path / "loras" / "words"
    merged = save(folder, part="text_encoder", targets=("q_proj", "fc1"), r=4, lora_alpha=2).state_dict()
    manager = make_manager(tmp_path)
    with running(manager):
        file = manager.find("words", "lora", part="")
        assert manager.library.describe("words", "lora").details["targets"] == ["text_encoder"]
        with text_encoder(manager, SD).patched(LoraPatch(file=file, strength=1.0)).use() as loaded:
            (encoder,) = loaded.encoders
            found = encoder.module.state_dict()
    for name, tensor in merged.items():
        torch.testing.assert_close(found[name], tensor, atol=2e-5, rtol=1e-4, msg=name)


def test_another_scale_is_another_file(tmp_path: Path) -> None:
    folder = tmp_path / "loras" / "style"
    save(folder, r=4, lora_alpha=8)
    manager = make_manager(tmp_path)
    first = manager.find("style", "lora", part="").fingerprint
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    (folder / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 16}), "utf-8")
    assert manager.find("style", "lora", part="").fingerprint != first
    named = manager.find("style/adapter_model.safetensors", "lora", part="")
    assert named.fingerprint == manager.find("style", "lora", part="").fingerprint


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"peft_type": "VERA"}, "'VERA'"),
        ({"peft_type": "LORA", "lora_alpha": 8, "alpha_pattern": {"(": 1}}, "cannot be used"),
    ],
)
def test_what_cannot_be_merged_is_refused(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    save(tmp_path, r=4, lora_alpha=8)
    (tmp_path / "adapter_config.json").write_text(json.dumps(fields), "utf-8")
    path = tmp_path / "adapter_model.safetensors"
    with pytest.raises(ModelFormatError, match=words):
        read_lora(load_file(path), path.name, lora_metadata(path))
