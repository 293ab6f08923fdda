"""The safety pass: what is saved is checked, visibly, by the nearest checker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest

from graphflow import events
from graphflow.building.workflow import Workflow
from graphflow.errors import InvalidInputError, NodeError, WorkflowError
from graphflow.planning.expand import expand
from graphflow.planning.files import FileUse
from graphflow.planning.plan import plan
from graphflow.planning.safety import Policy
from graphflow.planning.steps import Plan
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import FileNeed, ModelName, node
from graphflow.spec.registry import Registry
from graphflow.values import EncodedFile, Files, Image, ModelFile, SafetyChecker
from tests.conftest import NoModels

CHECKER = SafetyChecker(files=(ModelFile(name="m", kind="checkpoint", part="safety_checker", family="sd"),))


class Loaded(NamedTuple):
    """A model and its checker."""

    model: str
    safety_checker: SafetyChecker


@node("toy_checkpoint")
def checkpoint(model: Annotated[str, ModelName("checkpoint")]) -> Loaded:
    """Load."""
    return Loaded(model, CHECKER)


@node("toy_checker")
def load_checker(model: Annotated[str, ModelName("safety_checker")]) -> SafetyChecker:
    """Load a checker."""
    return CHECKER


@node("toy_draw", generates=True)
def draw(model: str, count: int = 4) -> Image:
    """Draw pictures; the 'pixels' are numbers, which is all that these nodes need."""
    return Image(pixels=tuple(range(count)))  # type: ignore[arg-type]


@node("toy_photo")
def photo() -> Image:
    """Return a user's own picture."""
    return Image(pixels=(0,))  # type: ignore[arg-type]


@node("toy_brighten")
def brighten(image: Image) -> Image:
    """Change a picture."""
    return image


@node("toy_anything")
def anything(value: Any) -> Any:
    """Pass on what nobody knows the type of."""
    return value


class Filtered(NamedTuple):
    """What passed, and what was flagged."""

    images: Image
    flags: list[bool]


@node("toy_filter", checks=True)
def keep_safe(images: Image, checker: SafetyChecker) -> Filtered:
    """Withhold odd pictures."""
    pixels: Any = images.pixels
    flags = [pixel % 2 == 1 for pixel in pixels]
    passed = tuple(index for index, flag in enumerate(flags) if not flag)
    kept: Any = tuple(pixels[index] for index in passed)
    return Filtered(Image(pixels=kept, numbers=passed, withheld=sum(flags)), flags)


@node("toy_counted")
def counted(image: Image) -> int:
    """Count pictures."""
    return len(image.pixels)


@node("toy_save", effect=True)
def save(images: Image) -> Files:
    """Save pictures."""
    pixels: Any = images.pixels
    numbers = images.numbers or range(len(pixels))
    files = [
        EncodedFile(stem=f"picture-{number}", suffix=".txt", data=b"x%d" % number, number=number) for number in numbers
    ]
    return Files(files=tuple(files), withheld=images.withheld)


NODES = [anything, brighten, checkpoint, counted, draw, keep_safe, load_checker, photo, save]
REGISTRY = Registry().with_nodes(NODES, pack="safety")


class Models:
    """Models named 'safe…' bring a checker."""

    def resolve(self, need: FileNeed, *, trusted: bool) -> FileUse:
        if need.name == "absent":
            raise InvalidInputError("there is no model 'absent'")
        parts = ("unet", "vae", "safety_checker") if need.name.startswith("safe") else ("unet", "vae")
        return FileUse(need, path=need.name, fingerprint="f" + need.name, parts=parts)


def graph(model: str = "safe", *, through: bool = True) -> Workflow:
    g = Workflow()
    pictures = g.add(draw, model=g.add(checkpoint, model=model, id="checkpoint").model, id="draw")
    g.add(save, images=g.add(brighten, image=pictures, id="brighten") if through else pictures, id="save")
    return g


def planned(g: Workflow, policy: Policy = "auto", checker: str | None = None) -> Plan:
    expanded = expand(g.document, REGISTRY)
    return plan(expanded, REGISTRY, resolver=Models(), safety=policy, checker=checker)


def test_a_filter_stands_before_what_is_saved() -> None:
    g = graph()
    made = planned(g)
    assert list(made.steps) == ["checkpoint", "draw", "brighten", "save~safety", "save"]
    assert str(made.steps["save"].arguments["images"]) == "save~safety.images"
    assert str(made.steps["save~safety"].arguments["checker"]) == "checkpoint.safety_checker"
    assert made.steps["save~safety"].key is not None
    record = made.steps["save"].record
    assert record is not None
    assert record["record"]["safety"] == {"policy": "auto", "checked": True}
    assert "save~safety" not in record["workflow"]["nodes"]
    assert "save~safety" not in g.document.nodes


def test_what_nobody_knows_the_type_of_is_checked_as_what_it_is_saved_as() -> None:
    g = Workflow()
    pictures = g.add(draw, model=g.add(checkpoint, model="safe", id="checkpoint").model, id="draw")
    g.add(save, images=g.add(anything, value=pictures, id="anything"), id="save")
    assert list(planned(g).steps) == ["checkpoint", "draw", "anything", "save~safety", "save"]


def test_off_filters_nothing() -> None:
    made = planned(graph(), "off")
    assert "save~safety" not in made.steps
    assert made.notices == ()


def test_auto_says_where_no_checker_is_at_hand() -> None:
    made = planned(graph("plain"))
    assert "save~safety" not in made.steps
    assert any("save: no safety checker is at hand" in notice for notice in made.notices)
    record = made.steps["save"].record
    assert record is not None
    assert record["record"]["safety"] == {"policy": "auto", "checked": False}


def test_require_refuses_where_no_checker_is_at_hand() -> None:
    with pytest.raises(WorkflowError, match=r"nodes\.save: no safety checker is at hand .* 'require'"):
        planned(graph("plain"), "require")


@pytest.mark.parametrize("policy", ["required", "Off", "on"])
def test_a_misspelt_policy_is_refused(policy: Any) -> None:
    with pytest.raises(InvalidInputError, match=rf"no safety policy '{policy}' \(use one of auto, require, off\)"):
        planned(graph(), policy)


def test_the_configured_checker_stands_in() -> None:
    made = planned(graph("plain"), "require", checker="my-checker")
    assert made.steps["save~checker"].files[0].need.name == "my-checker"
    assert str(made.steps["save~safety"].arguments["checker"]) == "save~checker.safety_checker"


def test_a_users_own_picture_is_not_checked() -> None:
    g = Workflow()
    g.add(save, images=g.add(brighten, image=g.add(photo), id="brighten"), id="save")
    assert "save~safety" not in planned(g, "require").steps


def test_what_the_document_filters_itself_is_not_filtered_twice() -> None:
    g = Workflow()
    loaded = g.add(checkpoint, model="safe", id="checkpoint")
    pictures = g.add(draw, model=loaded.model, id="draw")
    g.add(save, images=g.add(keep_safe, images=pictures, checker=loaded.safety_checker, id="mine"), id="save")
    assert "save~safety" not in planned(g, "require").steps


def test_the_nearest_checkpoint_checks() -> None:
    g = Workflow()
    far = g.add(checkpoint, model="safe-far", id="far")
    near = g.add(checkpoint, model="safe-near", id="near")
    first = g.add(draw, model=far.model, id="first")
    g.add(
        save,
        images=g.add(draw, model=near.model, count=g.add(counted, image=first, id="counted"), id="second"),
        id="save",
    )
    assert str(planned(g).steps["save~safety"].arguments["checker"]) == "near.safety_checker"


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr("graphflow.session.SessionResolver", lambda *_: Models())
    settings = Settings.model_validate({"models": (), "cache_dir": tmp_path / "cache"})
    return Session(settings, known=REGISTRY, models=NoModels())


def test_flagged_items_are_withheld_and_the_others_keep_their_numbers(session: Session, tmp_path: Path) -> None:
    notices: list[str] = []
    result = session.run(
        graph(),
        out=tmp_path / "out",
        sink=lambda e: notices.append(e.message) if isinstance(e, events.Notice) else None,
    )
    assert [path.name for path in result.paths] == ["picture-0_00001.txt", "picture-2_00001.txt"]
    assert result.withheld == {"save": 2}
    assert "the safety checker withheld 2 of 4" in notices


@node("toy_filter", checks=True, version=2)
def keep_nothing(images: Image, checker: SafetyChecker) -> Filtered:
    """Withhold everything."""
    pixels: Any = images.pixels
    nothing: Any = ()
    return Filtered(Image(pixels=nothing, numbers=(), withheld=len(pixels)), [True] * len(pixels))


def test_nothing_left_is_a_failure(session: Session, tmp_path: Path) -> None:
    nodes = [keep_nothing if function is keep_safe else function for function in NODES]
    strict = Session(session.settings, known=Registry().with_nodes(nodes, pack="safety"), models=NoModels())
    with pytest.raises(NodeError, match="the safety checker withheld 4 of 4") as caught:
        strict.run(graph(), out=tmp_path / "out")
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out").exists()
