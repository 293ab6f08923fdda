"""The smaller commands, and what holds for all."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import PACK, Command, finish, start

COMMANDS = [
    "run",
    "plan",
    "validate",
    "show",
    "verify",
    "diff",
    "workflows",
    "fetch",
    "nodes",
    "schema",
    "demo",
    "models",
    "cache",
    "doctor",
]


def test_help_of_every_command(graphflow: Command) -> None:
    ran = graphflow("--help")
    assert ran.code == 0
    for command in COMMANDS:
        assert command in ran.out
        shown = graphflow(command, "--help")
        assert shown.code == 0
        assert "Usage" in shown.out


def test_every_option_is_explained() -> None:
    from typer.main import get_command

    from graphflow.cli.app import app

    def walk(command: Any, path: str) -> None:
        assert command.help, path
        for parameter in command.params:
            if parameter.name not in ("help", "install_completion", "show_completion"):
                assert parameter.help, f"{path} {parameter.name}"
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{path} {name}")

    walk(get_command(app), "graphflow")


def test_version(graphflow: Command) -> None:
    ran = graphflow("--version")
    assert ran.code == 0
    assert ran.out.startswith("graphflow 0.")


def test_unknown_commands_exit_2(graphflow: Command) -> None:
    assert graphflow("rnu").code == 2
    assert graphflow().code == 2


def test_nodes_are_listed_and_explained(packed: Command) -> None:
    ran = packed("nodes")
    assert ran.code == 0
    assert "pack_draw" in ran.out and "vae_decode" in ran.out and "Draw a number, in steps." in ran.out
    one = packed("nodes", "pack_draw")
    assert one.code == 0
    rows = {line.split()[0]: line for line in one.out.splitlines() if line.strip()}
    assert "≥ 1; ≤ 100,000" in rows["steps"] and "3" in rows["steps"]
    assert "random" in rows["seed"]
    assert rows["value"].split()[:2] == ["value", "float"]
    listed = json.loads(packed("nodes", "--json").out)
    assert {item["type"] for item in listed} >= {"pack_draw", "sample"}
    spec = json.loads(packed("nodes", "pack_draw", "--json").out)
    assert [item["name"] for item in spec["inputs"]] == ["seed", "steps", "wait"]


def test_nodes_that_wait_are_listed_apart(graphflow: Command) -> None:
    out = graphflow("nodes").out
    assert out.index("vae_decode") < out.index("Wait for something to be built") < out.index("wan_image_conditioning")
    listed = {item["type"]: item["waits"] for item in json.loads(graphflow("nodes", "--json").out)}
    assert (listed["wan_image_conditioning"], listed["sample"]) == ("wan", None)
    assert listed["load_family_text_encoder"].startswith("its family, unless family is ")
    waiting = sum(waits is not None for waits in listed.values())
    assert f"{len(listed) - waiting} node types, and {waiting} that wait" in out
    assert "waits for wan" in graphflow("nodes", "wan_image_conditioning").out


def test_every_node_is_explained(graphflow: Command) -> None:
    from graphflow.spec.registry import installed

    for name, spec in installed().specs.items():
        ran = graphflow("nodes", name)
        assert ran.code == 0
        assert all(parameter in ran.out for parameter in spec.inputs)


def test_nodes_are_searched(graphflow: Command) -> None:
    found = {item["type"] for item in json.loads(graphflow("nodes", "--search", "upscale model", "--json").out)}
    assert {"load_upscale_model", "upscale_image_with_model"} <= found and "vae_decode" not in found
    some = json.loads(graphflow("nodes", "-s", "guidance_scale", "-c", "sampling", "--json").out)
    assert "sample" in {item["type"] for item in some}
    assert {item["category"] for item in some} == {"sampling"}
    assert graphflow("nodes", "-s", "xylophone").out.strip() == "0 node types; other words may find some"
    wrong = graphflow("nodes", "-c", "sampler")
    assert wrong.code == 2 and "did you mean 'sampling'?" in wrong.err
    assert graphflow("nodes", "sample", "-s", "x").code == 2


def test_an_unknown_node(graphflow: Command) -> None:
    ran = graphflow("nodes", "smaple")
    assert ran.code == 2
    assert "did you mean 'sample'?" in ran.err


def test_the_doctor_says_what_cannot_be_written_and_all_the_rest(graphflow: Command) -> None:
    Path("file").write_text("", "utf-8")
    ran = graphflow("doctor", "--cache-dir", "file/cache")
    assert ran.code == 1 and ran.err == ""
    problems = [line for line in ran.out.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 2
    assert "probe.json cannot be written" in problems[0]
    assert "the store's folder cannot be made" in problems[1]
    assert "node types" in ran.out and "all good" not in ran.out


@pytest.mark.parametrize("line", [["schema", "-o"], ["export", "txt2img", "-o"]])
def test_a_file_that_cannot_be_written(graphflow: Command, line: list[str]) -> None:
    Path("file").write_text("", "utf-8")
    ran = graphflow(*line, "file/new")
    assert ran.code == 2
    assert "file/new: cannot write there: what should be its folder is a file" in ran.err
    assert "name another file" in ran.err


def test_errors_of_settings(graphflow: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHFLOW_DEVICE", "toaster")
    ran = graphflow("nodes")
    assert ran.code == 2
    assert "GRAPHFLOW_DEVICE" in ran.err and "'toaster'" in ran.err


def test_tracebacks_are_for_those_who_ask(graphflow: Command, monkeypatch: pytest.MonkeyPatch, chain: Path) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("graphflow.session.Session.expand", broken)
    ran = graphflow("plan", chain)
    assert ran.code == 1
    assert "this is a bug in graphflow: ZeroDivisionError: oops" in ran.err
    assert "Traceback" not in ran.err
    assert "Traceback" in graphflow("plan", chain, "--traceback").err
    monkeypatch.setenv("GRAPHFLOW_TRACEBACK", "1")
    assert "Traceback" in graphflow("plan", chain).err


def test_the_store_is_shown_checked_and_cleared(packed: Command, graphflow: Command, chain: Path, home: Path) -> None:
    packed("run", chain)
    info = json.loads(graphflow("cache", "info", "--json").out)
    assert info["entries"] > 0 and info["bytes"] > 0
    assert str(home / "cache") in graphflow("cache", "info").out
    assert "all good" in graphflow("cache", "verify").out
    for path in Path(info["folder"]).rglob("*.safetensors"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))
    damaged = graphflow("cache", "verify")
    assert damaged.code == 1
    assert "damaged, removed" in damaged.out
    assert packed("run", chain).code == 0
    assert graphflow("cache", "prune", "--to", "0").code == 0
    assert json.loads(graphflow("cache", "info", "--json").out)["entries"] == 0
    packed("run", chain, "-i", "seed=1")
    asked = graphflow("cache", "clear")
    assert asked.code == 2 and "Remove 4 results" in asked.err and "--yes answers yes" in asked.err
    assert json.loads(graphflow("cache", "info", "--json").out)["entries"] == 4
    assert graphflow("cache", "clear", "--yes").code == 0
    assert json.loads(graphflow("cache", "info", "--json").out)["bytes"] == 0
    assert graphflow("cache", "prune", "--to", "much").code == 2


def test_without_a_disk_tier(graphflow: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHFLOW_CACHE_BYTES", "0")
    ran = graphflow("cache", "info")
    assert ran.code == 2
    assert "cache_bytes" in ran.err


def test_models_are_listed_and_explained(graphflow: Command, home: Path) -> None:
    path = home / "models" / "embeddings" / "style.safetensors"
    path.parent.mkdir()
    text = json.dumps({"emb_params": {"dtype": "F32", "shape": [1, 768], "data_offsets": [0, 3072]}}).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(3072))
    listed = json.loads(graphflow("models", "--json").out)
    assert "style.safetensors" in {row["name"] for row in listed}
    assert "style.safetensors" in graphflow("models").out
    assert graphflow("models", "style").code == 0
    assert json.loads(graphflow("models", "show", "style", "--json").out)["kind"] == "embedding"
    ran = graphflow("models", "stile")
    assert ran.code == 2
    assert "style" in ran.err


def test_json_is_json_also_where_a_scheduler_has_infinities(graphflow: Command) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    row = json.loads(graphflow("models", "show", "shapes", "--json").out, parse_constant=refuse)
    assert row["scheduler"]["lambda_min_clipped"] == "-Infinity"


def test_another_model_folder(graphflow: Command, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    assert str(folder) in graphflow("models", "--models", folder).out
    (folder / "embeddings").mkdir()
    text = json.dumps({"emb_params": {"dtype": "F32", "shape": [1, 768], "data_offsets": [0, 3072]}}).encode()
    (folder / "embeddings" / "style.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + bytes(3072))
    for line in (["--models", folder, "--json", "style"], ["style", "--models", folder, "--json"]):
        assert json.loads(graphflow("models", *line).out)["kind"] == "embedding"
    (folder / "embeddings").rename(tmp_path / "embeddings")
    (tmp_path / "comfyui" / "models").mkdir(parents=True)
    (tmp_path / "embeddings").rename(tmp_path / "comfyui" / "models" / "embeddings")
    folder = tmp_path / "comfyui"  # what holds `models`
    ran = graphflow("models", "--models", folder, "convert", "style")
    assert ran.code == 2 and "needs no conversion" in ran.err


def test_colours_only_where_wanted() -> None:
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": "80", "TERM": "xterm"}
    assert "\x1b[" in finish(start("nodes", env=environment)).out
    environment["NO_COLOR"] = "1"
    assert "\x1b[3" not in finish(start("nodes", env=environment)).out


def test_a_terminal_without_unicode(chain: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ran = finish(start("nodes", "pack_draw", "--nodes", PACK, env=environment))
    assert (ran.code, ran.err) == (0, "")
    assert ">= 1; <= 100,000" in ran.out and "?" not in ran.out
    plain = finish(start("nodes", "crop_image", "--json", env={**os.environ, "PYTHONIOENCODING": "utf-8"}))
    assert json.loads(finish(start("nodes", "crop_image", "--json", env=environment)).out) == json.loads(plain.out)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_a_folder_that_cannot_be_written(packed: Command, chain: Path) -> None:
    Path("out").write_text("a file, not a folder", "utf-8")
    ran = packed("run", chain)
    assert ran.code == 2
    ran = packed("run", chain, "--out", "out/inner")
    assert ran.code == 2
    assert "Traceback" not in ran.err
