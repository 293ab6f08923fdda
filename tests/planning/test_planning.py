"""Planning: keys, what runs and why, switches, inner workflows."""

from __future__ import annotations

from typing import Any

import pytest

from graphflow.building.workflow import Workflow
from graphflow.document.document import ExposedInput, NodeEntry, parse
from graphflow.errors import WorkflowError
from graphflow.planning.expand import expand, standing
from graphflow.planning.steps import Plan
from graphflow.session import Session
from tests import toys as toy
from tests.conftest import TOYS, ToySession


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    toy.CALLS.clear()


def picture(seed: int = 7) -> Workflow:
    """Return a graph shaped like text to image: load, sample, finish, write."""
    g = Workflow("picture")
    model = g.add(toy.load, id="model")
    sampled = g.add(toy.sample, model=model, seed=seed, id="sample")
    g.add(toy.write, x=g.add(toy.add, x=sampled, id="finish"), id="save")
    g.expose("seed", "sample.seed")
    return g


def actions(plan: Plan) -> dict[str, str]:
    return {step.id: step.action for step in plan.steps.values()}


def calls() -> list[str]:
    return [name for name, _ in toy.CALLS]


def test_a_first_plan_runs_everything_and_says_why(toys: ToySession) -> None:
    plan = toys.fresh().plan(picture())
    assert actions(plan) == {"model": "run", "sample": "run", "finish": "run", "save": "write"}
    assert plan.steps["sample"].reason == "no result is stored"


def test_nothing_changed_nothing_runs_also_in_a_new_process(toys: ToySession) -> None:
    session = toys.fresh()
    first = session.run(picture(), out=toys.out)
    toy.CALLS.clear()
    for again in (session, toys.fresh()):
        result = again.run(picture(), out=toys.out)
        assert calls() == []
        assert result.plan.count("run") == 0
        assert [file.how for file in result.files["save"]] == ["up to date"]
        assert result.paths == first.paths


def test_a_deleted_file_is_copied_from_the_store(toys: ToySession) -> None:
    first = toys.fresh().run(picture(), out=toys.out)
    data = first.paths[0].read_bytes()
    first.paths[0].unlink()
    toy.CALLS.clear()
    result = toys.fresh().run(picture(), out=toys.out)
    assert calls() == []
    assert [file.how for file in result.files["save"]] == ["copied"]
    assert result.paths[0].read_bytes() == data


def test_another_seed_runs_the_sampler_and_what_follows(toys: ToySession) -> None:
    session = toys.fresh()
    session.run(picture(), out=toys.out)
    toy.CALLS.clear()
    plan = session.plan(picture(), {"seed": 8})
    assert actions(plan) == {"model": "cached", "sample": "run", "finish": "run", "save": "write"}
    assert plan.steps["sample"].reason == "changed: seed 7 → 8"
    assert plan.steps["finish"].reason == "changed: x"
    session.run(picture(), {"seed": 8}, out=toys.out)
    assert calls() == ["sample", "add", "write"]


def test_titles_notes_places_and_order_do_not_enter_a_key(toys: ToySession) -> None:
    session = toys.fresh()
    plain = session.plan(picture())
    g = picture()
    g.document.nodes["sample"].title = "My sampler"
    g.document.nodes["sample"].note = "tuned by hand"
    g.document.nodes["sample"].meta = {"pos": [1, 2]}
    g.document.nodes = dict(reversed(g.document.nodes.items()))
    decorated = session.plan(g)
    assert {i: s.key for i, s in plain.steps.items()} == {i: s.key for i, s in decorated.steps.items()}


@pytest.mark.parametrize(
    ("parameter", "value"), [("sample.seed", 8), ("sample.steps", 4), ("sample.sampler", "heun"), ("model.scale", 2.0)]
)
def test_each_parameter_enters_the_key(toys: ToySession, parameter: str, value: Any) -> None:
    session = toys.fresh()
    before = session.plan(picture()).steps["finish"].key
    after = session.plan(picture(), overrides={parameter: value}).steps["finish"].key
    assert before != after


def test_the_device_and_the_dtype_enter_the_key(toys: ToySession) -> None:
    keys = {
        toys.fresh(device=device, dtype=dtype).plan(picture()).steps["sample"].key
        for device in ("cpu", "cuda")
        for dtype in ("float32", "bfloat16")
    }
    assert len(keys) == 4


def test_equal_nodes_are_computed_once(toys: ToySession) -> None:
    g = Workflow()
    one = g.add(toy.add, x=1.0, id="one")
    two = g.add(toy.add, x=1.0, id="two")
    g.output("sum", g.add(toy.total, parts=[one, two], id="sum"))
    result = toys.fresh().run(g)
    assert result.outputs == {"sum": 4.0}
    assert calls() == ["add", "sum"]
    assert result.plan.steps["two"].reason == "is the same as one"


def test_only_what_the_targets_need_is_planned(toys: ToySession) -> None:
    g = picture()
    g.add(toy.fail, x=1.0, id="dead")
    result = toys.fresh().run(g, targets=["sample"], out=toys.out)
    assert list(result.values) == ["sample.float"] or list(result.values) == ["sample.value"]
    assert set(result.plan.steps) == {"model", "sample"}
    assert not toys.out.exists()


def test_a_switch_with_a_literal_is_settled_while_planning(toys: ToySession) -> None:
    g = Workflow()
    good, bad = g.add(toy.add, x=1.0, id="good"), g.add(toy.fail, x=1.0, id="bad")
    choice = g.add(toy.switch, select=True, on_true=good, on_false=bad, id="choice")
    g.output("result", g.add(toy.add, x=choice, id="after"))
    direct = Workflow()
    direct.output("result", direct.add(toy.add, x=direct.add(toy.add, x=1.0, id="good"), id="after"))
    session = toys.fresh()
    plan = session.plan(g)
    assert "bad" not in plan.steps or plan.steps["bad"].action == "skipped"
    assert plan.steps["after"].key == session.plan(direct).steps["after"].key
    assert session.run(g).outputs == {"result": 3.0}


def test_a_folded_selector_is_settled_while_planning(toys: ToySession) -> None:
    g = Workflow()
    links = [g.add(toy.add, x=float(i), id=f"n{i}") for i in range(3)]
    g.output("result", g.add(toy.pick, index=g.add(toy.number, value=2), options=links))
    result = toys.fresh().run(g)
    assert result.outputs == {"result": 3.0}
    assert calls() == ["add"]


@pytest.mark.parametrize(("x", "expected"), [(1.0, 11.0), (-1.0, 21.0)])
def test_a_computed_selector_is_a_stage_boundary(toys: ToySession, x: float, expected: float) -> None:
    g = Workflow()
    yes, no = g.add(toy.add, x=10.0, id="yes"), g.add(toy.add, x=20.0, id="no")
    selector = g.add(toy.positive, x=x, id="selector")
    choice = g.add(toy.switch, select=selector, on_true=yes, on_false=no, id="choice")
    g.add(toy.write, x=choice, id="save")
    session = toys.fresh()
    assert actions(session.plan(g)) == {
        "selector": "run", "yes": "conditional", "no": "conditional", "choice": "conditional", "save": "conditional"
    }  # fmt: skip
    result = session.run(g, out=toys.out)
    assert result.paths[0].read_text("utf-8") == repr(expected)
    assert calls() == ["positive", "add", "write"]


def test_an_index_out_of_range_is_a_problem(toys: ToySession) -> None:
    g = Workflow()
    g.output("result", g.add(toy.pick, index=5, options=[g.add(toy.add, x=1.0)], id="pick"))
    with pytest.raises(WorkflowError, match=r"nodes\.pick: the selector chooses number 5 of 1 links"):
        toys.fresh().plan(g)


def test_a_mapped_node_runs_once_per_element_and_shorter_lists_repeat_their_last(toys: ToySession) -> None:
    g = Workflow()
    numbers = g.add(toy.counted, count=4, id="numbers")
    plus = g.add(toy.counted, count=2, start=10, id="plus")
    g.output("result", g.add(toy.double, x=numbers, plus=plus))
    assert toys.fresh().run(g).outputs == {"result": (10, 13, 15, 17)}


def test_a_sequence_into_a_node_that_is_not_mapped_is_refused(toys: ToySession) -> None:
    g = Workflow()
    g.output("result", g.add(toy.add, x=g.add(toy.counted, count=2, id="numbers"), id="add"))
    with pytest.raises(WorkflowError, match="takes one at a time"):
        toys.fresh().plan(g)


def test_inner_workflows_unfold_and_share_keys(toys: ToySession) -> None:
    inner = Workflow("add twice")
    first = inner.add(toy.add, x=0.0, id="first")
    inner.output("result", inner.add(toy.add, x=first, id="second"))
    inner.expose("x", "first.x")
    inner.expose("y", "first.y", "second.y")
    middle = Workflow("add four")
    middle.embed("twice", inner)
    once = middle.use("twice", id="once")
    middle.output("result", middle.use("twice", x=once, id="again").result)
    middle.expose("x", "once.x")
    g = Workflow("outer")
    g.embed("four", middle)
    start = g.add(toy.add, x=1.0, id="start")
    g.output("result", g.use("four", x=start, id="host").result)
    session = toys.fresh()
    plan = session.plan(g)
    assert set(plan.steps) == {"start", "host:once:first", "host:once:second", "host:again:first", "host:again:second"}
    assert session.run(g).outputs == {"result": 6.0}
    assert Workflow.from_json(g.to_json()) == g


def test_an_inner_workflow_that_contains_itself_is_refused(toys: ToySession) -> None:
    g = Workflow.from_json(
        {
            "graphflow": 2,
            "nodes": {"a": {"type": "workflow:loop"}},
            "outputs": {"r": "a"},
            "workflows": {"loop": {"graphflow": 2, "nodes": {"b": {"type": "workflow:loop"}}, "outputs": {"r": "b"}}},
        }
    )
    with pytest.raises(WorkflowError, match="a workflow contains itself: loop > loop"):
        toys.fresh().plan(g)


def test_a_random_seed_is_drawn_and_recorded(toys: ToySession) -> None:
    session = toys.fresh()
    g = picture()
    g.document.nodes["sample"].params["seed"] = "random"
    first, second = session.expand(g), session.expand(g)
    seeds = [expanded.document.nodes["sample"].params["seed"] for expanded in (first, second)]
    assert all(isinstance(seed, int) for seed in seeds)
    assert seeds[0] != seeds[1]
    record = session.plan(first).steps["save"].record
    assert record is not None
    assert record["workflow"]["nodes"]["sample"]["params"]["seed"] == seeds[0]


def test_a_user_file_counts_by_content(toys: ToySession) -> None:
    toys.folder.joinpath("in").mkdir()
    note = toys.folder / "in" / "note.txt"
    note.write_text("one", "utf-8")
    g = Workflow()
    g.output("result", g.add(toy.read, file="note.txt", id="read"))

    def run(session: Session) -> Any:
        return session.run(g, input_folder=note.parent).outputs["result"]

    assert run(toys.fresh()) == "one"
    note.touch()
    session = toys.fresh()
    assert run(session) == "one"
    note.write_text("other", "utf-8")
    assert run(session) == "other"


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/passwd", "C:\\secret.txt", "a/../../secret.txt"])
def test_a_document_cannot_name_files_outside_its_folders(toys: ToySession, name: str) -> None:
    folder = toys.folder / "in"
    folder.mkdir()
    (toys.folder / "secret.txt").write_text("secret", "utf-8")
    g = Workflow()
    g.output("result", g.add(toy.read, file=name, id="read"))
    with pytest.raises(WorkflowError, match=r"nodes\.read\.params\.file: .*(leads out of|there is no file)"):
        toys.fresh().plan(Workflow.from_json(g.to_json()), input_folder=folder)


def test_a_missing_file_is_told_its_nearest_name_but_no_workflow(toys: ToySession) -> None:
    folder = toys.folder / "in"
    folder.mkdir()
    (folder / "harbour.json").write_text("{}", "utf-8")
    g = Workflow()
    g.output("result", g.add(toy.read, file="harbor.txt", id="read"))
    with pytest.raises(WorkflowError, match=r"there is no file 'harbor.txt' in .* \(put it there"):
        toys.fresh().plan(g, input_folder=folder)
    (folder / "harbour.txt").write_text("", "utf-8")
    with pytest.raises(WorkflowError, match=r"did you mean 'harbour.txt'\?"):
        toys.fresh().plan(g, input_folder=folder)


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-of-this-name/x.txt", "a\0b"])
def test_a_name_that_no_file_can_have_is_a_problem_among_others(toys: ToySession, name: str) -> None:
    g = Workflow()
    g.output("result", g.add(toy.read, file="x", id="read"))
    g.output("other", g.add(toy.read, file="missing.txt", id="other"))
    with pytest.raises(WorkflowError) as caught:
        toys.fresh().plan(g, overrides={"read.file": name}, folder=toys.folder)
    assert [problem.path for problem in caught.value.problems] == [
        "nodes.read.params.file",
        "nodes.other.params.file",
    ]


def test_the_caller_may_name_any_file(toys: ToySession) -> None:
    secret = toys.folder / "secret.txt"
    secret.write_text("mine", "utf-8")
    g = Workflow()
    g.output("result", g.add(toy.read, file="x", id="read"))
    assert toys.fresh().run(g, overrides={"read.file": str(secret)}).outputs == {"result": "mine"}


def _nested(file: str, levels: int) -> Workflow:
    """Return a graph that reads a file ``levels`` inner workflows deep, with the file as an input of each."""
    g = Workflow()
    g.output("result", g.add(toy.read, file=file, id="read"))
    g.expose("file", "read.file")
    for level in range(levels):
        outer = Workflow()
        outer.embed(f"inner{level}", g)
        outer.output("result", outer.use(f"inner{level}", id="host").result)
        outer.expose("file", "host.file")
        g = outer
    return g


@pytest.mark.parametrize("levels", [0, 1, 3])
@pytest.mark.parametrize("loaded", [False, True])
def test_what_the_caller_gives_may_name_any_file_through_inner_workflows(
    toys: ToySession, levels: int, loaded: bool
) -> None:
    secret = toys.folder / "secret.txt"
    secret.write_text("mine", "utf-8")
    g = _nested("absent", levels)
    if loaded:
        g = Workflow.from_json(g.to_json())
    session = toys.fresh()
    assert session.run(g, {"file": str(secret)}).outputs == {"result": "mine"}
    target = "host.file" if levels else "read.file"
    assert session.run(g, overrides={target: str(secret)}).outputs == {"result": "mine"}
    with pytest.raises(WorkflowError, match="leads out of"):
        session.run(g, overrides={target: "/etc/passwd-is-not-here"})


@pytest.mark.parametrize("levels", [0, 1, 3])
def test_what_python_code_builds_may_name_any_file_and_what_is_loaded_may_not(toys: ToySession, levels: int) -> None:
    secret = toys.folder / "secret.txt"
    secret.write_text("mine", "utf-8")
    session = toys.fresh()
    built = _nested(str(secret), levels)
    assert session.run(built).outputs == {"result": "mine"}
    with pytest.raises(WorkflowError, match="leads out of"):
        session.run(Workflow.from_json(built.to_json()))


def test_a_loaded_value_is_not_trusted_where_the_inner_workflow_is() -> None:
    g = _nested("/mine", 1)
    g.document.nodes["host"].params["file"] = "/of/the/document"  # as a file has it
    expanded = expand(g.document, TOYS, own=g.own)
    assert expanded.flat.nodes["host:read"].params == {"file": "/of/the/document"}
    assert expanded.trusted == frozenset()
    assert expand(g.document, TOYS, own=g.own, inputs={"file": "/other"}).trusted == {("host:read", "file")}


def test_an_ordinary_node_is_no_host_of_an_inner_workflow_of_its_name() -> None:
    inner = Workflow()
    inner.add(toy.read, file="/mine", id="read")
    g = Workflow()
    g.embed("toy_load", inner)
    g.add(toy.load, id="load")
    assert ("load:read", "file") not in g.own


def test_every_seed_that_was_drawn_is_told_once(toys: ToySession) -> None:
    inner = Workflow()
    inner.output("x", inner.add(toy.sample, model=1.0, id="draw"))
    inner.document.nodes["draw"].params["seed"] = "random"
    g = picture()
    g.document.workflows["inner"] = inner.document
    for name in ("one", "two"):
        g.document.nodes[name] = NodeEntry(type="workflow:inner")
        g.document.outputs[name] = name
    g.document.nodes["sample"].params["seed"] = "random"
    expanded = toys.fresh().expand(g)
    told = {address: expanded.flat.nodes[address.rpartition(".")[0]].params["seed"] for address in expanded.seeds}
    assert expanded.seeds == told
    assert sorted(told) == ["one:draw.seed", "sample.seed", "two:draw.seed"]
    assert toys.fresh().expand(picture()).seeds == {}


def _pairs(levels: int) -> Workflow:
    """Return a graph with ``2 ** levels`` samplers in inner workflows whose seeds are random, and one that is given."""
    g = Workflow()
    g.output("x", g.add(toy.sample, model=1.0, id="draw:1"))
    g.document.nodes["draw:1"].params["seed"] = "random"
    for level in range(levels):
        outer = Workflow()
        outer.embed(f"pair{level}", g)
        parts = [outer.use(f"pair{level}", id=name).x for name in ("a", "b")]
        outer.output("x", outer.add(toy.total, parts=parts, id="sum"))
        g = outer
    g.add(toy.write, x=g.add(toy.sample, model=1.0, seed=3, id="sample"), id="save")
    g.expose("steps", "sample.steps")
    return g


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_what_is_run_is_what_is_saved(toys: ToySession, levels: int) -> None:
    session = toys.fresh()
    plan = session.plan(_pairs(levels), {"steps": 4}, {"sample.seed": 5})
    record = plan.steps["save"].record
    assert record is not None
    assert record["record"]["packs"] == {"toys": "1.0"}
    saved = parse(record["workflow"])
    assert saved.nodes["sample"].params == {"model": 1.0, "seed": 5, "steps": 4}
    again = session.plan(saved)
    assert {name: step.key for name, step in again.steps.items()} == {
        name: step.key for name, step in plan.steps.items()
    }
    assert again.expanded.seeds == {}
    assert again.expanded.document == saved
    seeds = plan.expanded.seeds
    assert len(set(seeds.values())) == len(seeds) == 2**levels
    assert {
        address: plan.expanded.flat.nodes[address.removesuffix(".seed")].params["seed"] for address in seeds
    } == seeds


def test_a_seed_inside_that_the_outer_workflow_gives_is_not_drawn(toys: ToySession) -> None:
    g = _pairs(1)
    g.document.workflows["pair0"].inputs["both"] = ExposedInput(to=["draw:1.seed", "draw:1.steps"])
    g.document.nodes["a"].params["both"] = 9
    g.document.nodes["b"].params["both"] = "random"
    expanded = toys.fresh().expand(g)
    assert expanded.flat.nodes["a:draw:1"].params["seed"] == 9
    assert list(expanded.seeds) == ["b:draw:1.seed", "b:draw:1.steps"]


def test_set_wins_over_inputs_and_inputs_over_the_document(toys: ToySession) -> None:
    g = picture()
    g.expose("steps", "sample.steps")
    g.expose("both", "sample.steps", "sample.seed")
    session = toys.fresh()

    def steps(inputs: dict[str, Any], overrides: dict[str, Any]) -> Any:
        return session.expand(g, inputs, overrides).document.nodes["sample"].params.get("steps")

    assert steps({}, {}) is None
    assert steps({"steps": 4}, {}) == 4
    assert steps({"steps": 4}, {"sample.steps": 5}) == 5
    assert session.expand(g, {"both": 6}).document.nodes["sample"].params == {"seed": 6, "steps": 6}
    shown = {name: str(standing(g.document, TOYS, name)) for name in g.document.inputs}
    assert shown == {"seed": "7", "steps": "3", "both": "several"}
    g.document.nodes["sample"].links["steps"] = "model"
    assert str(standing(g.document, TOYS, "steps")) == "model"
