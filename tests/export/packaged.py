"""The packaged workflows, on tiny models where theirs are not packaged."""

from __future__ import annotations

from typing import Any

from graphflow import workflows
from graphflow.document.document import Document, read
from graphflow.planning.expand import expand
from graphflow.spec.registry import installed

STAND_INS: dict[str, dict[str, Any]] = {
    "ip_adapter": {
        "model": "tiny-sd", "ip_adapter": "tiny-ip", "image_encoder": "eye", "width": 64, "height": 64, "steps": 4,
    },
    "sdxl_base_refiner": {
        "model": "tiny-sdxl", "refiner": "tiny-refiner", "width": 64, "height": 64, "steps": 4, "switch_at": 2,
    },
    "upscale": {"upscale_model": "tiny-double", "tile": 64, "overlap": 16},
}  # fmt: skip
"""What the inputs of some are instead; the models are those of `models` and `adapters`."""


LARGE = frozenset({"flux", "flux2_klein", "qwen_image", "qwen_image_21", "qwen_image_edit", "sd35", "z_image"})
"""Workflows of models for which there are no tiny ones here: random weights stand in for them."""
SMALL = tuple(name for name in workflows.names() if name not in LARGE)


def packaged(name: str) -> Document:
    """A packaged workflow whose models are at hand."""
    return expand(read(workflows.path(name)), installed(), inputs=STAND_INS.get(name)).document
