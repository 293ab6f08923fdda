"""What files show, and by how much that differs."""

from __future__ import annotations

import io
import math
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphflow.basics.pictures import read_picture
from graphflow.document.media.containers import container_of
from graphflow.errors import GraphflowError, InvalidInputError

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from graphflow.basics.eight_bits import Array


@dataclass(frozen=True)
class Compared:
    """How what two files show compares.

    Attributes:
        same_bytes: Whether the files are the same, byte by byte.
        worst: The largest difference of a value; infinite where they have other shapes. 0: they show the same.
        peak: The largest value that there may be: 255 for pictures, 32,767 for sound, the largest there is for latents.
        psnr: Peak signal-to-noise ratio in dB; infinite where they show the same.
        shapes: What to say where they have other shapes.
    """

    same_bytes: bool
    worst: float
    peak: float
    psnr: float
    shapes: str = ""

    @property
    def same(self) -> bool:
        """Whether they show the same."""
        return self.worst == 0

    def __str__(self) -> str:
        if self.same_bytes:
            return "identical bytes"
        if self.same:
            return "identical pixels" if self.peak == 255 else "identical values"
        if self.shapes:
            return f"another size: {self.shapes}"
        whole = f"{self.worst:.0f} of {self.peak:.0f}" if self.peak >= 255 else f"{self.worst:.3g} of {self.peak:.3g}"
        return f"largest difference {whole}, PSNR {self.psnr:.1f} dB"

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "same_bytes": self.same_bytes,
            "same": self.same,
            "worst": self.worst,
            "peak": self.peak,
            "psnr": self.psnr,
            "shapes": self.shapes,
        }


def compare(one: Path, other: Path) -> Compared:
    """Compare what two files show.

    Raises:
        InvalidInputError: One of them cannot be read.
    """
    if one.read_bytes() == other.read_bytes():
        return Compared(True, 0, 255, math.inf)
    (first, peak), (second, _) = shown(one), shown(other)
    sizes = [" + ".join(" × ".join(map(str, array.shape)) for array in arrays) for arrays in (first, second)]
    if sizes[0] != sizes[1]:
        return Compared(False, math.inf, peak, 0.0, f"{sizes[0]} and {sizes[1]}")
    worst, total, number = 0.0, 0.0, 0
    for a, b in zip(first, second, strict=True):
        difference = abs(a.astype("float64") - b.astype("float64"))
        worst = max(worst, float(difference.max(initial=0)))
        total += float((difference**2).sum())
        number += difference.size
    psnr = math.inf if not total else 10 * math.log10(peak**2 * number / total)
    return Compared(False, worst, peak, psnr)


def shown(path: Path) -> tuple[list[Array], float]:
    """Return what a file shows, e.g. its frames as (H, W, C), and the largest value that there may be.

    Raises:
        InvalidInputError: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            kind = container_of(stream)
        if kind == "wav":
            return [_samples(path)], 32767
        if kind == "safetensors":
            from safetensors.numpy import load_file

            tensors = [array for _, array in sorted(load_file(path).items())]
            return tensors, max((float(abs(array).max(initial=0)) for array in tensors), default=0) or 1
        if kind in ("png", "webp", "jpeg", "gif"):
            return _frames(path), 255
        return [_bytes(path)], 255
    except GraphflowError:
        raise
    except Exception as error:  # libraries raise what they like at damaged files
        raise InvalidInputError(f"it cannot be read: {error}", where=str(path)) from error


def _bytes(path: Path) -> Array:
    import numpy as np

    array: Array = np.frombuffer(path.read_bytes(), np.uint8)
    return array


def _samples(path: Path) -> Array:
    import numpy as np

    with wave.open(io.BytesIO(path.read_bytes())) as sound:
        array: Array = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").reshape(-1, sound.getnchannels())
        return array


def _frames(path: Path) -> list[Array]:
    import numpy as np
    from PIL import ImageSequence

    def take(picture: Picture) -> list[Array]:
        mode = "RGBA" if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info else "RGB"
        return [np.asarray(frame.convert(mode)) for frame in ImageSequence.Iterator(picture)]

    with path.open("rb") as stream:
        return read_picture("image", stream, str(path), take, lambda notice: None)
