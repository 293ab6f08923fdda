"""How the tensors of the original authors' files are called in Diffusers' and transformers' classes.

Everything here works on names: no tensor is read, so the same tables serve loading, LoRA files that use the original
names, and ControlNets. The original UNet and VAE names are those of the latent diffusion code (CompVis, MIT); the
correspondence follows Diffusers' own conversion (Apache-2.0), written by module instead of by tensor so that it holds
for any depth and width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphflow.modelfiles.family import THIRDS, Change

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_VAE_RESNET = {"nin_shortcut": "conv_shortcut"}
_VAE_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
_OLD_VAE_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OPENCLIP_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_WRAPPERS = ("text_model.", "vision_model.")


def canonical(name: str) -> str:
    """A transformers tensor name without its wrapping modules, which differ between versions of that library."""
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def unet_modules(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs of module names, original and Diffusers', of a UNet or ControlNet with this Diffusers config.

    Where two of the original names begin a tensor's name, the longer one holds.
    """
    yield "time_embed.0", "time_embedding.linear_1"
    yield "time_embed.2", "time_embedding.linear_2"
    yield "time_embed.cond_proj", "time_embedding.cond_proj"
    label = "add_embedding" if config.get("addition_embed_type") else "class_embedding"
    yield "label_emb.0.0", f"{label}.linear_1"
    yield "label_emb.0.2", f"{label}.linear_2"
    yield "label_emb", "class_embedding"
    yield "input_blocks.0.0", "conv_in"
    yield "out.0", "conv_norm_out"
    yield "out.2", "conv_out"
    levels = len(config["block_out_channels"])
    layers = _per_level(config["layers_per_block"], levels)
    number = 1
    for level, block in enumerate(config["down_block_types"]):
        for layer in range(layers[level]):
            yield from _resnet(f"input_blocks.{number}.0", f"down_blocks.{level}.resnets.{layer}")
            if "Attn" in block:
                yield f"input_blocks.{number}.1", f"down_blocks.{level}.attentions.{layer}"
            number += 1
        if level < levels - 1:
            yield f"input_blocks.{number}.0.op", f"down_blocks.{level}.downsamplers.0.conv"
            number += 1
    yield from _resnet("middle_block.0", "mid_block.resnets.0")
    yield "middle_block.1", "mid_block.attentions.0"
    yield from _resnet("middle_block.2", "mid_block.resnets.1")
    number = 0
    for level, block in enumerate(config.get("up_block_types", ())):
        count = layers[levels - 1 - level] + 1
        for layer in range(count):
            yield from _resnet(f"output_blocks.{number}.0", f"up_blocks.{level}.resnets.{layer}")
            if "Attn" in block:
                yield f"output_blocks.{number}.1", f"up_blocks.{level}.attentions.{layer}"
            if layer == count - 1 and level < levels - 1:
                place = 2 if "Attn" in block else 1
                yield f"output_blocks.{number}.{place}.conv", f"up_blocks.{level}.upsamplers.0.conv"
            number += 1


def controlnet_modules(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """As :func:`unet_modules`, with the hint's encoder and the zero convolutions of a ControlNet."""
    yield from unet_modules({key: value for key, value in config.items() if key != "up_block_types"})
    count = len(config.get("conditioning_embedding_out_channels") or (16, 32, 96, 256))
    yield "input_hint_block.0", "controlnet_cond_embedding.conv_in"
    for index in range(2 * (count - 1)):
        yield f"input_hint_block.{2 * index + 2}", f"controlnet_cond_embedding.blocks.{index}"
    yield f"input_hint_block.{4 * count - 2}", "controlnet_cond_embedding.conv_out"
    levels = len(config["block_out_channels"])
    outputs = sum(_per_level(config["layers_per_block"], levels)) + levels
    for index in range(outputs):
        yield f"zero_convs.{index}.0", f"controlnet_down_blocks.{index}"
    yield "middle_block_out.0", "controlnet_mid_block"


def vae_modules(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs of module names, original and Diffusers', of an AutoencoderKL with this Diffusers config."""
    levels = len(config["block_out_channels"])
    layers = int(config["layers_per_block"])
    yield "quant_conv", "quant_conv"
    yield "post_quant_conv", "post_quant_conv"
    yield "bn", "bn"
    for side in ("encoder", "decoder"):
        yield f"{side}.conv_in", f"{side}.conv_in"
        yield f"{side}.conv_out", f"{side}.conv_out"
        yield f"{side}.norm_out", f"{side}.conv_norm_out"
        for index in (0, 1):
            yield from _vae_resnet(f"{side}.mid.block_{index + 1}", f"{side}.mid_block.resnets.{index}")
        for old, new in _VAE_ATTENTION.items():
            yield f"{side}.mid.attn_1.{old}", f"{side}.mid_block.attentions.0.{new}"
    for level in range(levels):
        for layer in range(layers):
            yield from _vae_resnet(
                f"encoder.down.{level}.block.{layer}", f"encoder.down_blocks.{level}.resnets.{layer}"
            )
        yield f"encoder.down.{level}.downsample.conv", f"encoder.down_blocks.{level}.downsamplers.0.conv"
        block = levels - 1 - level
        for layer in range(layers + 1):
            yield from _vae_resnet(f"decoder.up.{level}.block.{layer}", f"decoder.up_blocks.{block}.resnets.{layer}")
        yield f"decoder.up.{level}.upsample.conv", f"decoder.up_blocks.{block}.upsamplers.0.conv"


def openclip_places(key: str) -> Iterator[tuple[str, Change]]:
    """The transformers tensors (canonical names) that one tensor of an OpenCLIP text encoder makes."""
    fixed = {
        "positional_embedding": "embeddings.position_embedding.weight",
        "token_embedding.weight": "embeddings.token_embedding.weight",
        "ln_final.weight": "final_layer_norm.weight",
        "ln_final.bias": "final_layer_norm.bias",
    }
    if key in fixed:
        yield fixed[key], ""
    elif key == "text_projection":
        yield "text_projection.weight", "transpose"
    else:
        yield from _openclip_layer(key)


def openclip_vision_places(key: str) -> Iterator[tuple[str, Change]]:
    """The transformers tensors (canonical names) that one tensor of an OpenCLIP image encoder makes."""
    fixed = {
        "class_embedding": "embeddings.class_embedding",
        "conv1.weight": "embeddings.patch_embedding.weight",
        "positional_embedding": "embeddings.position_embedding.weight",
    }
    norms = {"ln_pre": "pre_layrnorm", "ln_post": "post_layernorm"}
    module, _, tensor = key.rpartition(".")
    if key in fixed:
        yield fixed[key], ""
    elif module in norms:
        yield f"{norms[module]}.{tensor}", ""
    elif key == "proj":
        yield "visual_projection.weight", "transpose"
    else:
        yield from _openclip_layer(key)


def _openclip_layer(key: str) -> Iterator[tuple[str, Change]]:
    if key.startswith("transformer.resblocks."):
        number, _, rest = key.removeprefix("transformer.resblocks.").partition(".")
        layer = f"encoder.layers.{number}"
        if rest in ("attn.in_proj_weight", "attn.in_proj_bias"):
            for letter, third in zip("qkv", THIRDS, strict=True):
                yield f"{layer}.self_attn.{letter}_proj.{rest.rpartition('_')[2]}", third
        else:
            module, _, tensor = rest.rpartition(".")
            if module in _OPENCLIP_LAYER:
                yield f"{layer}.{_OPENCLIP_LAYER[module]}.{tensor}", ""


def modern_vae_name(name: str) -> str:
    """A tensor name of a VAE saved by an old Diffusers, as the class has it today."""
    if ".attentions." not in name:
        return name
    module, _, tensor = name.rpartition(".")
    head, _, last = module.rpartition(".")
    return f"{head}.{_OLD_VAE_ATTENTION.get(last, last)}.{tensor}"


def _resnet(original: str, diffusers: str) -> Iterator[tuple[str, str]]:
    for old, new in _RESNET.items():
        yield f"{original}.{old}", f"{diffusers}.{new}"


def _vae_resnet(original: str, diffusers: str) -> Iterator[tuple[str, str]]:
    for name in ("norm1", "conv1", "norm2", "conv2", "nin_shortcut"):
        yield f"{original}.{name}", f"{diffusers}.{_VAE_RESNET.get(name, name)}"


def _per_level(value: int | list[int], levels: int) -> list[int]:
    return [value] * levels if isinstance(value, int) else list(value)
