"""Builder code of a document rebuilds the very same document."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphflow import workflows
from graphflow.converters.builder_code import to_python
from graphflow.document.document import Document, parse, read
from tests.export.texts import JSON, TEXTS


def rebuilt(document: Document) -> Document:
    space: dict[str, Any] = {}
    exec(to_python(document), space)
    found: Document = space["g"].document
    return found


@pytest.mark.parametrize("name", workflows.names())
def test_makes_the_very_same_document(name: str) -> None:
    document = read(workflows.path(name))
    again = rebuilt(document)
    assert again == document
    assert json.dumps(again.to_json()) == json.dumps(document.to_json())


def test_of_imported_workflows_makes_the_very_same_documents() -> None:
    from graphflow.converters.comfyui import to_native, to_prompt
    from tests.comfyui.recorded import cases

    for case in cases("features").values():
        document = to_native(to_prompt(case["prompt"])).require()
        again = rebuilt(document)
        assert json.dumps(again.to_json()) == json.dumps(document.to_json())


IDS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_:~-]{0,6}", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
TYPES = st.sampled_from(["load_checkpoint", "sample", "text_value", "switch", "workflow:inner", "nobody_knows"])
LINKS = st.one_of(IDS, st.builds("{}.{}".format, IDS, NAMES))
ENTRIES = st.fixed_dictionaries(
    {"type": TYPES},
    optional={
        "params": st.dictionaries(
            NAMES | st.sampled_from(["model", "text", "seed", "id", "title", "class"]), JSON, max_size=3
        ),
        "links": st.dictionaries(
            NAMES | st.sampled_from(["model", "latent"]), LINKS | st.lists(LINKS, max_size=3), max_size=3
        ),
        "version": st.integers(1, 5),
        "title": TEXTS,
        "note": TEXTS,
        "meta": st.dictionaries(TEXTS, JSON, max_size=2),
    },
)
PLAIN_DOCUMENTS = st.fixed_dictionaries(
    {"graphflow": st.just(2), "nodes": st.dictionaries(IDS, ENTRIES, max_size=4)},
    optional={
        "name": TEXTS,
        "description": TEXTS,
        "outputs": st.dictionaries(NAMES, LINKS, max_size=2),
        "requires": st.dictionaries(TEXTS, TEXTS, max_size=2),
        "meta": st.dictionaries(TEXTS, JSON, max_size=2),
        "x-more": JSON,
        "inputs": st.dictionaries(
            NAMES,
            st.fixed_dictionaries({"to": st.lists(LINKS, min_size=1, max_size=2)}, optional={"description": TEXTS}),
            max_size=2,
        ),
    },
)
DOCUMENTS = st.builds(
    lambda outer, inner: {**outer, "workflows": inner} if inner else outer,
    PLAIN_DOCUMENTS,
    st.dictionaries(NAMES, PLAIN_DOCUMENTS, max_size=2),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DOCUMENTS)
def test_of_any_document_rebuilds_it(data: dict[str, Any]) -> None:
    document = parse(data)
    again = rebuilt(document)
    assert again == document
    assert json.dumps(again.to_json()) == json.dumps(document.to_json())
