"""Lazy switches, output nodes, dead nodes."""

from __future__ import annotations

from typing import Any

import pytest

from .ui import codes, flat, node, slot, text_to_image, ui


def entry(type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": type, "inputs": inputs}


def switched(selector: Any, **more: Any) -> dict[str, Any]:
    return {
        "1": entry("LoadImage", image="a.png"),
        "2": entry("LoadImage", image="b.png"),
        "3": entry("ComfySwitchNode", switch=selector, on_false=["1", 0], on_true=["2", 0]),
        "9": entry("SaveImage", filename_prefix="x", images=["3", 0]),
        **more,
    }


@pytest.mark.parametrize(("selector", "chosen"), [(False, "1"), (True, "2")])
def test_only_the_chosen_side_of_a_switch_runs(selector: bool, chosen: str) -> None:
    result = flat(switched(selector))
    assert set(result.live) == {chosen, "9"}
    assert result.live["9"]["inputs"]["images"] == [chosen, 0]
    assert set(result.dead) == {"1", "2", "3"} - {chosen}
    assert "3" in result.prompt and result.prompt["9"]["inputs"]["images"] == ["3", 0]


def test_primitives_and_other_switches_may_select() -> None:
    more = {
        "5": entry("PrimitiveBoolean", value=True),
        "6": entry("ComfySwitchNode", switch=["5", 0], on_false=True, on_true=["7", 0]),
        "7": entry("PrimitiveInt", value=0),
    }
    assert set(flat(switched(["6", 0], **more)).live) == {"1", "9"}


def test_a_computed_selector_keeps_the_switch() -> None:
    result = flat(switched(["5", 0], **{"5": entry("ComfyMathExpression", expression="1 > 0")}))
    assert set(result.live) == {"1", "2", "3", "5", "9"}
    assert "switch-computed" in codes(result)


def test_switches_that_select_each_other_stay() -> None:
    more = {"5": entry("ComfySwitchNode", switch=["3", 0], on_false=True, on_true=False)}
    assert "3" in flat(switched(["5", 0], **more)).live


def test_switches_in_a_circle_feed_nothing() -> None:
    more = {
        "1": entry("ComfySwitchNode", switch=False, on_false=["3", 0]),
    }
    live = flat(switched(False, **more)).live
    assert live == {"9": entry("SaveImage", filename_prefix="x") | {"_meta": {"title": "SaveImage"}}}


def test_a_chosen_side_that_is_open_leaves_the_input_out() -> None:
    prompt = switched(True)
    del prompt["3"]["inputs"]["on_true"]
    assert "images" not in flat(prompt).live["9"]["inputs"]


def test_nodes_that_no_output_needs_are_dead_but_kept() -> None:
    document = text_to_image()
    document["nodes"].append(node(50, "ImageInvert", out="IMAGE"))
    result = flat(document)
    assert result.dead == ("50",)
    assert "50" in result.prompt and "50" not in result.live


def test_unknown_nodes_without_outputs_are_outputs() -> None:
    nodes = [
        node(1, "LoadImage", out="IMAGE MASK", widgets=["a.png", "image"]),
        node(2, "Somewhere", slot("x", "IMAGE", 1)),
        node(3, "Nowhere", slot("x", "IMAGE", 2), out="IMAGE"),
        node(4, "A label that nothing feeds"),
    ]
    assert flat(ui(nodes, [[1, 1, 0, 2, 0, "IMAGE"], [2, 1, 0, 3, 0, "IMAGE"]])).outputs == ("2",)


def test_unknown_nodes_that_show_or_save_are_outputs() -> None:
    result = flat({"1": entry("LoadImage", image="a"), "2": entry("My Image Saver Preview", images=["1", 0])})
    assert result.outputs == ("2",)
    assert "output-guess" in codes(result)


def test_without_any_output_every_unknown_end_counts() -> None:
    assert flat({"1": entry("LoadImage", image="a"), "2": entry("Mystery", images=["1", 0])}).outputs == ("2",)
