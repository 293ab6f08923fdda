"""Pictures that 0.1.0 saved carry their workflow, and it draws them again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from graphflow import Workflow
from tests.frozen.conftest import Command
from tests.frozen.fixtures import DOCUMENTS, PICTURES, apart, assert_same_pictures, same_picture

CASES = sorted({path.parent.name for path in PICTURES.rglob("*.png")})
INPUTS = {"decoded": DOCUMENTS}
"""Where the files lie that a case reads; beside the packaged workflows where nothing is said."""


def first(case: str) -> Path:
    return sorted((PICTURES / case).glob("*.png"))[0]


@pytest.mark.parametrize("case", CASES)
def test_a_picture_is_drawn_again_from_itself(case: str, graphflow: Command, tmp_path: Path) -> None:
    graphflow("run", first(case), "--out", tmp_path, "--input-dir", INPUTS.get(case, DOCUMENTS / "packaged"))
    assert_same_pictures(tmp_path, PICTURES / case)


@pytest.mark.parametrize(
    "change",
    ["seed=8", "sampler=euler", "schedule=normal", "prompt=a red square on a blue background", "steps=9"],
)
def test_the_bound_tells_another_run_apart(change: str, graphflow: Command, tmp_path: Path) -> None:
    graphflow("run", first("txt2img"), "--out", tmp_path, "-i", change)
    (other,) = tmp_path.iterdir()
    assert not same_picture(other, first("txt2img")), apart(other, first("txt2img"))


@pytest.mark.parametrize("name", ["webp/lossless_00001.webp", "jpeg/lossy_00001.jpg"])
def test_what_webp_and_jpeg_carry_is_a_workflow(name: str, graphflow: Command, tmp_path: Path) -> None:
    with Image.open(PICTURES / name) as picture:
        comment = picture.getexif().get_ifd(0x8769)[0x9286]  # EXIF's UserComment
    carried = json.loads(bytes(comment)[8:])
    path = Workflow.from_json(carried["graphflow"]).save(tmp_path / "carried.json")
    graphflow("run", path, "--out", tmp_path / "out")
    (again,) = (tmp_path / "out").iterdir()
    assert again.suffix == Path(name).suffix
    # Both lose alike, JPEG more where one level tips a coefficient.
    assert same_picture(again, PICTURES / name), apart(again, PICTURES / name)


def test_a_saved_latent_decodes_to_the_picture_of_its_run() -> None:
    assert same_picture(first("decoded"), first("txt2img"))


def test_the_record_of_a_picture_is_read(graphflow: Command) -> None:
    for case in CASES:
        with Image.open(first(case)) as picture:
            record = json.loads(picture.text["graphflow.record"])
        assert record["graphflow"] == "0.1.0"
        assert record["device"] == "cpu" and record["dtype"] == "float32"


def test_what_was_withheld_is_withheld_again(graphflow: Command, tmp_path: Path) -> None:
    graphflow("run", first("withheld"), "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checked-2_00001.png"]
    assert Workflow.load(first("withheld")).document.nodes["latent"].params["batch_size"] == 3
