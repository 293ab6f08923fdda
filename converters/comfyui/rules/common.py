"""Values that have other names in ComfyUI, for many rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .rule import Convert

METHOD = {"nearest-exact": "nearest"}
"""Resampling methods."""
IMAGE_METHOD = {**METHOD, "lanczos": "lanczos_8bit"}
"""The same for pictures, where ComfyUI's lanczos works on 8 bits."""
CROP = {"disabled": "none"}
FLIP = {"x-axis: vertically": "vertical", "y-axis: horizontally": "horizontal"}
DEGREES = {"none": 0, "90 degrees": 90, "180 degrees": 180, "270 degrees": 270}
SWITCHED = {"enable": True, "disable": False}
BOUNDS = {"default": False, "mask bounds": True}
BATCH_NOISE = {"noise_layout": "batch", "step_noise": "seed + 1"}
"""How ComfyUI draws noise; files of older versions start that of the steps at the seed."""
COLORS = {
    "white": "#ffffff",
    "black": "#000000",
    "red": "#ff0000",
    "green": "#00ff00",
    "blue": "#0000ff",
    "gray": "#808080",
}

PREFIX_LENGTH = 200
"""Characters that native file names begin with at most."""
_ENDING = re.compile(r"\s*\[(input|output|temp)\]\s*$")


def _color(value: Any) -> str:
    number = int(value)
    if not 0 <= number < 2**24:
        raise ValueError("not a colour")
    return f"#{number:06x}"


def _number(value: Any) -> int:
    if not isinstance(value, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ValueError("not a colour")
    return int(value[1:], 16)


COLOR = Convert(_color, _number)
"""A colour as ComfyUI's number, and as ``#rrggbb``."""

PREFIX = Convert(lambda value: str(value)[-PREFIX_LENGTH:] or "ComfyUI", str)
"""How file names begin."""

FILE = Convert(lambda value: _ENDING.sub("", str(value)).replace("\\", "/"), str)
"""A picture in the input folder; ComfyUI marks the folder behind the name."""

END_STEP = Convert(
    lambda value: None if int(value) >= 10_000 else int(value), lambda value: 10_000 if value is None else value
)
"""The step to stop before; ComfyUI writes 10000 for the end."""


def choices(**names: Any) -> Mapping[str, Any]:
    """Return a mapping written as keywords."""
    return names
