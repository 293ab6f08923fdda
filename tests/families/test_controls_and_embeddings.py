"""ControlNets and textual inversion on tiny models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from graphflow.values import Conditioning, ConditioningEntry, Control, ControlNet, EmbeddingPatch
from tests.closeness import assert_close
from tests.models.tiny import sd_parts
from tests.models.tiny_manager import SD, SDXL, error, make_manager, model, running, text_encoder


@pytest.fixture(scope="module")
def plain() -> tuple[Any, Any]:
    """A tiny UNet and a ControlNet for it, which has learned something."""
    from diffusers import ControlNetModel

    unet = sd_parts()["unet"]
    net = ControlNetModel.from_unet(unet, conditioning_channels=3)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in net.parameters():
            if not tensor.any():
                tensor.normal_(std=0.2, generator=generator)
    return unet, net.eval()


def test_a_controlnet_steers_as_in_diffusers(tmp_path: Path, plain: tuple[Any, Any]) -> None:
    unet, net = plain
    net.save_pretrained(tmp_path / "controlnet" / "net")
    generator = torch.Generator().manual_seed(6)
    x, text = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(1, 77, 32, generator=generator)
    hint = torch.rand(1, 3, 64, 64, generator=generator)
    time = torch.tensor([400, 400])
    with torch.no_grad():
        down, mid = net(x, 400, text.expand(2, -1, -1), hint.expand(2, -1, -1, -1), 0.7, return_dict=False)
        twice = [2 * item for item in down], 2 * mid
        expected = [
            unet(
                x, 400, text.expand(2, -1, -1), down_block_additional_residuals=d, mid_block_additional_residual=m
            ).sample
            for d, m in ((down, mid), twice)
        ]
    manager = make_manager(tmp_path)
    with running(manager):
        control = Control(
            net=ControlNet(files=(manager.find("net", "controlnet", part="controlnet"),)), hint=hint, strength=0.7
        )
        entry = ConditioningEntry(embedding=text)
        with model(manager, SD).use() as loaded:
            free = loaded.predict(x, time, [entry], sigma=torch.tensor(1.0))
            for count, wanted in ((1, expected[0]), (2, expected[1])):
                steered = replace(entry, controls=(control,) * count)
                found = loaded.predict(x, time, [steered], sigma=torch.tensor(1.0))
                assert error(found, wanted) < 1e-5
                assert error(found, free) > 1e-2


def embedding(folder: Path, name: str, tensors: dict[str, Tensor]) -> None:
    (folder / "embeddings").mkdir(exist_ok=True)
    save_file(tensors, folder / "embeddings" / f"{name}.safetensors")


def encoded(manager: Any, text: str, name: str = SD, *patches: Any) -> Tensor:
    with text_encoder(manager, name).patched(*patches).use() as encoder:
        found: Conditioning = encoder.encode(text)
        return found.entries[0].embedding


def test_an_embedding_stands_for_its_vectors(tmp_path: Path) -> None:
    with running(make_manager()) as told:
        manager = make_manager(tmp_path)
        table = sd_parts()["text_encoder"].state_dict()
        words = next(tensor for key, tensor in table.items() if key.endswith("token_embedding.weight"))
    embedding(tmp_path, "fox", {"emb_params": words[[736, 3240]].clone()})  # "red", "fox"
    with running(manager) as told:
        assert_close(encoded(manager, "a embedding:fox, snow"), encoded(manager, "a red fox, snow"))
        patch = EmbeddingPatch(file=manager.find("fox", "embedding", part=""), token="<fox>")
        assert_close(encoded(manager, "a <fox>, snow", SD, patch), encoded(manager, "a red fox, snow"))
        assert not told.notices
        weighted = encoded(manager, "a (embedding:fox:1.5), snow")
        assert_close(weighted, encoded(manager, "a (red fox:1.5), snow"))


def test_an_embedding_that_is_missing_or_does_not_fit_is_named(tmp_path: Path) -> None:
    embedding(tmp_path, "wide", {"emb_params": torch.zeros(1, 768)})
    manager = make_manager(tmp_path)
    with running(manager) as told:
        without = encoded(manager, "a fox")
        assert torch.equal(encoded(manager, "a embedding:gone fox"), without)
        assert torch.equal(encoded(manager, "a embedding:../secret fox"), without)
        assert torch.equal(encoded(manager, "a embedding:wide fox"), without)
    assert ["gone" in told.notices[0], "secret" in told.notices[1], "768" in told.notices[2]] == [True] * 3


def test_sdxl_embeddings_go_to_their_own_encoder(tmp_path: Path) -> None:
    embedding(tmp_path, "both", {"clip_l": torch.full((1, 32), 3.0), "clip_g": torch.full((1, 32), -3.0)})
    manager = make_manager(tmp_path)
    with running(manager) as told, text_encoder(manager, SDXL).use() as encoder:
        for one, name, sign in zip(encoder.encoders, ("text_encoder", "text_encoder_2"), (3.0, -3.0), strict=True):
            vectors = encoder._vectors("both", one)
            assert one.name == name
            assert vectors is not None and torch.equal(vectors, torch.full((1, 32), sign))
    assert not told.notices
