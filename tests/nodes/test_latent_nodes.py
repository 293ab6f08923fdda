"""Latents in batches, turned, cut, joined and mixed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow import nodes
from graphflow.errors import InvalidInputError, LimitError
from graphflow.pixels.resampling import slerp
from graphflow.sampling.noise import initial_noise
from graphflow.values import Latent, Mask
from tests.closeness import assert_close
from tests.nodes.fakes import Told

edges = st.integers(1, 9)
turns = st.sampled_from([0, 90, 180, 270])
directions = st.sampled_from(["vertical", "horizontal"])


def latent(items: int = 1, rows: int = 6, columns: int = 8, channels: int = 4, seed: int = 0) -> Latent:
    generator = torch.Generator().manual_seed(seed)
    return Latent(samples=torch.randn(items, channels, rows, columns, generator=generator))


@given(edges, edges, directions)
def test_flipping_twice_changes_nothing(rows: int, columns: int, direction: str) -> None:
    whole = latent(2, rows, columns)
    assert torch.equal(nodes.flip_latent(nodes.flip_latent(whole, direction), direction).samples, whole.samples)  # type: ignore[arg-type]


@given(edges, edges, turns, turns)
def test_turns_add_up(rows: int, columns: int, first: int, second: int) -> None:
    whole = latent(1, rows, columns)
    twice = nodes.rotate_latent(nodes.rotate_latent(whole, first), second)  # type: ignore[arg-type]
    once = nodes.rotate_latent(whole, (first + second) % 360)  # type: ignore[arg-type]
    assert torch.equal(twice.samples, once.samples)


def test_a_turn_is_clockwise() -> None:
    turned = nodes.rotate_latent(Latent(samples=torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])), 90)
    assert turned.samples[0, 0].tolist() == [[3, 1], [4, 2]]


@given(st.integers(1, 7), st.sampled_from(["x", "y"]))
def test_what_is_cut_in_two_joins_to_the_whole(place: int, axis: str) -> None:
    whole = latent(2, 8, 8)
    head = nodes.cut_latent(whole, axis, 0, place)  # type: ignore[arg-type]
    tail = nodes.cut_latent(whole, axis, place, 8)  # type: ignore[arg-type]
    joined = nodes.concat_latents(head, tail, "right" if axis == "x" else "down")
    assert torch.equal(joined.samples, whole.samples)
    swapped = nodes.concat_latents(tail, head, "left" if axis == "x" else "up")
    assert torch.equal(swapped.samples, whole.samples)


def test_a_cut_counts_from_the_end_too() -> None:
    whole = latent()
    assert torch.equal(nodes.cut_latent(whole, "x", -2, 1).samples, whole.samples[..., -2:-1])
    assert nodes.cut_latent(whole, "y", 100, 3).samples.shape == (1, 4, 1, 8)


def test_a_noise_mask_goes_along() -> None:
    values = torch.zeros(1, 48, 64)
    values[:, :24] = 1
    masked = nodes.set_noise_mask(latent(), Mask(values=values))
    flipped = nodes.flip_latent(masked, "vertical").noise_mask
    cut = nodes.crop_latent(masked, x=8, y=0, width=16, height=24).noise_mask
    assert flipped is not None
    assert flipped[:, :24].sum() == 0
    assert cut is not None
    assert cut.shape == (1, 24, 16)
    assert cut.all()


@pytest.mark.parametrize(("edge", "rows"), [(128, 16), (132, 16), (150, 18), (151, 18), (100, 12)])
def test_sizes_are_rounded_down_to_whole_samples_and_told(told: Told, edge: int, rows: int) -> None:
    made = (
        nodes.empty_latent(64, edge),
        nodes.upscale_latent(latent(), 64, edge),
        nodes.crop_latent(latent(1, 99), 0, 0, 64, edge),
    )
    assert [one.samples.shape[-2:] for one in made] == [(rows, 8)] * 3
    assert told.notices == (
        [] if edge == rows * 8 else [f"64 x {edge} is no multiple of 8, rounded down to 64 x {rows * 8}"] * 3
    )


def test_samples_may_be_larger_than_eight_pixels(told: Told) -> None:
    assert nodes.empty_latent(100, 64, channels=64, downscale=32).samples.shape == (1, 64, 2, 3)
    assert told.notices == ["100 x 64 is no multiple of 32, rounded down to 96 x 64"]


def test_a_crop_outside_is_refused_and_one_across_the_edge_is_cut() -> None:
    assert nodes.crop_latent(latent(), x=56, y=40, width=64, height=64).samples.shape[-2:] == (1, 1)
    with pytest.raises(InvalidInputError, match="outside"):
        nodes.crop_latent(latent(), x=64)


@given(st.integers(1, 4), st.integers(0, 5), st.integers(1, 6))
def test_an_item_taken_out_keeps_its_noise(items: int, start: int, length: int) -> None:
    taken = nodes.latents_from_batch(latent(items), start, length)
    first = min(start, items - 1)
    assert taken.batch_index == tuple(range(first, min(first + length, items)))
    for layout in ("per_sample", "batch"):
        whole = initial_noise((items, 4, 2, 2), 3, layout)  # type: ignore[arg-type]
        own = initial_noise((len(taken.samples), 4, 2, 2), 3, layout, taken.batch_index)  # type: ignore[arg-type]
        assert torch.equal(own, whole[first : first + len(own)])


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 5))
def test_rebatching_keeps_all_items_in_order(sizes: list[int], batch_size: int) -> None:
    parts = tuple(latent(size, seed=number) for number, size in enumerate(sizes))
    batches = nodes.rebatch_latents(parts, batch_size)
    assert torch.equal(torch.cat([b.samples for b in batches]), torch.cat([p.samples for p in parts]))
    assert [len(b.samples) for b in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert [place for b in batches for place in b.batch_index or ()] == list(range(sum(sizes)))


def test_latents_of_different_shapes_do_not_share_a_batch() -> None:
    batches = nodes.rebatch_latents((latent(1), latent(2, 4, 4)), 3)
    assert [tuple(b.samples.shape) for b in batches] == [(1, 4, 6, 8), (2, 4, 4, 4)]
    assert batches[1].batch_index == (1, 2)


def test_batching_resizes_only_when_asked() -> None:
    with pytest.raises(InvalidInputError, match="do not make one batch"):
        nodes.batch_latents([latent(), latent(1, 3, 4)])
    both = nodes.batch_latents([latent(), (latent(1, 3, 4), latent(2))], resize=True)
    assert both.samples.shape == (4, 4, 6, 8)
    assert both.batch_index == (0, 0, 0, 1)
    with pytest.raises(InvalidInputError, match="no latents"):
        nodes.batch_latents([()])


def test_batching_makes_unmasked_items_anew() -> None:
    masked = nodes.set_noise_mask(latent(), Mask(values=torch.zeros(1, 48, 64)))
    both = nodes.batch_latents([masked, latent(2)]).noise_mask
    assert both is not None
    assert both.mean(dim=(1, 2)).tolist() == [0, 1, 1]


def test_batched_latents_start_from_the_noise_that_they_have_alone() -> None:
    taken = nodes.latents_from_batch(latent(4), 2, 2)
    assert nodes.batch_latents([latent(1), taken, latent(2)]).batch_index == (0, 2, 3, 0, 1)


def test_masks_of_another_number_go_along() -> None:
    values = torch.tensor([0.0, 0.5]).reshape(2, 1, 1).expand(2, 8, 8)
    masked = nodes.set_noise_mask(latent(3), Mask(values=values))
    wanted = [0.0, 0.5, 0.0]

    def means(given: Latent) -> list[float]:
        assert given.noise_mask is not None
        return [float(plane.mean()) for plane in given.noise_mask]

    assert means(nodes.latents_from_batch(masked, 1, 2)) == wanted[1:]
    assert means(nodes.repeat_latents(masked, 2)) == wanted * 2
    assert means(nodes.batch_latents([masked, latent(1)])) == [*wanted, 1.0]
    assert [means(part) for part in nodes.rebatch_latents((masked,), 2)] == [wanted[:2], wanted[2:]]
    filled = nodes.fill_masked_latent(masked, "nothing").samples
    kept = 1 - torch.tensor(wanted).reshape(3, 1, 1, 1)
    assert torch.allclose(filled, masked.samples * kept)
    with pytest.raises(InvalidInputError, match="no mask"):
        nodes.set_noise_mask(latent(1), Mask(values=torch.zeros(0, 8, 8)))


def test_an_empty_batch_stays_empty_where_there_is_nothing_to_do() -> None:
    nothing = Latent(samples=torch.zeros(0, 4, 6, 8), noise_mask=torch.ones(1, 6, 8), batch_index=())
    changes = (nodes.tonemap_latent, nodes.repeat_latents, nodes.fill_masked_latent, nodes.flip_latent)
    assert {change(nothing).samples.shape for change in changes} == {(0, 4, 6, 8)}


def test_latents_of_pictures_and_of_videos_do_not_mix() -> None:
    video = Latent(samples=torch.ones(1, 4, 3, 6, 8))
    assert nodes.repeat_latents(video, 2).samples.shape == (2, 4, 3, 6, 8)
    for mix in (nodes.composite_latents, nodes.blend_latents, nodes.combine_latents, nodes.concat_latents):
        for first, second in ((video, latent()), (latent(), video)):
            with pytest.raises(InvalidInputError, match=r"do not go together|are a video's"):
                mix(first, second)
    with pytest.raises(InvalidInputError, match="video"):
        nodes.composite_latents(video, video)
    with pytest.raises(InvalidInputError, match="video"):
        nodes.fill_masked_latent(nodes.set_noise_mask(video, Mask(values=torch.ones(1, 6, 8))))


def test_a_video_of_one_frame_is_a_picture() -> None:
    """Qwen-Image's latents have such an axis; every node gives what it gives without, and keeps it."""
    mask = Mask(values=torch.ones(1, 6, 8))
    flat = nodes.set_noise_mask(latent(2), mask)
    framed = replace(flat, samples=flat.samples.unsqueeze(2))
    changes: list[Any] = [
        lambda given: nodes.composite_latents(given, given, x=16),
        lambda given: nodes.blend_latents(given, given, method="direction"),
        lambda given: nodes.combine_latents(given, given),
        lambda given: nodes.concat_latents(given, given),
        lambda given: nodes.sharpen_latent(given, radius=1),
        nodes.tonemap_latent,
        nodes.fill_masked_latent,
        lambda given: nodes.upscale_latent(given, scale=2.0, method="bislerp"),
        lambda given: nodes.batch_latents([given, given], resize=True),
        lambda given: nodes.rotate_latent(given, 90),
    ]
    for change in changes:
        assert_close(change(framed).samples, change(flat).samples.unsqueeze(2))


def test_repeating_gives_each_copy_its_own_noise() -> None:
    taken = nodes.latents_from_batch(latent(3), 1, 2)
    assert nodes.repeat_latents(taken, 2).batch_index == (1, 2, 3, 4)
    assert nodes.repeat_latents(latent(2), 3).batch_index is None
    with pytest.raises(LimitError):
        nodes.repeat_latents(latent(2), 4096)


def test_items_share_noise_when_told() -> None:
    fixed = nodes.batch_noise(latent(3), "fixed")
    assert fixed.batch_index == (0, 0, 0)
    assert nodes.batch_noise(fixed, "random").batch_index is None


@given(st.floats(0, 1), st.sampled_from(["linear", "direction"]))
def test_blending_equal_latents_changes_nothing(factor: float, method: str) -> None:
    whole = latent()
    got = nodes.blend_latents(whole, whole, factor, method).samples  # type: ignore[arg-type]
    assert torch.allclose(got, whole.samples, atol=1e-5)


@pytest.mark.parametrize("method", ["linear", "direction"])
def test_the_ends_of_a_blend_are_its_sides(method: str) -> None:
    a, b = latent(), latent(seed=1)
    assert torch.allclose(nodes.blend_latents(a, b, 1.0, method).samples, a.samples, atol=1e-5)  # type: ignore[arg-type]
    assert torch.allclose(nodes.blend_latents(a, b, 0.0, method).samples, b.samples, atol=1e-5)  # type: ignore[arg-type]


def test_adding_and_subtracting_are_inverse() -> None:
    a, b = latent(2), latent(1, 3, 4, seed=1)
    again = nodes.combine_latents(nodes.combine_latents(a, b, "add"), b, "subtract")
    assert torch.allclose(again.samples, a.samples, atol=1e-5)
    assert torch.equal(nodes.multiply_latent(a, -2.0).samples, a.samples * -2)


def test_different_families_do_not_mix() -> None:
    with pytest.raises(InvalidInputError, match="4 and with 16"):
        nodes.combine_latents(latent(), latent(channels=16))
    with pytest.raises(InvalidInputError, match="4 and with 16"):
        nodes.composite_latents(latent(), latent(channels=16))


def test_pasting_follows_the_mask_and_ends_at_the_edge() -> None:
    under, over = latent(2), latent(1, 4, 4, seed=1)
    pasted = nodes.composite_latents(under, over, x=48, y=16).samples
    assert torch.equal(pasted[..., 2:, 6:], over.samples.expand(2, -1, -1, -1)[..., :4, :2])
    assert torch.equal(pasted[..., :6], under.samples[..., :6])
    nothing = nodes.composite_latents(under, over, Mask(values=torch.zeros(1, 8, 8)))
    assert torch.equal(nothing.samples, under.samples)
    stretched = nodes.composite_latents(under, over, resize_source=True).samples
    assert stretched.shape == under.samples.shape
    assert not torch.isclose(stretched, under.samples).any()
    assert torch.equal(nodes.composite_latents(under, over, x=640).samples, under.samples)


def test_feathering_fades_only_inside() -> None:
    black, white = Latent(samples=torch.zeros(1, 4, 8, 8)), Latent(samples=torch.ones(1, 4, 8, 4))
    row = nodes.composite_latents(black, white, x=16, feather=16).samples[0, 0, 4]
    assert row.tolist() == [0, 0, 0.5, 1, 1, 0.5, 0, 0]
    assert nodes.composite_latents(black, white, feather=16).samples[0, 0, 4].tolist() == [1, 1, 1, 0.5, 0, 0, 0, 0]


def test_sharpening_keeps_flat_latents_and_raises_contrast() -> None:
    flat = Latent(samples=torch.full((1, 4, 8, 8), 2.0))
    assert torch.allclose(nodes.sharpen_latent(flat, radius=2).samples, flat.samples, atol=1e-5)
    rough = latent(1, 8, 8)
    assert nodes.sharpen_latent(rough, radius=2).samples.std() > rough.samples.std()
    with pytest.raises(InvalidInputError, match="radius of 9"):
        nodes.sharpen_latent(rough)


def test_tone_mapping_compresses_lengths_and_keeps_directions() -> None:
    whole = latent()
    mapped = nodes.tonemap_latent(whole).samples
    before, after = whole.samples.norm(dim=1), mapped.norm(dim=1)
    assert (after < before).all()
    assert torch.equal(after.flatten().argsort(), before.flatten().argsort())
    assert torch.allclose(mapped / after[:, None], whole.samples / before[:, None], atol=1e-5)
    assert torch.allclose(nodes.tonemap_latent(whole, 100.0).samples, whole.samples, rtol=0.02)
    dot = latent(1, 1, 1)
    assert torch.allclose(nodes.tonemap_latent(dot).samples, dot.samples / 2)


@given(st.floats(0, 1))
def test_slerp_between_unit_vectors_stays_on_the_sphere(ratio: float) -> None:
    a, b = (torch.nn.functional.normalize(latent(seed=seed).samples, dim=1) for seed in (0, 1))
    lengths = slerp(a, b, torch.tensor(ratio)).norm(dim=1)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-4)


def test_bislerp_keeps_more_contrast_than_bilinear() -> None:
    whole = latent(1, 16, 16)
    smooth = nodes.upscale_latent(whole, scale=2, method="bilinear").samples.std()
    assert nodes.upscale_latent(whole, scale=2, method="bislerp").samples.std() > 1.1 * smooth


def test_sizes_of_latents_as_numbers() -> None:
    assert nodes.latent_size(nodes.empty_latent(64, 48, batch_size=3)) == (64, 48, 3)
    assert nodes.latent_size(nodes.empty_latent(2048, 1024, channels=64, downscale=32)) == (2048, 1024, 1)
    assert nodes.empty_latent(64, 48, channels=3, downscale=1).samples.shape == (1, 3, 48, 64)
    assert nodes.empty_latent(1024, 1024, channels=16, downscale=42).samples.shape == (1, 16, 24, 24)
    with pytest.raises(InvalidInputError, match="smaller than one latent sample"):
        nodes.empty_latent(16, 64, downscale=32)
