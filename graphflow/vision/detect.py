"""Finding things in pictures: by a detector's own classes, or by words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphflow.basics.inference import inference
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.vision.networks import OnnxNetwork, VisionNetwork, picture_bytes

_IOU = 0.7
"""Two boxes of one class that overlap more are one thing; Ultralytics' default."""
_EDGE, _GREY = 640, 114 / 255
"""Input size and margins that Ultralytics' networks are trained with."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A thing that a detector found.

    Attributes:
        box: Left, top, right and bottom in pixels.
        score: How sure the detector is.
        label: What it is.
        mask: Its outline (H, W), 0 or 1, where the detector gives one.
    """

    box: tuple[float, float, float, float]
    score: float
    label: str
    mask: Tensor | None = None


def outlined(mask: Tensor, *, label: str, score: float) -> list[Found]:
    """What a mask (H, W) outlines, with the rectangle around it; nothing where it is empty."""
    rows, columns = mask.amax(1).nonzero().flatten().tolist(), mask.amax(0).nonzero().flatten().tolist()
    if not rows:
        return []
    box = (float(columns[0]), float(rows[0]), columns[-1] + 1.0, rows[-1] + 1.0)
    return [Found(box=box, score=score, label=label, mask=mask)]


@inference
def detect(network: VisionNetwork, picture: Tensor, *, words: str, threshold: float) -> list[Found]:
    """Find things in a picture, those that the detector is surest of first.

    Args:
        network: The detector.
        picture: (3, H, W) in [0, 1].
        words: What to look for, divided by commas or full stops, where the detector goes by words.
        threshold: How sure the detector has to be.

    Raises:
        InvalidInputError: The detector goes by words, and there are none.
        ModelFormatError: It is no detector.
    """
    if isinstance(network.module, OnnxNetwork):
        found = _yolo(network.module, picture, threshold)
    elif (by_words := _BY_WORDS.get(network.kind)) is not None:
        asked = [word.strip() for word in words.replace(".", ",").split(",") if word.strip()]
        if not asked:
            raise InvalidInputError(
                f"{network.name} finds what words say", where="words", advice="say what to look for"
            )
        found = by_words(network, picture, asked, threshold)
    elif hasattr(network.module, "class_labels_classifier") or network.kind.endswith("ForObjectDetection"):
        found = _classes(network, picture, threshold)
    else:
        raise ModelFormatError(f"is a {network.kind}, which detects nothing", where=network.name)
    return sorted(found, key=lambda one: -one.score)


def _yolo(network: OnnxNetwork, picture: Tensor, threshold: float) -> list[Found]:
    """Networks in the form in which Ultralytics exports YOLOv8 and later, with outlines or without.

    They give boxes (1, 4 + classes + m, N) as middles and sizes, or after their own selection (1, N, 6 + m) as corners;
    where there are outlines, these are m factors of shapes (1, m, h, w).
    """
    rows, columns = network.edges(_EDGE)
    height, width = picture.shape[-2:]
    scale = min(rows / height, columns / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (rows - inner[0]) // 2, (columns - inner[1]) // 2
    given = torch.full((1, 3, rows, columns), _GREY)
    given[..., top : top + inner[0], left : left + inner[1]] = _resized(picture[None], inner)
    outputs = network(given)
    shapes = outputs[1][0] if len(outputs) > 1 and outputs[1].ndim == 4 else torch.zeros(0, 1, 1)
    count = len(shapes)
    first = outputs[0].shape
    if len(first) != 3 or (first[2] != 6 + count and first[1] < 5 + count):
        raise ModelFormatError(
            "its outputs are none that Ultralytics' detectors have",
            where=str(network.path),
            advice="export a detector of YOLOv8 or later: yolo export model=NAME.pt format=onnx",
        )
    boxes, scores, kinds, factors = _rows(outputs[0][0], count, threshold)
    names = network.names
    place = torch.tensor([left, top, left, top])
    limits = torch.tensor([width, height, width, height]).float()
    found = []
    for box, score, kind, factor in zip(boxes, scores.tolist(), kinds.tolist(), factors, strict=True):
        corners = ((box - place) / scale).clamp(min=0).minimum(limits)
        mask = None
        if count:
            drawn = _resized(torch.einsum("m,mhw->hw", factor, shapes).sigmoid()[None, None], (rows, columns))
            drawn = _resized(drawn[..., top : top + inner[0], left : left + inner[1]], (height, width))[0, 0]
            mask = (drawn > 0.5).float() * _inside(corners.tolist(), height, width)
        found.append(Found(box=_corners(corners), score=score, label=names.get(int(kind), str(int(kind))), mask=mask))
    return found


def _rows(raw: Tensor, factors: int, threshold: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Corners (N, 4), scores (N), classes (N) and factors (N, m) of what is sure enough, each thing once."""
    from torchvision.ops import batched_nms

    if raw.shape[1] == 6 + factors:
        chosen = raw[raw[:, 4] >= threshold]
        return chosen[:, :4], chosen[:, 4], chosen[:, 5], chosen[:, 6:]
    rows = raw.T
    scores, kinds = rows[:, 4 : rows.shape[1] - factors].max(dim=1)
    sure = scores >= threshold
    rows, scores, kinds = rows[sure], scores[sure], kinds[sure]
    middle, half = rows[:, :2], rows[:, 2:4] / 2
    boxes = torch.cat([middle - half, middle + half], dim=1)
    kept = batched_nms(boxes, scores, kinds, _IOU)
    return boxes[kept], scores[kept], kinds[kept], rows[kept, rows.shape[1] - factors :]


def _classes(network: VisionNetwork, picture: Tensor, threshold: float) -> list[Found]:
    """Detectors of transformers that know their classes (DETR, RT-DETR, YOLOS and others)."""
    processor = network.processor()
    inputs = processor(images=picture_bytes(picture), return_tensors="pt")
    output = network.run({"pixel_values": inputs["pixel_values"]})
    (found,) = processor.post_process_object_detection(output, threshold=threshold, target_sizes=[picture.shape[-2:]])
    names = network.module.config.id2label
    return _listed(found, picture, [names.get(int(label), str(int(label))) for label in found["labels"]])


def _grounded(network: VisionNetwork, picture: Tensor, words: list[str], threshold: float) -> list[Found]:
    """Grounding DINO (Liu et al. 2023, arXiv:2303.05499), which reads one text of phrases."""
    processor = network.processor()
    inputs = processor(
        images=picture_bytes(picture), text=" ".join(f"{word.lower()}." for word in words), return_tensors="pt"
    )
    output = network.run(inputs)
    (found,) = processor.post_process_grounded_object_detection(
        output, inputs["input_ids"], threshold=threshold, text_threshold=0.25, target_sizes=[tuple(picture.shape[-2:])]
    )
    return _listed(found, picture, found["text_labels"])


def _similar(network: VisionNetwork, picture: Tensor, words: list[str], threshold: float) -> list[Found]:
    """CLIPSeg (Lüddecke and Ecker 2022, arXiv:2112.10003): how well each place fits each word."""
    processor = network.processor()
    inputs = processor(text=words, images=[picture_bytes(picture)] * len(words), padding=True, return_tensors="pt")
    logits = network.run(inputs).logits.float().cpu()
    fits = _resized(logits.reshape(len(words), 1, *logits.shape[-2:]).sigmoid(), tuple(picture.shape[-2:]))[:, 0]
    found: list[Found] = []
    for word, fit in zip(words, fits, strict=True):
        found += outlined((fit > threshold).float(), label=word, score=float(fit.max()))
    return found


_BY_WORDS: Mapping[str, Callable[[VisionNetwork, Tensor, list[str], float], list[Found]]] = {
    "GroundingDinoForObjectDetection": _grounded,
    "MMGroundingDinoForObjectDetection": _grounded,
    "CLIPSegForImageSegmentation": _similar,
}


def _listed(found: Mapping[str, Any], picture: Tensor, labels: Iterable[str]) -> list[Found]:
    height, width = picture.shape[-2:]
    limits = torch.tensor([width, height, width, height]).float()
    boxes = found["boxes"].float().cpu().clamp(min=0).minimum(limits)
    scores = found["scores"].float().cpu().tolist()
    return [
        Found(box=_corners(box), score=score, label=label)
        for box, score, label in zip(boxes, scores, labels, strict=True)
    ]


def _corners(box: Tensor) -> tuple[float, float, float, float]:
    left, top, right, bottom = box.tolist()
    return left, top, right, bottom


def _inside(box: list[float], height: int, width: int) -> Tensor:
    rows, columns = torch.arange(height)[:, None], torch.arange(width)[None, :]
    left, top, right, bottom = box
    return ((rows >= int(top)) & (rows < bottom) & (columns >= int(left)) & (columns < right)).float()


def _resized(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    found: Tensor = torch.nn.functional.interpolate(
        tensor, size=size, mode="bilinear", align_corners=False, antialias=True
    )
    return found
