"""Locks: exactly which model files, versions and numerics a workflow was made with, as stable text."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from graphflow.basics import jsontools
from graphflow.basics.regular import open_regular
from graphflow.basics.wording import nearest
from graphflow.document.published import published, source_of
from graphflow.errors import InvalidInputError, Problem
from graphflow.execution.recording import models_of
from graphflow.limits import LIMITS
from graphflow.planning.files import FileUse
from graphflow.planning.record import versions_here
from graphflow.planning.steps import Plan
from graphflow.session import Session
from graphflow.spec.registry import distributions

SUFFIX = ".lock.json"
PARTS = ("numerics", "versions")
"""What `--update` takes beside names of models and files."""

_OWN = "graphflow-diffusers"
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class LockedFile(_Part):
    """One file of a model."""

    sha256: _Digest
    size: int = Field(ge=0)


class LockedModel(_Part):
    """One model: its files, and where they can be had."""

    kind: str
    files: dict[str, LockedFile]
    hub: str | None = None
    url: str | None = None
    packaged: bool | None = None


class Lock(_Part):
    """A lock, as its file has it.

    Attributes:
        workflow: The workflow's file beside the lock, or its packaged name.
        inputs: The values that were given for its inputs, as text.
        overrides: Those for single parameters.
        models: By name in the workflow.
        files: Digests of the user's files that the workflow reads, by name.
        node_types: Versions of the node types.
        numerics: Device kind, dtypes, and whether kernels are deterministic.
        versions: Of Python, graphflow and the libraries that compute.
        results: Digests of what each node writes shows, in order; where they were asked for.
    """

    graphflow_lock: Literal[1] = 1
    workflow: str
    inputs: dict[str, str] = Field(default_factory=dict)
    overrides: dict[str, str] = Field(default_factory=dict)
    models: dict[str, LockedModel] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)
    node_types: dict[str, int] = Field(default_factory=dict)
    numerics: dict[str, str] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    results: dict[str, list[str]] | None = None

    def text(self) -> str:
        """Return the text of its file: the same for the same lock, one fact a line."""
        data = self.model_dump(mode="json", exclude_none=True)
        data = {name: value for name, value in data.items() if value or name not in ("inputs", "overrides")}
        return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def path_beside(workflow: str) -> Path:
    """Return where the lock of a workflow lies: beside its file, or for a packaged one in the working directory."""
    return Path(workflow).with_suffix(SUFFIX)


def read_lock(path: Path) -> Lock:
    """Read a lock.

    Raises:
        InvalidInputError: There is none, or it is damaged.
    """
    try:
        with open_regular(path) as stream:
            data = jsontools.loads(stream.read(LIMITS.document_bytes + 1), source=str(path))
        return Lock.model_validate(data)
    except FileNotFoundError as error:
        raise InvalidInputError(
            "there is no lock", where=str(path), advice="`graphflow lock WORKFLOW` writes it"
        ) from error
    except OSError as error:
        raise InvalidInputError(error.strerror or str(error), where=str(path)) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise InvalidInputError(
            f"this is no lock: {place}: {first['msg'].lower()}", where=str(path), advice="`graphflow lock` writes one"
        ) from error


def make_lock(session: Session, plan: Plan, workflow: str) -> Lock:
    """Lock what a plan uses, as it is now.

    Args:
        session: The session.
        plan: The plan.
        workflow: What the lock calls the workflow.

    Raises:
        InvalidInputError: A model is not here yet, or a file cannot be read.
    """
    uses = [use for step in plan.steps.values() for use in step.files]
    for use in uses:
        if use.need.model and not use.files and not use.need.optional:
            raise InvalidInputError(
                f"{use.need.name!r} is not here yet, so its SHA-256 is not known",
                advice="`graphflow fetch` downloads it",
            )

    models = models_of(uses, lambda path: session.library.sha256(Path(path)))
    known = published(plan.expanded.document)
    for name, model in models.items():
        source = source_of(name, known)
        model["url"] = source.url if source is not None else None
        model["packaged"] = _is_packaged(uses, name) or None
    numerics = session.numerics
    told = versions_here()
    packs = distributions({step.spec.pack for step in plan.steps.values()})
    return Lock(
        workflow=workflow,
        models={name: LockedModel.model_validate(model) for name, model in models.items()},
        files={
            use.need.name: use.fingerprint
            for use in sorted(uses, key=lambda use: use.need.name)
            if not use.need.model and use.fingerprint is not None
        },
        node_types=dict(sorted({(step.spec.type, step.spec.version) for step in plan.steps.values()})),
        numerics={
            "device": numerics.device,
            "compute": numerics.compute,
            "storage": numerics.storage,
            "deterministic": "on" if session.settings.deterministic else "off",
        },
        versions={
            "python": ".".join(platform.python_version_tuple()[:2]),
            "graphflow": told["graphflow"],
            **told["versions"],
            **{name: version for name, version in packs.items() if name != _OWN},
        },
    )


def _is_packaged(uses: list[FileUse], name: str) -> bool:
    from graphflow.library.roots import builtin_root

    root = builtin_root().path
    return any(use.need.name == name and use.path and Path(use.path).is_relative_to(root) for use in uses)


def updated(old: Lock, new: Lock, names: list[str]) -> Lock:
    """Return a lock in which some entries are taken over from another.

    Args:
        old: The lock.
        new: The lock of what is here now.
        names: Models, files, ``versions`` or ``numerics``.

    Raises:
        InvalidInputError: Neither lock has such a name.
    """
    for name in names:
        known = {*old.models, *new.models, *old.files, *new.files, *PARTS}
        if name not in known:
            near = nearest(name, known)
            advice = f"did you mean {near!r}?" if near else f"there are {', '.join(sorted(known))}"
            raise InvalidInputError(f"the lock has no {name!r}", where="--update", advice=advice)
        if name in PARTS:
            taken = (name, "node_types") if name == "versions" else (name,)
            old = old.model_copy(update={part: getattr(new, part) for part in taken})
            continue
        old = old.model_copy(
            update={part: _taken(getattr(old, part), getattr(new, part), name) for part in ("models", "files")}
        )
    return old


def _taken(old: Mapping[str, Any], new: Mapping[str, Any], name: str) -> dict[str, Any]:
    rest = {key: value for key, value in old.items() if key != name}
    return dict(sorted((rest | ({name: new[name]} if name in new else {})).items()))


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was locked.

    Attributes:
        place: Where it stands in the lock.
        locked: What the lock says; None where it does not know it.
        here: What is here; None where it is not here.
        advice: The way out.
    """

    place: str
    locked: str | None
    here: str | None
    advice: str

    def problem(self) -> Problem:
        """Return it as a problem."""
        if self.locked is None:
            message = f"{self.here} is not in the lock"
        elif self.here is None:
            message = f"{self.locked} is locked, and not here"
        else:
            message = f"{self.locked} is locked, here is {self.here}"
        return Problem(self.place, message, self.advice)


def differences(lock: Lock, here: Lock) -> list[Difference]:
    """Return every way in which what is here is not as it was locked.

    A file that the run does not use (with other inputs, say) is no difference.
    """
    return [*_models(lock, here), *_rest(lock, here)]


def _models(lock: Lock, here: Lock) -> list[Difference]:
    found = []
    for name, model in here.models.items():
        update = f"`graphflow lock --update {name}` takes it over; `graphflow fetch --locked` downloads the locked one"
        locked = lock.models.get(name)
        if locked is None:
            found.append(Difference(f"models.{name}", None, f"the {model.kind} {name!r}", update))
            continue
        for inside in sorted(locked.files.keys() | model.files.keys()):
            one, other = (
                None if file is None else f"SHA-256 {file.sha256}"
                for file in (locked.files.get(inside), model.files.get(inside))
            )
            if one != other:
                found.append(Difference(f"models.{name}.files.{inside}", one, other, update))
    return found


def _rest(lock: Lock, here: Lock) -> list[Difference]:
    found = []
    advice = {
        "files": "`graphflow lock --update NAME` takes it over",
        "node_types": "install the locked version of graphflow or of the node pack, which `graphflow env LOCK` says; or `graphflow lock --update versions`",
        "numerics": "--device, --dtype and --deterministic choose; or `graphflow lock --update numerics`",
        "versions": "`graphflow env LOCK` prints what to install; or `graphflow lock --update versions`",
    }
    for part, way_out in advice.items():
        locked, now = getattr(lock, part), getattr(here, part)
        for name in now if part in ("files", "node_types") else {**locked, **now}:
            one, other = (None if name not in side else str(side[name]) for side in (locked, now))
            if one != other:
                found.append(Difference(f"{part}.{name}", one, other, way_out))
    return found


def requirements(lock: Lock) -> str:
    """Return the locked versions as pip's requirements."""
    names = {"graphflow": _OWN}
    lines = [f"# Python {lock.versions.get('python', '')}"] if "python" in lock.versions else []
    for name, version in lock.versions.items():
        if name != "python" and version:
            public, _, build = version.partition("+")
            if build:
                lines.append(f"# {name} was the build {build!r}")
            lines.append(f"{names.get(name, name)}=={public}")
    return "\n".join(lines) + "\n"
