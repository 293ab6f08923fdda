"""Native documents as ComfyUI files: what comes back from import(export(x)) is x."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphflow.converters.comfyui import catalogue, to_comfyui, to_native, to_prompt
from graphflow.converters.comfyui.export import export_prompt
from graphflow.converters.comfyui.export.inverse import rules_back
from graphflow.converters.comfyui.pruning import link_of
from graphflow.converters.comfyui.rules.rule import Convert, Rule
from graphflow.document.document import Document, NodeEntry, parse
from graphflow.errors import ConversionError
from graphflow.spec.registry import installed
from graphflow.spec.spec import InputSpec, NodeSpec

from .fuzz import template, templates
from .recorded import cases

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = installed()
FOLDED = "ComfySwitchNode"  # with a literal selector, importing takes the chosen side
RULES = [
    rule for rules in rules_back().values() for rule in rules if rule.comfy != FOLDED and REGISTRY.get(rule.native)
]


def spec_of(type: str) -> NodeSpec:
    spec = REGISTRY.get(type)
    assert spec is not None
    return spec


def essence(document: Document) -> dict[str, Any]:
    """What counts of a document: types, titles, links, and literals that are not the default."""
    found = {}
    for id, entry in document.nodes.items():
        inputs = spec_of(entry.type).inputs
        literals = {name: value for name, value in entry.params.items() if value != inputs[name].default}
        found[id] = (entry.type, entry.title, entry.links, literals)
    return found


def again(document: Document) -> Document:
    """Export and import."""
    return to_native(to_prompt(to_comfyui(document, registry=REGISTRY)), registry=REGISTRY).require()


def documents() -> st.SearchStrategy[Document]:
    """Return graphs of nodes that ComfyUI has, each with literals that its node takes, ending in what saves or shows."""
    return st.composite(_document)()


def _document(draw: st.DrawFn) -> Document:
    nodes: dict[str, NodeEntry] = {}
    outputs: dict[str, list[str]] = {}
    for number in range(draw(st.integers(1, 10))):
        rule = draw(st.sampled_from(RULES))
        _add(draw, f"n{number}", rule, nodes, outputs)
    outputs.pop("", None)
    for number, address in enumerate([address for some in outputs.values() for address in some]):
        if not any(address in _addresses(entry) for entry in nodes.values()):
            nodes[f"show{number}"] = NodeEntry(type="show", links={"value": address})
    return Document(nodes=nodes)


def _add(draw: st.DrawFn, id: str, rule: Rule, nodes: dict[str, NodeEntry], outputs: dict[str, list[str]]) -> None:
    """Add a node of a rule, and what has to feed it."""
    spec = spec_of(rule.native)
    interface = catalogue.find(rule.comfy)
    needed = (
        {name for name, known in interface.inputs.items() if known.required and not known.widget}
        if interface
        else set()
    )
    params: dict[str, Any] = dict(rule.fixed)
    links: dict[str, str | list[str]] = {}
    for item in rule.parsed:
        target = spec.inputs[item.native]
        if target.linked:
            if target.required or item.comfy in needed:
                address = _source(draw, target, nodes, outputs)
                if item.many:
                    listed = links.setdefault(item.native, [])
                    assert isinstance(listed, list)
                    listed.append(address)
                else:
                    links[item.native] = address
            continue
        params[item.native] = _literal(draw, rule, item.comfy, target)
    nodes[id] = NodeEntry(type=rule.native, params=params, links=links)
    if not spec.effect:
        names = [name for name in rule.slots if name] or [spec.primary]
        for name in names:
            address = id if name == spec.primary else f"{id}.{name}"
            outputs.setdefault(str(spec.output_types[name]), []).append(address)


def _source(draw: st.DrawFn, target: InputSpec, nodes: dict[str, NodeEntry], outputs: dict[str, list[str]]) -> str:
    wanted = str(target.type.item or target.type)
    found = (
        outputs.get(wanted, [])
        if wanted != "any"
        else [address for some in outputs.values() for address in some if address]
    )
    if found:
        return draw(st.sampled_from(found))
    givers = [
        rule
        for rule in RULES
        if _gives(rule, wanted) and not any(spec_of(rule.native).inputs[i.native].linked for i in rule.parsed)
    ]
    if not givers:
        givers = [rule for rule in RULES if _gives(rule, wanted) and not _needs(rule, wanted)]
    rule = draw(st.sampled_from(givers))
    outputs.setdefault("", []).append("")  # counts, so that ids differ
    _add(draw, f"m{len(outputs[''])}", rule, nodes, outputs)
    kinds = [kind for kind in outputs if kind and (wanted in (kind, "any"))]
    return draw(st.sampled_from([address for kind in kinds for address in outputs[kind]]))


def _needs(rule: Rule, wanted: str) -> bool:
    inputs = (spec_of(rule.native).inputs[item.native] for item in rule.parsed)
    return any(known.linked and str(known.type.item or known.type) == wanted for known in inputs)


def _gives(rule: Rule, wanted: str) -> bool:
    spec = spec_of(rule.native)
    if spec.effect:
        return False
    names = [name for name in rule.slots if name] or [spec.primary]
    kinds = [str(spec.output_types[name]) for name in names]
    return wanted in kinds or (wanted == "any" and bool(kinds) and "any" not in kinds)


def _literal(draw: st.DrawFn, rule: Rule, comfy: str, target: InputSpec) -> Any:
    """Return a native value that ComfyUI's input can say."""
    change = rule.values.get(comfy)
    interface = catalogue.find(rule.comfy)
    known = interface.inputs.get(comfy) if interface is not None else None
    options = list(known.details.get("options", ())) if known is not None else []
    if options and not isinstance(change, Convert):
        values = [change.get(option, option) if change else option for option in options]
        return draw(st.sampled_from([value for value in values if target.check(value)[1] is None]))
    if target.choices:
        values = [
            value
            for value in target.choices
            if change is None or isinstance(change, Convert) or value in change.values()
        ]
        return draw(st.sampled_from(values or list(target.choices)))
    if target.default is not None and not target.required:
        return target.default
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "int": st.integers(0, 100),
        "float": st.floats(0, 1, width=32),
        "bool": st.booleans(),
        "json": st.lists(st.integers(0, 9).map(float), min_size=1, max_size=4),
    }
    value = draw(kinds.get(target.type.name, st.text("abc", min_size=1, max_size=9)))
    return value if target.check(value)[1] is None else draw(st.just(64))


def _addresses(entry: NodeEntry) -> list[str]:
    return [address for link in entry.links.values() for address in ([link] if isinstance(link, str) else link)]


@settings(max_examples=150, deadline=None)
@given(documents())
def test_importing_what_was_exported_gives_the_same_document(document: Document) -> None:
    assert essence(again(document)) == essence(document)


@settings(max_examples=60, deadline=None)
@given(documents())
def test_the_canvas_file_says_the_same_as_the_prompt(document: Document) -> None:
    prompt = to_comfyui(document, registry=REGISTRY)
    ui = json.loads(json.dumps(to_comfyui(document, format="ui", registry=REGISTRY)))
    _check_canvas(ui)
    flat = to_prompt(ui).prompt
    numbers = dict(zip(prompt, _numbers(ui, prompt), strict=True))
    assert len(flat) == len(prompt)
    for id, node in prompt.items():
        got = flat[numbers[id]]
        assert got["class_type"] == node["class_type"]
        for name, value in node["inputs"].items():
            link = link_of(value)
            assert got["inputs"][name] == (value if link is None else [numbers[link[0]], link[1]])


def _numbers(ui: dict[str, Any], prompt: dict[str, Any]) -> list[str]:
    from graphflow.converters.comfyui.export.ui import numbered

    return [str(number) for number in numbered(prompt).values()]


@pytest.mark.parametrize("name", templates()[::5])
def test_templates_come_back(name: str) -> None:
    try:
        document = to_native(to_prompt(template(name)), registry=REGISTRY).require()
    except ConversionError:
        return
    try:
        prompt = to_comfyui(document, registry=REGISTRY)
    except ConversionError as error:
        assert "ComfyUI cannot say all of it" in str(error)
        return
    back = to_native(to_prompt(prompt), registry=REGISTRY)
    assert essence(back.document) == essence(document)


@pytest.mark.parametrize("name", sorted(cases("features")))
def test_recorded_workflows_come_back(name: str) -> None:
    document = to_native(to_prompt(cases("features")[name]["prompt"]), registry=REGISTRY).require()
    assert essence(again(document)) == essence(document)


def test_nodes_stand_from_left_to_right_and_do_not_overlap() -> None:
    document = to_native(to_prompt(cases("features")["hires_fix"]["prompt"]), registry=REGISTRY).require()
    _check_canvas(to_comfyui(document, format="ui", registry=REGISTRY))


def test_what_comfyui_has_not_is_named_at_once() -> None:
    document = parse(
        {
            "graphflow": 2,
            "nodes": {
                "a": {"type": "resolution_preset", "params": {}},
                "b": {"type": "empty_latent", "links": {"width": "a.width"}},
                "c": {"type": "random_int", "params": {"seed": 1}},
                "d": {"type": "set_noise_mask", "links": {"latent": "b", "mask": "e"}},
                "e": {"type": "rectangle_mask", "params": {"width": 8, "height": 8}},
            },
        }
    )
    with pytest.raises(ConversionError) as raised:
        to_comfyui(document, registry=REGISTRY)
    for name in ("a resolution_preset", "c random_int", "e rectangle_mask"):
        assert name in str(raised.value)


def test_what_is_done_otherwise_there_is_said() -> None:
    document = parse(
        {
            "graphflow": 2,
            "nodes": {
                "i": {"type": "load_image", "params": {"file": "a.png"}},
                "s": {"type": "save_image", "links": {"images": "i"}},
            },
        }
    )
    assert export_prompt(document, registry=REGISTRY).notes == (("s", "rounding is 'truncate' there, 'round' here"),)


def test_more_than_two_links_become_a_chain() -> None:
    nodes: dict[str, Any] = {f"i{n}": {"type": "load_image", "params": {"file": f"{n}.png"}} for n in range(3)}
    nodes["b"] = {"type": "batch_images", "links": {"images": ["i0", "i1", "i2"]}}
    nodes["s"] = {"type": "preview", "links": {"images": "b"}}
    prompt = to_comfyui(parse({"graphflow": 2, "nodes": nodes}), registry=REGISTRY)
    assert prompt["b"]["inputs"] == {"image1": ["b~part1", 0], "image2": ["i2", 0]}
    assert prompt["b~part1"]["inputs"] == {"image1": ["i0", 0], "image2": ["i1", 0]}


def test_a_control_of_one_side_stays_one() -> None:
    nodes: dict[str, Any] = {
        "c": {"type": "load_checkpoint", "params": {"model": "a"}},
        "t": {"type": "encode_prompt", "params": {"text": "a fox"}, "links": {"text_encoder": "c.text_encoder"}},
        "n": {"type": "load_control_net", "params": {"control_net": "edges"}},
        "i": {"type": "load_image", "params": {"file": "a.png", "frames": "all"}},
        "a": {"type": "apply_control_net", "links": {"positive": "t", "control_net": "n", "image": "i"}},
        "s": {"type": "show", "links": {"value": "a"}},
    }
    document = parse({"graphflow": 2, "nodes": nodes})
    prompt = to_comfyui(document, registry=REGISTRY)
    assert prompt["a"]["class_type"] == "ControlNetApplyAdvanced"
    assert prompt["a"]["inputs"]["positive"] == prompt["a"]["inputs"]["negative"] == ["t", 0]
    assert essence(again(document)) == essence(document)


@pytest.mark.parametrize(
    ("type", "family", "count", "loader", "named"),
    [
        ("load_text_encoder", "auto", 1, "CLIPLoader", "stable_diffusion"),
        ("load_text_encoder", "qwen_image", 1, "CLIPLoader", "qwen_image"),
        ("load_text_encoder", "flux", 2, "DualCLIPLoader", "flux"),
        ("load_text_encoder", "sdxl", 2, "DualCLIPLoader", "sdxl"),
        ("load_family_text_encoder", "flux", 2, "DualCLIPLoader", "flux"),
        ("load_text_encoder", "sd3", 2, "DualCLIPLoader", "sd3"),
        ("load_text_encoder", "sd3", 3, "TripleCLIPLoader", None),
        ("load_family_text_encoder", "sd3", 3, "TripleCLIPLoader", None),
        ("load_family_text_encoder", "hidream", 4, "QuadrupleCLIPLoader", None),
    ],
)
def test_text_encoders_are_loaded_as_the_family_is_called_there(
    type: str, family: str, count: int, loader: str, named: str | None
) -> None:
    made = to_comfyui(text_encoders(type, family, count), registry=REGISTRY)["encoders"]
    assert (made["class_type"], made["inputs"].get("type")) == (loader, named)


@pytest.mark.parametrize(
    ("type", "family", "count"),
    [
        ("load_text_encoder", "sdxl", 1),
        ("load_text_encoder", "auto", 2),
        ("load_text_encoder", "sd", 2),
        ("load_family_text_encoder", "other", 2),
        ("load_family_text_encoder", "hidream", 3),
    ],
)
def test_text_encoders_that_comfyui_does_not_load_together_are_refused(type: str, family: str, count: int) -> None:
    with pytest.raises(ConversionError, match="load_"):
        to_comfyui(text_encoders(type, family, count), registry=REGISTRY)


def text_encoders(type: str, family: str, count: int) -> Document:
    """A loader of so many text encoders, whose output is read."""
    names = ["model", "model_2", "model_3", "model_4"][:count]
    params = {"family": family, **{name: f"{name}.safetensors" for name in names}}
    encode = {"type": "encode_prompt", "params": {"text": "a"}, "links": {"text_encoder": "encoders"}}
    show = {"type": "show", "links": {"value": "prompt"}}
    return parse(
        {"graphflow": 2, "nodes": {"encoders": {"type": type, "params": params}, "prompt": encode, "show": show}}
    )


def test_what_comfyui_asks_for_is_there_even_if_it_says_nothing() -> None:
    nodes: dict[str, Any] = {
        "m": {"type": "load_diffusion_model", "params": {"model": "a.safetensors"}},
        "c": {"type": "load_checkpoint", "params": {"model": "b.safetensors"}},
        "t": {"type": "encode_prompt_sdxl", "params": {"text": "a fox"}, "links": {"text_encoder": "c.text_encoder"}},
        "s": {"type": "show", "links": {"value": "t"}},
        "u": {"type": "show", "links": {"value": "m"}},
    }
    document = parse({"graphflow": 2, "nodes": nodes})
    prompt = to_comfyui(document, registry=REGISTRY)
    assert (prompt["t"]["inputs"]["text_g"], prompt["t"]["inputs"]["text_l"]) == ("a fox", "a fox")
    assert prompt["m"]["inputs"]["weight_dtype"] == "default"
    assert essence(again(document)) == essence(document)
    canvas = to_native(to_prompt(to_comfyui(document, format="ui", registry=REGISTRY)), registry=REGISTRY).document
    assert [entry.params for entry in canvas.nodes.values() if entry.type == "encode_prompt_sdxl"] == [
        entry.params for id, entry in again(document).nodes.items() if id == "t"
    ]


@settings(max_examples=60, deadline=None)
@given(documents())
def test_every_input_that_comfyui_asks_for_is_said(document: Document) -> None:
    for node in to_comfyui(document, registry=REGISTRY).values():
        interface = catalogue.find(node["class_type"])
        for name, spec in (interface.inputs if interface is not None else {}).items():
            assert not spec.required or name in node["inputs"], (node["class_type"], name)


@pytest.mark.parametrize("path", sorted((ROOT / "workflows").glob("*.json")), ids=lambda path: path.stem)
def test_packaged_workflows_come_back_the_same_by_both_ways(path: Path) -> None:
    document = parse(json.loads(path.read_text("utf-8")))
    try:
        prompt = to_comfyui(document, registry=REGISTRY)
    except ConversionError as error:
        assert "ComfyUI cannot say all of it" in str(error)
        return
    ui = json.loads(json.dumps(to_comfyui(document, format="ui", registry=REGISTRY)))
    one, other = (
        sorted(
            (kind, json.dumps(literals, sort_keys=True))
            for kind, _, _, literals in essence(to_native(to_prompt(source), registry=REGISTRY).require()).values()
        )
        for source in (prompt, ui)
    )
    assert one == other
    _check_canvas(ui)


def _check_canvas(ui: dict[str, Any]) -> None:
    """Check ids, order, both ends of every link, and that nothing overlaps or runs to the left."""
    nodes = {node["id"]: node for node in ui["nodes"]}
    assert ui["last_node_id"] == max(nodes) and len(nodes) == len(ui["nodes"])
    assert ui["last_link_id"] == max((link[0] for link in ui["links"]), default=0)
    assert sorted(node["order"] for node in nodes.values()) == list(range(len(nodes)))
    for number, origin, output, target, slot, _ in ui["links"]:
        assert number in nodes[origin]["outputs"][output]["links"]
        assert nodes[target]["inputs"][slot]["link"] == number
        assert nodes[origin]["order"] < nodes[target]["order"]
        assert nodes[origin]["pos"][0] + nodes[origin]["size"][0] <= nodes[target]["pos"][0]
    boxes = [(*node["pos"], *node["size"]) for node in nodes.values()]
    for place, (x, y, width, height) in enumerate(boxes):
        for left, top, wide, tall in boxes[place + 1 :]:
            assert x + width <= left or left + wide <= x or y + height <= top or top + tall <= y
