"""Random graphs of toy nodes, with what plain evaluation gives."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from graphflow.building.refs import Ref
from graphflow.building.workflow import Workflow
from tests import toys as toy


def draw_graph(data: st.DataObject) -> tuple[Workflow, dict[str, float]]:
    """Draw a graph; returns it with the values of its outputs."""
    count = data.draw(st.integers(1, 25), "nodes")
    g = Workflow()
    refs: list[Ref[Any]] = []
    expected: list[float] = []
    for index in range(count):
        kind = data.draw(st.sampled_from(["add", "sum", "number", "switch", "sample"]), "kind")
        before = [data.draw(st.integers(0, index - 1), "link") for _ in range(2)] if index else []
        if not before or kind == "number":
            value = data.draw(st.integers(-5, 5), "value")
            refs.append(g.add(toy.number, value=value, id=f"n{index}"))
            expected.append(value)
        elif kind == "add":
            y = data.draw(st.integers(-3, 3), "y")
            refs.append(g.add(toy.add, x=refs[before[0]], y=y, id=f"n{index}"))
            expected.append(expected[before[0]] + y)
        elif kind == "sum":
            refs.append(g.add(toy.total, parts=[refs[i] for i in before], id=f"n{index}"))
            expected.append(sum(expected[i] for i in before))
        elif kind == "sample":
            refs.append(g.add(toy.sample, model=refs[before[0]], seed=index, id=f"n{index}"))
            expected.append(expected[before[0]] * 1000 + index + 3 / 1000)
        else:
            selector: Any = g.add(toy.positive, x=refs[before[1]]) if data.draw(st.booleans(), "computed") else True
            chosen = before[0] if selector is True or expected[before[1]] > 0 else before[1]
            refs.append(
                g.add(toy.switch, select=selector, on_true=refs[before[0]], on_false=refs[before[1]], id=f"n{index}")
            )
            expected.append(expected[chosen])
    for index in {0, count // 2, count - 1}:
        g.output(f"r{index}", refs[index])
    return g, {f"r{index}": expected[index] for index in {0, count // 2, count - 1}}
