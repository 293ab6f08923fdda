"""Which weights a plan says that it loads; nothing here imports torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphflow import Session, Workflow
from graphflow.nodes import empty_latent, encode_prompt, load_checkpoint, sample, save_image, vae_decode
from graphflow.planning.files import add_up
from graphflow.planning.steps import Plan, output_key
from graphflow.planning.weights import loaded_weights
from graphflow.settings import Settings
from graphflow.store import MemoryTier, Store


@pytest.fixture
def session(tmp_path: Path) -> Session:
    settings = Settings.model_validate({"models": (), "cache_dir": tmp_path, "device": "cpu", "offline": True})
    return Session(settings, store=Store(MemoryTier(2**20)))


@pytest.fixture
def workflow() -> Workflow:
    g = Workflow("picture")
    checkpoint = g.add(load_checkpoint, model="shapes", id="checkpoint")
    encoder = checkpoint.text_encoder
    positive = g.add(encode_prompt, text_encoder=encoder, text="a red circle", id="positive")
    negative = g.add(encode_prompt, text_encoder=encoder, text="", id="negative")
    latent = g.add(empty_latent, width=128, height=128, id="latent")
    sampled = g.add(
        sample, model=checkpoint.model, positive=positive, negative=negative, latent=latent, seed=1, id="sample"
    )
    g.add(save_image, images=g.add(vae_decode, vae=checkpoint.vae, latent=sampled, id="decode"), id="save")
    return g


def stored(session: Session, plan: Plan, *nodes: str) -> None:
    for node in nodes:
        step = plan.steps[node]
        for output in step.spec.outputs:
            session.store.memory.put(output_key(step.key or "", output.name), object(), 1)


def loaded(plan: Plan) -> int:
    return sum(sum(sizes.values()) for _, sizes in loaded_weights(plan)["checkpoint"])


def part(plan: Plan, *names: str) -> int:
    (use,) = plan.steps["checkpoint"].files
    return sum(add_up(use.part_bytes[name] for name in names).values())


def test_every_part_that_something_computes_with(session: Session, workflow: Workflow) -> None:
    plan = session.plan(workflow, safety="off")
    assert loaded(plan) == part(plan, "unet", "text_encoder", "vae") > 0
    checked = session.plan(workflow, safety="auto")
    assert loaded(checked) - loaded(plan) == part(plan, "safety_checker") > 0


def test_no_text_encoder_for_stored_prompts(session: Session, workflow: Workflow) -> None:
    stored(session, session.plan(workflow, safety="off"), "positive", "negative")
    plan = session.plan(workflow, safety="off")
    assert plan.steps["positive"].action == "cached"
    assert loaded(plan) == part(plan, "unet", "vae")


def test_only_the_decoder_for_a_stored_latent(session: Session, workflow: Workflow) -> None:
    stored(session, session.plan(workflow, safety="off"), "sample")
    plan = session.plan(workflow, safety="off")
    assert loaded(plan) == part(plan, "vae")


def test_nothing_for_a_stored_picture(session: Session, workflow: Workflow) -> None:
    stored(session, session.plan(workflow, safety="off"), "decode")
    plan = session.plan(workflow, safety="off")
    assert all(sizes == {} for files in loaded_weights(plan).values() for _, sizes in files)
