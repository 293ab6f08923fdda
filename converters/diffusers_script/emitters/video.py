"""Videos of one picture, and pictures as a video."""

from __future__ import annotations

from typing import Any

from ..conditionings import Conditioning, Entry
from ..handles import EmptyLatent, Frames
from ..layout import call
from ..models import ModelPart
from ..nets import autoencoder_functions, how_to_load
from .base import Emission, Emitter
from .loaders import in_parts, make_base


def load_image_to_video_checkpoint(emission: Emission) -> dict[str, ModelPart]:
    """A checkpoint of Stable Video Diffusion."""
    base = make_base(emission, "MODEL", ())
    if how_to_load(base) == "from_single_file":
        base = in_parts(emission, base)
    return {part: ModelPart(base, part) for part in ("model", "image_encoder", "vae")}


def svd_conditioning(emission: Emission) -> dict[str, Any]:
    """The picture that a video begins with: what is seen in it, and its latents."""
    encoder, vae = emission.part("image_encoder"), emission.part("vae")
    image, script = emission.pixels("image").variable, emission.script
    emission.begin()
    width, height = emission.value("width"), emission.value("height")
    encode = (autoencoder_functions(vae) or ("encode_raw",))[0]
    script.need("seen_picture", "first_frame", "zeroed", encode)
    seen = script.assign("seen", call("seen_picture", emission.loader.component(encoder), image))
    noise = emission.options(noise_augmentation=0.0)
    frame = script.assign("frame", call("first_frame", image, f"({height}, {width})", *noise.values()))
    picture = script.assign("picture", call(encode, emission.loader.vae(vae), frame))
    told = {name: emission.value(name) for name in ("fps", "motion", "noise_augmentation")}

    def side(embeds: str, shown: str) -> Conditioning:
        settings = tuple({**told, "picture": shown}.items())
        entry = Entry(ModelPart(encoder.base, "text_encoder"), "", emission.node.id, variable=embeds, settings=settings)
        return Conditioning((entry,))

    return {
        "positive": side(seen, picture),
        "negative": side(script.assign("nothing", f"zeroed({seen})"), f"torch.zeros_like({picture})"),
        "latent": EmptyLatent(width, height, emission.value("length"), "4", emission.node.id),
    }


def images_to_video(emission: Emission) -> Frames:
    """Pictures, and how many are shown a second."""
    return Frames(emission.pixels("images").variable, emission.value("fps"))


EMITTERS: dict[str, Emitter] = {
    "load_image_to_video_checkpoint": load_image_to_video_checkpoint,
    "svd_conditioning": svd_conditioning,
    "images_to_video": images_to_video,
}
