"""Several devices: what one lane computes, two and three compute, too, at the same time."""

from __future__ import annotations

import ctypes
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from graphflow import events, runtime
from graphflow.building.workflow import Workflow
from graphflow.errors import CancelledError, NodeError, SettingsError
from graphflow.execution.environment import Cancellation
from graphflow.planning.needs import needs_of
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from tests import toys as toy
from tests.conftest import TOYS, NoModels, ToySession
from tests.execution.drawn import draw_graph
from tests.execution.element_nodes import count

MEETING: list[threading.Barrier] = []


@node("devices_meet", lane="device", map=True)
def meet(x: int) -> int:
    """Wait until as many others are here as the barrier wants."""
    MEETING[0].wait(30)
    return x


@node("devices_steps", lane="device", cache=False, persist=False)
def steps(x: int) -> int:
    """Take steps without an end."""
    MEETING[0].wait(30)
    for step in range(100_000):
        runtime.current().report(step, 100_000, None)
        time.sleep(0.001)
    return x


@node("devices_threads", lane="device", cache=False, persist=False)
def threads(x: int) -> int:
    """Return how many threads OpenMP would take for a convolution."""
    (library,) = {line.split()[-1] for line in MAPS.read_text().splitlines() if "libgomp" in line}
    return int(ctypes.CDLL(library).omp_get_max_threads()) + 0 * x


@node("devices_inner", lane="device", cache=False, persist=False)
def inner(x: int) -> int:
    """Run a workflow of its own, once the other lane does, too."""
    MEETING[0].wait(30)
    g = Workflow()
    g.output("x", g.add(toy.sample, model=1.0, seed=x))
    return int(SESSIONS[0].run(g).outputs["x"])


SESSIONS: list[Session] = []
MAPS = Path("/proc/self/maps")


def session(folder: Path, devices: str) -> Session:
    given = Settings.model_validate({"models": (), "cache_dir": folder})
    made = Session(
        given, devices=devices, known=TOYS, functions=[meet, steps, threads, inner, count], models=NoModels()
    )
    SESSIONS[:] = [made]
    return made


def graph(kind: Any, *values: int) -> Workflow:
    g = Workflow()
    for value in values:
        g.output(f"x{value}", g.add(kind, x=value))
    return g


@given(data=st.data())
@profile(max_examples=25, phases=[Phase.generate])
def test_any_graph_gives_the_same_on_one_lane_and_several(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    g, wanted = draw_graph(data)
    seen: list[tuple[Counter[Any], Counter[Any]]] = []
    for lanes in (1, 2, 3):
        toy.CALLS.clear()
        told: list[events.Event] = []
        with session(tmp_path_factory.mktemp("lanes"), f"cpu*{lanes}") as made:
            assert made.run(g, sink=told.append).outputs == wanted
        released = Counter((event.node, event.output) for event in told if isinstance(event, events.ValueReleased))
        seen.append((Counter(toy.CALLS), released))
        begun = Counter(event.node for event in told if isinstance(event, events.NodeStarted))
        assert not begun or max(begun.values()) == 1
    assert seen[0] == seen[1] == seen[2]


def test_lanes_compute_at_the_same_time_and_events_name_them(tmp_path: Path) -> None:
    MEETING[:] = [threading.Barrier(2)]
    told: list[events.Event] = []
    with session(tmp_path, "cpu*2") as made:
        assert made.run(graph(meet, 1, 2), sink=told.append).outputs == {"x1": 1, "x2": 2}
    begun = [event for event in told if isinstance(event, events.NodeStarted)]
    assert {event.lane for event in begun} == {"cpu#1", "cpu#2"}
    assert all(event.to_json()["lane"] == event.lane for event in begun)


@pytest.mark.parametrize("sequence", [True, False])
def test_elements_and_variants_run_on_all_lanes(sequence: bool, tmp_path: Path) -> None:
    MEETING[:] = [threading.Barrier(2)]
    g = Workflow()
    met = g.add(meet, x=g.add(count, first=1, many=2) if sequence else 0, id="meet")
    g.output("sum", g.add(toy.total, parts=[met]) if not sequence else met)
    with session(tmp_path, "cpu*2") as made:
        if sequence:
            assert made.run(g).outputs == {"sum": (1, 2)}
        else:
            swept = g.sweep({"meet.x": [1, 2]}, session=made, out=tmp_path / "out")
            assert [variant.outputs for variant in swept.variants] == [{"sum": 1}, {"sum": 2}]


def test_cancelling_stops_every_lane(tmp_path: Path) -> None:
    MEETING[:] = [threading.Barrier(2)]
    cancellation = Cancellation()

    def sink(event: events.Event) -> None:
        if isinstance(event, events.NodeProgress):
            cancellation.cancel()

    with session(tmp_path, "cpu*2") as made, pytest.raises(CancelledError):
        made.run(graph(steps, 1, 2, 3, 4), sink=sink, cancellation=cancellation)


def test_a_failure_on_one_lane_is_told_as_ever(tmp_path: Path) -> None:
    g = graph(toy.fail, 1)
    g.output("y", g.add(toy.sample, model=1.0))
    with session(tmp_path, "cpu*2") as made, pytest.raises(NodeError, match="toy_fail"):
        made.run(g)


def test_nodes_that_run_workflows_do_not_wait_for_each_other(tmp_path: Path) -> None:
    MEETING[:] = [threading.Barrier(2)]
    with session(tmp_path, "cpu*2") as made:
        assert made.run(graph(inner, 1, 2)).outputs == {"x1": 1001, "x2": 1002}


@pytest.mark.skipif(not MAPS.exists() or "libgomp" not in MAPS.read_text(), reason="asks libgomp")
def test_a_fresh_thread_computes_with_the_threads_that_torch_says(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    found: list[Any] = []
    with session(tmp_path, "cpu") as made:
        try:
            torch.set_num_threads(before + 1)
            running = threading.Thread(target=lambda: found.append(made.run(graph(threads, 1)).outputs))
            running.start()
            running.join(60)
        finally:
            torch.set_num_threads(before)
    assert found == [{"x1": before + 1}]


def test_two_runs_take_a_lane_each(tmp_path: Path) -> None:
    MEETING[:] = [threading.Barrier(2)]
    found: list[Any] = []
    with session(tmp_path, "cpu*2") as made:
        threads = [threading.Thread(target=lambda x=x: found.append(made.run(graph(meet, x)).outputs)) for x in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(found, key=str) == [{"x1": 1}, {"x2": 2}]


@pytest.mark.parametrize(
    ("devices", "told"),
    [
        ("gpu", "must be all, or devices such as cuda:0,cuda:1 or cpu*2, got 'gpu'"),
        ("cpu*0", "must be all"),
        ("cuda:0,cpu", "must be devices of one kind"),
        ("cpu*99999", "must be all"),
        ("cpu*9999", "1,024 devices at most"),
    ],
)
def test_wrong_devices_are_told(devices: str, told: str, toys: ToySession) -> None:
    with pytest.raises(SettingsError, match=r"Session\(devices=…\)") as caught:
        Session(Settings(cache_dir=toys.folder), devices=devices)
    assert told in str(caught.value)


def test_a_device_that_there_is_not_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    told = r"no device 'cuda:98' on this machine, but .*'cpu'"
    with (
        Session(Settings(cache_dir=tmp_path), devices="cuda:98,cuda:99") as made,
        pytest.raises(SettingsError, match=told),
    ):
        made.run("txt2img")


def test_planning_knows_which_weights_each_node_computes_with(tmp_path: Path) -> None:
    with Session(Settings(cache_dir=tmp_path)) as made:
        found = needs_of(made.plan("txt2img", {"steps": 7}))
    kinds = {step: {name.rpartition("#")[2] for name, _ in needs.weights} for step, needs in found.items()}
    assert kinds == {
        "positive": {"text_encoder"},
        "negative": {"text_encoder"},
        "sample": {"model"},
        "decode": {"vae"},
        "save~safety": {"safety_checker"},
    }
    assert found["sample"].passes == 7 and found["decode"].passes == 1
    assert all(nbytes > 0 for needs in found.values() for _, nbytes in needs.weights)
