"""The pixel judge reads drawn pictures right, and says "none" where there is nothing to read."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shapes_judge import (
    BACKGROUNDS,
    COLOURS,
    KINDS,
    NONE,
    Example,
    Picture,
    Scene,
    Shape,
    alignment,
    draw,
    edges,
    filled_share,
    is_held_out,
    is_held_out_combination,
    judge,
    mixed,
    training_example,
)

EVERY_COMBINATION = [(k, c, b) for k in KINDS for c in COLOURS for b in BACKGROUNDS if c != b]


def worn(picture: Picture, seed: int) -> Picture:
    """The picture, slightly blurred and noisy."""
    soft = cv2.GaussianBlur(picture, (0, 0), 0.9).astype(np.float64)
    return np.clip(soft + np.random.default_rng(seed).normal(0, 6, soft.shape), 0, 255).astype(np.uint8)


def is_read_right(example: Example, picture: Picture) -> bool:
    verdict, first = judge(picture), example.scene.shapes[0]
    if example.relation:
        return verdict.shows_pair(example.scene, example.relation)
    return verdict.shows(first.kind, first.colour, example.scene.background)


def test_reads_every_combination() -> None:
    wrong = [
        (kind, colour, background)
        for kind, colour, background in EVERY_COMBINATION
        if not judge(draw(Scene(background, (Shape(kind, colour),)))).shows(kind, colour, background)
    ]
    assert wrong == []


@pytest.mark.parametrize("wear", [False, True])
def test_reads_at_least_99_percent_of_random_pictures(wear: bool) -> None:
    rng = random.Random(11)
    examples = [mixed(rng, 0.3, 0.2, 0.3) for _ in range(300)]
    pictures = [draw(e.scene) for e in examples]
    if wear:
        pictures = [worn(p, i) for i, p in enumerate(pictures)]
    right = sum(is_read_right(e, p) for e, p in zip(examples, pictures, strict=True))
    assert right >= 0.99 * len(examples)


@settings(max_examples=40, deadline=None)
@given(
    combination=st.sampled_from(EVERY_COMBINATION),
    x=st.floats(0.35, 0.65),
    y=st.floats(0.35, 0.65),
    radius=st.floats(0.14, 0.3),
)
def test_measures_the_place(combination: tuple[str, str, str], x: float, y: float, radius: float) -> None:
    kind, colour, background = combination
    found = judge(draw(Scene(background, (Shape(kind, colour, x, y, radius),)))).findings
    assert len(found) == 1
    assert abs(found[0].x - x) < 0.03
    assert abs(found[0].y - y) < 0.05


def test_an_empty_picture_shows_nothing() -> None:
    verdict = judge(draw(Scene("blue", ())))
    assert (verdict.background, verdict.findings) == ("blue", ())


def test_noise_shows_nothing_it_could_name() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert not any(f.kind != NONE and f.colour != NONE for f in judge(noise).findings)


@pytest.mark.parametrize(
    "points",
    [
        [(20, 60), (108, 60), (108, 68), (20, 68)],
        [(20, 20), (60, 20), (60, 90), (108, 90), (108, 108), (20, 108)],
        [(64, 10), (80, 64), (64, 118), (48, 64)],
        [(28, 30), (100, 30), (64, 100)],
        [(30, 36), (98, 36), (98, 60), (64, 100), (30, 60)],
        [(64, 20), (110, 64), (64, 108), (18, 64)],
    ],
    ids=["bar", "corner", "lozenge", "inverted triangle", "shield", "diamond"],
)
def test_other_outlines_are_no_shape(points: list[tuple[int, int]]) -> None:
    picture = np.full((128, 128, 3), 245, dtype=np.uint8)
    cv2.fillPoly(picture, [np.array(points, dtype=np.int32)], (220, 30, 30))
    assert [f.kind for f in judge(picture).findings] == [NONE]


def test_a_colour_outside_the_list_is_none() -> None:
    palette = {"black": (15, 15, 15), "red": (0, 255, 190)}
    verdict = judge(draw(Scene("black", (Shape("square", "red"),)), palette=palette))
    assert [f.colour for f in verdict.findings] == [NONE]


def test_a_wrong_relation_is_wrong() -> None:
    red, blue = Shape("circle", "red", 0.27, 0.5, 0.18), Shape("star", "blue", 0.73, 0.5, 0.18)
    verdict = judge(draw(Scene("white", (red, blue))))
    assert verdict.shows_pair(Scene("white", (red, blue)), "left of")
    assert not verdict.shows_pair(Scene("white", (blue, red)), "left of")
    assert not verdict.shows_pair(Scene("white", (red, blue)), "above")
    assert not verdict.shows("circle", "red", "white")


def test_training_sees_every_word_but_nothing_held_out() -> None:
    rng = random.Random(3)
    examples = [training_example(rng, 0.3, 0.2, 0.3) for _ in range(800)]
    assert not any(is_held_out(e) for e in examples)
    seen = {(s.kind, s.colour) for e in examples for s in e.scene.shapes}
    assert seen == {(k, c) for k in KINDS for c in COLOURS}
    share = np.mean([is_held_out_combination(*c) for c in EVERY_COMBINATION])
    assert 0.1 < share < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_outlined_shapes_are_told_from_filled_ones(kind: str) -> None:
    scene = Scene("blue", (Shape(kind, "yellow", radius=0.3),))
    assert filled_share(draw(scene)) > 0.97
    assert filled_share(draw(scene, line=0.055)) < 0.75
    assert filled_share(draw(scene, line=0.03)) < filled_share(draw(scene, line=0.055))


def test_edges_agree_where_they_lie_alike() -> None:
    at_left, at_right = (edges(draw(Scene("white", (Shape("heart", "red", x, 0.5, 0.2),)))) for x in (0.3, 0.7))
    nearly = edges(draw(Scene("gray", (Shape("heart", "blue", 0.31, 0.5, 0.2),))))
    assert alignment(at_left, at_left) == 1.0
    assert alignment(at_left, nearly) > 0.95
    assert alignment(at_left, at_right) < 0.3
    assert alignment(at_left, np.zeros_like(at_left)) == 0.0
