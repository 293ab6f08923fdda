"""Random scenes with captions, and which of them training never sees."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from .drawing import BACKGROUNDS, COLOURS, KINDS, Scene, Shape

SIZES: dict[str, tuple[float, float]] = {"small": (0.17, 0.2), "": (0.24, 0.31), "large": (0.34, 0.39)}
"""Range of radii, in picture widths, of each size word (no word: middle)."""

POSITIONS: dict[str, tuple[float, float]] = {
    "": (0.5, 0.5),
    "on the left": (0.27, 0.5),
    "on the right": (0.73, 0.5),
    "at the top": (0.5, 0.27),
    "at the bottom": (0.5, 0.73),
}
"""Centre of each position phrase (no phrase: the middle)."""

RELATIONS = ("left of", "above")
"""How the first of two shapes lies to the second."""

_TEMPLATES = (
    "{subject} on a {background} background",
    "{subject} on a {background} background",
    "{subject}, {background} background",
    "{subject} on {background}",
)


@dataclass(frozen=True)
class Example:
    """A caption and a scene it describes.

    Attributes:
        caption: The prompt.
        scene: What the caption says, with exact places and sizes.
        size: Size word of a single shape ("" for none).
        position: Position phrase of a single shape ("" for none).
        relation: Relation of two shapes ("" for one shape).
    """

    caption: str
    scene: Scene
    size: str = ""
    position: str = ""
    relation: str = ""


def is_held_out_combination(kind: str, colour: str, background: str) -> bool:
    """Whether training never shows this shape in this colour on this background (about one in seven)."""
    return (3 * KINDS.index(kind) + COLOURS.index(colour) + 2 * BACKGROUNDS.index(background)) % 7 == 0


def is_held_out_caption(caption: str) -> bool:
    """Whether training never shows this very caption (about one in eight)."""
    return zlib.crc32(caption.encode()) % 8 == 0


def has_held_out_combination(scene: Scene) -> bool:
    """Whether any shape of the scene is a combination that training never shows."""
    return any(is_held_out_combination(s.kind, s.colour, scene.background) for s in scene.shapes)


def is_held_out(example: Example) -> bool:
    """Whether training must not show this example."""
    return is_held_out_caption(example.caption) or has_held_out_combination(example.scene)


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _colour(rng: random.Random, background: str) -> str:
    return rng.choice([c for c in COLOURS if c != background])


def single(rng: random.Random, size: str = "", position: str = "", template: str | None = None) -> Example:
    """A random example with one shape.

    Args:
        rng: Source of randomness.
        size: Size word, a key of `SIZES`.
        position: Position phrase, a key of `POSITIONS`.
        template: Wording with `{subject}` and `{background}`; None picks one.
    """
    background = rng.choice(BACKGROUNDS)
    kind, colour = rng.choice(KINDS), _colour(rng, background)
    radius = rng.uniform(*SIZES[size])
    if position:
        radius = min(radius, 0.22)
    x, y = (centre + rng.uniform(-0.03, 0.03) for centre in POSITIONS[position])
    subject = _article(" ".join(w for w in (size, colour, kind) if w))
    if position:
        subject += f" {position}"
    caption = (template or rng.choice(_TEMPLATES)).format(subject=subject, background=background)
    return Example(caption, Scene(background, (Shape(kind, colour, x, y, radius),)), size, position)


def pair(rng: random.Random, relation: str, template: str | None = None) -> Example:
    """A random example with two different shapes, the first `relation` (one of `RELATIONS`) the second."""
    background = rng.choice(BACKGROUNDS)
    kinds = rng.sample(KINDS, 2)
    colours = rng.sample([c for c in COLOURS if c != background], 2)
    places = ((0.27, 0.5), (0.73, 0.5)) if relation == "left of" else ((0.5, 0.27), (0.5, 0.73))
    first, second = (
        Shape(kind, colour, x + rng.uniform(-0.02, 0.02), y + rng.uniform(-0.02, 0.02), rng.uniform(0.17, 0.2))
        for kind, colour, (x, y) in zip(kinds, colours, places, strict=True)
    )
    subject = f"{_article(f'{colours[0]} {kinds[0]}')} {relation} {_article(f'{colours[1]} {kinds[1]}')}"
    caption = (template or rng.choice(_TEMPLATES)).format(subject=subject, background=background)
    return Example(caption, Scene(background, (first, second)), relation=relation)


def mixed(rng: random.Random, sized: float, placed: float, paired: float) -> Example:
    """A random example: the three shares (0 to 1) say how often it has a size word, a position phrase or two shapes."""
    roll = rng.random()
    if roll < paired:
        return pair(rng, rng.choice(RELATIONS))
    if roll < paired + placed:
        return single(rng, position=rng.choice([p for p in POSITIONS if p]))
    if roll < paired + placed + sized:
        return single(rng, size=rng.choice([s for s in SIZES if s]))
    return single(rng)


def training_example(rng: random.Random, sized: float, placed: float, paired: float) -> Example:
    """Like `mixed`, but never anything held out."""
    while True:
        example = mixed(rng, sized, placed, paired)
        if not is_held_out(example):
            return example


def held_out(count: int, make: Callable[[random.Random], Example], seed: int) -> list[Example]:
    """Captions never trained on: half with held-out combinations, half new captions of known ones.

    A caption can occur more than once, with different seeds: of the shortest form there are not many.
    """
    rng, wanted = random.Random(seed), {True: count - count // 2, False: count // 2}
    chosen: list[Example] = []
    while any(wanted.values()):
        example = make(rng)
        combination = has_held_out_combination(example.scene)
        fits = combination or is_held_out_caption(example.caption)
        if fits and wanted[combination]:
            wanted[combination] -= 1
            chosen.append(example)
    return chosen


def words() -> list[str]:
    """Every word that captions use, sorted, for the tokenizer."""
    text = [*_TEMPLATES, *SIZES, *POSITIONS, *RELATIONS, *COLOURS, *BACKGROUNDS, *KINDS, "a an"]
    plain = " ".join(text).replace("{subject}", " ").replace("{background}", " ").replace(",", " , ")
    return sorted(set(plain.split()))
