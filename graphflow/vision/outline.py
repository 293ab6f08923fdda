"""Outlining things in pictures: Segment Anything (Kirillov et al. 2023, arXiv:2304.02643), and removing backgrounds."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from graphflow.basics.inference import inference
from graphflow.errors import ModelFormatError
from graphflow.vision.networks import OnnxNetwork, StandInNetwork, VisionNetwork, picture_bytes

Box = tuple[float, float, float, float]
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BACKGROUND_EDGE = 1024


@inference
def outlines(
    network: VisionNetwork, picture: Tensor, boxes: Sequence[Box], *, points: bool, threshold: float
) -> list[Tensor | None]:
    """Outline what boxes hold.

    Args:
        network: A Segment Anything model.
        picture: (3, H, W) in [0, 1].
        boxes: Left, top, right and bottom in pixels.
        points: Point at the middle of each box, too.
        threshold: How good an outline has to be by the network's own estimate.

    Returns:
        For each box a mask (H, W) of 0 and 1: all outlines that are good enough together; None where none is.

    Raises:
        ModelFormatError: It is no such model.
    """
    if network.kind not in ("SamModel", "Sam2Model", "SamHQModel"):
        raise ModelFormatError(f"is a {network.kind}, which outlines nothing", where=network.name)
    if not boxes:
        return []
    middles = [[[(left + right) / 2, (top + bottom) / 2]] for left, top, right, bottom in boxes]
    processor = network.processor()
    inputs = processor(
        images=picture_bytes(picture),
        input_boxes=[[list(box) for box in boxes]],
        input_points=[middles] if points else None,
        input_labels=[[[1]] * len(boxes)] if points else None,
        return_tensors="pt",
    )
    sizes = {name: inputs.pop(name) for name in ("original_sizes", "reshaped_input_sizes") if name in inputs}
    output = network.run({name: _float(value) for name, value in inputs.items()})
    (masks,) = processor.post_process_masks(output.pred_masks.cpu(), *sizes.values())
    scores = output.iou_scores[0].float().cpu()
    found: list[Tensor | None] = []
    for drawn, score in zip(masks, scores, strict=True):
        good = drawn[score >= threshold]
        found.append(good.float().amax(0) if len(good) else None)
    return found


@inference
def foreground(network: VisionNetwork, pixels: Tensor, *, centred: bool) -> Tensor:
    """How much of each place of pictures (B, 3, H, W) is foreground: (B, H, W) in [0, 1].

    The networks are those that rembg publishes, and others of their form: one picture in, one plane out, as shares or
    as logits.

    Args:
        network: The network.
        pixels: The pictures, in [0, 1].
        centred: The network reads colours between -0.5 and 0.5 (IS-Net), not of ImageNet's statistics.

    Raises:
        ModelFormatError: It is none of these.
    """
    if isinstance(network.module, StandInNetwork):
        return pixels.mean(dim=1)
    if not isinstance(network.module, OnnxNetwork):
        raise ModelFormatError(f"is a {network.kind}, not an ONNX file", where=network.name)
    size = network.module.edges(_BACKGROUND_EDGE)
    statistics = ((0.5,) * 3, (1.0,) * 3) if centred else (_MEAN, _STD)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in statistics)
    found = []
    for picture in pixels.split(1):
        small = functional.interpolate(picture, size=size, mode="bilinear", align_corners=False, antialias=True)
        plane = network.module((small - mean) / std)[0]
        if plane.ndim != 4 or plane.shape[1] != 1:
            raise ModelFormatError(f"it gives {list(plane.shape)}, not one plane a picture", where=network.name)
        plane = plane.sigmoid() if float(plane.min()) < -0.01 or float(plane.max()) > 1.01 else plane
        low, high = plane.aminmax()
        plane = (plane - low) / (high - low).clamp(min=1e-6)
        found.append(functional.interpolate(plane, size=picture.shape[-2:], mode="bilinear", align_corners=False)[:, 0])
    return torch.cat(found)


def _float(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
