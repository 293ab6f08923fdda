"""Showing, verifying and comparing what was made, from the command line."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from graphflow import workflows
from graphflow.document.embedded import embedded_texts
from graphflow.session import Session
from tests.cli.commands import Command

NOISE: dict[str, Any] = {
    "graphflow": 2,
    "name": "noise",
    "inputs": {"seed": {"to": ["noise.seed"]}},
    "nodes": {
        "grey": {"type": "solid_image", "params": {"width": 32, "height": 16}},
        "noise": {"type": "add_image_noise", "params": {"seed": 3}, "links": {"images": "grey"}},
        "save": {
            "type": "save_image", "params": {"filename_prefix": "noise"}, "links": {"images": "noise"}, "note": "the end",
        },
    },
}  # fmt: skip
"""A workflow without models."""


@pytest.fixture
def noise(graphflow: Command) -> Path:
    """A picture that a run wrote."""
    Path("noise.json").write_text(json.dumps(NOISE), "utf-8")
    assert graphflow("run", "noise.json").code == 0
    return Path("out/noise_00001.png")


def with_record(path: Path, **facts: object) -> Path:
    """A copy whose record says something else."""
    with path.open("rb") as stream:
        texts = embedded_texts(stream) or {}
    texts["graphflow.record"] = json.dumps({**json.loads(texts["graphflow.record"]), **facts})
    info = PngInfo()
    for keyword, text in texts.items():
        info.add_itxt(keyword, text)
    copy = path.with_name(f"other-{path.name}")
    with Image.open(path) as picture:
        picture.save(copy, pnginfo=info)
    return copy


def changed(path: Path) -> Path:
    """A copy of which one pixel is another."""
    copy = path.with_name(f"changed-{path.name}")
    with path.open("rb") as stream:
        texts = embedded_texts(stream) or {}
    info = PngInfo()
    for keyword, text in texts.items():
        info.add_itxt(keyword, text)
    with Image.open(path) as picture:
        first = picture.getpixel((0, 0))
        assert isinstance(first, tuple)
        picture.putpixel((0, 0), ((first[0] + 100) % 256, *first[1:]))
        picture.save(copy, pnginfo=info)
    return copy


def test_a_file_shows_how_it_was_made(graphflow: Command, noise: Path) -> None:
    ran = graphflow("show", noise)
    assert ran.code == 0
    for said in ("noise, 3 nodes", "seed", "threads", "SHA-256", "none: nothing says that a model made it"):
        assert said in ran.out
    (told,) = json.loads(graphflow("show", noise, "--json").out)
    assert told["workflow"] == {**NOISE, "nodes": told["workflow"]["nodes"]}
    versions = {node["type"]: node["version"] for node in told["workflow"]["nodes"].values()}
    assert versions == told["record"]["node_types"]
    assert told["record"]["node"] == "save" and told["mark"] is None
    assert graphflow("show", "noise.json").code == graphflow("show", "nowhere.png").code == 2


def test_verify_tells_identical_bytes_identical_pixels_and_differences(graphflow: Command, noise: Path) -> None:
    same = graphflow("verify", noise)
    assert (same.code, same.out) == (0, f"{noise}: identical bytes\n")
    pixels = graphflow("verify", with_record(noise, threads=1, versions={"torch": "1.0"}))
    assert pixels.code == 0 and "identical pixels" in pixels.out and "torch 1.0 (here " in pixels.out
    other = graphflow("verify", changed(noise), noise, "--json")
    assert other.code == 1
    wrong, right = json.loads(other.out)
    assert right["ok"] and not wrong["ok"]
    assert 99 < wrong["compared"]["worst"] <= 156 and wrong["compared"]["psnr"] > 20
    assert wrong["differs"] == [] and "changed since" in wrong["hint"]


def test_verify_puts_the_most_likely_cause_first(graphflow: Command, noise: Path) -> None:
    moved = changed(with_record(noise, threads=99, dtype="float16", versions={"torch": "1.0", "numpy": "1.0"}))
    ran = graphflow("verify", moved, "--dtype", "float32")
    told = [line.strip() for line in ran.out.splitlines()[1:]]
    assert [line.split()[0] for line in told] == ["dtype", "torch", "threads", "numpy"]
    assert told[0].endswith("(the most likely cause)")


@pytest.mark.parametrize("told", [{"threads": 1}, {"threads": None, "mixed": {"threads": [1, 1]}}])
def test_verify_computes_in_the_recorded_number_of_threads(
    graphflow: Command, noise: Path, told: dict[str, Any]
) -> None:
    before = torch.get_num_threads()
    try:
        graphflow("verify", with_record(noise, **told))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_verify_says_what_to_fetch(graphflow: Command, noise: Path) -> None:
    document = json.loads(json.dumps(NOISE))
    document["nodes"]["model"] = {"type": "load_upscale_model", "params": {"model": "gone.safetensors"}}
    document["nodes"]["larger"] = {
        "type": "upscale_image_with_model", "links": {"upscale_model": "model", "image": "noise"},
    }  # fmt: skip
    document["nodes"]["save"]["links"]["images"] = "larger"
    info = PngInfo()
    models = {"gone.safetensors": {"kind": "upscaler", "files": {"gone.safetensors": {"sha256": "ab" * 32, "size": 9}}}}
    info.add_itxt("graphflow", json.dumps(document))
    info.add_itxt("graphflow.record", json.dumps({"models": models, "node": "save"}))
    Image.new("RGB", (4, 4)).save("gone.png", pnginfo=info)
    ran = graphflow("verify", "gone.png")
    assert ran.code == 1
    assert (
        "cannot be made again" in ran.out
        and f"to fetch: gone.safetensors: gone.safetensors SHA-256 {'ab' * 32}" in ran.out
    )


def test_verify_says_which_file_was_another(graphflow: Command, noise: Path) -> None:
    models = {
        "dreams": {"kind": "checkpoint", "hub": "a/b@1", "files": {"d.safetensors": {"sha256": "cd" * 32, "size": 1}}}
    }
    ran = graphflow("verify", changed(with_record(noise, models=models)))
    assert ran.code == 1
    assert f"to fetch: dreams (on the Hub: a/b@1): d.safetensors SHA-256 {'cd' * 32}" in ran.out


def of_a_picture(name: str) -> dict[str, Any]:
    """A workflow that makes a picture from one which it reads."""
    document: dict[str, Any] = json.loads(json.dumps(NOISE))
    document["nodes"]["grey"] = {"type": "load_image", "params": {"file": name}}
    document["nodes"]["noise"]["links"]["images"] = "grey.image"
    return document


def test_verify_finds_the_pictures_that_were_read_by_their_content(graphflow: Command) -> None:
    Path("mine").mkdir()
    Path("other").mkdir()
    for folder, colour in (("mine", "red"), ("other", "blue")):
        Image.new("RGB", (8, 8), colour).save(f"{folder}/read.png")
    Path("mine/noise.json").write_text(json.dumps(of_a_picture("read.png")), "utf-8")
    assert graphflow("run", "mine/noise.json").code == 0
    Path("packaged.json").write_text(json.dumps(of_a_picture("pictures/red_circle.png")), "utf-8")
    assert graphflow("run", "packaged.json", "--input-dir", workflows.folder(), "--out", "packaged").code == 0
    assert graphflow("verify", "packaged/noise_00001.png").out == "packaged/noise_00001.png: identical bytes\n"
    told = graphflow("verify", "out/noise_00001.png")
    digest = hashlib.sha256(Path("mine/read.png").read_bytes()).hexdigest()
    assert told.code == 1 and f"to fetch: read.png: SHA-256 {digest}" in told.out
    found = graphflow("verify", "out/noise_00001.png", "--input-dir", "mine")
    assert (found.code, found.out) == (0, "out/noise_00001.png: identical bytes\n")
    other = graphflow("verify", "out/noise_00001.png", "--input-dir", "other")
    assert other.code == 1 and "another file 'read.png'" in other.out and "the most likely cause" in other.out
    shutil.copy("mine/read.png", "read.png")  # into the working directory
    assert graphflow("verify", "out/noise_00001.png").code == 0


def test_verify_of_what_random_weights_made(graphflow: Command) -> None:
    document = json.loads(json.dumps(NOISE))
    document["nodes"]["model"] = {"type": "load_upscale_model", "params": {"model": "2x-mine"}}
    document["nodes"]["larger"] = {
        "type": "upscale_image_with_model", "links": {"upscale_model": "model", "image": "noise"},
    }  # fmt: skip
    document["nodes"]["save"]["links"]["images"] = "larger"
    Path("larger.json").write_text(json.dumps(document), "utf-8")
    assert graphflow("run", "larger.json", "--stand-in").code == 0
    assert graphflow("verify", "out/noise_00001.png").out == "out/noise_00001.png: identical bytes\n"
    real = with_record(Path("out/noise_00001.png"), warning="")
    told = graphflow("verify", changed(real), "--stand-in")
    assert "warning none (here random weights stand in for 2x-mine" in told.out


def test_verify_names_the_node_pack_that_is_missing(graphflow: Command) -> None:
    document = {"graphflow": 2, "nodes": {"save": {"type": "mine_save", "version": 3}}}
    info = PngInfo()
    info.add_itxt("graphflow", json.dumps(document))
    info.add_itxt("graphflow.record", json.dumps({"node": "save", "packs": {"mine": "1.2"}}))
    Image.new("RGB", (4, 4)).save("mine.png", pnginfo=info)
    ran = graphflow("verify", "mine.png")
    assert ran.code == 1 and "to fetch: the node pack mine 1.2" in ran.out
    assert "1 problem" in ran.err and "'mine_save' is unknown" in ran.err


def test_verify_of_what_carries_nothing(graphflow: Command) -> None:
    Image.new("RGB", (4, 4)).save("plain.png")
    ran = graphflow("verify", "plain.png")
    assert ran.code == 2 and "carries no graphflow workflow" in ran.err


def test_a_text_has_its_record_beside_it(graphflow: Command) -> None:
    Path("note.json").write_text(
        json.dumps({"graphflow": 2, "nodes": {"note": {"type": "save_text", "params": {"text": "grün"}}}}), "utf-8"
    )
    assert graphflow("run", "note.json").code == 0
    path = Path("out/graphflow_00001.txt")
    assert path.read_text("utf-8") == "grün"
    assert json.loads(graphflow("show", path, "--json").out)[0]["record"]["node"] == "note"
    assert graphflow("verify", path, f"{path}.json").out == f"{path}: identical bytes\n"
    assert graphflow("run", path, "--out", "again").code == 0
    assert Path("again/graphflow_00001.txt").read_text("utf-8") == "grün"
    same = graphflow("diff", path, "note.json")
    assert (same.code, same.out.splitlines()[-1]) == (0, "both make the same")
    path.write_text("grau", "utf-8")
    assert graphflow("verify", path).code == 1
    assert graphflow("run", "note.json", "--out", "bare", "--no-metadata").code == 0
    assert [item.name for item in Path("bare").iterdir()] == ["graphflow_00001.txt"]


def test_no_file_loosens_the_safety_policy(graphflow: Command, noise: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    run = Session.run

    def watched(*given: Any, **options: Any) -> Any:
        asked.append(options["safety"])
        return run(*given, **options)

    monkeypatch.setattr(Session, "run", watched)
    for policy, option in (("off", ()), ("require", ()), ("require", ("--safety", "auto"))):
        graphflow("verify", with_record(noise, safety={"policy": policy}), *option)
    assert asked == [None, "require", "auto"]


def test_diff_names_the_nodes_and_what_explains_the_pixels(graphflow: Command, noise: Path) -> None:
    assert graphflow("run", noise, "-i", "seed=4").code == 0
    ran = graphflow("diff", noise, "out/noise_00002.png")
    assert ran.code == 1
    assert "noise (add_image_noise): changed\n  seed: 3 → 4\n" in ran.out
    assert ran.out.splitlines()[-1] == "the pixels differ by noise"
    shutil.copy(noise, "copy.png")
    same = graphflow("diff", noise, "copy.png")
    assert same.code == 0 and same.out.splitlines()[-1] == "they show the same"
    told = json.loads(graphflow("diff", noise, changed(with_record(noise, threads=77)), "--json").out)
    assert told["changes"] == [] and told["circumstances"][0]["what"] == "threads"
    assert "most likely cause of other pixels: threads" in told["conclusion"]


def test_diff_of_two_files_of_one_run_says_which_they_are(graphflow: Command) -> None:
    document = json.loads(json.dumps(NOISE))
    document["nodes"]["grey"]["params"]["batch_size"] = 2
    document["nodes"]["also"] = {"type": "save_image", "links": {"images": "noise"}, "params": {"format": "jpeg"}}
    Path("two.json").write_text(json.dumps(document), "utf-8")
    assert graphflow("run", "two.json").code == 0
    numbers = graphflow("diff", "out/noise-0_00001.png", "out/noise-1_00001.png")
    assert numbers.code == 1 and "save, number 0 and save, number 1" in numbers.out.splitlines()[-1]
    assert graphflow("diff", "out/noise-0_00001.png", "two.json").out.splitlines()[-1] == "both make the same"
    writers = graphflow("diff", "out/noise-0_00001.png", "out/graphflow-0_00001.jpg")
    assert "save, number 0 and also, number 0" in writers.out.splitlines()[-1]


def test_diff_of_workflows_knows_nodes_by_what_they_make(graphflow: Command) -> None:
    Path("noise.json").write_text(json.dumps(NOISE), "utf-8")
    other = json.loads(json.dumps(NOISE).replace('"grey"', '"gray"'))
    other["nodes"]["save"]["params"]["filename_prefix"] = "elsewhere"
    other["nodes"]["blur"] = {"type": "blur_image", "links": {"images": "noise"}}
    Path("other.json").write_text(json.dumps(other), "utf-8")
    told = json.loads(graphflow("diff", "noise.json", "other.json", "--json").out)
    assert [(change["node"], change["what"], change["reaches"]) for change in told["changes"]] == [
        ("grey", "renamed", False),
        ("save", "changed", False),
        ("blur", "added", False),
    ]
    assert told["conclusion"] == "both make the same"
