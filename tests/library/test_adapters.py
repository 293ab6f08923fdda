from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graphflow.errors import ModelFormatError
from graphflow.library.describe import describe_file
from graphflow.modelfiles.description import Description
from tests.models.weight_shapes import UNETS, ldm_unet, prefixed, write_header


def describe(tmp_path: Path, shapes: dict[str, Any], metadata: dict[str, str] | None = None) -> Description:
    return describe_file("m", write_header(tmp_path / "m.safetensors", shapes, metadata=metadata))


def pair(name: str, source: int, target: int, down: str, up: str, rank: int = 4) -> dict[str, Any]:
    return {name + down: (rank, source), name + up: (target, rank)}


KOHYA = (".lora_down.weight", ".lora_up.weight")
PEFT = (".lora_A.weight", ".lora_B.weight")
BLOCK = "down_blocks_1_attentions_0_transformer_blocks_0_"
DOTTED = "down_blocks.1.attentions.0.transformer_blocks.0."


@pytest.mark.parametrize(
    ("shapes", "method", "family", "base", "layout", "targets"),
    [
        (pair(f"lora_unet_{BLOCK}attn2_to_k", 768, 640, *KOHYA), "lora", "sd", "sd1", "kohya", ["unet"]),
        (pair(f"lora_unet_{BLOCK}attn2_to_v", 1024, 640, *KOHYA), "lora", "sd", "sd2", "kohya", ["unet"]),
        (
            pair("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", 2048, 640, *KOHYA)
            | pair("lora_te1_text_model_encoder_layers_0_self_attn_q_proj", 768, 768, *KOHYA)
            | pair("lora_te2_text_model_encoder_layers_0_self_attn_q_proj", 1280, 1280, *KOHYA),
            "lora", "sdxl", "sdxl", "kohya", ["unet", "text_encoder", "text_encoder_2"],
        ),
        (pair("lora_te_text_model_encoder_layers_0_self_attn_q_proj", 768, 768, *KOHYA), "lora", "sd", "sd1", "kohya", ["text_encoder"]),
        (pair(f"unet.{DOTTED}attn2.to_k", 2048, 640, *PEFT), "lora", "sdxl", "sdxl", "diffusers", ["unet"]),
        (pair(f"base_model.model.unet.{DOTTED}attn2.to_k", 768, 640, *PEFT), "lora", "sd", "sd1", "peft", ["unet"]),
        (
            pair(f"unet.{DOTTED}attn2.processor.to_k_lora", 768, 640, ".down.weight", ".up.weight"),
            "lora", "sd", "sd1", "diffusers", ["unet"],
        ),
        (pair("transformer.single_transformer_blocks.0.attn.to_q", 3072, 3072, *PEFT), "lora", "flux", "flux", "diffusers", ["transformer"]),
        (pair("lora_unet_layers_0_attention_qkv", 3840, 11520, *KOHYA), "lora", None, "", "kohya", ["unet"]),
        (pair("diffusion_model.layers.0.attention.to_q", 3840, 3840, *PEFT), "lora", "z-image", "z-image", "diffusers", ["transformer"]),
        ({f"lora_unet_{BLOCK}attn2_to_k.hada_w1_a": (8, 4)}, "loha", None, "", "kohya", ["unet"]),
        ({f"lora_unet_{BLOCK}attn2_to_k.lokr_w1": (8, 4)}, "lokr", None, "", "kohya", ["unet"]),
        (
            pair(f"lora_unet_{BLOCK}attn2_to_k", 768, 640, *KOHYA) | {f"lora_unet_{BLOCK}attn2_to_k.dora_scale": (640, 1)},
            "dora", "sd", "sd1", "kohya", ["unet"],
        ),
        (pair(f"lycoris_{BLOCK}attn2_to_k", 768, 640, *KOHYA), "lora", "sd", "sd1", "lycoris", ["unet"]),
        ({f"lycoris_{BLOCK}attn2_to_k.lokr_w1": (8, 4)}, "lokr", None, "", "lycoris", ["unet"]),
        ({"lora_unet_mid_block_resnets_0_norm1.w_norm": (640,)}, "diff", None, "", "kohya", ["unet"]),
        ({"lora_unet_mid_block_resnets_0_norm1.b_norm": (640,)}, "diff", None, "", "kohya", ["unet"]),
        ({f"lora_unet_{BLOCK}attn2_to_k.oft_blocks": (8, 4, 4)}, "oft", None, "", "kohya", ["unet"]),
    ],
)  # fmt: skip
def test_loras(
    tmp_path: Path, shapes: dict[str, Any], method: str, family: str | None, base: str, layout: str, targets: list[str]
) -> None:
    found = describe(tmp_path, shapes)
    assert (found.kind, found.variant, found.family) == ("lora", method, family)
    assert (found.details["base_variant"], found.details["format"], found.details["targets"]) == (base, layout, targets)
    assert any(method in text for text in found.warnings) == (method == "oft")
    if method in ("lora", "dora"):
        assert found.details["rank"] == 4


def test_metadata_tells_the_family_of_a_lora(tmp_path: Path) -> None:
    shapes = pair("lora_unet_x_attn1_to_q", 640, 640, *KOHYA, rank=8)
    assert describe(tmp_path, shapes).family is None
    found = describe(tmp_path, shapes, {"ss_base_model_version": "sdxl_base_v1-0"})
    assert (found.family, found.details["rank"]) == ("sdxl", 8)


@pytest.mark.parametrize(
    ("shapes", "family", "vectors", "widths"),
    [
        ({"emb_params": (3, 768)}, "sd", 3, [768]),
        ({"<cat>": (1024,)}, "sd", 1, [1024]),
        ({"string_to_param.*": (2, 768)}, "sd", 2, [768]),
        ({"clip_l": (4, 768), "clip_g": (4, 1280)}, "sdxl", 4, [768, 1280]),
        ({"emb_params": (2, 33)}, None, 2, [33]),
    ],
)
def test_textual_inversions(
    tmp_path: Path, shapes: dict[str, Any], family: str | None, vectors: int, widths: list[int]
) -> None:
    found = describe(tmp_path, shapes)
    assert (found.kind, found.family) == ("embedding", family)
    assert (found.details["vectors"], found.details["widths"]) == (vectors, widths)


def control(prefix: str, unet: dict[str, Any], hint: int = 3) -> dict[str, Any]:
    kept = {name: shape for name, shape in unet.items() if not name.startswith(("output_blocks", "out."))}
    widths = [(16, hint), (16, 16), (32, 16), (32, 32), (96, 32), (96, 96), (256, 96), (320, 256)]
    kept |= {f"input_hint_block.{2 * index}.weight": (*width, 3, 3) for index, width in enumerate(widths)}
    return prefixed(prefix, kept | {"zero_convs.0.0.weight": (320, 320, 1, 1)})


@pytest.mark.parametrize(("prefix", "variant"), [("control_model.", "sd1"), ("", "sd2"), ("control_model.", "sdxl")])
def test_original_controlnets(tmp_path: Path, prefix: str, variant: str) -> None:
    found = describe(tmp_path, control(prefix, ldm_unet(**UNETS[variant])))
    part = found.parts["controlnet"]
    assert (found.kind, found.variant, part.class_name, part.prefix) == (
        "controlnet",
        variant,
        "ControlNetModel",
        prefix,
    )
    assert part.config["conditioning_embedding_out_channels"] == [16, 32, 96, 256]
    assert part.config["cross_attention_dim"] == UNETS[variant]["cross"]
    assert part.config.get("addition_embed_type") == ("text_time" if variant == "sdxl" else None)


def test_diffusers_and_union_controlnets(tmp_path: Path) -> None:
    shapes: dict[str, Any] = {
        "conv_in.weight": (64, 4, 3, 3),
        "controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3),
        "controlnet_cond_embedding.blocks.0.weight": (16, 16, 3, 3),
        "controlnet_cond_embedding.blocks.1.weight": (32, 16, 3, 3),
        "down_blocks.0.resnets.0.conv1.weight": (64, 64, 3, 3),
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (64, 768),
        "mid_block.resnets.0.conv1.weight": (64, 64, 3, 3),
        "mid_block.resnets.1.conv1.weight": (64, 64, 3, 3),
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight": (64, 768),
    }
    part = describe(tmp_path, shapes).parts["controlnet"]
    assert (part.class_name, part.config["conditioning_embedding_out_channels"]) == ("ControlNetModel", [16, 32])
    union = describe(tmp_path, shapes | {"task_embedding": (6, 64), "control_type_proj.weight": (1, 1)})
    assert union.parts["controlnet"].class_name == "ControlNetUnionModel"
    assert union.parts["controlnet"].config["num_control_type"] == 6
    assert union.details["union"] is True


T2I = {
    "adapter.conv_in.weight": (320, 192, 3, 3),
    "adapter.body.0.resnets.0.block1.weight": (320, 320, 3, 3),
    "adapter.body.0.resnets.0.block2.weight": (320, 320, 1, 1),
}


MOTION = {
    f"down_blocks.{level}.motion_modules.0.temporal_transformer.norm.weight": (width,)
    for level, width in enumerate((320, 640, 1280, 1280))
} | {
    "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe": (
        1,
        32,
        320,
    )
}


@pytest.mark.parametrize(
    ("shapes", "kind", "family"),
    [
        ({"image_proj.proj.weight": (3072, 1024), "ip_adapter.1.to_k_ip.weight": (320, 768)}, "ip_adapter", "sd"),
        ({"image_proj.proj.weight": (8192, 1280), "ip_adapter.1.to_k_ip.weight": (640, 2048)}, "ip_adapter", "sdxl"),
        (T2I, "t2i_adapter", "sd"),
        ({**T2I, "adapter.conv_in.weight": (320, 768, 3, 3)}, "t2i_adapter", "sdxl"),
        ({name.removeprefix("adapter.").replace(".resnets.0", ""): T2I[name] for name in T2I}, "t2i_adapter", "sd"),
        ({"conv_first.weight": (64, 3, 3, 3), "body.0.rdb1.conv1.weight": (32, 64, 3, 3)}, "upscale_model", None),
        ({"model.0.weight": (64, 3, 3, 3), "model.1.sub.0.RDB1.conv1.0.weight": (32, 64, 3, 3)}, "upscale_model", None),
        ({"style_embedding": (1, 8, 1024), "ln_pre.weight": (1024,)}, "style_model", None),
        (MOTION, "motion_module", "sd"),
        ({"1.weight": (64, 4, 3, 3), "3.conv.0.weight": (64, 64, 3, 3)}, "vae", None),
    ],
)
def test_other_kinds(tmp_path: Path, shapes: dict[str, Any], kind: str, family: str | None) -> None:
    found = describe(tmp_path, shapes)
    assert (found.kind, found.family) == (kind, family)


def test_an_ip_adapter_in_the_layout_of_instantx_is_refused_by_name(tmp_path: Path) -> None:
    blocks = {f"ip_adapter.{block}.to_{letter}_ip.weight": (3072, 4096) for block in range(57) for letter in "kv"}
    with pytest.raises(ModelFormatError, match="InstantX"):
        describe(tmp_path, blocks | {"image_proj.norm.weight": (4096,)})


def test_t5_and_image_encoders(tmp_path: Path) -> None:
    layer = "encoder.block.0.layer."
    t5 = {
        "shared.weight": (32128, 4096),
        layer + "0.SelfAttention.q.weight": (4096, 4096),
        layer + "0.SelfAttention.relative_attention_bias.weight": (32, 64),
        layer + "1.DenseReluDense.wi_0.weight": (10240, 4096),
        "encoder.block.1.layer.0.SelfAttention.q.weight": (4096, 4096),
    }
    found = describe(tmp_path, t5)
    assert (found.kind, found.variant) == ("text_encoder", "t5_xxl")
    assert found.parts["text_encoder"].config == {
        "vocab_size": 32128, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 2, "num_heads": 64,
        "relative_attention_num_buckets": 32, "feed_forward_proj": "gated-gelu", "layer_norm_epsilon": 1e-6,
    }  # fmt: skip
    vision = {
        "vision_model.embeddings.patch_embedding.weight": (1280, 3, 14, 14),
        "vision_model.embeddings.position_embedding.weight": (257, 1280),
        "vision_model.encoder.layers.0.mlp.fc1.weight": (5120, 1280),
        "visual_projection.weight": (1024, 1280),
    }
    found = describe(tmp_path, vision)
    config = found.parts["image_encoder"].config
    assert (found.kind, found.variant) == ("image_encoder", "clip_vision_h")
    assert (config["image_size"], config["num_attention_heads"], config["projection_dim"]) == (224, 16, 1024)


def test_each_encoder_of_a_whole_clip_has_its_own_layers(tmp_path: Path) -> None:
    text, vision = (
        {
            f"{side}_model.{name}": shape
            for name, shape in {
                "embeddings.position_embedding.weight": (length, 768),
                **{f"encoder.layers.{number}.mlp.fc1.weight": (3072, 768) for number in range(layers)},
            }.items()
        }
        for side, length, layers in (("text", 77, 2), ("vision", 257, 3))
    )
    text["text_model.embeddings.token_embedding.weight"] = (49408, 768)
    vision["vision_model.embeddings.patch_embedding.weight"] = (768, 3, 14, 14)
    path = write_header(tmp_path / "clip.safetensors", text | vision)
    for kind, layers in (("text_encoder", 2), ("image_encoder", 3)):
        found = describe_file("clip", path, kind=kind)  # type: ignore[arg-type]
        assert found.kind == kind
        assert found.parts[kind].config["num_hidden_layers"] == layers


def test_a_unet_without_decoder_is_refused(tmp_path: Path) -> None:
    unet = {name: shape for name, shape in ldm_unet(**UNETS["sd1"]).items() if not name.startswith("output_blocks")}
    with pytest.raises(ModelFormatError, match="no decoder"):
        describe(tmp_path, unet)
