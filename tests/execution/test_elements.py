"""Nodes that run once per element of a sequence: each element is computed, stored and written by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow import events
from graphflow.building.refs import Ref
from graphflow.building.workflow import Workflow
from graphflow.document.document import NodeEntry
from graphflow.errors import CancelledError, NodeError
from graphflow.execution.environment import Cancellation
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from graphflow.store import DiskTier, MemoryTier, Store
from tests import toys as toy
from tests.conftest import TOYS, NoModels
from tests.execution import element_nodes as el


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    el.CALLS.clear()
    el.ALIVE.clear()
    el.PEAK.clear()
    toy.CALLS.clear()


def make(folder: Path, store: Store | None = None) -> Session:
    settings = Settings.model_validate({"models": (), "cache_dir": folder / "cache"})
    return Session(settings, known=TOYS, functions=el.NODES, models=NoModels(), store=store)


def sheets(text: str, *, computed: bool = False, checked: bool = False, slow: float = 0.0, **params: Any) -> Workflow:
    """A chain: words, encoded, painted, framed, perhaps checked, saved."""
    g = Workflow("sheets")
    listed = g.add(el.split if computed else el.words, text=text, id="list")
    painted = g.add(el.paint, text=g.add(el.encode, text=listed, id="encode"), id="paint", **params)
    sheet: Ref[Any] = g.add(el.frame, sheet=painted, id="frame")
    if checked:
        sheet = g.add(el.check, sheet=sheet, id="check").sheet
    g.add(el.save, sheets=sheet, wait=slow, id="save")
    return g


def called(*kinds: str) -> list[Any]:
    return [what for kind, what in el.CALLS if kind in kinds]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


EXPECTED = {
    "sheet-0_00001.txt": b"*A-0-0*",
    "sheet-1_00001.txt": b"*B-0-0*",
    "sheet-2_00001.txt": b"*C-0-0*",
}


@pytest.mark.parametrize("computed", [False, True])
def test_each_element_goes_through_the_chain_and_is_written_before_the_next(tmp_path: Path, computed: bool) -> None:
    seen: list[tuple[str, int | None, int | None]] = []

    def sink(event: events.Event) -> None:
        if isinstance(event, events.NodeStarted | events.Written) and event.node in ("paint", "save"):
            seen.append((event.event, event.element, event.elements))

    result = make(tmp_path).run(sheets("a b c", computed=computed), out=tmp_path / "out", sink=sink)
    assert contents(tmp_path / "out") == EXPECTED
    assert [file.path.name for file in result.files["save"]] == list(EXPECTED)
    assert [entry for entry in seen if entry[0] == "written"] == [("written", index, 3) for index in range(3)]
    started = [entry for entry in seen if entry[0] == "started"]
    assert sorted(started) == sorted([("started", index, 3) for index in range(3)] * 2)
    assert called("encode") == ["a", "b", "c"]
    assert called("paint") == ["A", "B", "C"]
    order = [(kind, what) for kind, what in el.CALLS if kind in ("paint", "frame")]
    assert order[:2] == [("paint", "A"), ("frame", ("A-0-0",))], "an element goes through before the next begins"


@pytest.mark.parametrize("computed", [False, True])
def test_nothing_runs_the_second_time(tmp_path: Path, computed: bool) -> None:
    g = sheets("a b c", computed=computed)
    make(tmp_path).run(g, out=tmp_path / "out")
    el.CALLS.clear()
    session = make(tmp_path)
    assert session.plan(g).count("run") == 0
    assert [file.how for file in session.run(g, out=tmp_path / "out").files["save"]] == ["up to date"] * 3
    assert [file.how for file in session.run(g, out=tmp_path / "new").files["save"]] == ["copied"] * 3
    assert contents(tmp_path / "new") == EXPECTED
    assert el.CALLS == []


def test_an_element_is_what_an_unmapped_node_makes_of_the_same_inputs(tmp_path: Path) -> None:
    g = Workflow("one")
    g.output("sheet", g.add(el.paint, text=g.add(el.encode, text="b"), seed=3))
    make(tmp_path).run(g)
    el.CALLS.clear()
    result = make(tmp_path).run(sheets("a b c", seed=3), out=tmp_path / "out")
    assert called("encode", "paint") == ["a", "A", "c", "C"]
    assert [file.path.read_text() for file in result.files["save"]] == ["*A-3-0*", "*B-3-0*", "*C-3-0*"]


def test_equal_elements_are_computed_once(tmp_path: Path) -> None:
    make(tmp_path).run(sheets("a b a a"), out=tmp_path / "out")
    assert called("encode", "paint") == ["a", "b", "A", "B"] or called("encode", "paint") == ["a", "A", "b", "B"]
    assert list(contents(tmp_path / "out").values()) == [b"*A-0-0*", b"*B-0-0*", b"*A-0-0*", b"*A-0-0*"]


def test_a_longer_list_computes_what_is_new(tmp_path: Path) -> None:
    make(tmp_path).run(sheets("a b c"), out=tmp_path / "out")
    el.CALLS.clear()
    result = make(tmp_path).run(sheets("z a b c"), out=tmp_path / "longer")
    assert called("encode", "paint") == ["z", "Z"]
    assert result.seconds.keys() >= {"paint", "save"}
    assert list(contents(tmp_path / "longer").values()) == [b"*Z-0-0*", b"*A-0-0*", b"*B-0-0*", b"*C-0-0*"]


def test_shorter_lists_repeat_their_last(tmp_path: Path) -> None:
    g = Workflow()
    painted = g.add(
        el.paint, text=g.add(el.words, text="a b"), seed=g.add(el.count, first=5, many=4), copies=2, id="paint"
    )
    g.output("text", g.add(el.join, sheets=painted))
    expected = "|".join(
        f"{text}-{seed}-{copy}" for text, seed in zip("abbb", range(5, 9), strict=True) for copy in "01"
    )
    assert make(tmp_path).run(g).outputs == {"text": expected}
    assert make(tmp_path).run(g).outputs == {"text": expected}


def test_of_an_empty_sequence_comes_an_empty_one_and_nothing_is_written(tmp_path: Path) -> None:
    g = Workflow()
    painted = g.add(el.paint, text=g.add(el.split, text=" "), id="paint")
    g.output("x", painted)
    g.output("joined", g.add(el.join, sheets=painted))
    g.add(el.save, sheets=painted, id="save")
    told: list[str] = []
    result = make(tmp_path).run(
        g,
        out=tmp_path / "out",
        sink=lambda event: told.append(event.message) if isinstance(event, events.Notice) else None,
    )
    assert result.outputs == {"x": (), "joined": ""}
    assert told == ["nothing is written: the sequence of sheets is empty"]
    assert not (tmp_path / "out").exists() and called("paint") == []


def test_what_was_written_stays_where_a_later_element_fails(tmp_path: Path) -> None:
    g = sheets("a b bad", wait=0.2)
    with pytest.raises(NodeError, match=r"node 'paint' .*, element 3 of 3: this cannot be painted"):
        make(tmp_path).run(g, out=tmp_path / "out")
    written = contents(tmp_path / "out")
    assert written == {name: EXPECTED[name] for name in list(EXPECTED)[: len(written)]}
    assert 0 < len(written) < 3
    el.CALLS.clear()
    make(tmp_path).run(sheets("a b c", wait=0.2), out=tmp_path / "out")
    assert called("paint") == ["C"]
    assert contents(tmp_path / "out") == EXPECTED


def test_cancelling_between_elements_keeps_what_is_done(tmp_path: Path) -> None:
    cancellation = Cancellation()

    def sink(event: events.Event) -> None:
        if isinstance(event, events.Written) and event.element == 1:
            cancellation.cancel()

    with pytest.raises(CancelledError):
        make(tmp_path).run(sheets("a b c d e"), out=tmp_path / "out", sink=sink, cancellation=cancellation)
    assert list(contents(tmp_path / "out")) == ["sheet-0_00001.txt", "sheet-1_00001.txt"]
    before = called("paint")
    assert len(before) < 5
    make(tmp_path).run(sheets("a b c d e"), out=tmp_path / "out")
    after = called("paint")
    assert sorted(set(after)) == ["A", "B", "C", "D", "E"]
    assert len(after) <= 6, "at most the one that was stopped half-way is computed twice"


def test_a_damaged_element_alone_is_computed_again(tmp_path: Path) -> None:
    g = sheets("a b c")
    g.document.nodes["join"] = NodeEntry(type="el_join", links={"sheets": "frame"})
    g.document.outputs["text"] = "join"
    make(tmp_path).run(g, out=tmp_path / "out")
    damaged = [path for path in (tmp_path / "cache" / "store").rglob("*.safetensors") if b"B-0-0" in path.read_bytes()]
    assert damaged
    for path in damaged:
        path.unlink()
    el.CALLS.clear()
    g.document.nodes["frame"].params["mark"] = "+"
    result = make(tmp_path).run(g, out=tmp_path / "out")
    assert result.outputs == {"text": "+A-0-0+|+B-0-0+|+C-0-0+"}
    assert called("paint") == ["B"]


@pytest.mark.parametrize("computed", [False, True])
def test_what_is_withheld_keeps_its_number_and_is_told_once(tmp_path: Path, computed: bool) -> None:
    g = sheets("a x c", computed=computed, checked=True, copies=2)
    notices: list[str] = []
    for _ in range(2):
        notices.clear()
        result = make(tmp_path).run(
            g,
            out=tmp_path / "out",
            sink=lambda event: notices.append(event.message) if isinstance(event, events.Notice) else None,
        )
        assert result.withheld == {"save": 2}
        assert [file.path.name for file in result.files["save"]] == [f"sheet-{n}_00001.txt" for n in (0, 1, 4, 5)]
        assert notices == ["the safety checker withheld 2 of 6"]
    assert make(tmp_path).plan(g).count("run") == 0


def test_a_run_of_which_nothing_is_left_fails_again_without_computing(tmp_path: Path) -> None:
    g = sheets("x1 x2", checked=True)
    for _ in range(2):
        with pytest.raises(NodeError, match="the safety checker withheld 2 of 2"):
            make(tmp_path).run(g, out=tmp_path / "out")
        assert not (tmp_path / "out").exists()
    assert called("paint") == ["X1", "X2"]


def test_an_effect_may_itself_run_once_per_element(tmp_path: Path) -> None:
    g = Workflow()
    g.add(el.save_one, text=g.add(el.split, text="a b c"), id="save")
    for expected in (["written"] * 3, ["up to date"] * 3):
        result = make(tmp_path).run(g, out=tmp_path / "out")
        assert [file.path.name for file in result.files["save"]] == [f"text_0000{number}.txt" for number in (1, 2, 3)]
        assert [file.how for file in result.files["save"]] == expected
    assert called("save_one") == ["a", "b", "c"]


def test_few_values_of_a_long_chain_are_alive_at_once(tmp_path: Path) -> None:
    store = Store(MemoryTier(0), DiskTier(tmp_path / "store", max_bytes=2**30))
    text = " ".join(f"w{index}" for index in range(100))
    make(tmp_path, store).run(sheets(text, weight=10_000), out=tmp_path / "out")
    assert len(contents(tmp_path / "out")) == 100
    assert len(el.PEAK) == 100
    assert max(el.PEAK) <= 4


def many() -> tuple[int, str]:
    """Return how many elements of a chain may be on their way, and a text of many more."""
    limit = 2 * max(2, (os.cpu_count() or 2) // 2) + 2
    return limit, " ".join(f"w{index}" for index in range(3 * limit))


@pytest.mark.parametrize("computed", [False, True])
def test_computing_does_not_run_far_ahead_of_writing(tmp_path: Path, computed: bool) -> None:
    limit, text = many()
    unread: set[tuple[str, int | None]] = set()
    most = 0

    def sink(event: events.Event) -> None:
        nonlocal most
        if isinstance(event, events.NodeFinished) and event.node in ("encode", "paint", "frame"):
            unread.add((event.node, event.element))
            most = max(most, len({element for _, element in unread}))
        elif isinstance(event, events.ValueReleased):
            unread.discard((event.node, event.element))

    store = Store(MemoryTier(0), DiskTier(tmp_path / "store", max_bytes=2**30))
    g = sheets(text, computed=computed, slow=0.02)
    make(tmp_path, store).run(g, out=tmp_path / "out", sink=sink)
    assert len(contents(tmp_path / "out")) == 3 * limit
    assert called("save") == [((f"*{word.upper()}-0-0*",),) for word in text.split()]
    assert 1 < most <= limit
    assert max(el.PEAK) <= limit


def test_a_sequence_that_a_step_reads_whole_is_made_whole(tmp_path: Path) -> None:
    limit, text = many()
    g = Workflow("marked")
    painted = g.add(el.paint, text=g.add(el.split, text=text), id="paint")
    g.add(el.save, sheets=g.add(el.frame, sheet=painted, mark=g.add(el.join, sheets=painted)), id="save")
    make(tmp_path).run(g, out=tmp_path / "out")
    assert len(contents(tmp_path / "out")) == 3 * limit


def test_a_run_killed_at_any_element_goes_on_where_it_was(tmp_path: Path) -> None:
    text = "a b c d e f"
    undisturbed = tmp_path / "undisturbed"
    make(undisturbed).run(sheets(text, copies=2), out=undisturbed / "out")
    expected = contents(undisturbed / "out")
    document = sheets(text, copies=2).document.to_json()
    for element in (0, 2, 5):
        folder = tmp_path / f"killed-{element}"
        folder.mkdir()
        workflow = folder / "sheets.json"
        workflow.write_text(json.dumps(document))
        first = started_until(folder, workflow, element)
        assert len(list((folder / "out").glob("sheet-*"))) < len(expected)
        second = finished(folder, workflow)
        assert contents(folder / "out") == expected
        for kind in ("encode", "paint"):
            again = first[kind] & second[kind]
            assert len(again) <= 1, f"{kind} computed {again} twice"
            assert first[kind] | second[kind] == set(range(6))


def run_command(folder: Path, workflow: Path, hold: int = -1) -> subprocess.Popen[str]:
    environment = {**os.environ, "GRAPHFLOW_CACHE_DIR": str(folder / "cache"), "EL_HOLD": str(hold)}
    line = [sys.executable, "-m", "graphflow.cli", "run", str(workflow), "--nodes", str(el.PACK), "--json"]
    return subprocess.Popen([*line, "--out", str(folder / "out")], stdout=subprocess.PIPE, text=True, env=environment)


def computed(lines: list[dict[str, Any]]) -> dict[str, set[int]]:
    return {
        kind: {event["element"] for event in lines if event["event"] == "finished" and event["node"] == kind}
        for kind in ("encode", "paint")
    }


def started_until(folder: Path, workflow: Path, element: int) -> dict[str, set[int]]:
    """Run until an element is being written, and kill the process."""
    process = run_command(folder, workflow, hold=2 * element)
    assert process.stdout is not None
    told: list[dict[str, Any]] = []
    for line in process.stdout:
        told.append(json.loads(line))
        if (told[-1]["event"], told[-1].get("node"), told[-1].get("element")) == ("started", "save", element):
            break
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()  # not communicate(), which loses what has been read ahead
    process.stdout.close()
    process.wait(timeout=300)
    told += [json.loads(line) for line in rest.splitlines() if line.endswith("}")]
    return computed(told)


def finished(folder: Path, workflow: Path) -> dict[str, set[int]]:
    out, _ = run_command(folder, workflow).communicate(timeout=300)
    told = [json.loads(line) for line in out.splitlines()]
    assert told[-1]["event"] == "result", told[-1]
    return computed(told)


@node("el_flat_sum")
def flat_sum(parts: list[Any]) -> int:
    """Add up numbers, and sequences of numbers."""
    return sum(sum(part) if isinstance(part, tuple | list) else part for part in parts)


@hypothesis.settings(max_examples=40, phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate])
@given(data=st.data())
def test_any_graph_of_sequences_gives_what_plain_evaluation_gives(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    g = Workflow()
    refs: list[Ref[Any]] = [g.add(toy.number, value=2, id="n")]
    values: list[Any] = [2]
    for index in range(data.draw(st.integers(1, 8), "nodes")):
        kind = data.draw(st.sampled_from(["count", "double", "add", "sum", "scalar"]), "kind")
        x, y = (data.draw(st.integers(0, len(refs) - 1), "link") for _ in range(2))
        if kind == "count":
            many = data.draw(st.integers(1, 4), "many")
            refs.append(g.add(el.count, first=index, many=many, id=f"c{index}"))
            values.append(tuple(range(index, index + many)))
        elif kind == "double":
            refs.append(g.add(toy.double, x=refs[x], plus=refs[y], id=f"d{index}"))
            values.append(over(lambda a, b: 2 * a + b, values[x], values[y]))
        elif kind == "add":
            refs.append(g.add(toy.double, x=refs[x], plus=index, id=f"d{index}"))
            values.append(over(lambda a, b: 2 * a + b, values[x], index))
        elif kind == "sum":
            listed = [value if isinstance(value, tuple) else (value,) for value in (values[x], values[y])]
            refs.append(g.add(flat_sum, parts=[refs[x], refs[y]], id=f"s{index}"))
            values.append(sum(map(sum, listed)))
        else:
            refs.append(g.add(toy.number, value=index, id=f"n{index}"))
            values.append(index)
    wanted = {f"r{index}": values[index] for index in range(len(refs)) if data.draw(st.booleans(), "wanted")}
    wanted[f"r{len(refs) - 1}"] = values[-1]
    for name in wanted:
        g.output(name, refs[int(name[1:])])
    folder = tmp_path_factory.mktemp("sequences")

    def session() -> Session:
        settings = Settings.model_validate({"models": (), "cache_dir": folder})
        return Session(settings, known=TOYS, functions=[*el.NODES, flat_sum], models=NoModels())

    first = session()
    assert first.run(g).outputs == wanted
    assert first.run(g).outputs == wanted
    assert session().run(g).outputs == wanted


def over(function: Any, *given: Any) -> Any:
    lengths = [len(value) for value in given if isinstance(value, tuple)]
    if not lengths:
        return function(*given)
    pick = [value if isinstance(value, tuple) else (value,) for value in given]
    return tuple(function(*(part[min(i, len(part) - 1)] for part in pick)) for i in range(max(lengths)))
