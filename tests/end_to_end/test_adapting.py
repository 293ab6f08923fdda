"""Workflows with LoRAs, merges, hooks and saved models on the shapes model, through the engine as users run them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from graphflow import Workflow, events, workflows
from graphflow.library.library import Library
from graphflow.loading.manager import ModelManager
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.registry import Registry
from graphflow.values import Latent
from tests.closeness import assert_close
from tests.conftest import NoModels

PARTS = {"model": "checkpoint.model", "text_encoder": "checkpoint.text_encoder"}


@pytest.fixture(scope="module")
def adapted(settings: Settings, known: Registry, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with a folder of random LoRAs for the shapes model."""
    root = tmp_path_factory.mktemp("models")
    (root / "loras").mkdir()
    described = Library(settings).describe("shapes", "checkpoint")
    width = described.parts["unet"].config["cross_attention_dim"]
    text = described.parts["text_encoder"].config["hidden_size"]
    assert isinstance(width, int) and isinstance(text, int)
    layer = _cross_attention(shapes)
    for number, name in enumerate(("one", "two")):
        generator = torch.Generator().manual_seed(number)

        def draw(*shape: int, generator: torch.Generator = generator) -> torch.Tensor:
            return torch.randn(shape, generator=generator) * 0.3

        save_file(
            {
                f"unet.{layer[0]}.lora_A.weight": draw(4, width),
                f"unet.{layer[0]}.lora_B.weight": draw(layer[1], 4),
                "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight": draw(4, text),
                "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_B.weight": draw(_inner(described), 4),
            },
            root / "loras" / f"{name}.safetensors",
        )
    return Settings.model_validate({**settings.model_dump(), "models": (root,)})


def _cross_attention(shapes: Path) -> tuple[str, int]:
    """Name and output width of a layer that reads the text."""
    from safetensors import safe_open

    path = next((shapes / "unet").glob("*.safetensors"))
    with safe_open(path, framework="pt") as file:
        key = next(key for key in file.keys() if key.endswith("attn2.to_k.weight"))  # noqa: SIM118 - no mapping
        return key.removesuffix(".weight"), file.get_slice(key).get_shape()[0]


def _inner(described: Any) -> int:
    inner = described.parts["text_encoder"].config["intermediate_size"]
    assert isinstance(inner, int)
    return inner


def graph(between: dict[str, Any], model: str, text_encoder: str = "checkpoint.text_encoder") -> dict[str, Any]:
    """A picture in two steps, with nodes between the checkpoint and the sampler."""
    return {
        "graphflow": 2,
        "nodes": {
            "checkpoint": {"type": "load_checkpoint", "params": {"model": "shapes"}},
            **between,
            "text": {
                "type": "encode_prompt",
                "params": {"text": "a red circle on a blue background"},
                "links": {"text_encoder": text_encoder},
            },
            "empty": {"type": "encode_prompt", "params": {"text": ""}, "links": {"text_encoder": text_encoder}},
            "latent": {"type": "empty_latent", "params": {"width": 64, "height": 64}},
            "sample": {
                "type": "sample",
                "params": {"steps": 2, "guidance_scale": 4.0, "seed": 3},
                "links": {"model": model, "positive": "text", "negative": "empty", "latent": "latent"},
            },
        },
        "outputs": {"latent": "sample"},
    }


def lora(name: str, strength: float, above: str = "checkpoint") -> dict[str, Any]:
    return {
        "type": "apply_lora",
        "params": {"lora": name, "strength": strength, "text_encoder_strength": strength},
        "links": {"model": f"{above}.model", "text_encoder": f"{above}.text_encoder"},
    }


def node(type: str, links: dict[str, str], **params: Any) -> dict[str, Any]:
    return {"type": type, "params": params, "links": links}


def latent_of(session: Session, document: dict[str, Any]) -> torch.Tensor:
    (value,) = session.run(Workflow.from_json(document)).values.values()
    assert isinstance(value, Latent)
    return value.samples


@pytest.fixture(scope="module")
def adapted_session(adapted: Settings, known: Registry) -> Session:
    return Session(adapted, known=known)


def test_stacked_loras_add_up_in_any_order(adapted_session: Session) -> None:
    plain = latent_of(adapted_session, graph({}, "checkpoint.model"))
    stacks = []
    for first, second in (("one", "two"), ("two", "one")):
        between = {"first": lora(first, 0.8), "second": lora(second, 0.8, above="first")}
        stacks.append(latent_of(adapted_session, graph(between, "second.model", "second.text_encoder")))
    off = {"first": lora("one", 0.0)}
    torch.testing.assert_close(stacks[0], stacks[1], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(stacks[0], plain, atol=1e-2)
    assert_close(latent_of(adapted_session, graph(off, "first.model", "first.text_encoder")), plain)


def test_a_lora_is_the_same_on_the_model_and_on_its_conditioning(adapted_session: Session) -> None:
    whole = graph({"style": lora("one", 0.8)}, "style.model", "style.text_encoder")
    encoder = node("apply_text_encoder_lora", {"text_encoder": "checkpoint.text_encoder"}, lora="one", strength=0.8)
    parts = graph({"encoder": encoder}, "checkpoint.model", "encoder")
    for name, told in (("positive", "text"), ("negative", "empty")):
        parts["nodes"][name] = node("add_conditioning_lora", {"conditioning": told}, lora="one", strength=0.8)
        parts["nodes"]["sample"]["links"][name] = name
    assert_close(latent_of(adapted_session, parts), latent_of(adapted_session, whole))


def test_the_packaged_lora_empties_the_shapes(session: Session, tmp_path: Path) -> None:
    centres = []
    for strength in (0.0, 0.6):
        path = workflows.path("lora_stack")
        inputs = {"strength": strength, "second_strength": strength * 2 / 3}
        (saved,) = session.run(Workflow.load(path), inputs, out=tmp_path, folder=path.parent).paths
        with Image.open(saved) as picture:
            centres.append(picture.convert("RGB").getpixel((64, 64)))
    (red, _, blue), (red_outlined, _, blue_outlined) = centres
    assert red > blue
    assert blue_outlined > red_outlined


def test_every_node_that_changes_a_model_runs(adapted_session: Session, adapted: Settings, known: Registry) -> None:
    between = {
        "style": lora("one", 0.5),
        "mixed": node("merge_models", {"model": "checkpoint.model", "other": "style.model"}, ratio=0.3),
        "difference": node("subtract_models", {"model": "style.model", "other": "checkpoint.model"}, multiplier=0.5),
        "sum": node("add_models", {"model": "mixed", "other": "difference"}),
        "blocks": node(
            "merge_model_blocks", {"model": "sum", "other": "style.model"}, middle_ratio=0.5, blocks={"out.": 0.1}
        ),
        "scaled": node("scale_attention", {"model": "blocks"}, attention="self", q=1.1),
        "freeu": node("freeu", {"model": "scaled"}, b1=1.1, b2=1.1),
        "perturbed": node("perturbed_attention_guidance", {"model": "freeu"}, scale=0.5),
        "skipped": node("skip_layer_guidance", {"model": "perturbed"}, layers="mid_block, up_blocks.1", end=1.0),
        "attended": node("self_attention_guidance", {"model": "skipped"}, scale=0.3),
        "shrink": node("deep_shrink", {"model": "attended"}, block=2),
        "tiles": node("hypertile", {"model": "shrink"}, tile_size=32),
        "tokens": node("merge_tokens", {"model": "tiles"}, ratio=0.3),
        "mixed_text": node(
            "merge_text_encoders", {"text_encoder": PARTS["text_encoder"], "other": "style.text_encoder"}, ratio=0.5
        ),
        "text_difference": node(
            "subtract_text_encoders", {"text_encoder": "style.text_encoder", "other": PARTS["text_encoder"]}
        ),
        "text_sum": node("add_text_encoders", {"text_encoder": "mixed_text", "other": "text_difference"}),
        "scaled_text": node("scale_text_attention", {"text_encoder": "text_sum"}, v=0.9),
    }
    document = graph(between, "tokens", "scaled_text")
    found = latent_of(adapted_session, document)
    assert torch.isfinite(found).all()
    # A new process finds the result by its key: the recipes of all these nodes are the same again.
    fresh = Session(adapted, known=known, models=NoModels())
    assert torch.equal(latent_of(fresh, document), found)


def test_another_strength_loads_no_text_encoder_and_no_base(adapted_session: Session) -> None:
    first = graph({"style": lora("one", 0.5)}, "style.model")
    latent_of(adapted_session, first)
    manager = adapted_session.models
    assert isinstance(manager, ModelManager)
    before = manager.loaded()
    started: list[str] = []
    second = graph({"style": lora("one", 0.6)}, "style.model")
    adapted_session.run(
        Workflow.from_json(second),
        sink=lambda event: started.append(event.node) if isinstance(event, events.NodeStarted) else None,
    )
    assert "text" not in started and "sample" in started
    assert sorted(manager.loaded()) == sorted(before), "the module that was there has been patched anew"


def test_a_list_of_strengths_makes_a_picture_each(adapted_session: Session) -> None:
    between = {
        "strengths": node("int_range", {}, count=2),
        "style": node("apply_lora", {"model": "checkpoint.model", "strength": "strengths"}, lora="one"),
    }
    (found,) = adapted_session.run(Workflow.from_json(graph(between, "style.model"))).values.values()
    plain = latent_of(adapted_session, graph({}, "checkpoint.model"))
    single = latent_of(
        adapted_session,
        graph({"style": node("apply_lora", {"model": "checkpoint.model"}, lora="one")}, "style.model"),
    )
    assert_close(found[0].samples, plain)
    assert_close(found[1].samples, single)


def test_a_saved_checkpoint_is_a_model_like_any_other(
    adapted_session: Session, adapted: Settings, known: Registry, tmp_path: Path
) -> None:
    between = {
        "style": lora("one", 0.5),
        "difference": node("subtract_models", {"model": "style.model", "other": "checkpoint.model"}),
        "checkpoint_file": node(
            "save_checkpoint",
            {"model": "style.model", "text_encoder": "style.text_encoder", "vae": "checkpoint.vae"},
            filename_prefix="saved",
            dtype="float32",
        ),
        "model_file": node("save_model", {"model": "style.model"}),
        "text_file": node("save_text_encoder", {"text_encoder": "style.text_encoder"}),
        "vae_file": node("save_vae", {"vae": "checkpoint.vae"}),
        "lora_file": node("save_lora", {"model": "difference"}, rank=4),
    }
    document = graph(between, "style.model", "style.text_encoder")
    folder = tmp_path / "checkpoints"
    result = adapted_session.run(Workflow.from_json(document), out=folder)
    assert sorted(path.name for path in result.paths) == [
        "lora_00001.safetensors",
        "model_00001.safetensors",
        "saved_00001.safetensors",
        "text_encoder_00001.safetensors",
        "vae_00001.safetensors",
    ]
    wanted = latent_of(adapted_session, document)
    other = Session(Settings.model_validate({**adapted.model_dump(), "models": (tmp_path,)}), known=known)
    plain = graph({}, "checkpoint.model")
    plain["nodes"]["checkpoint"]["params"]["model"] = "saved_00001"
    torch.testing.assert_close(latent_of(other, plain), wanted, atol=1e-4, rtol=1e-4)
    again = adapted_session.run(Workflow.from_json(document), out=folder)
    assert {file.how for files in again.files.values() for file in files} == {"up to date"}
