"""Pictures, latents, masks, video and sound as they travel on links: float32 tensors on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from graphflow.errors import GraphflowError
from graphflow.values.types import value_type

if TYPE_CHECKING:
    import torch

__all__ = ["Audio", "Image", "Latent", "Mask", "Segment", "Segments", "Video"]


@value_type("latent")
@dataclass(frozen=True, kw_only=True, eq=False)
class Latent:
    """Latents as the autoencoder makes them, before the family's scale and shift.

    Attributes:
        samples: (B, C, h, w); (B, C, t, h, w) of videos, (B, C, t) of sound.
        noise_mask: (B or 1, H, W) in [0, 1], 1 = regenerate; any size, resized where it is used.
        batch_index: For each item, its place in the batch whose noise it takes; None is 0, 1, 2, …
        family: The family whose autoencoder made them, where known.
        downscale: Pixels per latent sample along an edge.
        further: Further tensors (B, C, ...) of a latent that is a set of them, by name, such as sound beside a video.
    """

    samples: torch.Tensor
    noise_mask: torch.Tensor | None = None
    batch_index: tuple[int, ...] | None = None
    family: str | None = None
    downscale: int = 8
    further: Mapping[str, torch.Tensor] = field(default_factory=dict)


@value_type("image")
@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """Pictures.

    Attributes:
        pixels: (B, 3 or 4, H, W) in [0, 1], sRGB; a fourth channel is alpha.
        numbers: For each item, its number in the batch it comes from; None is 0, 1, 2, … Items that the safety
            filter withheld leave gaps, so the others keep their numbers.
        withheld: How many items the safety filter took out.
    """

    pixels: torch.Tensor
    numbers: tuple[int, ...] | None = None
    withheld: int = 0

    def _repr_html_(self) -> str:
        """Show the pictures, small, in a notebook."""
        from graphflow.basics import eight_bits, markup

        try:
            return markup.thumbnails(eight_bits.to_pictures(self.pixels[: markup.MOST]), total=len(self.pixels))
        except GraphflowError as error:  # pixels that are no numbers
            return markup.paragraph(error)


@value_type("mask")
@dataclass(frozen=True, kw_only=True, eq=False)
class Mask:
    """Masks: (B, H, W) in [0, 1], 1 = regenerate."""

    values: torch.Tensor


@value_type("segment")
@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """One thing in a picture. Rectangles are (x, y, width, height) in pixels of the picture.

    Attributes:
        box: The smallest rectangle around it.
        crop: The rectangle to look at: the box with its surroundings.
        mask: (height, width) of the crop, in [0, 1], 1 = the thing.
        score: How sure a detector was.
        label: What it is.
        item: The picture's place in its batch.
    """

    box: tuple[int, int, int, int]
    crop: tuple[int, int, int, int]
    mask: torch.Tensor
    score: float = 1.0
    label: str = ""
    item: int = 0


@value_type("segments")
@dataclass(frozen=True, kw_only=True, eq=False)
class Segments:
    """Things in pictures of ``width`` x ``height`` pixels, in an order that means something."""

    width: int
    height: int
    parts: tuple[Segment, ...] = ()


@value_type("faces")
@dataclass(frozen=True, kw_only=True, eq=False)
class Faces:
    """One face in each of n pictures of ``width`` x ``height`` pixels, and who it is to a recogniser.

    Attributes:
        embeddings: (n, D) the recogniser's vectors, of their own length.
        points: (n, 5, 2) x and y in pixels of both eyes, the nose and both corners of the mouth, the left ones first.
        crops: (n, 3, 224, 224) in [0, 1], each face upright.
    """

    width: int
    height: int
    embeddings: torch.Tensor
    points: torch.Tensor
    crops: torch.Tensor


@value_type("video")
@dataclass(frozen=True, kw_only=True, eq=False)
class Video:
    """A moving picture: frames (T, 3, H, W) in [0, 1] at ``fps`` frames a second, with sound where there is any.

    ``withheld`` counts frames that the safety filter blackened.
    """

    frames: torch.Tensor
    fps: float = 8.0
    withheld: int = 0


@value_type("audio")
@dataclass(frozen=True, kw_only=True, eq=False)
class Audio:
    """Sound: samples (channels, n) in [-1, 1] at ``sample_rate`` hertz."""

    samples: torch.Tensor
    sample_rate: int = 44100
