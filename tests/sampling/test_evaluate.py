"""Conditioning entries: which are evaluated, in how many batches, where and with what weight."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphflow.sampling.evaluate import evaluate
from graphflow.sampling.regions import Box, make_regions, match_areas, resize_mask
from graphflow.values import Area, ConditioningEntry, Control, ControlNet
from tests.closeness import assert_close
from tests.sampling.toy import DISCRETE, RecordingModel, entry

SIGMA = DISCRETE.sigmas[500]
X = torch.linspace(-1, 1, 2 * 4 * 16 * 16).reshape(2, 4, 16, 16)


def predict_sides(
    model: RecordingModel, *sides: list[ConditioningEntry], max_items: int | None = None, x: Tensor = X
) -> list[Tensor]:
    regions = [make_regions(side, x) for side in sides]
    return evaluate(model, DISCRETE, x, SIGMA, regions, max_items=max_items)


def denoised(push: float, x: Tensor = X) -> Tensor:
    """Return the clean sample that the toy network predicts under one entry."""
    return DISCRETE.to_denoised(x, 0.1 * DISCRETE.scale_input(x, SIGMA) + push, SIGMA)


def test_both_sides_share_one_batch_when_their_shapes_agree() -> None:
    model = RecordingModel()
    positive, negative = predict_sides(model, [entry(1.0)], [entry(-1.0)])
    assert [shape for shape, _, _ in model.calls] == [(4, 4, 16, 16)]
    assert torch.allclose(positive, denoised(1.0), atol=1e-5)
    assert torch.allclose(negative, denoised(-1.0), atol=1e-5)


def test_different_lengths_of_text_take_a_batch_each() -> None:
    model = RecordingModel()
    positive, negative = predict_sides(model, [entry(1.0, tokens=3)], [entry(-1.0, tokens=6)])
    assert [shape for shape, _, _ in model.calls] == [(2, 4, 16, 16)] * 2
    assert torch.allclose(positive, denoised(1.0), atol=1e-5)
    assert torch.allclose(negative, denoised(-1.0), atol=1e-5)


def test_a_limit_on_the_batch_changes_the_calls_and_not_the_result() -> None:
    free, limited = RecordingModel(), RecordingModel()
    sides = ([entry(1.0), entry(2.0)], [entry(-1.0)])
    for a, b in zip(predict_sides(free, *sides), predict_sides(limited, *sides, max_items=2), strict=True):
        assert_close(a, b)
    assert (len(free.calls), len(limited.calls)) == (1, 3)


def test_overlapping_entries_are_averaged_by_strength() -> None:
    (got,) = predict_sides(RecordingModel(), [entry(1.0, strength=3.0), entry(-1.0)])
    assert torch.allclose(got, denoised(0.5), atol=1e-5)


def test_what_stands_for_the_rest_acts_where_nothing_else_does() -> None:
    """Beside a mask; not at all where the others cover all; alone while they rest."""
    mask = torch.zeros(1, 16, 16)
    mask[:, :, 8:] = 0.25
    model = RecordingModel()
    masked, rest = entry(1.0, mask=mask), entry(-1.0, otherwise=True)
    (got,) = predict_sides(model, [masked, rest])
    assert torch.allclose(got[..., :8], denoised(-1.0)[..., :8], atol=1e-5)
    assert torch.allclose(got[..., 8:], denoised(1.0)[..., 8:], atol=1e-5)
    (got,) = predict_sides(model, [entry(1.0), rest])
    assert torch.allclose(got, denoised(1.0), atol=1e-5)
    (got,) = predict_sides(model, [entry(1.0, start=0.9), rest])
    assert torch.allclose(got, denoised(-1.0), atol=1e-5)
    boxed = entry(1.0, area=Area(height=16, width=8, y=0, x=8), mask=torch.ones(1, 16, 16))
    (got,) = predict_sides(model, [boxed, rest])
    assert torch.allclose(got[..., :8], denoised(-1.0)[..., :8], atol=1e-5)


def test_a_mask_weighs_an_entry_and_is_resized_to_the_latent() -> None:
    mask = torch.zeros(1, 128, 128)
    mask[:, :, 64:] = 1.0
    (got,) = predict_sides(RecordingModel(), [entry(1.0), entry(-1.0, mask=mask, mask_strength=3.0)])
    assert torch.allclose(got[..., :7], denoised(1.0)[..., :7], atol=1e-5)
    assert torch.allclose(got[..., 9:], denoised(-0.5)[..., 9:], atol=1e-5)


def test_an_area_is_evaluated_on_its_crop_and_fades_at_inner_edges() -> None:
    model = RecordingModel()
    area = Area(height=16, width=10, y=0, x=6)
    (got,) = predict_sides(model, [entry(1.0), entry(-1.0, area=area)])
    assert sorted(shape for shape, _, _ in model.calls) == [(2, 4, 16, 10), (2, 4, 16, 16)]
    assert torch.allclose(got[..., :6], denoised(1.0)[..., :6], atol=1e-5)
    assert torch.allclose(got[..., 7:], denoised(0.0)[..., 7:], atol=1e-5)
    weight = 1 / 2  # the ramp is a quarter of ten columns wide: 1/2, 1
    assert torch.allclose(got[..., 6], denoised((1 - weight) / (1 + weight))[..., 6], atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2])
def test_what_is_read_beside_the_latent_is_cut_to_the_area(scale: int) -> None:
    places = torch.arange(X.shape[-2] * X.shape[-1], dtype=torch.float32).reshape(1, 1, *X.shape[-2:])
    extras = {"concat": places.repeat_interleave(scale, -2).repeat_interleave(scale, -1)}
    area = Area(height=8, width=16, y=8, x=0)
    inside, whole = make_regions([entry(1.0, area=area, extras=extras), entry(2.0, extras=extras)], X)
    cut = inside.entry.extras["concat"]
    assert inside.box is not None
    assert cut.shape == inside.box.crop(places).shape
    if scale == 1:
        assert torch.equal(cut, inside.box.crop(places))
    assert whole.entry.extras["concat"] is extras["concat"]
    _, added = match_areas([whole], [inside])
    assert added.entry.extras["concat"] is cut
    assert added.entry.embedding is whole.entry.embedding


def test_the_fade_of_a_large_area_is_eight_samples_wide() -> None:
    x = torch.zeros(1, 4, 8, 64)
    weight = make_regions([entry(1.0, area=Area(height=8, width=48, y=0, x=16))], x)[0].weight
    assert torch.allclose(weight[0, 0, 0, :9], torch.tensor([1, 2, 3, 4, 5, 6, 7, 8, 8]) / 8)
    assert torch.equal(weight[..., 8:], torch.ones_like(weight[..., 8:]))


def test_a_relative_area_is_a_share_of_the_picture_and_is_cut_at_its_edge() -> None:
    half = make_regions([entry(1.0, area=Area(height=0.5, width=1.0, y=0.75, x=0.0, relative=True))], X)[0]
    assert half.box == Box(12, 0, 4, 16)


def test_mask_bounds_evaluate_the_masks_rectangle_only() -> None:
    mask = torch.zeros(1, 16, 16)
    mask[:, 2:12, 3:15] = 1.0
    assert make_regions([entry(1.0, mask=mask, mask_bounds=True)], X)[0].box == Box(2, 3, 10, 12)
    assert make_regions([entry(1.0, mask=mask * 0, mask_bounds=True)], X)[0].box == Box(0, 0, 8, 8)


def test_where_no_entry_acts_the_prediction_is_zero() -> None:
    (got,) = predict_sides(RecordingModel(), [entry(1.0, area=Area(height=16, width=8))])
    assert torch.equal(got[..., 8:], torch.zeros_like(got[..., 8:]))
    assert bool(got[..., :8].any())


@pytest.mark.parametrize(("start", "end", "acts"), [(0.0, 1.0, True), (0.0, 0.4, False), (0.6, 1.0, False)])
def test_an_entry_acts_within_its_share_of_sampling(start: float, end: float, acts: bool) -> None:
    model = RecordingModel()  # SIGMA is about half way
    predict_sides(model, [entry(1.0, start=start, end=end), entry(2.0)])
    assert len(model.calls[0][1]) == (2 if acts else 1)


def test_controls_reach_the_network_within_their_share_of_sampling() -> None:
    net = ControlNet.__new__(ControlNet)
    hint = torch.zeros(1, 3, 8, 8)
    early, always = Control(net=net, hint=hint, end=0.3), Control(net=net, hint=hint)
    model = RecordingModel()
    predict_sides(model, [entry(1.0, controls=(early, always))])
    assert model.calls[0][1][0].controls == (always,)


def test_regional_entries_get_a_counterpart_on_the_other_side() -> None:
    area = Area(height=16, width=8)
    positive = make_regions([entry(1.0), entry(2.0, area=area, strength=0.5)], X)
    negative = match_areas(make_regions([entry(-1.0)], X), positive)
    assert [region.box for region in negative] == [None, Box(0, 0, 16, 8)]
    assert float(negative[1].entry.embedding.mean()) == -1.0
    assert torch.equal(negative[1].weight, positive[1].weight)
    assert match_areas(negative, positive) == negative
    assert match_areas(positive, negative) == positive


def test_video_latents_are_weighed_frame_by_frame() -> None:
    x = torch.randn((1, 4, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    mask = torch.ones(1, 8, 8)
    mask[:, :4] = 0.0
    (got,) = predict_sides(RecordingModel(), [entry(1.0), entry(-1.0, mask=mask)], x=x)
    assert torch.allclose(got[..., :4, :], denoised(1.0, x)[..., :4, :], atol=1e-5)
    assert torch.allclose(got[..., 4:, :], denoised(0.0, x)[..., 4:, :], atol=1e-5)


def test_masks_of_any_layout_become_one_channel() -> None:
    assert resize_mask(torch.ones(2, 16, 16), 4, 4).shape == (2, 1, 4, 4)
    assert resize_mask(torch.ones(2, 1, 4, 4), 4, 4).shape == (2, 1, 4, 4)
