"""Upscaling with a model: tiny random ESRGANs, against spandrel itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from graphflow import nodes, runtime
from graphflow.basics.tiles import in_tiles, tile_count
from graphflow.errors import CancelledError, GraphflowError, OutOfMemoryError
from graphflow.loading.manager import ModelManager
from graphflow.loading.pool import Placement
from graphflow.values import Image
from tests.closeness import assert_close
from tests.models.tiny_manager import Told, error, make_manager, running


def esrgan(*, scale: int = 2) -> nn.Module:
    from spandrel.architectures.ESRGAN import ESRGAN

    torch.manual_seed(3)
    module: nn.Module = ESRGAN(num_filters=8, num_blocks=1, scale=scale)
    return module.eval().requires_grad_(False)


def write(folder: Path, name: str, module: nn.Module, prefix: str = "") -> None:
    (folder / "upscale_models").mkdir(exist_ok=True)
    tensors = {prefix + key: tensor.contiguous() for key, tensor in module.state_dict().items()}
    save_file(tensors, folder / "upscale_models" / f"{name}.safetensors")


@pytest.fixture
def manager(tmp_path: Path) -> ModelManager:
    write(tmp_path, "double", esrgan())
    return make_manager(tmp_path)


@pytest.fixture
def told(manager: ModelManager) -> Iterator[Told]:
    with running(manager) as told:
        yield told


def picture(height: int = 40, width: int = 48, channels: int = 3, batch: int = 1) -> Image:
    return Image(pixels=torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(1)))


def upscaled(image: Image, name: str = "double", **more: Any) -> Tensor:
    return nodes.upscale_image_with_model(nodes.load_upscale_model(name), image, **more).pixels


def test_a_picture_equals_spandrels_own(told: Told) -> None:
    image = picture(batch=2)
    found = upscaled(image)
    wanted = esrgan()(image.pixels).clamp(0, 1)
    assert found.shape == (2, 3, 80, 96)
    assert error(found, wanted) < 1e-5
    assert not told.notices


def test_tiles_meet_without_seams(told: Told) -> None:
    # The network looks some 20 pixels far, and each tile fades out where it does not see enough.
    whole, tiled = upscaled(picture(96, 80)), upscaled(picture(96, 80), tile=64, overlap=32)
    assert tiled.shape == whole.shape
    assert float((whole - tiled).abs().mean()) < 1e-3
    assert not told.inexact


def test_numbers_and_alpha_stay(told: Told) -> None:
    image = replace(picture(channels=4, batch=2), numbers=(3, 5), withheld=1)
    found = nodes.upscale_image_with_model(nodes.load_upscale_model("double"), image)
    assert (found.numbers, found.withheld, tuple(found.pixels.shape)) == ((3, 5), 1, (2, 4, 80, 96))


def test_training_checkpoints_prefixes_are_understood(tmp_path: Path) -> None:
    write(tmp_path, "plain", esrgan())
    write(tmp_path, "trained", esrgan(), "params_ema.")
    with running(make_manager(tmp_path)):
        assert_close(upscaled(picture(), "trained"), upscaled(picture(), "plain"))


@hypothesis.given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    tile=st.tuples(st.integers(2, 24), st.integers(2, 24)),
    share=st.floats(0, 0.5),
    scale=st.integers(1, 3),
)
def test_tiles_of_what_looks_at_single_pixels_join_exactly(
    height: int, width: int, tile: tuple[int, int], share: float, scale: int
) -> None:
    source = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(0))

    def larger(part: Tensor) -> Tensor:
        return part.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)

    overlap = int(min(tile) * share)
    count = 0

    def counting(part: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return larger(part)

    found = in_tiles(counting, source, tile=tile, overlap=overlap, scale=float(scale), channels=1)
    assert torch.allclose(found, larger(source), atol=1e-5)
    assert count == 2 * tile_count(height, tile[0], overlap) * tile_count(width, tile[1], overlap)


class Memory:
    """Makes the network run out of memory on parts larger than it has room for."""

    def __init__(self, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
        from graphflow.vision.upscale import UpscaleNetwork

        self.sizes: list[int] = []
        forward = UpscaleNetwork.forward

        def limited(network: UpscaleNetwork, pixels: Tensor) -> Tensor:
            self.sizes.append(max(pixels.shape[-2:]))
            if self.sizes[-1] > room:
                raise torch.OutOfMemoryError("out of memory")
            return forward(network, pixels)

        monkeypatch.setattr(UpscaleNetwork, "forward", limited)


def test_tiles_are_halved_where_memory_runs_out(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = upscaled(picture(200, 72))
    memory = Memory(100, monkeypatch)
    found = upscaled(picture(200, 72), tile=0)
    assert memory.sizes[:2] == [200, 100]
    assert "tiles of 100 pixels" in told.notices[0] and told.inexact
    assert float((found - whole).abs().mean()) < 1e-3


def test_the_smallest_tile_hands_over_to_the_ladder(
    manager: ModelManager, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    Memory(10, monkeypatch)
    with pytest.raises(OutOfMemoryError):
        manager.retrying(lambda: upscaled(picture(200, 72)))


def test_progress_counts_tiles_and_a_stop_takes_effect_between_them(manager: ModelManager) -> None:
    steps: list[tuple[int, int]] = []

    def stop() -> None:
        if len(steps) == 3:
            raise CancelledError("stopped")

    plain = runtime.Runtime(models=manager, report=lambda step, total, _: steps.append((step, total)))
    with runtime.using(plain):
        upscaled(picture(96, 96), tile=64, overlap=16)
    assert steps == [(index + 1, 4) for index in range(4)]
    steps.clear()
    with runtime.using(replace(plain, check_cancelled=stop)), pytest.raises(CancelledError):
        upscaled(picture(96, 96), tile=64, overlap=16)
    assert len(steps) == 3


@pytest.mark.parametrize(
    ("value", "words"), [(float("nan"), "tensor model.0.weight holds NaN"), (3e38, "that are no numbers")]
)
def test_nan_is_an_error(tmp_path: Path, value: float, words: str) -> None:
    broken = esrgan()
    next(broken.parameters()).fill_(value)
    write(tmp_path, "broken", broken)
    with running(make_manager(tmp_path)), pytest.raises(GraphflowError, match=words):
        upscaled(picture(), "broken")


def test_half_precision_that_overflows_goes_on_in_float32(tmp_path: Path) -> None:
    loud = esrgan()
    first, last = (list(loud.parameters())[index] for index in (0, -2))
    first.mul_(1e6)
    last.mul_(1e-6)
    write(tmp_path, "loud", loud)
    placement = Placement(device=torch.device("cpu"), dtype=torch.float16)
    with running(make_manager(tmp_path, placement=placement)) as told:
        assert upscaled(picture(), "loud").isfinite().all()
    assert "float32" in told.notices[0]


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "double", esrgan())
    folder = tmp_path / "upscale_models"
    save_file({"a.weight": torch.zeros(3, 3), "b.c": torch.zeros(1)}, folder / "other.safetensors")
    state = {key: tensor for key, tensor in esrgan().state_dict().items() if "sub.0" not in key and "body.0" not in key}
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / "holes.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "double.safetensors").read_bytes()[:-9])
    (folder / "page.safetensors").write_text("<!doctype html>", "utf-8")
    torch.save(esrgan().state_dict(), folder / "pickled.pth")
    with running(make_manager(tmp_path)):
        for name in ("other", "holes", "cut", "page", "pickled.pth", "tiny-sd", "missing"):
            with pytest.raises(GraphflowError) as caught:
                upscaled(picture(), name)
            assert name in str(caught.value)
        assert upscaled(picture()).shape == (1, 3, 80, 96)
