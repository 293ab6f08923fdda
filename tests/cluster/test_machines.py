"""A cluster of two machines, of which one is lost; both are played by this one."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import graphflow.session
from graphflow import events
from graphflow.session import Session
from tests.cluster import cluster_nodes

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.skipif(not os.environ.get("GRAPHFLOW_TEST_SOAK"), reason="half a minute; part of make soak"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]


def test_a_machine_that_is_lost_has_its_work_done_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(graphflow.session, "worker_session", cluster_nodes.worker)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    folder = tmp_path / "running"
    folder.mkdir()
    machine = {"num_cpus": 1, "node_ip_address": "127.0.0.1"}
    cluster = Cluster(initialize_head=True, head_node_args={**machine, "include_dashboard": False})
    try:
        other = cluster.add_node(**machine)
        with cluster_nodes.driver(tmp_path, cluster=cluster.address) as session:
            values, told = run_while(session, folder, lambda: cluster.remove_node(other, allow_graceful=False))
    finally:
        cluster.shutdown()
    assert len(set(values)) == 1  # the process that is left
    assert any("a worker died, another one tries again" in message for message in told), told


def run_while(session: Session, folder: Path, lose: Any) -> tuple[list[int], list[str]]:
    """Run two long nodes, lose a machine when both are at work; return their values and the notices."""
    told: list[str] = []

    def sink(event: events.Event) -> None:
        if isinstance(event, events.Notice):
            told.append(event.message)

    def lost() -> None:
        while len(list(folder.iterdir())) < 2:
            time.sleep(0.05)
        lose()

    steps = {
        name: {"type": "cluster_steps", "params": {"count": count, "folder": str(folder)}}
        for name, count in (("a", 250), ("b", 251))
    }
    losing = threading.Thread(target=lost, daemon=True)
    losing.start()
    result = session.run({"graphflow": 2, "nodes": steps, "outputs": {name: name for name in steps}}, sink=sink)
    losing.join(60)
    return list(result.outputs.values()), told
