"""Workflows that tell the model several things, in places and in parts of sampling, judged by their pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graphflow import Workflow, workflows
from graphflow.errors import CancelledError
from graphflow.events import Event, NodeProgress
from graphflow.execution.environment import Cancellation
from graphflow.session import Session
from tests.shapes_judge import judge


def shown(path: Path, left: int = 0, width: int = 128) -> tuple[str, str]:
    """Return the colours of the shape and of the background in a part of a picture."""
    with Image.open(path) as picture:
        part = np.asarray(picture.convert("RGB"))[:, left : left + width]
    verdict = judge(part)
    return (verdict.findings[0].colour if verdict.findings else "nothing", verdict.background)


def run(session: Session, name: str, out: Path, **inputs: Any) -> Path:
    path = workflows.path(name)
    (written,) = session.run(Workflow.load(path), inputs, out=out, folder=path.parent).paths
    return written


def test_each_region_shows_its_prompt(session: Session, tmp_path: Path) -> None:
    picture = run(session, "regional_prompts", tmp_path)
    assert shown(picture, 0) == ("red", "blue")
    assert shown(picture, 128) == ("green", "black")


def test_regions_follow_other_prompts(session: Session, tmp_path: Path) -> None:
    picture = run(
        session,
        "regional_prompts",
        tmp_path,
        left_prompt="a yellow circle on a gray background",
        right_prompt="a red circle on a blue background",
    )
    assert shown(picture, 0) == ("yellow", "gray")
    assert shown(picture, 128) == ("red", "blue")


def test_the_prompt_of_the_later_part_decides_what_it_is_in_time_for(session: Session, tmp_path: Path) -> None:
    assert shown(run(session, "prompt_schedule", tmp_path)) == ("yellow", "blue")
    assert shown(run(session, "prompt_schedule", tmp_path, switch_at=1.0)) == ("red", "blue")


@pytest.mark.parametrize("changes", [{}, {"eta": 0.0, "switch_at": 4}, {"rescale": 1.0, "guidance_scale": 8.0}])
def test_sampling_taken_apart(session: Session, tmp_path: Path, changes: dict[str, Any]) -> None:
    assert shown(run(session, "custom_sampling", tmp_path, **changes)) == ("red", "blue")


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_a_run_stops_between_any_two_steps(session: Session, tmp_path: Path, stop_after: int) -> None:
    cancellation = Cancellation()
    steps: list[int] = []

    def watch(event: Event) -> None:
        if isinstance(event, NodeProgress) and event.node == "sample":
            steps.append(event.step)
            if event.step == stop_after:
                cancellation.cancel()

    path = workflows.path("txt2img")
    with pytest.raises(CancelledError):
        session.run(
            Workflow.load(path), {"steps": 5, "seed": 100 + stop_after}, out=tmp_path, sink=watch,
            cancellation=cancellation,
        )  # fmt: skip
    assert steps == list(range(1, stop_after + 1))
    assert not list(tmp_path.glob("*.png"))
