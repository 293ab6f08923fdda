from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphflow.errors import ModelFormatError
from graphflow.library.describe import describe_file
from graphflow.modelfiles.description import Description
from tests.models.weight_shapes import UNETS, checkpoint, clip, ldm_unet, ldm_vae, openclip, prefixed, write_header


def describe(tmp_path: Path, shapes: dict[str, Any], name: str = "m", **options: Any) -> Description:
    written = {key: options.pop(key) for key in ("metadata", "dtype") if key in options}
    return describe_file(name, write_header(tmp_path / f"{name}.safetensors", shapes, **written), **options)


@pytest.mark.parametrize(
    ("variant", "family", "parts", "unet"),
    [
        (
            "sd1",
            "sd",
            ["text_encoder", "unet", "vae"],
            {
                "cross_attention_dim": 768,
                "attention_head_dim": 8,
                "block_out_channels": [320, 640, 1280, 1280],
                "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
                "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
                "use_linear_projection": False,
                "transformer_layers_per_block": 1,
                "sample_size": 64,
            },
        ),
        (
            "sd2",
            "sd",
            ["text_encoder", "unet", "vae"],
            {"cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True},
        ),
        (
            "sdxl",
            "sdxl",
            ["text_encoder", "text_encoder_2", "unet", "vae"],
            {
                "cross_attention_dim": 2048,
                "attention_head_dim": [5, 10, 20],
                "transformer_layers_per_block": [1, 2, 10],
                "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": 2816,
                "sample_size": 128,
            },
        ),
        (
            "sdxl_refiner",
            "sdxl",
            ["text_encoder_2", "unet", "vae"],
            {
                "cross_attention_dim": 1280,
                "attention_head_dim": [6, 12, 24, 24],
                "block_out_channels": [384, 768, 1536, 1536],
                "projection_class_embeddings_input_dim": 2560,
                "addition_time_embed_dim": 256,
            },
        ),
    ],
)
def test_published_checkpoints(
    tmp_path: Path, variant: str, family: str, parts: list[str], unet: dict[str, Any]
) -> None:
    found = describe(tmp_path, checkpoint(variant))
    assert (found.kind, found.layout, found.family, found.variant) == ("checkpoint", "original", family, variant)
    assert list(found.parts) == parts
    assert {key: found.parts["unet"].config[key] for key in unet} == unet
    assert found.parts["unet"].prefix == "model.diffusion_model."
    assert found.parts["vae"].config["scaling_factor"] == (0.13025 if family == "sdxl" else 0.18215)
    assert found.parts["vae"].config["block_out_channels"] == [128, 256, 512, 512]
    assert found.scheduler["prediction_type"] == ("v_prediction" if variant == "sd2" else "epsilon")
    assert sum(part.bytes for part in found.parts.values()) == found.bytes
    guess = found.guess("scheduler.prediction_type")
    assert guess is not None
    assert (guess.source, guess.certain) == ("default", False)


def test_text_encoders_of_checkpoints(tmp_path: Path) -> None:
    sdxl = describe(tmp_path, checkpoint("sdxl"))
    assert [(part.class_name, part.keys) for part in sdxl.parts.values()][:2] == [
        ("CLIPTextModel", "diffusers"),
        ("CLIPTextModelWithProjection", "openclip"),
    ]
    assert sdxl.parts["text_encoder"].config["hidden_act"] == "quick_gelu"
    assert sdxl.parts["text_encoder_2"].config == {
        "vocab_size": 49408, "hidden_size": 1280, "max_position_embeddings": 77, "intermediate_size": 5120,
        "num_hidden_layers": 32, "projection_dim": 1280, "num_attention_heads": 20, "hidden_act": "gelu",
        "layer_norm_eps": 1e-05, "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 0,
    }  # fmt: skip
    assert [item.config["pad_token"] for item in sdxl.tokenizers] == ["<|endoftext|>", "!"]
    assert all(item.source == "builtin" for item in sdxl.tokenizers)
    sd2 = describe(tmp_path, checkpoint("sd2"))
    assert sd2.parts["text_encoder"].config["num_hidden_layers"] == 23
    assert sd2.details["layers_left_out"] == 1


@pytest.mark.parametrize(
    ("variant", "channels", "task"),
    [("sd1", 9, "inpaint"), ("sdxl", 9, "inpaint"), ("sd1", 8, "edit"), ("sd2", 5, "depth")],
)
def test_tasks_by_input_channels(tmp_path: Path, variant: str, channels: int, task: str) -> None:
    found = describe(tmp_path, checkpoint(variant, channels=channels))
    assert (found.task, found.variant, found.parts["unet"].config["in_channels"]) == (task, variant, channels)


@pytest.mark.parametrize(
    ("variant", "changes", "expected"),
    [
        ("sd1", {"layers": 1}, {"layers_per_block": 1, "attention_head_dim": 8}),
        ("sd1", {"widths": (320, 320), "depths": (1, 1), "layers": 1}, {"block_out_channels": [320, 320]}),
        ("sd1", {"widths": (32, 64), "depths": (1, 1)}, {"block_out_channels": [32, 64], "norm_num_groups": 32}),
        ("sd1", {"widths": (24, 48), "depths": (1, 1)}, {"norm_num_groups": 8}),
        ("sd1", {"widths": (320, 640), "depths": (1, 1), "mid_depth": None}, {"mid_block_type": None}),
        ("sdxl", {"depths": (0, 2, 4), "mid_depth": 4}, {"transformer_layers_per_block": [1, 2, 4]}),
        ("sdxl", {"widths": (64, 128), "depths": (0, 3), "mid_depth": 3}, {"attention_head_dim": [1, 2]}),
        ("sd1", {"widths": (640, 1280, 2560), "depths": (1, 1, 1)}, {"block_out_channels": [640, 1280, 2560]}),
    ],
)
def test_pruned_tiny_and_enlarged_unets(
    tmp_path: Path, variant: str, changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = describe(tmp_path, checkpoint(variant, **changes))
    assert {key: found.parts["unet"].config[key] for key in expected} == expected
    assert found.variant == variant


def test_head_counts_are_certain_only_for_published_widths(tmp_path: Path) -> None:
    whole = describe(tmp_path, checkpoint("sd1")).guess("unet.attention_head_dim")
    tiny = describe(tmp_path, checkpoint("sd1", widths=(64, 128), depths=(1, 1))).guess("unet.attention_head_dim")
    assert whole is not None
    assert tiny is not None
    assert (whole.certain, tiny.certain) == (True, False)


def test_depths_that_no_class_can_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="middle has 2 transformer layers"):
        describe(tmp_path, checkpoint("sdxl", depths=(0, 2, 10), mid_depth=2))


@pytest.mark.parametrize(
    ("shapes", "kind", "variant"),
    [
        (ldm_unet(**UNETS["sd1"]), "diffusion_model", "sd1"),
        (prefixed("diffusion_model.", ldm_unet(**UNETS["sdxl"])), "diffusion_model", "sdxl"),
        (prefixed("model.diffusion_model.", ldm_unet(**UNETS["sdxl_refiner"])), "diffusion_model", "sdxl_refiner"),
        (ldm_vae(), "vae", ""),
        (prefixed("first_stage_model.", ldm_vae()), "vae", ""),
        (clip(), "text_encoder", "clip_l"),
        (prefixed("text_encoders.clip_l.transformer.", clip()), "text_encoder", "clip_l"),
        (openclip(), "text_encoder", "openclip_h"),
        (openclip(1280, 32), "text_encoder", "openclip_bigg"),
        (clip(1280, 32, projection=1280), "text_encoder", "openclip_bigg"),
    ],
)
def test_parts_alone(tmp_path: Path, shapes: dict[str, Any], kind: str, variant: str) -> None:
    found = describe(tmp_path, shapes)
    assert (found.kind, found.variant) == (kind, variant)
    assert found.guesses


def test_a_vae_is_known_for_sdxl_only_by_its_name(tmp_path: Path) -> None:
    plain = describe(tmp_path, ldm_vae(), "some_vae")
    named = describe(tmp_path, ldm_vae(), "sdxl_vae")
    assert (plain.parts["vae"].config["scaling_factor"], named.parts["vae"].config["scaling_factor"]) == (
        0.18215,
        0.13025,
    )
    guess = named.guess("vae.scaling_factor")
    assert guess is not None
    assert not guess.certain


def test_sd2_says_that_v_is_assumed(tmp_path: Path) -> None:
    assert any("v is assumed" in text for text in describe(tmp_path, checkpoint("sd2")).warnings)
    said = describe(tmp_path, checkpoint("sd2"), metadata={"modelspec.architecture": "stable-diffusion-v2-512"})
    assert said.scheduler["prediction_type"] == "epsilon"
    assert not said.warnings


def test_dtypes_and_bytes(tmp_path: Path) -> None:
    found = describe(tmp_path, {"a.lora_down.weight": (4, 768), "a.lora_up.weight": (768, 4)}, dtype="F32")
    assert found.bytes_by_dtype == {"F32": 4 * 768 * 2 * 4}


def test_an_ema_copy_is_named_and_not_counted(tmp_path: Path) -> None:
    shapes = checkpoint("sd1", widths=(32, 64), depths=(1, 1)) | {"model_ema.x": (1000,)}
    found = describe(tmp_path, shapes)
    assert any("EMA" in text for text in found.warnings)
    assert sum(part.bytes for part in found.parts.values()) == found.bytes - 2000


def test_unknown_tensors_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="nothing known fits its 2 tensors"):
        describe(tmp_path, {"foo.bar": (2, 2), "foo.baz": (3,)})


@pytest.mark.parametrize(("marker", "family"), [("double_layers.0.attn.w2q.weight", "auraflow")])
def test_other_families_are_named(tmp_path: Path, marker: str, family: str) -> None:
    found = describe(tmp_path, {"model.diffusion_model." + marker: (8,)})
    assert (found.kind, found.family) == ("diffusion_model", family)
    assert any("Diffusers folder" in text for text in found.warnings)


ALL = sorted(
    set(checkpoint("sdxl", widths=(32, 64), depths=(0, 2), mid_depth=2))
    | set(checkpoint("sd1", widths=(32,), depths=(1,)))
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes=st.dictionaries(
        st.sampled_from(ALL)
        | st.sampled_from(
            [
                "v_pred",
                "edm_mean",
                "edm_std",
                "emb_params",
                "lora_controlnet",
                "control_model.input_hint_block.0.weight",
            ]
        )
        | st.text("abc.0_", max_size=12),
        st.lists(st.integers(0, 9), max_size=5),
        max_size=40,
    )
)
def test_any_shapes_are_described_or_refused(tmp_path: Path, shapes: dict[str, list[int]]) -> None:
    shapes.pop("__metadata__", None)
    try:
        found = describe(tmp_path, shapes)
    except ModelFormatError:
        return
    assert found.kind != "unknown"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), variant=st.sampled_from(["sd1", "sdxl"]))
def test_damaged_checkpoints_are_described_or_refused(tmp_path: Path, data: st.DataObject, variant: str) -> None:
    unet = {**UNETS[variant], "widths": (32, 64), "depths": (0, 1), "mid_depth": 1, "layers": 1}
    shapes: dict[str, Any] = prefixed("model.diffusion_model.", ldm_unet(**unet))
    shapes |= prefixed("first_stage_model.", ldm_vae(widths=(32, 64), layers=1))
    shapes |= prefixed("conditioner.embedders.1.model.", openclip(64, 1))
    for name in data.draw(st.lists(st.sampled_from(sorted(shapes)), max_size=6)):
        if data.draw(st.booleans()):
            shapes.pop(name, None)
        else:
            shapes[name] = data.draw(st.lists(st.integers(0, 3), max_size=5))
    try:
        describe(tmp_path, shapes)
    except ModelFormatError:
        return
