"""Every rule fits ComfyUI's interfaces and the native node types."""

from __future__ import annotations

import random
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from graphflow.converters.comfyui import catalogue, to_native, to_prompt
from graphflow.converters.comfyui.building import coerced
from graphflow.converters.comfyui.rules import RULES, Made, Rule
from graphflow.converters.comfyui.rules.rule import Convert
from graphflow.errors import ConversionError
from graphflow.limits import LIMITS
from graphflow.planning.validate import validate
from graphflow.spec.registry import Registry, installed

from .smallest import LACKS, RUN, run_smallest, smallest, try_session, write_inputs

PLAIN = [rule for rule in RULES.values() if isinstance(rule, Rule)] + [
    rule.back for rule in RULES.values() if isinstance(rule, Made) and rule.back is not None
]
OTHER_VERSIONS = {
    ("ImageScaleToTotalPixels", "resolution_steps"),
    ("LatentBlend", "blend_mode"),
    ("CreateVideo", "bit_depth"),
}
"""Inputs that older or newer versions of ComfyUI have."""


@cache
def registry() -> Registry:
    return installed()


@pytest.mark.parametrize("comfy", sorted(RULES))
def test_the_native_types_exist(comfy: str) -> None:
    assert [native for native in RULES[comfy].natives if registry().get(native) is None] == []


def numbers() -> list[tuple[str, str]]:
    """Inputs of ComfyUI's own nodes that are numbers and stand for one of a native node, by type and name."""
    core = [(rule, catalogue.find(rule.comfy)) for rule in RULES.values() if isinstance(rule, Rule)]
    return [
        (rule.comfy, item.comfy)
        for rule, interface in core
        if interface is not None and interface.core
        for item in rule.parsed
        if not item.many and (known := interface.inputs.get(item.comfy)) is not None and known.type in ("INT", "FLOAT")
    ]


@pytest.mark.parametrize(("comfy", "name"), numbers())
def test_numbers_that_comfyui_takes_are_taken(comfy: str, name: str) -> None:
    """ComfyUI holds literals to the least and the most, never to the step; 0 may make no sense, and limits are ours."""
    rule, interface = RULES[comfy], catalogue.find(comfy)
    assert isinstance(rule, Rule) and interface is not None
    known = interface.inputs[name]
    target = registry().specs[rule.native].inputs[next(item.native for item in rule.parsed if item.comfy == name)]
    change, step = rule.values.get(name), 1 if known.type == "INT" else 0.0123
    ends = [known.details[end] for end in ("min", "max", "default") if end in known.details]
    for value in (number + offset for number in ends for offset in (0, step, -step)):
        if known.details.get("min", value) <= value <= known.details.get("max", value):
            native = change.to_native(value) if isinstance(change, Convert) else value
            wrong = None if native is None else target.check(coerced(native, target.type))[1]
            assert wrong is None or value == 0 or abs(value) > LIMITS.frames, f"{value}: {wrong}"


@pytest.mark.parametrize("rule", PLAIN, ids=lambda rule: rule.comfy)
def test_a_rule_names_what_the_native_node_has(rule: Rule) -> None:
    spec = registry().get(rule.native)
    assert spec is not None
    assert {item.native for item in rule.parsed} <= set(spec.inputs)
    assert all(spec.inputs[item.native].many for item in rule.parsed if item.many)
    assert {name for name in rule.slots if name} <= set(spec.output_types)
    for name, value in rule.fixed.items():
        assert spec.inputs[name].check(value)[1] is None, f"{name} = {value!r}"
    required = {name for name, target in spec.inputs.items() if target.required}
    assert required <= {item.native for item in rule.parsed} | set(rule.fixed)


@pytest.mark.parametrize("rule", [rule for rule in PLAIN if rule.values], ids=lambda rule: rule.comfy)
def test_changed_values_are_values_of_the_native_node(rule: Rule) -> None:
    spec = registry().get(rule.native)
    assert spec is not None
    natives = {item.comfy: item.native for item in rule.parsed}
    for comfy, change in rule.values.items():
        if not isinstance(change, Convert):
            target = spec.inputs[natives[comfy]]
            known = catalogue.find(rule.comfy)
            options = known.inputs[comfy].details.get("options", ()) if known and comfy in known.inputs else ()
            wanted = [value for value in change if value in options] if options else list(change)
            wanted = [value for value in wanted if (rule.comfy, value) not in REFUSED]
            assert [value for value in wanted if target.check(change[value])[1] is not None] == []


@pytest.mark.parametrize("comfy", sorted(type for type in RULES if (found := catalogue.find(type)) and found.core))
def test_a_rule_of_a_core_type_knows_every_input(comfy: str) -> None:
    rule, interface = RULES[comfy], catalogue.find(comfy)
    assert interface is not None
    if isinstance(rule, Made):
        return
    told = {item.comfy for item in rule.parsed} | rule.unused | set(rule.dropped)
    assert {(comfy, name) for name in told - set(interface.inputs)} <= OTHER_VERSIONS
    harmless = {"weight_dtype"}  # said as a remark where it is not the default
    assert set(interface.inputs) - told <= harmless
    assert len(rule.slots) <= max(len(interface.outputs), 1)


@pytest.mark.parametrize("comfy", sorted(type for type in RULES if (found := catalogue.find(type)) and found.core))
def test_a_core_choice_has_a_native_value_or_is_refused(comfy: str) -> None:
    """Every choice of ComfyUI's that the native node does not take is one that a rule was meant to refuse."""
    rule, interface = RULES[comfy], catalogue.find(comfy)
    assert interface is not None
    if isinstance(rule, Made):
        return
    spec = registry().get(rule.native)
    assert spec is not None
    refused = set()
    for item in rule.parsed:
        change = rule.values.get(item.comfy, {})
        for option in interface.inputs[item.comfy].details.get("options", ()) if item.comfy in interface.inputs else ():
            native = change.to_native(option) if isinstance(change, Convert) else change.get(option, option)
            target = spec.inputs[item.native]
            if not target.model_kind and not target.file_kind and target.check(native)[1] is not None:
                refused.add((comfy, option))
    assert refused <= REFUSED


REFUSED = {
    ("ModelSamplingDiscrete", "img_to_img"),
    ("ModelSamplingContinuousEDM", "cosmos_rflow"),
    ("ModelSamplingContinuousEDM", "edm_playground_v2.5"),
    ("PatchModelAddDownscale", "bislerp"),
}


JUNK: tuple[Any, ...] = (
    None, True, -1, 3.5, 2**70, 1e308, float("nan"), "", "None", "x", "512 x 512", "a**b", "/a/", "-3", [], {}, {"on": True, "lora": 5},
    {"__value__": [1, {"name": 5}]}, {"__value__": [{"name": "a", "strength": "x"}]},
)  # fmt: skip
LINKS: dict[str, list[Any]] = {
    "MODEL": ["1", 0], "CLIP": ["1", 1], "VAE": ["1", 2], "IMAGE": ["2", 0], "MASK": ["2", 1], "CONDITIONING": ["3", 0], "LATENT": ["4", 0],
}  # fmt: skip
SOURCES: dict[str, Any] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a"}},
    "2": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["1", 1]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "5": {"class_type": "ToBasicPipe", "inputs": {"model": ["1", 0]}},
}


@pytest.mark.parametrize("comfy", sorted(RULES))
def test_a_rule_takes_or_refuses_any_value(comfy: str) -> None:
    """Mostly sound inputs, with some that make no sense: a verdict for each, and never another exception."""
    rule, known = RULES[comfy], catalogue.find(comfy)
    names = {name for order in known.orders for name in order.names} | set(known.inputs) if known else set()
    names |= {item.comfy for item in rule.parsed} if isinstance(rule, Rule) else set()
    for trial in range(4):
        dice = random.Random(f"{comfy}{trial}")
        inputs: dict[str, Any] = {}
        for name in sorted(names - {catalogue.CONTROL}):
            spec = known.inputs.get(name) if known else None
            sound = LINKS.get(spec.type, ["5", 0]) if spec and not spec.widget else dice.choice([1, 0.5, "a"])
            inputs[name] = dice.choice(JUNK) if dice.random() < 0.25 else sound
        shown = {"y": {"class_type": "PreviewAny", "inputs": {"source": ["x", dice.randrange(3)]}}}
        source = {**SOURCES, "x": {"class_type": comfy, "inputs": inputs}, **shown}
        with suppress(ConversionError):
            report = to_native(to_prompt(source), registry=registry()).report
            assert {entry.id for entry in report.entries} == set(source)


@cache
def named_in_tests() -> str:
    """Return the source of the tests of imports, in which rules that want more than a guess have their examples."""
    return "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))


@pytest.mark.parametrize("comfy", sorted(RULES))
def test_every_rule_has_an_example_that_imports_whole(comfy: str) -> None:
    """The smallest workflow is made from what is known of the type; of packs' bundles a test has one by hand."""
    with suppress(ConversionError):
        result = to_native(to_prompt(smallest(comfy, registry())), registry=registry())
        problems = validate(result.document, registry()).problems
        if result.report.complete and not [problem for problem in problems if "waits for" not in problem.message]:
            return
    assert RULES[comfy].pack and f'"{comfy}"' in named_in_tests(), "give it an example in tests/comfyui/hints.py"


def test_the_smallest_workflows_run(tmp_path: Path) -> None:
    """A sample; `python -m tests.runners.rules` runs all. They run, wait for a family, or lack weights that nobody has."""
    write_inputs(tmp_path)
    with try_session(tmp_path) as session:
        said = {comfy: run_smallest(comfy, session, tmp_path) for comfy in RUN}
    failed = {comfy: text for comfy, text in said.items() if text not in ("runs", "waits") and not LACKS.search(text)}
    assert failed == {}
    assert list(said.values()).count("runs") > len(said) // 2
