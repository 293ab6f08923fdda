"""Finding the workflow in whatever a user hands over, and clear errors where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graphflow.converters.comfyui import to_prompt
from graphflow.errors import ConversionError

from .ui import codes, flat, inputs_of, node, slot, text_to_image, ui

API = {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}, "_meta": {"title": "Picture"}}}
WRAPPED: list[Any] = [
    {"prompt": API},
    {"prompt": API, "client_id": "x", "extra_data": {"extra_pnginfo": {"workflow": {}}}},
    {"input": {"workflow": API}},
    {"input": {"prompt": API}},
    {"tests": [{"input": {"workflow": API}}]},
    {"api_graph": API},
    {"output": API, "workflow": {"nodes": [], "links": [], "version": 0.4}},
    {"prompt": json.dumps(API)},
    {"prompt": "{a fox|a cat}", "workflow": API},
    {"3f2a": {"prompt": [1, "3f2a", API, {}, ["9"]], "outputs": {}}},
]


@pytest.mark.parametrize("document", WRAPPED)
def test_wrapped_prompts_are_unwrapped(document: Any) -> None:
    result = flat(document)
    assert (result.format, result.prompt) == ("api", API)


def test_wrapped_ui_workflows_are_unwrapped() -> None:
    assert flat({"workflow": text_to_image()}).prompt == flat(text_to_image()).prompt


def test_an_api_prompt_comes_back_as_it_is() -> None:
    prompt = flat(text_to_image()).prompt
    again = flat(prompt)
    assert again.prompt == prompt
    assert (again.format, again.outputs) == ("api", ("9",))


def test_titles_may_be_missing_and_ids_in_links_numbers() -> None:
    found = flat({"1": API["1"], "2": {"class_type": "SaveImage", "inputs": {"images": [1, 0]}}}).prompt["2"]
    assert found == {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}, "_meta": {"title": "SaveImage"}}


@pytest.mark.parametrize("key", ["upload", "choose file to upload"])
def test_upload_buttons_are_left_out(key: str) -> None:
    assert inputs_of({"1": {"class_type": "LoadImage", "inputs": {"image": "a.png", key: "image"}}}, "1") == {
        "image": "a.png"
    }


def test_dangling_links_in_a_prompt_are_a_problem() -> None:
    result = flat({"2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}}})
    assert result.prompt["2"]["inputs"] == {"filename_prefix": "x"}
    assert "dangling" in {problem.code for problem in result.problems}


def test_marked_lists_and_objects_stay() -> None:
    inputs = {"a": {"__value__": ["1", 0]}, "lora_1": {"on": True, "lora": "x", "strength": 1}, "points": [1, 2, 3]}
    assert inputs_of({"1": {"class_type": "Custom", "inputs": inputs}}, "1") == inputs


def test_entries_that_are_no_nodes_are_told() -> None:
    result = flat({**API, "_comment": "hello", "version": {"x": 1}})
    assert result.prompt == API
    assert "not-a-node" in codes(result)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_any_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    document = {"1": {"class_type": "LoadImage", "inputs": {"image": "élève.png"}}}
    path = tmp_path / "workflow.json"
    path.write_bytes(json.dumps(document, ensure_ascii=False).encode(encoding))
    assert inputs_of(path, "1") == {"image": "élève.png"}
    assert inputs_of(str(path), "1") == {"image": "élève.png"}


@pytest.mark.parametrize(
    ("spelled", "read"),
    [(r"a\ud83d", "a\ufffd"), (r"\ude00b", "\ufffdb"), (r"\ud83d\ude00", "\U0001f600"), (r"\\ud83d", r"\ud83d")],
)
def test_half_a_character_is_replaced(spelled: str, read: str) -> None:
    data = f'{{"1": {{"class_type": "A", "inputs": {{"text": "{spelled}", "{spelled}": 1}}}}}}'
    for source in (data.encode(), data.encode("utf-16")):
        assert to_prompt(source).prompt["1"]["inputs"] == {"text": read, read: 1}


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_lacks_are_nothing(literal: str) -> None:
    data = f'{{"1": {{"class_type": "A", "inputs": {{"x": {literal}}}, "is_changed": [NaN]}}}}'.encode()
    assert inputs_of(data, "1") == {"x": None}


BROKEN: list[tuple[Any, str]] = [
    (b"", "the file is empty"),
    (b"{", "no JSON"),
    (b"[1, 2]", "no ComfyUI workflow"),
    (b'"text"', "no ComfyUI workflow"),
    (b"{}", "no ComfyUI workflow"),
    (b'{"1": {"graphflow": 2}}', "no ComfyUI workflow"),
    (b"[" * 100_000, "deeper than 200"),
    (b'{"a":' * 201 + b"1" + b"}" * 201, "deeper than 200"),
    (b"[" + b"0," * 2_000_001 + b"0]", "more than 160,000 values"),
    (b"[" + b"{}" * 1_000_001 + b"]", "more than 120,000 objects"),
    ({"1": {"class_type": 5}}, "expected a text, found a number"),
    ({"1": {"class_type": "A", "inputs": [1]}}, "expected an object, found a list"),
    (ui([node(1, "A"), node(1, "B")], []), "two nodes have the id 1"),
    (ui([{"id": 1}], []), "expected a text, found nothing"),
    (ui([{"id": None, "type": "A"}], []), "expected an id"),
    (ui([{"id": True, "type": "A"}], []), "expected an id"),
    (ui([{"id": "x" * 1000, "type": "A"}], []), "expected an id"),
    (ui(["node"], []), "expected an object, found a text"),
    (ui([node(1, "A", mode="off")], []), "expected a number from 0 to 4"),
    (ui([node(1, "A", widgets="text")], []), "expected a list or an object"),
    (ui([node(1, "A", slot("x", "IMAGE", [1]))], []), "expected an id"),
    (ui([node(1, "A")] , [[1, 2]]), "a link has 2 entries"),
    (ui([node(1, "A")], [[1, 2, "first", 3, 0, "X"]]), "expected a slot number"),
    (ui([node(1, "A")], [[1, 2, -1, 3, 0, "X"]]), "expected a slot number"),
    (ui([node(1, "A")], "links"), "expected a list"),
    (ui([node(1, "A")], [], definitions=[1]), "expected an object"),
    (ui([node(1, "A")], [], extra={"ue_links": [{"downstream": 1}]}), "expected a slot number"),
    (ui([node(1, "A", *(slot(f"i{n}", "X") for n in range(5000)))], []), "more than 4,096 inputs"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "message"), BROKEN, ids=range(len(BROKEN)))
def test_what_cannot_be_read_says_where_what_and_what_to_do(source: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message) as caught:
        to_prompt(source)
    assert caught.value.where
    assert caught.value.exit_code == 2


def test_a_place_names_the_field() -> None:
    with pytest.raises(ConversionError) as caught:
        to_prompt(ui([node(1, "A"), node(7, "B", slot("x", "Y", [1]))], []))
    assert caught.value.where == "nodes[1] (node 7).inputs[0].link"
    assert caught.value.advice


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="cannot be read"):
        to_prompt(tmp_path / "none.json")
    with pytest.raises(ConversionError, match="cannot be"):
        to_prompt("a\x00b")
    with pytest.raises(ConversionError, match="cannot be read"):
        to_prompt(tmp_path)


def test_long_chains_of_reroutes_are_followed() -> None:
    count = 4_000
    nodes = [node(0, "LoadImage", out="IMAGE")]
    nodes += [node(i, "Reroute", slot("", "*", i), out=["*"]) for i in range(1, count)]
    nodes += [node(count + i, "SaveImage", slot("images", "IMAGE", count + i)) for i in range(count)]
    links = [[i, i - 1, 0, i, 0, "*"] for i in range(1, count)]
    links += [[count + i, count - 1, 0, count + i, 0, "*"] for i in range(count)]
    result = to_prompt(ui(nodes, links))
    assert {tuple(entry["inputs"]["images"]) for id, entry in result.prompt.items() if id != "0"} == {("0", 0)}


def test_a_message_about_a_strange_name_can_be_printed() -> None:
    with pytest.raises(ConversionError) as caught:
        to_prompt({"\ud800\n": {"class_type": []}})
    str(caught.value).encode("utf-8")
    assert "\n" not in str(caught.value)
