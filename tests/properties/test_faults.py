"""Faults put into every node of a whole workflow: memory runs out, the user interrupts, networks make NaN."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from graphflow import Workflow, events, workflows
from graphflow.basics.finite import NonFiniteError
from graphflow.errors import CancelledError, NodeError, OutOfMemoryError
from graphflow.events import Event
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec import registry
from graphflow.spec.registry import Registry

NODES = ("checkpoint", "positive", "negative", "latent", "sample", "decode", "save")
STEPS = 3


def pixels(png: bytes) -> npt.NDArray[np.int16]:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture, dtype=np.int16)


def load() -> Workflow:
    return Workflow.load(workflows.path("txt2img"))


def make(folder: Path, known: Registry) -> Session:
    given = {"models": (), "cache_dir": folder / "cache", "cache_bytes": 0, "device": "cpu", "offline": True}
    return Session(Settings.model_validate(given), known=known)


def failing_once(known: Registry, type: str, fault: Callable[[], BaseException], times: int = 1) -> Registry:
    """The node types, one of which fails as often as given and works from then on."""
    spec = known.specs[type]
    left = [times]

    @functools.wraps(spec.function)
    def function(**arguments: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise fault()
        return spec.function(**arguments)

    return Registry({**known.specs, type: replace(spec, function=function)}, known.versions)


@pytest.fixture(scope="module")
def known() -> Registry:
    return registry.installed()


@pytest.fixture(scope="module")
def expected(known: Registry, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("expected")
    (path,) = make(folder, known).run(load(), {"steps": STEPS}, out=folder).paths
    return path.read_bytes()


@pytest.mark.parametrize("node_id", NODES)
def test_memory_that_runs_out_once_is_freed_or_said(
    known: Registry, tmp_path: Path, expected: bytes, node_id: str
) -> None:
    spec = known.specs[load().document.nodes[node_id].type]
    broken = failing_once(known, spec.type, lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    told: list[Event] = []
    session = make(tmp_path, broken)
    if spec.lane == "device":
        (path,) = session.run(load(), {"steps": STEPS}, out=tmp_path / "out", sink=told.append).paths
        # Sliced attention adds up in another order, so the last bit of a pixel may differ.
        assert np.abs(pixels(path.read_bytes()) - pixels(expected)).max() <= 1
        assert any(isinstance(event, events.Notice) and "memory ran out" in event.message for event in told)
    else:
        with pytest.raises(NodeError, match=node_id) as caught:
            session.run(load(), {"steps": STEPS}, out=tmp_path / "out")
        assert isinstance(caught.value.cause, torch.OutOfMemoryError)
        assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("type", "name"),
    [
        ("encode_for_inpaint", "replace_part"),
        ("encode_image", "img2img"),
        ("make_sigmas", "custom_sampling"),
        ("preprocess", "controlnet"),
        ("run_pipeline", "run_pipeline_txt2img"),
        ("safety_filter", "txt2img"),
        ("sample_custom", "custom_sampling"),
    ],
)
def test_every_node_that_computes_runs_again_after_a_measure(
    known: Registry, tmp_path: Path, type: str, name: str
) -> None:
    broken = failing_once(known, type, lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    told: list[str] = []
    path = workflows.path(name)
    (written,) = (
        make(tmp_path, broken)
        .run(
            Workflow.load(path),
            {} if type == "run_pipeline" else {"steps": STEPS},
            out=tmp_path / "out",
            folder=path.parent,
            sink=lambda event: told.append(event.message) if isinstance(event, events.Notice) else None,
        )
        .paths
    )
    assert len(np.unique(pixels(written.read_bytes()))) > 2
    assert any("memory ran out" in message for message in told)


@pytest.mark.parametrize("node_id", ["positive", "sample", "decode"])
def test_memory_that_never_suffices_names_the_node_and_the_way_out(
    known: Registry, tmp_path: Path, node_id: str
) -> None:
    type = load().document.nodes[node_id].type
    broken = failing_once(known, type, lambda: torch.OutOfMemoryError("CUDA out of memory"), times=1000)
    with pytest.raises(NodeError) as caught:
        make(tmp_path, broken).run(load(), {"steps": STEPS}, out=tmp_path / "out")
    assert isinstance(caught.value.cause, OutOfMemoryError)
    assert caught.value.advice
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_an_interrupt_at_any_step_leaves_nothing_behind(
    known: Registry, tmp_path: Path, expected: bytes, step: int
) -> None:
    session = make(tmp_path, known)

    def interrupt(event: Event) -> None:
        if isinstance(event, events.NodeProgress) and event.node == "sample" and event.step == step:
            raise KeyboardInterrupt

    with pytest.raises(CancelledError):
        session.run(load(), {"steps": STEPS}, out=tmp_path / "out", sink=interrupt)
    assert not list(tmp_path.glob("out/*"))
    (path,) = session.run(load(), {"steps": STEPS}, out=tmp_path / "out").paths
    assert path.read_bytes() == expected


@pytest.mark.parametrize("node_id", NODES)
def test_an_interrupt_at_any_node_leaves_nothing_behind(
    known: Registry, tmp_path: Path, expected: bytes, node_id: str
) -> None:
    broken = failing_once(known, load().document.nodes[node_id].type, KeyboardInterrupt)
    session = make(tmp_path, broken)
    with pytest.raises(CancelledError):
        session.run(load(), {"steps": STEPS}, out=tmp_path / "out")
    assert not list(tmp_path.glob("out/*"))
    (path,) = session.run(load(), {"steps": STEPS}, out=tmp_path / "out").paths
    assert path.read_bytes() == expected


@pytest.mark.parametrize(
    ("name", "node_id", "part", "layer"),
    [
        ("txt2img", "sample", "unet", "conv_in"),
        ("txt2img", "decode", "vae", "post_quant_conv"),
        ("img2img", "encode", "vae", "quant_conv"),
    ],
)
def test_nan_is_an_error_with_advice_never_a_black_picture(
    known: Registry, tmp_path: Path, name: str, node_id: str, part: str, layer: str
) -> None:
    session = make(tmp_path, known)
    path = workflows.path(name)
    with nan_from(session, part, layer), pytest.raises(NodeError) as caught:
        session.run(Workflow.load(path), {"steps": STEPS}, out=tmp_path / "out", folder=path.parent)
    assert caught.value.node == node_id
    assert isinstance(caught.value.cause, NonFiniteError)
    assert caught.value.advice
    assert not list(tmp_path.glob("out/*"))


@contextmanager
def nan_from(session: Session, part: str, layer: str) -> Iterator[None]:
    """Have one layer of a part of the checkpoint make NaN."""
    workflow = load()
    workflow.document.outputs[part] = "checkpoint.model" if part == "unet" else f"checkpoint.{part}"
    recipe = session.run(workflow, targets=[workflow.document.outputs[part]]).outputs[part]
    with session.models.use(recipe) as loaded:
        module = loaded.module.get_submodule(layer)
    handle = module.register_forward_hook(lambda module, arguments, output: torch.full_like(output, float("nan")))
    try:
        yield
    finally:
        handle.remove()
