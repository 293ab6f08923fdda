"""``graphflow run``, as a person and as a program see it."""

from __future__ import annotations

import copy
import io
import json
import struct
import sys
import zlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import CHAIN, PACK, Command, finish, start


def written(folder: str = "out") -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in sorted(Path(folder).iterdir())}


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_writes_and_says_where(packed: Command, chain: Path) -> None:
    ran = packed("run", chain)
    assert ran.code == 0
    assert written() == {"number_00001.txt": "9.375"}
    table = {line.split()[0]: line for line in ran.out.splitlines() if line}
    assert "ran" in table["draw"] and "ran" in table["add"] and "written" in table["save"]
    assert ran.out.splitlines()[-1] == str(Path("out/number_00001.txt"))
    assert "sum = 9.375" in ran.out
    assert "2 nodes ran, 1 file written" in ran.out


def test_the_second_run_runs_nothing(packed: Command, chain: Path) -> None:
    packed("run", chain)
    ran = packed("run", chain)
    assert ran.code == 0
    assert "nothing had to run" in ran.out
    assert "1 file up to date" in ran.out
    assert written() == {"number_00001.txt": "9.375"}


def test_a_lost_file_is_copied_from_the_store(packed: Command, chain: Path) -> None:
    packed("run", chain)
    ran = packed("run", chain, "--out", "elsewhere", "--json")
    assert written("elsewhere") == written()
    assert [event["how"] for event in events(ran.out) if event["event"] == "written"] == ["copied"]
    assert not [event for event in events(ran.out) if event["event"] == "started"]


def test_without_the_store_all_runs_again(packed: Command, chain: Path, home: Path) -> None:
    packed("run", chain)
    ran = packed("run", chain, "--no-cache", "--json")
    assert [event["node"] for event in events(ran.out) if event["event"] == "started"] == ["draw", "add", "save"]
    other = home / "other"
    packed("run", chain, "--no-cache", "--cache-dir", other)
    assert not list(other.rglob("*.safetensors"))


def test_inputs_and_single_parameters(packed: Command, chain: Path) -> None:
    ran = packed("run", chain, "-i", "seed=100", "-i", "name=a=b", "--set", "add.by=0.5", "--set", "draw.steps=1")
    assert ran.code == 0
    assert written() == {"a=b_00001.txt": "100.625"}


@pytest.mark.parametrize(
    ("options", "place", "advice"),
    [
        (["-i", "sead=1"], "inputs.sead", "did you mean 'seed'?"),
        (["-i", "seed"], "-i", "write -i NAME=VALUE"),
        (["-i", "=1"], "-i", "write -i NAME=VALUE"),
        (["-i", "seed=1", "-i", "seed=2"], "-i", "remove one"),
        (["-i", "seed=-1"], "nodes.draw.params.seed", "must be ≥ 0, got -1"),
        (["-i", "seed=abc"], "nodes.draw.params.seed", "must be a whole number, got 'abc'"),
        (["--set", "draw.sead=1"], "--set draw.sead", "did you mean 'seed'?"),
        (["--set", "drow.seed=1"], "--set drow.seed", "did you mean 'draw'?"),
        (["--set", "draw=1"], "--set draw", "write NODE.PARAMETER"),
        (["--set", "add.x.y=1"], "--set add.x.y", "pack_add has no parameter"),
        (["--target", "nowhere"], "target 'nowhere'", "it has draw, add, save"),
        (["--target", "drow"], "target 'drow'", "did you mean 'draw'?"),
        (["--target", "add.nothing"], "target 'add.nothing'", "add has "),
        (["--device", "toaster"], "--device", "must be auto, cpu, cuda, cuda:N, mps, xpu or xpu:N, got 'toaster'"),
        (["--devices", "cpu*x"], "--devices", "must be all, or devices such as cuda:0,cuda:1 or cpu*2, got 'cpu*x'"),
        (["--devices", "cpu,cuda"], "--devices", "must be devices of one kind"),
        (["--device", "cpu", "--devices", "cpu*2"], "--devices", "give one of them"),
    ],
)
def test_wrong_options_are_explained(options: list[str], place: str, advice: str, packed: Command, chain: Path) -> None:
    ran = packed("run", chain, *options)
    assert ran.code == 2
    assert ran.out == ""
    assert place in ran.err and advice in ran.err


@pytest.mark.parametrize("options", [["--no-such-option"], ["--safety", "maybe"], ["--models", "no-such-folder"], []])
def test_what_the_parser_refuses_exits_2(options: list[str], graphflow: Command, chain: Path) -> None:
    ran = graphflow("run", *([chain] if options else []), *options)
    assert ran.code == 2
    assert ran.out == ""
    assert "Traceback" not in ran.err


def test_a_seed_that_is_drawn_is_told_and_repeats(packed: Command, chain: Path) -> None:
    first, *_, drawn = events(packed("run", chain, "-i", "seed=random", "--json").out)
    seed = drawn["seeds"]["draw.seed"]
    assert first["event"] == "run_started" and first["seeds"] == drawn["seeds"]
    assert drawn["outputs"]["sum"] == seed + 2.375
    again = events(packed("run", chain, "-i", f"seed={seed}", "--json").out)[-1]
    assert again["outputs"] == drawn["outputs"]
    assert again["seconds"].keys() == {"save"}
    assert f"seed drawn for draw.seed: {seed}" not in packed("run", chain).out
    assert "seed drawn for draw.seed:" in packed("run", chain, "-i", "seed=random").out


@pytest.mark.parametrize("option", [["--quiet"], []])
def test_a_seed_that_is_drawn_is_told_without_a_summary_too(option: list[str], packed: Command) -> None:
    fail = {} if option else {"add": {"type": "pack_fail", "links": {"x": "draw"}}}
    Path("wf.json").write_text(json.dumps(changed(**fail)), "utf-8")
    ran = packed("run", "wf.json", "-i", "seed=random", *option)
    assert "seed drawn for draw.seed: " in ran.err
    assert ran.out == (f"{Path('out/number_00001.txt')}\n" if option else "")


def test_what_nodes_print_goes_to_standard_error() -> None:
    document = changed(add={"type": "pack_print", "links": {"x": "draw"}})
    Path("wf.json").write_text(json.dumps(document), "utf-8")
    Path("loud.py").write_text(PACK.read_text("utf-8").replace("pack_", "loud_") + "print('printed by the pack')\n")
    ran = finish(start("run", "wf.json", "--json", "--nodes", PACK, "--nodes", "loud.py"))
    assert ran.code == 0 and "printed" not in ran.out
    assert ran.err.count("printed") == 5
    assert events(ran.out)[-1]["outputs"] == {"sum": 7.375}


def test_json_prints_nothing_but_events(packed: Command, chain: Path) -> None:
    ran = packed("run", chain, "-i", "steps=3", "--json")
    told = events(ran.out)
    assert ran.err == ""
    run_id = told[0]["run_id"]
    assert told[0] == {"event": "run_started", "run_id": run_id, "run": 2, "cached": 0, "write": 1}
    assert len(run_id) == 8 and {event["run_id"] for event in told} == {run_id}
    assert [event["step"] for event in told if event["event"] == "progress"] == [1, 2, 3]
    assert [event["node"] for event in told if event["event"] == "finished"] == ["draw", "add", "save"]
    assert told[-2]["event"] == "run_finished" and told[-2]["status"] == "ok"
    assert told[-1]["event"] == "result"
    assert told[-1]["files"] == [{"node": "save", "path": str(Path("out/number_00001.txt")), "how": "written"}]


def test_json_tells_errors_too(packed: Command, chain: Path) -> None:
    ran = packed("run", chain, "-i", "seed=-1", "--json")
    told = events(ran.out)
    assert ran.code == 2
    assert told[-1]["event"] == "error" and told[-1]["exit_code"] == 2
    assert told[-1]["problems"][0]["path"] == "nodes.draw.params.seed"


def test_quiet_prints_the_paths_only(packed: Command, chain: Path) -> None:
    ran = packed("run", chain, "--quiet")
    assert (ran.out, ran.err) == (f"{Path('out/number_00001.txt')}\n", "")


def test_a_target_is_computed_alone(packed: Command, chain: Path) -> None:
    ran = packed("run", chain, "--target", "draw", "--json")
    assert events(ran.out)[-1]["outputs"] == {"draw.value": 7.375}
    assert not Path("out").exists()


def changed(**nodes: Any) -> dict[str, Any]:
    document = copy.deepcopy(CHAIN)
    document["nodes"].update(nodes)  # type: ignore[attr-defined]
    return document


@pytest.mark.parametrize(
    ("node", "code", "shown"),
    [
        ({"type": "pack_fail", "links": {"x": "draw"}}, 1, "ZeroDivisionError: by design"),
        ({"type": "pack_refuse", "links": {"x": "draw"}}, 2, "give another one"),
    ],
)
def test_a_node_that_fails(node: Any, code: int, shown: str, packed: Command) -> None:
    Path("wf.json").write_text(json.dumps(changed(add=node)), "utf-8")
    ran = packed("run", "wf.json")
    assert ran.code == code
    assert f"node 'add' ({node['type']})" in ran.err and shown in ran.err
    assert "Traceback" not in ran.err
    assert not Path("out").exists()
    ran = packed("run", "wf.json", "--json")
    told = events(ran.out)
    assert [event["event"] for event in told][-3:] == ["failed", "run_finished", "error"]
    assert {event["run_id"] for event in told} == {told[0]["run_id"]}


def test_all_withheld_exits_1(packed: Command) -> None:
    Path("wf.json").write_text(json.dumps(changed(save={"type": "pack_withhold", "links": {"x": "add"}})), "utf-8")
    ran = packed("run", "wf.json")
    assert ran.code == 1
    assert "withheld 1 of 1" in ran.err and "another seed" in ran.err


def test_notices_reach_the_user(packed: Command) -> None:
    Path("wf.json").write_text(json.dumps(changed(add={"type": "pack_say"})), "utf-8")
    ran = packed("run", "wf.json")
    assert "note: add: said something" in ran.err
    assert written() == {"number_00001.txt": "'hello'"}


def test_standard_input(packed: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    given = io.TextIOWrapper(io.BytesIO(json.dumps(CHAIN).encode()), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", given)
    assert packed("run", "-").code == 0
    assert written() == {"number_00001.txt": "9.375"}


def png_with(*texts: tuple[str, str]) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    notes = b"".join(chunk(b"tEXt", f"{keyword}\0{text}".encode("latin-1")) for keyword, text in texts)
    return b"\x89PNG\r\n\x1a\n" + header + notes + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")


def test_a_picture_that_carries_its_workflow(packed: Command) -> None:
    Path("picture.png").write_bytes(png_with(("graphflow", json.dumps(CHAIN))))
    assert packed("run", "picture.png", "-i", "seed=1").code == 0
    assert written() == {"number_00001.txt": "3.375"}


def test_a_picture_made_elsewhere_says_what_differs_here(packed: Command) -> None:
    def said(record: object) -> list[str]:
        texts = ("graphflow", json.dumps(CHAIN)), ("graphflow.record", json.dumps(record))
        Path("picture.png").write_bytes(png_with(*texts))
        ran = packed("run", "picture.png", "--json")
        assert ran.code == 0
        told = [json.loads(line) for line in ran.out.splitlines()]
        assert told[0]["event"] == "run_started"
        return [event["message"] for event in told if event["event"] == "notice"]

    here = {"graphflow": version("graphflow-diffusers"), "device": "cpu", "dtype": "float32"}
    versions = {name: version(name) for name in ("torch", "diffusers", "transformers", "numpy", "pillow")}
    same = {**here, "versions": versions, "files": {"gone": "0"}}
    assert said(same) == []
    assert said({**same, "device": "cuda", "versions": {**versions, "torch": "2.0.1", "other": "1"}}) == [
        f"the picture was made with device cuda (here cpu), torch 2.0.1 (here {versions['torch']}): pixels may differ"
    ]
    assert said([]) == said({"versions": 3, "device": ["x"]}) == []


def test_a_run_begins_with_its_start_also_where_planning_fails(packed: Command, chain: Path) -> None:
    ran = packed("run", chain, "--set", "draw.steps=0", "--json")
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert [event["event"] for event in told] == ["run_started", "run_finished", "error"]
    assert len({event["run_id"] for event in told}) == 1


@pytest.mark.parametrize(
    ("keyword", "hint"), [("prompt", "no ComfyUI workflow"), ("Software", "carries no graphflow workflow")]
)
def test_a_picture_without_one(keyword: str, hint: str, packed: Command) -> None:
    Path("picture.png").write_bytes(png_with((keyword, "{}")))
    ran = packed("run", "picture.png")
    assert ran.code == 2
    assert hint in ran.err and "bug" not in ran.err


def test_a_name_that_is_nothing(graphflow: Command) -> None:
    ran = graphflow("run", "txt2imgg")
    assert ran.code == 2
    assert "did you mean 'txt2img'?" in ran.err
    Path("portrait.json").write_text("{}", "utf-8")
    assert "did you mean 'portrait.json'?" in graphflow("run", "portait.json").err
    ran = graphflow("run", ".")
    assert ran.code == 2
    assert "this is a folder" in ran.err
    Path("picture.jpg").write_bytes(b"\xff\xd8\xff")
    assert graphflow("run", "picture.jpg").code == 2


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(packed: Command, chain: Path) -> None:
    Path("file").write_text("", "utf-8")
    ran = packed("run", chain, "--out", "file/pictures", "--json")
    assert ran.code == 2 and "no folder" in ran.err
    assert not any(json.loads(line)["event"] == "started" for line in ran.out.splitlines())


def test_a_cache_folder_that_cannot_be_used(packed: Command, chain: Path) -> None:
    Path("file").write_text("", "utf-8")
    ran = packed("run", chain, "--cache-dir", "file/cache")
    assert ran.code == 2 and "choose another folder" in ran.err


@pytest.mark.parametrize("line", [["plan", "LONG"], ["nodes", "--nodes", "LONG"], ["export", "txt2img", "-o", "LONG"]])
def test_a_name_that_the_system_refuses(line: list[str], graphflow: Command) -> None:
    ran = graphflow(*(part.replace("LONG", "x" * 5000) for part in line))
    assert ran.code == 2
    assert "name too long" in ran.err and "bug" not in ran.err and len(ran.err) < 1000


def test_a_document_cannot_steer_the_terminal(packed: Command) -> None:
    document = changed(add={"type": "pack_say", "title": "\x1b[31mred\x07", "params": {"text": "\x1b]0;owned\x07"}})
    Path("wf.json").write_text(json.dumps({**document, "name": "\x1b[2J"}), "utf-8")
    for command in ("plan", "run", "validate"):
        ran = packed(command, "wf.json", *(["--target", "add"] if command == "run" else []))
        assert ran.code == 0
        assert "\x1b" not in ran.out + ran.err and "\x07" not in ran.out + ran.err


def test_a_node_type_from_a_file_that_is_wrong(graphflow: Command, chain: Path) -> None:
    Path("pack.py").write_text("import no_such_module\n", "utf-8")
    ran = graphflow("run", chain, "--nodes", "pack.py")
    assert ran.code == 2
    assert "pack.py" in ran.err and "no_such_module" in ran.err
    Path("pack.py").write_text("import sys\nsys.exit(5)\n", "utf-8")
    ran = graphflow("run", chain, "--nodes", "pack.py")
    assert ran.code == 2 and "SystemExit: 5" in ran.err
    ran = graphflow("run", chain, "--nodes", "missing.py")
    assert ran.code == 2
    assert "missing.py: there is no such file" in ran.err
