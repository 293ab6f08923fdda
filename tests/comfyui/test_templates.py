"""Real workflows: the official templates, as they are and mutated."""

from __future__ import annotations

import json
import re

import pytest

from graphflow.converters.comfyui import to_prompt
from graphflow.converters.comfyui.pruning import link_of

from .fuzz import attempt, run, template, templates

NAMES = templates()
SAMPLE = NAMES[::6]
FUZZED = 300


def test_there_are_as_many_templates_as_expected() -> None:
    assert len(NAMES) > 300


@pytest.mark.parametrize("name", SAMPLE)
def test_templates_flatten_to_sound_prompts(name: str) -> None:
    result = to_prompt(template(name))
    assert result.outputs
    assert set(result.outputs) <= set(result.live) <= set(result.prompt)
    assert set(result.dead) == set(result.prompt) - set(result.live)
    for prompt in (result.prompt, result.live):
        for id, node in prompt.items():
            assert re.fullmatch(r"-?\d+(:-?\d+)*", id)
            assert node["class_type"] and node["_meta"]["title"]
            for value in node["inputs"].values():
                link = link_of(value)
                assert link is None or link[0] in prompt
    assert to_prompt(json.dumps(result.prompt).encode()).prompt == result.prompt


def test_most_switches_of_the_templates_fold() -> None:
    notes = [note.code for name in SAMPLE for note in to_prompt(template(name)).notes]
    assert notes.count("switch") > 10 * notes.count("switch-computed")


@pytest.mark.soak
def test_mutated_templates_give_a_prompt_or_a_clear_error() -> None:
    outcomes = list(run(seed=0, count=FUZZED, largest=60_000))
    assert len(outcomes) == FUZZED
    assert [outcome for outcome in outcomes if outcome.verdict not in ("prompt", "error")] == []
    assert {outcome.verdict for outcome in outcomes} == {"prompt", "error"}


def test_the_fuzzer_notices_what_is_no_clear_error() -> None:
    assert attempt("none", b"{").verdict == "error"
    assert attempt("none", template(NAMES[0])).verdict == "prompt"
    assert attempt("none", 5).verdict == "crash"  # type: ignore[arg-type]
