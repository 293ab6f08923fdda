"""One workflow with many values: what they have in common runs once, each variant is as if it had run alone."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import graphflow
from graphflow import Cancellation, Workflow, nodes
from graphflow.document.opening import opened
from graphflow.errors import CancelledError, GraphflowError, WorkflowError
from graphflow.events import Event, NodeStarted
from graphflow.planning.together import merge, variant_of
from graphflow.reproduce.carried import carried
from graphflow.reproduce.content import compare
from graphflow.reproduce.verify import verify
from graphflow.sweeps import sweep as sweeping
from graphflow.sweeps.axes import make_axis
from graphflow.sweeps.sweep import Sweep
from tests import toys as toy
from tests.conftest import ToySession


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    toy.CALLS.clear()


def called() -> Counter[str]:
    return Counter(name for name, _ in toy.CALLS)


def chain() -> Workflow:
    g = Workflow("chain")
    sampled = g.add(toy.sample, model=g.add(toy.load, id="model"), seed=7, id="sample")
    g.add(toy.write, x=g.add(toy.add, x=sampled, id="plus"), id="save")
    g.expose("seed", "sample.seed")
    return g


@pytest.mark.parametrize("window", [1_000, 1, 3])
def test_common_work_runs_once_and_each_variant_has_its_files(
    toys: ToySession, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(sweeping, "WINDOW", window)
    result = chain().sweep({"seed": "1..3", "plus.y": [0.5, 0.25]}, session=toys.fresh(), out=toys.out)
    assert called() == {"load": 1, "sample": 3, "add": 6, "write": 6}
    wanted = [1000 + seed + 3 / 1000 + y for seed in (1, 2, 3) for y in (0.5, 0.25)]
    assert [float(path.read_text("utf-8")) for path in result.paths] == wanted
    assert [dict(variant.values) for variant in result.variants][1] == {"seed": 1, "plus.y": 0.25}
    table = json.loads((toys.out / "chain-sweep_00001.json").read_text("utf-8"))
    assert [row["files"] for row in table] == [[path.name] for path in result.paths]
    lines = (toys.out / "chain-sweep_00001.csv").read_text("utf-8").splitlines()
    assert lines[:2] == ["variant,seed,plus.y,files,error", f"0,1,0.5,{result.paths[0].name},"]


def test_the_same_sweep_goes_on_where_it_was_stopped(toys: ToySession) -> None:
    cancellation, begun = Cancellation(), list[NodeStarted]()

    def stop(event: Event) -> None:
        if isinstance(event, NodeStarted) and event.node == "sample":
            begun.append(event)
            if len(begun) == 3:
                cancellation.cancel()

    with pytest.raises(CancelledError):
        chain().sweep({"seed": "1..5"}, session=toys.fresh(), out=toys.out, sink=stop, cancellation=cancellation)
    assert [event.variant for event in begun] == [0, 1, 2]
    toy.CALLS.clear()
    result = chain().sweep({"seed": "1..5"}, session=toys.fresh(), out=toys.out)
    assert [seed for name, seed in toy.CALLS if name == "sample"] == [3, 4, 5] and len(set(result.paths)) == 5
    toy.CALLS.clear()
    again = chain().sweep({"seed": "1..5"}, session=toys.fresh(), out=toys.out)
    assert not toy.CALLS and again.paths == result.paths and again.summary == result.summary


def test_copies_of_stored_files_are_numbered_in_the_order_of_the_variants(toys: ToySession) -> None:
    vary: dict[str, Any] = {"seed": "8..1"}
    chain().sweep(vary, session=toys.fresh(), out=toys.out)
    copied = chain().sweep(vary, session=toys.fresh(), out=toys.out / "again")
    values = [float(path.read_text("utf-8")) for path in sorted(copied.paths)]
    assert values == sorted(values, reverse=True)
    assert "8 files copied" in copied.totals and copied.paths == sorted(copied.paths)


def test_what_fails_leaves_the_others(toys: ToySession) -> None:
    g = Workflow("some fail")
    sides = {"on_false": g.add(toy.load, id="good"), "on_true": g.add(toy.fail, x=1, id="bad")}
    g.add(toy.write, x=g.add(toy.switch, select=False, id="which", **sides), id="save")
    result = g.sweep({"which.select": [False, True], "save.name": "a,b"}, session=toys.fresh(), out=toys.out)
    assert [path.name for path in result.paths] == ["a_00001.txt", "b_00001.txt"]
    assert [variant.number for variant in result.failed] == [2, 3]
    assert "broken" in str(result.failed[0].error) and "2 failed" in result.totals


def test_a_computed_switch_is_decided_for_each_variant(toys: ToySession) -> None:
    g = Workflow("signs")
    number = g.add(toy.load, scale=1.0, id="number")
    sides = {"on_true": g.add(toy.load, name="plus", scale=1.0), "on_false": g.add(toy.add, x=number, y=-1.0)}
    g.output("it", g.add(toy.switch, select=g.add(toy.positive, x=number), **sides))
    result = g.sweep({"number.scale": [-2.0, 3.0, -4.0]}, session=toys.fresh(), out=toys.out)
    assert [variant.outputs["it"] for variant in result.variants] == [-3.0, 1.0, -5.0]
    assert called()["positive"] == 3


def test_a_random_seed_is_one_for_all_and_several_where_it_is_varied(toys: ToySession) -> None:
    g = chain()
    shared = g.sweep({"plus.y": [1, 2]}, inputs={"seed": "random"}, session=toys.fresh(), out=toys.out)
    assert called()["sample"] == 1 and list(shared.seeds) == ["sample.seed"]
    varied = g.sweep({"seed": "random,random"}, session=toys.fresh(), out=toys.out)
    first, second = (variant.values["seed"] for variant in varied.variants)
    assert first != second and {("sample", first), ("sample", second)} <= set(toy.CALLS)


def test_all_that_is_wrong_is_told_before_anything_runs(toys: ToySession) -> None:
    with pytest.raises(WorkflowError) as caught:
        rows = [{"plus.y": 1}, {"plus.y": "x", "stps": 2}]
        chain().sweep({"seed": [-1, 1], "sample.steps": [3, 0]}, rows=rows, session=toys.fresh(), out=toys.out)
    assert {problem.path for problem in caught.value.problems} == {
        "vary seed: nodes.sample.params.seed",
        "vary sample.steps: nodes.sample.params.steps",
        "rows, row 2: nodes.plus.params.y",
        "rows, row 2: inputs.stps",
    }
    with pytest.raises(GraphflowError, match="set the same parameter"):
        chain().sweep({"seed": [1], "sample.seed": [2]}, session=toys.fresh(), out=toys.out)
    with pytest.raises(GraphflowError, match="given twice"):
        chain().sweep({"seed": [1]}, inputs={"seed": 2}, session=toys.fresh(), out=toys.out)
    assert not toy.CALLS


def test_models_are_through_before_the_next_where_they_do_not_fit_together() -> None:
    with graphflow.Session() as session:
        axes = [make_axis("seed", "1..3", place=""), make_axis("prompt", "a red circle,a blue star", place="")]
        sweep = Sweep(opened("txt2img"), axes, session)
        plans = {number: session.plan(sweep.expanded(number)) for number in range(6)}
    order = {
        fit: sorted(plan.steps, key=plan.ranks.__getitem__)
        for fit, plan in ((fit, merge(plans, all_fit=fit).plan) for fit in (True, False))
    }
    assert [variant_of(step)[0] for step in order[True] if step.endswith("/sample")] == list(range(6))
    ranks = merge(plans, all_fit=False).plan.ranks
    texts, samples, decoded = (
        {rank for step, rank in ranks.items() if step.endswith(name)} for name in ("/positive", "/sample", "/decode")
    )
    assert max(texts) < min(samples) and max(samples) < min(decoded)


def test_a_grid_shows_each_picture_at_its_place_and_a_picture_tells_its_own_values(tmp_path: Path) -> None:
    g = Workflow("colours")
    image = g.add(nodes.solid_image, width=48, height=32, color="#000000", id="image")
    g.add(nodes.save_image, images=image, id="save")
    vary: dict[str, Any] = {"image.height": [32, 16], "image.color": ["#ff0000", "#00ff00", "#0000ff"]}
    result = g.sweep(vary, out=tmp_path)
    with Image.open(result.paths[5]) as last:
        params = json.loads(last.info["graphflow"])["nodes"]["image"]["params"]
        assert (params["height"], params["color"]) == (16, "#0000ff")
    (path,) = (path for path in result.summary if path.suffix == ".png")
    with Image.open(path) as grid:
        shown = grid.convert("RGB")
    reds, greens, blues = (
        {(x, y) for x in range(shown.width) for y in range(shown.height) if shown.getpixel((x, y)) == colour}
        for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    )
    assert len(reds) == len(greens) == len(blues) == 48 * (32 + 16)
    assert max(x for x, _ in reds) < min(x for x, _ in greens) < max(x for x, _ in greens) < min(x for x, _ in blues)
    dark = [x for x in range(shown.width) for y in range(shown.height) if sum(shown.getpixel((x, y))) < 90]  # type: ignore[arg-type]
    assert min(dark) < min(x for x, _ in reds)  # the label of a row
    assert carried(path).pictures == tuple(result.paths)
    verdicts = verify([path], lambda settings: graphflow.Session(graphflow.Settings.model_validate(settings)))
    assert [verdict.path for verdict in verdicts] == list(result.paths) and all(verdict.ok for verdict in verdicts)


def test_tables_and_labels_name_files_without_their_folders(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    for colour in ("red", "blue"):
        Image.new("RGB", (16, 16), colour).save(private / f"{colour}.png")
    g = Workflow("files")
    g.add(nodes.save_image, images=g.add(nodes.load_image, file="none.png", id="load").image, id="save")
    given = [str(private / name) for name in ("red.png", "blue.png")]
    result = g.sweep({"load.file": given}, out=tmp_path / "out")
    assert [variant.values["load.file"] for variant in result.variants] == ["red.png", "blue.png"]
    assert len(result.summary) == 3
    assert not [path for path in (tmp_path / "out").iterdir() if b"private" in path.read_bytes()]
    for name in ("red.png", "blue.png"):
        shutil.copy(private / name, tmp_path / name)
    near = g.sweep({"load.file": [str(tmp_path / name) for name in ("red.png", "blue.png")]}, out=tmp_path / "near")
    grids = [next(path for path in swept.summary if path.suffix == ".png") for swept in (result, near)]
    assert compare(*grids).same  # labels, too
