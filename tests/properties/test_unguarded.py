"""Random graphs between a picture that nobody may see and every node that writes: nothing of it gets into a file.

The checker flags whatever is not of one colour, the picture is not, and no network takes part. So whatever a file shows
in any plane or frame must be of one colour, on whichever way it came there.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple, cast

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pictures
from PIL import ImageSequence

from graphflow import Workflow
from graphflow.errors import GraphflowError, NodeError, WorkflowError
from graphflow.planning.safety import Policy
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import ModelName, NodeSpec, node
from graphflow.spec.link_types import LinkType
from graphflow.spec.registry import Registry, installed
from graphflow.values import Image, ModelFile, SafetyChecker
from tests.conftest import NoModels
from tests.nodes.fakes import FakeModels
from tests.properties.graphs import Graph, Kit, add, one_of
from tests.properties.ways import WAYS, way

SEEN = {"image", "mask", "latent", "video"}
SOAK = bool(os.environ.get("GRAPHFLOW_TEST_SOAK"))
LEVELS = 26
"""Of 255: the most that a picture of one colour may differ in itself, for what a checker lets pass and JPEG adds."""


class Secret(NamedTuple):
    """What nobody may see, and who can tell."""

    image: Image
    safety_checker: SafetyChecker


@node("secret_picture", generates=True)
def secret_picture(model: Annotated[str, ModelName("checkpoint")] = "shapes") -> Secret:
    """Draw a picture of two colours."""
    file = ModelFile(name=model, kind="checkpoint", part="safety_checker", family="sd")
    pixels = torch.tensor([0.0, 1.0]).repeat_interleave(8).expand(2, 3, 16, 16)
    return Secret(Image(pixels=pixels), SafetyChecker(files=(file,)))


class OneColour:
    """Flags what is not of one colour."""

    def check(self, pixels: torch.Tensor) -> tuple[bool, ...]:
        spread = pixels.amax((2, 3)) - pixels.amin((2, 3))
        return tuple(float(item.max()) > 0.05 for item in spread)


class Models(FakeModels, NoModels):
    """Stand-ins without weights."""

    @contextmanager
    def use(self, recipe: Any) -> Iterator[Any]:
        if isinstance(recipe, SafetyChecker):
            yield OneColour()
            return
        with super().use(recipe) as module:
            yield module


class Transforms(Kit):
    """What pictures, masks, latents and videos can pass through without a network; all of it begins with the secret."""

    @cached_property
    def types(self) -> list[NodeSpec]:
        passing = SEEN | {"any", "vae", "safety_checker", "int", "float", "str", "bool", "json"}

        def fed(spec: NodeSpec) -> bool:
            links = [_name(given.type) for given in spec.inputs.values() if given.linked]
            makes = {_name(output.type) for output in spec.outputs}
            return bool(SEEN & set(links)) and passing >= {*links, *makes}

        sources = ("secret_picture", "load_checkpoint")
        return [spec for spec in super().types if spec.type in sources or (fed(spec) and spec.type != "preprocess")]


def _name(kind: LinkType) -> str:
    return kind.item.name if kind.item is not None else kind.name


REGISTRY: Registry = installed().with_nodes([secret_picture], pack="secret")
KIT = Transforms(REGISTRY, {})
EFFECTS = [
    spec
    for spec in REGISTRY.specs.values()
    if spec.effect
    and {"image", "mask", "latent", "video", "any"} & {_name(given.type) for given in spec.inputs.values()}
]


@st.composite
def leaks(draw: st.DrawFn) -> dict[str, Any]:
    """Documents in which the secret goes through some nodes into one that writes."""
    graph = Graph(KIT)
    add(draw, graph, REGISTRY.specs["load_checkpoint"], depth=1)
    add(draw, graph, REGISTRY.specs["secret_picture"], depth=1)
    for _ in range(draw(st.integers(0, 5))):
        add(draw, graph, one_of(draw, KIT.types), depth=1)
    while add(draw, graph, one_of(draw, EFFECTS), depth=1) is None:
        pass
    return {"graphflow": 1, "nodes": graph.nodes}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    given = {"models": (), "cache_dir": tmp_path_factory.mktemp("engine"), "cache_bytes": 0, "device": "cpu"}
    models = Models(known={"shapes": ("unet", "text_encoder", "vae", "safety_checker")})
    return Session(Settings.model_validate({**given, "offline": True}), known=REGISTRY, models=models)


def shown(path: Path) -> bool:
    """Tell whether a file shows more than one colour in a plane of a frame, or holds what nobody can look at."""
    if path.suffix == ".latent":
        return True
    with Pictures.open(io.BytesIO(path.read_bytes())) as opened:
        frames = [frame.convert("RGBA") for frame in ImageSequence.Iterator(opened)]
    return any(high - low > LEVELS for frame in frames for low, high in frame.getextrema())


def leaked(session: Session, document: dict[str, Any], policy: Policy) -> list[str]:
    """Run a document; returns the names of the files that show what they must not."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            session.run(Workflow.from_json(document), out=folder, safety=policy)
        except (WorkflowError, NodeError) as error:
            assert isinstance(error, WorkflowError) or isinstance(error.cause, GraphflowError), error
        return [path.name for path in Path(folder).rglob("*") if path.is_file() and shown(path)]


@settings(max_examples=400 if SOAK else 40, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=leaks())
def test_nothing_that_no_filter_guards_gets_into_a_file(session: Session, document: dict[str, Any]) -> None:
    assert leaked(session, document, "require") == []


@pytest.mark.parametrize("name", WAYS)
def test_no_way_leads_round_the_filter(name: str, session: Session) -> None:
    assert session.validate(Workflow.from_json(way(name))).problems == []
    assert leaked(session, way(name), "off") != []
    assert leaked(session, way(name), "require") == []


@pytest.mark.parametrize("name", [name for name in WAYS if name.startswith(("as ", "through", "in a", "one frame"))])
def test_what_runs_without_a_checker_have_kept_leads_round_no_filter(name: str, tmp_path: Path) -> None:
    """All values and files of the earlier run stand in its cache."""
    models = Models(known={"shapes": ("unet", "text_encoder", "vae", "safety_checker")})
    given = {"models": (), "cache_dir": tmp_path, "device": "cpu", "offline": True}
    for policy, leaks in cast("list[tuple[Policy, bool]]", [("off", True), ("require", False), ("require", False)]):
        mine = Session(Settings.model_validate(given), known=REGISTRY, models=models)
        assert bool(leaked(mine, way(name), policy)) is leaks
