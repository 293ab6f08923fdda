"""Real workflows: the official templates, as they are and mutated."""

from __future__ import annotations

import json
import re

import pytest

from graphflow.converters.comfyui import to_prompt
from graphflow.converters.comfyui.pruning import link_of

from .fuzz import template, templates

NAMES = templates()
SAMPLE = NAMES[::6]


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
