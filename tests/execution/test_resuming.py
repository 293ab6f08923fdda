"""A node that is interrupted goes on in the next run, and what it had kept goes with its result."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graphflow import runtime
from graphflow.building.workflow import Workflow
from graphflow.errors import NodeError
from graphflow.execution.environment import Cancellation
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from tests import toys as toy
from tests.conftest import TOYS, NoModels

ASKED: list[int] = []
"""What the node below had to compute itself."""


class Turn:
    """What happens at the third question of the next run, and from where on it asks otherwise."""

    third = ""
    otherwise = 99


@node("toy_long", lane="device", generates=True)
def long(start: int = 0) -> int:
    """Add up answers to four questions."""
    current, total = runtime.current(), start
    assert current.tape is not None
    for index in range(4):
        question = bytes([index + 100 * (index >= Turn.otherwise)])
        found = current.tape.recall(question)
        if found is None:
            if index == 2 and Turn.third == "fail":
                raise RuntimeError("broken")
            if index == 2 and Turn.third == "inexact":
                current.inexact("sums are rough")
            ASKED.append(index)
            found = {"sum": torch.tensor([question[0]])}
            current.tape.keep(question, found)
        total += int(found["sum"])
        current.report(index + 1, 4, None)
    return total


def run(folder: Path, third: str = "", otherwise: int = 99, start: int = 0) -> tuple[int, list[int]]:
    ASKED.clear()
    Turn.third, Turn.otherwise = third, otherwise
    settings = Settings.model_validate({"models": (), "cache_dir": folder / "cache"})
    session = Session(settings, known=TOYS.with_nodes([long], pack="long", version="1"), models=NoModels())
    g, cancellation = Workflow("long"), Cancellation()
    g.output("total", g.add(toy.add, x=g.add(long, start=start, id="long"), y=0.0))

    def stop(event: object) -> None:
        if third == "cancel" and getattr(event, "step", 0) == 2:
            cancellation.cancel()

    result = session.run(g, sink=stop, cancellation=cancellation)
    return int(result.outputs["total"]), list(ASKED)


def tapes(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tape"))


@pytest.mark.parametrize(("third", "error", "kept"), [("cancel", "cancelled", 3), ("fail", "broken", 2)])
def test_the_next_run_goes_on(third: str, error: str, kept: int, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=error):
        run(tmp_path, third)
    assert list(range(kept)) == ASKED and len(tapes(tmp_path)) == 1
    assert run(tmp_path, start=1)[1] == [0, 1, 2, 3]  # another node's, which leaves it alone
    assert run(tmp_path) == (6, list(range(kept, 4)))
    assert not tapes(tmp_path)


@pytest.mark.parametrize(("otherwise", "total"), [(0, 406), (1, 306)])
def test_where_it_is_another_computation_it_begins_anew(otherwise: int, total: int, tmp_path: Path) -> None:
    with pytest.raises(NodeError):
        run(tmp_path, "fail")
    assert run(tmp_path, otherwise=otherwise) == (total, [0, 1, 2, 3])
    assert not tapes(tmp_path)


def test_what_is_not_exact_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(NodeError):
        run(tmp_path, "fail")
    assert run(tmp_path, "inexact") == (6, [2, 3])
    assert run(tmp_path) == (6, [0, 1, 2, 3])
