"""Sequences, videos of pictures, and what shows values."""

from __future__ import annotations

import io
import json

import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphflow import nodes, runtime
from graphflow.converters.comfyui.metadata import texts_of
from graphflow.errors import InvalidInputError
from graphflow.values import Image, Latent
from tests.nodes.fakes import Told


@given(st.lists(st.integers(), min_size=1, max_size=6), st.integers(-8, 8))
def test_items_are_found_as_python_finds_them(items: list[int], index: int) -> None:
    assert nodes.list_length(tuple(items)) == len(items)
    texts = tuple(map(str, items))
    if -len(items) <= index < len(items):
        assert nodes.int_item(tuple(items), index) == items[index]
        assert nodes.text_item(texts, index) == texts[index]
    else:
        with pytest.raises(InvalidInputError, match="no item"):
            nodes.int_item(tuple(items), index)


def test_a_single_value_is_a_sequence_of_one() -> None:
    assert nodes.text_item("ab") == "ab"
    assert nodes.text_from_list("ab") == "ab"
    assert nodes.list_length("ab") == 1


def test_texts_are_joined() -> None:
    assert nodes.text_from_list(("a", "b"), " | ") == "a | b"


def test_sequences_of_pictures_and_latents() -> None:
    first, second = Image(pixels=torch.zeros(1, 3, 2, 2)), Image(pixels=torch.zeros(2, 3, 4, 4))
    sequence = nodes.image_list([(first, second), first])
    assert sequence == (first, second, first)
    assert nodes.image_item(sequence, -2) is second
    latent = Latent(samples=torch.zeros(1, 4, 2, 2))
    assert nodes.latent_item((latent,)) is latent
    with pytest.raises(InvalidInputError, match="no pictures"):
        nodes.image_list([])
    with pytest.raises(InvalidInputError, match="no picture"):
        nodes.image_list([(latent,)])  # type: ignore[list-item]


def test_pictures_become_a_video_and_again_pictures() -> None:
    frames = Image(pixels=torch.rand(3, 4, 8, 8))
    video = nodes.images_to_video(frames, fps=12.0)
    back, fps = nodes.video_to_images(video)
    assert torch.equal(back.pixels, frames.pixels[:, :3])
    assert fps == 12


def test_an_animated_png_keeps_frames_and_times(told: Told) -> None:
    frames = torch.stack([torch.full((3, 8, 8), value / 255) for value in (0.0, 100.0, 200.0)])
    (file,) = nodes.save_video(nodes.images_to_video(Image(pixels=frames), fps=4.0), format="png").files
    assert file.suffix == ".png"
    with PIL.Image.open(io.BytesIO(file.data)) as opened:
        assert opened.n_frames == 3
        shown = []
        for number in range(3):
            opened.seek(number)
            shown.append((opened.convert("RGB").getpixel((0, 0)), opened.info["duration"]))
    assert shown == [((value, value, value), 250.0) for value in (0, 100, 200)]


@pytest.mark.parametrize("format", ["webp", "png"])
def test_an_animation_carries_its_workflow(format: str) -> None:
    foreign = {"prompt": {"1": {}}}
    video = nodes.images_to_video(Image(pixels=torch.rand(2, 3, 8, 8)))
    with runtime.using(Told().runtime(record={"workflow": {"graphflow": 2}, "comfyui": foreign})):
        (file,) = nodes.save_video(video, format=format).files  # type: ignore[arg-type]
        (bare,) = nodes.save_video(video, format=format, embed=False).files  # type: ignore[arg-type]
    assert json.loads(texts_of(io.BytesIO(file.data), format, "a file")["prompt"]) == foreign["prompt"]
    assert b"graphflow" in file.data
    assert b"graphflow" not in bare.data


def test_values_are_shown_as_text(told: Told) -> None:
    assert nodes.show("a text").files == ()
    nodes.show((1, 2.5, True))
    nodes.show(Latent(samples=torch.zeros(1, 4, 2, 3), family="sd"))
    nodes.show({"a": [1]})
    nodes.show("x" * 5000)
    assert told.notices[0] == "a text"
    assert told.notices[1] == "1\n2.5\nTrue"
    assert told.notices[2] == "latent: samples (1 x 4 x 2 x 3) from 0 to 0, family sd, downscale 8"
    assert told.notices[3] == "a: 1"
    assert len(told.notices[4]) == 2000


def test_a_text_is_saved_as_utf_8() -> None:
    (file,) = nodes.save_text("grün", "note").files
    assert (file.stem, file.suffix, file.data) == ("note", ".txt", "grün".encode())
