"""Device nodes on the workers of a cluster of this machine's own."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import graphflow.session
from graphflow import events
from graphflow.errors import CancelledError, InvalidInputError, NodeError
from graphflow.execution.environment import Cancellation
from graphflow.planning.record import versions_here
from graphflow.session import Session
from tests.cluster import cluster_nodes

ray = pytest.importorskip("ray")
ROOT = Path(__file__).resolve().parents[2]
soak = pytest.mark.skipif(not os.environ.get("GRAPHFLOW_TEST_SOAK"), reason="ten seconds; part of make soak")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(scope="module", autouse=True)
def _workers_have_the_nodes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphflow.session, "worker_session", cluster_nodes.worker)
        yield


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Two workers that share the store."""
    with cluster_nodes.driver(tmp_path_factory.mktemp("cluster")) as session:
        yield session


@pytest.fixture(scope="module")
def apart(cluster: Session, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A worker that shares nothing."""
    with cluster_nodes.driver(tmp_path_factory.mktemp("apart"), disk=False, cluster="local*1") as session:
        yield session


def document(**nodes: tuple[str, dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    return {
        "graphflow": 2,
        "nodes": {
            name: {"type": f"cluster_{kind}", "params": params, "links": links}
            for name, (kind, params, links) in nodes.items()
        },
        "outputs": {name: name for name in nodes},
    }


def values(session: Session, workflow: dict[str, Any]) -> dict[str, Any]:
    return dict(session.run(workflow).outputs)


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        cluster_nodes.driver(tmp_path, cluster=f"127.0.0.1:{port}") as session,
        pytest.raises(InvalidInputError, match=rf"--cluster 127.0.0.1:{port}: Ray cannot be reached: .*refused"),
    ):
        session.run(document(n=("combine", {"a": 2}, {})))


def test_without_ray_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        cluster_nodes.driver(tmp_path) as session,
        pytest.raises(InvalidInputError, match=r'--cluster: the package ray is missing \(pip install "graphflow-diff'),
    ):
        session.run(document(n=("combine", {"a": 2}, {})))


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    nodes: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {}
    for index in range(draw(st.integers(1, 7))):
        params: dict[str, Any] = {"factor": draw(st.integers(0, 10**6))}
        links: dict[str, Any] = {}
        for name in ("a", "b"):
            if nodes and draw(st.booleans()):
                links[name] = draw(st.sampled_from(sorted(nodes)))
            else:
                params[name] = draw(st.integers(0, 9))
        nodes[f"n{index}"] = ("combine", params, links)
    return document(**nodes)


@given(graph=graphs())
@hypothesis_settings(max_examples=6, deadline=None)
def test_random_graphs_give_the_values_of_one_lane(
    cluster: Session, apart: Session, tmp_path_factory: pytest.TempPathFactory, graph: dict[str, Any]
) -> None:
    with cluster_nodes.driver(tmp_path_factory.mktemp("one"), disk=False, cluster=None) as alone:
        expected = values(alone, graph)
    assert values(cluster, graph) == expected
    assert values(apart, graph) == expected


@pytest.mark.parametrize("kind", ["cluster", "apart"])
def test_tensors_travel_and_stay_in_the_driver_s_store(kind: str, request: pytest.FixtureRequest) -> None:
    session: Session = request.getfixturevalue(kind)
    graph = document(fill=("block", {"size": 100_000}, {}), sum=("total", {}, {"block": "fill"}))
    told: list[events.Event] = []
    found = session.run(graph, sink=told.append).outputs
    assert found["sum"] == 100_000
    assert str(found["fill"].data.dtype) == "torch.bfloat16"
    assert {event.lane for event in told if isinstance(event, events.NodeStarted)} <= {"ray:0", "ray:1"}
    assert session.plan(graph).count("run") == 0


def test_a_run_is_cancelled_at_a_step(cluster: Session) -> None:
    cancellation = Cancellation()
    steps: list[int] = []

    def sink(event: events.Event) -> None:
        if isinstance(event, events.NodeProgress):
            steps.append(event.step)
            cancellation.cancel()

    with pytest.raises(CancelledError):
        cluster.run(document(n=("steps", {"count": 5000}, {})), sink=sink, cancellation=cancellation)
    assert len(steps) < 500


def test_independent_nodes_run_on_both_workers(cluster: Session) -> None:
    graph = document(one=("steps", {"count": 60}, {}), two=("steps", {"count": 61}, {}))
    assert len(set(values(cluster, graph).values())) == 2


def test_what_a_node_raises_is_told_as_ever(cluster: Session) -> None:
    with pytest.raises(NodeError, match=r"node 'n' \(cluster_fails\): ValueError: no good \(at .*cluster_nodes.py:\d+"):
        cluster.run(document(n=("fails", {"text": "no good"}, {})))


def test_a_task_whose_worker_dies_is_tried_again(cluster: Session, tmp_path: Path) -> None:
    graph = document(n=("dies", {"folder": str(tmp_path / "a"), "times": 2}, {}))
    result = cluster.run(graph)
    assert result.outputs["n"] == 2
    assert [notice.partition(": ray:")[0] for notice in result.notices] == [
        "n: a worker died, another one tries again"
    ] * 2


@soak
def test_a_task_that_kills_every_worker_fails_with_the_cause(cluster: Session, tmp_path: Path) -> None:
    graph = document(n=("dies", {"folder": str(tmp_path / "b"), "times": 99}, {}))
    with pytest.raises(NodeError, match=r"3 workers died while they computed it: ray:\d \(.*: its process crashed"):
        cluster.run(graph)


def test_a_worker_with_another_model_file_is_not_used(cluster: Session) -> None:
    graph = document(m=("model", {"fingerprint": "f" * 64}, {}), n=("uses", {}, {"model": "m"}))
    told: list[str] = []

    def sink(event: events.Event) -> None:
        if isinstance(event, events.Notice):
            told.append(event.message)

    with pytest.raises(
        NodeError, match=r"no worker of the cluster can run it: ray:0: upscaler is .*, not f{64}; ray:1"
    ):
        cluster.run(graph, sink=sink)
    assert len(told) == 2
    assert all(
        re.fullmatch(rf"ray:\d \(.*\) is not used: upscaler there is .*, here {'f' * 64}", text) for text in told
    )


@soak
def test_nodes_of_the_program_alone_are_refused(cluster: Session, tmp_path: Path) -> None:
    from graphflow.spec.decorator import node

    @node("only_here", lane="device")
    def only_here(x: int) -> int:
        """Return a number."""
        return x

    with cluster_nodes.driver(tmp_path, functions=[only_here], cluster="local*1") as session:
        graph = {"graphflow": 2, "nodes": {"n": {"type": "only_here", "params": {"x": 1}}}, "outputs": {"n": "n"}}
        with pytest.raises(NodeError, match=r"it has no version of the node pack caller, not that of this program"):
            session.run(graph)


@soak
def test_workers_of_another_version_are_not_used(
    cluster: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = versions_here()
    other = {**here, "versions": {**here["versions"], "torch": "1.0.0"}}
    monkeypatch.setattr("graphflow.cluster.crew.versions_here", lambda: other)
    with (
        cluster_nodes.driver(tmp_path, cluster="local*1") as session,
        pytest.raises(NodeError, match=r"no worker of the cluster can run it: ray:0: it has torch .*, not 1\.0\.0"),
    ):
        session.run(document(n=("combine", {"a": 3}, {})))


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="looks into /proc")
def test_ray_listens_on_loopback_only(cluster: Session) -> None:
    values(cluster, document(n=("combine", {"a": 1}, {})))
    inodes = {
        match[1]
        for process in _descendants(os.getpid())
        for handle in _links(Path("/proc", str(process), "fd"))
        if (match := re.fullmatch(r"socket:\[(\d+)\]", handle))
    }
    listening = [
        fields[1].partition(":")[0]
        for table in ("tcp", "tcp6")
        for fields in map(str.split, Path("/proc/net", table).read_text().splitlines()[1:])
        if fields[3] == "0A" and fields[9] in inodes
    ]
    assert len(listening) >= 4
    assert all(address.endswith("0100007F") for address in listening)


DRIVER = """
import sys, pathlib
import graphflow.session
from tests.cluster import cluster_nodes
if __name__ == "__main__":
    graphflow.session.worker_session = cluster_nodes.worker
    folder = pathlib.Path(sys.argv[1])
    session = cluster_nodes.driver(folder, cluster=sys.argv[2])
    graph = {"graphflow": 2, "nodes": {"n": {"type": "cluster_steps", "params": {"count": int(sys.argv[3]), "folder": str(folder)}}}, "outputs": {"n": "n"}}
    print(session.run(graph).outputs["n"])
"""


def test_nothing_runs_on_after_the_driver_is_killed(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "processes"
    home.mkdir()
    folder.mkdir()
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as scratch:  # names of sockets must be short
        environment = {**os.environ, "HOME": str(home), "TMPDIR": scratch, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(folder), "local*1", "100000"], env=environment, cwd=ROOT
        ) as driver:
            _wait(lambda: any(path.name.isdecimal() for path in folder.iterdir()), driver)
            processes = _descendants(driver.pid)
            assert len(processes) > 3
            driver.send_signal(signal.SIGKILL)
        _wait(lambda: not any(Path("/proc", str(process)).exists() for process in processes))
    assert not list(home.iterdir())


@soak
def test_a_cluster_is_joined_by_its_address(cluster: Session, tmp_path: Path) -> None:
    values(cluster, document(n=("combine", {"a": 2}, {})))
    address = ray.get_runtime_context().gcs_address
    ran = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path), f"{address}*1", "1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) in _descendants(os.getpid()) | {int(ran.stdout)}
    assert (tmp_path / ran.stdout.strip()).exists()


def _descendants(process: int) -> set[int]:
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    found = {process}
    for _ in itertools.repeat(None, 8):
        found |= {child for child, parent in parents.items() if parent in found}
    return found - {process}


def _links(folder: Path) -> list[str]:
    links: list[str] = []
    with suppress(OSError):
        links.extend(str(path.readlink()) for path in folder.iterdir())
    return links


def _wait(condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        assert process is None or process.poll() is None
        time.sleep(0.02)
