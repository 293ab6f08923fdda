"""Pictures: batched, cut, padded, turned, joined, filtered, blended."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow import nodes
from graphflow.errors import InvalidInputError, LimitError
from graphflow.nodes.images.alpha import PorterDuffMode
from graphflow.nodes.images.mix import BlendMode
from graphflow.nodes.plain.resolutions import PRESETS
from graphflow.pixels.filters import bayer
from graphflow.values import Image, Mask

MODES = get_args(BlendMode)
OPERATORS = get_args(PorterDuffMode)


def image(items: int = 1, height: int = 8, width: int = 10, channels: int = 3, seed: int = 0) -> Image:
    return Image(pixels=torch.rand(items, channels, height, width, generator=torch.Generator().manual_seed(seed)))


margins = st.tuples(*[st.integers(0, 6)] * 4)


@given(margins, st.sampled_from(["color", "edge", "reflect"]), st.sampled_from([3, 4]))
def test_cropping_what_was_padded_gives_the_picture(sides: tuple[int, int, int, int], fill: str, channels: int) -> None:
    left, top, right, bottom = sides
    whole = image(2, channels=channels)
    padded = nodes.pad_image(whole, left, top, right, bottom, fill=fill)  # type: ignore[arg-type]
    assert nodes.image_size(padded) == (10 + left + right, 8 + top + bottom, 2)
    assert torch.equal(nodes.crop_image(padded, left, top, 10, 8).pixels, whole.pixels)


def test_margins_have_the_colour_asked_for() -> None:
    padded = nodes.pad_image(image(), left=2, color="#ff0000").pixels
    assert padded[0, :, 0, 0].tolist() == [1, 0, 0]
    with pytest.raises(InvalidInputError, match="mirrored"):
        nodes.pad_image(image(), left=10, fill="reflect")
    with pytest.raises(LimitError):
        nodes.pad_image(image(), left=32768)


@given(st.sampled_from(["vertical", "horizontal"]), st.sampled_from([0, 90, 180, 270]))
def test_turning_back(direction: str, degrees: int) -> None:
    whole = image()
    assert torch.equal(nodes.flip_image(nodes.flip_image(whole, direction), direction).pixels, whole.pixels)  # type: ignore[arg-type]
    back = nodes.rotate_image(nodes.rotate_image(whole, degrees), (360 - degrees) % 360)  # type: ignore[arg-type]
    assert torch.equal(back.pixels, whole.pixels)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(1, 4))
def test_rebatching_keeps_all_pictures_in_order(sizes: list[int], batch_size: int) -> None:
    parts = tuple(image(size, seed=number) for number, size in enumerate(sizes))
    batches = nodes.rebatch_images(parts, batch_size)
    assert torch.equal(torch.cat([b.pixels for b in batches]), nodes.batch_images([parts]).pixels)
    assert max(len(b.pixels) for b in batches) <= batch_size


def test_batches_are_cut_and_repeated() -> None:
    whole = image(3)
    assert torch.equal(nodes.images_from_batch(whole, 1, 5).pixels, whole.pixels[1:])
    assert torch.equal(nodes.images_from_batch(whole, 9).pixels, whole.pixels[2:])
    assert torch.equal(nodes.repeat_images(whole, 2).pixels[3:], whole.pixels)
    with pytest.raises(InvalidInputError, match="empty"):
        nodes.images_from_batch(Image(pixels=torch.zeros(0, 3, 4, 4)))


def test_batching_resizes_and_adds_alpha_when_asked() -> None:
    both = nodes.batch_images([image(), image(2, 4, 4, channels=4)], resize=True)
    assert both.pixels.shape == (3, 4, 8, 10)
    assert (both.pixels[0, 3] == 1).all()


def test_sizes_by_area_longest_edge_and_multiple() -> None:
    picture = nodes.solid_image(128, 96)
    assert nodes.image_size(nodes.resize(picture, megapixels=0.01))[:2] == (118, 89)
    assert nodes.image_size(nodes.resize(picture, longest_edge=200))[:2] == (200, 150)
    assert nodes.image_size(nodes.resize(picture, scale=0.7, multiple_of=32))[:2] == (96, 64)


@pytest.mark.parametrize(
    ("width", "height", "preset", "chosen"),
    [(30, 30, "sdxl", (1024, 1024)), (32, 18, "sdxl", (1344, 768)), (20, 30, "flux_kontext", (832, 1248))],
)
def test_a_preset_is_of_the_nearest_shape(width: int, height: int, preset: str, chosen: tuple[int, int]) -> None:
    assert min(PRESETS[preset], key=lambda size: abs(size[0] / size[1] - width / height)) == chosen
    got = nodes.resize_to_preset(nodes.solid_image(width, height), preset, "nearest")  # type: ignore[arg-type]
    assert nodes.image_size(got)[:2] == chosen


def test_fitting_keeps_the_shape_and_centres() -> None:
    got = nodes.resize_and_pad(nodes.solid_image(40, 20, color="#ffffff"), 20, 20).pixels
    assert got[0, 0, :5].sum() == 0
    assert (got[0, 0, 5:15] == 1).all()
    assert got[0, 0, 15:].sum() == 0


@pytest.mark.parametrize("direction", ["right", "left", "down", "up"])
def test_stitching_puts_the_second_on_its_side(direction: str) -> None:
    black, white = nodes.solid_image(4, 4), nodes.solid_image(2, 2, color="#ffffff")
    got = nodes.stitch_images(black, white, direction, spacing=2, color="#ff0000").pixels[0]  # type: ignore[arg-type]
    assert sorted(got.shape[1:]) == [4, 10]
    line = got[:, 2] if direction in ("right", "left") else got[:, :, 2]
    shown = "".join({(0.0, 0.0): "0", (1.0, 1.0): "1", (1.0, 0.0): "r"}[(p[0].item(), p[1].item())] for p in line.T)
    assert shown == ("0000rr1111" if direction in ("right", "down") else "1111rr0000")


def test_stitching_without_matching_centres_the_smaller() -> None:
    got = nodes.stitch_images(image(2), nodes.solid_image(2, 2, color="#ffffff"), match_size=False).pixels
    assert got.shape == (2, 3, 8, 12)
    assert got[:, :, 3:5, 10:].eq(1).all()
    assert got[:, :, :3, 10:].eq(0).all()


@pytest.mark.parametrize("mode", MODES)
def test_blends_stay_in_range_and_begin_at_the_first(mode: BlendMode) -> None:
    a, b = image(2), image(1, 4, 5, seed=1)
    assert torch.equal(nodes.blend_images(a, b, 0.0, mode).pixels, a.pixels)
    full = nodes.blend_images(a, b, 1.0, mode).pixels
    assert full.shape == a.pixels.shape
    assert 0 <= full.min() <= full.max() <= 1


def test_neutral_colours_of_blends() -> None:
    a, black, white = image(), nodes.solid_image(10, 8), nodes.solid_image(10, 8, color="#ffffff")
    for mode, neutral in (("multiply", white), ("screen", black), ("difference", black), ("subtract", black)):
        got = nodes.blend_images(a, neutral, 1.0, mode).pixels  # type: ignore[arg-type]
        assert torch.allclose(got, a.pixels, atol=1e-6), mode
    half = Image(pixels=torch.full((1, 3, 8, 10), 0.5))
    assert torch.allclose(nodes.blend_images(a, half, 1.0, "soft_light").pixels, a.pixels, atol=1e-6)


def test_the_destination_says_whether_there_is_alpha() -> None:
    clear, plain = image(1, 4, 4, channels=4, seed=1), image(2)
    ones = Mask(values=torch.ones(1, 4, 4))
    got = nodes.composite_images(plain, clear, ones, x=8, y=6).pixels
    assert got.shape == (2, 3, 8, 10)
    assert torch.equal(got[0, :, 6:, 8:], clear.pixels[0, :3, :2, :2])
    back = nodes.composite_images(clear, plain, x=2, y=2).pixels
    assert back.shape == (1, 4, 4, 4)
    assert back[0, 3, 2:, 2:].eq(1).all()
    assert torch.equal(back[0, :, 0], clear.pixels[0, :, 0])


@pytest.mark.parametrize("radius", [1, 3])
def test_filters_leave_flat_pictures(radius: int) -> None:
    flat = Image(pixels=torch.full((1, 3, 8, 8), 0.3))
    assert torch.allclose(nodes.blur_image(flat, radius).pixels, flat.pixels, atol=1e-6)
    assert torch.allclose(nodes.sharpen_image(flat, radius).pixels, flat.pixels, atol=1e-6)


def test_blurring_smooths_and_sharpening_roughens() -> None:
    whole = image(1, 16, 16)
    assert nodes.blur_image(whole, 2).pixels.std() < whole.pixels.std() < nodes.sharpen_image(whole, 2).pixels.std()


@given(st.sampled_from([2, 3, 4, 5]))
def test_morphology(size: int) -> None:
    whole = image(1, 12, 12)

    def at(operation: str) -> torch.Tensor:
        return nodes.morphology(whole, operation, size).pixels  # type: ignore[arg-type]

    assert (at("erode") <= whole.pixels).all()
    assert (at("dilate") >= whole.pixels).all()
    assert torch.allclose(at("gradient"), at("dilate") - at("erode"))
    negative = nodes.invert_image(nodes.morphology(nodes.invert_image(whole), "dilate", size)).pixels
    assert torch.allclose(negative, at("erode"), atol=1e-6)
    if size % 2:
        assert (at("open") <= whole.pixels).all()
        assert (at("close") >= whole.pixels).all()


@pytest.mark.parametrize("dither", ["none", "floyd-steinberg", "bayer-2", "bayer-16"])
def test_quantizing_leaves_few_colours(dither: str) -> None:
    ramp = Image(pixels=torch.linspace(0, 1, 64).expand(1, 3, 64, 64).clone())
    got = nodes.quantize_image(ramp, 4, dither).pixels  # type: ignore[arg-type]
    assert len(torch.unique(got.permute(0, 2, 3, 1).reshape(-1, 3), dim=0)) <= 4
    rows_differ = bool((got[0, 0] != got[0, 0, :1]).any())
    assert rows_differ is (dither != "none")


def test_the_ordered_pattern_has_each_value_once() -> None:
    assert sorted((bayer(4) * 16).flatten().tolist()) == list(range(16))
    assert (bayer(2) * 4).tolist() == [[0, 2], [3, 1]]


def test_noise_repeats_with_its_seed() -> None:
    grey = Image(pixels=torch.full((1, 3, 32, 32), 0.5))
    one, two = nodes.add_image_noise(grey, 1, 0.1), nodes.add_image_noise(grey, 1, 0.1)
    assert torch.equal(one.pixels, two.pixels)
    assert not torch.equal(one.pixels, nodes.add_image_noise(grey, 2, 0.1).pixels)
    assert one.pixels.std() == pytest.approx(0.1, rel=0.1)


def test_brightness_and_colour_differences_go_together_again() -> None:
    whole = image(2)
    assert torch.allclose(nodes.yuv_to_rgb(*nodes.rgb_to_yuv(whole)).pixels, whole.pixels, atol=5e-3)
    grey = nodes.rgb_to_yuv(nodes.mask_to_image(nodes.solid_mask(4, 4, 0.25)))
    assert grey.u.pixels.mean() == pytest.approx(0.5, abs=1e-5)
    with pytest.raises(InvalidInputError, match="sizes"):
        nodes.yuv_to_rgb(image(), image(), image(1, 4, 4))


def test_colours_are_matched() -> None:
    red, other = nodes.solid_image(8, 8, color="#c02020"), image(1, 8, 8)
    got = nodes.match_colors(other, red).pixels
    assert torch.allclose(got.mean(dim=(2, 3)), red.pixels.mean(dim=(2, 3)), atol=0.02)
    assert torch.equal(nodes.match_colors(other, red, 0.0).pixels, other.pixels)


def test_adjusting() -> None:
    whole = image(1, channels=4)
    assert torch.allclose(nodes.adjust_image(whole).pixels, whole.pixels, atol=1e-6)
    grey = nodes.adjust_image(whole, saturation=0.0).pixels
    assert torch.allclose(grey[:, 0], grey[:, 1], atol=1e-6)
    assert nodes.adjust_image(whole, gamma=2.0).pixels[:, :3].mean() > whole.pixels[:, :3].mean()
    assert nodes.adjust_image(whole, contrast=0.0, brightness=0.25).pixels[0, 0].unique().tolist() == [0.75]
    assert torch.equal(nodes.invert_image(whole).pixels[:, 3], whole.pixels[:, 3])


def test_alpha_joins_and_splits() -> None:
    whole, hole = image(2), Mask(values=torch.rand(1, 8, 10))
    back, mask = nodes.split_alpha(nodes.join_alpha(whole, hole))
    assert torch.equal(back.pixels, whole.pixels)
    assert torch.allclose(mask.values, hole.values.expand(2, -1, -1), atol=1e-6)
    assert not nodes.split_alpha(whole).mask.values.any()


@pytest.mark.parametrize("mode", OPERATORS)
def test_compositing_stays_in_range(mode: PorterDuffMode) -> None:
    sa, da = (Mask(values=torch.rand(1, 8, 10, generator=torch.Generator().manual_seed(s))) for s in (5, 6))
    picture, mask = nodes.porter_duff(image(), sa, image(2, seed=1), da, mode)
    assert picture.pixels.shape == (2, 3, 8, 10)
    for tensor in (picture.pixels, mask.values):
        assert 0 <= tensor.min() <= tensor.max() <= 1


def test_an_opaque_source_covers_and_a_transparent_one_does_not() -> None:
    opaque, clear = nodes.solid_mask(10, 8, 0.0), nodes.solid_mask(10, 8, 1.0)
    a, b = image(), image(seed=1)
    assert torch.allclose(nodes.porter_duff(a, opaque, b, opaque, "src_over").image.pixels, a.pixels, atol=1e-6)
    assert torch.allclose(nodes.porter_duff(a, clear, b, opaque, "src_over").image.pixels, b.pixels, atol=1e-6)
    assert nodes.porter_duff(a, opaque, b, opaque, "xor").mask.values.all()
    assert nodes.porter_duff(a, opaque, b, opaque, "clear").mask.values.all()
    assert torch.allclose(nodes.porter_duff(a, clear, b, opaque, "dst_over").image.pixels, b.pixels, atol=1e-6)


@pytest.mark.parametrize("mode", ["hue", "saturation", "color", "luminosity"])
def test_blends_of_the_whole_colour_leave_a_picture_over_itself(mode: BlendMode) -> None:
    a = image(2)
    assert torch.allclose(nodes.blend_images(a, a, 1.0, mode).pixels, a.pixels, atol=1e-5)


def test_blends_by_their_formulas() -> None:
    a, b = (Image(pixels=torch.full((1, 3, 1, 1), value)) for value in (0.25, 0.75))
    wanted = {
        "darken": 0.25, "lighten": 0.75, "color_dodge": 1.0, "color_burn": 0.0, "hard_light": 0.625, "exclusion": 0.625, "add": 1.0,
        "linear_burn": 0.0, "linear_light": 0.75, "vivid_light": 0.5, "pin_light": 0.5, "hard_mix": 1.0, "divide": 1 / 3,
    }  # fmt: skip
    got = {mode: nodes.blend_images(a, b, 1.0, mode).pixels[0, 0, 0, 0].item() for mode in wanted}  # type: ignore[arg-type]
    assert got == pytest.approx(wanted, abs=1e-5)


def test_placing_as_it_is_is_pasting_and_turning_twice_by_half_a_turn_is_nothing() -> None:
    under, over = image(2, 12, 16), image(1, 4, 6, seed=1)
    got = nodes.place_image(under, over, x=7 / 16, y=6 / 12)
    assert torch.allclose(got.image.pixels, nodes.composite_images(under, over, x=4, y=4).pixels, atol=1e-5)
    assert got.mask.values.sum().item() == 2 * 24
    turned = nodes.rotate_image(over, 180)
    again = nodes.place_image(under, turned, x=7 / 16, y=6 / 12, degrees=180)
    assert torch.allclose(again.image.pixels, got.image.pixels, atol=1e-4)
    quarter = nodes.place_image(image(1, 12, 12), over, degrees=90)
    inside = quarter.image.pixels[:, :, 3:9, 4:8]
    assert torch.allclose(inside, nodes.rotate_image(over, 270).pixels, atol=1e-4)  # that one turns clockwise


def test_pictures_are_picked_by_numbers_and_slices() -> None:
    whole = image(5)
    got = nodes.pick_images(whole, "0, -1, 3:1:-1, ::2").pixels
    assert torch.equal(got, whole.pixels[[0, 4, 3, 2, 0, 2, 4]])
    for wrong in ("", "a", "7", "1:2:0", "9:", "1:2:3:4"):
        with pytest.raises(InvalidInputError):
            nodes.pick_images(whole, wrong)


def test_a_whole_turn_of_the_hue_is_nothing_and_a_third_moves_the_channels() -> None:
    a = image(2, channels=4)
    assert torch.allclose(nodes.shift_hsv(a, 360).pixels, a.pixels, atol=1e-5)
    third = nodes.shift_hsv(a, 120).pixels
    assert torch.allclose(third[:, :3], a.pixels[:, [2, 0, 1]], atol=1e-5)
    grey = nodes.shift_hsv(a, saturation=-1).pixels[:, :3]
    assert torch.allclose(grey, a.pixels[:, :3].amax(1, keepdim=True).expand_as(grey), atol=1e-5)


def test_gradients_go_from_corner_to_corner() -> None:
    right = nodes.gradient_image(4, 2, "#000000", "#ffffff", 90).pixels[0, 0]
    assert torch.allclose(right, torch.tensor([0.125, 0.375, 0.625, 0.875]).expand(2, 4), atol=1e-5)
    up = nodes.gradient_image(4, 2, "#000000", "#ffffff", 0).pixels[0, 0]
    assert torch.allclose(up[:, 0], torch.tensor([0.75, 0.25]), atol=1e-5)
