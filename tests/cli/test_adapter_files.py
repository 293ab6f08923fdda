"""LoRA files that cannot be used: what a user is told, before anything is loaded where the header tells."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.cli.commands import Command
from tests.models.tiny_manager import SD, SDXL, tiny_root

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
CROSS = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"


def lora(name: str, width: int = 32, value: float = 0.1, out: int = 32) -> dict[str, Any]:
    """A LoRA for one layer."""
    return {
        f"unet.{name}.lora_A.weight": np.full((2, width), value, np.float32),
        f"unet.{name}.lora_B.weight": np.full((out, 2), 0.1, np.float32),
    }


@pytest.fixture
def loras(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of LoRA files, beside tiny models."""
    folder = home / "models" / "loras"
    folder.mkdir()
    monkeypatch.setenv("GRAPHFLOW_MODELS", os.pathsep.join([str(home / "models"), str(tiny_root())]))
    save_file(lora(QUERY), folder / "good.safetensors")
    save_file(lora(CROSS, 2048, out=640), folder / "sdxl.safetensors")
    save_file(lora(CROSS, 768, out=320), folder / "sd.safetensors")
    save_file(lora(QUERY, value=float("nan")), folder / "nan.safetensors")
    save_file(lora(QUERY, 48, out=48), folder / "narrow.safetensors")
    save_file(lora("down_blocks.7.conv"), folder / "elsewhere.safetensors")
    save_file({"x.oft_blocks": np.zeros((2, 2), np.float32)}, folder / "oft.safetensors")
    (folder / "torn.safetensors").write_bytes((folder / "good.safetensors").read_bytes()[:-9])
    (folder / "text.safetensors").write_text("this is no model", "utf-8")
    return folder


def document(name: str, checkpoint: str = SD) -> Path:
    """A workflow that makes a picture with a LoRA."""
    nodes: dict[str, Any] = {
        "checkpoint": {"type": "load_checkpoint", "params": {"model": checkpoint}},
        "style": {"type": "apply_lora", "params": {"lora": name}, "links": {"model": "checkpoint.model"}},
        "text": {
            "type": "encode_prompt",
            "params": {"text": "a"},
            "links": {"text_encoder": "checkpoint.text_encoder"},
        },
        "latent": {"type": "empty_latent", "params": {"width": 64, "height": 64}},
        "sample": {
            "type": "sample",
            "params": {"steps": 1, "guidance_scale": 1.0},
            "links": {"model": "style.model", "positive": "text", "latent": "latent"},
        },
    }
    path = Path("adapted.json")
    path.write_text(json.dumps({"graphflow": 2, "nodes": nodes, "outputs": {"latent": "sample"}}), "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "checkpoint", "place", "words"),
    [
        ("gone", SD, "nodes.style.params.lora", "there is no lora of this name"),
        ("god", SD, "nodes.style.params.lora", "good"),
        ("torn", SD, "nodes.style.params.lora", "torn.safetensors: the file is incomplete: 783 bytes of 792"),
        ("text", SD, "nodes.style.params.lora", "not a safetensors file"),
        (
            "sdxl",
            SD,
            "nodes.style.params.lora",
            "'sdxl' is a LoRA for the family sdxl, and 'tiny-sd' is a sd model",
        ),
        (
            "sd",
            SDXL,
            "nodes.style.params.lora",
            "'sd' is a LoRA for the family sd, and 'tiny-sdxl' is a sdxl model",
        ),
    ],
)
@pytest.mark.parametrize("command", ["plan", "run"])
def test_planning_refuses_what_the_header_tells(
    graphflow: Command, loras: Path, command: str, name: str, checkpoint: str, place: str, words: str
) -> None:
    ran = graphflow(command, document(name, checkpoint))
    assert ran.code == 2
    assert place in ran.err
    assert words in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nan", f"its tensor unet.{QUERY}.lora_A.weight holds NaN or infinite numbers"),
        ("narrow", f"its layer unet.{QUERY} has the shape [48, 48], the model's [32, 32]"),
        ("elsewhere", "none of its 1 layers for the unet fits this model (unet.down_blocks.7.conv)"),
        ("oft", "is a OFT file"),
    ],
)
def test_merging_refuses_the_rest(graphflow: Command, loras: Path, name: str, words: str) -> None:
    ran = graphflow("run", document(name), "--safety", "auto")
    assert ran.code == 2
    assert f"{name}: {words}" in ran.err
    assert "Traceback" not in ran.err


def test_a_good_one_runs(graphflow: Command, loras: Path) -> None:
    assert graphflow("run", document("good"), "--safety", "auto").code == 0


def test_the_family_is_followed_through_switches_and_chains(graphflow: Command, loras: Path) -> None:
    path = document("good")
    nodes: dict[str, Any] = json.loads(path.read_text("utf-8"))["nodes"]
    nodes["other"] = {"type": "load_checkpoint", "params": {"model": SDXL}}
    nodes["choice"] = {
        "type": "switch",
        "params": {"select": True},
        "links": {"on_true": "checkpoint.model", "on_false": "other.model"},
    }
    nodes["more"] = {"type": "freeu", "links": {"model": "choice"}}
    nodes["style"]["links"]["model"] = "more"
    nodes["style"]["params"]["lora"] = "sdxl"
    check: Callable[[], Any] = lambda: graphflow("plan", path)  # noqa: E731
    path.write_text(json.dumps({"graphflow": 2, "nodes": nodes, "outputs": {"latent": "sample"}}), "utf-8")
    refused = check()
    assert refused.code == 2 and "'tiny-sd' is a sd model" in refused.err
    nodes["choice"]["params"]["select"] = False
    path.write_text(json.dumps({"graphflow": 2, "nodes": nodes, "outputs": {"latent": "sample"}}), "utf-8")
    assert "'tiny-sd' is a sd model" not in check().err
