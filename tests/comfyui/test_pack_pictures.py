"""Nodes of custom packs, run on small pictures: what comes out is computed by hand, or by another way to the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest

from graphflow import Session, Settings

from .prompts import node, sound

EDGE = 24
LAYER, BELOW, SHAPE, FOUR = ["10", 0], ["11", 0], ["12", 0], ["13", 0]
GIVEN = {
    "10": node("LoadImage", image="layer.png"),
    "11": node("LoadImage", image="below.png"),
    "12": node("LoadImageMask", image="shape.png", channel="red"),
    "13": node("ImageBatchMulti", inputcount=4, image_1=LAYER, image_2=BELOW, image_3=LAYER, image_4=BELOW),
}


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with Session(Settings(device="cpu", cache_bytes=0, offline=True)) as session:
        yield session


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dice = np.random.default_rng(4)
    for name in ("layer", "below"):
        PIL.Image.fromarray(dice.integers(0, 256, (EDGE, EDGE, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    shape = np.zeros((EDGE, EDGE), np.uint8)
    shape[6:14, 6:14] = 255
    PIL.Image.fromarray(shape).convert("RGB").save(tmp_path / "shape.png")
    return tmp_path


def pictures(session: Session, folder: Path, nodes: dict[str, Any], source: list[Any]) -> np.ndarray:
    """Run a workflow, and return the pictures at an output, (N, H, W, 3) in [0, 1]."""
    saved = node("SaveImage", images=source, filename_prefix="made")
    document = sound({**GIVEN, **nodes, "90": saved}).require()
    (folder / "out").mkdir(exist_ok=True)
    session.run(document, folder=folder, out=folder / "out")
    files = sorted((folder / "out").glob("made*.png"))
    found = np.stack([np.asarray(PIL.Image.open(file).convert("RGB"), dtype=float) / 255 for file in files])
    for file in files:
        file.unlink()
    return found


def read(folder: Path, name: str) -> np.ndarray:
    return np.asarray(PIL.Image.open(folder / f"{name}.png").convert("RGB"), dtype=float) / 255


STEP = 1.01 / 255
"""Pictures are cut to 8 bits."""


def test_a_shadow_lies_under_the_layer_where_its_moved_mask_is(session: Session, folder: Path) -> None:
    shadow = node(
        "LayerStyle: DropShadow V2", background_image=BELOW, layer_image=LAYER, layer_mask=SHAPE, invert_mask=False, blend_mode="multiply",
        opacity=60, distance_x=5, distance_y=-4, grow=0, blur=0, shadow_color="#204060",
    )  # fmt: skip
    (got,) = pictures(session, folder, {"20": shadow}, ["20", 0])
    below, layer, color = read(folder, "below"), read(folder, "layer"), np.array([0x20, 0x40, 0x60]) / 255
    wanted = below.copy()
    wanted[2:10, 11:19] = (below * color * 0.6 + below * 0.4)[2:10, 11:19]
    wanted[6:14, 6:14] = layer[6:14, 6:14]
    assert np.abs(got - wanted).max() <= STEP


def test_a_shadow_is_as_soft_as_a_picture_program_makes_it(session: Session, folder: Path) -> None:
    shadow = node(
        "LayerStyle: DropShadow", background_image=BELOW, layer_image=LAYER, layer_mask=SHAPE, invert_mask=False, blend_mode="normal",
        opacity=100, distance_x=0, distance_y=0, grow=0, blur=2, shadow_color="#000000",
    )  # fmt: skip
    (got,) = pictures(session, folder, {"20": shadow}, ["20", 0])
    below = read(folder, "below")
    mask = PIL.Image.open(folder / "shape.png").convert("L")
    soft = np.asarray(mask.filter(PIL.ImageFilter.GaussianBlur(2)), dtype=float)[..., None] / 255
    outside = np.ones((EDGE, EDGE), bool)
    outside[6:14, 6:14] = False  # the layer covers it
    assert np.abs(got - below * (1 - soft))[outside].max() <= 0.03


def test_a_layer_is_scaled_and_placed_by_its_middle(session: Session, folder: Path) -> None:
    placed = node(
        "LayerUtility: ImageBlendAdvance V2", background_image=BELOW, layer_image=["19", 0], invert_mask=False, blend_mode="normal", opacity=100,
        x_percent=25, y_percent=75, mirror="None", scale=0.5, aspect_ratio=1, rotate=0, transform_method="lanczos", anti_aliasing=0,
    )  # fmt: skip
    red = node("EmptyImage", width=12, height=8, batch_size=1, color=0xFF0000)
    (got,) = pictures(session, folder, {"19": red, "20": placed}, ["20", 0])
    wanted = read(folder, "below")
    wanted[16:20, 3:9] = (1, 0, 0)
    assert np.abs(got - wanted).max() <= STEP


@pytest.mark.parametrize("pack", ["LayerStyle", "WAS"])
def test_what_is_cut_out_comes_back_to_its_place(session: Session, folder: Path, pack: str) -> None:
    margins = {"LayerStyle": "{}_reserve", "WAS": "padding_{}"}[pack]
    told = {margins.format(side): number for side, number in (("left", 1), ("right", 2), ("top", 3), ("bottom", 40))}
    if pack == "LayerStyle":
        cut = node(
            "LayerUtility: CropByMask V2",
            image=BELOW,
            mask=SHAPE,
            invert_mask=False,
            detect="mask_area",
            round_to_multiple="None",
            **told,
        )
        back = node(
            "LayerUtility: RestoreCropBox",
            background_image=LAYER,
            croped_image=["20", 0],
            invert_mask=False,
            crop_box=["20", 2],
        )
    else:
        cut = node("Bounded Image Crop with Mask", image=BELOW, mask=SHAPE, **told)
        whole = node("SolidMask", value=1.0, width=EDGE, height=EDGE)
        back = node(
            "Bounded Image Blend with Mask",
            target=LAYER,
            target_mask=["22", 0],
            target_bounds=["20", 1],
            source=["20", 0],
            blend_factor=1.0,
            feathering=0,
        )
    nodes = {"20": cut, "21": back, **({"22": whole} if pack == "WAS" else {})}
    (small,), (got,) = (pictures(session, folder, nodes, source) for source in (["20", 0], ["21", 0]))
    below, wanted = read(folder, "below"), read(folder, "layer")
    assert np.abs(small - below[3:24, 5:16]).max() <= STEP
    wanted[3:24, 5:16] = below[3:24, 5:16]
    assert np.abs(got - wanted).max() <= STEP


@pytest.mark.parametrize(
    ("type", "inputs", "slot", "places"),
    [
        ("VHS_SelectEveryNthImage", {"images": FOUR, "select_every_nth": 2, "skip_first_images": 1}, 0, "bb"),
        ("VHS_SplitImages", {"images": FOUR, "split_index": 3}, 2, "b"),
        ("VHS_SelectImages", {"image": FOUR, "indexes": "-1, 0:2"}, 0, "blb"),
        ("GetImageRangeFromBatch", {"images": FOUR, "start_index": -1, "num_frames": 3}, 0, "blb"),
        ("ReverseImageBatch", {"images": FOUR}, 0, "blbl"),
        ("LayerUtility: BatchSelector", {"images": FOUR, "select": "0, 2"}, 0, "ll"),
    ],
)  # fmt: skip
def test_pictures_are_chosen_from_a_batch(
    session: Session, folder: Path, type: str, inputs: dict[str, Any], slot: int, places: str
) -> None:
    got = pictures(session, folder, {"20": node(type, **inputs)}, ["20", slot])
    wanted = np.stack([read(folder, {"l": "layer", "b": "below"}[place]) for place in places])
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= STEP


def test_a_video_is_read_at_a_rate_from_a_frame_on(session: Session, folder: Path) -> None:
    frames = [PIL.Image.new("RGB", (8, 8), (40 * number, 0, 0)) for number in range(6)]
    frames[0].save(folder / "six.png", save_all=True, append_images=frames[1:], duration=100)  # 10 a second
    loaded = node(
        "VHS_LoadVideo",
        video="six.png",
        force_rate=5,
        custom_width=0,
        custom_height=0,
        frame_load_cap=1,
        skip_first_frames=1,
        select_every_nth=1,
    )
    got = pictures(session, folder, {"20": loaded}, ["20", 0])
    assert [round(frame[0, 0, 0] * 255) for frame in got] == [80]  # the second of the frames 0, 2, 4
    every = node(
        "VHS_LoadVideo",
        video="six.png",
        force_rate=0,
        custom_width=0,
        custom_height=0,
        frame_load_cap=2,
        skip_first_frames=1,
        select_every_nth=3,
    )
    got = pictures(session, folder, {"20": every}, ["20", 0])
    assert [round(frame[0, 0, 0] * 255) for frame in got] == [40, 160]


@pytest.mark.parametrize(
    ("type", "inputs", "wanted"),
    [
        ("easy imageInsetCrop", {"image": LAYER, "measurement": "Pixels", "left": 2, "right": 3, "top": 4, "bottom": 5}, (15, 19)),
        ("Image Inset Crop (rgthree)", {"image": LAYER, "measurement": "Percentage", "left": 25, "right": 0, "top": 0, "bottom": 50}, (12, 18)),
        ("Image Resize (rgthree)", {"image": LAYER, "measurement": "pixels", "width": 12, "height": 48, "fit": "contain", "method": "bilinear"}, (12, 12)),
        ("ImageResizeKJ", {"image": ["19", 0], "width": 50, "height": 99, "keep_proportion": True, "divisible_by": 2}, (32, 50)),
        ("ImageResizeKJv2", {"image": ["19", 0], "width": ["18", 0], "height": 99, "keep_proportion": "resize", "divisible_by": 4}, (32, 48)),
        ("ImageResizeKJv2", {"image": ["19", 0], "width": 0, "height": 20, "keep_proportion": "resize", "divisible_by": 1}, (20, 30)),
        ("ImageResizeKJv2", {"image": ["19", 0], "width": 0, "height": 21, "keep_proportion": "stretch", "divisible_by": 2}, (20, 12)),
        ("ImageResizeKJv2", {"image": ["19", 0], "width": 12, "height": 32, "keep_proportion": "total_pixels", "divisible_by": 1}, (16, 24)),
        ("ImageResizeKJv2", {"image": ["19", 0], "width": 12, "height": 31, "keep_proportion": "pad", "divisible_by": 2}, (30, 12)),
        ("ImageResize+", {"image": ["19", 0], "width": 48, "height": 48, "method": "keep proportion", "interpolation": "bilinear"}, (32, 48)),
        ("ConstrainImage|pysssss", {"images": LAYER, "max_width": 12, "max_height": 96, "min_width": 0, "min_height": 0}, (12, 12)),
        ("easy imageScaleDownToSize", {"images": LAYER, "size": 8, "mode": True}, (8, 8)),
        ("ImageConcatMulti", {"inputcount": 3, "image_1": LAYER, "image_2": BELOW, "image_3": LAYER, "direction": "right", "match_image_size": True}, (24, 72)),
        ("Image Crop Square Location", {"image": LAYER, "x": 12, "y": 12, "size": 10}, (10, 10)),
        ("Image Rotate", {"images": ["19", 0], "rotation": 90, "mode": "transpose", "sampler": "nearest"}, (12, 8)),
        ("ImagePadKJ", {"image": LAYER, "left": 1, "right": 2, "top": 3, "bottom": 4, "extra_padding": 1, "pad_mode": "edge"}, (33, 29)),
    ],
)  # fmt: skip
def test_sizes_come_out_right(
    session: Session, folder: Path, type: str, inputs: dict[str, Any], wanted: tuple[int, int]
) -> None:
    red = node("EmptyImage", width=12, height=8, batch_size=1, color=0xFF0000)
    fifty = node("CM_IntBinaryOperation", op="Add", a=20, b=30)
    (got,) = pictures(session, folder, {"18": fifty, "19": red, "20": node(type, **inputs)}, ["20", 0])
    assert got.shape[:2] == wanted
