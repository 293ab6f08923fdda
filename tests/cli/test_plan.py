"""``graphflow plan`` and ``graphflow validate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import PIL.Image

from tests.cli.commands import CHAIN, PACK, Command, finish, start


def rows(text: str) -> dict[str, str]:
    """Return the table by first word."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines() if line}


def test_the_plan_says_what_runs_and_why(packed: Command, chain: Path) -> None:
    ran = packed("plan", chain)
    assert ran.code == 0
    shown = rows(ran.out)
    assert shown["draw"] == "pack_draw run no result is stored"
    assert shown["save"] == "pack_save write writes a new result"
    assert "3 nodes: 2 to run, 1 to write; on cpu in float32" in ran.out
    assert not Path("out").exists()
    packed("run", chain)
    shown = rows(packed("plan", chain).out)
    assert shown["draw"] == "pack_draw skipped not needed"
    assert shown["add"] == "pack_add cached stored"
    assert shown["save"] == "pack_save write its files are stored"


def test_the_plan_says_what_changed(packed: Command, chain: Path) -> None:
    packed("run", chain)
    shown = rows(packed("plan", chain, "-i", "seed=8").out)
    assert shown["draw"] == "pack_draw run changed: seed 7 → 8"
    assert shown["add"] == "pack_add run changed: x"
    shown = rows(packed("plan", chain, "--set", "add.by=3.0").out)
    assert shown["draw"] == "pack_draw cached stored"
    assert shown["add"] == "pack_add run changed: by 2.0 → 3.0"


def test_the_plan_as_json(packed: Command, chain: Path) -> None:
    plan = json.loads(packed("plan", chain, "-i", "seed=9", "--json").out)
    assert plan["counts"] == {"run": 2, "cached": 0, "write": 1, "conditional": 0, "skipped": 0}
    steps: dict[str, Any] = {step["node"]: step for step in plan["steps"]}
    assert steps["draw"]["action"] == "run" and len(steps["draw"]["key"]) == 64
    assert plan["workflow"]["nodes"]["draw"]["params"]["seed"] == 9
    assert plan["numerics"]["device"] == "cpu"


def test_a_valid_workflow(packed: Command, chain: Path) -> None:
    ran = packed("validate", chain)
    assert (ran.code, ran.out) == (0, "OK: chain.json has 3 nodes and no problem\n")
    assert json.loads(packed("validate", chain, "--json").out) == {"valid": True, "problems": [], "notices": []}


def test_values_of_the_command_line_are_checked(packed: Command, chain: Path) -> None:
    ran = packed("validate", chain, "-i", "steps=0", "--set", "add.by=much")
    assert ran.code == 2
    assert "nodes.draw.params.steps: must be ≥ 1, got 0" in ran.err
    assert "nodes.add.params.by: must be a number, got 'much'" in ran.err


def test_every_packaged_workflow_is_sound(graphflow: Command) -> None:
    from graphflow import workflows

    for name in workflows.names():
        ran = graphflow("validate", name, "--no-files")
        assert (ran.code, ran.err) == (0, ""), name


BLOCKED = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "diffusers", "transformers", "torchvision", "cv2"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
from graphflow.cli import main

for arguments in ARGUMENTS:
    code = main(arguments)
    assert code == 0, (arguments, code)
"""


def test_planning_needs_no_torch(chain: Path) -> None:
    Path("builtin.json").write_text(
        json.dumps(
            {"graphflow": 2, "nodes": {"a": {"type": "int_math", "params": {"a": 1, "b": 2}}}, "outputs": {"x": "a"}}
        ),
        "utf-8",
    )
    Path("txt2img.png").write_bytes(b"")
    arguments = [
        ["plan", str(chain), "--nodes", str(PACK)],
        ["plan", "builtin.json"],
        ["validate", "txt2img", "--no-files"],
        ["validate", str(chain), "--nodes", str(PACK)],
        ["run", str(chain), "--nodes", str(PACK)],
        ["run", str(chain), "--nodes", str(PACK)],
        ["nodes"],
        ["nodes", "sample"],
        ["schema"],
        ["models"],
        ["cache", "info"],
        ["cache", "verify"],
        ["cache", "clear", "--yes"],
    ]
    ran = finish(start(before=("-c", BLOCKED.replace("ARGUMENTS", repr(arguments)))))
    assert ran.code == 0, ran.err


def test_a_large_workflow_is_planned(packed: Command) -> None:
    nodes: dict[str, Any] = {"draw": CHAIN["nodes"]["draw"]}  # type: ignore[index]
    for number in range(2000):
        nodes[f"add{number}"] = {"type": "pack_add", "links": {"x": f"add{number - 1}" if number else "draw"}}
    Path("long.json").write_text(json.dumps({"graphflow": 2, "nodes": nodes, "outputs": {"x": "add1999"}}), "utf-8")
    plan = json.loads(packed("plan", "long.json", "--json").out)
    assert plan["counts"]["run"] == 2001


def test_files_that_are_no_pictures_are_refused_before_anything_runs(graphflow: Command) -> None:
    Path("note.png").write_text("not a picture", "utf-8")
    Path("folder.png").mkdir()
    PIL.Image.new("1", (40_000, 1)).save("wide.png")
    PIL.Image.new("RGB", (8, 8)).save("good.jpg")
    nodes = {
        name: {"type": type_, "params": {"file": name + suffix}}
        for name, type_, suffix in [
            ("note", "load_image", ".png"),
            ("folder", "load_image", ".png"),
            ("missing", "load_mask", ".png"),
            ("wide", "load_image", ".png"),
            ("good", "load_video", ".jpg"),
        ]
    }
    Path("w.json").write_text(json.dumps({"graphflow": 1, "nodes": nodes, "outputs": {name: name for name in nodes}}))
    ran = graphflow("plan", "w.json")
    assert ran.code == 2
    assert "nodes.note.params.file: note.png: this is no picture of a known format" in ran.err
    assert "nodes.folder.params.file: there is no file 'folder.png'" in ran.err
    assert "nodes.missing.params.file: there is no file 'missing.png'" in ran.err
    assert "nodes.wide.params.file: wide.png: 40000 x 1 is larger than" in ran.err
    assert "nodes.good.params.file: good.jpg: this is no animated picture of a known format" in ran.err
