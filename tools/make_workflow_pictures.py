"""Draw the pictures of docs/workflows.md: what each packaged workflow makes with the packaged models.

``python -m tools.make_workflow_pictures [NAME ...]``. Workflows that need other models are drawn with what ``INSTEAD``
gives; of those without an entry there (an IP-Adapter, an upscaler) the picture stays as it is. Those of large models have none.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from graphflow import Session, Workflow, workflows
from graphflow.settings import Settings

FOLDER = Path(__file__).resolve().parent.parent / "workflows" / "previews"
NEEDS_OTHERS = (
    "flux",
    "flux2_klein",
    "ip_adapter",
    "qwen_image",
    "qwen_image_21",
    "qwen_image_edit",
    "sd35",
    "upscale",
    "z_image",
)
INSTEAD: Mapping[str, Mapping[str, Any]] = {
    "sdxl_base_refiner": {
        "model": "shapes",
        "refiner": "shapes",
        "prompt": "a red circle on a blue background",
        "guidance_scale": 3.0,
        "seed": 12,
        "width": 128,
        "height": 128,
        "steps": 20,
        "switch_at": 14,
    },
}


def beside(paths: list[Path]) -> Image.Image:
    """Return pictures side by side, their upper edges level, on white."""
    pictures = []
    for path in paths:
        with Image.open(path) as opened:
            pictures.append(opened.convert("RGB"))
    gap = 4
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + gap
    return sheet


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="workflows; all by default")
    names = parser.parse_args().names or [name for name in workflows.names() if name not in NEEDS_OTHERS]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Settings(cache_dir=Path(folder) / "cache", offline=True, device="cpu"))
        for name in names:
            path = workflows.path(name)
            inputs = dict(INSTEAD.get(name, {}))
            paths = session.run(Workflow.load(path), inputs, out=Path(folder) / name, folder=path.parent).paths
            beside(paths).save(FOLDER / f"{name}.jpg", quality=90)
            print(name, len(paths), flush=True)


if __name__ == "__main__":
    main()
