"""Edges, and the detectors of controlnet-aux on random weights."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from graphflow import nodes, runtime
from graphflow.errors import CancelledError, GraphflowError, ModelFormatError, ModelNotFoundError
from graphflow.values import Image
from graphflow.vision.annotators import ANNOTATORS, PreprocessorName, _module, quiet
from tests.models.tiny_manager import make_manager, running


def smooth(batch: int = 2) -> Image:
    coarse = torch.rand(batch, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    return Image(pixels=torch.nn.functional.interpolate(coarse, size=(50, 60), mode="bicubic").clamp(0, 1))


@pytest.mark.parametrize(
    ("low", "high", "counts"), [(0.4, 0.8, [65, 60]), (0.1, 0.2, [419, 441]), (0.05, 0.9, [56, 17])]
)
def test_edges_are_as_many_as_kornias(low: float, high: float, counts: list[int]) -> None:
    """Counted with kornia 0.9.0."""
    found = nodes.canny_edges(smooth(), low, high).pixels
    assert found.shape == (2, 3, 50, 60)
    assert [int(item[0].sum()) for item in found] == counts
    assert set(found.unique().tolist()) == {0.0, 1.0}


def test_an_edge_is_one_pixel_wide_and_a_plain_picture_has_none() -> None:
    step = torch.zeros(1, 4, 20, 30)
    step[..., 14:] = 1
    found = nodes.canny_edges(Image(pixels=step, numbers=(3,), withheld=1))
    assert found.pixels[0, 0, 2:-2].sum(dim=1).tolist() == [1.0] * 16
    assert (found.numbers, found.withheld) == ((3,), 1)
    assert not nodes.canny_edges(Image(pixels=torch.full((1, 3, 9, 9), 0.7))).pixels.any()
    assert not nodes.canny_edges(Image(pixels=torch.full((1, 3, 1, 2), 0.7))).pixels.any()
    with pytest.raises(GraphflowError, match="above the high one"):
        nodes.canny_edges(smooth(), 0.9, 0.1)


def test_weak_edges_count_where_they_touch_strong_ones() -> None:
    fading = torch.zeros(1, 3, 24, 40)
    fading[..., 12:, :] = torch.linspace(0.05, 0.6, 40)
    strong = nodes.canny_edges(Image(pixels=fading), 0.8, 0.8).pixels[0, 0]
    linked = nodes.canny_edges(Image(pixels=fading), 0.3, 0.8).pixels[0, 0]
    alone = nodes.canny_edges(Image(pixels=fading[..., :12]), 0.3, 0.8).pixels
    assert 0 < strong.sum() < linked.sum()
    assert not alone.any()


def hed() -> nn.Module:
    torch.manual_seed(1)
    module: nn.Module = _module("hed").ControlNetHED_Apache2()
    return module.eval().requires_grad_(False)


def test_every_method_has_its_detector_in_the_package() -> None:
    assert set(get_args(PreprocessorName)) == set(ANNOTATORS)
    for name in ("canny", "hed", "lineart", "mlsd", "shuffle", "teed"):
        method = ANNOTATORS[name]  # type: ignore[index]
        assert callable(getattr(_module(method.module), method.class_name))


def test_soft_edges_equal_the_packages(tmp_path: Path) -> None:
    (tmp_path / "annotators").mkdir()
    torch.save(hed().state_dict(), tmp_path / "annotators" / "ControlNetHED.pth")
    image = smooth()
    picture = (image.pixels[1] * 255).round().byte().permute(1, 2, 0).numpy()
    with quiet():
        wanted = _module("hed").HEDdetector(hed())(
            np.ascontiguousarray(picture), detect_resolution=64, image_resolution=64, output_type="np"
        )
    wanted = torch.from_numpy(wanted).permute(2, 0, 1)[None].float() / 255
    wanted = torch.nn.functional.interpolate(wanted, size=(50, 60), mode="bilinear", antialias=True)
    steps: list[tuple[int, int]] = []
    with (
        running(make_manager(tmp_path)),
        runtime.using(replace(runtime.current(), report=lambda step, total, _: steps.append((step, total)))),
    ):
        found = nodes.preprocess(image, "hed", resolution=64).pixels
        scribble = nodes.preprocess(image, "scribble_hed", resolution=64).pixels
    assert found.shape == (2, 3, 50, 60)
    # The detector cuts to eight bits: rounding may tip a pixel by one of its levels.
    apart = (found[1] - wanted[0]).abs()
    assert float(apart.max()) <= 1 / 255 + 1e-6
    assert float((apart > 1e-6).float().mean()) < 0.02
    assert steps[:2] == [(1, 2), (2, 2)]
    assert not torch.equal(found, scribble)


@pytest.mark.parametrize("method", ["canny", "lineart_standard", "shuffle"])
def test_methods_without_weights(method: Any) -> None:
    image = smooth()
    state = np.random.get_state()[1].tolist()  # type: ignore[union-attr, index]
    with running(make_manager()), warnings.catch_warnings():
        warnings.simplefilter("error")
        found = nodes.preprocess(image, method, resolution=64, seed=5).pixels
        again = nodes.preprocess(image, method, resolution=64, seed=5).pixels
        other = nodes.preprocess(image, method, resolution=64, seed=6).pixels
        second = nodes.preprocess(Image(pixels=image.pixels[1:]), method, resolution=64, seed=6).pixels
    assert found.shape == image.pixels.shape
    assert torch.equal(found, again)
    assert torch.equal(found, other) == (method != "shuffle")
    assert torch.equal(found[1:], second)
    assert 0 <= float(found.min()) < float(found.max()) <= 1
    assert np.random.get_state()[1].tolist() == state  # type: ignore[union-attr, index]


def test_missing_weights_are_named_with_the_places(tmp_path: Path) -> None:
    with running(make_manager(tmp_path)), pytest.raises(ModelNotFoundError) as caught:
        nodes.preprocess(smooth(), "openpose")
    text = str(caught.value)
    for part in ("body_pose_model.pth and hand_pose_model.pth and facenet.pth", str(tmp_path / "annotators")):
        assert part in text
    assert "hf download lllyasviel/Annotators body_pose_model.pth" in text


def test_weights_are_found_in_the_hub_cache(tmp_path: Path) -> None:
    manager = make_manager()
    cache = manager.library.hub_cache = tmp_path / "hub"
    repository = cache / "models--lllyasviel--Annotators"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40, "utf-8")
    (repository / "snapshots" / ("a" * 40)).mkdir(parents=True)
    torch.save(hed().state_dict(), repository / "snapshots" / ("a" * 40) / "ControlNetHED.pth")
    with running(manager):
        assert nodes.preprocess(smooth(), "hed", resolution=64).pixels.any()


class Hostile:
    """What a pickle file would run."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


def test_damaged_and_hostile_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "annotators"
    folder.mkdir()
    mark = tmp_path / "ran"
    weights = folder / "ControlNetHED.pth"
    with running(make_manager(tmp_path)):
        for write in (
            lambda: torch.save({"weights": Hostile(mark)}, weights),
            lambda: torch.save({"other": torch.zeros(1)}, weights),
            lambda: weights.write_bytes(b"<!doctype html>"),
            lambda: weights.write_bytes(b""),
        ):
            write()
            with pytest.raises(ModelFormatError, match="cannot be read") as caught:
                nodes.preprocess(smooth(), "hed", resolution=64)
            assert "ControlNetHED.pth" in str(caught.value)
        assert not mark.exists()
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
        with pytest.raises(ModelFormatError, match="run what pickle files hold"):
            nodes.preprocess(smooth(), "hed", resolution=64)


def test_a_stop_takes_effect_between_pictures() -> None:
    drawn: list[int] = []

    def stop() -> None:
        if drawn:
            raise CancelledError("stopped")

    with running(make_manager()):
        plain = replace(runtime.current(), report=lambda step, total, _: drawn.append(step), check_cancelled=stop)
        with runtime.using(plain), pytest.raises(CancelledError):
            nodes.preprocess(smooth(3), "lineart_standard", resolution=64)
    assert drawn == [1]


def test_a_sliver_is_refused() -> None:
    with running(make_manager()), pytest.raises(GraphflowError, match="cannot be drawn"):
        nodes.preprocess(Image(pixels=torch.rand(1, 3, 1, 500)), "canny")
