"""``graphflow run --preview``."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from graphflow.cli.previews import PreviewFiles
from graphflow.events import NodeProgress
from graphflow.jobs.previews import EDGE
from tests.cli.commands import Command


def test_a_preview_is_kept_while_it_samples(graphflow: Command) -> None:
    ran = graphflow("run", "txt2img", "-i", "steps=2", "--safety", "off", "--preview", "seen", "--quiet")
    assert ran.code == 0, ran.err
    assert [path.name for path in Path("seen").iterdir()] == ["sample.jpg"]
    with Image.open("seen/sample.jpg") as picture:
        assert picture.format == "JPEG" and picture.size == (EDGE, EDGE)
        assert max(high - low for low, high in picture.getextrema()) > 20


def test_a_batch_lies_side_by_side_and_names_are_file_names() -> None:
    sink = PreviewFiles(Path("seen"))
    sink(NodeProgress(node="inner:sample", step=1, total=2))
    assert list(Path("seen").iterdir()) == []
    batch = torch.stack([torch.zeros(3, 64, 32), torch.ones(3, 64, 32)])
    sink(NodeProgress(node="inner:sample", step=2, total=2, preview=batch))
    with Image.open("seen/inner-sample.jpg") as picture:
        assert picture.size == (2 * 32 * 8, 64 * 8)
        left, right = picture.getpixel((20, 20)), picture.getpixel((500, 20))
    assert left == (0, 0, 0) and right == (255, 255, 255)


def test_a_folder_that_cannot_be_made(graphflow: Command) -> None:
    Path("file").write_text("", "utf-8")
    ran = graphflow("run", "txt2img", "--preview", "file/under")
    assert ran.code == 2 and "file/under" in ran.err and "Traceback" not in ran.err
