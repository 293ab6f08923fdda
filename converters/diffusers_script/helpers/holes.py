"""Pictures with holes, as inpainting UNets read them."""
# mypy: ignore-errors

import torch

from graphflow.pixels.filling import grey_under, with_hole
from graphflow.pixels.resampling import resize_bilinear

from .images import encode_image


def see_hole(vae, images, mask):
    """Latents of pictures, the hole, and what a UNet reads of both: mask and latents."""
    pixels, hole = with_hole(images, mask)
    latents = encode_image(vae, pixels)
    without = encode_image(vae, grey_under(pixels, hole.round()))
    small = resize_bilinear(hole, latents.shape[-2:]).round().to(without)
    small = small.expand(len(without), -1, -1, -1)
    return latents, hole[:, 0], torch.cat([small, without], dim=1)


def see_hole_apart(encode, vae, images, mask):
    """Latents of pictures, the hole (B, 1, H, W), and latents of the pictures without it."""
    pixels, hole = with_hole(images, mask)
    return (
        encode(vae, pixels),
        hole,
        encode(vae, grey_under(pixels, hole.round())),
    )


def see_picture(vae, images, scaled=False):
    """Latents of zeros, and what an editing UNet reads beside noisy ones of the pictures."""
    latents = encode_image(vae, images)
    seen = latents if scaled else latents / vae.config.scaling_factor
    return torch.zeros_like(latents), seen


def read_channels(pipe, channels):
    """Have a UNet read further channels beside noisy latents, until the hook is removed."""

    def before(module, args):
        x, *rest = args
        more = channels.to(x).repeat(len(x) // len(channels), 1, 1, 1)
        more = more.expand(-1, -1, *x.shape[-2:])
        return torch.cat([x, more], dim=1), *rest

    return pipe.unet.register_forward_pre_hook(before)
