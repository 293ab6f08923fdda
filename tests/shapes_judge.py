"""What tests need to check the meaning of generated pictures: the drawing code and the pixel judge of the shapes model.

Both live in `tools/shapes/pictures` (NumPy, OpenCV and Pillow only); this module is where tests import them from.
"""

from __future__ import annotations

from tools.shapes.pictures.captions import (
    POSITIONS,
    RELATIONS,
    SIZES,
    Example,
    has_held_out_combination,
    is_held_out,
    is_held_out_caption,
    is_held_out_combination,
    mixed,
    pair,
    single,
    training_example,
    words,
)
from tools.shapes.pictures.drawing import (
    BACKGROUNDS,
    COLOURS,
    KINDS,
    PALETTE,
    SIZE,
    Picture,
    Scene,
    Shape,
    draw,
    mask,
    outline,
)
from tools.shapes.pictures.judge import NONE, Finding, Verdict, classify, judge
from tools.shapes.pictures.lines import alignment, edges, filled_share

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "KINDS",
    "NONE",
    "PALETTE",
    "POSITIONS",
    "RELATIONS",
    "SIZE",
    "SIZES",
    "Example",
    "Finding",
    "Picture",
    "Scene",
    "Shape",
    "Verdict",
    "alignment",
    "classify",
    "draw",
    "edges",
    "filled_share",
    "has_held_out_combination",
    "is_held_out",
    "is_held_out_caption",
    "is_held_out_combination",
    "judge",
    "mask",
    "mixed",
    "outline",
    "pair",
    "single",
    "training_example",
    "words",
]
