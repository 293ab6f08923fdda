"""Every rule fits ComfyUI's interfaces and the native node types."""

from __future__ import annotations

from functools import cache

import pytest

from graphflow.converters.comfyui import catalogue
from graphflow.converters.comfyui.rules import RULES, Made, Rule
from graphflow.converters.comfyui.rules.rule import Convert
from graphflow.registry import Registry, installed

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
    ("LatentCut", "t"),
    ("LatentConcat", "t"),
    ("LatentConcat", "-t"),
}
