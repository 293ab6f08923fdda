"""Latents, pictures, masks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow.errors import InvalidInputError, LimitError
from graphflow.nodes import (
    batch_images,
    empty_latent,
    invert_mask,
    rectangle_mask,
    resize,
    set_noise_mask,
    upscale_latent,
)
from graphflow.pixels.resampling import resample
from graphflow.pixels.sizes import target_size
from graphflow.values import Image, Latent, Mask

METHODS = ["nearest", "bilinear", "bicubic", "area", "lanczos"]


def gradient(height: int = 16, width: int = 24, channels: int = 3) -> Image:
    row = torch.linspace(0, 1, width)
    return Image(pixels=row.expand(1, channels, height, width).clone())


def test_an_empty_latent_has_an_eighth_of_the_edges() -> None:
    latent = empty_latent(width=64, height=128, batch_size=3)
    assert latent.samples.shape == (3, 4, 16, 8)
    assert not latent.samples.any()


def test_an_empty_latent_is_bounded() -> None:
    with pytest.raises(LimitError):
        empty_latent(width=32768, height=32768)


def test_a_noise_mask_is_put_beside_the_latents() -> None:
    latent = empty_latent(64, 64, batch_size=2)
    mask = Mask(values=torch.ones(1, 64, 64))
    assert set_noise_mask(latent, mask).noise_mask is mask.values
    assert latent.noise_mask is None
    with pytest.raises(InvalidInputError, match="no mask"):
        set_noise_mask(latent, Mask(values=torch.ones(0, 64, 64)))


def test_upscaling_a_latent_follows_pixels_or_scale() -> None:
    latent = empty_latent(64, 128)
    assert upscale_latent(latent, scale=1.5).samples.shape[-2:] == (24, 12)
    assert upscale_latent(latent, width=128).samples.shape[-2:] == (32, 16)
    assert upscale_latent(latent, width=128, height=128).samples.shape[-2:] == (16, 16)


@pytest.mark.parametrize("method", METHODS)
def test_resizing_keeps_a_flat_picture_flat(method: str) -> None:
    flat = Image(pixels=torch.full((2, 3, 10, 14), 0.4))
    result = resize(flat, width=21, height=9, method=method)  # type: ignore[arg-type]
    assert result.pixels.shape == (2, 3, 9, 21)
    assert torch.allclose(result.pixels, torch.tensor(0.4), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_resizing_keeps_a_gradient_rising_and_within_bounds(method: str) -> None:
    pixels = resize(gradient(), scale=2.5, method=method).pixels  # type: ignore[arg-type]
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert (pixels[0, 0, 3].diff() >= -1e-3).all()


def test_lanczos_does_not_round_to_eight_bits() -> None:
    fine = torch.full((1, 1, 4, 4), 0.5003)
    assert torch.allclose(resample(fine, (8, 8), "lanczos"), torch.tensor(0.5003), atol=1e-6)


def test_antialiasing_only_matters_when_shrinking() -> None:
    stripes = Image(pixels=torch.tensor([0.0, 1.0]).repeat(32).expand(1, 3, 64, 64).clone())
    smooth = resize(stripes, width=16, method="bilinear").pixels
    rough = resize(stripes, width=16, method="bicubic", antialias=False).pixels
    assert (smooth[:, :, :, 2:-2] - 0.5).abs().max() < 0.01
    assert not torch.allclose(smooth, rough, atol=0.01)


def test_crop_cuts_the_longer_side_around_the_centre() -> None:
    result = resize(gradient(16, 48), width=16, height=16, method="nearest", crop="center").pixels
    expected = gradient(16, 48).pixels[..., 16:32]
    assert torch.equal(result, expected)


def test_numbers_survive_resizing() -> None:
    image = Image(pixels=torch.rand(2, 3, 8, 8), numbers=(0, 3), withheld=2)
    result = resize(image, scale=2)
    assert result.numbers == (0, 3)
    assert result.withheld == 2


def test_an_empty_batch_can_be_resized() -> None:
    assert resize(Image(pixels=torch.zeros(0, 3, 8, 8), withheld=1), scale=2).pixels.shape == (0, 3, 16, 16)


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 600), st.floats(0.1, 8))
def test_a_longest_edge_is_never_passed(width: int, height: int, max_edge: int, scale: float) -> None:
    new_height, new_width = target_size((height, width), scale=scale, max_edge=max_edge)
    assert max(new_width, new_height) <= max_edge
    assert min(new_width, new_height) >= 1


def test_sizes_are_bounded() -> None:
    with pytest.raises(LimitError):
        resize(gradient(), scale=64, width=32768, height=32768)


def test_batching_numbers_all_pictures_in_order() -> None:
    first = Image(pixels=torch.zeros(2, 3, 4, 4), numbers=(0, 2), withheld=1)
    second = Image(pixels=torch.ones(1, 3, 4, 4))
    batch = batch_images((first, second))
    assert batch.pixels.shape[0] == 3
    assert batch.numbers == (0, 2, 3)
    assert batch.withheld == 1
    assert batch_images((second, second)).numbers is None


def test_batching_refuses_different_sizes_and_nothing() -> None:
    with pytest.raises(InvalidInputError, match="different shapes"):
        batch_images((gradient(8, 8), gradient(8, 16)))
    with pytest.raises(InvalidInputError, match="no pictures"):
        batch_images(())


def test_a_rectangle_mask_covers_its_share() -> None:
    mask = rectangle_mask(100, 50, left=0.1, top=0.2, right=0.6, bottom=1.0)
    assert mask.values.shape == (1, 50, 100)
    assert mask.values.sum() == 50 * 40
    inverted = rectangle_mask(100, 50, left=0.1, top=0.2, right=0.6, bottom=1.0, invert=True)
    assert torch.equal(invert_mask(mask).values, inverted.values)
    with pytest.raises(InvalidInputError, match="empty"):
        rectangle_mask(10, 10, left=0.5, right=0.5)


def test_nodes_do_not_write_to_what_they_get() -> None:
    samples = torch.rand(1, 4, 8, 8)
    before = samples.clone()
    latent = Latent(samples=samples)
    upscale_latent(set_noise_mask(latent, Mask(values=torch.ones(1, 8, 8))))
    assert torch.equal(samples, before)
