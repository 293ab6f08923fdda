"""An example node pack: film grain, and a vignette whose strength another node measures."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from graphflow import Seed, node, runtime
from graphflow.values import Image


@node("film_grain", category="film")
def film_grain(
    image: Image,
    strength: Annotated[float, Field(ge=0, le=1, description="standard deviation of the grain, 1 is white")] = 0.05,
    colour: Annotated[Literal["grey", "colour"], Field(description="whether channels share their grain")] = "grey",
    seed: Seed = 0,
) -> Image:
    """Add grain to pictures (B, 3, H, W) in [0, 1]; the same seed gives the same grain."""
    import torch  # inside: validate, plan and schema answer without torch

    batch, channels, height, width = image.pixels.shape
    generator = torch.Generator().manual_seed(seed)
    grain = torch.randn((batch, 1 if colour == "grey" else channels, height, width), generator=generator)
    return replace(image, pixels=(image.pixels + strength * grain).clamp(0, 1))


class Brightness(NamedTuple):
    """What ``measure_brightness`` finds."""

    mean: Annotated[float, Field(description="mean of all pixels, in [0, 1]")]
    darkest: Annotated[float, Field(description="mean of the darkest picture")]


@node("measure_brightness", category="film")
def measure_brightness(image: Image) -> Brightness:
    """Measure how bright pictures are."""
    means = image.pixels.mean(dim=(1, 2, 3))
    return Brightness(mean=float(means.mean()), darkest=float(means.min()))


@node("vignette", version=2, category="film", migrate=lambda version, params: rename(params))
def vignette(
    image: Image, strength: Annotated[float, Field(ge=0, le=1, description="how dark the corners are")] = 0.5
) -> Image:
    """Darken pictures towards their corners.

    Version 1 called its parameter ``amount``.
    """
    import torch

    height, width = image.pixels.shape[-2:]
    y = torch.linspace(-1, 1, height)[:, None]
    x = torch.linspace(-1, 1, width)[None, :]
    runtime.current().notice(f"the corners keep {1 - strength:.0%} of their light")
    return replace(image, pixels=image.pixels * (1 - strength * (x**2 + y**2) / 2))


def rename(params: dict[str, object]) -> dict[str, object]:
    """Turn the parameters of version 1 into today's."""
    return {"strength" if name == "amount" else name: value for name, value in params.items()}


NODES = [film_grain, measure_brightness, vignette]
