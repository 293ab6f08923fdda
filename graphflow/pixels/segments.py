"""Things in pictures: rectangles around them, masks of them, cut out and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from graphflow.errors import LimitError
from graphflow.limits import LIMITS
from graphflow.values import Segment, Segments

from .filters import dilate, erode, gaussian_blur
from .resampling import resample

_SAME_SHAPE = 0.02
"""By how much shapes differ that rounding sizes to multiples sets apart."""
Rectangle = tuple[int, int, int, int]
"""(x, y, width, height) in pixels."""


def crop_around(
    box: Rectangle, width: int, height: int, factor: float, shape: float = 0.0
) -> Rectangle:
    """Make a rectangle ``factor`` times as large about its middle, moved inside the picture where it reaches out of it.

    Args:
        box: The rectangle.
        width: Of the picture.
        height: Of the picture.
        factor: How many times as wide and high.
        shape: Width / height that the result grows to, as far as the picture allows; 0 leaves it as it is.
    """
    x, y, across, down = box
    wide, high = across * factor, down * factor
    if shape:
        wide, high = max(wide, high * shape), max(high, wide / shape)
    columns, rows = (
        min(width, max(across, round(wide))),
        min(height, max(down, round(high))),
    )
    left = min(max(0, round(x + across / 2 - columns / 2)), width - columns)
    top = min(max(0, round(y + down / 2 - rows / 2)), height - rows)
    return left, top, columns, rows


def segment_of(
    mask: Tensor,
    box: Rectangle,
    *,
    factor: float,
    shape: float = 0.0,
    score: float = 1.0,
    label: str = "",
    item: int = 0,
) -> Segment:
    """Make a segment of a mask (H, W) of a whole picture and the rectangle around the thing."""
    x, y, across, down = crop = crop_around(
        box, mask.shape[1], mask.shape[0], factor, shape
    )
    cut = mask[y : y + down, x : x + across].clone()
    return Segment(box=box, crop=crop, mask=cut, score=score, label=label, item=item)


def segments_from_mask(
    masks: Tensor,
    *,
    together: bool,
    factor: float,
    fill_box: bool,
    fill_holes: bool,
    smallest: int,
    shape: float = 0.0,
    whole_if_empty: bool = False,
) -> Segments:
    """Find connected parts of masks.

    Args:
        masks: (B, H, W) in [0, 1]; what is above 0 belongs to a part.
        together: Take all parts of a mask as one.
        factor: How many times as large as the part what is cut out around it is.
        fill_box: Take the whole rectangle instead of the part.
        fill_holes: Fill what a part encloses.
        smallest: Edge in pixels that both edges of a part exceed.
        shape: As in :func:`crop_around`.
        whole_if_empty: Take a picture whose mask is empty whole, as a thing of which nothing belongs to it.
    """
    height, width = masks.shape[-2:]

    def parts() -> Iterator[Segment]:
        for item, mask in enumerate(masks):
            if whole_if_empty and not (mask > 0).any():
                box = (0, 0, width, height)
                yield Segment(
                    box=box, crop=box, mask=mask.clone(), label="mask", item=item
                )
                continue
            for part, box in _connected(
                mask, together=together, fill_holes=fill_holes, smallest=smallest
            ):
                shown = filled_box(box, width, height) if fill_box else part
                yield segment_of(
                    shown, box, factor=factor, shape=shape, label="mask", item=item
                )

    return Segments(width=width, height=height, parts=within_limits(parts()))


def _connected(
    mask: Tensor, *, together: bool, fill_holes: bool, smallest: int
) -> Iterator[tuple[Tensor, Rectangle]]:
    """Yield the connected parts of a mask (H, W), each alone, with the rectangles around them."""
    from scipy import ndimage

    inside = (mask > 0).numpy()
    if fill_holes:
        holes = ndimage.binary_fill_holes(inside)
        mask = torch.where(
            torch.from_numpy(holes & ~inside), torch.ones_like(mask), mask
        )
        inside = holes
    numbers, _ = ndimage.label(inside, structure=np.ones((3, 3), dtype=int))
    if together:
        numbers = inside.astype(np.int32)
    for number, place in enumerate(ndimage.find_objects(numbers), 1):
        rows, columns = place
        box = (
            columns.start,
            rows.start,
            columns.stop - columns.start,
            rows.stop - rows.start,
        )
        if min(box[2:]) <= smallest:
            continue
        part = torch.zeros_like(mask)
        part[place] = mask[place] * torch.from_numpy(numbers[place] == number)
        yield part, box


def within_limits(parts: Iterable[Segment]) -> tuple[Segment, ...]:
    """Take segments as long as there are not too many.

    Raises:
        LimitError: There are more, or their masks take more bytes, than the limits allow.
    """
    found: list[Segment] = []
    size = 0
    for part in parts:
        found.append(part)
        size += 4 * part.mask.numel()
        if len(found) > LIMITS.batch or size > LIMITS.held_bytes:
            raise LimitError(
                f"there are more than {LIMITS.batch:,} things, or their cut-outs take more than {LIMITS.held_bytes:,} bytes",
                advice="leave out small things, or cut out less around them",
            )
    return tuple(found)


def filled_box(box: Rectangle, width: int, height: int) -> Tensor:
    """A mask (height, width) that is 1 inside a rectangle."""
    x, y, across, down = box
    mask = torch.zeros(height, width)
    mask[y : y + down, x : x + across] = 1.0
    return mask


def segments_to_masks(segments: Segments, count: int = 1) -> Tensor:
    """Put all things of a picture into one mask: (count, H, W), more where segments lie in later pictures."""
    count = max([count, *(part.item + 1 for part in segments.parts)])
    masks = torch.zeros(count, segments.height, segments.width)
    for part in segments.parts:
        x, y, across, down = part.crop
        under = masks[part.item, y : y + down, x : x + across]
        torch.maximum(under, part.mask, out=under)
    return masks


def changed_masks(segments: Segments, change: Callable[[Tensor], Tensor]) -> Segments:
    """Change the masks (1, 1, h, w) of segments."""
    return replace(
        segments,
        parts=tuple(
            replace(part, mask=change(part.mask[None, None])[0, 0])
            for part in segments.parts
        ),
    )


def grown(mask: Tensor, edge: int) -> Tensor:
    """Widen (…, H, W) by a square of an edge in pixels, or with a negative edge make it narrower."""
    if abs(edge) < 2:
        return mask
    return dilate(mask, edge, edge) if edge > 0 else erode(mask, -edge, -edge)


def softened(mask: Tensor, radius: int) -> Tensor:
    """Blur (B, C, H, W) by Gaussian weights over a radius, less where the mask is small."""
    radius = min(radius, min(mask.shape[-2:]) - 1)
    return gaussian_blur(mask, radius, 1 / 3) if radius > 0 else mask


def masked_segments(segments: Segments, masks: Tensor, *, keep: bool) -> Segments:
    """Keep of every thing what lies in masks (B, H, W) of the pictures, or what lies outside."""
    parts = []
    for part in segments.parts:
        x, y, across, down = part.crop
        other = masks[min(part.item, len(masks) - 1), y : y + down, x : x + across]
        parts.append(
            replace(part, mask=torch.minimum(part.mask, other if keep else 1 - other))
        )
    return replace(segments, parts=tuple(parts))


_MEASURES: Mapping[str, Callable[[Segment], float]] = MappingProxyType(
    {
        "area": lambda part: float(part.box[2] * part.box[3]),
        "width": lambda part: float(part.box[2]),
        "height": lambda part: float(part.box[3]),
        "left": lambda part: float(part.box[0]),
        "top": lambda part: float(part.box[1]),
        "right": lambda part: float(part.box[0] + part.box[2]),
        "bottom": lambda part: float(part.box[1] + part.box[3]),
        "score": lambda part: part.score,
    }
)
"""What segments can be chosen and ordered by."""


def measure(part: Segment, name: str) -> float:
    """One of `_MEASURES` of a segment, in pixels of its box."""
    return _MEASURES[name](part)


def size_to_draw(
    box: Rectangle,
    crop: Rectangle,
    *,
    guide: int,
    by_box: bool,
    longest: int,
    enlarge_only: bool,
    multiple: int,
) -> tuple[int, int] | None:
    """The size (height, width) at which a cut-out is to be redrawn; None where the thing is large enough.

    Args:
        box: The rectangle around the thing.
        crop: What is cut out.
        guide: Pixels of the shorter edge to reach; 0 leaves the size.
        by_box: Of the thing, not of the cut-out.
        longest: Pixels that no edge exceeds.
        enlarge_only: None for what is large enough; otherwise it keeps its size.
        multiple: Of what edges are multiples.
    """
    scale = 1.0
    if guide:
        scale = guide / min((box if by_box else crop)[2:])
        scale *= min(1.0, longest / (max(crop[2:]) * scale))
        if scale <= 1:
            if enlarge_only:
                return None
            scale = 1.0
    return whole(crop[3] * scale, multiple), whole(crop[2] * scale, multiple)


def fitted(crop: Rectangle, width: int, height: int, multiple: int) -> tuple[int, int]:
    """The largest size (height, width) of a cut-out's shape within a width and a height, in multiples.

    A shape that is off by rounding alone gets the very size.
    """
    if abs(width * crop[3] / (height * crop[2]) - 1) < _SAME_SHAPE:
        return height, width
    scale = min(width / crop[2], height / crop[3])
    return min(height, whole(crop[3] * scale, multiple)), min(
        width, whole(crop[2] * scale, multiple)
    )


def whole(edge: float, multiple: int) -> int:
    """The nearest multiple, at least one."""
    return max(multiple, round(edge / multiple) * multiple)


def cut_out(
    pixels: Tensor, part: Segment, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Cut a thing out of pictures (B, C, H, W): its picture (1, C, h, w) and mask (1, h, w), both at a size."""
    x, y, across, down = part.crop
    picture = pixels[part.item : part.item + 1, :, y : y + down, x : x + across]
    picture = resample(picture, size, "lanczos").clamp(0, 1)
    return picture, resample(part.mask[None, None], size, "bilinear")[0].clamp(0, 1)


def cut_in_proportion(tensor: Tensor, part: Segment, width: int, height: int) -> Tensor:
    """Cut what a segment's cut-out shows out of (B, …, H, W), which stands for a picture of another size.

    Args:
        tensor: One for all pictures, or one for each.
        part: The segment.
        width: Of the pictures that it was found in.
        height: Of these pictures.
    """
    x, y, across, down = part.crop
    rows, columns = tensor.shape[-2:]
    top, left = round(y * rows / height), round(x * columns / width)
    bottom, right = (
        max(top + 1, round((y + down) * rows / height)),
        max(left + 1, round((x + across) * columns / width)),
    )
    item = min(part.item, len(tensor) - 1)
    return tensor[item : item + 1, ..., top:bottom, left:right].clone()


def paste_back(
    pixels: Tensor, parts: Iterable[Segment], pictures: Sequence[Tensor], feather: int
) -> Tensor:
    """Put pictures of things back where they were cut out.

    Args:
        pixels: (B, C, H, W).
        parts: Where they go.
        pictures: (1 or more, C, h, w) each; the first counts, at any size.
        feather: Pixels over which the masks are softened.
    """
    result = pixels.clone()
    for part, picture in zip(parts, pictures, strict=True):
        x, y, across, down = part.crop
        weight = softened(part.mask[None, None], feather).clamp(0, 1)
        under = result[part.item : part.item + 1, :3, y : y + down, x : x + across]
        above = resample(picture[:1, :3], (down, across), "lanczos").clamp(0, 1)
        under.copy_(above * weight + under * (1 - weight))
    return result


def tiles(
    width: int,
    height: int,
    *,
    tile_width: int,
    tile_height: int,
    overlap: int,
    margin: int,
    item: int = 0,
) -> tuple[Segment, ...]:
    """Cover a picture with rectangles, row by row.

    Args:
        width: Of the picture.
        height: Of the picture.
        tile_width: Of a tile.
        tile_height: Of a tile.
        overlap: Pixels that neighbours share at least.
        margin: Pixels around a tile that are looked at and not changed.
        item: The picture's place in its batch.
    """
    found = []
    for y, down in _spans(height, tile_height, overlap):
        for x, across in _spans(width, tile_width, overlap):
            left, top = max(0, x - margin), max(0, y - margin)
            right, bottom = (
                min(width, x + across + margin),
                min(height, y + down + margin),
            )
            box, crop = (x, y, across, down), (left, top, right - left, bottom - top)
            mask = torch.zeros(crop[3], crop[2])
            mask[y - top : y - top + down, x - left : x - left + across] = 1.0
            found.append(
                Segment(box=box, crop=crop, mask=mask, label="tile", item=item)
            )
    return tuple(found)


def _spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Starts and lengths of equal pieces that cover a length, evenly spread."""
    if tile >= length:
        return [(0, length)]
    count = -(-(length - overlap) // max(1, tile - overlap))
    return [
        (round(index * (length - tile) / (count - 1)), tile) for index in range(count)
    ]
