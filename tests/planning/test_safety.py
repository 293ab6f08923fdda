"""The safety pass: what is saved is checked, visibly, by the nearest checker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest

from graphflow import events, runtime
from graphflow.building.workflow import Workflow
from graphflow.errors import InvalidInputError, NodeError, WorkflowError
from graphflow.planning.expand import expand
from graphflow.planning.files import FileUse
from graphflow.planning.plan import plan
from graphflow.planning.safety import Policy
from graphflow.planning.steps import Plan
from graphflow.session import Session
from graphflow.settings import Settings
from graphflow.spec.decorator import Described, FileNeed, InputFile, ModelName, node
from graphflow.spec.registry import Registry
from graphflow.values import EncodedFile, Files, Image, Latent, Mask, ModelFile, SafetyChecker
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
    preview: Any = "preview"
    runtime.current().report(1, 1, preview)
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


@node("toy_encode")
def encode(value: Image) -> Latent:
    """Make latents."""
    return Latent(samples=value.pixels)


@node("toy_masked")
def masked(value: Image) -> Mask:
    """Make a mask."""
    return Mask(values=value.pixels)


@node("toy_load")
def load(file: Annotated[str, InputFile("latent")]) -> Latent:
    """Load latents."""
    raise NotImplementedError(file)


@node("toy_decode")
def decode(latent: Latent, model: str) -> Image:
    """Make pictures."""
    return Image(pixels=latent.samples)


@node("toy_keep", effect=True)
def keep(value: Any) -> Files:
    """Save whatever it gets."""
    raise NotImplementedError(value)


@node("toy_tell", effect=True)
def tell(value: Annotated[Any, Described()]) -> Files:
    """Tell of a value."""
    raise NotImplementedError(value)


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


TRANSFORMS = [anything, brighten, counted, decode, encode, masked]
NODES = [*TRANSFORMS, checkpoint, draw, keep, keep_safe, load, load_checker, photo, save, tell]
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


@pytest.mark.parametrize("policy", ["auto", "require"])
@pytest.mark.parametrize("afterwards", [False, True])
def test_a_filter_of_the_document_replaces_none(policy: Policy, afterwards: bool) -> None:
    g = Workflow()
    loaded = g.add(checkpoint, model="safe", id="checkpoint")
    pictures = g.add(draw, model=loaded.model, id="draw")
    mine = g.add(keep_safe, images=pictures, checker=loaded.safety_checker, id="save~safety").images
    g.add(save, images=g.add(brighten, image=mine, id="brighten") if afterwards else mine, id="save")
    steps = planned(g, policy).steps
    assert str(steps["save"].arguments["images"]) == "save~safety-2.images"
    assert str(steps["save~safety-2"].arguments["images"]) == ("brighten.image" if afterwards else "save~safety.images")


def test_every_checker_at_hand_looks_where_one_is_required() -> None:
    """A document chooses which is nearest."""
    g = Workflow()
    pictures = g.add(draw, model=g.add(checkpoint, model="safe-far", id="far").model, id="first")
    near = g.add(checkpoint, model="safe-near", id="near")
    g.add(save, images=g.add(draw, model=near.model, count=g.add(counted, image=pictures), id="second"), id="save")
    steps = planned(g, "require", checker="mine").steps
    looking = [str(step.arguments["checker"]) for step in steps.values() if step.spec.checks]
    assert looking == ["far.safety_checker", "near.safety_checker", "save~checker.safety_checker"]
    assert str(steps["save"].arguments["images"]) == "save~safety-3.images"


@pytest.mark.parametrize("through", [anything, encode, masked])
def test_what_no_filter_can_look_at_is_refused_where_checking_is_required(through: Any) -> None:
    g = Workflow()
    pictures = g.add(draw, model=g.add(checkpoint, model="safe").model)
    g.add(keep, value=g.add(through, value=pictures), id="keep")
    with pytest.raises(WorkflowError, match=r"nodes\.keep: no filter can check .* 'require' \(save the decoded"):
        planned(g, "require")
    made = planned(g)
    assert any(notice.startswith("keep: no filter can check") for notice in made.notices)
    assert made.steps["keep"].record is not None
    assert made.steps["keep"].record["record"]["safety"] == {"policy": "auto", "checked": False}


def test_what_is_only_described_needs_no_filter() -> None:
    g = Workflow()
    pictures = g.add(draw, model=g.add(checkpoint, model="safe").model)
    g.add(tell, value=pictures, id="picture")
    g.add(tell, value=g.add(encode, value=pictures), id="latent")
    g.add(keep, value=g.add(counted, image=pictures), id="number")
    assert not any(step.spec.checks for step in planned(g, "require").steps.values())


def test_a_loaded_latent_counts_as_generated_where_checking_is_required(tmp_path: Path) -> None:
    g = Workflow()
    latent = g.add(load, file="some.latent")
    g.add(save, images=g.add(decode, latent=latent, model=g.add(checkpoint, model="safe").model), id="save")
    assert "save~safety" not in planned(g).steps
    assert "save~safety" in planned(g, "require").steps
    g.add(keep, value=latent, id="keep")
    with pytest.raises(WorkflowError, match=r"nodes\.keep: no filter can check the latent"):
        planned(g, "require")


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


@pytest.mark.parametrize(("policy", "asked", "expected"), [("auto", True, 1), ("auto", False, 0), ("require", True, 0)])
def test_nobody_sees_a_preview_where_checking_is_required(
    session: Session, tmp_path: Path, policy: Policy, asked: bool, expected: int
) -> None:
    told: list[events.NodeProgress] = []
    session.run(
        graph(),
        out=tmp_path / "out",
        safety=policy,
        previews=asked,
        sink=lambda e: told.append(e) if isinstance(e, events.NodeProgress) else None,
    )
    assert len(told) == 1
    assert [event.preview for event in told if event.preview is not None] == ["preview"] * expected


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
