"""``graphflow export`` as people call it."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path

import pytest

from graphflow import workflows
from graphflow.cli.app import run_command
from tests.conftest import ROOT


def test_it_writes_a_script_and_says_what_is_fixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "picture.py"
    assert run_command(["export", "txt2img", "-o", str(target), "-i", "prompt=a cat"]) == 0
    assert "a cat" in target.read_text("utf-8")
    shown = capsys.readouterr()
    assert shown.out == "" and "Fixed in this script" in shown.err


@pytest.mark.parametrize("option", [[], ["-o", "-"]])
def test_without_a_file_it_prints(
    option: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["export", "txt2img", *option]) == 0
    ast.parse(capsys.readouterr().out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["python", "notebook", "comfyui", "comfyui-ui"])
def test_other_forms(form: str, tmp_path: Path) -> None:
    target = tmp_path / "file"
    assert run_command(["export", "txt2img", "--to", form, "-o", str(target)]) == 0
    text = target.read_text("utf-8")
    if form == "python":
        space: dict[str, object] = {}
        exec(text, space)
        assert "g" in space
    else:
        assert isinstance(json.loads(text), dict)


def test_a_comfyui_file_becomes_one_pipeline_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["export", str(ROOT / "docs" / "examples" / "comfyui.json")]) == 0
    code = capsys.readouterr().out
    assert "StableDiffusionPipeline" in code and "result = pipe(" in code
    assert len(code.splitlines()) < 76


def test_a_file_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    target = tmp_path / "picture.py"
    target.write_text("mine", "utf-8")
    assert run_command(["export", "txt2img", "-o", str(target)]) == 2
    assert target.read_text("utf-8") == "mine"
    assert run_command(["export", "txt2img", "-o", str(target), "--force"]) == 0
    assert target.read_text("utf-8") != "mine"


def test_what_cannot_be_exported_exits_with_2_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(workflows.path("txt2img").read_text("utf-8"))
    data["nodes"]["one"] = {"type": "set_continuous_sampling", "links": {"model": "checkpoint.model"}}
    data["nodes"]["two"] = {"type": "set_continuous_sampling", "links": {"model": "one"}}
    data["nodes"]["sample"]["links"]["model"] = "two"
    source, target = tmp_path / "w.json", tmp_path / "out.py"
    source.write_text(json.dumps(data), "utf-8")
    assert run_command(["export", str(source), "-o", str(target)]) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert shown.count("set_continuous_sampling cannot be exported to a script: ") == 2
    assert list(tmp_path.iterdir()) == [source]


ODD = [
    "\"\"\" ''' {args.out} {{}} %s %(x)s \\",
    "a\nb\r\n\0\x1b[31m \u2028\u2029\u202e\ufeff \N{PILE OF POO}",
    '"); import os  # \\N{BULLET}\\x41 (((a:1.2)',
]
FORMS = ["diffusers", "python", "notebook", "comfyui", "comfyui-ui"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ODD)
def test_any_text_is_written_in_every_form(text: str, form: str, tmp_path: Path) -> None:
    data = json.loads(workflows.path("txt2img").read_text("utf-8"))
    data |= {"name": text, "description": text}
    data["inputs"]["prompt"]["description"] = data["nodes"]["positive"]["params"]["text"] = text
    for entry in data["nodes"].values():
        entry |= {"title": text, "note": text}
    data["nodes"]["save"]["params"] = {"filename_prefix": text}
    source, target = tmp_path / "w.json", tmp_path / "made"
    source.write_text(json.dumps(data), "utf-8")
    assert run_command(["export", str(source), "--to", form, "-o", str(target)]) == 0
    made = target.read_text("utf-8")
    cells = [made] if form in ("diffusers", "python") else []
    if not cells:
        notebook = json.loads(made)
        cells = ["".join(cell["source"]) for cell in notebook.get("cells", []) if cell["cell_type"] == "code"]
    for cell in cells:
        compile(cell, "made", "exec")


@pytest.mark.parametrize(
    "line",
    [
        ["txt2img", "--to", "difusers"],
        ["txt2img", "--style", "fast"],
        ["txt2img", "-i", "nope=3"],
        ["txt2img", "-i", "steps=x"],
        ["txt2img", "-i", "model=nowhere.safetensors"],
        ["no_such_workflow"],
        ["FOLDER"],
        ["FOLDER/missing.json"],
        ["FOLDER/broken.json"],
        ["FOLDER/surrogate.json"],
        ["txt2img", "-o", "FOLDER"],
        ["txt2img", "-o", "FOLDER/broken.json/out.py"],
        ["txt2img", "-o", "FOLDER/" + "a" * 300],
    ],
)
def test_a_bad_line_exits_with_2_and_writes_nothing(
    line: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.json").write_text("{", "utf-8")
    data = json.loads(workflows.path("txt2img").read_text("utf-8"))
    data["nodes"]["positive"]["params"]["text"] = "\ud800"
    (tmp_path / "surrogate.json").write_text(json.dumps(data), "utf-8")
    before = sorted(tmp_path.iterdir())
    assert run_command(["export", *(part.replace("FOLDER", str(tmp_path)) for part in line)]) == 2
    shown = capsys.readouterr()
    assert sorted(tmp_path.iterdir()) == before and shown.out == ""
    assert "Traceback" not in shown.err and shown.err


def test_check_is_for_scripts_only(tmp_path: Path) -> None:
    assert run_command(["export", "txt2img", "--to", "notebook", "--check"]) == 2


def test_check_compares_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["export", "txt2img", "--check", "--device", "cpu", "-o", str(tmp_path / "a.py")]
    small = ["-i", "steps=2", "-i", "width=64", "-i", "height=64"]
    assert run_command([*line, *small]) == 0
    assert "1 pictures" in capsys.readouterr().err.replace("of 1 pictures", "1 pictures")


@pytest.mark.skipif(os.environ.get("GRAPHFLOW_TEST_SOAK") != "1", reason="in the long suite")
def test_check_exits_with_1_where_pictures_differ(tmp_path: Path) -> None:
    line = ["export", "txt2img", "--check", "--style", "pipeline", "--device", "cpu", "-o", str(tmp_path / "a.py")]
    turned = ["-i", "sampler=dpm_2_ancestral", "-i", "schedule=normal", "-i", "steps=4", "-i", "width=64"]
    assert run_command([*line, *turned]) == 1
