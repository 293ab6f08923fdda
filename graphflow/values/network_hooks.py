"""Runtime hooks that change how a UNet computes, or what guidance asks it beside. Knows nothing of torch.

A hook is a value in ``Model.hooks``; what each does is in :mod:`graphflow.families.latent_diffusion.hooks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from graphflow.values.types import value_type

if TYPE_CHECKING:
    from graphflow.values.models import NetworkExtension

ShrinkMethod = Literal["bicubic", "bilinear", "nearest", "area"]


@value_type("freeu_hook")
@dataclass(frozen=True, kw_only=True)
class FreeU:
    """FreeU (Si et al. 2023, arXiv:2309.11497): stronger backbone, weaker low frequencies in skip connections.

    Attributes:
        b1: Backbone factor in the decoder's widest stage.
        b2: Backbone factor in the stage of half its width.
        s1: Skip factor in the widest stage.
        s2: Skip factor in the stage of half its width.
        method: `v1` scales half of the channels by b; `v2` scales them by b where the feature map is high.
    """

    b1: float
    b2: float
    s1: float
    s2: float
    method: Literal["v1", "v2"] = "v2"


@value_type("perturbed_attention_hook")
@dataclass(frozen=True, kw_only=True)
class PerturbedAttention:
    """Perturbed-attention guidance (Ahn et al. 2024, arXiv:2403.17377).

    Attributes:
        scale: Weight of the difference between the network and itself without attention in the middle.
    """

    scale: float = 3.0


@value_type("skip_layer_hook")
@dataclass(frozen=True, kw_only=True)
class SkipLayers:
    """Skip-layer guidance: away from the network without some of its transformers.

    Attributes:
        layers: Beginnings of names of the UNet's modules, or names of a transformer's blocks.
        scale: Weight of the difference between the network and itself without them.
        start: Share of sampling at which it begins, 0 to 1.
        end: Share of sampling at which it ends.
        rescale: Share of the result's standard deviation that is brought back to the conditional prediction's.
        negative: Whether the negative prediction is made without them, in place of a further one; of transformers.
    """

    layers: tuple[str, ...]
    scale: float
    start: float
    end: float
    rescale: float = 0.0
    negative: bool = False


@value_type("self_attention_guidance_hook")
@dataclass(frozen=True, kw_only=True)
class SelfAttentionGuidance:
    """Self-attention guidance (Hong et al. 2022, arXiv:2210.00939).

    Attributes:
        scale: Weight of the difference to the prediction from a blurred picture.
        blur_sigma: Standard deviation of the blur in latent samples.
    """

    scale: float = 0.5
    blur_sigma: float = 2.0


@value_type("deep_shrink_hook")
@dataclass(frozen=True, kw_only=True)
class DeepShrink:
    """Deep layers compute on a smaller picture at the beginning (Kohya's "deep shrink"), for sizes beyond the training's.

    Attributes:
        block: Number of the input block behind which it shrinks, counted as in the original UNet.
        factor: How much smaller.
        start: Share of sampling at which it begins, 0 to 1.
        end: Share of sampling at which it ends.
        after_skip: Whether the block's skip connection still carries the large picture.
        downscale_method: How it is made smaller.
        upscale_method: How it is made larger again where the decoder meets a large skip connection.
    """

    block: int
    factor: float
    start: float
    end: float
    after_skip: bool
    downscale_method: ShrinkMethod
    upscale_method: ShrinkMethod


@value_type("hypertile_hook")
@dataclass(frozen=True, kw_only=True)
class HyperTile:
    """Self-attention inside tiles (T. Fernandes' HyperTile).

    Attributes:
        tile: Smallest edge of a tile in latent samples.
        swap: From how many divisions one is drawn at each evaluation.
        max_depth: Deepest level of the UNet that is tiled; 0 is the outermost.
        scale_depth: Whether tiles of deeper levels cover as much of the picture as they do outside.
    """

    tile: int
    swap: int
    max_depth: int
    scale_depth: bool


@value_type("cached_references_hook")
@dataclass(frozen=True, kw_only=True)
class CachedReferences:
    """Keys and values of reference pictures are computed once, without what is drawn, and kept for all steps."""


@value_type("merge_tokens_hook")
@dataclass(frozen=True, kw_only=True)
class MergeTokens:
    """Token merging for Stable Diffusion (Bolya and Hoffman 2023, arXiv:2303.17604).

    Attributes:
        ratio: Share of the tokens that is merged into others, in the outermost level.
    """

    ratio: float


@value_type("hypernetwork_hook")
@dataclass(frozen=True, kw_only=True)
class Hypernetwork:
    """A hypernetwork before the keys and values of every attention.

    Attributes:
        network: The hypernetwork.
        strength: Factor on what it adds.
    """

    network: NetworkExtension
    strength: float


@value_type("motion_hook")
@dataclass(frozen=True, kw_only=True)
class MotionModules:
    """Attention over the frames of a video behind the layers of a UNet (AnimateDiff).

    Attributes:
        network: The motion modules.
        strength: Factor on what they change.
        window: Frames that are seen at once; 0 is all.
        overlap: Frames that neighbouring windows share.
        linear: Whether the variances of the noise levels rise linearly, not their roots.
    """

    network: NetworkExtension
    strength: float
    window: int
    overlap: int
    linear: bool


@value_type("t5_length_hook")
@dataclass(frozen=True, kw_only=True)
class T5Length:
    """How far T5's prompts are filled up.

    Attributes:
        min_padding: Fewest tokens behind the end of a prompt.
        min_length: Fewest tokens of a prompt, in place of the family's own.
    """

    min_padding: int
    min_length: int
