"""Pictures with holes, as inpainting UNets read them."""
# mypy: ignore-errors

import torch
from e_images import encode_image


def see_hole(vae, images, mask):
    """Latents of pictures, the hole, and what a UNet reads of both: mask and latents."""
    interpolate, (height, width) = torch.nn.functional.interpolate, images.shape[-2:]
    hole = interpolate(mask[:, None], size=(height, width), mode="bilinear")
    rows, columns = height // 8 * 8, width // 8 * 8
    top, left = (height - rows) // 2, (width - columns) // 2
    window = (..., slice(top, top + rows), slice(left, left + columns))
    pixels, hole = images[:, :3][window], hole[window]
    latents = encode_image(vae, pixels)
    without = encode_image(vae, (pixels - 0.5) * (1 - hole.round()) + 0.5)
    small = interpolate(hole, size=latents.shape[-2:], mode="bilinear").round()
    small = small.to(without).expand(len(without), -1, -1, -1)
    return latents, hole[:, 0], torch.cat([small, without], dim=1)


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
        return torch.cat([x, more], dim=1), *rest

    return pipe.unet.register_forward_pre_hook(before)
