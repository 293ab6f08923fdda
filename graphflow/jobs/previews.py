"""Pictures of what is being sampled."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

EDGE = 256
"""Previews have one pixel for each of the latent; they are enlarged to at least this edge, in pixels."""


def jpeg(preview: Tensor) -> bytes:
    """Encode a preview (B, 3, h, w) in [0, 1] as a JPEG file."""
    from PIL import Image

    pixels = (preview.permute(2, 0, 3, 1).flatten(1, 2) * 255).round().byte().numpy()
    picture = Image.fromarray(pixels)
    times = -(-EDGE // min(preview.shape[2:]))
    if times > 1:
        picture = picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()
