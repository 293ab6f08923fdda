"""Nodes that find things in pictures, outline them, and remove what is behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow import runtime
from graphflow.limits import LIMITS
from graphflow.spec.decorator import ModelName, node
from graphflow.values import Image, Mask, Segment, Segments, VisionModel

from ..choices import Offset, Pictures, Share
from .common import CropFactor, Things, require_same_size

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from graphflow.vision.detect import Found
    from graphflow.vision.networks import VisionNetwork

__all__ = [
    "describe_image",
    "detect_segments",
    "foreground_mask",
    "outline_segments",
    "segments_from_mask",
    "tile_segments",
]

Growth = Annotated[
    int, Field(ge=-512, le=512, description="edge in pixels of the square by which masks grow; negative shrinks")
]


@node("detect_segments", lane="device")
def detect_segments(
    image: Pictures,
    detector: Annotated[
        str,
        ModelName("detector"),
        Field(
            min_length=1,
            description="an ONNX file of a YOLO network, or a folder of transformers: DETR and its kin, Grounding DINO,"
            " CLIPSeg",
        ),
    ],
    words: Annotated[
        str, Field(max_length=LIMITS.text, description="what to look for, divided by commas, where it goes by words")
    ] = "",
    threshold: Annotated[Share, Field(description="how sure the detector has to be")] = 0.5,
    outline: Annotated[
        bool, Field(description="take the outline where the detector gives one; else the whole box")
    ] = False,
    dilation: Growth = 0,
    crop_factor: CropFactor = 3.0,
    smallest: Annotated[Offset, Field(description="leave out things of which an edge is not longer, in pixels")] = 10,
) -> Segments:
    """Find things in pictures; those of each picture are in the order of the detector's certainty.

    YOLO networks come as Ultralytics exports them (``yolo export model=NAME.pt format=onnx``) and need onnxruntime.

    Raises:
        ModelNotFoundError: There is no such detector, or onnxruntime is not installed.
        ModelFormatError: It is none, or a pickle file.
        InvalidInputError: The detector goes by words, and there are none.
        LimitError: It finds too many things.
    """
    from graphflow.pixels.segments import within_limits
    from graphflow.vision.detect import detect

    def parts() -> Iterator[Segment]:
        for item, picture in enumerate(image.pixels[:, :3]):
            runtime.current().check_cancelled()
            found = detect(network, picture, words=words, threshold=threshold)
            yield from _segments(
                found, image, item, outline=outline, dilation=dilation, factor=crop_factor, smallest=smallest
            )

    height, width = image.pixels.shape[-2:]
    with _used(detector, "detector") as network:
        return Segments(width=width, height=height, parts=within_limits(parts()))


def _segments(
    found: Iterable[Found], image: Image, item: int, *, outline: bool, dilation: int, factor: float, smallest: int
) -> Iterator[Segment]:
    """Yield what was found in a picture as segments."""
    from graphflow.pixels.segments import filled_box, grown, segment_of

    height, width = image.pixels.shape[-2:]
    for one in found:
        left, top, right, bottom = (round(edge) for edge in one.box)
        box = (left, top, right - left, bottom - top)
        if min(box[2:]) <= max(0, smallest):
            continue
        mask = one.mask if outline and one.mask is not None else filled_box(box, width, height)
        mask = grown(mask[None, None], dilation)[0, 0]
        yield segment_of(mask, box, factor=factor, score=one.score, label=one.label, item=item)


class Described(NamedTuple):
    """What pictures show."""

    text: Annotated[str, Field(description="the answer; of several pictures one below the other")]
    segments: Annotated[Segments, Field(description="the things that it names, where the question is about places")]


@node("describe_image", lane="device")
def describe_image(
    image: Pictures,
    model: Annotated[
        str, ModelName("describer"), Field(min_length=1, description="a folder of Florence-2, as transformers has it")
    ],
    task: Annotated[
        Literal[
            "caption", "detailed_caption", "long_caption", "read_text", "things", "described_regions", "regions",
            "find_phrases", "outline_phrase",
        ],
        Field(description="what to ask: for words, for things and where they are, or where what words say is"),
    ] = "caption",
    words: Annotated[
        str, Field(max_length=LIMITS.text, description="what find_phrases and outline_phrase look for")
    ] = "",
    tokens: Annotated[int, Field(ge=1, le=4096, description="length of an answer at most")] = 1024,
    beams: Annotated[int, Field(ge=1, le=64, description="answers followed at once; the likeliest is given")] = 3,
    crop_factor: CropFactor = 1.0,
) -> Described:  # fmt: skip
    """Tell in words what pictures show, or where things are, by Florence-2 (Xiao et al. 2023, arXiv:2311.06242).

    Raises:
        ModelNotFoundError: There is no such model.
        ModelFormatError: It is another one, or one that runs code of its own.
        InvalidInputError: The task looks for words, and there are none.
        LimitError: It names too many things.
    """
    from graphflow.pixels.segments import within_limits
    from graphflow.vision.describe import describe

    texts: list[str] = []

    def parts() -> Iterator[Segment]:
        for item, picture in enumerate(image.pixels[:, :3]):
            runtime.current().check_cancelled()
            text, found = describe(network, picture, task, words=words, most=tokens, beams=beams)
            texts.append(text)
            yield from _segments(found, image, item, outline=True, dilation=0, factor=crop_factor, smallest=0)

    height, width = image.pixels.shape[-2:]
    with _used(model, "describer") as network:
        segments = Segments(width=width, height=height, parts=within_limits(parts()))
    return Described("\n".join(texts), segments)


@node("outline_segments", lane="device")
def outline_segments(
    segments: Things,
    image: Pictures,
    segmenter: Annotated[
        str, ModelName("segmenter"), Field(min_length=1, description="a folder of a Segment Anything model")
    ],
    threshold: Annotated[
        Share, Field(description="how good an outline has to be by the network's own estimate")
    ] = 0.93,
    expansion: Annotated[Offset, Field(description="pixels by which boxes grow before")] = 0,
    points: Annotated[bool, Field(description="point at the middle of each box, too")] = True,
    dilation: Growth = 0,
    inside: Annotated[bool, Field(description="keep of the outlines what lies in the masks so far")] = False,
) -> Segments:
    """Outline things by Segment Anything (Kirillov et al. 2023, arXiv:2304.02643); what it does not find stays as it is.

    Raises:
        ModelNotFoundError: There is no such model.
        ModelFormatError: It is none.
        InvalidInputError: The segments are those of pictures of another size.
    """
    import torch

    from graphflow.pixels.segments import grown
    from graphflow.vision.outline import outlines

    require_same_size(segments, image)
    parts = list(segments.parts)
    with _used(segmenter, "segmenter") as network:
        for item, picture in enumerate(image.pixels[:, :3]):
            runtime.current().check_cancelled()
            mine = [index for index, part in enumerate(parts) if part.item == item]
            boxes = [_grown(parts[index].box, expansion, segments.width, segments.height) for index in mine]
            found = outlines(network, picture, boxes, points=points, threshold=threshold)
            for index, mask in zip(mine, found, strict=True):
                if mask is None:
                    continue
                x, y, across, down = parts[index].crop
                cut = grown(mask[None, None], dilation)[0, 0, y : y + down, x : x + across]
                cut = torch.minimum(cut, parts[index].mask) if inside else cut.clone()
                parts[index] = replace(parts[index], mask=cut)
    return replace(segments, parts=tuple(parts))


@node("segments_from_mask")
def segments_from_mask(
    mask: Annotated[Mask, Field(description="the masks, one for each picture; what is above 0 belongs to a thing")],
    together: Annotated[bool, Field(description="take a mask as one thing, not each of its connected parts")] = False,
    crop_factor: CropFactor = 3.0,
    aspect: Annotated[
        float,
        Field(
            ge=0,
            le=64,
            description="width / height that cut-outs grow to as far as the picture allows; 0 leaves theirs",
        ),
    ] = 0.0,
    fill_box: Annotated[bool, Field(description="take the whole box around a thing")] = False,
    fill_holes: Annotated[bool, Field(description="fill what a thing encloses")] = False,
    smallest: Annotated[Offset, Field(description="leave out things of which an edge is not longer, in pixels")] = 10,
    whole_if_empty: Annotated[
        bool, Field(description="where a mask is empty take the whole picture, of which nothing changes")
    ] = False,
) -> Segments:
    """Take the connected parts of masks (B, H, W) as things in pictures.

    Raises:
        LimitError: There are too many.
    """
    from graphflow.pixels import segments

    return segments.segments_from_mask(
        mask.values,
        together=together,
        factor=crop_factor,
        fill_box=fill_box,
        fill_holes=fill_holes,
        smallest=smallest,
        shape=aspect,
        whole_if_empty=whole_if_empty,
    )


@node("tile_segments")
def tile_segments(
    image: Pictures,
    tile_width: Annotated[int, Field(ge=64, le=8192, description="pixels")] = 768,
    tile_height: Annotated[int, Field(ge=64, le=8192, description="pixels")] = 768,
    overlap: Annotated[Offset, Field(description="pixels that neighbours share at least, at most half of a tile")] = 64,
    margin: Annotated[Offset, Field(description="pixels around a tile that are seen and not changed")] = 0,
) -> Segments:
    """Cover pictures with tiles, row by row, as if each were a thing in them.

    Raises:
        LimitError: There are too many.
    """
    from graphflow.pixels.segments import tiles, within_limits

    count, _, height, width = image.pixels.shape
    overlap = min(overlap, tile_width // 2, tile_height // 2)
    sizes = {"tile_width": tile_width, "tile_height": tile_height, "overlap": overlap, "margin": margin}
    parts = (part for item in range(count) for part in tiles(width, height, item=item, **sizes))
    return Segments(width=width, height=height, parts=within_limits(parts))


@node("foreground_mask", lane="device")
def foreground_mask(
    image: Pictures,
    model: Annotated[
        str,
        ModelName("background_remover"),
        Field(min_length=1, description="an ONNX file: U2-Net, IS-Net, BiRefNet and the like, as rembg publishes them"),
    ],
    centred: Annotated[
        bool, Field(description="the network reads colours from -0.5 to 0.5 (IS-Net), not by ImageNet's statistics")
    ] = False,
) -> Mask:
    """Tell the foreground of pictures from what is behind it: (B, H, W), 1 = foreground.

    U2-Net is Qin et al. 2020 (arXiv:2005.09007), IS-Net Qin et al. 2022 (arXiv:2203.03041), BiRefNet Zheng et al. 2024
    (arXiv:2401.03407).

    Raises:
        ModelNotFoundError: There is no such file, or onnxruntime is not installed.
        ModelFormatError: It is none of these.
    """
    from graphflow.vision.outline import foreground

    with _used(model, "background_remover") as network:
        return Mask(values=foreground(network, image.pixels[:, :3], centred=centred))


def _used(name: str, kind: str) -> AbstractContextManager[VisionNetwork]:
    models = runtime.current().models
    return VisionModel(files=(models.find(name, kind, part=kind),)).use()


def _grown(box: tuple[int, int, int, int], by: int, width: int, height: int) -> tuple[float, float, float, float]:
    x, y, across, down = box
    return (
        float(max(0, x - by)),
        float(max(0, y - by)),
        float(min(width, x + across + by)),
        float(min(height, y + down + by)),
    )
