"""docs/format.md: its examples are workflows, its tables say what the code does."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from graphflow import Session
from graphflow.cli import main
from graphflow.document.document import Document, ExposedInput, NodeEntry, parse
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "format.md").read_text("utf-8")
EXAMPLES = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)]
FILES: dict[str, str] = dict(re.findall(r"<!-- (\S+) -->\n```json\n(.*?)```", PAGE, flags=re.DOTALL))
COMMANDS = re.findall(r"^\| `(graphflow run [^`]+)` \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, flags=re.MULTILINE)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text, "utf-8")


@pytest.mark.parametrize("data", [data for data in EXAMPLES if data["graphflow"] == 2])
def test_an_example_of_the_format_is_a_workflow_as_it_is_written(data: dict[str, object]) -> None:
    document = parse(data)
    assert document.to_json() == data
    checked = Session().validate(document)
    assert (checked.problems, checked.notices) == ([], [])


@pytest.mark.parametrize(
    ("heading", "model"), [("## The document", Document), ("### A node", NodeEntry), ("### An input", ExposedInput)]
)
def test_every_key_is_described(heading: str, model: type[Document | NodeEntry | ExposedInput]) -> None:
    table = PAGE.split(f"{heading}\n")[1].split("\n#")[0]
    described = re.findall(r"^\| `([a-z]+)`", table, flags=re.MULTILINE)
    assert sorted(described) == sorted(model.model_fields)


@pytest.mark.parametrize(("command", "steps", "width", "height"), COMMANDS)
def test_the_value_wins_that_the_table_says(
    command: str, steps: str, width: str, height: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, *arguments = shlex.split(command)
    assert main(["plan", *arguments, "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)["workflow"]["nodes"]
    assert planned["sample"]["params"]["steps"] == int(steps)
    assert planned["latent"]["params"] == {"width": int(width), "height": int(height)}


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 4


def test_the_inner_workflow_gets_what_the_page_says() -> None:
    (data,) = [data for data in EXAMPLES if "workflows" in data]
    nodes = Session().expand(parse(data)).flat.nodes
    assert [nodes[f"{host}:latent"].params["width"] for host in ("small", "large")] == [64, 128]


@pytest.mark.parametrize(("keep", "width"), [("nodes", 96), ("defaults", 64)])
def test_the_commands_that_the_error_prints_choose(keep: str, width: int, capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = re.findall(r"```text\n\$ graphflow validate old.json\n(.*?)```", PAGE, flags=re.DOTALL)
    assert main(["validate", "old.json"]) == 2
    said = capsys.readouterr().err
    assert said.split() == shown.split()
    (command,) = re.findall(f"`graphflow (migrate [^`]* --keep {keep})`", said)
    assert main(shlex.split(command)) == 0
    assert main(["validate", "old.json"]) == 0
    data = json.loads(Path("old.json").read_text("utf-8"))
    assert data["graphflow"] == 2 and data["inputs"] == {"edge": {"to": ["latent.width"]}}
    assert data["nodes"]["latent"]["params"]["width"] == width
