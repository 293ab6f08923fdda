"""Every node type of the pack is run by a packaged workflow, by a test of this folder, of families or of `ELSEWHERE`, or by
a recorded workflow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from graphflow import workflows
from graphflow.converters.comfyui.rules import RULES
from graphflow.document.document import Document, read
from graphflow.nodes import NODES
from graphflow.spec.decorator import spec_of
from tests.comfyui.smallest import RUN as SMALLEST
from tests.families.recorded_flows import FAMILIES, cases

HERE = Path(__file__).resolve().parent

ELSEWHERE = ("comfyui/test_detailing.py", "export/test_lotus.py", "vision/test_language.py")
"""Tests of other folders that run graphs."""

REFUSING = {spec.type for spec in map(spec_of, NODES) if spec.waits is not None}
"""Nodes that wait for a family: running them is an error, and that is tested with the nodes themselves."""


def types_of(document: Document) -> Iterator[str]:
    yield from (node.type for node in document.nodes.values())
    for inner in document.workflows.values():
        yield from types_of(inner)


def named_in(path: Path) -> Iterator[str]:
    """Names that a test gives as a node type: a text of its own, an attribute that it calls, or one that it adds."""
    for found in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(found, ast.Constant) and isinstance(found.value, str):
            yield found.value
        elif isinstance(found, ast.Call):
            yield from (part.attr for part in (found.func, *found.args[:1]) if isinstance(part, ast.Attribute))


def test_every_node_type_has_its_place_in_a_graph_that_runs() -> None:
    used = {type for name in workflows.names() for type in types_of(read(workflows.path(name)))}
    for path in HERE.glob("test_*.py"):
        if path != Path(__file__).resolve():
            used.update(named_in(path))
    types = {spec_of(function).type for function in NODES}
    prompts = [case["prompt"].values() for family in FAMILIES for case in cases(family).values()]
    imported = {entry["class_type"] for prompt in prompts for entry in prompt}
    running = [*(HERE.parent / "families").glob("test_*.py"), *(HERE.parent / name for name in ELSEWHERE)]
    imported.update((name for path in running for name in named_in(path)), SMALLEST)
    rules = [RULES[name] for name in imported & RULES.keys()]
    used.update(imported - REFUSING)
    used.update(native for rule in rules for native in rule.natives if native not in REFUSING)
    assert sorted(types - used - REFUSING) == []
    assert sorted(REFUSING - types) == sorted(REFUSING & used) == []
