"""Documents: shape, problems, limits, round trips, pictures that carry one."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphflow.basics import jsontools
from graphflow.building.workflow import Workflow
from graphflow.document import document as workflow
from graphflow.document.embedded import PNG_SIGNATURE, png_texts
from graphflow.document.flatten import flatten
from graphflow.errors import GraphflowError, InvalidInputError, LimitError, WorkflowError
from tests import toys as toy


def problems(data: Any) -> list[str]:
    with pytest.raises(WorkflowError) as caught:
        workflow.parse(data)
    return [str(problem) for problem in caught.value.problems]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


DOCUMENT = {"graphflow": 2, "nodes": {"n": {"type": "toy_number", "params": {"value": 1}}}, "outputs": {"r": "n"}}


def test_schema_and_extension_keys_are_kept() -> None:
    data = {**DOCUMENT, "$schema": "https://example.org/schema.json", "x-editor": {"zoom": 2}}
    assert workflow.parse(data).to_json() == data


def test_all_problems_of_shape_come_at_once() -> None:
    found = problems(
        {
            "graphflow": 2,
            "input": {},
            "inputs": {"a b": {"to": []}},
            "nodes": {"no.dots": {"type": "x"}, "ok": {"type": 3, "parms": {}}},
            "workflows": {"inner": {"graphflow": 2, "nods": {}}, "newer": {"graphflow": 3}},
        }
    )
    text = "\n".join(found)
    assert "input: this key is unknown (did you mean 'inputs'?)" in text
    assert "nodes.no.dots: a node id has letters" in text
    assert "nodes.ok.type: must be a text, got 3" in text
    assert "nodes.ok.parms: this key is unknown" in text
    assert "workflows.inner.nods: this key is unknown (did you mean 'nodes'?)" in text
    assert "workflows.newer.graphflow: input should be less than or equal to 2, got 3" in text
    assert "a name has letters" in text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([], "a workflow is a JSON object"),
        ({"nodes": {}}, "the format version is missing"),
        ({"1": {"class_type": "KSampler", "inputs": {}}}, "ComfyUI"),
        ({"graphflow": 3, "nodes": {}}, "format 3 is newer than this graphflow"),
        ({"graphflow": "1", "nodes": {}}, "must be a positive integer"),
        ({"graphflow": True, "nodes": {}}, "must be a positive integer"),
    ],
)
def test_what_is_no_workflow_says_so(data: Any, expected: str) -> None:
    assert expected in "\n".join(problems(data))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"graphflow": 2,}', "line 1, column"),
        (b'{"graphflow": 2, "graphflow": 2}', "the key 'graphflow' stands twice"),
        (b'{"graphflow": NaN}', "NaN is no JSON number"),
        (b'{"graphflow":\n 1,\n}', r"line [23], .*\(remove the comma before the closing bracket\)"),
        (b'{"nodes": [1,]}', r"line 1, .*\(remove the comma before the closing bracket\)"),
        (b'{"nodes": [1,', r"line 1, .*\(mend the document there\)"),
        (b'{"a":\n{"x": 1,\n\n"x" :2}}', "lines 2, 4: the key 'x' stands twice"),
        (b'{"a":\n-Infinity}', "line 2: -Infinity is no JSON number"),
        (
            b'{"graphflow": 1, "nodes": {}, "meta": {"a": [0, -1e999]}}',
            r"meta\.a\[1\]: must be a finite number, got -inf",
        ),
        (b'{"graphflow": ' + b"9" * 5000 + b"}", "a number has too many digits"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"", "this is no JSON"),
    ],
)
def test_bad_json_names_its_place(tmp_path: Path, text: bytes, expected: str) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(text)
    with pytest.raises(WorkflowError, match=expected) as caught:
        workflow.read(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_half_a_character_is_refused_where_it_stands() -> None:
    node = {"type": "x", "title": "\ud83d", "note": "\U0001f600", "meta": {"list": [1, {"\udc00": 2}], "ok": "\\ud83d"}}
    found = problems({"graphflow": 2, "name": "a\ud800b", "nodes": {"n": node}, "x-mine": ["\ude00"]})
    said = ": a text holds half of a character (a surrogate) (remove it)"
    assert [text.removesuffix(said) for text in found] == [
        "name",
        "nodes.n.title",
        r"nodes.n.meta.list[1].\udc00",
        "x-mine[0]",
    ]
    with pytest.raises(WorkflowError, match=r"nodes\.load\.title: a text holds half of a character"):
        Workflow().add(toy.load, id="load", title="\ud83d")


def test_a_byte_order_mark_is_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(DOCUMENT).encode())
    assert workflow.read(path).to_json() == DOCUMENT


@pytest.mark.parametrize("depth", [150, 50_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":[', "]}")])
def test_deep_documents_are_refused(depth: int, opening: str, closing: str) -> None:
    with pytest.raises(LimitError, match="nested deeper than"):
        jsontools.loads(opening * depth + closing * depth, source="test")


@pytest.mark.parametrize(
    ("text", "much"),
    [
        (b"[" + b"[]," * 120_000 + b"0]", "120,000 objects and lists"),
        (b"[" + b"0," * 160_001 + b"0]", "160,000 values"),
        (b'["' + b'"' * 320_000 + b'"]', "160,000 texts"),
        (b'"' + b"[" * 8 * 2**20 + b'"', "8,388,608"),
    ],
    ids=["lists", "values", "texts", "bytes"],
)
def test_documents_with_too_much_in_them_are_refused_before_it_is_made(text: bytes, much: str) -> None:
    with pytest.raises(LimitError, match=f"more than {much}"):
        jsontools.loads(text, source="test")


def test_brackets_and_commas_inside_of_texts_count_for_nothing() -> None:
    text = "[{," * 1_000_000 + '\\"\\\\'
    assert jsontools.loads(json.dumps([text]), source="test") == [text]


def test_the_texts_of_a_picture_are_bounded_together(tmp_path: Path) -> None:
    packed = zlib.compress(bytes(9 * 2**20), 9)
    many = b"".join(chunk(b"zTXt", b"k%d\0\0" % number + packed) for number in range(2))
    path = tmp_path / "bomb.png"
    path.write_bytes(PNG_SIGNATURE + many + chunk(b"tEXt", b"graphflow\0{}"))
    with pytest.raises(LimitError, match="texts of the picture have more than"):
        workflow.read(path)


@pytest.mark.parametrize("leaf", [{}, {"n": {"type": "toy_load"}}])
def test_workflows_in_workflows_are_counted_before_they_are_unfolded(leaf: dict[str, Any]) -> None:
    inner: dict[str, Any] = {"w30": {"nodes": leaf}}
    for level in range(30):
        inner[f"w{level}"] = {"nodes": {f"n{number}": {"type": f"workflow:w{level + 1}"} for number in range(10)}}
    document = workflow.parse({"graphflow": 1, "nodes": {"n": {"type": "workflow:w0"}}, "workflows": inner})
    with pytest.raises(LimitError, match="more than 10,000 nodes when unfolded"):
        flatten(document)


def test_missing_and_unreadable_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="there is no such file"):
        workflow.read(tmp_path / "absent.json")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        workflow.read(tmp_path)


TEXT = json.dumps(DOCUMENT)


@pytest.mark.parametrize(
    "carrier",
    [
        chunk(b"tEXt", b"graphflow\0" + TEXT.encode("latin-1")),
        chunk(b"zTXt", b"graphflow\0\0" + zlib.compress(TEXT.encode("latin-1"))),
        chunk(b"iTXt", b"graphflow\0\0\0\0\0" + TEXT.encode()),
        chunk(b"iTXt", b"graphflow\0\1\0en\0Graph\0" + zlib.compress(TEXT.encode())),
    ],
)
def test_a_png_carries_a_workflow(tmp_path: Path, carrier: bytes) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(PNG_SIGNATURE + chunk(b"IHDR", bytes(13)) + carrier + chunk(b"IEND", b""))
    assert workflow.read(path).to_json() == DOCUMENT


def test_a_png_without_a_workflow_says_so(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(PNG_SIGNATURE + chunk(b"IHDR", bytes(13)) + chunk(b"IEND", b""))
    with pytest.raises(WorkflowError, match="carries no graphflow workflow"):
        workflow.read(path)


@given(st.binary(max_size=300))
def test_damaged_pngs_end_quietly(data: bytes) -> None:
    for keyword, text in png_texts(PNG_SIGNATURE + data):
        assert isinstance(keyword, str)
        assert isinstance(text, str)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["graphflow", "nodes", "type", "params", "links", "inputs", "to", "a", "b.c"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_any_json_is_a_workflow_or_a_clear_error(data: Any) -> None:
    for candidate in (
        data,
        {"graphflow": 2, "nodes": data},
        {"graphflow": 2, "nodes": {"a": data}},
        {"graphflow": 2, "inputs": data},
        {"graphflow": 1, "inputs": {"k": {"to": ["a.b"], "default": data}}, "nodes": {"a": data}},
        {"graphflow": 1, "inputs": {"k": {"to": ["a.b"], "default": 1}}, "nodes": {"a": {"type": "t", "params": data}}},
    ):
        try:
            workflow.parse(jsontools.loads(json.dumps(candidate), source="test"))
        except GraphflowError as error:
            assert error.exit_code == 2
            assert str(error)


@given(st.binary(max_size=200))
def test_any_bytes_are_json_or_a_clear_error(data: bytes) -> None:
    try:
        jsontools.loads(data, source="test")
    except GraphflowError as error:
        assert error.exit_code == 2


@given(data=st.data())
def test_what_the_builder_saves_is_what_it_loads(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    g = Workflow(data.draw(st.none() | st.text(max_size=10)), description=data.draw(st.none() | st.text(max_size=10)))
    refs: list[Any] = []
    for _ in range(data.draw(st.integers(1, 8))):
        title, note = data.draw(st.none() | st.text(max_size=6)), data.draw(st.none() | st.text(max_size=6))
        if not refs or data.draw(st.booleans()):
            refs.append(g.add(toy.text, value=data.draw(st.text(max_size=20)), title=title, note=note))
        elif data.draw(st.booleans()):
            refs.append(g.add(toy.total, parts=data.draw(st.lists(st.sampled_from(refs), min_size=1, max_size=3))))
        else:
            refs.append(g.add(toy.split, x=data.draw(st.sampled_from(refs))).high)
    g.output("result", refs[-1])
    g.expose("knob", f"{refs[0].node}.value", description="turns")
    path = g.save(tmp_path_factory.mktemp("saved") / "w.json")
    loaded = Workflow.load(path)
    assert loaded == g
    assert loaded.save(path.with_name("again.json")).read_bytes() == path.read_bytes()
