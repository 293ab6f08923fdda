"""Diffusers configs of UNets and ControlNets, from the names and shapes of their tensors."""

from __future__ import annotations

from collections.abc import Sequence

from graphflow.errors import ModelFormatError
from graphflow.families.latent_diffusion import upscaler
from graphflow.families.latent_diffusion.structure import Layer, Structure, read_structure
from graphflow.modelfiles.description import Config, JsonValue
from graphflow.modelfiles.inferred import Inferred, Shapes, shape_of

HEAD_WIDTH = 64
"""Width of an attention head in SD 2.x and SDXL."""

_NO_CLASS = "Diffusers has no UNet class for that"

UNION_MARKERS = ("task_embedding", "control_type_proj.weight", "control_add_embedding.linear_1.weight")

TASKS = {9: "inpaint", 8: "edit", 7: "upscale", 5: "depth"}
"""Input channels of the UNets that take more than a latent."""

_TASK_VECTOR = 4
"""Width of what tells Lotus its task; what pictures (unCLIP) tell is wider."""

STANDARD_WIDTHS = {
    "sd1": [320, 640, 1280, 1280], "sd2": [320, 640, 1280, 1280],
    "sdxl": [320, 640, 1280], "sdxl_refiner": [384, 768, 1536, 1536],
}  # fmt: skip
"""Published widths by variant: with these, head counts are certain."""


def infer_unet(shapes: Shapes, where: str, *, variant: str = "", pooled: int = 0) -> Inferred:
    """Config of a `UNet2DConditionModel`.

    Args:
        shapes: The UNet's tensors, without prefix.
        where: The file, for errors.
        variant: What the other parts of the file say (`sd1`, `sd2`, `sdxl`, `sdxl_refiner`); empty: the shapes decide.
        pooled: Width of the pooled text embedding, where known.

    Raises:
        ModelFormatError: The tensors do not form a UNet that this class can build.
    """
    structure = read_structure(shapes, where)
    if not structure.up:
        raise ModelFormatError("the UNet has no decoder", where=where)
    facts = _shared_facts(shapes, structure, where)
    layers = [len(level) for level in structure.down]
    if [len(level) - 1 for level in structure.up] != layers[::-1]:
        raise ModelFormatError("the decoder does not mirror the encoder's layers", where=where)
    last = shape_of(shapes, "out.2.weight", "conv_out.weight", dims=4)
    if not last:
        raise ModelFormatError("the UNet has no output convolution", where=where)
    facts["out_channels"] = last[0]
    facts["up_block_types"] = [_block(level, "CrossAttnUpBlock2D", "UpBlock2D") for level in structure.up]
    facts.update(_depths(structure, where))
    facts.update(_embeddings(shapes, structure, variant))
    only_cross: list[JsonValue] = [any(layer.only_cross for layer in level) for level in structure.down]
    if any(only_cross):
        facts["only_cross_attention"] = only_cross
    variant = variant or _variant(structure, facts)
    task = task_of(facts)
    sample = {"sd2": 64 if task in ("inpaint", "depth") else 96, "sdxl": 128, "sdxl_refiner": 128}.get(variant, 64)
    defaults: Config = {
        "sample_size": sample,
        **_shared_defaults(facts, variant),
        "upcast_attention": variant == "sd2",
    }
    if task == "upscale":
        defaults["attention_head_dim"] = upscaler.HEADS
    if facts.get("addition_embed_type") == "text_time":
        defaults["addition_time_embed_dim"] = _time_width(facts, variant, pooled)
    return Inferred("UNet2DConditionModel", variant, facts, defaults, _certain(facts, variant), task)


def task_of(config: Config) -> str:
    """What a UNet of this config was made for, as :attr:`graphflow.modelfiles.description.Description.task`."""
    vector = config.get("class_embed_type") == "projection" and config.get("projection_class_embeddings_input_dim")
    channels = config.get("in_channels", 4)
    if vector == _TASK_VECTOR and channels == 4:
        return "estimate"
    return TASKS.get(channels, "generate") if isinstance(channels, int) else "generate"


def infer_controlnet(shapes: Shapes, where: str) -> Inferred:
    """Config of a `ControlNetModel` or `ControlNetUnionModel`.

    Raises:
        ModelFormatError: The tensors do not form a ControlNet.
    """
    structure = read_structure(shapes, where)
    facts = _shared_facts(shapes, structure, where)
    facts.update(_depths(structure, where))
    facts.update(_embeddings(shapes, structure, ""))
    hint = [shape_of(shapes, f"input_hint_block.{index}.weight", dims=4) for index in range(0, 16, 2)]
    first = hint[0] or shape_of(shapes, "controlnet_cond_embedding.conv_in.weight", dims=4)
    if not first:
        raise ModelFormatError("the ControlNet has no convolution for its hint", where=where)
    facts["conditioning_channels"] = first[1]
    widths: list[JsonValue] = [shape[0] for shape in hint[:-1:2] if shape]
    if not hint[0]:
        widths = [first[0]]
        index = 1
        while shape := shape_of(shapes, f"controlnet_cond_embedding.blocks.{index}.weight", dims=4):
            widths.append(shape[0])
            index += 2
    facts["conditioning_embedding_out_channels"] = widths
    class_name = "ControlNetModel"
    if any(name in shapes for name in UNION_MARKERS):
        class_name = "ControlNetUnionModel"
        if kinds := shape_of(shapes, "task_embedding", dims=2):
            facts["num_control_type"] = kinds[0]
    variant = _variant(structure, facts)
    defaults = _shared_defaults(facts, variant)
    if facts.get("addition_embed_type") == "text_time":
        defaults["addition_time_embed_dim"] = _time_width(facts, variant, 0)
    return Inferred(class_name, variant, facts, defaults, _certain(facts, variant))


def _shared_facts(shapes: Shapes, structure: Structure, where: str) -> Config:
    first = shape_of(shapes, "input_blocks.0.0.weight", "conv_in.weight", dims=4)
    if not first:
        raise ModelFormatError("the first convolution is missing or not two-dimensional", where=where)
    widths: list[JsonValue] = [level[-1].width for level in structure.down]
    layers: list[JsonValue] = [len(level) for level in structure.down]
    facts: Config = {
        "in_channels": first[1],
        "block_out_channels": widths,
        "layers_per_block": layers[0] if len(set(map(str, layers))) == 1 else layers,
        "down_block_types": [_block(level, "CrossAttnDownBlock2D", "DownBlock2D") for level in structure.down],
        "mid_block_type": _mid(structure),
        "use_linear_projection": structure.linear,
    }
    if structure.cross:
        facts["cross_attention_dim"] = structure.cross
    if first[2] != 3:
        facts["conv_in_kernel"] = first[2]
    time = shape_of(shapes, "time_embed.0.weight", "time_embedding.linear_1.weight", dims=2)
    if time and time[0] != 4 * structure.down[0][-1].width:
        facts["time_embedding_dim"] = time[0]
    if condition := shape_of(shapes, "time_embedding.cond_proj.weight", dims=2):
        facts["time_cond_proj_dim"] = condition[1]
    return facts


def _shared_defaults(facts: Config, variant: str) -> Config:
    widths = _widths(facts)
    heads: JsonValue
    if variant in ("sd2", "sdxl", "sdxl_refiner"):
        heads = [max(1, width // HEAD_WIDTH) for width in widths]
    else:
        heads = next(count for count in (8, 4, 2, 1) if all(width % count == 0 for width in widths))
    groups = next(count for count in (32, 16, 8, 4, 2, 1) if all(width % count == 0 for width in widths))
    return {
        "attention_head_dim": heads,
        "norm_num_groups": groups,
        "norm_eps": 1e-5,
        "act_fn": "silu",
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "downsample_padding": 1,
        "mid_block_scale_factor": 1,
    }


def _certain(facts: Config, variant: str) -> frozenset[str]:
    """With the published widths, the published head count is certain; the other constants never vary in a family."""
    constants = {"norm_eps", "act_fn", "flip_sin_to_cos", "freq_shift", "downsample_padding", "mid_block_scale_factor"}
    if _widths(facts) == STANDARD_WIDTHS.get(variant):
        constants |= {"attention_head_dim", "norm_num_groups", "addition_time_embed_dim"}
    return frozenset(constants)


def _widths(facts: Config) -> list[int]:
    widths = facts["block_out_channels"]
    return [width for width in widths if isinstance(width, int)] if isinstance(widths, list) else []


def _block(level: Sequence[Layer], with_attention: str, without: str) -> str:
    return with_attention if any(layer.depth for layer in level) else without


def _mid(structure: Structure) -> str | None:
    if not structure.mid:
        return None
    return "UNetMidBlock2DCrossAttn" if structure.mid_depth else "UNetMidBlock2D"


def _depths(structure: Structure, where: str) -> Config:
    """Transformer layers, as Diffusers counts them: one number, one a level, or a list a level."""
    down = [_depth(level, where) for level in structure.down]
    up = [_depth(level, where) for level in structure.up]
    values: list[JsonValue] = [depth or 1 for depth in down]
    if structure.mid_depth:
        if down[-1] and down[-1] != structure.mid_depth:
            raise ModelFormatError(
                f"the middle has {structure.mid_depth} transformer layers, the level before it {down[-1]}: {_NO_CLASS}",
                where=where,
            )
        values[-1] = structure.mid_depth
    same = all(value == values[0] for value in values)
    facts: Config = {"transformer_layers_per_block": values[0] if same else values}
    mirrored = all(depth == 0 or depth == value for depth, value in zip(up, reversed(values), strict=False))
    if up and (not mirrored or any(isinstance(value, list) for value in values)):
        facts["transformer_layers_per_block"] = values
        facts["reverse_transformer_layers_per_block"] = [depth or 1 for depth in up]
    if isinstance(facts["transformer_layers_per_block"], list) and not any(down) and not structure.mid_depth:
        facts["transformer_layers_per_block"] = 1
    return facts


def _depth(level: Sequence[Layer], where: str) -> JsonValue:
    depths = [layer.depth for layer in level]
    if len(set(depths)) == 1:
        return depths[0]
    if 0 in depths:
        raise ModelFormatError(f"a level has attention behind some layers only: {_NO_CLASS}", where=where)
    return [*depths]


def _embeddings(shapes: Shapes, structure: Structure, variant: str) -> Config:
    """What is added to the time embedding: SDXL's text and sizes, or a class."""
    if table := shape_of(shapes, "label_emb.weight", "class_embedding.weight", dims=2):
        return {"num_class_embeds": table[0]}
    added = shape_of(shapes, "add_embedding.linear_1.weight", dims=2)
    projected = shape_of(shapes, "class_embedding.linear_1.weight", dims=2)
    if label := shape_of(shapes, "label_emb.0.0.weight", dims=2):
        # The same names serve SDXL's sizes and SD 2's image embedding; the width of the text tells them apart.
        is_sdxl = variant.startswith("sdxl") or (not variant and structure.cross in (1280, 2048))
        added, projected = (label, ()) if is_sdxl else ((), label)
    if added:
        return {"addition_embed_type": "text_time", "projection_class_embeddings_input_dim": added[1]}
    if projected:
        return {"class_embed_type": "projection", "projection_class_embeddings_input_dim": projected[1]}
    return {}


def _time_width(facts: Config, variant: str, pooled: int) -> int:
    """Width of each embedded size: six of them beside the pooled text in SDXL, five in the refiner."""
    total = facts["projection_class_embeddings_input_dim"]
    count = 5 if variant == "sdxl_refiner" else 6
    if pooled and isinstance(total, int) and total > pooled and (total - pooled) % count == 0:
        return (total - pooled) // count
    return 256


def _variant(structure: Structure, facts: Config) -> str:
    if facts.get("addition_embed_type") == "text_time":
        return "sdxl_refiner" if structure.cross == 1280 else "sdxl"
    if structure.cross == 768:
        return "sd1"
    if structure.cross == 1024:
        return "sd2"
    return "sd2" if structure.linear else "sd1"
