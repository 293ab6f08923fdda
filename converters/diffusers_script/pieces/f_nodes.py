"""Pictures and masks, made by tools/make_node_pieces.py from the nodes of the same names."""

# mypy: ignore-errors

import math

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as functional
from scipy import ndimage


def target_size(
    width,
    height,
    *,
    wanted_width=0,
    wanted_height=0,
    scale=1.0,
    megapixels=0.0,
    longest_edge=0,
    max_edge=0,
    multiple_of=1,
):
    """Return the (width, height) that the size parameters of a node ask for."""
    if wanted_width and wanted_height:
        size = (float(wanted_width), float(wanted_height))
    elif wanted_width:
        size = (float(wanted_width), height * wanted_width / width)
    elif wanted_height:
        size = (width * wanted_height / height, float(wanted_height))
    else:
        if longest_edge:
            scale = longest_edge / max(width, height)
        elif megapixels:
            scale = math.sqrt(megapixels * 1024 * 1024 / (width * height))
        size = (width * scale, height * scale)
    longest = max(size)
    if max_edge and longest > max_edge:
        size = (size[0] * max_edge / longest, size[1] * max_edge / longest)
    new_width, new_height = (
        max(multiple_of, round(edge / multiple_of) * multiple_of) for edge in size
    )
    return (new_width, new_height)


def crop_to_shape(tensor, size):
    """Cut (…, H, W) equally on two sides so that it has the shape of size (height, width)."""
    height, width = tensor.shape[-2:]
    wanted = size[1] / size[0]
    x = y = 0
    if width / height > wanted:
        x = min(round((width - height * wanted) / 2), (width - 1) // 2)
    else:
        y = min(round((height - width / wanted) / 2), (height - 1) // 2)
    return tensor[..., y : height - y, x : width - x]


def resample(tensor, size, method, crop="none", *, antialias=False):
    """Resample (B, C, H, W) to size (height, width)."""
    if crop == "center":
        tensor = crop_to_shape(tensor, size)
    if tuple(tensor.shape[-2:]) == size or not tensor.shape[0]:
        return (
            tensor if tensor.shape[0] else tensor.new_zeros((0, tensor.shape[1], *size))
        )
    match method:
        case "nearest":
            return functional.interpolate(tensor, size=size, mode="nearest-exact")
        case "area":
            return functional.interpolate(tensor, size=size, mode="area")
        case "bilinear" | "bicubic":
            return functional.interpolate(
                tensor, size=size, mode=method, align_corners=False, antialias=antialias
            )
        case "lanczos":
            return resampling_lanczos(tensor, size)
        case "lanczos_8bit":
            return resampling_lanczos_8bit(tensor, size)
        case "bislerp":
            return resampling_bislerp(
                resampling_bislerp(tensor.float(), size[1], 3), size[0], 2
            ).to(tensor.dtype)
    raise ValueError(f"there is no resampling method {method!r}")


def resampling_lanczos(tensor, size):
    """Resample with a Lanczos kernel of three lobes, channel by channel in float32."""
    planes = tensor.float().reshape(-1, *tensor.shape[-2:]).cpu().numpy()
    resized = [
        np.asarray(
            PIL.Image.fromarray(plane).resize(
                (size[1], size[0]), PIL.Image.Resampling.LANCZOS
            )
        )
        for plane in planes
    ]
    return torch.from_numpy(np.stack(resized)).reshape(*tensor.shape[:-2], *size)


def resampling_lanczos_8bit(tensor, size):
    """Resample values in [0, 1] with the same kernel on 8 bits, which cuts off what rings beyond black and white."""
    planes = (
        (tensor.float().clamp(0, 1) * 255)
        .to(torch.uint8)
        .reshape(-1, *tensor.shape[-2:])
        .cpu()
        .numpy()
    )
    resized = [
        np.asarray(
            PIL.Image.fromarray(plane).resize(
                (size[1], size[0]), PIL.Image.Resampling.LANCZOS
            )
        )
        for plane in planes
    ]
    return torch.from_numpy(np.stack(resized).astype(np.float32) / 255).reshape(
        *tensor.shape[:-2], *size
    )


def resampling_bislerp(tensor, size, dim):
    """Interpolate (B, C, H, W) along one axis between the two nearest vectors of channels."""
    old = tensor.shape[dim]
    if old == size:
        return tensor
    place = (
        (torch.arange(size, dtype=torch.float32) + 0.5) * (old / size) - 0.5
    ).clamp(0, old - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=old - 1)
    ratio = (
        (place - low)
        .reshape([-1 if axis == dim else 1 for axis in range(4)])
        .to(tensor.device)
    )
    return slerp(tensor.index_select(dim, low), tensor.index_select(dim, high), ratio)


def slerp(first, second, ratio):
    """Interpolate vectors along dimension 1: directions on the sphere, lengths linearly."""
    first_length, second_length = (
        first.norm(dim=1, keepdim=True),
        second.norm(dim=1, keepdim=True),
    )
    first_unit = torch.where(first_length > 0, first / first_length, 0.0)
    second_unit = torch.where(second_length > 0, second / second_length, 0.0)
    cosine = (first_unit * second_unit).sum(dim=1, keepdim=True)
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    unit = (
        ((1 - ratio) * angle).sin() * first_unit + (ratio * angle).sin() * second_unit
    ) / sine
    turned = unit * (first_length * (1 - ratio) + second_length * ratio)
    straight = first * (1 - ratio) + second * ratio
    return torch.where(
        cosine > 1 - 1e-05, first, torch.where(cosine < 1e-05 - 1, straight, turned)
    )


def cycled(tensor, count):
    """(K, ...) as (count, ...): too many items are left out, too few begin again after the last one; K is at least 1."""
    if len(tensor) == count:
        return tensor
    if len(tensor) == 1:
        return tensor.expand(count, *tensor.shape[1:])
    repeats = -(-count // len(tensor))
    return tensor.repeat(repeats, *(1,) * (tensor.ndim - 1))[:count]


def cycle_to(tensor, count):
    """Bring (B, …) to count items, beginning again after the last one."""
    return cycled(tensor, count)


def with_channels(pixels, channels):
    """Return pictures (B, 3 or 4, H, W) with three or four channels; alpha that is new is opaque."""
    if pixels.shape[1] >= channels:
        return pixels[:, :channels]
    return torch.cat([pixels, torch.ones_like(pixels[:, :1])], dim=1)


def gaussian_weights(radius, sigma):
    """Gaussian weights of 2 * radius + 1 samples that sum to 1; sigma is in units of the radius."""
    place = torch.linspace(-1, 1, 2 * radius + 1)
    weights = (-(place**2) / (2 * sigma**2)).exp()
    return weights / weights.sum()


def gaussian_blur(tensor, radius, sigma):
    """Average each sample with its neighbours by Gaussian weights; edges are mirrored."""
    if not tensor.shape[0]:
        return tensor
    weights = gaussian_weights(radius, sigma).to(tensor.device, tensor.dtype)
    planes = tensor.reshape(-1, 1, *tensor.shape[-2:])
    padded = functional.pad(planes, (radius, radius, radius, radius), mode="reflect")
    rows = functional.conv2d(padded, weights.reshape(1, 1, 1, -1))
    return functional.conv2d(rows, weights.reshape(1, 1, -1, 1)).reshape(tensor.shape)


def dilate(tensor, height, width):
    """The largest value within a window of (height, width) around each sample; what lies outside does not count."""
    if not tensor.shape[0]:
        return tensor
    top, left = (height // 2, width // 2)
    padded = functional.pad(
        tensor, (left, width - 1 - left, top, height - 1 - top), value=float("-inf")
    )
    return functional.max_pool2d(
        functional.max_pool2d(padded, (1, width), stride=1), (height, 1), stride=1
    )


def erode(tensor, height, width):
    """The smallest value within a window of (height, width) around each sample."""
    return -dilate(-tensor, height, width)


def paste(destination, source, mask, *, x, y, feather=0, resize_source=False):
    """Return (B, C, H, W) with a source at (x, y); what reaches beyond the edges is left out."""
    count, _, height, width = destination.shape
    result = destination.clone()
    if x >= width or y >= height or (not count):
        return result
    if resize_source:
        source = resample(source, (height, width), "bilinear")
    source = cycle_to(source, count)
    rows, columns = (
        min(source.shape[-2], height - y),
        min(source.shape[-1], width - x),
    )
    if mask is None:
        weight = torch.ones(1, 1, rows, columns, device=destination.device)
    else:
        weight = cycle_to(
            resample(mask[:, None], (source.shape[-2], source.shape[-1]), "bilinear"),
            count,
        )
        weight = weight[..., :rows, :columns].to(destination.device)
    if feather:
        ramp_y = pasting_ramp(rows, feather, before=y > 0, after=y + rows < height)
        ramp_x = pasting_ramp(columns, feather, before=x > 0, after=x + columns < width)
        weight = weight * (ramp_y[:, None] * ramp_x[None, :]).to(destination.device)
    part = source[..., :rows, :columns].to(destination.device)
    under = result[..., y : y + rows, x : x + columns]
    result[..., y : y + rows, x : x + columns] = part * weight + under * (1 - weight)
    return result


def pasting_ramp(length, feather, *, before, after):
    """Weights that rise from 1 / feather to 1 at the edges that fade in."""
    rise = ((torch.arange(length) + 1) / feather).clamp(max=1.0)
    ones = torch.ones(length)
    return (rise if before else ones) * (rise.flip(0) if after else ones)


def rgb(color):
    """Return red, green and blue in [0, 1] of #rrggbb."""
    digits = color.removeprefix("#")
    red, green, blue = (int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4))
    return (red, green, blue)


def filled(color, batch, channels, height, width):
    """Return pictures (B, 3 or 4, H, W) of one colour; a fourth channel is opaque."""
    values = torch.tensor([*rgb(color), 1.0][:channels])
    return (
        values.reshape(1, channels, 1, 1).expand(batch, channels, height, width).clone()
    )


LUMA = (0.299, 0.587, 0.114)


def solid_mask(width=512, height=512, value=1.0):
    """Make a mask (1, height, width) of one value."""
    return torch.full((1, height, width), float(value))


def rectangle_mask(
    width=512, height=512, left=0.25, top=0.25, right=0.75, bottom=0.75, invert=False
):
    """Make a mask (1, height, width) that is 1 inside a rectangle and 0 elsewhere."""
    x0, x1 = (round(left * width), round(right * width))
    y0, y1 = (round(top * height), round(bottom * height))
    values = torch.zeros(1, height, width)
    values[:, y0:y1, x0:x1] = 1.0
    return 1.0 - values if invert else values


def mask_from_image(images, channel="red"):
    """Take one channel of pictures (B, C, H, W) as masks (B, H, W)."""
    if channel == "brightness":
        weights = torch.tensor(LUMA).reshape(1, 3, 1, 1)
        return (images[:, :3] * weights).sum(1).clamp(0, 1)
    index = ("red", "green", "blue", "alpha").index(channel)
    return images[:, index].clone()


def mask_from_color(images, color="#000000", tolerance=0):
    """Make masks (B, H, W) that are 1 where pictures have a colour and 0 elsewhere."""
    wanted = torch.tensor(rgb(color)).reshape(1, 3, 1, 1)
    off = ((images[:, :3].clamp(0, 1) - wanted) * 255).round().abs()
    return (off <= tolerance).all(dim=1).float()


def mask_to_image(mask):
    """Make grey pictures (B, 3, H, W) of masks (B, H, W): 1 is white."""
    return mask[:, None].expand(-1, 3, -1, -1).clone()


def mask_bounds(mask, padding=0):
    """Find the smallest rectangle that holds all pixels above 0, as numbers for a crop."""
    any_item = (mask > 0).any(dim=0)
    rows, columns = (
        any_item.any(dim=1).nonzero().flatten().tolist(),
        any_item.any(dim=0).nonzero().flatten().tolist(),
    )
    height, width = any_item.shape
    left, top = (max(0, columns[0] - padding), max(0, rows[0] - padding))
    right, bottom = (
        min(width, columns[-1] + 1 + padding),
        min(height, rows[-1] + 1 + padding),
    )
    return (left, top, right - left, bottom - top)


def invert_mask(mask):
    """Swap what masks keep and what they make anew: 1 - mask, (B, H, W)."""
    return 1.0 - mask


def grow_mask(mask, amount=0, tapered_corners=True):
    """Grow or shrink the bright parts of masks: grey dilation or erosion, pixel by pixel."""
    step = dilate if amount > 0 else erode
    values = mask[:, None]
    for _ in range(abs(amount)):
        grown = (
            masks_edit_cross(values, amount > 0)
            if tapered_corners
            else step(values, 3, 3)
        )
        if grown.equal(values):
            break
        values = grown
    return values[:, 0]


def feather_mask(mask, left=0, top=0, right=0, bottom=0, across=False):
    """Fade masks out linearly towards the edges of the picture."""
    height, width = mask.shape[-2:]
    far_rows, far_columns = (
        masks_edit_fade(height, bottom).flip(0),
        masks_edit_fade(width, right).flip(0),
    )
    if across:
        far_rows, far_columns = (far_rows.roll(1), far_columns.roll(1))
    rows, columns = (
        masks_edit_fade(height, top) * far_rows,
        masks_edit_fade(width, left) * far_columns,
    )
    return mask * rows[:, None] * columns[None, :]


def blur_mask(mask, radius=4, sigma=0.0):
    """Soften the edges of masks."""
    return gaussian_blur(
        mask[:, None], radius, max(sigma, 0.1) / radius if sigma else 1 / 3
    )[:, 0].clamp(0, 1)


def threshold_mask(mask, threshold=0.5):
    """Make masks of 0 and 1 only."""
    return (mask > threshold).float()


def crop_mask(mask, x=0, y=0, width=512, height=512):
    """Cut a rectangle out of masks."""
    return crop_rectangle(mask, x, y, width, height)


def resize_mask(mask, width=512, height=512, method="bilinear", crop="none"):
    """Change the size of masks: (B, H, W) to (B, height, width), values stay in [0, 1]."""
    return resample(mask[:, None], (height, width), method, crop)[:, 0].clamp(0, 1)


def compose_masks(destination, source, x=0, y=0, operation="multiply"):
    """Combine masks where a source lies on a destination; values stay in [0, 1]."""
    result = destination.clone()
    count, height, width = result.shape
    if not count or x >= width or y >= height:
        return result
    above = cycle_to(source, count)
    rows, columns = (min(above.shape[-2], height - y), min(above.shape[-1], width - x))
    a, b = (result[:, y : y + rows, x : x + columns], above[:, :rows, :columns])
    result[:, y : y + rows, x : x + columns] = masks_edit_combined(a, b, operation)
    return result.clamp(0, 1)


def crop_rectangle(tensor, x, y, width, height):
    """Cut a rectangle, as far as it lies inside, out of (…, H, W)."""
    _rows, _columns = tensor.shape[-2:]
    return tensor[..., y : y + height, x : x + width]


def masks_edit_combined(a, b, operation):
    match operation:
        case "multiply":
            return a * b
        case "add":
            return a + b
        case "subtract":
            return a - b
        case "and":
            return (a.round().bool() & b.round().bool()).float()
        case "or":
            return (a.round().bool() | b.round().bool()).float()
        case "xor":
            return (a.round().bool() ^ b.round().bool()).float()
    raise ValueError(f"there is no operation {operation!r}")


def masks_edit_cross(values, growing):
    """One step with a cross instead of a square: the better of a row and a column."""
    if growing:
        return torch.maximum(dilate(values, 1, 3), dilate(values, 3, 1))
    return torch.minimum(erode(values, 1, 3), erode(values, 3, 1))


def masks_edit_fade(length, margin):
    """Weights 1 / margin, 2 / margin, … at the beginning of an edge, then 1; a margin has at most the edge's length."""
    margin = min(margin, length)
    return torch.cat(
        [(torch.arange(margin) + 1) / max(1, margin), torch.ones(length - margin)]
    )


def solid_image(width=512, height=512, batch_size=1, color="#000000"):
    """Make pictures (batch_size, 3, height, width) of one colour."""
    return filled(color, batch_size, 3, height, width)


def image_size(images):
    """Tell how large pictures are, as numbers that other nodes take."""
    batch, _, height, width = images.shape
    return (width, height, batch)


def resize(
    images,
    width=0,
    height=0,
    scale=1.0,
    megapixels=0.0,
    longest_edge=0,
    max_edge=0,
    multiple_of=1,
    method="bicubic",
    crop="none",
    antialias=True,
):
    """Change the size of pictures: (B, C, H, W) to (B, C, height, width), values stay in [0, 1]."""
    old_height, old_width = images.shape[-2:]
    new_width, new_height = target_size(
        old_width,
        old_height,
        wanted_width=width,
        wanted_height=height,
        scale=scale,
        megapixels=megapixels,
        longest_edge=longest_edge,
        max_edge=max_edge,
        multiple_of=multiple_of,
    )
    pixels = resample(
        images, (new_height, new_width), method, crop, antialias=antialias
    )
    return pixels.clamp(0, 1)


def resize_and_pad(images, width=512, height=512, color="#000000", method="area"):
    """Fit pictures into a size without changing their shape; margins of one colour fill the rest."""
    batch, channels, old_height, old_width = images.shape
    ratio = min(width / old_width, height / old_height)
    inner_width, inner_height = (
        max(1, int(old_width * ratio)),
        max(1, int(old_height * ratio)),
    )
    inner = resample(images, (inner_height, inner_width), method).clamp(0, 1)
    result = filled(color, batch, channels, height, width)
    left, top = ((width - inner_width) // 2, (height - inner_height) // 2)
    result[..., top : top + inner_height, left : left + inner_width] = inner
    return result


def crop_image(images, x=0, y=0, width=512, height=512):
    """Cut a rectangle out of pictures."""
    return crop_rectangle(images, x, y, width, height)


def pad_image(images, left=0, top=0, right=0, bottom=0, fill="color", color="#000000"):
    """Add margins to pictures."""
    batch, channels, height, width = images.shape
    if fill == "color":
        result = filled(
            color, batch, channels, height + top + bottom, width + left + right
        )
        result[..., top : top + height, left : left + width] = images
        return result
    mode = "replicate" if fill == "edge" else "reflect"
    return functional.pad(images, (left, right, top, bottom), mode=mode)


def flip_image(images, direction="vertical"):
    """Mirror pictures (B, C, H, W)."""
    return images.flip(-2 if direction == "vertical" else -1)


def rotate_image(images, degrees=90):
    """Turn pictures (B, C, H, W) clockwise by a multiple of 90 degrees."""
    return images.rot90(-degrees // 90, (-2, -1))


def stitch_images(
    first, second, direction="right", match_size=True, spacing=0, color="#ffffff"
):
    """Put pictures side by side or one below the other."""
    channels = max(first.shape[1], second.shape[1])
    count = max(first.shape[0], second.shape[0])
    a, b = (
        images_shape_last_to(with_channels(image, channels), count)
        for image in (first, second)
    )
    across = direction in ("right", "left")
    if match_size:
        height, width = a.shape[-2:]
        ratio = b.shape[-1] / b.shape[-2]
        size = (
            (height, max(1, int(height * ratio)))
            if across
            else (max(1, int(width / ratio)), width)
        )
        b = resample(b, size, "lanczos_8bit")
    elif across:
        a, b = (
            images_shape_centred(part, max(a.shape[-2], b.shape[-2]), part.shape[-1])
            for part in (a, b)
        )
    else:
        a, b = (
            images_shape_centred(part, part.shape[-2], max(a.shape[-1], b.shape[-1]))
            for part in (a, b)
        )
    parts = [a, b] if direction in ("right", "down") else [b, a]
    if spacing:
        gap = (a.shape[-2], spacing) if across else (spacing, a.shape[-1])
        parts.insert(1, filled(color, count, channels, *gap))
    return torch.cat(parts, dim=-1 if across else -2)


def images_shape_last_to(pixels, count):
    """Bring (B, …) to count items, repeating the last one."""
    missing = count - pixels.shape[0]
    return torch.cat([pixels, cycle_to(pixels[-1:], missing)]) if missing else pixels


def images_shape_centred(pixels, height, width):
    """Centre pictures on black of (height, width)."""
    rows, columns = (height - pixels.shape[-2], width - pixels.shape[-1])
    return functional.pad(
        pixels, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    )


def blur_image(images, radius=1, sigma=1.0):
    """Blur pictures with Gaussian weights over (2 radius + 1) x (2 radius + 1) pixels."""
    return gaussian_blur(images, radius, sigma).clamp(0, 1)


def sharpen_image(images, radius=1, sigma=1.0, strength=1.0):
    """Sharpen pictures with an unsharp mask: image + strength * (image - blurred)."""
    blurred = gaussian_blur(images, radius, sigma)
    return (images + strength * (images - blurred)).clamp(0, 1)


def morphology(images, operation="dilate", size=3):
    """Grey morphology of pictures with a square, channel by channel (Serra 1982)."""
    pixels = images
    match operation:
        case "erode":
            result = erode(pixels, size, size)
        case "dilate":
            result = dilate(pixels, size, size)
        case "open":
            result = dilate(erode(pixels, size, size), size, size)
        case "close":
            result = erode(dilate(pixels, size, size), size, size)
        case "gradient":
            result = dilate(pixels, size, size) - erode(pixels, size, size)
        case "top_hat":
            result = pixels - dilate(erode(pixels, size, size), size, size)
        case "bottom_hat":
            result = erode(dilate(pixels, size, size), size, size) - pixels
    return result.clamp(0, 1)


def quantize_image(images, colors=256, dither="none"):
    """Reduce pictures to a palette of few colours, chosen by median cut (Heckbert 1982); alpha is left out."""
    if not images.shape[0]:
        return images[:, :3]
    reduced = [
        np.asarray(
            images_filter_quantized(item, colors, dither).convert("RGB"),
            dtype=np.float32,
        )
        / 255
        for item in (images[:, :3].clamp(0, 1) * 255)
        .round()
        .to(torch.uint8)
        .permute(0, 2, 3, 1)
        .numpy()
    ]
    return torch.from_numpy(np.stack(reduced)).permute(0, 3, 1, 2).contiguous()


def add_image_noise(images, seed=0, strength=0.5):
    """Add Gaussian noise to pictures: one draw of shape (B, H, W, C) on the CPU for the whole batch."""
    batch, channels, height, width = images.shape
    noise = torch.randn(
        (batch, height, width, channels),
        generator=torch.Generator("cpu").manual_seed(seed),
    )
    return (images + strength * noise.permute(0, 3, 1, 2)).clamp(0, 1)


def bayer(size):
    """The ordered-dither matrix of a power of two (Bayer 1973), values from 0 to below 1."""
    matrix = torch.zeros(1, 1)
    while matrix.shape[0] < size:
        matrix = torch.cat(
            [
                torch.cat([4 * matrix, 4 * matrix + 2], 1),
                torch.cat([4 * matrix + 3, 4 * matrix + 1], 1),
            ],
            0,
        )
    return matrix / size**2


def images_filter_quantized(array, colors, dither):
    picture = PIL.Image.fromarray(array)
    palette = picture.quantize(colors)
    if dither == "none":
        return palette
    if dither == "floyd-steinberg":
        return picture.quantize(
            colors, palette=palette, dither=PIL.Image.Dither.FLOYDSTEINBERG
        )
    order = int(dither.removeprefix("bayer-"))
    pattern = bayer(order).numpy() - 0.5
    height, width = array.shape[:2]
    tiled = np.tile(pattern, (-(-height // order), -(-width // order)))[
        :height, :width, None
    ]
    shifted = np.clip(array + tiled * (2 * 256 / colors), 0, 255).astype(np.uint8)
    return PIL.Image.fromarray(shifted).quantize(
        colors, palette=palette, dither=PIL.Image.Dither.NONE
    )


def composite_images(
    destination, source, mask=None, x=0, y=0, feather=0, resize_source=False
):
    """Paste pictures into others; what lies outside is left out."""
    pixels = paste(
        destination,
        with_channels(source, destination.shape[1]),
        None if mask is None else mask,
        x=x,
        y=y,
        feather=feather,
        resize_source=resize_source,
    )
    return pixels.clamp(0, 1)


def blend_images(first, second, factor=0.5, mode="normal"):
    """Blend pictures: first * (1 - factor) + blended(first, second) * factor; alpha is the first's."""
    a = first[:, :3]
    height, width = a.shape[-2:]
    b = cycle_to(
        resample(second[:, :3], (height, width), "bicubic", "center").clamp(0, 1),
        a.shape[0],
    )
    mixed = (a * (1 - factor) + images_mix_blended(a, b, mode) * factor).clamp(0, 1)
    return torch.cat([mixed, first[:, 3:]], dim=1)


def images_mix_blended(a, b, mode):
    match mode:
        case "normal":
            return b
        case "multiply":
            return a * b
        case "screen":
            return 1 - (1 - a) * (1 - b)
        case "overlay":
            return torch.where(a <= 0.5, 2 * a * b, 1 - 2 * (1 - a) * (1 - b))
        case "soft_light":
            bright = torch.where(a <= 0.25, ((16 * a - 12) * a + 4) * a, a.sqrt())
            return torch.where(
                b <= 0.5, a - (1 - 2 * b) * a * (1 - a), a + (2 * b - 1) * (bright - a)
            )
        case "difference":
            return (a - b).abs()
        case "subtract":
            return a - b
    raise ValueError(f"there is no mode {mode!r}")


def join_alpha(images, mask):
    """Give pictures an alpha channel: (B, 3 or 4, H, W) to (B, 4, H, W)."""
    alpha = (1 - images_alpha_plane(mask, images)).clamp(0, 1)
    return torch.cat([images[:, :3], alpha], dim=1)


def split_alpha(images):
    """Take pictures apart into colours and transparency; without an alpha channel nothing is transparent."""
    pixels = images
    alpha = pixels[:, 3] if pixels.shape[1] == 4 else torch.ones_like(pixels[:, 0])
    return (pixels[:, :3].clone(), 1 - alpha)


def porter_duff(source, source_alpha, destination, destination_alpha, mode="src_over"):
    """Composite two partly transparent pictures."""
    height, width = destination.shape[-2:]
    count = destination.shape[0]
    src = cycle_to(
        resample(source[:, :3], (height, width), "bicubic", "center").clamp(0, 1), count
    )
    sa, da = (
        1 - images_alpha_plane(source_alpha, destination),
        1 - images_alpha_plane(destination_alpha, destination),
    )
    color, alpha = images_alpha_composited(
        src * sa, sa, destination[:, :3] * da, da, mode
    )
    straight = torch.where(alpha > 1e-05, color / alpha, 0.0).clamp(0, 1)
    return (straight, (1 - alpha[:, 0]).clamp(0, 1))


def images_alpha_composited(s, sa, d, da, mode):
    """Colours multiplied by alpha, and alpha, of a source s and a destination d of the same kind."""
    union = sa + da - sa * da
    both = s * (1 - da) + d * (1 - sa)
    match mode:
        case "add":
            return ((s + d).clamp(max=1), (sa + da).clamp(max=1))
        case "clear":
            return (torch.zeros_like(d), torch.zeros_like(da))
        case "darken":
            return (both + torch.minimum(s, d), union)
        case "lighten":
            return (both + torch.maximum(s, d), union)
        case "dst":
            return (d, da)
        case "dst_atop":
            return (sa * d + s * (1 - da), sa)
        case "dst_in":
            return (d * sa, da * sa)
        case "dst_out":
            return (d * (1 - sa), da * (1 - sa))
        case "dst_over":
            return (d + s * (1 - da), union)
        case "multiply":
            return (s * d, sa * da)
        case "overlay":
            lit = torch.where(2 * d <= da, 2 * s * d, sa * da - 2 * (da - d) * (sa - s))
            return (both + lit, union)
        case "screen":
            return (s + d - s * d, union)
        case "src":
            return (s, sa)
        case "src_atop":
            return (s * da + d * (1 - sa), da)
        case "src_in":
            return (s * da, sa * da)
        case "src_out":
            return (s * (1 - da), sa * (1 - da))
        case "src_over":
            return (s + d * (1 - sa), union)
        case "xor":
            return (both, sa + da - 2 * sa * da)
    raise ValueError(f"there is no operator {mode!r}")


def images_alpha_plane(mask, images):
    """The mask as (B, 1, H, W) of the pictures' size and number."""
    height, width = images.shape[-2:]
    return cycle_to(
        resample(mask[:, None], (height, width), "bilinear"), images.shape[0]
    )


def repeat_images(images, count=2):
    """Put a batch of pictures several times behind itself: (B, C, H, W) to (count * B, C, H, W)."""
    return images.repeat(count, 1, 1, 1)


def invert_image(images):
    """Make negatives of pictures: 1 - colour; alpha stays."""
    return torch.cat([1 - images[:, :3], images[:, 3:]], dim=1)


def adjust_image(images, brightness=0.0, contrast=1.0, saturation=1.0, gamma=1.0):
    """Change gamma, then contrast, then brightness, then saturation of pictures; alpha stays."""
    color = images[:, :3].clamp(0, 1) ** (1 / gamma)
    color = ((color - 0.5) * contrast + 0.5 + brightness).clamp(0, 1)
    grey = images_color_luma(color)
    color = (grey + (color - grey) * saturation).clamp(0, 1)
    return torch.cat([color, images[:, 3:]], dim=1)


def match_colors(images, reference, strength=1.0):
    """Give pictures the mean and spread of a reference's colours (Reinhard et al. 2001), in YCbCr; alpha stays."""
    if not images.shape[0]:
        return images
    own, other = (
        images_color_to_ycbcr(images[:, :3]),
        images_color_to_ycbcr(reference[:1, :3]),
    )
    axes = (2, 3)
    mean, spread = (
        own.mean(axes, keepdim=True),
        own.std(axes, keepdim=True, unbiased=False),
    )
    wanted, wanted_spread = (
        other.mean(axes, keepdim=True),
        other.std(axes, keepdim=True, unbiased=False),
    )
    moved = images_color_to_rgb(
        (own - mean) * (wanted_spread / spread.clamp(min=1e-06)) + wanted
    )
    color = (images[:, :3] * (1 - strength) + moved * strength).clamp(0, 1)
    return torch.cat([color, images[:, 3:]], dim=1)


def rgb_to_yuv(images):
    """Take pictures apart into brightness and colour differences (YCbCr of JPEG, ITU-R BT.601, full range)."""
    planes = images_color_to_ycbcr(images[:, :3]).clamp(0, 1)
    y, u, v = (planes[:, i : i + 1].expand(-1, 3, -1, -1).clone() for i in range(3))
    return (y, u, v)


def yuv_to_rgb(y, u, v):
    """Put pictures together from brightness and colour differences, the means of the channels of each."""
    planes = torch.cat(
        [part[:, :3].mean(dim=1, keepdim=True) for part in (y, u, v)], dim=1
    )
    return images_color_to_rgb(planes).clamp(0, 1)


def images_color_luma(color):
    return (color * torch.tensor(LUMA).reshape(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def images_color_to_ycbcr(color):
    y = images_color_luma(color)
    return torch.cat(
        [y, (color[:, 2:3] - y) * 0.564 + 0.5, (color[:, 0:1] - y) * 0.713 + 0.5], dim=1
    )


def images_color_to_rgb(planes):
    y, cb, cr = (planes[:, 0:1], planes[:, 1:2] - 0.5, planes[:, 2:3] - 0.5)
    return torch.cat(
        [y + 1.403 * cr, y - 0.714 * cr - 0.344 * cb, y + 1.773 * cb], dim=1
    )


def pad_for_outpaint(images, left=0, top=0, right=0, bottom=0, feather=40):
    """Add grey margins to pictures, and make the mask by which sampling fills them."""
    batch, channels, height, width = images.shape
    pixels = torch.full(
        (batch, channels, height + top + bottom, width + left + right), 0.5
    )
    pixels[..., top : top + height, left : left + width] = images
    if channels == 4:
        pixels[:, 3, :top], pixels[:, 3, top + height :] = (1.0, 1.0)
        pixels[:, 3, :, :left], pixels[:, 3, :, left + width :] = (1.0, 1.0)
    mask = torch.ones(1, *pixels.shape[-2:])
    inside = torch.zeros(height, width)
    if feather and 2 * feather < min(height, width):
        rows = torch.minimum(
            inpainting_distance(height, bool(top)),
            inpainting_far_distance(height, bool(bottom)),
        )
        columns = torch.minimum(
            inpainting_distance(width, bool(left)),
            inpainting_far_distance(width, bool(right)),
        )
        nearest = torch.minimum(rows[:, None], columns[None, :])
        inside = ((feather - nearest) / feather).clamp(min=0) ** 2
    mask[:, top : top + height, left : left + width] = inside
    return (pixels, mask)


def inpainting_distance(length, padded):
    """Pixels from the first edge, which counts only where it is padded."""
    return (
        torch.arange(length, dtype=torch.float32)
        if padded
        else torch.full((length,), float(length))
    )


def inpainting_far_distance(length, padded):
    """Pixels to the end of the last edge; the last pixel has distance 1."""
    return (
        length - torch.arange(length, dtype=torch.float32)
        if padded
        else torch.full((length,), float(length))
    )


def flip_latent(latent, direction="vertical"):
    """Mirror latents (B, C, h, w)."""
    axis = -2 if direction == "vertical" else -1
    return latents_shape_changed(latent, lambda tensor: tensor.flip(axis))


def rotate_latent(latent, degrees=90):
    """Turn latents (B, C, h, w) clockwise by a multiple of 90 degrees."""
    return latents_shape_changed(
        latent, lambda tensor: tensor.rot90(-degrees // 90, (-2, -1))
    )


def concat_latents(first, second, direction="right"):
    """Put latents beside or below other ones, into one picture, or join videos. Noise masks are left out."""
    a, b = (first, second)
    b = cycle_to(b, a.shape[0])
    if direction in ("after", "before"):
        axis = 2
    else:
        axis = -1 if direction in ("right", "left") else -2
        size = (a.shape[-2], b.shape[-1]) if axis == -1 else (b.shape[-2], a.shape[-1])
        b = resample(b, size, "bilinear", "center")
    joined = torch.cat(
        [a, b] if direction in ("right", "down", "after") else [b, a], dim=axis
    )
    return joined


def latents_shape_changed(latent, change):
    return change(latent)


def blend_latents(first, second, factor=0.5, method="linear"):
    """Mix two latents: first * factor + second * (1 - factor)."""
    a = first
    b = latents_mix_matched(
        first, second, "bicubic" if method == "linear" else "bilinear"
    )
    if method == "linear":
        return a * factor + b * (1 - factor)
    length_a, length_b = (a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True))
    mixed = latents_mix_unit(a, length_a) * factor + latents_mix_unit(b, length_b) * (
        1 - factor
    )
    unit = latents_mix_unit(mixed, mixed.norm(dim=1, keepdim=True))
    return unit * (length_a * factor + length_b * (1 - factor))


def combine_latents(first, second, operation="add"):
    """Add latents, or subtract the second from the first."""
    other = latents_mix_matched(first, second, "bilinear")
    return first + other if operation == "add" else first - other


def multiply_latent(latent, factor=1.0):
    """Multiply latents by a number."""
    return latent * factor


def sharpen_latent(latent, radius=9, sigma=1.0, strength=1.0):
    """Sharpen latents by an unsharp mask on the directions of their vectors of channels; the lengths stay."""
    length = latent.norm(dim=1, keepdim=True) + 1e-06
    unit = latent / length
    sharp = unit + strength * (unit - gaussian_blur(unit, radius, sigma))
    return sharp * length


def tonemap_latent(latent, multiplier=1.0):
    """Compress large vectors of channels as Reinhard's tone mapping does luminance (SIGGRAPH 2002)."""
    if not latent.shape[0]:
        return latent
    length = latent.norm(dim=1, keepdim=True) + 1e-10
    unit = latent / length
    axes = (1, 2, 3)
    spread = (
        length.std(dim=axes, keepdim=True)
        if length.shape[-1] * length.shape[-2] > 1
        else 0.0
    )
    top = (length.mean(dim=axes, keepdim=True) + 5 * spread) * multiplier
    ratio = length / top
    return unit * (ratio / (ratio + 1) * top)


def latents_mix_matched(first, second, method):
    """Bring the second latents to the size and number of the first."""
    height, width = first.shape[-2:]
    return cycle_to(resample(second, (height, width), method, "center"), first.shape[0])


def latents_mix_unit(tensor, length):
    return torch.where(length > 0, tensor / length, 0.0)


def canny_edges(image, low_threshold=0.4, high_threshold=0.8):
    """Draw edges, white on black, by Canny's method (Canny 1986); the thresholds mean what they mean in kornia."""
    edges = canny(image, low_threshold, high_threshold)
    return edges.repeat(1, 3, 1, 1)


CANNY_EPSILON = 1e-06


CANNY_LUMINANCE = (0.299, 0.587, 0.114)


CANNY_NEIGHBOURS = (
    (0, 1),
    (1, 1),
    (1, 0),
    (1, -1),
    (0, -1),
    (-1, -1),
    (-1, 0),
    (-1, 1),
)


def canny(pixels, low, high):
    """Find edges."""
    red, green, blue = pixels[:, :3].float().cpu().split(1, dim=1)
    grey = (
        CANNY_LUMINANCE[0] * red
        + CANNY_LUMINANCE[1] * green
        + CANNY_LUMINANCE[2] * blue
    )
    magnitude, angle = canny_gradient(canny_blurred(grey))
    thinned = canny_thinned(magnitude, angle)
    edges = torch.zeros_like(thinned)
    for item, thin in zip(edges, thinned, strict=True):
        item[0] = canny_connected(thin[0], low, high)
    return edges


def canny_blurred(grey):
    """Gaussian of deviation 1 over 5x5 pixels; the picture is mirrored at its border."""
    x = torch.arange(5, dtype=torch.float32) - 2
    kernel = torch.exp(-(x**2) / 2)
    kernel = kernel / kernel.sum()
    mode = "reflect" if min(grey.shape[-2:]) > 2 else "replicate"
    grey = functional.conv2d(
        functional.pad(grey, (2, 2, 0, 0), mode), kernel.view(1, 1, 1, 5)
    )
    return functional.conv2d(
        functional.pad(grey, (0, 0, 2, 2), mode), kernel.view(1, 1, 5, 1)
    )


def canny_gradient(grey):
    """Sobel's gradient: its length, and its direction in eighths of the circle."""
    sobel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    kernels = torch.stack([sobel, sobel.T])[:, None]
    found = functional.conv2d(functional.pad(grey, (1, 1, 1, 1), "replicate"), kernels)
    across, down = (found[:, :1], found[:, 1:])
    magnitude = torch.sqrt(across**2 + down**2 + CANNY_EPSILON)
    return (
        magnitude,
        torch.round(torch.atan2(down, across) * (180.0 / math.pi) / 45.0),
    )


def canny_thinned(magnitude, angle):
    """Keep what is larger than both neighbours along the gradient; outside of the picture everything is 0."""
    height, width = magnitude.shape[-2:]
    padded = functional.pad(magnitude, (1, 1, 1, 1))
    larger = torch.cat(
        [
            magnitude
            - padded[..., 1 + row : 1 + row + height, 1 + column : 1 + column + width]
            for row, column in CANNY_NEIGHBOURS
        ],
        dim=1,
    )
    ahead, behind = (larger.gather(1, ((angle + turn) % 8).long()) for turn in (0, 4))
    return torch.where(torch.minimum(ahead, behind) > 0, magnitude, 0.0)


def canny_connected(magnitude, low, high):
    """Pixels above low that hang together with one above high, corners counting as touching."""
    groups, count = ndimage.label((magnitude > low).numpy(), structure=np.ones((3, 3)))
    strong = np.zeros(count + 1, dtype=bool)
    strong[groups[(magnitude > high).numpy()]] = True
    strong[0] = False
    return torch.from_numpy(strong[groups]).float()


def fill_masked_image(images, mask, method="surroundings"):
    """Fill what is masked, so that inpainting starts from plain colours instead of what was there."""
    pixels = images
    hole = resample(mask[:, None], (pixels.shape[-2], pixels.shape[-1]), "bilinear")
    colours = pixels[:, :3]
    filled = (
        torch.full_like(colours, 0.5)
        if method == "grey"
        else masked_content_from_surroundings(colours, (hole < 0.5).float())
    )
    mixed = colours + (filled - colours) * hole
    return torch.cat([mixed, pixels[:, 3:]], dim=1)


def fill_masked_latent(latent, noise_mask, content="noise", seed=0):
    """Replace the latents under their noise mask, so that nothing of what was there shines through."""
    samples = latent
    if not samples.shape[0]:
        return latent
    hole = cycle_to(
        resample(
            noise_mask[:, None], (samples.shape[-2], samples.shape[-1]), "bilinear"
        ),
        samples.shape[0],
    )
    filling = torch.zeros_like(samples)
    if content == "noise":
        generator = torch.Generator().manual_seed(seed)
        filling = torch.randn(samples.shape, generator=generator) * samples.std(
            unbiased=samples.numel() > 1
        )
    return samples + (filling - samples) * hole


def masked_content_from_surroundings(colours, known):
    """Colours (B, 3, H, W) with those that are not known (B or 1, 1, H, W) from ever wider averages of the others."""
    weight = known.expand(len(colours), 1, *colours.shape[-2:])
    if min(colours.shape[-2:]) == 1 or not bool((weight == 0).any()):
        mean = (colours * weight).sum(dim=(2, 3), keepdim=True) / weight.sum(
            dim=(2, 3), keepdim=True
        ).clamp(min=1e-06)
        return torch.where(weight > 0, colours, mean)
    total = functional.avg_pool2d(weight, 2, ceil_mode=True)
    coarse = functional.avg_pool2d(colours * weight, 2, ceil_mode=True) / total.clamp(
        min=1e-06
    )
    coarse = masked_content_from_surroundings(coarse, (total > 0).float())
    wide = functional.interpolate(
        coarse, size=colours.shape[-2:], mode="bilinear", align_corners=False
    )
    return torch.where(weight > 0, colours, wide)
