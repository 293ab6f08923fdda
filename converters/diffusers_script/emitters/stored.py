"""What files of text encoders hold, which is what changes of their weights are rounded to."""

from __future__ import annotations

from ..models import ModelPart

STORED = {"F16": "torch.float16", "BF16": "torch.bfloat16"}


def stored(encoder: ModelPart) -> str:
    """The dtype that the text encoder's file has, where that is shorter than float32."""
    part = encoder.base.description.parts.get("text_encoder")
    found = {STORED[name] for name in (part.bytes_by_dtype if part else ()) if name in STORED}
    return found.pop() if len(found) == 1 else ""
