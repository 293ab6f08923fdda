"""Finding files by how they were made."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from graphflow.reproduce import index
from tests.cli.commands import Command

SHA256 = "ab" * 32


def picture(name: str, *, prompt: str = "a cat", seed: int = 1, age: float = 0, **record: Any) -> Path:
    """Write a picture as a run does."""
    nodes = {
        "text": {"type": "encode_prompt", "params": {"text": prompt}},
        "sample": {"type": "sample", "params": {"seed": seed}},
    }
    info = PngInfo()
    info.add_itxt("graphflow", json.dumps({"graphflow": 2, "name": "some", "nodes": nodes}))
    info.add_itxt("graphflow.record", json.dumps(record))
    path = Path("out", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(path, pnginfo=info)
    os.utime(path, (path.stat().st_mtime - age,) * 2)
    return path


def model(name: str, kind: str) -> dict[str, Any]:
    return {name: {"kind": kind, "files": {f"{name}.safetensors": {"sha256": SHA256, "size": 3}}}}


@pytest.fixture(params=[index._MANY, 1], ids=["few", "many"])
def found(graphflow: Command, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the names of the files that a search finds, looked up as where few fit, and as where many do."""
    monkeypatch.setattr(index, "_MANY", request.param)

    def names(*line: object) -> list[str]:
        ran = graphflow("find", *line, "--json")
        assert ran.code == 0, ran.err
        return [Path(item["file"]).relative_to("out").as_posix() for item in json.loads(ran.out)]

    return names


def test_files_are_found_by_all_that_they_tell(found: Any) -> None:
    picture("a.png", prompt="A red Äpfel tree", seed=2**63, age=3600 * 24 * 9, models=model("dreams", "checkpoint"))
    picture("b.png", seed=5, age=60, models=model("dreams", "checkpoint") | model("Outline-v2", "lora"))
    picture("deep/er/c.png", seed=5)
    assert found() == ["deep/er/c.png", "b.png", "a.png"]
    assert found("--prompt", "red äpfel") == ["a.png"]
    assert found("--seed", 2**63) == ["a.png"]
    assert found("--model", "DREAM") == ["b.png", "a.png"]
    assert found("--lora", "outline") == ["b.png"] and found("--lora", "dreams") == []
    assert found("--since", "1d") == ["deep/er/c.png", "b.png"]
    assert found("--seed", 5, "--model", "dreams") == ["b.png"]
    assert found("--limit", 1) == ["deep/er/c.png"]


def test_a_sweep_tells_how_long_each_picture_took(graphflow: Command) -> None:
    nodes = {
        "grey": {"type": "solid_image", "params": {"width": 16, "height": 16}},
        "save": {"type": "save_image", "links": {"images": "grey"}},
    }
    Path("grey.json").write_text(json.dumps({"graphflow": 2, "nodes": nodes}), "utf-8")
    assert graphflow("run", "grey.json", "--vary", "grey.width=16,24").code == 0
    told = {Path(item["file"]).name: item["seconds"] for item in json.loads(graphflow("find", "--json").out)}
    assert told.pop("grey-sweep_00001.png") is None
    assert len(told) == 2 and all(seconds > 0 for seconds in told.values())


def test_files_are_found_by_what_they_were_made_from(found: Any) -> None:
    photo = Path("photo.jpg")
    photo.write_bytes(b"a photo")
    picture("a.png", files={"other name.jpg": hashlib.sha256(b"a photo").hexdigest()})
    picture("b.png", models=model("dreams", "checkpoint"))
    assert found("--from", photo) == ["a.png"]
    Path("dreams.safetensors").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    picture("c.png", models={"dreams": {"kind": "checkpoint", "files": {"a": {"sha256": digest}}}})
    assert found("--from", "dreams.safetensors") == ["c.png"]
    Path("none.bin").write_bytes(b"")
    assert found("--from", "none.bin") == []


def test_what_changed_since_is_known(found: Any) -> None:
    path = picture("a.png")
    picture("gone/b.png")
    assert found() == ["gone/b.png", "a.png"]
    path.unlink()
    picture("c.png", seed=9)
    shutil.rmtree("out/gone")
    assert found() == ["c.png"]
    Path(".out.graphflow.sqlite").write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    assert found() == ["c.png"]
    assert found("--rebuild", "--seed", 9) == ["c.png"]


def test_pictures_of_other_programs_are_found_too(found: Any) -> None:
    Path("out").mkdir()
    info = PngInfo()
    info.add_text("parameters", "an owl <lora:fine:0.5>\nNegative prompt: blurry\nSteps: 20, Seed: 12, Model: dreams")
    Image.new("RGB", (8, 8)).save("out/theirs.png", pnginfo=info)
    info = PngInfo()
    prompt = {"1": {"class_type": "CLIPTextEncode", "inputs": {"text": "a crow"}}}
    prompt["2"] = {"class_type": "LoraLoader", "inputs": {"lora_name": "fine.safetensors"}}
    info.add_text("prompt", json.dumps(prompt))
    Image.new("RGB", (8, 8)).save("out/comfy.png", pnginfo=info)
    assert found("--seed", 12) == found("--prompt", "BLURRY") == ["theirs.png"]
    assert sorted(found("--lora", "fine")) == ["comfy.png", "theirs.png"]


def test_a_run_tells_the_index_how_long_it_took(graphflow: Command) -> None:
    grey = {"type": "solid_image", "params": {"width": 16, "height": 16}}
    nodes = {"grey": grey, "save": {"type": "save_image", "links": {"images": "grey"}}}
    Path("grey.json").write_text(json.dumps({"graphflow": 2, "nodes": nodes}), "utf-8")
    assert graphflow("run", "grey.json").code == 0
    assert [path.name for path in Path("out").iterdir()] == ["graphflow_00001.png"]
    (item,) = json.loads(graphflow("find", "--json").out)
    assert item["seconds"] > 0
    (again,) = json.loads(graphflow("find", "--rebuild", "--json").out)
    assert again == item


def test_a_contact_sheet_and_a_table(graphflow: Command) -> None:
    for number in range(3):
        picture(f"{number}.png", seed=number)
    ran = graphflow("find", "--sheet", "sheet.png")
    assert ran.code == 0 and "3 files" in ran.out and "a cat" in ran.out
    with Image.open("sheet.png") as sheet:
        assert sum(sheet.convert("RGB").getpixel((8 + 168 * x + 80, 8 + 80)) == (255, 0, 0) for x in (0, 1)) == 2
    assert graphflow("find", "--sheet", "sheet.png").code == 2  # it is there
    assert "name a .png file" in graphflow("find", "--sheet", "sheet.jpg").err and not Path("sheet.jpg").exists()
    for line in (("--since", "yesterday"), ("--dir", "nowhere")):
        wrong = graphflow("find", *line)
        assert wrong.code == 2 and "bug" not in wrong.err
