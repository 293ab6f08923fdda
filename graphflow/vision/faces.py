"""Finding faces and telling whose they are, by ONNX files in the form in which InsightFace's code (MIT) reads them.

SCRFD finds them (Guo et al. 2021, arXiv:2105.04714), ArcFace tells them apart (Deng et al. 2018, arXiv:1801.07698).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from graphflow.basics.inference import inference
from graphflow.errors import ModelFormatError
from graphflow.vision.networks import OnnxNetwork, StandInNetwork, VisionNetwork

CROP_EDGE = 224
"""Of the upright faces that image encoders see."""
_EDGES = (640, 320, 160)
"""Sizes at which a face is looked for: one that fills the picture is found in a small one alone."""
_IOU = 0.4
_RECOGNISER_EDGE, _WIDTH = 112, 512
_PLACES = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Where eyes, nose and corners of the mouth stand in the 112 x 112 pixels that ArcFace reads."""


@dataclass(frozen=True, kw_only=True)
class FoundFaces:
    """Faces in one picture: corners (n, 4), scores (n) and points (n, 5, 2), in pixels."""

    boxes: Tensor
    scores: Tensor
    points: Tensor

    def largest(self) -> Tensor | None:
        """The points (5, 2) of the face with the largest box; None where there is no face."""
        if not len(self.boxes):
            return None
        found: Tensor = self.points[int((self.boxes[:, 2:] - self.boxes[:, :2]).prod(dim=1).argmax())]
        return found


@inference
def find_faces(network: VisionNetwork, picture: Tensor, threshold: float) -> FoundFaces:
    """Find the faces in a picture (3, H, W) of [0, 1] that the network is at least so sure of.

    Raises:
        ModelFormatError: It is no SCRFD network with points.
    """
    if isinstance(network.module, StandInNetwork):
        return _in_the_middle(picture)
    module = _onnx(network)
    found = _looked(module, picture, _EDGES[0], threshold)
    for edge in _EDGES[1:]:
        if not len(found.boxes) and module.edges(0) == (0, 0):
            found = _looked(module, picture, edge, threshold)
    return found


@inference
def recognise(network: VisionNetwork, picture: Tensor, points: Tensor) -> Tensor:
    """The recogniser's vector (D,) of the face in a picture (3, H, W) of [0, 1] whose points (5, 2) are given.

    Raises:
        ModelFormatError: It is no recogniser.
    """
    face = upright(picture, points, _RECOGNISER_EDGE)
    if isinstance(network.module, StandInNetwork):
        small: Tensor = functional.adaptive_avg_pool2d(face.mean(dim=0)[None], (16, _WIDTH // 16)).flatten()
        return small - 0.5
    found = _onnx(network)(((face * 255 - 127.5) / 127.5)[None])[0]
    if found.ndim != 2 or len(found) != 1:
        raise ModelFormatError(
            f"it gives {list(found.shape)}, not one vector a face",
            where=network.name,
            advice="name a recogniser, such as antelopev2's glintr100.onnx; the detector is its own input",
        )
    return found[0]


def upright(picture: Tensor, points: Tensor, edge: int) -> Tensor:
    """The face of a picture (3, H, W) with its points (5, 2) where ArcFace has them, (3, edge, edge).

    The move, turn and scale whose squared error is least; pixels from outside are black.
    """
    places = torch.tensor(_PLACES) * (edge / _RECOGNISER_EDGE)
    x, y = points.float().unbind(dim=1)
    one, none = torch.ones_like(x), torch.zeros_like(x)
    rows = torch.cat([torch.stack([x, -y, one, none], dim=1), torch.stack([y, x, none, one], dim=1)])
    a, b, right, down = torch.linalg.lstsq(rows, places.T.reshape(-1, 1)).solution.flatten().tolist()
    grid, scale = torch.arange(edge, dtype=torch.float32), a * a + b * b
    columns, lines = grid[None, :] - right, grid[:, None] - down
    height, width = picture.shape[-2:]
    at_x = (a * columns + b * lines) / scale * (2 / max(1, width - 1)) - 1
    at_y = (a * lines - b * columns) / scale * (2 / max(1, height - 1)) - 1
    found: Tensor = functional.grid_sample(
        picture[None].float(), torch.stack([at_x, at_y], dim=-1)[None], padding_mode="zeros", align_corners=True
    )
    return found[0]


def _onnx(network: VisionNetwork) -> OnnxNetwork:
    if not isinstance(network.module, OnnxNetwork):
        raise ModelFormatError(f"is a {network.kind}, not an ONNX file", where=network.name)
    return network.module


def _looked(network: OnnxNetwork, picture: Tensor, edge: int, threshold: float) -> FoundFaces:
    """Look at a picture that stands in the upper left of a black rectangle."""
    from torchvision.ops import nms

    rows, columns = network.edges(edge)
    height, width = picture.shape[-2:]
    scale = min(rows / height, columns / width)
    inner = max(1, int(height * scale)), max(1, int(width * scale))
    given = torch.full((1, 3, rows, columns), -127.5 / 128)
    small = functional.interpolate(picture[None], size=inner, mode="bilinear", align_corners=False)
    given[..., : inner[0], : inner[1]] = (small * 255 - 127.5) / 128
    scores, sides, points = _levels(network, network(given))
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for score, side, point in zip(scores, sides, points, strict=True):
        middles, stride = _middles(network, len(score), rows, columns)
        sure = (score >= threshold).nonzero().flatten()
        middle = middles[sure]
        corners = torch.cat([middle - side[sure, :2] * stride, middle + side[sure, 2:] * stride], dim=1)
        found.append((corners, score[sure], middle[:, None] + point[sure].unflatten(1, (5, 2)) * stride))
    boxes, sure_of, places = (torch.cat(parts) for parts in zip(*found, strict=True))
    kept = nms(boxes, sure_of, _IOU)
    return FoundFaces(boxes=boxes[kept] / scale, scores=sure_of[kept], points=places[kept] / scale)


def _levels(network: OnnxNetwork, outputs: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Scores (N,), distances to sides (N, 4) and points (N, 10) of each level, in strides, the finest first."""
    by_width: dict[int, list[Tensor]] = {1: [], 4: [], 10: []}
    for output in outputs:
        by_width.get(output.shape[-1] if output.ndim else 0, []).append(output.reshape(-1, output.shape[-1]))
    scores, sides, points = (sorted(found, key=len, reverse=True) for found in by_width.values())
    if not scores or not [len(one) for one in scores] == [len(one) for one in sides] == [len(one) for one in points]:
        raise ModelFormatError(
            "its outputs are none of SCRFD with points",
            where=str(network.path),
            advice="name a detector of faces, such as buffalo_l's det_10g.onnx or antelopev2's scrfd_10g_bnkps.onnx",
        )
    return [score[:, 0] for score in scores], sides, points


def _middles(network: OnnxNetwork, count: int, rows: int, columns: int) -> tuple[Tensor, int]:
    """Where the places of a level stand (N, 2), and their distance in pixels."""
    for stride in (8, 16, 32, 64, 128):
        down, across = -(-rows // stride), -(-columns // stride)
        anchors, rest = divmod(count, down * across)
        if anchors in (1, 2) and not rest:
            y, x = torch.meshgrid(torch.arange(down), torch.arange(across), indexing="ij")
            places = torch.stack([x, y], dim=-1).reshape(-1, 2).float() * stride
            return places.repeat_interleave(anchors, dim=0), stride
    raise ModelFormatError(f"{count} places fit no picture of {columns} x {rows}", where=str(network.path))


def _in_the_middle(picture: Tensor) -> FoundFaces:
    """What a stand-in finds: a face that fills the middle."""
    height, width = picture.shape[-2:]
    size = torch.tensor([width, height], dtype=torch.float32)
    box = torch.cat([size * 0.25, size * 0.75])[None]
    points = (torch.tensor(_PLACES) / _RECOGNISER_EDGE * 0.5 + 0.25) * size
    return FoundFaces(boxes=box, scores=torch.ones(1), points=points[None])
