"""What the engine costs per node, on nodes that do nothing.

Chains (each node reads the one before) and wide graphs (all read one source) of 10, 1,000 and 10,000 nodes: planning,
running cold, running again with everything in the memory tier. The peer is dask's threaded scheduler on the same graph
of the same functions; it plans nothing, checks nothing and keeps nothing, so it is a lower bound.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from graphflow.building.workflow import Workflow
from graphflow.execution.environment import Environment
from graphflow.execution.lanes import InlineLane, Lanes, ThreadLane
from graphflow.execution.run import execute
from graphflow.planning.expand import expand
from graphflow.planning.plan import plan
from graphflow.planning.steps import Plan
from graphflow.runtime import Runtime
from graphflow.spec.decorator import node
from graphflow.spec.registry import Registry
from graphflow.store import MemoryTier, Store

SIZES = (10, 1_000, 10_000)
LANES: Lanes = {"device": [ThreadLane("device", 1)], "cpu": [ThreadLane("cpu", 2)], "inline": [InlineLane()]}


@node("bench_source")
def source(value: int = 0) -> int:
    """Return a number."""
    return value


@node("bench_add")
def add(x: int, by: int = 1) -> int:
    """Add two numbers."""
    return x + by


@node("bench_total")
def total(parts: list[Any]) -> int:
    """Add up many numbers."""
    return sum(parts)


REGISTRY = Registry().with_nodes([source, add, total], pack="bench")


def chain(count: int) -> Workflow:
    """Return a chain of ``count`` nodes."""
    g = Workflow(f"chain of {count}")
    ref = g.add(source, id="n0")
    for index in range(1, count):
        ref = g.add(add, x=ref, id=f"n{index}")
    g.output("result", ref)
    return g


def wide(count: int) -> Workflow:
    """Return ``count`` nodes that read one source and are summed up at the end."""
    g = Workflow(f"{count} wide")
    first = g.add(source, id="n0")
    parts = [g.add(add, x=first, by=index, id=f"n{index}") for index in range(1, count - 1)]
    g.output("result", g.add(total, parts=parts, id="total"))
    return g


def dask_graph(workflow: Workflow) -> tuple[dict[str, Any], str]:
    """Return the same graph for dask."""
    graph: dict[str, Any] = {}
    for node_id, entry in workflow.document.nodes.items():
        if entry.type == "bench_source":
            graph[node_id] = (source, 0)
        elif entry.type == "bench_add":
            graph[node_id] = (add, entry.links["x"], entry.params.get("by", 1))
        else:
            graph[node_id] = (total, list(entry.links["parts"]))
    return graph, workflow.document.outputs["result"]


def timed(call: Callable[[], Any], repeats: int) -> float:
    """Return the median seconds of a call."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure(workflow: Workflow) -> dict[str, float]:
    """Measure one graph; times in milliseconds per node."""
    from dask.threaded import get as dask_get

    count = len(workflow.document.nodes)
    repeats = 20 if count <= 10 else 5 if count <= 1_000 else 1
    expanded = expand(workflow.document, REGISTRY)
    graph, result = dask_graph(workflow)

    def planned(store: Store) -> Plan:
        return plan(expanded, REGISTRY, shelf=store)

    def run(made: Plan, store: Store) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            environment = Environment(
                store=store,
                out=Path(folder),
                scratch=Path(folder),
                runtime=Runtime(models=None),  # type: ignore[arg-type]
                keep=frozenset(made.targets),
            )
            return execute(made, environment, LANES).values

    def fresh() -> Store:
        return Store(MemoryTier(2**30))

    cold_plan = planned(fresh())
    warm_store = fresh()
    expected = dask_get(graph, result)
    (value,) = run(cold_plan, warm_store).values()
    assert value == expected, (value, expected)
    warm_plan = planned(warm_store)
    assert warm_plan.count("run") == 0
    plain = timed(lambda: dask_get(graph, result), repeats)
    cold = timed(lambda: run(cold_plan, fresh()), repeats)
    scale = 1e3 / count
    return {
        "plan": timed(lambda: planned(fresh()), repeats) * scale,
        "cold": cold * scale,
        "cached": (timed(lambda: planned(warm_store), repeats) + timed(lambda: run(warm_plan, warm_store), repeats))
        * scale,
        "dask": plain * scale,
        "ratio": cold / plain,
    }


def main() -> None:
    """Print the table."""
    print(
        "| graph | nodes | plan, ms/node | run cold, ms/node | plan and run cached, ms/node | dask threaded, ms/node | cold run / dask |"
    )
    print("|---|---|---|---|---|---|---|")
    for shape in (chain, wide):
        for count in SIZES:
            row = measure(shape(count))
            print(
                f"| {shape.__name__} | {count:,} | {row['plan']:.3f} | {row['cold']:.3f} | {row['cached']:.3f} "
                f"| {row['dask']:.3f} | {row['ratio']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
