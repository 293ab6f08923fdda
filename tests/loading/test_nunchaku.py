"""Nunchaku's files: every tensor of a model's class, from layers in the order of its kernels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from graphflow.errors import ModelFormatError
from graphflow.library.describe import describe_file
from graphflow.loading.mapped import MappedTensors
from graphflow.modelfiles.quantised.summary import groups_of
from graphflow.modelfiles.shards import read_weights
from tests.closeness import assert_close
from tests.export.pieces import piece
from tests.loading.nunchaku import Layers

WIDTH, WIDE = 128, 512
Expected = dict[str, Tensor]
QKV = ("attn.to_q", "attn.to_k", "attn.to_v")


def spread(expected: Expected, made: tuple[Tensor, Tensor], block: str, *targets: str, bias: bool = True) -> None:
    for target, weight, added in zip(targets, *(tensor.chunk(len(targets)) for tensor in made), strict=True):
        expected[f"{block}.{target}.weight"] = weight
        if bias:
            expected[f"{block}.{target}.bias"] = added


def flux(layers: Layers) -> tuple[torch.nn.Module, Expected]:
    expected: Expected = {}
    block = "transformer_blocks.0"

    def old(name: str, *targets: str, rows: int = WIDTH, columns: int = WIDTH, shifted: bool = False) -> None:
        made = layers.svdquant(f"{block}.{name}", rows, columns, shifted=shifted, old=True)
        spread(expected, made, block, *targets)

    for name in ("norm1", "norm1_context"):
        spread(expected, layers.modulation(f"{block}.{name}.linear", WIDTH, 6), block, f"{name}.linear")
    old("qkv_proj", *QKV, rows=3 * WIDTH)
    old("qkv_proj_context", "attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj", rows=3 * WIDTH)
    old("out_proj", "attn.to_out.0")
    old("out_proj_context", "attn.to_add_out")
    for here, there in (("mlp", "ff"), ("mlp_context", "ff_context")):
        old(f"{here}_fc1", f"{there}.net.0.proj", rows=WIDE)
        old(f"{here}_fc2", f"{there}.net.2", columns=WIDE, shifted=True)
    block = "single_transformer_blocks.0"
    spread(expected, layers.modulation(f"{block}.norm.linear", WIDTH, 3), block, "norm.linear")
    old("qkv_proj", *QKV, rows=3 * WIDTH)
    old("mlp_fc1", "proj_mlp", rows=WIDE)
    left, added = layers.svdquant(f"{block}.out_proj", WIDTH, WIDTH, old=True)
    right, more = layers.svdquant(f"{block}.mlp_fc2", WIDTH, WIDE, shifted=True, old=True)
    spread(expected, (torch.cat((left, right), 1), added + more), block, "proj_out")
    for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        for block in ("transformer_blocks.0", "single_transformer_blocks.0"):
            norm = torch.rand(64)
            if block.startswith("t") or "added" not in name:
                layers.file[f"{block}.{name}.weight"] = expected[f"{block}.attn.{name}.weight"] = norm
    config = {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 64, "num_attention_heads": 2}
    config |= {"joint_attention_dim": 64, "pooled_projection_dim": 64, "guidance_embeds": True}
    return diffusers.FluxTransformer2DModel(**config, axes_dims_rope=(16, 24, 24)), expected


def qwen(layers: Layers) -> tuple[torch.nn.Module, Expected]:
    expected: Expected = {}
    block = "transformer_blocks.0"
    for side, attention, out in (("img", "to_qkv", "to_out.0"), ("txt", "add_qkv_proj", "to_add_out")):
        targets = QKV if side == "img" else ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
        spread(expected, layers.modulation(f"{block}.{side}_mod.1", WIDTH, 6), block, f"{side}_mod.1")
        spread(expected, layers.svdquant(f"{block}.attn.{attention}", 3 * WIDTH, WIDTH), block, *targets)
        for name, rows, columns in (
            (f"attn.{out}", WIDTH, WIDTH),
            (f"{side}_mlp.net.0.proj", WIDE, WIDTH),
            (f"{side}_mlp.net.2", WIDTH, WIDE),
        ):
            made = layers.svdquant(f"{block}.{name}", rows, columns, shifted=name.endswith("net.2"))
            spread(expected, made, block, name)
    config = {"num_layers": 1, "attention_head_dim": 64, "num_attention_heads": 2, "joint_attention_dim": 64}
    return diffusers.QwenImageTransformer2DModel(**config, axes_dims_rope=(16, 24, 24)), expected


def z_image(layers: Layers) -> tuple[torch.nn.Module, Expected]:
    config = {"dim": 3 * WIDTH, "n_layers": 1, "n_refiner_layers": 1, "n_heads": 3, "n_kv_heads": 3, "cap_feat_dim": 64}
    module = diffusers.ZImageTransformer2DModel(**config, axes_dims=[32, 48, 48])
    width = module.layers[0].feed_forward.w2.in_features
    expected: Expected = {}
    for block in ("layers.0", "context_refiner.0"):
        attention = layers.svdquant(f"{block}.attention.to_qkv", 9 * WIDTH, 3 * WIDTH, bias=False)
        spread(expected, attention, f"{block}.attention", "to_q", "to_k", "to_v", bias=False)
        out = layers.svdquant(f"{block}.attention.to_out.0", 3 * WIDTH, 3 * WIDTH, bias=False)
        spread(expected, out, f"{block}.attention", "to_out.0", bias=False)
        gated = layers.svdquant(f"{block}.feed_forward.net.0.proj", 2 * width, 3 * WIDTH, bias=False)
        spread(expected, gated, f"{block}.feed_forward", "w3", "w1", bias=False)
        down = layers.svdquant(f"{block}.feed_forward.net.2", 3 * WIDTH, width, bias=False)
        spread(expected, down, f"{block}.feed_forward", "w2", bias=False)
    # Refiners that are not quantised have these names, too.
    gate, down = torch.randn(2 * width, 3 * WIDTH), torch.randn(3 * WIDTH, width)
    layers.file |= {
        "noise_refiner.0.feed_forward.net.0.proj.weight": gate,
        "noise_refiner.0.feed_forward.net.2.weight": down,
    }
    spread(expected, (gate, gate), "noise_refiner.0.feed_forward", "w3", "w1", bias=False)
    spread(expected, (down, down), "noise_refiner.0.feed_forward", "w2", bias=False)
    return module, expected


def sdxl(layers: Layers) -> tuple[torch.nn.Module, Expected]:
    module = diffusers.UNet2DConditionModel(
        block_out_channels=(32, WIDTH, WIDTH),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(1, 2, 2),
        transformer_layers_per_block=(1, 2, 3),
        cross_attention_dim=64,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=6 * 256 + 32,
    )
    expected: Expected = {}
    suffix = ".attn2.to_q"
    for block in [name.removesuffix(suffix) for name, _ in module.named_modules() if name.endswith(suffix)]:
        made = layers.svdquant(f"{block}.attn1.to_qkv", 3 * WIDTH, WIDTH, bias=False)
        spread(expected, made, f"{block}.attn1", "to_q", "to_k", "to_v", bias=False)
        made = layers.svdquant(f"{block}.attn2.to_q", WIDTH, WIDTH, bias=False)
        spread(expected, made, block, "attn2.to_q", bias=False)
        for name, rows, columns in (
            ("attn1.to_out.0", WIDTH, WIDTH),
            ("attn2.to_out.0", WIDTH, WIDTH),
            ("ff.net.0.proj", 2 * WIDE, WIDTH),
            ("ff.net.2", WIDTH, WIDE),  # behind a gated GELU, to which nothing is added
        ):
            spread(expected, layers.svdquant(f"{block}.{name}", rows, columns, old=True), block, name)
    return module, expected


def t5(layers: Layers) -> tuple[torch.nn.Module, Expected]:
    config = transformers.T5Config(
        d_model=256, d_kv=64, d_ff=512, num_layers=1, num_heads=4, vocab_size=64, feed_forward_proj="gated-gelu"
    )
    module = transformers.T5EncoderModel(config)
    stem, expected = "encoder.block.0.layer", {}
    for name in ("0.SelfAttention.q", "0.SelfAttention.k", "0.SelfAttention.v", "0.SelfAttention.o"):
        expected[f"{stem}.{name}.weight"] = layers.text(f"{stem}.{name}", 256, 256)
    for name, rows, columns in (("wi_0", 512, 256), ("wi_1", 512, 256), ("wo", 256, 512)):
        name = f"{stem}.1.DenseReluDense.{name}"
        expected[f"{name}.weight"] = layers.text(name, rows, columns)
    return module, expected


def written(make: Callable[[Layers], tuple[torch.nn.Module, Expected]], path: Path, *, fp4: bool) -> Expected:
    """A model's file, with what is left of its tensors unquantised; returns all tensors of its class."""
    layers = Layers(fp4=fp4)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module, expected = make(layers)
    plain = {name: tensor for name, tensor in module.state_dict().items() if name not in expected}
    expected |= plain
    if expected.pop("shared.weight", None) is not None:  # the same tensor, under the name that files have
        plain["shared.weight"] = plain.pop("encoder.embed_tokens.weight")
    metadata = {"quantization_config": json.dumps({"method": "svdquant", "weight": {"dtype": DTYPE[fp4]}})}
    save_file({**layers.file, **plain}, path, metadata)
    return expected


DTYPE = {False: "int4", True: "fp4_e2m1_all"}
MODELS = {
    "flux": (flux, "FluxTransformer2DModel", False),
    "flux-fp4": (flux, "FluxTransformer2DModel", True),
    "qwen": (qwen, "QwenImageTransformer2DModel", False),
    "z-image": (z_image, "ZImageTransformer2DModel", True),
    "sdxl": (sdxl, "UNet2DConditionModel", False),
    "sdxl-fp4": (sdxl, "UNet2DConditionModel", True),
    "t5": (t5, "T5EncoderModel", False),
}


@pytest.mark.parametrize("kind", MODELS)
def test_every_tensor_of_the_class_is_the_one_that_was_packed_in_scripts_too(kind: str, tmp_path: Path) -> None:
    make, class_name, fp4 = MODELS[kind]
    path = tmp_path / "svdq.safetensors"
    expected = written(make, path, fp4=fp4)
    (part,) = describe_file("svdq", path).parts.values()
    assert part.class_name == class_name
    tensors = MappedTensors(part, expected)
    untold: list[str] = []
    tensors.tell_unused(untold.append)
    assert untold == []
    scripts = load_file(piece("plain_nunchaku")(path))
    scripts["encoder.embed_tokens.weight"] = scripts.pop("shared.weight", ONE)
    assert set(scripts) >= set(expected)
    for name, tensor in expected.items():
        assert_close(tensors.read(name).float(), tensor.float())
        assert_close(scripts[name].float(), tensor.float())


ONE = torch.ones(1)
LAYER = "transformer_blocks.0.attn.to_qkv"
STRANGE = {
    "a layer of GPTQ": ({f"{LAYER}.g_idx": ONE}, {}, rf"{LAYER} is quantised in a way .*{LAYER}\.g_idx"),
    "scales without a weight": ({"a.wscales": ONE}, {}, r"\(a\.wscales\)"),
    "integers that nothing explains": ({"a.weight": torch.zeros(4, dtype=torch.int8)}, {}, r"\(a\.weight\)"),
    "no smoothing": ({f"{LAYER}.smooth_factor": None}, {}, "lacks smooth_factor"),
    "scales of another shape": ({f"{LAYER}.wscales": torch.ones(3, 384)}, {}, r"scale has the shape \[3, 384\]"),
    "half a branch": ({f"{LAYER}.proj_up": None}, {}, "one half of a branch"),
    "a bias of another shape": ({f"{LAYER}.bias": ONE}, {}, rf"{LAYER}\.bias is F32 \[1\]"),
    "a type that the header does not say": ({}, {"weight": {"dtype": "fp4_e2m1_all"}}, "header says fp4"),
    "a type that is not known": ({}, {"weight": {"dtype": "int2"}}, "'int2', which is not read"),
    "another method": ({}, {"method": "spinquant"}, "quantised by 'spinquant'"),
    "a model that is not known": ({}, "NunchakuSanaModel", "order of whose layers is not known"),
    "a modulation that is not known": (
        {f"{LAYER}.qweight": torch.zeros(96, 64, dtype=torch.int32), f"{LAYER}.wzeros": torch.ones(2, 384)},
        {}, "order of the rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGE)
def test_what_is_not_known_is_refused_by_name(case: str, tmp_path: Path) -> None:
    changes, said, problem = STRANGE[case]
    layers = Layers()
    layers.svdquant(LAYER, 384, 128)
    if "wzeros" in str(changes):
        layers.file = {f"{LAYER}.wscales": torch.ones(2, 384)}
    tensors = {key: tensor for key, tensor in (layers.file | changes).items() if tensor is not None}
    path = tmp_path / "svdq.safetensors"
    header = {"model_class": said} if isinstance(said, str) else {"quantization_config": json.dumps(said)}
    save_file(tensors, path, header)
    with pytest.raises(ModelFormatError, match=problem) as caught:
        read_weights(path)
    assert path.name in str(caught.value)


def test_what_is_quantised_is_said_by_layers(tmp_path: Path) -> None:
    written(flux, tmp_path / "svdq.safetensors", fp4=False)
    groups = groups_of(read_weights(tmp_path / "svdq.safetensors").tensors)
    assert {(group.name, group.format) for group in groups if group.quantised} == {
        (blocks, kind)
        for blocks in ("transformer_blocks", "single_transformer_blocks")
        for kind in ("nunchaku_int4", "nunchaku_awq")
    }
    four = next(group for group in groups if group.format == "nunchaku_awq")
    assert four.bits == 4 + 2 * 16 / 64
