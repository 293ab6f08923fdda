"""The ready-made workflows as documents; ``end_to_end`` runs them."""

from __future__ import annotations

import json

import pytest

from graphflow import workflows
from graphflow.document.document import parse, read, split_address
from graphflow.document.published import published, source_of
from graphflow.errors import InvalidInputError
from graphflow.library.roots import BUILTIN_NAMES
from graphflow.nodes import NODES
from graphflow.planning.expand import expand, standing
from graphflow.planning.validate import validate
from graphflow.spec.registry import Registry

REGISTRY = Registry().with_nodes(NODES, pack="builtin")


@pytest.mark.parametrize("name", workflows.names())
def test_a_workflow_is_valid_and_says_what_it_is(name: str) -> None:
    document = read(workflows.path(name))
    expanded = expand(document, REGISTRY)
    checked = validate(expanded.flat, REGISTRY)
    assert not expanded.problems
    assert not checked.problems
    assert document.name
    assert document.description
    for exposed in document.inputs.values():
        assert exposed.description


@pytest.mark.parametrize("name", workflows.names())
def test_what_an_input_turns_is_written_and_one_value(name: str) -> None:
    document = read(workflows.path(name))
    for knob, exposed in document.inputs.items():
        for target in exposed.to:
            node, parameter = split_address(target)
            assert parameter in document.nodes[node].params
        assert len(standing(document, REGISTRY, knob).values) == 1


@pytest.mark.parametrize("name", workflows.names())
def test_a_file_is_written_as_the_engine_writes_it(name: str) -> None:
    data = json.loads(workflows.path(name).read_text("utf-8"))
    assert parse(data).to_json() == data


@pytest.mark.parametrize("name", workflows.names())
def test_a_model_comes_with_graphflow_or_says_where_it_is_published(name: str) -> None:
    document = read(workflows.path(name))
    sources = published(document)
    checked = validate(expand(document, REGISTRY).flat, REGISTRY)
    needs = [need for node in checked.nodes.values() for need in node.spec.files(node.params) if need.model]
    assert {need.name for need in needs if source_of(need.name, sources) is None} <= {*BUILTIN_NAMES}


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(InvalidInputError, match="did you mean 'txt2img'"):
        workflows.path("text2img")
    with pytest.raises(InvalidInputError, match="graphflow workflows"):
        workflows.path("zzz")
