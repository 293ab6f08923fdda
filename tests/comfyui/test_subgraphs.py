"""Subgraphs, their promoted widgets, and the group nodes that came before them."""

from __future__ import annotations

from typing import Any

import pytest

from graphflow.converters.comfyui import to_native
from graphflow.errors import ConversionError

from .ui import SUB, SUB2, codes, flat, inputs_of, node, slot, subgraph, ui, with_subgraphs

INNER = [
    node(7, "ImageScaleBy", slot("image", "IMAGE", 1), slot("scale_by", "FLOAT", 2, widget=True), out="IMAGE",
         widgets=["lanczos", 1.5]),
    node(8, "ImageInvert", slot("image", "IMAGE", 3), out="IMAGE"),
]  # fmt: skip
INNER_LINKS = [
    (1, -10, 0, 7, 0, "IMAGE"),
    (2, -10, 1, 7, 1, "FLOAT"),
    (3, 7, 0, 8, 0, "IMAGE"),
    (4, 8, 0, -20, 0, "IMAGE"),
    (5, 7, 0, -20, 1, "IMAGE"),
]
DEFINITION = subgraph(
    INNER,
    INNER_LINKS,
    inputs=[("image", "IMAGE"), ("factor", "FLOAT")],
    outputs=[("inverted", "IMAGE"), ("scaled", "IMAGE")],
)


def hosted(*host_inputs: dict[str, Any], read: int = 0, **host: Any) -> dict[str, Any]:
    """A picture, an instance 37 of the definition, and a node that saves its output ``read``."""
    host_inputs = host_inputs or (slot("image", "IMAGE", 1),)
    document = ui(
        [
            node(1, "LoadImage", out="IMAGE MASK", widgets=["a.png", "image"]),
            node(2, "PrimitiveFloat", out="FLOAT", widgets=[4.0]),
            node(37, SUB, *host_inputs, out="IMAGE IMAGE", **host),
            node(9, "SaveImage", slot("images", "IMAGE", 9), widgets=["x"]),
        ],
        [[1, 1, 0, 37, 0, "IMAGE"], [2, 2, 0, 37, 1, "FLOAT"], [9, 37, read, 9, 0, "IMAGE"]],
    )
    return with_subgraphs(document, DEFINITION)


def test_inner_nodes_get_ids_behind_the_instance() -> None:
    result = flat(hosted())
    assert set(result.prompt) == {"1", "2", "37:7", "37:8", "9"}
    assert result.prompt["37:8"]["inputs"]["image"] == ["37:7", 0]
    assert result.prompt["37:7"]["inputs"]["image"] == ["1", 0]


@pytest.mark.parametrize(("read", "source"), [(0, "37:8"), (1, "37:7")])
def test_outputs_are_what_feeds_the_border(read: int, source: str) -> None:
    assert inputs_of(hosted(read=read), "9")["images"] == [source, 0]


def test_saved_instances_leave_out_inputs_so_names_count() -> None:
    document = hosted(slot("factor", "FLOAT", 2, widget=True), slot("image", "IMAGE", 1))
    assert inputs_of(document, "37:7") == {"upscale_method": "lanczos", "scale_by": ["2", 0], "image": ["1", 0]}


def scale_by(**host: Any) -> Any:
    return inputs_of(hosted(slot("image", "IMAGE", 1), slot("factor", "FLOAT", widget=True), **host), "37:7")[
        "scale_by"
    ]


def test_the_host_value_comes_before_the_inner_value() -> None:
    assert scale_by(widgets=[3.0]) == 3.0
    assert scale_by(widgets={"factor": 3.5}) == 3.5
    assert scale_by(widgets=[3.0], widgets_values_named={"factor": 2.0}) == 3.0


def test_an_outer_link_comes_before_the_host_value() -> None:
    document = hosted(slot("image", "IMAGE", 1), slot("factor", "FLOAT", 2, widget=True), widgets=[3.0])
    assert inputs_of(document, "37:7")["scale_by"] == ["2", 0]


def test_proxy_widgets_without_host_values_leave_the_inner_value() -> None:
    assert scale_by(widgets=[], properties={"proxyWidgets": [["7", "scale_by"]]}) == 1.5
    assert scale_by(properties={"proxyWidgets": [["7", "scale_by"], ["7", "$$canvas-image-preview"]]}) == 1.5


SAMPLER = subgraph(
    [
        node(3, "KSampler", slot("seed", "INT", 1, widget=True), slot("steps", "INT", 2, widget=True),
             widgets=[41, "randomize", 6, 4.0, "euler", "normal", 1.0]),
    ],
    [(1, -10, 0, 3, 0, "INT"), (2, -10, 1, 3, 1, "INT")],
    inputs=[("seed", "INT"), ("steps", "INT")],
    outputs=[],
)  # fmt: skip


def proxied(proxies: list[list[str]], values: list[Any], *more: dict[str, Any]) -> dict[str, Any]:
    """An instance 5 of the sampler that shows these widgets and holds these values."""
    host = node(5, SUB, widgets=values, properties={"proxyWidgets": proxies})
    return with_subgraphs(ui([host, *more], []), SAMPLER)


@pytest.mark.parametrize(
    ("proxies", "values", "seed", "steps"),
    [
        ([["-1", "steps"], ["-1", "seed"]], [9, 77], 77, 9),
        ([["3", "cfg"], ["-1", "seed"]], [None, 77], 77, 6),
        ([["-1", "seed"], ["3", "control_after_generate"], ["-1", "steps"]], [77, None, 9], 77, 9),
        ([["-1", "seed"], ["-1", "steps"]], [77, "fixed", 9], 77, 9),
        ([["-1", "steps"], ["-1", "seed"]], [9], 41, 9),
        ([["-1", "steps"], ["-1", "seed"]], [None, 0], 0, 6),
        ([["-1", "steps"], ["-1", "seed"], ["3", "$$canvas-image-preview"]], [9, 77, ""], 77, 9),
        ([["3", "seed"], ["3", "steps"]], [], 41, 6),
        ([], [77, 9], 77, 9),
    ],
)
def test_proxied_widgets_say_whose_value_stands_where(
    proxies: list[list[str]], values: list[Any], seed: int, steps: int
) -> None:
    result = flat(proxied(proxies, values))
    assert (result.prompt["5:3"]["inputs"]["seed"], result.prompt["5:3"]["inputs"]["steps"]) == (seed, steps)
    assert not result.problems


@pytest.mark.parametrize("proxies", [[["3", "steps"], ["-1", "seed"]], [["-1", "width"], ["-1", "seed"]]])
def test_a_value_of_the_host_that_has_no_place_is_a_problem(proxies: list[list[str]]) -> None:
    result = flat(proxied(proxies, [9, 77]))
    assert result.prompt["5:3"]["inputs"] | {"seed": 77, "steps": 6} == result.prompt["5:3"]["inputs"]
    (problem,) = result.problems
    assert (problem.node, problem.code) == ("5", "host-values")
    assert "9" in problem.message


def test_each_instance_holds_its_own_values() -> None:
    shown = [["-1", "steps"], ["-1", "seed"]]
    second = node(6, SUB, widgets=[8, 78], properties={"proxyWidgets": shown})
    third = node(7, SUB, widgets=[79, 7])
    prompt = flat(proxied(shown, [9, 77], second, third)).prompt
    assert [(prompt[f"{id}:3"]["inputs"]["steps"], prompt[f"{id}:3"]["inputs"]["seed"]) for id in (5, 6, 7)] == [
        (9, 77),
        (8, 78),
        (7, 79),
    ]


@pytest.mark.parametrize(
    ("proxies", "values", "seed", "steps"),
    [
        ([["6", "steps"], ["-1", "seed"]], [None, 99], 99, 9),
        ([["-1", "seed"], ["6", "3: steps"]], [None], 77, 9),
        ([["6", "seed"]], [], 77, 9),
    ],
)
def test_a_proxied_widget_may_itself_be_proxied(
    proxies: list[list[str]], values: list[Any], seed: int, steps: int
) -> None:
    inner = node(6, SUB, slot("seed", "INT", 1, widget=True), widgets=[9, 77],
                 properties={"proxyWidgets": [["-1", "steps"], ["-1", "seed"]]})  # fmt: skip
    outer = subgraph([inner], [(1, -10, 0, 6, 0, "INT")], inputs=[("seed", "INT")], outputs=[], id=SUB2)
    host = node(5, SUB2, widgets=values, properties={"proxyWidgets": proxies})
    inputs = inputs_of(with_subgraphs(ui([host], []), outer, SAMPLER), "5:6:3")
    assert (inputs["seed"], inputs["steps"]) == (seed, steps)


def test_host_values_stand_in_the_order_of_inputs_that_reach_a_widget() -> None:
    inner = [
        node(1, "EmptyLatentImage", slot("width", "INT", 1, widget=True), slot("height", "INT", 3, widget=True),
             out="LATENT", widgets=[64, 64, 1]),
        node(2, "VAEDecode", slot("samples", "LATENT", 4), slot("vae", "VAE", 2), out="IMAGE"),
    ]  # fmt: skip
    links = [
        (1, -10, 2, 1, 0, "INT"),
        (2, -10, 1, 2, 1, "VAE"),
        (3, -10, 0, 1, 1, "INT"),
        (4, 1, 0, 2, 0, "LATENT"),
        (5, 2, 0, -20, 0, "IMAGE"),
    ]
    definition = subgraph(
        inner, links, inputs=[("height", "INT"), ("vae", "VAE"), ("width", "INT")], outputs=[("i", "IMAGE")]
    )
    document = with_subgraphs(ui([node(5, SUB, out="IMAGE", widgets=[768, 512])], []), definition)
    assert inputs_of(document, "5:1") == {"width": 512, "height": 768, "batch_size": 1}


def test_one_promoted_value_reaches_every_inner_widget() -> None:
    inner = [
        node(number, "PrimitiveFloat", slot("value", "FLOAT", number, widget=True), out="FLOAT", widgets=[0.0])
        for number in (1, 2)
    ]
    links = [(1, -10, 0, 1, 0, "FLOAT"), (2, -10, 0, 2, 0, "FLOAT")]
    definition = subgraph(inner, links, inputs=[("value", "FLOAT")], outputs=[])
    result = flat(with_subgraphs(ui([node(5, SUB, widgets=[9.0])], []), definition))
    assert [result.prompt[id]["inputs"]["value"] for id in ("5:1", "5:2")] == [9.0, 9.0]


def test_host_values_that_do_not_fit_are_a_problem() -> None:
    result = flat(hosted(widgets=[1.0, 2.0, 3.0]))
    assert result.prompt["37:7"]["inputs"]["scale_by"] == 1.5
    assert "host-values" in {problem.code for problem in result.problems}


def nested(**host: Any) -> dict[str, Any]:
    """Instance 5 of an outer definition whose node 6 is an instance of the inner one."""
    outer = subgraph(
        [
            node(
                6,
                SUB,
                slot("image", "IMAGE", 1),
                slot("factor", "FLOAT", 2, widget=True),
                out="IMAGE IMAGE",
                widgets=[2.5],
            )
        ],
        [(1, -10, 0, 6, 0, "IMAGE"), (2, -10, 1, 6, 1, "FLOAT"), (3, 6, 0, -20, 0, "IMAGE")],
        inputs=[("picture", "IMAGE"), ("factor", "FLOAT")],
        outputs=[("out", "IMAGE")],
        id=SUB2,
    )
    document = ui(
        [
            node(1, "LoadImage", out="IMAGE MASK", widgets=["a.png", "image"]),
            node(5, SUB2, slot("picture", "IMAGE", 1), out="IMAGE", **host),
            node(9, "SaveImage", slot("images", "IMAGE", 9), widgets=["x"]),
        ],
        [[1, 1, 0, 5, 0, "IMAGE"], [9, 5, 0, 9, 0, "IMAGE"]],
    )
    return with_subgraphs(document, outer, DEFINITION)


def test_subgraphs_nest() -> None:
    result = flat(nested())
    assert set(result.prompt) == {"1", "5:6:7", "5:6:8", "9"}
    assert result.prompt["9"]["inputs"]["images"] == ["5:6:8", 0]
    assert result.prompt["5:6:7"]["inputs"] == {"upscale_method": "lanczos", "scale_by": 2.5, "image": ["1", 0]}


def test_the_outermost_value_wins() -> None:
    assert inputs_of(nested(widgets=[8.0]), "5:6:7")["scale_by"] == 8.0


def test_a_widget_is_reached_through_instances_that_do_not_mark_it() -> None:
    document = nested(widgets=[8.0])
    inputs = document["definitions"]["subgraphs"][0]["nodes"][0]["inputs"]
    document["definitions"]["subgraphs"][0]["nodes"][0]["inputs"] = [inputs[0], slot("factor", "FLOAT", 2)]
    result = flat(document)
    assert result.prompt["5:6:7"]["inputs"]["scale_by"] == 8.0
    assert not result.problems


def test_a_widget_in_a_bypassed_instance_is_still_the_hosts() -> None:
    document = nested(widgets=[8.0])
    document["definitions"]["subgraphs"][0]["nodes"][0]["mode"] = 4
    result = flat(document)
    assert set(result.prompt) == {"1", "9"}
    assert result.prompt["9"]["inputs"]["images"] == ["1", 0]
    assert not result.problems


def test_definitions_inside_definitions_are_found() -> None:
    document = nested()
    outer, inner = document["definitions"]["subgraphs"]
    document["definitions"] = {"subgraphs": [{**outer, "definitions": {"subgraphs": [inner]}}]}
    assert flat(document).prompt == flat(nested()).prompt


@pytest.mark.parametrize(("mode", "images"), [(2, None), (4, ["1", 0])])
def test_a_muted_or_bypassed_instance_switches_off_its_inside(mode: int, images: Any) -> None:
    result = flat(hosted(mode=mode))
    assert set(result.prompt) == {"1", "2", "9"}
    assert result.prompt["9"]["inputs"].get("images") == images


@pytest.mark.parametrize(("target", "images"), [("*", None), ("IMAGE", ["1", 0])])
def test_a_bypassed_instance_counts_inputs_that_were_not_saved(target: str, images: Any) -> None:
    definition = {**DEFINITION, "inputs": [DEFINITION["inputs"][1], DEFINITION["inputs"][0]]}
    document = {**hosted(mode=4), "definitions": {"subgraphs": [definition]}}
    document["nodes"][3]["inputs"][0]["type"] = target
    assert inputs_of(document, "9").get("images") == images


def test_a_muted_inner_node_is_dropped() -> None:
    definition = {**DEFINITION, "nodes": [INNER[0], {**INNER[1], "mode": 2}]}
    document = {**hosted(), "definitions": {"subgraphs": [definition]}}
    assert "images" not in inputs_of(document, "9")


def test_an_input_may_go_straight_to_an_output() -> None:
    definition = subgraph([], [(1, -10, 0, -20, 0, "IMAGE")], inputs=[("image", "IMAGE")], outputs=[("o", "IMAGE")])
    document = {**hosted(), "definitions": {"subgraphs": [definition]}}
    assert inputs_of(document, "9")["images"] == ["1", 0]


def test_a_getter_looks_into_the_graphs_around_it() -> None:
    definition = subgraph(
        [
            node(1, "GetNode", out="IMAGE", widgets=["pic"]),
            node(2, "SaveImage", slot("images", "IMAGE", 1), widgets=["x"]),
        ],
        [(1, 1, 0, 2, 0, "IMAGE")],
        inputs=[],
        outputs=[],
    )
    document = ui(
        [
            node(1, "LoadImage", out="IMAGE MASK", widgets=["a.png", "image"]),
            node(2, "SetNode", slot("IMAGE", "IMAGE", 1), out=["*"], widgets=["pic"]),
            node(3, SUB),
        ],
        [[1, 1, 0, 2, 0, "IMAGE"]],
    )
    assert inputs_of(with_subgraphs(document, definition), "3:2")["images"] == ["1", 0]


def test_a_primitive_outside_sets_a_widget_inside() -> None:
    document = hosted(slot("image", "IMAGE", 1), slot("factor", "FLOAT", 2, widget=True))
    document["nodes"][1]["type"] = "PrimitiveNode"
    assert inputs_of(document, "37:7")["scale_by"] == 4.0


def test_a_subgraph_that_contains_itself_is_an_error() -> None:
    definition = subgraph([node(1, SUB)], [], inputs=[], outputs=[])
    with pytest.raises(ConversionError, match="contains itself"):
        flat(with_subgraphs(ui([node(5, SUB)], []), definition))


def test_subgraphs_that_multiply_are_stopped() -> None:
    ids = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(12)]
    definitions = [
        subgraph([node(n, ids[level + 1]) for n in range(10)] if level < 11 else [], [], inputs=[], outputs=[], id=id)
        for level, id in enumerate(ids)
    ]
    with pytest.raises(ConversionError, match="more than"):
        flat(with_subgraphs(ui([node(5, ids[0])], []), *definitions))


def test_a_missing_definition_is_a_problem() -> None:
    result = flat(ui([node(5, SUB2, out="IMAGE")], []))
    assert "no-definition" in {problem.code for problem in result.problems}


def test_two_definitions_of_one_id_are_an_error() -> None:
    with pytest.raises(ConversionError, match="two subgraph definitions"):
        flat(with_subgraphs(hosted(), DEFINITION, {**DEFINITION, "links": []}))


def test_a_definition_may_stand_twice() -> None:
    assert flat(with_subgraphs(hosted(), DEFINITION, DEFINITION)).prompt == flat(hosted()).prompt


GROUP: dict[str, Any] = {
    "nodes": [
        {"type": "CheckpointLoaderSimple", "inputs": [], "outputs": [{"name": n, "type": n} for n in ("MODEL", "CLIP", "VAE")],
         "widgets_values": ["old.safetensors"], "index": 0},
        {"type": "CLIPTextEncode", "inputs": [{"name": "clip", "type": "CLIP", "link": 5}],
         "outputs": [{"name": "CONDITIONING", "type": "CONDITIONING"}], "widgets_values": ["old"], "index": 1},
        {"type": "KSampler", "inputs": [{"name": n, "type": t, "link": None} for n, t in
         (("model", "MODEL"), ("positive", "CONDITIONING"), ("negative", "CONDITIONING"), ("latent_image", "LATENT"))],
         "outputs": [{"name": "LATENT", "type": "LATENT"}], "widgets_values": [1, "fixed", 1, 1, "euler", "normal", 1], "index": 2},
    ],
    "links": [[0, 1, 1, 0, 4, "CLIP"], [0, 0, 2, 0, 4, "MODEL"], [1, 0, 2, 1, 6, "CONDITIONING"], [None, 0, 2, 3, 5, "LATENT"]],
    "external": [[0, 2, "VAE"], [1, 0, "CONDITIONING"]],
    "config": {},
}  # fmt: skip


@pytest.mark.parametrize("separator", ["/", ">"])
def test_group_nodes_unfold(separator: str) -> None:
    values = ["new.safetensors", "a fox", 5, "randomize", 30, 7.0, "ddim", "karras", 0.5]
    document = ui(
        [
            node(2, "EmptyLatentImage", out="LATENT", widgets=[64, 64, 1]),
            node(4, "ConditioningZeroOut", slot("conditioning", "CONDITIONING", 4), out="CONDITIONING"),
            node(10, f"workflow{separator}both", slot("negative", "CONDITIONING", 1), slot("latent_image", "LATENT", 2),
                 out="VAE CONDITIONING LATENT", widgets=values),
            node(11, "VAEDecode", slot("samples", "LATENT", 5), slot("vae", "VAE", 6), out="IMAGE"),
        ],
        [
            [1, 4, 0, 10, 0, "CONDITIONING"],
            [2, 2, 0, 10, 1, "LATENT"],
            [4, 10, 1, 4, 0, "CONDITIONING"],
            [5, 10, 2, 11, 0, "LATENT"],
            [6, 10, 0, 11, 1, "VAE"],
        ],
        extra={"groupNodes": {"both": GROUP}},
    )  # fmt: skip
    result = flat(document)
    assert set(result.prompt) == {"2", "4", "10:0", "10:1", "10:2", "11"}
    assert result.prompt["10:0"]["inputs"] == {"ckpt_name": "new.safetensors"}
    assert result.prompt["10:1"]["inputs"] == {"text": "a fox", "clip": ["10:0", 1]}
    sampler = result.prompt["10:2"]["inputs"]
    assert (sampler["seed"], sampler["steps"], sampler["denoise"]) == (5, 30, 0.5)
    assert sampler["model"] == ["10:0", 0]
    assert sampler["positive"] == ["10:1", 0]
    assert sampler["negative"] == ["4", 0]
    assert sampler["latent_image"] == ["2", 0]
    assert result.prompt["4"]["inputs"]["conditioning"] == ["10:1", 0]
    assert result.prompt["11"]["inputs"] == {"samples": ["10:2", 0], "vae": ["10:0", 2]}


def test_group_nodes_name_clashing_inputs_after_their_node() -> None:
    encode = {"type": "VAEEncode", "inputs": [{"name": n, "type": t} for n, t in (("pixels", "IMAGE"), ("vae", "VAE"))],
              "outputs": [{"name": "LATENT", "type": "LATENT"}]}  # fmt: skip
    group = {"nodes": [encode, {**encode, "title": "Second"}], "links": [], "external": []}
    document = ui(
        [
            node(1, "LoadImage", out="IMAGE MASK", widgets=["a.png", "image"]),
            node(2, "LoadImage", out="IMAGE MASK", widgets=["b.png", "image"]),
            node(5, "workflow>g", slot("Second pixels", "IMAGE", 2), slot("pixels", "IMAGE", 1), out="LATENT LATENT"),
        ],
        [[1, 1, 0, 5, 1, "IMAGE"], [2, 2, 0, 5, 0, "IMAGE"]],
        extra={"groupNodes": {"g": group}},
    )
    result = flat(document)
    assert result.prompt["5:0"]["inputs"]["pixels"] == ["1", 0]
    assert result.prompt["5:1"]["inputs"]["pixels"] == ["2", 0]


def test_a_widget_of_a_group_node_may_be_an_input() -> None:
    values = ["a.safetensors", "a fox", 5, "fixed", 30, 7.0, "ddim", "karras", 0.5]
    document = ui(
        [
            node(1, "PrimitiveInt", out="INT", widgets=[12, "fixed"]),
            node(10, "workflow>both", slot("KSampler steps", "INT", 1, widget=True), out="VAE LATENT", widgets=values),
        ],
        [[1, 1, 0, 10, 0, "INT"]],
        extra={"groupNodes": {"both": GROUP}},
    )
    assert inputs_of(document, "10:2")["steps"] == ["1", 0]


def test_group_values_that_do_not_fit_are_a_problem() -> None:
    document = ui([node(10, "workflow/both", widgets=[1, 2])], [], extra={"groupNodes": {"both": GROUP}})
    result = flat(document)
    assert "group-values" in codes(result)
    assert result.prompt["10:1"]["inputs"]["text"] == "old"


def test_a_group_node_leaves_out_the_values_of_widgets_that_are_linked_inside_or_hidden() -> None:
    primitive = {
        "type": "PrimitiveNode",
        "outputs": [{"name": "INT", "type": "INT", "widget": {"name": "seed"}}],
        "widgets_values": [1, "randomize"],
    }
    sampler = {**GROUP["nodes"][2], "inputs": [*GROUP["nodes"][2]["inputs"], slot("seed", "INT", 9, widget=True)]}
    group = {
        "nodes": [primitive, sampler],
        "links": [[0, 0, 1, 4, 7, "INT"]],
        "external": [],
        "config": {"1": {"input": {"scheduler": {"visible": False}}}},
    }
    values = [555, "randomize", 30, 7.5, "ddim", 0.5]
    document = ui([node(10, "workflow>g", out="LATENT", widgets=values)], [], extra={"groupNodes": {"g": group}})
    result = flat(document)
    assert result.prompt["10:1"]["inputs"] == {
        "seed": 555,
        "steps": 30,
        "cfg": 7.5,
        "sampler_name": "ddim",
        "scheduler": "normal",
        "denoise": 0.5,
    }
    assert not result.problems


SEEDED = slot("seed", "INT", widget=True)
STEPPED = slot("steps", "INT", widget=True)
EXPECTED = {"seed": 555, "steps": 30, "cfg": 7.5, "sampler_name": "ddim", "scheduler": "karras", "denoise": 0.5}


@pytest.mark.parametrize(
    ("converted", "values", "known"),
    [
        ([SEEDED], [30, 7.5, "ddim", "karras", 0.5, 555, "randomize"], EXPECTED),
        ([SEEDED], [555, "randomize", 30, 7.5, "ddim", "karras", 0.5], EXPECTED),
        ([SEEDED], [30, 7.5, "ddim", "karras", 0.5], EXPECTED | {"seed": 1}),
        ([SEEDED], ["randomize", 30, 7.5, "ddim", "karras", 0.5], EXPECTED | {"seed": 1}),
        ([SEEDED], [30, 7.5, "ddim", "karras", 0.5, 555], EXPECTED),
        ([STEPPED, SEEDED], [7.5, "ddim", "karras", 0.5, 30, 555, "fixed"], EXPECTED),
    ],
)
def test_widgets_that_are_inputs_of_a_group_node_do_not_shift_the_others(
    converted: list[dict[str, Any]], values: list[Any], known: dict[str, Any]
) -> None:
    sampler = {**GROUP["nodes"][2], "inputs": [*GROUP["nodes"][2]["inputs"], *converted]}
    group = {"nodes": [GROUP["nodes"][0], sampler], "links": [], "external": [], "config": {}}
    host = node(10, "workflow>g", SEEDED, out="LATENT", widgets=["a.safetensors", *values])
    result = flat(ui([host], [], extra={"groupNodes": {"g": group}}))
    assert result.prompt["10:0"]["inputs"] == {"ckpt_name": "a.safetensors"}
    assert result.prompt["10:1"]["inputs"] == known
    assert not result.problems


def test_the_seed_of_a_group_node_may_be_linked() -> None:
    sampler = {**GROUP["nodes"][2], "inputs": [*GROUP["nodes"][2]["inputs"], SEEDED]}
    group = {"nodes": [sampler], "links": [], "external": [], "config": {}}
    host = node(10, "workflow>g", slot("seed", "INT", 1, widget=True), out="LATENT",
                widgets=[30, 7.5, "ddim", "karras", 0.5, 555, "randomize"])  # fmt: skip
    seed = node(1, "PrimitiveInt", out="INT", widgets=[12, "fixed"])
    document = ui([seed, host], [[1, 1, 0, 10, 0, "INT"]], extra={"groupNodes": {"g": group}})
    assert inputs_of(document, "10:0") == EXPECTED | {"seed": ["1", 0]}


@pytest.mark.parametrize("held", [[30, 7.5, "ddim", "karras", 0.5], [555, "fixed", 30, 7.5, "ddim", "karras", 0.5]])
def test_a_widget_that_is_an_input_of_the_group_node_alone_may_hold_no_value(held: list[Any]) -> None:
    group = {"nodes": [GROUP["nodes"][2]], "links": [], "external": [], "config": {}}
    host = node(10, "workflow>g", slot("KSampler seed", "INT", 1, widget=True), out="LATENT", widgets=held)
    seed = node(1, "PrimitiveInt", out="INT", widgets=[12, "fixed"])
    result = flat(ui([seed, host], [[1, 1, 0, 10, 0, "INT"]], extra={"groupNodes": {"g": group}}))
    assert result.prompt["10:0"]["inputs"] == EXPECTED | {"seed": ["1", 0]}
    assert not result.problems


def test_a_reroute_in_a_group_node_takes_what_the_group_gets() -> None:
    group = {
        "nodes": [
            {"type": "Reroute", "inputs": [slot("", "*")], "outputs": [{"name": "IMAGE", "type": "IMAGE"}]},
            {"type": "ImageInvert", "inputs": [slot("image", "IMAGE", 4)], "outputs": [{"name": "I", "type": "IMAGE"}]},
        ],
        "links": [[0, 0, 1, 0, 3, "IMAGE"]],
    }
    document = ui(
        [
            node(1, "LoadImage", out="IMAGE MASK", widgets=["a.png", "image"]),
            node(10, "workflow>g", slot("IMAGE", "IMAGE", 1), out="IMAGE"),
        ],
        [[1, 1, 0, 10, 0, "IMAGE"]],
        extra={"groupNodes": {"g": group}},
    )
    assert inputs_of(document, "10:1")["image"] == ["1", 0]


def test_what_app_mode_shows_becomes_inputs_in_its_order() -> None:
    """Of the root, of an instance that holds a value, and of a node inside, by its id there; `<graph>:` is left out."""
    shown = [[f"{SUB2}:37:factor", "factor"], [7, "upscale_method"], ["1", "image"], ["37", "gone"], "odd", [1]]
    held = slot("factor", "FLOAT", None, widget=True)
    document = hosted(slot("image", "IMAGE", 1), held, widgets=[2.5]) | {"extra": {"linearData": {"inputs": shown}}}
    document["nodes"][0]["title"] = "Photo"
    result = to_native(flat(document))
    told = {name: (input.to, input.description) for name, input in result.document.inputs.items()}
    assert list(told.items()) == [
        ("factor", (["37:7.scale"], None)),
        ("upscale_method", (["37:7.method"], None)),
        ("image", (["1.file"], "Photo")),
    ]
    assert result.document.nodes["37:7"].params["scale"] == 2.5
    assert [note.input for note in result.report.notes if note.code == "app-mode"] == ["gone"]
