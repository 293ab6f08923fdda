"""Masks: made, changed, combined."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from graphflow import nodes
from graphflow.errors import InvalidInputError
from graphflow.values import Image, Mask

values = arrays("float32", (2, 6, 7), elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
binary = arrays("float32", (1, 6, 7), elements=st.sampled_from([0.0, 1.0]))


def mask(array: object) -> Mask:
    return Mask(values=torch.as_tensor(array))


@given(values)
def test_inverting_twice_changes_nothing(array: object) -> None:
    assert torch.equal(nodes.invert_mask(nodes.invert_mask(mask(array))).values, mask(array).values)


@given(values, st.integers(0, 4), st.booleans())
def test_growing_the_inverse_is_shrinking(array: object, amount: int, tapered: bool) -> None:
    whole = mask(array)
    grown = nodes.invert_mask(nodes.grow_mask(nodes.invert_mask(whole), amount, tapered))
    assert torch.equal(grown.values, nodes.grow_mask(whole, -amount, tapered).values)
    assert (nodes.grow_mask(whole, amount, tapered).values >= whole.values).all()


@given(values, st.integers(0, 3), st.integers(0, 3))
def test_growth_adds_up(array: object, first: int, second: int) -> None:
    twice = nodes.grow_mask(nodes.grow_mask(mask(array), first), second)
    assert torch.equal(twice.values, nodes.grow_mask(mask(array), first + second).values)


def test_tapered_growth_is_a_diamond() -> None:
    dot = torch.zeros(1, 5, 5)
    dot[0, 2, 2] = 1
    assert nodes.grow_mask(Mask(values=dot), 2).values.sum() == 13
    assert nodes.grow_mask(Mask(values=dot), 2, tapered_corners=False).values.sum() == 25


@given(binary, binary)
def test_the_algebra_of_masks(first: object, second: object) -> None:
    a, b = mask(first), mask(second)
    both = nodes.compose_masks(a, b, operation="and").values
    either = nodes.compose_masks(a, b, operation="or").values
    assert torch.equal(both, nodes.compose_masks(a, b, operation="multiply").values)
    assert torch.equal(either, nodes.compose_masks(a, b, operation="add").values)
    assert torch.equal(nodes.compose_masks(a, b, operation="xor").values, either - both)
    assert torch.equal(nodes.compose_masks(a, b, operation="subtract").values, a.values - both)
    inverse = nodes.invert_mask(nodes.compose_masks(nodes.invert_mask(a), nodes.invert_mask(b), operation="or"))
    assert torch.equal(inverse.values, both)


def test_composing_acts_only_where_the_source_lies() -> None:
    base = nodes.solid_mask(8, 6, 0.5)
    got = nodes.compose_masks(base, nodes.solid_mask(4, 4, 1.0), x=6, y=4, operation="add").values
    assert got[0, 4:, 6:].eq(1).all()
    assert got.eq(1).sum() == 4
    assert torch.equal(nodes.compose_masks(base, base, x=8).values, base.values)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_feathering_fades_and_never_brightens(left: int, top: int, right: int, bottom: int) -> None:
    got = nodes.feather_mask(nodes.solid_mask(8, 6), left, top, right, bottom).values
    assert 0 < got.min() <= got.max() <= 1
    assert got[0, 3, 0] <= 1 / max(1, min(left, 8)) + 1e-6
    assert got[0, 3, -1] <= 1 / max(1, min(right, 8)) + 1e-6


def test_feathering_across_puts_the_last_step_at_the_other_edge() -> None:
    row = nodes.feather_mask(nodes.solid_mask(6, 2), right=4, across=True).values[0, 0]
    assert row.tolist() == pytest.approx([0.25, 1, 1, 1, 0.75, 0.5])
    column = nodes.feather_mask(nodes.solid_mask(2, 4), top=1, bottom=2, across=True).values[0, :, 0]
    assert column.tolist() == pytest.approx([0.5, 1, 1, 1])
    same = nodes.feather_mask(nodes.solid_mask(6, 6), 3, 2, across=True).values
    assert torch.equal(same, nodes.feather_mask(nodes.solid_mask(6, 6), 3, 2).values)


def test_feathering_one_edge_is_a_ramp() -> None:
    row = nodes.feather_mask(nodes.solid_mask(6, 2), left=4).values[0, 0]
    assert row.tolist() == [0.25, 0.5, 0.75, 1, 1, 1]


def test_thresholding_and_blurring() -> None:
    soft = nodes.blur_mask(nodes.rectangle_mask(32, 32), radius=3)
    assert set(nodes.threshold_mask(soft).values.unique().tolist()) == {0, 1}
    assert ((soft.values > 0.01) & (soft.values < 0.99)).any()
    assert soft.values.mean() == pytest.approx(float(nodes.rectangle_mask(32, 32).values.mean()), abs=1e-3)
    with pytest.raises(InvalidInputError, match="radius"):
        nodes.blur_mask(nodes.solid_mask(4, 4), radius=4)


def test_masks_from_pictures_and_back() -> None:
    image = Image(pixels=torch.rand(2, 4, 5, 6))
    for index, channel in enumerate(("red", "green", "blue", "alpha")):
        got = nodes.mask_from_image(image, channel)  # type: ignore[arg-type]
        assert torch.equal(got.values, image.pixels[:, index])
    grey = nodes.mask_to_image(nodes.solid_mask(4, 3, 0.25))
    assert grey.pixels.shape == (1, 3, 3, 4)
    assert nodes.mask_from_image(grey, "brightness").values.mean() == pytest.approx(0.25, rel=1e-5)
    with pytest.raises(InvalidInputError, match="no alpha"):
        nodes.mask_from_image(grey, "alpha")


def test_masks_from_a_colour() -> None:
    picture = nodes.solid_image(4, 4, color="#ff8000")
    assert nodes.mask_from_color(picture, "#ff8000").values.all()
    assert not nodes.mask_from_color(picture, "#ff8001").values.any()
    assert nodes.mask_from_color(picture, "#fd8001", tolerance=2).values.all()
    with pytest.raises(InvalidInputError, match="no colour"):
        nodes.mask_from_color(picture, "red")


def test_the_bounds_of_a_mask() -> None:
    rectangle = nodes.rectangle_mask(100, 50, left=0.1, top=0.2, right=0.6, bottom=0.8)
    assert nodes.mask_bounds(rectangle) == (10, 10, 50, 30)
    assert nodes.mask_bounds(rectangle, padding=15) == (0, 0, 75, 50)
    cut = nodes.crop_mask(rectangle, 10, 10, 50, 30)
    assert cut.values.shape == (1, 30, 50)
    assert cut.values.all()
    with pytest.raises(InvalidInputError, match="0 everywhere"):
        nodes.mask_bounds(nodes.solid_mask(4, 4, 0.0))
    with pytest.raises(InvalidInputError, match="outside"):
        nodes.crop_mask(rectangle, x=100)


def test_resizing_masks_stays_within_bounds() -> None:
    got = nodes.resize_mask(nodes.rectangle_mask(16, 16), 40, 24, "bicubic").values
    assert got.shape == (1, 24, 40)
    assert 0 <= got.min() <= got.max() <= 1
