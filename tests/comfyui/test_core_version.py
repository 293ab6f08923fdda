"""Which version of ComfyUI a file was saved with decides where the noise of steps starts."""

from __future__ import annotations

from typing import Any

import pytest

from graphflow.converters.comfyui import to_comfyui, to_native, to_prompt
from graphflow.converters.comfyui.export import export_prompt
from graphflow.converters.comfyui.rules import RULES
from graphflow.converters.comfyui.rules.rule import Rule
from graphflow.spec.registry import installed
from tests.comfyui.prompts import node, prompt, sound
from tests.comfyui.ui import flat, text_to_image


def stamped(*versions: str) -> dict[str, Any]:
    """Text to image whose first nodes name versions, and whose last is another pack's."""
    document = text_to_image()
    for entry, version in zip(document["nodes"], versions, strict=False):
        entry["properties"] = {"cnr_id": "comfy-core", "ver": version}
    document["nodes"][-1]["properties"] = {"cnr_id": "another-pack", "ver": "9.9.9"}
    return document


def step_noise(source: Any, id: str = "3") -> Any:
    return to_native(to_prompt(source)).require().nodes[id].params["step_noise"]


@pytest.mark.parametrize(
    ("versions", "start"),
    [
        ((), "seed + 1"),
        (("0.3.64",), "seed"),
        (("v0.6.2",), "seed"),
        (("0.7.0",), "seed + 1"),
        (("0.10",), "seed + 1"),
        (("0.3.26", "0.8.1"), "seed + 1"),
        (("a6da6b1", "0.3.64"), "seed"),
        (("a6da6b1",), "seed + 1"),
    ],
)
def test_the_newest_version_that_a_core_node_names_counts(versions: tuple[str, ...], start: str) -> None:
    assert step_noise(stamped(*versions)) == start


def test_a_prompt_is_of_the_version_that_the_drawing_beside_it_names() -> None:
    sent, drawn = flat(text_to_image()).prompt, stamped("0.3.64")
    assert step_noise(sent) == "seed + 1"
    assert step_noise({"prompt": sent, "extra_data": {"extra_pnginfo": {"workflow": drawn}}}) == "seed"


@pytest.mark.parametrize("form", ["api", "ui"])
@pytest.mark.parametrize(("version", "start"), [("0.3.64", "seed"), ("0.7.0", "seed + 1")])
def test_what_is_exported_is_read_again_as_it_was(version: str, start: str, form: Any) -> None:
    document = to_native(to_prompt(stamped(version))).require()
    assert step_noise(to_comfyui(document, format=form)) == start
    told = ("3", "step_noise 'seed' becomes 'seed + 1'") in export_prompt(document).notes
    assert told == (start == "seed"), "today's ComfyUI draws otherwise"


def test_every_node_that_has_a_start_of_step_noise_is_told_it() -> None:
    makes = {type for type, spec in installed().specs.items() if "step_noise" in spec.inputs}
    plain = [rule for rule in RULES.values() if isinstance(rule, Rule) and rule.native in makes]
    assert {rule.native for rule in plain} == makes
    assert all("step_noise" in rule.fixed for rule in plain)
    parts = prompt(
        n20=node("KSamplerSelect", sampler_name="euler_ancestral"),
        n21=node("BasicScheduler", model=["4", 0], scheduler="normal", steps=4, denoise=1.0),
    )
    options = {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0], "cfg": 7.0}
    custom = node("SamplerCustom", noise_seed=5, sampler=["20", 0], sigmas=["21", 0], add_noise=True, **options)
    assert sound({**parts, "3": custom}).document.nodes["3~noise"].params["step_noise"] == "seed + 1"
    efficient = {**parts["3"]["inputs"], "optional_vae": ["4", 2]}
    result = sound(
        {
            **parts,
            "3": node("KSampler (Efficient)", **efficient),
            "8": node("VAEDecode", samples=["3", 3], vae=["4", 2]),
        }
    )
    assert result.document.nodes["3"].params["step_noise"] == "seed + 1"
