"""Calls of a sampler that are one: as if each had run alone, but for rounding, and under keys of their own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from graphflow import Session, Workflow, nodes
from graphflow.errors import InvalidInputError
from graphflow.events import Event, NodeFinished, NodeStarted, Notice
from graphflow.planning.unlike import unlike
from graphflow.settings import Settings
from graphflow.spec.decorator import Merging, Seed, node
from graphflow.sweeps import sweep as sweeping
from graphflow.sweeps.axes import make_axis
from graphflow.sweeps.sweep import Sweep, sweep
from tests import toys as toy
from tests.conftest import TOYS, NoModels

CALLS: list[tuple[int, ...]] = []
"""Seeds of each call of the node below."""


def several(calls: Sequence[Mapping[str, Any]]) -> list[float]:
    seeds = tuple(call["seed"] for call in calls)
    CALLS.append(seeds)
    time.sleep(0.02)
    if 13 in seeds:
        raise InvalidInputError("13 brings bad luck")
    if 17 in seeds:
        raise InvalidInputError("17 has to be alone")
    return [call["model"] * 1000 + call["seed"] for call in calls]


@node(
    "toy_merged",
    lane="device",
    generates=True,
    merging=Merging(
        varied=frozenset({"seed"}),
        function=several,
        alone=lambda literals: "it is even" if literals["seed"] % 2 == 0 else None,
        most=lambda width, height: 3,
    ),
)
def merged(model: float, seed: Seed = 0) -> float:
    """Return a number."""
    CALLS.append((seed,))
    if seed == 13:
        raise InvalidInputError("13 brings bad luck")
    return model * 1000 + seed


def graph() -> Workflow:
    g = Workflow("merged")
    g.add(toy.write, x=g.add(merged, model=g.add(toy.load, id="model"), id="draw"), id="save")
    return g


def session(folder: Path) -> Session:
    settings = Settings.model_validate({"models": (), "cache_dir": folder / "cache"})
    return Session(settings, known=TOYS.with_nodes([merged], pack="merged", version="1"), models=NoModels())


def numbers(result: Any) -> list[float]:
    return [float(path.read_text("utf-8")) for path in result.paths]


def test_calls_are_merged_and_each_variant_gets_its_own(tmp_path: Path) -> None:
    CALLS.clear()
    seen: list[Event] = []
    vary = {"model.scale": [1.0, 2.0], "draw.seed": [1, 3, 4, 5, 7, 9]}
    given: dict[str, Any] = {"session": session(tmp_path), "batch": 3, "out": tmp_path / "out", "sink": seen.append}
    result = sweep(graph(), vary, **given)
    assert sorted(CALLS) == [(1, 3, 5), (1, 3, 5), (4,), (4,), (7, 9), (7, 9)]
    assert numbers(result) == [scale * 1000 + seed for scale in (1.0, 2.0) for seed in (1, 3, 4, 5, 7, 9)]
    notices = [event.message for event in seen if isinstance(event, Notice)]
    assert notices == ["draw runs singly: it is even (2 variants)"]
    (least, *_) = sorted(event.seconds for event in seen if isinstance(event, NodeFinished) and "batch" in event.node)
    assert all(variant.seconds >= least / 3 for variant in result.variants if variant.values["draw.seed"] != 4)
    seen.clear()
    sweep(graph(), {"model.scale": [3.0, 4.0], "draw.seed": [1]}, **given)
    notices = [event.message for event in seen if isinstance(event, Notice)]
    assert notices == ["draw runs singly: no other variant differs in seed and prompts only (2 variants)"]
    # Nothing runs again in a new process; and what was merged has keys of its own.
    CALLS.clear()
    again = sweep(graph(), vary, **{**given, "session": session(tmp_path)})
    assert not CALLS and again.paths == result.paths
    sweep(graph(), {"draw.seed": [1, 4]}, session=session(tmp_path), out=tmp_path / "out")
    assert CALLS == [(1,)]


def test_what_fails_in_a_batch_leaves_the_others(tmp_path: Path) -> None:
    CALLS.clear()
    result = sweep(graph(), {"draw.seed": [11, 13, 15]}, session=session(tmp_path), batch=8, out=tmp_path / "out")
    assert CALLS == [(11, 13, 15), (11,), (13,), (15,)]
    assert numbers(result) == [1011.0, 1015.0]
    (failed,) = result.failed
    assert failed.values == {"draw.seed": 13} and "bad luck" in str(failed.error) and "'draw'" in str(failed.error)


def test_what_fails_only_in_a_batch_is_told(tmp_path: Path) -> None:
    seen: list[Event] = []
    given: dict[str, Any] = {"session": session(tmp_path), "batch": 8, "out": tmp_path / "out", "sink": seen.append}
    assert numbers(sweep(graph(), {"draw.seed": [15, 17]}, **given)) == [1015.0, 1017.0]
    (notice,) = (event.message for event in seen if isinstance(event, Notice))
    assert notice == "2 variants run singly, because together they fail: 17 has to be alone"


def test_never_where_a_sampler_looks_at_the_whole_batch(tmp_path: Path) -> None:
    axes = [make_axis("seed", "1..4", place="")]
    vary = {"width": 64, "height": 64}
    with Session() as here:
        steps = [
            (estimate.run, estimate.sampling_steps, estimate.batches, estimate.notices)
            for sampler in ("dpmpp_2m", "dpm_adaptive")
            for estimate in [Sweep("txt2img", axes, here, vary, {"sample.sampler": sampler}).estimate(batch=3)]
        ]
    (merged, its_steps, batches, _), (single, whole, none, notices) = steps
    assert (merged, its_steps, whole) == (single + 2, 4 * 20, 4 * 20)
    assert (batches, none) == ({"sample": {3: 1, 1: 1}}, {})
    assert any("dpm_adaptive depends on all pictures" in notice and "4 variants" in notice for notice in notices)


def test_a_wrong_number_is_told(tmp_path: Path) -> None:
    for wrong in (0, "some"):
        with pytest.raises(InvalidInputError, match="must be 'auto' or a number"):
            sweep(graph(), {"draw.seed": [1]}, session=session(tmp_path), batch=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "vary", "batches"),
    [
        ({"sampler": "dpmpp_2m"}, {"prompt": ["a red circle", "a blue star"], "seed": [1, 2]}, 1),
        ({"sampler": "dpmpp_sde", "noise_layout": "batch"}, {"seed": [1, 2]}, 1),
        ({"sampler": "euler_ancestral", "step_noise": "seed + 1"}, {"seed": [3, 2**40]}, 1),
        ({"sampler": "euler"}, {"sample.steps": [2, 3]}, 0),
    ],
)  # fmt: skip
def test_merged_latents_are_those_of_single_calls(
    settings: dict[str, Any], vary: dict[str, Any], batches: int, tmp_path: Path
) -> None:
    g = Workflow()
    checkpoint = g.add(nodes.load_checkpoint, model="shapes")
    told = {
        side: g.add(nodes.encode_prompt, text_encoder=checkpoint.text_encoder, text=text, id=side)
        for side, text in (("positive", "a green heart"), ("negative", ""))
    }
    latent = g.add(nodes.empty_latent, width=64, height=64, batch_size=2 if len(vary) == 1 else 1)
    sampled = g.add(
        nodes.sample, model=checkpoint.model, latent=latent, id="sample", **{"steps": 2, **settings}, **told
    )
    g.expose("seed", "sample.seed")
    g.expose("prompt", "positive.text")
    g.output("latent", sampled)
    seen: list[Event] = []
    with Session() as here:
        together = sweep(g, vary, session=here, out=tmp_path, batch="auto", sink=seen.append)
        single = sweep(g, vary, session=here, out=tmp_path)
    assert sum(isinstance(event, NodeStarted) and event.node == "sample~batch" for event in seen) == batches
    assert any(isinstance(event, Notice) for event in seen) == (not batches)
    for one, other in zip(single.variants, together.variants, strict=True):
        found, expected = (variant.outputs["latent"].samples for variant in (other, one))
        assert float((found - expected).abs().max()) <= 2e-5 * float(expected.abs().max())


@pytest.mark.parametrize(
    ("settings", "vary", "batches", "told"),
    [
        ({}, {"prompt": ["a red circle", "a blue star"], "noise.seed": [1, 2], "guider.guidance_scale": [3, 6]}, 2, ""),
        ({"adaptive": True}, {"noise.seed": [1, 2]}, 1, "the step size of their sampler"),
        ({"guider": nodes.perp_neg_guider}, {"noise.seed": [1, 2]}, 1, "their guidance depends on all pictures"),
        ({"ramp": True}, {"noise.seed": [1, 2]}, 1, "their guidance depends on all pictures"),
    ],
)  # fmt: skip
def test_custom_sampling_is_merged_or_says_why_not(
    settings: dict[str, Any], vary: dict[str, Any], batches: int, told: str, tmp_path: Path
) -> None:
    g = Workflow()
    checkpoint = g.add(nodes.load_checkpoint, model="shapes")
    model = checkpoint.model
    if settings.get("ramp"):
        model = g.add(nodes.ramp_guidance, model=model)
    sides = {
        side: g.add(nodes.encode_prompt, text_encoder=checkpoint.text_encoder, text=text, id=side)
        for side, text in (("positive", "a green heart"), ("negative", "blue"), ("empty", ""))
    }
    guider = settings.get("guider", nodes.cfg_guider)
    if guider is nodes.cfg_guider:
        del sides["empty"]
    sampled = g.add(
        nodes.sample_custom,
        guider=g.add(guider, model=model, **sides, id="guider"),
        noise=g.add(nodes.random_noise, id="noise"),
        sampler=g.add(nodes.sampler_dpm_adaptive, order=2, rtol=100.0, h_init=2.0)
        if settings.get("adaptive")
        else g.add(nodes.select_sampler, sampler="euler_ancestral"),
        sigmas=g.add(nodes.make_sigmas, model=model, steps=2, schedule="normal"),
        latent=g.add(nodes.empty_latent, width=64, height=64),
        id="sample",
    )
    g.expose("prompt", "positive.text")
    g.output("latent", sampled.latent)
    g.output("denoised", sampled.denoised)
    seen: list[Event] = []
    with Session() as here:
        estimate = Sweep(g, [make_axis(name, values, place="") for name, values in vary.items()], here).estimate(
            batch="auto"
        )
        together = sweep(g, vary, session=here, out=tmp_path, batch="auto", sink=seen.append)
        single = sweep(g, vary, session=here, out=tmp_path)
    assert estimate.sampling_steps == 2 * len(single.variants)
    assert sum(isinstance(event, NodeStarted) and event.node == "sample~batch" for event in seen) == batches
    notices = [event.message for event in seen if isinstance(event, Notice)]
    assert all(told in notice for notice in notices) and bool(notices) == bool(told)
    for one, other in zip(single.variants, together.variants, strict=True):
        for name in ("latent", "denoised"):
            found, expected = (variant.outputs[name].samples for variant in (other, one))
            assert float((found - expected).abs().max()) <= 2e-5 * float(expected.abs().max())


def test_a_record_tells_what_was_sampled_together() -> None:
    (told,) = unlike({"batched": ["sample"]}, {"dtype": "float32"})
    assert str(told) == "sampled with other variants (here alone)"


def test_an_estimate_adds_up_what_its_windows_merge_and_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "WINDOW", 4)
    axes = [make_axis("draw.seed", "1..8", place="")]
    with session(tmp_path) as here:
        told = Sweep(graph(), axes, here).estimate(batch=3)
    assert told.batches == {"draw": {2: 2}}
    assert told.notices == ["draw runs singly: it is even (4 variants)"]
