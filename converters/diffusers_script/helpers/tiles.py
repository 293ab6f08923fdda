"""Pictures computed tile by tile."""
# mypy: ignore-errors

import torch
from spandrel import ModelLoader

from graphflow.basics.tiles import in_tiles


def in_three_tilings(compute, source, tile, overlap, scale, channels):
    """The mean of square, tall and wide tiles, whose seams lie in different places."""
    half = max(overlap + 1, tile // 2)
    shapes = [(tile, tile), (half, tile * 2), (tile * 2, half)]
    options = {"overlap": overlap, "scale": scale, "channels": channels}
    made = [in_tiles(compute, source, tile=shape, **options) for shape in shapes]
    return sum(made[1:], made[0]) / 3


def decode_in_tiles(vae, latents, tile, overlap):
    """Decode latents to pictures (B, 3, H, W) in [0, 1], in tiles of this many pixels."""
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    latents = (latents / vae.config.scaling_factor).to(vae.device, vae.dtype)
    images = [
        in_three_tilings(
            lambda part: vae.decode(part).sample,
            item,
            tile // scale,
            overlap // scale,
            float(scale),
            vae.config.out_channels,
        )
        for item in latents.split(1)
    ]
    return (torch.cat(images).cpu() / 2 + 0.5).clamp(0, 1)


def encode_in_tiles(vae, images, tile, overlap):
    """Encode pictures to latents at the mode, in tiles of this many pixels."""
    edge = 2 ** (len(vae.config.block_out_channels) - 1)
    height, width = images.shape[-2:]
    top, left = height % edge // 2, width % edge // 2
    bottom, right = top + height // edge * edge, left + width // edge * edge
    images = images[:, :3, top:bottom, left:right] * 2 - 1
    latents = [
        in_three_tilings(
            lambda part: vae.encode(part).latent_dist.mode(),
            image,
            tile,
            overlap,
            1 / edge,
            vae.config.latent_channels,
        )
        for image in images.to(vae.device, vae.dtype).split(1)
    ]
    return torch.cat(latents) * vae.config.scaling_factor


def load_upscaler(path, device):
    """A network that makes pictures larger; spandrel recognises its architecture."""
    return ModelLoader(device=device).load_from_file(path).eval()


def upscale(network, images, tile=512, overlap=32):
    """Upscale pictures (B, 3 or 4, H, W) by the network's own factor, in tiles."""
    whole = max(images.shape[-2:])
    tiled = tile and network.tiling.name != "INTERNAL"
    tile = min(tile, whole) if tiled else whole

    def compute(part):
        planes = [part.to(network.device, network.dtype)]
        if network.input_channels == 1:
            planes = planes[0].split(1, dim=1)
        return torch.cat([network(plane) for plane in planes], dim=1).cpu()

    options = {"overlap": min(overlap, tile // 2), "scale": float(network.scale)}
    larger = in_tiles(compute, images[:, :3], tile=(tile, tile), channels=3, **options)
    larger = larger.clamp(0, 1)
    if images.shape[1] == 3:
        return larger
    size = larger.shape[-2:]
    alpha = torch.nn.functional.interpolate(images[:, 3:], size=size, mode="bilinear")
    return torch.cat([larger, alpha], dim=1)
