"""Nodes that change how a model computes or is guided. They return recipes with one more hook."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from graphflow.errors import InvalidInputError
from graphflow.spec.decorator import node
from graphflow.values import Model
from graphflow.values.network_hooks import (
    CachedReferences,
    DeepShrink,
    FreeU,
    HyperTile,
    MergeTokens,
    PerturbedAttention,
    SelfAttentionGuidance,
    ShrinkMethod,
    SkipLayers,
)

__all__ = [
    "cache_references",
    "deep_shrink",
    "freeu",
    "hypertile",
    "merge_tokens",
    "perturbed_attention_guidance",
    "self_attention_guidance",
    "skip_layer_guidance",
    "skip_transformer_layers",
]

ModelLink = Annotated[Model, Field(description="the denoising model")]
Factor = Annotated[float, Field(ge=0, le=10)]
Layers = Annotated[str, Field(max_length=1000)]
Percent = Annotated[float, Field(ge=0, le=1)]

_PIXELS_PER_SAMPLE = 8
_SMALLEST_TILE = 32


@node("freeu", map=True)
def freeu(
    model: ModelLink,
    b1: Annotated[Factor, Field(description="factor on the backbone in the decoder's widest stage")] = 1.3,
    b2: Annotated[Factor, Field(description="factor on the backbone in the stage of half that width")] = 1.4,
    s1: Annotated[Factor, Field(description="factor on low frequencies of skip connections in the widest stage")] = 0.9,
    s2: Annotated[Factor, Field(description="the same in the stage of half that width")] = 0.2,
    method: Annotated[
        Literal["v2", "v1"],
        Field(description="v1 scales half of the channels evenly; v2 scales them where the feature map is high"),
    ] = "v2",
) -> Model:
    """Weigh backbone and skip connections of the decoder anew (FreeU, Si et al. 2023, arXiv:2309.11497).

    The authors' values: v1 with b1 1.1, b2 1.2, s1 0.9, s2 0.2; v2 with b1 1.3 to 1.5, b2 1.4 to 1.6, s1 0.9, s2 0.2.
    """
    return model.hooked(FreeU(b1=b1, b2=b2, s1=s1, s2=s2, method=method))


@node("perturbed_attention_guidance", map=True)
def perturbed_attention_guidance(
    model: ModelLink,
    scale: Annotated[float, Field(ge=0, le=100, description="how strongly; 0 turns it off")] = 3.0,
) -> Model:
    """Guide away from what the network predicts without self-attention in its middle (arXiv:2403.17377).

    Costs one more evaluation a step. Works beside and without a negative prompt.
    """
    return model.hooked(PerturbedAttention(scale=scale))


@node("skip_layer_guidance", map=True)
def skip_layer_guidance(
    model: ModelLink,
    layers: Annotated[
        str,
        Field(
            min_length=1,
            max_length=1000,
            description="transformers to leave out, by Diffusers' names or their beginnings, with commas between:"
            " mid_block, down_blocks.2, up_blocks.1.attentions.0",
        ),
    ] = "mid_block",
    scale: Annotated[float, Field(ge=0, le=100, description="how strongly; 0 turns it off")] = 3.0,
    start: Annotated[Percent, Field(description="share of sampling at which it begins")] = 0.01,
    end: Annotated[Percent, Field(description="share of sampling at which it ends")] = 0.15,
    rescale: Annotated[Percent, Field(description="share of the result's contrast that is brought back")] = 0.0,
) -> Model:
    """Guide away from what the network predicts without some of its transformers.

    Skip-layer guidance as Stability AI published it with Stable Diffusion 3.5, and for every network spatiotemporal skip
    guidance (Hyung et al. 2024, arXiv:2411.18664). Costs one more evaluation in the steps in which it acts.

    Raises:
        InvalidInputError: No layer is named. When the model is used: it has no such layer.
    """
    names = tuple(name.strip().strip(".") for name in layers.split(",") if name.strip(" ."))
    if not names:
        raise InvalidInputError("no layer is named", where="layers", advice="name one, e.g. mid_block")
    return model.hooked(SkipLayers(layers=names, scale=scale, start=start, end=end, rescale=rescale))


@node("skip_transformer_layers", map=True)
def skip_transformer_layers(
    model: ModelLink,
    double_layers: Annotated[Layers, Field(description="joint layers to leave out, by number")] = "7, 8, 9",
    single_layers: Annotated[Layers, Field(description="single-stream layers to leave out, by number")] = "7, 8, 9",
    scale: Annotated[Factor, Field(description="guidance away from the prediction without them")] = 3.0,
    start: Annotated[Percent, Field(description="share of the sampling at which it begins")] = 0.01,
    end: Annotated[Percent, Field(description="share of the sampling at which it ends")] = 0.15,
    rescale: Annotated[Factor, Field(description="how far the spread of the result is brought back")] = 0.0,
    method: Annotated[
        Literal["further", "negative"],
        Field(description="a further prediction without the layers, or the negative one without them"),
    ] = "further",
) -> Model:
    """Guide a diffusion transformer away from what it predicts without some of its layers (skip layer guidance).

    Without numbers there is nothing to do. ``skip_layer_guidance`` does so for the UNets of Stable Diffusion.

    Raises:
        InvalidInputError: When the model is used: it has none of these layers.
    """
    numbered = {"transformer_blocks": double_layers, "single_transformer_blocks": single_layers}
    names = [f"{stem}.{int(number)}" for stem, layers in numbered.items() for number in re.findall(r"\d+", layers)]
    if not names:
        return model
    return model.hooked(
        SkipLayers(
            layers=tuple(dict.fromkeys(names)),
            scale=scale,
            start=start,
            end=end,
            rescale=rescale,
            negative=method == "negative",
        )
    )


@node("cache_references", map=True)
def cache_references(model: ModelLink) -> Model:
    """Compute once what a model makes of reference pictures, and of text where it can, and keep it for all steps.

    It takes memory for each of their tokens. Qwen-Image 2.1 draws the same, faster. FLUX.2 sees references apart from
    what it draws then, as Klein KV was trained to do; other models of FLUX.2 draw another picture.

    Raises:
        InvalidInputError: When the model is used: its family sees references anew at every step.
    """
    return model.hooked(CachedReferences())


@node("self_attention_guidance", map=True)
def self_attention_guidance(
    model: ModelLink,
    scale: Annotated[float, Field(ge=-2, le=5, description="how strongly; 0 turns it off")] = 0.5,
    blur_sigma: Annotated[
        float, Field(ge=0, le=10, description="standard deviation of the blur, in latent samples")
    ] = 2.0,
) -> Model:
    """Guide away from what is predicted where the salient parts were blurred (Hong et al. 2022, arXiv:2210.00939).

    Costs two more evaluations a step, and the negative side is evaluated at a guidance scale of 1, too. Latents of up
    to four samples along an edge are left as they are.
    """
    return model.hooked(SelfAttentionGuidance(scale=scale, blur_sigma=blur_sigma))


@node("deep_shrink", version=2, map=True)
def deep_shrink(
    model: ModelLink,
    block: Annotated[
        int, Field(ge=1, le=32, description="the input block behind which it shrinks, counted as in the original UNet")
    ] = 3,
    downscale_factor: Annotated[float, Field(ge=0.1, le=9, description="how much smaller")] = 2.0,
    start: Annotated[Percent, Field(description="share of sampling at which it begins")] = 0.0,
    end: Annotated[Percent, Field(description="share of sampling at which it ends")] = 0.35,
    after_skip: Annotated[
        bool, Field(description="shrink behind the block's skip connection, so that it stays large")
    ] = True,
    downscale_method: Annotated[ShrinkMethod, Field(description="how it is made smaller")] = "bicubic",
    upscale_method: Annotated[ShrinkMethod, Field(description="how it is made larger again")] = "bicubic",
) -> Model:
    """Have the deep layers see a smaller picture at first, for pictures larger than the model was trained on.

    Kohya's "deep shrink": it keeps subjects from being doubled.
    """
    return model.hooked(
        DeepShrink(
            block=block,
            factor=downscale_factor,
            start=start,
            end=end,
            after_skip=after_skip,
            downscale_method=downscale_method,
            upscale_method=upscale_method,
        )
    )


@node("hypertile", map=True)
def hypertile(
    model: ModelLink,
    tile_size: Annotated[int, Field(ge=1, le=2048, description="smallest edge of a tile in pixels")] = 256,
    swap_size: Annotated[
        int, Field(ge=1, le=128, description="from how many divisions one is drawn at each evaluation")
    ] = 2,
    max_depth: Annotated[int, Field(ge=0, le=10, description="deepest level that is tiled; 0 is the outermost")] = 0,
    scale_depth: Annotated[
        bool, Field(description="make tiles of deeper levels cover as much of the picture as those outside")
    ] = False,
) -> Model:
    """Compute self-attention inside tiles: large pictures become faster (HyperTile by T. Fernandes).

    The divisions are drawn from a fixed seed, so a run repeats. SDXL has self-attention from max_depth 1 on.
    """
    tile = max(_SMALLEST_TILE, tile_size) // _PIXELS_PER_SAMPLE
    return model.hooked(HyperTile(tile=tile, swap=swap_size, max_depth=max_depth, scale_depth=scale_depth))


@node("merge_tokens", map=True)
def merge_tokens(
    model: ModelLink,
    ratio: Annotated[float, Field(ge=0, le=1, description="share of the tokens that is merged into others")] = 0.3,
) -> Model:
    """Compute the outermost self-attention on fewer tokens: faster, with less detail (arXiv:2303.17604).

    Tokens that are most alike are averaged before each layer and given their own places again behind it. The kept ones
    are drawn from a fixed seed, so a run repeats.
    """
    return model.hooked(MergeTokens(ratio=ratio))
