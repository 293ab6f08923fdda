"""The pack as a whole."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from graphflow.nodes import NODES
from graphflow.spec.decorator import NodeSpec, spec_of

SPECS = [spec_of(function) for function in NODES]


def test_types_are_unique() -> None:
    assert len({spec.type for spec in SPECS}) == len(SPECS)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.type)
def test_every_input_is_described(spec: NodeSpec) -> None:
    missing = [name for name, parameter in spec.inputs.items() if not parameter.description]
    assert not missing
    assert spec.summary.endswith((".", ":"))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.type)
def test_defaults_pass_their_own_checks(spec: NodeSpec) -> None:
    for parameter in spec.inputs.values():
        if not parameter.required and not parameter.linked:
            value, wrong = parameter.check(parameter.default)
            assert wrong is None
            assert value == parameter.default


def test_importing_the_pack_imports_nothing_heavy() -> None:
    code = """
import sys
for name in ("torch", "diffusers", "transformers", "numpy", "PIL"):
    sys.modules[name] = None
from graphflow.spec.decorator import spec_of
from graphflow.nodes import NODES
from graphflow.nodes.pipelines.call import check_call
for function in NODES:
    for parameter in spec_of(function).inputs.values():
        if not parameter.linked:
            parameter.json_schema()
check_call("FluxPipeline", {"num_inference_steps": 4})
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_samplers_are_checked_by_name() -> None:
    sampler = next(spec for spec in SPECS if spec.type == "sample").inputs["sampler"]
    assert "dpmpp_2m" in sampler.choices
    _, wrong = sampler.check("dpmpp_2n")
    assert wrong is not None
    with pytest.raises(ValidationError):
        sampler.adapter.validate_python(3)
