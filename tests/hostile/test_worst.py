"""The worst that the limits let in is planned, validated or refused within two seconds and 256 MiB."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from graphflow.session import Session
from graphflow.settings import Settings
from tests.hostile.watch import watched
from tests.hostile.worst import WORST
from tests.hostile.worst_foreign import FOREIGN

SOAK = bool(os.environ.get("GRAPHFLOW_TEST_SOAK"))
SHORT = {
    *("generated pictures written", "a long text for all", "joined texts", "inner workflows of a long text"),
    *("inner workflows of many links", "inner workflows of many inputs", "empty workflows", "a prompt of embeddings"),
    *("nothing but writers", "workflows that nobody runs"),
    *("prompt of savers", "subgraphs in subgraphs", "lists in a picture", "parameters of open loras"),
}
MADE = {**{name: (lambda make=make: json.dumps(make()).encode()) for name, make in WORST.items()}, **FOREIGN}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    given = {"models": (), "cache_dir": tmp_path_factory.mktemp("cache"), "device": "cpu", "offline": True}
    session = Session(Settings.model_validate(given))
    watched(lambda: session.plan("txt2img"))  # imports
    return session


@pytest.mark.parametrize("name", [name for name in MADE if SOAK or name in SHORT])
def test_the_worst_is_planned_or_refused_soon_and_small(name: str, session: Session, tmp_path: Path) -> None:
    path = tmp_path / "worst"
    path.write_bytes(MADE[name]())
    for use in (session.plan, session.validate):
        outcome = watched(lambda use=use: use(path))  # type: ignore[misc]
        assert outcome.faults == (), outcome
