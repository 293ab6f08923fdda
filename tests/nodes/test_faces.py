"""Faces: found, recognised, drawn as points, and acting in a model as Diffusers has them act."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from graphflow import nodes
from graphflow.errors import InvalidInputError, ModelFormatError
from graphflow.loading.manager import ModelManager
from graphflow.values import Conditioning, ConditioningEntry, Faces, Image
from graphflow.vision.faces import upright
from tests.closeness import assert_close
from tests.families.controls import random
from tests.families.ip_adapters import WIDTH, manager_with, pictures, weights
from tests.families.plain_diffusers import latents
from tests.models.onnx_files import write_onnx
from tests.models.tiny import sdxl_parts
from tests.models.tiny_manager import SDXL, error, make_manager, model, running

PLACES = torch.tensor(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where InsightFace's code has eyes, nose and corners of the mouth in 112 x 112 pixels."""
TURNED = torch.tensor([[0.8, -0.6], [0.6, 0.8]])


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ModelManager]:
    found = make_manager(tmp_path)
    with running(found):
        yield found


def detector(path: Path, *faces: tuple[int, float, Sequence[float], Sequence[float]], edge: int = 64) -> None:
    """Write SCRFD that sees faces: the row of its first level, score, distances to sides, and points, both in strides."""
    outputs: list[Any] = []
    for width in (1, 4, 10):
        for stride in (8, 16, 32):
            outputs.append(np.zeros((2 * (edge // stride) ** 2, width), np.float32))
    for row, score, sides, points in faces:
        outputs[0][row], outputs[3][row], outputs[6][row] = score, sides, points
    write_onnx(path, *outputs, edge=edge)


def test_the_largest_face_of_each_picture_is_found_and_recognised(manager: ModelManager, tmp_path: Path) -> None:
    """A picture of 128 x 64 stands at half its size in the upper left; row 36 is the place at x = 16, y = 16."""
    folder = tmp_path / "insightface" / "models" / "buffalo_l"
    small, large = [-0.5, 0, 0.5, 0, 0, 0.25, -0.5, 0.5, 0.5, 0.5], [-1, 0, 1, 0, 0, 0.5, -1, 1, 1, 1]
    detector(
        folder / "det_10g.onnx", (4, 0.99, [0.5] * 4, small), (36, 0.6, [1] * 4, large), (37, 0.55, [1] * 4, large)
    )
    vector = np.arange(512, dtype=np.float32)[None] / 64
    write_onnx(folder / "w600k_r50.onnx", vector, edge=112)
    write_onnx(folder / "genderage.onnx", np.zeros((1, 3, 1), np.float32), edge=112)
    image = Image(pixels=torch.rand(2, 3, 64, 128))
    found = nodes.find_faces(image, "buffalo_l/det_10g.onnx", "buffalo_l/w600k_r50.onnx")
    assert found.points.tolist() == [[[16, 32], [48, 32], [32, 40], [16, 48], [48, 48]]] * 2
    assert_close(found.embeddings, torch.from_numpy(vector).expand(2, -1))
    assert (found.width, found.height, found.crops.shape) == (128, 64, (2, 3, 224, 224))
    with pytest.raises(InvalidInputError, match="picture 1 of 2 shows no face"):
        nodes.find_faces(image, "buffalo_l/det_10g.onnx", "buffalo_l/w600k_r50.onnx", threshold=1.0)
    with pytest.raises(ModelFormatError, match="none of SCRFD"):
        nodes.find_faces(image, "buffalo_l/w600k_r50.onnx", "buffalo_l/w600k_r50.onnx")
    with pytest.raises(ModelFormatError, match="not one vector a face"):
        nodes.find_faces(image, "buffalo_l/det_10g.onnx", "buffalo_l/genderage.onnx")


def test_a_turned_face_stands_upright() -> None:
    points = PLACES @ TURNED.T * 1.5 + torch.tensor([90.0, 20.0])
    y, x = torch.meshgrid(torch.arange(300.0), torch.arange(300.0), indexing="ij")
    picture = torch.stack([torch.exp(-((x - px) ** 2 + (y - py) ** 2) / 18) for px, py in points.tolist()])
    for edge in (112, 224):
        found = upright(picture, points, edge)
        brightest = found.flatten(1).argmax(dim=1)
        where = torch.stack([brightest % edge, brightest // edge], dim=1).float()
        assert (where - PLACES * edge / 112).abs().max() <= 1


def test_points_are_drawn_as_instantid_reads_them() -> None:
    points = torch.tensor([[[20.0, 20.0], [80.0, 20.0], [50.0, 50.0], [30.0, 80.0], [70.0, 80.0]]])
    drawn = nodes.draw_face_points(faces(points=points, width=100, height=90)).pixels
    assert drawn.shape == (1, 3, 90, 100)
    colours = {(20, 20): (1, 0, 0), (80, 20): (0, 1, 0), (50, 50): (0, 0, 1), (30, 80): (1, 1, 0), (70, 80): (1, 0, 1)}
    for (x, y), colour in colours.items():
        assert drawn[0, :, y, x].tolist() == list(colour)
    assert_close(drawn[0, :, 35, 35], torch.tensor([0.6, 0, 0]))  # between an eye and the nose
    assert drawn[0, :, 5, 50].sum() == 0
    discs = (drawn[0, 1] > 0.9).sum()
    assert discs == pytest.approx(2 * math.pi * 100, rel=0.05)  # green and yellow discs


def faces(count: int = 1, width: int = 64, height: int = 64, points: Tensor | None = None) -> Faces:
    return Faces(
        width=width,
        height=height,
        embeddings=random(count, 512) * 3,
        points=PLACES.expand(count, -1, -1) / 2 if points is None else points,
        crops=pictures(count).pixels,
    )


@pytest.mark.parametrize("kind", ["faces", "faces_and_pictures", "plus"])
def test_faces_act_as_in_diffusers(tmp_path: Path, kind: str) -> None:
    """FaceID, FaceID Plus v2 and InstantID; the last one reads vectors of any length, in rows."""
    unet = sdxl_parts()["unet"]
    state = weights(unet, kind, 512)
    manager = manager_with(tmp_path, **{"adapter-plusv2": state})
    entry = ConditioningEntry(embedding=random(1, 77, 64), pooled=random(1, 32))
    x, time, sigma = latents(), torch.tensor([321]), torch.tensor(1.0)
    shown = faces(2)
    with running(manager):
        encoder = nodes.load_image_encoder("eye")
        adapter = nodes.load_ip_adapter("adapter-plusv2")
        steered = nodes.apply_face_adapter(model(manager, SDXL), adapter, shown, encoder, strength=0.7, likeness=0.4)
        with steered.use() as loaded:
            told = loaded.complete(Conditioning(entries=(entry,)), 64, 64, negative=False)
            found = loaded.predict(x, time, told.entries, sigma=sigma)
            added = loaded.added(told.entries, 1, 64, 64)
        with encoder.use() as seeing:
            patches = seeing.patches(seeing.prepared(shown.crops))
    unet._load_ip_adapter_weights([{key: dict(value) for key, value in state.items()}])
    layer = unet.encoder_hid_proj.image_projection_layers[0]
    read = shown.embeddings[:, None] if kind == "plus" else torch.nn.functional.normalize(shown.embeddings, dim=-1)
    if kind == "faces_and_pictures":
        layer.clip_embeds, layer.shortcut, layer.shortcut_scale = patches[None], True, 0.4
    for processor in unet.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [0.7]
    with torch.no_grad():
        wanted = unet(x, 321, entry.embedding, added_cond_kwargs={**added, "image_embeds": [read[None]]}).sample
    assert error(found, wanted) < 1e-5


def test_a_controlnet_reads_the_face_as_the_adapter_makes_it(tmp_path: Path) -> None:
    manager = manager_with(tmp_path, adapter=weights(sdxl_parts()["unet"], "plus", 512))
    shown = faces(2)
    with running(manager):
        adapter = nodes.load_ip_adapter("adapter")
        positive, negative = nodes.encode_faces(adapter, shown)
        with adapter.use() as loaded:
            wanted = loaded.tokens(shown.embeddings[:, None])
        assert_close(positive.entries[0].embedding, wanted.flatten(0, 1)[None])
        assert negative.entries[0].embedding.shape == positive.entries[0].embedding.shape
        assert error(negative.entries[0].embedding, positive.entries[0].embedding) > 1e-2


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    unet = sdxl_parts()["unet"]
    manager = manager_with(
        tmp_path, looks=weights(unet, "faces_and_pictures", 512), wide=weights(unet, "faces", 256),
        pictures=weights(unet, "plain", WIDTH["plain"]),
    )  # fmt: skip
    with running(manager):
        base = model(manager, SDXL)
        for name, problem in (
            ("looks", "there is no image encoder"),
            ("wide", "width 512, the IP-Adapter reads 256"),
            ("pictures", "reads pictures, not faces"),
        ):
            with pytest.raises(InvalidInputError, match=problem):
                nodes.apply_face_adapter(base, nodes.load_ip_adapter(name), faces())
        with pytest.raises(InvalidInputError, match="of a face and of its looks together"):
            nodes.encode_faces(nodes.load_ip_adapter("looks"), faces())
        assert nodes.apply_face_adapter(base, nodes.load_ip_adapter("wide"), faces(), strength=0.0) == base
