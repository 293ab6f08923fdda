"""Tiny UNets, CLIPs and autoencoders that stand in for files which are not there."""

from __future__ import annotations

from typing import Literal

from graphflow.families.latent_diffusion.checkpoint import SCHEDULER
from graphflow.modelfiles.description import Config
from graphflow.modelfiles.stand_in import END, SPECIAL, START, TOKENS, StandIn, TinyPart

_HEADS, _WIDTH, _LAYERS = 2, 32, 2
_IP_ADAPTER, _REST = r"ip.?(adapter|plus)", r"[\w.-]*"
SIGLIP_WIDTH = 1152
FACE_WIDTH = 512
"""Of a recogniser's vectors."""
VIT_H, VIT_G, VIT_L = (1280, 1024), (1664, 1280), (1024, 768)
"""Of CLIP's image encoders: widths of the vectors of patches and of whole pictures."""


def clip(width: int, *, projected: bool = False, pads_with_end: bool = True) -> TinyPart:
    """A CLIP text encoder whose embeddings have a width, with or without a projection of the pooled one."""
    config: Config = {
        "vocab_size": TOKENS,
        "hidden_size": width,
        "intermediate_size": 2 * _WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": width // 64,
        "max_position_embeddings": 77,
        "projection_dim": width,
        "hidden_act": "gelu" if projected else "quick_gelu",
        "bos_token_id": SPECIAL.index(START),
        "eos_token_id": SPECIAL.index(END),
        "pad_token_id": SPECIAL.index(END),
    }
    name = "CLIPTextModelWithProjection" if projected else "CLIPTextModel"
    return TinyPart(class_name=name, config=config, tokenizer="clip", pad=END if pads_with_end else "!")


def autoencoder(channels: int, scale: float, shift: float | None = None) -> TinyPart:
    """An `AutoencoderKL` of 8 pixels per sample."""
    config: Config = {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": channels,
        "block_out_channels": [8] * 4,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "mid_block_add_attention": False,  # of every pixel to every other
        "scaling_factor": scale,
        "shift_factor": shift,
    }
    return TinyPart(class_name="AutoencoderKL", config=config)


def unet(text: int, *, inputs: int = 4, sizes: int = 0, vector: int = 0) -> TinyPart:
    """A `UNet2DConditionModel` with all levels of the real one.

    Args:
        text: Width of the text that it reads.
        inputs: Channels that it reads.
        sizes: For SDXL: width of the pooled text together with the numbers that tell sizes, 256 each; else 0.
        vector: Width of a vector that it reads beside the text; 0 for none.
    """
    told: Config = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": vector} if vector else {}
    config = {**_net(text, inputs, sizes), **told, "out_channels": 4}
    return TinyPart(class_name="UNet2DConditionModel", config=config)


def controlnet(text: int, *, sizes: int = 0) -> TinyPart:
    """A `ControlNetModel` for such a UNet."""
    return TinyPart(class_name="ControlNetModel", config=_net(text, 4, sizes))


def ip_adapter(
    text: int,
    image: int,
    *,
    sizes: int = 0,
    projection: Literal["plain", "full", "resampler", "faces", "faces_and_pictures"] = "plain",
) -> TinyPart:
    """An IP-Adapter for such a UNet, which reads vectors of a width: of pictures or faces, or of patches."""
    attentions = sum(_attending(sizes)) * (_LAYERS + _LAYERS + 1) + 1
    config: Config = {
        "projection": projection,
        "image_width": image,
        "cross_attention_dim": text,
        "layers": [_WIDTH] * attentions,
    }
    if projection == "plain":
        config["tokens"] = 4
    elif projection == "resampler":
        config |= {"tokens": 16, "hidden_width": _WIDTH, "depth": 1, "heads": _HEADS}
    elif projection == "faces_and_pictures":
        config |= {"patch_width": VIT_H[0], "hidden_width": text, "depth": 1, "heads": _HEADS, "adds_identity": True}
    if image == FACE_WIDTH:
        config |= {"reads": "faces", "tokens": 4}
    return TinyPart(class_name="IPAdapter", config=config)


def ip_adapters(model: str, text: int, whole: int, *, sizes: int = 0) -> tuple[StandIn, ...]:
    """What stands in for the published IP-Adapters of a UNet.

    Args:
        model: Matches what their names say of the model.
        text: As in :func:`unet`.
        whole: Width of the vectors of whole pictures that the plain ones read, unless their names say otherwise.
        sizes: As in :func:`unet`.
    """

    def named(middle: str, behind: str, part: TinyPart) -> StandIn:
        return StandIn(names=f"{_IP_ADAPTER}{middle}({model}){behind}", parts={"ip_adapter": part})

    def plain(image: int) -> TinyPart:
        return ip_adapter(text, image, sizes=sizes)

    patches = ip_adapter(text, VIT_H[0], sizes=sizes, projection="resampler")
    return (
        named(".*face.?id.?plus.*", _REST, ip_adapter(text, FACE_WIDTH, sizes=sizes, projection="faces_and_pictures")),
        named(".*face.?id.*", _REST, ip_adapter(text, FACE_WIDTH, sizes=sizes, projection="faces")),
        named(".*plus.*", _REST, patches),
        named(".*full.?face.*", _REST, ip_adapter(text, VIT_H[0], sizes=sizes, projection="full")),
        named(".*", ".*vit.?h", plain(VIT_H[1])),
        named(".*", ".*vit.?g", plain(VIT_G[1])),
        named(".*", "", plain(whole)),
    )


MOTION = TinyPart(
    class_name="MotionAdapter",
    config={
        "block_out_channels": [_WIDTH] * 4,
        "motion_layers_per_block": _LAYERS,
        "motion_num_attention_heads": _HEADS,
        "motion_norm_num_groups": 8,
        "motion_max_seq_length": 32,
    },
)
"""AnimateDiff's motion modules for such a UNet of four levels."""


def _attending(sizes: int) -> list[bool]:
    """Which levels look at the text."""
    return [False, True, True] if sizes else [True, True, True, False]


def _net(text: int, inputs: int, sizes: int) -> Config:
    attending = _attending(sizes)
    levels = len(attending)
    down: Config = {
        "in_channels": inputs,
        "block_out_channels": [_WIDTH] * levels,
        "layers_per_block": _LAYERS,
        "down_block_types": ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in attending],
        "up_block_types": ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(attending)],
        "cross_attention_dim": text,
        "attention_head_dim": _HEADS,
        "norm_num_groups": 8,
    }
    if not sizes:
        return down
    return down | {
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": sizes,
    }


def _seeing(names: str, widths: tuple[int, int]) -> StandIn:
    """A CLIP image encoder whose vectors of patches and of pictures have these widths."""
    config: Config = {
        "hidden_size": widths[0],
        "intermediate_size": 2 * _WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 16,
        "patch_size": 14,
        "image_size": 224,
        "projection_dim": widths[1],
    }
    return StandIn(
        names=names, parts={"image_encoder": TinyPart(class_name="CLIPVisionModelWithProjection", config=config)}
    )


def unet_schedule(prediction: str = "epsilon") -> Config:
    """The scheduler's config."""
    return {**SCHEDULER, "prediction_type": prediction, "rescale_betas_zero_snr": False}


CLIP_L, CLIP_H, CLIP_G = clip(768), clip(1024, pads_with_end=False), clip(1280, projected=True, pads_with_end=False)

SHARED = (
    StandIn(names=r"clip_?l|clip-vit-large-patch14", variant="clip_l", parts={"text_encoder": CLIP_L}),
    StandIn(names=r"clip_?g|bigg", variant="openclip_bigg", parts={"text_encoder": CLIP_G}),
    _seeing(r"clip.?vision|vit-[hgl]|ipadapter.*encoder", VIT_H),
    _seeing(r"clip.?vision.?g|(clip.*)?vit-?(big)?g([\w-]*)", VIT_G),
    _seeing(r"clip.?vision.?l|clip.*vit-?l([\w-]*)", VIT_L),
    StandIn(
        names=r"sig(lip|clip)[\w-]*",
        parts={
            "image_encoder": TinyPart(
                class_name="SiglipVisionModel",
                config={
                    "hidden_size": SIGLIP_WIDTH,
                    "intermediate_size": 2 * _WIDTH,
                    "num_hidden_layers": 1,
                    "num_attention_heads": 2,
                    "patch_size": 14,
                    "image_size": 384,
                    "vision_use_head": False,
                },
            )
        },
    ),
)
"""Encoders that several families read."""
