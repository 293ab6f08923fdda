"""Links, modes and nodes that exist on the canvas only."""

from __future__ import annotations

from typing import Any

import pytest

from graphflow.errors import ConversionError

from .ui import codes, flat, inputs_of, node, slot, text_to_image, ui


def chain(*middle: dict[str, Any], links: list[Any], target: str = "IMAGE", **more: Any) -> dict[str, Any]:
    """A picture, what stands between, and a node that saves; link 1 leaves the picture, link 9 enters the saver."""
    return ui(
        [
            node(1, "LoadImage", out="IMAGE MASK", widgets=["a.png", "image"]),
            *middle,
            node(9, "SaveImage", slot("images", target, 9), widgets=["x"]),
        ],
        links,
        **more,
    )


def test_a_dangling_link_is_dropped_and_told() -> None:
    result = flat(chain(links=[]))
    assert result.prompt["9"]["inputs"] == {"filename_prefix": "x"}
    assert "link-dropped" in codes(result)


def test_a_link_from_a_missing_node_is_dropped() -> None:
    assert "images" not in inputs_of(chain(links=[[9, 77, 0, 9, 0, "IMAGE"]]), "9")


@pytest.mark.parametrize(
    ("link", "images"),
    [
        ([9, None, 0, 9, 0, "IMAGE"], None),
        ([9, 1, None, 9, 0, "IMAGE"], None),
        ([None, 1, 0, 9, 0, "IMAGE"], None),
        ([9, 1, 0, None, None, "IMAGE"], ["1", 0]),
        ({"id": 9, "origin_id": None, "origin_slot": 0, "target_id": 9, "target_slot": 0}, None),
        (None, None),
    ],
)
def test_a_link_from_nowhere_is_none(link: Any, images: Any) -> None:
    result = flat(chain(links=[link], extra={"ue_links": [{"downstream": None, "downstream_slot": 0}]}))
    assert result.prompt["9"]["inputs"].get("images") == images
    assert ("link-dropped" in codes(result)) == (images is None)


def test_the_type_of_a_link_may_differ_from_the_type_of_the_input() -> None:
    assert inputs_of(chain(links=[[9, 1, 0, 9, 0, "*"]]), "9")["images"] == ["1", 0]


def test_links_of_one_id_go_where_they_are_drawn() -> None:
    document = chain(links=[[9, 1, 1, 5, 0, "MASK"], [9, 1, 0, 9, 0, "IMAGE"]])
    assert inputs_of(document, "9")["images"] == ["1", 0]


def test_objects_are_links_as_well() -> None:
    link = {"id": 9, "origin_id": 1, "origin_slot": 0, "target_id": 9, "target_slot": 0, "type": "IMAGE"}
    document = chain(links=[{**link, "parentId": 3}], reroutes=[{"id": 3, "pos": [0, 0]}], state={"lastLinkId": 9})
    document["version"] = 1
    result = flat(document)
    assert result.prompt["9"]["inputs"]["images"] == ["1", 0]
    assert result.format == "ui 1.0"


def test_native_reroutes_are_cosmetic() -> None:
    extra = {"reroutes": [{"id": 1, "linkIds": [9]}], "linkExtensions": [{"id": 9, "parentId": 1}]}
    assert inputs_of(chain(links=[[9, 1, 0, 9, 0, "IMAGE"]], extra=extra), "9")["images"] == ["1", 0]


@pytest.mark.parametrize("type", ["Reroute", "Reroute (rgthree)"])
def test_reroutes_are_followed(type: str) -> None:
    document = chain(
        node(2, type, slot("", "*", 1), out=["*"]),
        node(3, type, slot("", "*", 2), out=["*"]),
        links=[[1, 1, 0, 2, 0, "*"], [2, 2, 0, 3, 0, "*"], [9, 3, 0, 9, 0, "IMAGE"]],
    )
    result = flat(document)
    assert result.prompt["9"]["inputs"]["images"] == ["1", 0]
    assert set(result.prompt) == {"1", "9"}


def test_reroutes_in_a_circle_are_an_error() -> None:
    document = chain(
        node(2, "Reroute", slot("", "*", 1), out=["*"]),
        node(3, "Reroute", slot("", "*", 2), out=["*"]),
        links=[[1, 3, 0, 2, 0, "*"], [2, 2, 0, 3, 0, "*"], [9, 3, 0, 9, 0, "IMAGE"]],
    )
    with pytest.raises(ConversionError, match="circle") as caught:
        flat(document)
    assert caught.value.where and caught.value.advice


def test_a_muted_node_goes_with_every_link_to_it() -> None:
    document = chain(
        node(2, "ImageInvert", slot("image", "IMAGE", 1), out="IMAGE", mode=2),
        links=[[1, 1, 0, 2, 0, "IMAGE"], [9, 2, 0, 9, 0, "IMAGE"]],
    )
    result = flat(document)
    assert set(result.prompt) == {"1", "9"}
    assert "images" not in result.prompt["9"]["inputs"]
    assert {"muted", "link-dropped"} <= codes(result)


@pytest.mark.parametrize("mode", [2, 4])
def test_what_is_on_the_canvas_only_passes_on_even_if_switched_off(mode: int) -> None:
    document = chain(
        node(2, "Reroute", slot("", "*", 1), out=["*"], mode=mode),
        node(3, "SetNode", slot("IMAGE", "IMAGE", 2), out=["*"], widgets=["pic"], mode=mode),
        node(4, "GetNode", out="IMAGE", widgets=["pic"], mode=mode),
        links=[[1, 1, 0, 2, 0, "*"], [2, 2, 0, 3, 0, "*"], [9, 4, 0, 9, 0, "IMAGE"]],
    )
    assert inputs_of(document, "9")["images"] == ["1", 0]


def latent_with_linked_width(mode: int) -> Any:
    return flat(
        ui(
            [
                node(1, "PrimitiveInt", out="INT", widgets=[5, "fixed"], mode=mode),
                node(2, "Reroute", slot("", "*", 1), out=["*"]),
                node(3, "EmptyLatentImage", slot("width", "INT", 2, widget=True), out="LATENT", widgets=[64, 96, 1]),
            ],
            [[1, 1, 0, 2, 0, "INT"], [2, 2, 0, 3, 0, "INT"]],
        )
    )


def test_a_widget_goes_with_the_muted_node_that_is_linked_to_it() -> None:
    result = latent_with_linked_width(2)
    assert result.prompt["3"]["inputs"] == {"height": 96, "batch_size": 1}
    assert {problem.code for problem in result.problems} == {"muted-value"}


def test_a_widget_stands_where_a_bypassed_node_passes_nothing_on() -> None:
    result = latent_with_linked_width(4)
    assert result.prompt["3"]["inputs"] == {"width": 64, "height": 96, "batch_size": 1}
    assert not result.problems


def bypassed(inputs: list[tuple[str, str]], outputs: str, *, slot_read: int, target: str) -> Any:
    """What the saver gets from a bypassed node whose inputs come from outputs 0, 1, … of node 1."""
    document = ui(
        [
            node(1, "Source", out=["*"] * 4),
            node(2, "Bypassed", *(slot(n, t, 10 + i) for i, (n, t) in enumerate(inputs)), out=outputs, mode=4),
            node(9, "SaveImage", slot("images", target, 9)),
        ],
        [*([10 + i, 1, i, 2, i, t] for i, (_, t) in enumerate(inputs)), [9, 2, slot_read, 9, 0, target]],
    )
    return inputs_of(document, "9").get("images")


def test_bypass_takes_the_input_of_the_same_number() -> None:
    pair = [("model", "MODEL"), ("clip", "CLIP")]
    assert bypassed(pair, "MODEL CLIP", slot_read=0, target="MODEL") == ["1", 0]
    assert bypassed(pair, "MODEL CLIP", slot_read=1, target="CLIP") == ["1", 1]


def test_bypass_takes_the_first_input_of_the_exact_type() -> None:
    inputs = [("a", "IMAGE,MASK"), ("b", "IMAGE")]
    assert bypassed(inputs, "LATENT IMAGE", slot_read=0, target="IMAGE") == ["1", 1]


def test_bypass_takes_the_first_compatible_input_last() -> None:
    assert bypassed([("a", "LATENT"), ("b", "image,mask")], "LATENT", slot_read=0, target="IMAGE") == ["1", 1]
    assert bypassed([("a", "LATENT"), ("b", "*")], "X", slot_read=0, target="IMAGE") == ["1", 1]


def test_bypass_passes_nothing_where_nothing_fits() -> None:
    assert bypassed([("a", "LATENT")], "IMAGE", slot_read=0, target="IMAGE") is None


def test_bypass_to_an_input_of_any_type_goes_by_number() -> None:
    pair = [("a", "MODEL"), ("b", "CLIP")]
    assert bypassed(pair, "X Y", slot_read=1, target="*") == ["1", 1]
    assert bypassed(pair, "X Y Z", slot_read=2, target="*") == ["1", 0]


def test_a_primitive_overrides_the_stale_value_of_its_targets() -> None:
    document = text_to_image()
    document["nodes"].append(node(20, "PrimitiveNode", out="INT", widgets=[33, "fixed"]))
    document["nodes"][4]["inputs"].append(slot("steps", "INT", 30, widget=True))
    document["links"].append([30, 20, 0, 3, 4, "INT"])
    result = flat(document)
    assert result.prompt["3"]["inputs"]["steps"] == 33
    assert "20" not in result.prompt


@pytest.mark.parametrize(
    "type",
    [
        "Note",
        "MarkdownNote",
        "Label (rgthree)",
        "Fast Groups Muter (rgthree)",
        "Bookmark (rgthree)",
        "Node Combiner (rgthree)",
    ],
)
def test_decoration_is_left_out(type: str) -> None:
    document = text_to_image()
    document["nodes"].append(node(50, type, widgets=["read me"]))
    result = flat(document)
    assert "50" not in result.prompt
    assert not result.problems


@pytest.mark.parametrize(("setter", "getter"), [("SetNode", "GetNode"), ("easy setNode", "easy getNode")])
def test_a_getter_takes_what_its_setter_got(setter: str, getter: str) -> None:
    document = chain(
        node(2, setter, slot("IMAGE", "IMAGE", 1), out=["*"], widgets=["pic"]),
        node(3, getter, out="IMAGE", widgets=["pic"]),
        links=[[1, 1, 0, 2, 0, "IMAGE"], [9, 3, 0, 9, 0, "IMAGE"]],
    )
    result = flat(document)
    assert result.prompt["9"]["inputs"]["images"] == ["1", 0]
    assert set(result.prompt) == {"1", "9"}


def test_the_output_of_a_setter_is_its_input() -> None:
    document = chain(
        node(2, "SetNode", slot("IMAGE", "IMAGE", 1), out=["*"], widgets=["pic"]),
        links=[[1, 1, 0, 2, 0, "IMAGE"], [9, 2, 0, 9, 0, "IMAGE"]],
    )
    assert inputs_of(document, "9")["images"] == ["1", 0]


def test_a_getter_without_a_setter_is_a_problem() -> None:
    result = flat(chain(node(3, "GetNode", out="IMAGE", widgets=["pic"]), links=[[9, 3, 0, 9, 0, "IMAGE"]]))
    assert "no-setter" in {problem.code for problem in result.problems}
    assert "images" not in result.prompt["9"]["inputs"]


def test_undrawn_links_of_anything_everywhere_are_read() -> None:
    sent = [{"downstream": 9, "downstream_slot": 0, "upstream": "1", "upstream_slot": 0, "type": "IMAGE"}]
    document = chain(links=[], extra={"ue_links": sent})
    document["nodes"][-1]["inputs"][0]["link"] = None
    document["nodes"].append(node(5, "Anything Everywhere", slot("anything", "*", 1)))
    result = flat(document)
    assert result.prompt["9"]["inputs"]["images"] == ["1", 0]
    assert "5" not in result.prompt


def test_anything_everywhere_without_a_record_goes_by_type_and_says_so() -> None:
    document = chain(node(5, "Anything Everywhere", slot("IMAGE", "*", 1)), links=[[1, 1, 0, 5, 0, "IMAGE"]])
    document["nodes"][-1]["inputs"][0]["link"] = None
    result = flat(document)
    assert result.prompt["9"]["inputs"]["images"] == ["1", 0]
    assert "everywhere" in codes(result)


def test_prompts_everywhere_without_a_record_keep_their_sides() -> None:
    document = ui(
        [
            node(1, "CLIPTextEncode", out="CONDITIONING", widgets=["good"]),
            node(2, "CLIPTextEncode", out="CONDITIONING", widgets=["bad"]),
            node(3, "Prompts Everywhere", slot("+ve", "*", 1), slot("-ve", "*", 2)),
            node(4, "KSampler", slot("positive", "CONDITIONING"), slot("negative", "CONDITIONING"), out="LATENT"),
        ],
        [[1, 1, 0, 3, 0, "*"], [2, 2, 0, 3, 1, "*"]],
    )
    assert inputs_of(document, "4") == {"positive": ["1", 0], "negative": ["2", 0]}


def test_inputs_that_grow_keep_their_dotted_names() -> None:
    document = ui(
        [
            node(1, "LoadImage", out="IMAGE MASK", widgets=["a.png", "image"]),
            node(
                2,
                "BatchImagesNode",
                slot("images.image_1", "IMAGE", 1),
                slot("images.image_10", "IMAGE", 2),
                slot("images.image_2", "IMAGE", None),
                out="IMAGE",
            ),
        ],
        [[1, 1, 0, 2, 0, "IMAGE"], [2, 1, 0, 2, 1, "IMAGE"]],
    )
    assert inputs_of(document, "2") == {"images.image_1": ["1", 0], "images.image_10": ["1", 0]}


def test_positions_may_be_lists_or_objects_and_links_a_mapping() -> None:
    document = text_to_image()
    document["nodes"][0] |= {"pos": {"0": 1, "1": 2}, "size": [3, 4]}
    document["links"] = {str(link[0]): link for link in document["links"]} | {"77": None}
    assert flat(document).prompt == flat(text_to_image()).prompt


def test_a_stale_prompt_inside_the_file_is_ignored() -> None:
    document = text_to_image() | {"extra": {"prompt": {"1": {"class_type": "Other", "inputs": {}}}}}
    assert flat(document).prompt == flat(text_to_image()).prompt
