"""Running again what a file tells, and comparing what comes out."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from graphflow.basics.jsontools import as_table, digest
from graphflow.basics.regular import open_regular
from graphflow.document.document import Document, parse
from graphflow.errors import CancelledError, GraphflowError, InvalidInputError, ModelNotFoundError, WorkflowError
from graphflow.execution.environment import Cancellation
from graphflow.planning.record import STANDING_IN
from graphflow.planning.safety import Policy
from graphflow.planning.unlike import Unlike, unlike
from graphflow.reproduce.carried import Carried, carried, told_of
from graphflow.reproduce.content import Compared, compare
from graphflow.session import Session

MakeSession = Callable[[Mapping[str, Any]], Session]
"""Makes a session with these settings in place of the user's, and an empty store in memory."""


@dataclass(frozen=True)
class Verdict:
    """What verifying one file found.

    Attributes:
        path: The file.
        compared: How it compares with what was made now; None where nothing was.
        unlike: The recorded facts that differ now, most likely cause first.
        error: Why it cannot be made again.
        tells: Whether the file says how it was made; one that does not is invalid input.
        missing: What to fetch, where models are missing or others.
        hint: What may explain other pixels where no fact differs.
    """

    path: Path
    compared: Compared | None = None
    unlike: tuple[Unlike, ...] = ()
    error: GraphflowError | None = None
    missing: tuple[str, ...] = ()
    hint: str = ""
    tells: bool = True

    @property
    def ok(self) -> bool:
        """Whether it shows the same."""
        return self.compared is not None and self.compared.same


@dataclass
class _Again:
    """What one run is to make again: files of the same workflow and circumstances."""

    document: Document
    folder: Path
    safety: Policy | None
    threads: int | None
    settings: Mapping[str, Any]
    files: list[Carried] = field(default_factory=list)


def verify(
    paths: Sequence[Path],
    make_session: MakeSession,
    *,
    input_folder: Path | None = None,
    folders: Sequence[Path] = (),
    safety: Policy | None = None,
    told: Callable[[Verdict], None] = lambda verdict: None,
    cancellation: Cancellation | None = None,
) -> list[Verdict]:
    """Make files again, without computed values from the store, and compare.

    Files of one run are made together. It runs in the recorded number of threads where the machine has them, on the
    recorded kind of device where there is one, and under the recorded safety policy where that is the stricter one.

    Args:
        paths: The files.
        make_session: Makes the session of a run.
        input_folder: A folder in which file names of workflows resolve, beside the file's own.
        folders: More folders that may have the files which a run read: one counts where it has them as they were recorded.
        safety: The safety policy; None is that of the settings, or the recorded one where that is stricter.
        told: Is told each verdict as soon as it is known.
        cancellation: Stops it.

    Returns:
        A verdict for each file, in order; a file and what lies beside it are one, and a grid is the pictures in it.

    Raises:
        CancelledError: The user stopped it.
    """
    found: dict[Path, Verdict] = {}
    groups: dict[str, _Again] = {}

    def tell(verdict: Verdict) -> None:
        found[verdict.path] = verdict
        told(verdict)

    wanted = dict.fromkeys(shown for path in map(told_of, paths) for shown in _shown(path))
    for path in wanted:
        try:
            item = carried(path)
            again = _again(item, safety)
        except GraphflowError as error:
            tell(Verdict(path, error=error, tells=False))
            continue
        key = digest([again.document.to_json(), str(again.folder), again.safety, again.threads, dict(again.settings)])
        groups.setdefault(key, again).files.append(item)
    for again in groups.values():
        try:
            for verdict in _made_again(again, make_session, input_folder, folders, cancellation):
                tell(verdict)
        except CancelledError:
            raise
        except GraphflowError as error:
            for item in again.files:
                places = [*_places(again, input_folder), *folders]
                missing = _missing(item.record, make_session, places) if isinstance(error, WorkflowError) else ()
                tell(Verdict(item.path, error=error, missing=missing))
    return [found[path] for path in wanted]


def _shown(path: Path) -> Sequence[Path]:
    """The pictures of a grid, in place of it."""
    with suppress(GraphflowError):
        return carried(path).pictures or (path,)
    return (path,)


def _again(item: Carried, safety: Policy | None) -> _Again:
    if not item.workflow:
        raise InvalidInputError(
            "it carries no graphflow workflow, so nothing says how to make it",
            where=str(item.path),
            advice="files that graphflow saved carry one, unless --no-metadata or a program left it out",
        )
    record = item.record
    document = parse(item.workflow, source=str(item.path), file=str(item.path), keep="nodes")
    told = record.get("safety")
    strict = isinstance(told, dict) and told.get("policy") == "require"
    told_threads = as_table(record.get("mixed")).get("threads", [record.get("threads")])
    threads = [number for number in told_threads if isinstance(number, int)] if isinstance(told_threads, list) else []
    settings: dict[str, Any] = {"marking": "on" if item.mark else "off"}
    if record.get("device") == "cpu":  # in as many threads as then, on one lane of this machine
        settings |= {"device": "cpu", "devices": (), "cluster": None}
    if record.get("dtype") in ("float32", "float16", "bfloat16"):
        settings["dtype"] = record["dtype"]
    if record.get("deterministic") is True:
        settings["deterministic"] = True
    if _random(record):
        settings["stand_in"] = True
    return _Again(
        document,
        item.path.parent,
        safety or ("require" if strict else None),
        max(threads, default=None),  # values that the store had may have been made in others
        settings,
    )


def _made_again(
    again: _Again,
    make_session: MakeSession,
    input_folder: Path | None,
    folders: Sequence[Path],
    cancellation: Cancellation | None,
) -> list[Verdict]:
    _use_threads(again.threads)
    nodes = [item.record.get("node") for item in again.files]
    targets = list(dict.fromkeys(map(str, nodes))) if all(nodes) else None
    read = {name: digest for item in again.files for name, digest in _user_files(item.record).items()}
    places = _places(again, input_folder)
    best = max([*places, *folders], key=lambda folder: sum(_has(folder, *file) for file in read.items()))
    with make_session(again.settings) as own, tempfile.TemporaryDirectory(prefix="graphflow-verify-") as work:
        result = own.run(
            again.document,
            out=work,
            targets=targets,
            safety=again.safety,
            folder=best,
            input_folder=places[-1] if places[-1] != best else None,
            cancellation=cancellation,
        )
        made = [carried(path) for path in result.paths]
        return [_verdict(item, made) for item in again.files]


def _verdict(item: Carried, made: Sequence[Carried]) -> Verdict:
    same = [
        other for other in made if all(other.record.get(fact) == item.record.get(fact) for fact in ("node", "number"))
    ]
    candidates = same or [other for other in made if other.path.suffix.lower() == item.path.suffix.lower()]
    if not candidates:
        error = GraphflowError("the run made no such file: the safety checker withheld it, or the workflow writes none")
        return Verdict(item.path, error=error)
    compared = [(compare(item.path, other.path), other) for other in candidates]
    best, other = min(compared, key=lambda pair: (not pair[0].same_bytes, pair[0].worst))
    hint = (
        "no recorded circumstance differs: --deterministic may help, or the file was changed since"
        if "threads" in item.record
        else "its record does not tell the number of threads, which may be the cause"
    )
    models = other.record.get("models", {})
    missing = () if best.same else _to_fetch(item.record, lambda name, model: models.get(name, {}).get("files", {}))
    return Verdict(item.path, best, tuple(unlike(item.record, other.record)), missing=missing, hint=hint)


def _use_threads(threads: int | None) -> None:
    """Let torch compute in that many threads, where the machine has them."""
    if threads and threads <= (os.cpu_count() or 1):
        import torch

        torch.set_num_threads(threads)


def _places(again: _Again, input_folder: Path | None) -> list[Path]:
    """Return the folders in which a workflow's file names resolve."""
    return [again.folder, *([] if input_folder is None else [input_folder])]


def _random(record: Mapping[str, Any]) -> str:
    """Return the names of files that were not there, for which random weights stood in."""
    _, _, names = str(record.get("warning", "")).partition(STANDING_IN)
    return names


def _user_files(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of the user's files that were read, by name."""
    others = {*as_table(record.get("models")), *(name.strip() for name in _random(record).split(","))}
    files = as_table(record.get("files"))
    return {
        name: digest
        for name, digest in files.items()
        if name not in others and isinstance(digest, str) and len(digest) == 64
    }


def _has(folder: Path, name: str, digest: str) -> bool:
    """Tell whether a folder has a file of this content."""
    if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
        return False
    with suppress(OSError, ValueError), open_regular(folder / name) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == digest
    return False


def _missing(record: Mapping[str, Any], make_session: MakeSession, places: Sequence[Path]) -> tuple[str, ...]:
    """Return what to fetch: the recorded models, files and node packs that are not here."""
    session = make_session({})
    library = session.library

    def here(name: str, kind: Any) -> bool:
        try:
            return library.resolve(name, kind).path is not None
        except ModelNotFoundError:
            return False

    models = _to_fetch(record, lambda name, model: {} if not here(name, model.get("kind")) else model["files"])
    files = (
        f"{name}: SHA-256 {digest}"
        for name, digest in _user_files(record).items()
        if not any(_has(folder, name, digest) for folder in places)
    )
    packs = (
        f"the node pack {name} {version}"
        for name, version in as_table(record.get("packs")).items()
        if session.registry.versions.get(name) != version
    )
    return (*models, *files, *packs)


def _to_fetch(
    record: Mapping[str, Any], here: Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
) -> tuple[str, ...]:
    """Return the recorded files of models that are others here, with their SHA-256 and where the Hub has them.

    Args:
        record: A record, which somebody else may have written.
        here: Gives what the files of a model are here, in the form of a record.
    """
    found = []
    models = record.get("models")
    for name, model in models.items() if isinstance(models, dict) else ():
        with suppress(AttributeError, TypeError, KeyError):
            files = here(name, model)
            other = [
                f"{inside} SHA-256 {file['sha256']}"
                for inside, file in model["files"].items()
                if files.get(inside) != file
            ]
            hub = f" (on the Hub: {model['hub']})" if "hub" in model else ""
            if other:
                found.append(f"{name}{hub}: {', '.join(other)}")
    return tuple(found)
