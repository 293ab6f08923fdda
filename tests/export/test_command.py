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
    assert "a cat" in target.read_text()
    shown = capsys.readouterr()
    assert shown.out == "" and "Fixed in this script" in shown.err


def test_without_a_file_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["export", "txt2img"]) == 0
    ast.parse(capsys.readouterr().out)


@pytest.mark.parametrize("form", ["python", "notebook", "comfyui", "comfyui-ui"])
def test_other_forms(form: str, tmp_path: Path) -> None:
    target = tmp_path / "file"
    assert run_command(["export", "txt2img", "--to", form, "-o", str(target)]) == 0
    text = target.read_text()
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
    assert len(code.splitlines()) < 70


def test_a_file_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    target = tmp_path / "picture.py"
    target.write_text("mine")
    assert run_command(["export", "txt2img", "-o", str(target)]) == 2
    assert target.read_text() == "mine"
    assert run_command(["export", "txt2img", "-o", str(target), "--force"]) == 0
    assert target.read_text() != "mine"


def test_what_cannot_be_exported_exits_with_2_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(workflows.path("txt2img").read_text())
    data["nodes"]["tiles"] = {"type": "hypertile", "links": {"model": "checkpoint.model"}}
    data["nodes"]["tokens"] = {"type": "merge_tokens", "links": {"model": "tiles"}}
    data["nodes"]["sample"]["links"]["model"] = "tokens"
    source, target = tmp_path / "w.json", tmp_path / "out.py"
    source.write_text(json.dumps(data))
    assert run_command(["export", str(source), "-o", str(target)]) == 2
    shown = capsys.readouterr().err
    assert "hypertile" in shown and "merge_tokens" in shown
    assert list(tmp_path.iterdir()) == [source]


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
    turned = ["-i", "sampler=euler_ancestral", "-i", "schedule=normal", "-i", "steps=4", "-i", "width=64"]
    assert run_command([*line, *turned]) == 1
