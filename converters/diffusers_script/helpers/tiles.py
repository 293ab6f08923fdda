"""Pictures computed tile by tile."""
# mypy: ignore-errors

import torch
from spandrel import ModelLoader


def in_tiles(compute, source, tile, overlap, scale):
    """Compute tiles (height, width) of a picture, faded into each other where they overlap."""
    fade = max(1, round(overlap * scale))
    edges = [
        range(0, edge - overlap, max(1, length - overlap)) if edge > length else [0]
        for edge, length in zip(source.shape[-2:], tile, strict=True)
    ]
    height, width = (round(edge * scale) for edge in source.shape[-2:])
    total, weight = 0, torch.zeros(1, 1, height, width)
    for top, left in ((top, left) for top in edges[0] for left in edges[1]):
        part = compute(source[..., top : top + tile[0], left : left + tile[1]])
        part = part.float().cpu()
        mask = ramp(part.shape[-2], fade)[:, None] * ramp(part.shape[-1], fade)
        y, x = round(top * scale), round(left * scale)
        window = (..., slice(y, y + part.shape[-2]), slice(x, x + part.shape[-1]))
        if isinstance(total, int):
            total = torch.zeros(1, part.shape[1], height, width)
        total[window] += part * mask
        weight[window] += mask
    return total / weight


def ramp(length, fade):
    """Weights of the samples along an edge that rise and fall linearly."""
    rise = ((torch.arange(length) + 1) / fade).clamp(max=1.0)
    return rise * rise.flip(0)


def in_three_tilings(compute, source, tile, overlap, scale):
    """The mean of square, tall and wide tiles, whose seams lie in different places."""
    half = max(overlap + 1, tile // 2)
    shapes = [(tile, tile), (half, tile * 2), (tile * 2, half)]
    made = [in_tiles(compute, source, shape, overlap, scale) for shape in shapes]
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
        )
        for item in latents.split(1)
    ]
    return (torch.cat(images) / 2 + 0.5).clamp(0, 1)


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
        )
        for image in images.to(vae.device, vae.dtype).split(1)
    ]
    return torch.cat(latents).to(vae.device) * vae.config.scaling_factor


def load_upscaler(path, device):
    """A network that makes pictures larger; spandrel recognises its architecture."""
    return ModelLoader(device=device).load_from_file(path).eval()


def upscale(network, images, tile=512, overlap=32):
    """Upscale pictures (B, 3 or 4, H, W) by the network's own factor, in tiles."""
    whole = max(images.shape[-2:])
    tiled = tile and network.tiling.name != "INTERNAL"
    tile = min(tile, whole) if tiled else whole

    def compute(part):
        part = part.to(network.device, network.dtype)
        if network.input_channels == 1:
            return torch.cat([network(plane) for plane in part.split(1, dim=1)], dim=1)
        return network(part)

    shape, overlap = (tile, tile), min(overlap, tile // 2)
    items = [
        in_tiles(compute, item, shape, overlap, float(network.scale))
        for item in images[:, :3].split(1)
    ]
    larger = torch.cat(items).clamp(0, 1)
    if images.shape[1] == 3:
        return larger
    size = larger.shape[-2:]
    alpha = torch.nn.functional.interpolate(images[:, 3:], size=size, mode="bilinear")
    return torch.cat([larger, alpha], dim=1)
