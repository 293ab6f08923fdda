"""Validation: every problem, with its path, value and way out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from graphflow.document.document import parse
from graphflow.errors import LimitError, WorkflowError
from graphflow.limits import LIMITS
from graphflow.planning.expand import Text, expand
from graphflow.planning.plan import plan
from graphflow.planning.validate import validate
from graphflow.sampling.names import SAMPLER_NAMES
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import node
from graphflow.spec.registry import installed
from graphflow.values import Image
from tests.conftest import TOYS


def problems(
    data: dict[str, Any], inputs: dict[str, Any] | None = None, overrides: dict[str, Any] | None = None
) -> list[str]:
    expanded = expand(parse({"graphflow": 2, **data}), TOYS, inputs=inputs, overrides=overrides)
    return [str(problem) for problem in (*expanded.problems, *validate(expanded.flat, TOYS).problems)]


def one(
    type_: str, params: dict[str, Any] | None = None, links: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    nodes = {
        "n": {"type": type_, "params": params or {}, "links": links or {}},
        "a": {"type": "toy_number", "params": {"value": 1}},
    }
    return {"nodes": {**nodes, **more}, "outputs": {"r": "n"}}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (one("toy_ad"), ["nodes.n.type: the node type 'toy_ad' is unknown (did you mean 'toy_add'?)"]),
        (one("toy_add", {"x": 1, "z": 2}), ["nodes.n.params.z: toy_add has no input 'z' (it has x, y)"]),
        (one("toy_sample", {"model": 1, "step": 2}), ["nodes.n.params.step: toy_sample has no input 'step' (did you mean 'steps'?)"]),
        (one("toy_sample", {"model": 1, "steps": 0}), ["nodes.n.params.steps: must be ≥ 1, got 0"]),
        (one("toy_sample", {"model": 1, "steps": 1001}), ["nodes.n.params.steps: must be ≤ 1000, got 1001"]),
        (one("toy_sample", {"model": 1, "seed": -1}), ["nodes.n.params.seed: must be ≥ 0, got -1"]),
        (one("toy_sample", {"model": 1, "sampler": "eular"}), ["nodes.n.params.sampler: must be one of 'euler' or 'heun', got 'eular' (did you mean 'euler'?)"]),
        (one("toy_sample", {"model": 1, "steps": True}), ["nodes.n.params.steps: must be a whole number, got true"]),
        (one("toy_sample", {"model": 1, "steps": "5"}), ["nodes.n.params.steps: must be a whole number, got '5'"]),
        (one("toy_add"), ["nodes.n.params.x: toy_add needs a value (float) for 'x'"]),
        (one("toy_add", {"x": 1}, {"x": "a"}), ["nodes.n.params.x: 'x' stands in params and in links (remove one)"]),
        (one("toy_add", {}, {"x": "b"}), ["nodes.n.links.x: there is no node 'b' (add it or remove the link)"]),
        (one("toy_add", {}, {"x": "a.valu"}), ["nodes.n.links.x: toy_number has no output 'valu' (did you mean 'value'?)"]),
        (one("toy_add", {}, {"x": ["a", "a"]}), ["nodes.n.links.x: 'x' takes one link, got a list of 2"]),
        (one("toy_add", {}, {"x": "t"}, t={"type": "toy_text", "params": {"value": "1"}}), ["nodes.n.links.x: 't.value' is a str, 'x' takes a float"]),
        ({"nodes": {"n": {"type": "toy_add", "params": {"x": 1}, "version": 9}}, "outputs": {"r": "n"}},
         ["nodes.n.version: toy_add version 9 is newer than the installed 1 (upgrade the pack 'toys')"]),
        ({"nodes": {}}, ['nodes: the workflow has no nodes (add one that writes (toy_write), or name an address under "outputs")']),
        ({"nodes": {"a": {"type": "toy_number", "params": {"value": 1}}}},
         ['nodes: the workflow has no node that writes and no outputs (add one that writes (toy_write), or name an address under "outputs")']),
        ({**one("toy_add", {"x": 1}), "inputs": {"k": {"to": ["n.xx"]}}}, ["inputs.k.to: toy_add has no input 'xx' (did you mean 'x'?)"]),
        ({**one("toy_add", {"x": 1}), "inputs": {"k": {"to": ["m.x"]}}}, ["inputs.k.to: there is no node 'm'"]),
        ({**one("toy_add", {"x": 1}), "outputs": {"r": "m"}}, ["outputs.r: there is no node 'm'"]),
        ({**one("toy_add", {"x": 1}), "requires": {"toyz": ">=1"}}, ["requires.toyz: this node pack is not installed (did you mean 'toys'?)"]),
        ({**one("toy_add", {"x": 1}), "requires": {"toys": ">=2"}}, ["requires.toys: the workflow wants >=2, installed is 1.0 (install a version that fits)"]),
        (one("workflow:inner"), ['nodes.n.type: there is no inner workflow \'inner\' (put it under "workflows")']),
    ],
)  # fmt: skip
def test_each_problem_has_its_path_value_and_way_out(data: dict[str, Any], expected: list[str]) -> None:
    found = problems(data)
    assert [line for line in expected if not any(line in other for other in found)] == [], found


def test_a_cycle_is_shown_as_the_cycle() -> None:
    nodes = {
        "c": {"type": "toy_add", "links": {"x": "b"}},
        "a": {"type": "toy_add", "links": {"x": "c"}},
        "b": {"type": "toy_add", "links": {"x": "a"}},
        "tail": {"type": "toy_add", "links": {"x": "c"}},
    }
    assert problems({"nodes": nodes, "outputs": {"r": "tail"}}) == [
        "nodes.a: a cycle: a → b → c → a (remove one of these links)"
    ]
    alone = {"s": {"type": "toy_add", "links": {"x": "s"}}}
    assert problems({"nodes": alone, "outputs": {"r": "s"}}) == ["nodes.s: a cycle: s → s (remove one of these links)"]


def test_problems_of_many_nodes_come_at_once() -> None:
    nodes = {f"n{index}": {"type": "toy_sample", "params": {"model": 1, "steps": 0}} for index in range(5)}
    found = problems({"nodes": {**nodes, "x": {"type": "nope"}}, "outputs": {"r": "n0"}})
    assert len(found) == 6


def test_type_variables_carry_the_type_along() -> None:
    nodes = {
        "t": {"type": "toy_text", "params": {"value": "words"}},
        "s": {"type": "toy_switch", "params": {"select": True}, "links": {"on_true": "t", "on_false": "t"}},
        "n": {"type": "toy_add", "links": {"x": "s"}},
    }
    found = problems({"nodes": nodes, "outputs": {"r": "n"}})
    assert len(found) == 1
    assert "is a str, 'x' takes a float" in found[0]


def test_inputs_are_parsed_by_the_type_of_their_target() -> None:
    data = {**one("toy_sample", {"model": 1}), "inputs": {"seed": {"to": ["n.seed"]}, "sampler": {"to": ["n.sampler"]}}}
    expanded = expand(
        parse({"graphflow": 2, **data}),
        TOYS,
        inputs={"seed": Text("12"), "sampler": Text("heun")},
        overrides={"n.steps": Text("4")},
    )
    assert expanded.problems == ()
    assert expanded.document.nodes["n"].params == {"model": 1, "seed": 12, "sampler": "heun", "steps": 4}


@pytest.mark.parametrize(
    ("inputs", "overrides", "expected"),
    [
        ({"sede": 1}, {}, "inputs.sede: the workflow has no such input (did you mean 'seed'?)"),
        ({"seed": Text("many")}, {}, "nodes.n.params.seed: must be a whole number, got 'many'"),
        ({}, {"n.stepz": 1}, "--set n.stepz: toy_sample has no parameter 'stepz' (did you mean 'steps'?)"),
        ({}, {"m.steps": 1}, "--set m.steps: there is no node 'm'"),
        ({}, {"n": 1}, "--set n: 'n' names a node, not a parameter (write NODE.PARAMETER)"),
    ],
)
def test_what_the_caller_turns_is_checked(inputs: dict[str, Any], overrides: dict[str, Any], expected: str) -> None:
    data = {**one("toy_sample", {"model": 1}), "inputs": {"seed": {"to": ["n.seed"]}}}
    assert any(expected in line for line in problems(data, inputs, overrides)), problems(data, inputs, overrides)


def test_a_folded_value_is_checked_where_it_goes() -> None:
    nodes = {
        "zero": {"type": "toy_number", "params": {"value": 0}},
        "n": {"type": "toy_sample", "params": {"model": 1}, "links": {"steps": "zero"}},
    }
    expanded = expand(parse({"graphflow": 2, "nodes": nodes, "outputs": {"r": "n"}}), TOYS)
    with pytest.raises(Exception, match=r"nodes\.n\.links\.steps: must be ≥ 1, got 0"):
        plan(expanded, TOYS)


def _rename(version: int, params: dict[str, Any]) -> dict[str, Any]:
    return {"amount": params["strength"] * 2}


@node("toy_renamed", version=2, migrate=_rename)
def renamed(amount: float = 1.0) -> float:
    """Return what used to be called strength."""
    return amount


@node("toy_look_up", fold=True)
def look_up(name: str) -> str:
    """Look a name up, as a pack's author wrote it."""
    return {"known": "value"}[name]


@node("toy_turn")
def turn(image: Image) -> Image:
    """Turn a picture."""
    return image


MORE = TOYS.with_nodes([renamed, look_up, turn], pack="more")


@pytest.mark.parametrize(
    ("params", "said"), [({"strength": None}, "TypeError"), ({"strenght": 1.0}, "KeyError('strength')")]
)
def test_parameters_that_cannot_be_taken_over_are_a_problem(params: dict[str, Any], said: str) -> None:
    document = parse(
        {"graphflow": 2, "nodes": {"n": {"type": "toy_renamed", "version": 1, "params": params}}, "outputs": {"r": "n"}}
    )
    (problem,) = validate(expand(document, MORE).flat, MORE).problems
    assert problem.path == "nodes.n"
    assert said in problem.message and "graphflow nodes toy_renamed" in problem.advice


def test_a_folded_node_that_fails_is_a_problem() -> None:
    document = parse(
        {"graphflow": 2, "nodes": {"n": {"type": "toy_look_up", "params": {"name": "x"}}}, "outputs": {"r": "n"}}
    )
    with pytest.raises(WorkflowError, match=r"nodes\.n: toy_look_up fails: KeyError: 'x'"):
        plan(expand(document, MORE), MORE)


def test_constants_that_take_long_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphflow.planning.keys.LIMITS", replace(LIMITS, folding=0.0))
    nodes = {f"n{value}": {"type": "toy_number", "params": {"value": value}} for value in range(3)}
    document = parse({"graphflow": 1, "nodes": nodes, "outputs": {name: name for name in nodes}})
    with pytest.raises(LimitError, match=r"nodes\.n1: constants take more than 0 s to compute"):
        plan(expand(document, MORE), MORE)


def test_a_missing_link_is_offered_the_output_of_another_node() -> None:
    def said(*names: str) -> list[str]:
        nodes = {name: {"type": "toy_turn"} for name in names}
        document = parse({"graphflow": 2, "nodes": nodes, "outputs": {"r": "n"}})
        return [str(problem) for problem in validate(expand(document, MORE).flat, MORE).problems]

    needs = "nodes.n.links.image: toy_turn needs a link to an image for 'image'"
    assert said("n") == [needs]
    assert said("n", "other")[0] == f"{needs} ('other.image' would fit)"


def written(data: dict[str, Any], inputs: dict[str, Any] | None = None, overrides: dict[str, Any] | None = None) -> Any:
    """Return what a session finds in a document, with values that a caller gives."""
    return Session(Settings(models=()), known=TOYS).validate(parse({"graphflow": 2, **data}), inputs, overrides)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"params": {"x": "one"}}, "nodes.n.params.x: must be a number, got 'one'"),
        ({"links": {"x": "b"}}, "nodes.n.links.x: there is no node 'b' (add it or remove the link)"),
        ({"links": {"x": "n"}}, "nodes.n: a cycle: n → n (remove one of these links)"),
        ({}, None),
    ],
)
def test_what_a_given_value_covers_is_checked(entry: dict[str, Any], expected: str | None) -> None:
    data = {
        "nodes": {"n": {"type": "toy_add", **entry}},
        "inputs": {"x": {"to": ["n.x"]}},
        "outputs": {"r": "n"},
    }
    for inputs, overrides in (({"x": 1.0}, {}), ({}, {"n.x": 1.0})):
        assert [str(problem) for problem in written(data, inputs, overrides).problems] == (
            [expected] if expected else []
        )


def test_what_an_outer_workflow_covers_is_checked_and_what_no_node_runs_is_told() -> None:
    inner: dict[str, Any] = {
        "inputs": {"x": {"to": ["n.x"]}, "y": {"to": ["n.y"]}},
        "nodes": {"n": {"type": "toy_add", "params": {"x": "one"}}, "m": {"type": "toy_ad"}},
        "outputs": {"r": "n"},
    }
    data: dict[str, Any] = {
        "nodes": {"host": {"type": "workflow:add", "params": {"x": 1.0}}},
        "outputs": {"r": "host"},
        "workflows": {"add": inner, "other": {"nodes": {"n": {"type": "toy_add"}}}},
    }
    found = written(data)
    inside = [
        "nodes.host:m.type: the node type 'toy_ad' is unknown (did you mean 'toy_add'?)",
        "workflows.add.nodes.n.params.x: must be a number, got 'one'",
    ]
    assert [str(problem) for problem in found.problems] == inside
    middle = {
        "inputs": {"y": {"to": ["host.y"]}},
        "nodes": {"host": {"type": "workflow:add", "params": {"x": 1.0, "y": "two"}}},
        "outputs": {"r": "host"},
    }
    nested = {**data, "nodes": {"top": {"type": "workflow:middle", "params": {"y": 2.0}}}, "outputs": {"r": "top"}}
    nested["workflows"] = {"middle": middle, **data["workflows"]}
    assert [str(problem) for problem in written(nested).problems] == [
        inside[0].replace("host:", "top:host:"),
        "workflows.middle.nodes.host:n.params.y: must be a number, got 'two'",
        inside[1],
    ]
    assert found.notices == [
        "no node runs this inner workflow: workflows.other.nodes.n.params.x: toy_add needs a value (float) for 'x'"
    ]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Euler a", "'euler_ancestral'"),
        ("Euler A CFG++", "'euler_ancestral_cfg_pp'"),
        ("DPM++ 2M", "'dpmpp_2m'"),
        ("DPM++ 2M Karras", "'dpmpp_2m' or "),
        ("DPM++ 2S a", "'dpmpp_2s_ancestral'"),
        ("DPM2 a", "'dpm_2_ancestral'"),
        ("k_euler_a", "'euler_ancestral' or "),
        ("LMS Karras", "'lms'"),
        ("UniPC", "'uni_pc'"),
        ("EulerAncestralDiscreteScheduler", "'euler_ancestral'"),
        ("eular", "'euler' or "),
    ],
)
def test_what_other_programs_call_a_sampler_is_understood(name: str, near: str) -> None:
    known = installed()
    document = parse({"graphflow": 1, "nodes": {"n": {"type": "select_sampler", "params": {"sampler": name}}}})
    problem = validate(document, known).problems[0]
    assert problem.message == f"must be one of {len(SAMPLER_NAMES)} names, got {name!r}"
    assert problem.advice.startswith(f"did you mean {near}")


def test_many_choices_of_which_none_is_near_are_not_listed() -> None:
    nodes = {"n": {"type": "select_sampler", "params": {"sampler": "qqq"}}}
    problem = validate(parse({"graphflow": 1, "nodes": nodes}), installed()).problems[0]
    assert problem.advice == "`graphflow nodes select_sampler` lists them"
