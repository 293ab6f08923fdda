"""Random graphs of the built-in nodes: valid ones run on the shapes model, broken ones are refused at every place.

A graph that validation takes may still ask for something that only values tell (two pictures of different sizes in
one batch). Then the node says so, with a graphflow error; any other exception is a defect.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st
from PIL import Image

from graphflow import Workflow
from graphflow.errors import GraphflowError, NodeError, WorkflowError
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec import registry
from graphflow.spec.registry import Registry
from tests.properties.breaking import BREAKERS, unknown_type
from tests.properties.graphs import Kit, graphs

SOAK = bool(os.environ.get("GRAPHFLOW_TEST_SOAK"))
KNOWN: Registry = registry.installed()
KIT = Kit(KNOWN, {"image": "picture.png", "mask": "picture.png"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("documents")
    picture = Image.new("RGBA", (64, 48), (200, 30, 60, 255))
    picture.paste((0, 90, 200, 0), (8, 8, 40, 30))
    picture.save(path / "picture.png")
    return path


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    """Without a disk tier, so that every example computes."""
    cache = tmp_path_factory.mktemp("engine")
    given = {"models": (), "cache_dir": cache, "cache_bytes": 0, "device": "cpu", "offline": True}
    return Session(Settings.model_validate(given), known=KNOWN)


@settings(
    max_examples=400 if SOAK else 25,
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)
@given(document=graphs(KIT))
def test_valid_graphs_run_or_say_what_does_not_fit(session: Session, folder: Path, document: dict[str, Any]) -> None:
    workflow = Workflow.from_json(document)
    assert Workflow.from_json(workflow.to_json()) == workflow
    assert session.validate(workflow).problems == []
    try:
        result = session.run(workflow, safety="off", folder=folder)
    except WorkflowError as error:  # a constant that cannot be computed, such as a division by zero
        note(str(error))
        assert all(problem.path.startswith("nodes.") for problem in error.problems)
        return
    except NodeError as error:
        note(str(error))
        event(f"{error.node_type}: {error.message[:90]}")
        assert isinstance(error.cause, GraphflowError), f"{error.node_type}: {error.cause!r}"
        return
    event("ran")
    assert set(result.outputs) == set(document["outputs"])


@settings(max_examples=1000 if SOAK else 60, suppress_health_check=list(HealthCheck))
@given(
    document=graphs(KIT, largest=5),
    breakers=st.lists(st.sampled_from(BREAKERS), min_size=1, max_size=4),
    data=st.data(),
)
def test_every_broken_place_is_named(document: dict[str, Any], breakers: list[Any], data: st.DataObject) -> None:
    # Of a node whose type is unknown nothing else can be said, so types are broken first and such nodes left alone.
    breakers.sort(key=lambda breaker: breaker is not unknown_type)
    places = [place for breaker in breakers if (place := breaker(data.draw, document, KNOWN)) is not None]
    session = Session(Settings.model_validate({"models": ()}), known=KNOWN)
    problems = session.validate(Workflow.from_json(document)).problems
    named = {problem.path for problem in problems}
    missing = [place for place in places if not any(path.startswith(place) for path in named)]
    assert missing == [], [str(problem) for problem in problems]
    assert all(problem.message for problem in problems)
