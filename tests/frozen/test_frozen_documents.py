"""Documents of format 1 and the ComfyUI files that were imported with them open and mean what they meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphflow import Session
from graphflow.cli.source import load
from graphflow.errors import WorkflowError
from graphflow.settings import Settings
from tests.frozen.conftest import Command
from tests.frozen.fixtures import FROZEN, PACK, meaning

PLANS: dict[str, Any] = json.loads((FROZEN / "plans.json").read_text("utf-8"))
NAMES = sorted(PLANS)
COMPLETE = [name for name in NAMES if "steps" in PLANS[name]]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """A session with an empty store."""
    folder = tmp_path_factory.mktemp("empty")
    settings = Settings(device="cpu", dtype="float32", cache_dir=folder, offline=True, models=())
    return Session(settings, nodes=[PACK])


def plan(session: Session, name: str) -> Any:
    path = FROZEN / name
    return session.plan(load(str(path)).document, folder=path.parent)


def test_every_document_has_a_recorded_plan() -> None:
    folders = [FROZEN / "documents", FROZEN / "comfyui", FROZEN / "scripts"]
    documents = [path for folder in folders for path in folder.rglob("*.json")]
    assert sorted(path.relative_to(FROZEN).as_posix() for path in [*documents, FROZEN / "store/workflow.json"]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_document_is_valid(name: str, graphflow: Command) -> None:
    graphflow("validate", FROZEN / name, *([] if name in COMPLETE else ["--no-files"]))


@pytest.mark.parametrize("name", COMPLETE)
def test_a_document_plans_the_same_steps(name: str, session: Session) -> None:
    found, expected = meaning(plan(session, name)), PLANS[name]["steps"]
    assert {key: (step["type"], step["action"]) for key, step in found.items()} == {
        key: (step["type"], step["action"]) for key, step in expected.items()
    }
    for key, step in expected.items():
        if found[key]["version"] != step["version"]:
            continue  # its migration may have renamed parameters
        arguments = json.loads(json.dumps(found[key]["arguments"]))
        if step["arguments"].get("seed") == "random":
            assert 0 <= arguments.pop("seed")["value"] < 2**64
            arguments["seed"] = "random"
        assert arguments == step["arguments"], key


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(COMPLETE)))
def test_a_document_misses_the_same_models(name: str, session: Session) -> None:
    with pytest.raises(WorkflowError) as caught:
        plan(session, name)
    assert sorted(problem.path for problem in caught.value.problems) == PLANS[name]["missing"]


def test_what_is_no_graph_is_kept_when_a_document_is_saved_again(tmp_path: Path) -> None:
    from graphflow import Workflow

    old = json.loads((FROZEN / "documents/everything.json").read_text("utf-8"))
    new = json.loads(
        Workflow.load(FROZEN / "documents/everything.json").save(tmp_path / "again.json").read_text("utf-8")
    )
    for key in ("name", "description", "requires", "meta", "$schema", "x-canvas", "x-tags"):
        assert new[key] == old[key], key
    for node, entry in old["nodes"].items():
        for key in ("title", "note", "meta"):
            assert new["nodes"][node].get(key) == entry.get(key), (node, key)
    inner = new["workflows"]["unused"]
    assert inner["x-inner"] == 1 and inner["nodes"]["text"]["note"] == "inside"
    assert Workflow.load(tmp_path / "again.json") == Workflow.load(FROZEN / "documents/everything.json")


def test_a_parameter_of_an_older_node_version_is_migrated(session: Session) -> None:
    steps = plan(session, "documents/everything.json").steps
    assert steps["bright"].arguments["strength"].value == 0.25
