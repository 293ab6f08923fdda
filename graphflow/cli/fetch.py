"""``graphflow fetch``: download the models that a workflow names and that are not here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphflow.cli.asking import Yes, confirm
from graphflow.cli.options import Inputs, ModelDirs, Packs, Sets, WorkflowName, make_session
from graphflow.cli.source import input_values, load, named, overrides
from graphflow.cli.terminal import clean, console, count, size, styled
from graphflow.errors import InvalidInputError, ModelFormatError, ModelNotFoundError

if TYPE_CHECKING:
    from graphflow.converters.comfyui.report import ModelNeed
    from graphflow.document.published import Published
    from graphflow.library.download import RemoteFile
    from graphflow.library.library import Library
    from graphflow.planning.expand import Expanded
    from graphflow.reproduce.lock import LockedModel
    from graphflow.session import Session

EPILOG = "Examples: graphflow fetch sdxl_base_refiner · graphflow fetch theirs.json --yes --allow-host example.org"


@dataclass(frozen=True)
class _Job:
    """A model to fetch: one file into a model folder, or a repository into the Hub's cache (then ``target`` is None)."""

    name: str
    kind: str
    files: tuple[RemoteFile, ...]
    target: Path | None

    @property
    def size(self) -> int | None:
        """Bytes; None where a host does not say."""
        sizes = [file.size for file in self.files if file.size is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None


def fetch(
    workflow: WorkflowName,
    inputs: Inputs = None,
    sets: Sets = None,
    packs: Packs = None,
    models: ModelDirs = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            metavar="HOST",
            help="Also fetch from this host; without it, from the Hugging Face Hub only. Repeat for more.",
        ),
    ] = None,
    locked: Annotated[
        bool,
        typer.Option(
            "--locked", metavar="", help="Download exactly the files that WORKFLOW.lock.json names, by SHA-256."
        ),
    ] = False,
    yes: Yes = False,
) -> None:
    """Download the models that a workflow needs and that are not here. Shows the sizes and asks before.

    What is fetched goes into the first model folder; models that are named by their Hub id go into the Hub's cache.
    """  # fmt: skip
    session = make_session(packs=packs, models=models)
    library = session.library
    allowed = frozenset(allow_host or ())
    if locked:
        total, missing = _of_lock(workflow, library, allowed)
    else:
        loaded = load(workflow)
        with named(loaded):
            expanded = session.expand(loaded.document, input_values(inputs), overrides(sets))
        total, missing = _of_workflow(expanded, session, allowed)
    if not missing:
        console().print(styled(f"all models are here: {count(total, 'model')}", "green"))
        return
    if library.offline:
        raise InvalidInputError(f"{count(len(missing), 'model')} missing, and offline is set", where=workflow)
    jobs, unknown = [], []
    for wanted in missing:
        job = wanted.job()
        if job is None:
            unknown.append(f"{wanted.name!r}" + (f", for {wanted.place}" if wanted.place else ""))
        else:
            jobs.append(job)
    if jobs:
        _ask(jobs, library, yes)
        for job in jobs:
            _carry_out(job, library, allowed)
    if unknown:
        raise ModelNotFoundError(
            f"nobody says where to get {'; '.join(unknown)}",
            where=workflow,
            advice="put it there by hand, or name another with -i or --set",
        )


@dataclass(frozen=True)
class _Wanted:
    """A model that is not here: its name, where it belongs, and how to fetch it (None: nobody says)."""

    name: str
    place: str
    job: Callable[[], _Job | None]


def _of_workflow(expanded: Expanded, session: Session, allowed: frozenset[str]) -> tuple[int, list[_Wanted]]:
    """Return how many models a workflow names, and those that are not here."""
    from graphflow.converters.comfyui.models import model_needs
    from graphflow.document.published import published, source_of

    library = session.library
    needs = model_needs(expanded.flat, session.registry, library)
    known = published(expanded.document)
    missing = [need for need in needs if not need.path or not _whole(need, library)]
    return len(needs), [
        _Wanted(
            need.name,
            need.place,
            partial(_job, need.name, need.kind, source_of(need.name, known), library, allowed),
        )
        for need in missing
    ]


def _of_lock(workflow: str, library: Library, allowed: frozenset[str]) -> tuple[int, list[_Wanted]]:
    """Return how many models a workflow's lock names, and those that are not here as they were locked."""
    from graphflow.reproduce.lock import path_beside, read_lock

    path = path_beside(workflow)
    models = read_lock(path).models
    missing = {name: model for name, model in models.items() if not _as_locked(name, model, library)}
    for name, model in missing.items():
        if model.packaged:
            raise InvalidInputError(
                f"{name!r} comes with graphflow, and here it is another than was locked",
                where=str(path),
                advice="install the version of graphflow that the lock names, or `graphflow lock --update`",
            )
    return len(models), [
        _Wanted(name, "", partial(_locked_job, name, model, library, allowed)) for name, model in missing.items()
    ]


def _as_locked(name: str, model: LockedModel, library: Library) -> bool:
    """Tell whether a model is here with exactly the locked files."""
    from graphflow.library.hub import cached_snapshot, parse_hub_id

    try:
        path = library.resolve(name, model.kind).path  # type: ignore[arg-type]
    except ModelNotFoundError:
        path = None
    hub_id = parse_hub_id(model.hub or "")
    snapshot = None if hub_id is None else cached_snapshot(library.hub_cache, hub_id)
    for place in (path, None if snapshot is None else snapshot[0]):
        if place is not None:
            files = {place / inside if place.is_dir() else place: file for inside, file in model.files.items()}
            if all(file.is_file() and library.sha256(file) == locked.sha256 for file, locked in files.items()):
                return True
    return False


def _locked_job(name: str, model: LockedModel, library: Library, allowed: frozenset[str]) -> _Job | None:
    from graphflow.document.published import Published
    from graphflow.library.hub import parse_hub_id

    if model.url is not None and len(model.files) == 1:
        (only,) = model.files.values()
        return _job(name, model.kind, Published(name, model.url, only.sha256), library, allowed)
    if model.hub is None or (hub_id := parse_hub_id(model.hub)) is None:
        return None
    own = parse_hub_id(name)
    at_commit = _job(model.hub, model.kind, None, library, allowed)
    assert at_commit is not None  # it is a Hub id
    for file in at_commit.files:
        locked = model.files.get(file.path)
        if locked is not None and file.sha256 and file.sha256 != locked.sha256:
            raise ModelFormatError(
                f"SHA-256 {locked.sha256} is locked, the Hub has {file.sha256}", where=f"{model.hub}/{file.path}"
            )
    files = tuple(
        replace(file, sha256=model.files[file.path].sha256) if file.path in model.files else file
        for file in at_commit.files
    )
    if own is not None and own.repository == hub_id.repository and own.revision != hub_id.revision:
        told = f"{name}: the lock names its commit; call it {model.hub} in the workflow, so that it is found"
        console(error=True).print(styled(told, "yellow"), soft_wrap=True)
    return replace(at_commit, files=files)


def _whole(need: ModelNeed, library: Library) -> bool:
    """Tell whether a model that is there is there with all its files."""
    try:
        return library.describe(need.name, need.kind).path is not None  # type: ignore[arg-type]  # packs may name kinds of their own
    except ModelFormatError:
        return True  # it is something else that planning tells


def _job(name: str, kind: str, source: Published | None, library: Library, allowed: frozenset[str]) -> _Job | None:
    from graphflow.library.download import hub_repository, on_hub, remote_file, wanted_files
    from graphflow.library.hub import parse_hub_id

    if source is None:
        hub_id = parse_hub_id(name)
        if hub_id is None:
            return None
        files = hub_repository(hub_id)
        return _Job(name, kind, tuple(files[path] for path in sorted(wanted_files(files))), None)
    place = library.place_for(name, kind, source.url)  # type: ignore[arg-type]
    if place is None:
        raise InvalidInputError("there is no model folder", advice="name one with --models or GRAPHFLOW_MODELS")
    if place.exists() or place.is_symlink():
        raise InvalidInputError("the file is there already, but is no model that can be used", where=str(place))
    found = on_hub(source.url)
    if found is None:
        file = remote_file(source.url, allowed)
    else:
        hub_id, path = found
        listed = hub_repository(hub_id)
        if path not in listed:
            raise ModelNotFoundError(f"the repository has no file {path!r}", where=source.url)
        file = listed[path]
    if source.sha256 and file.sha256 and source.sha256 != file.sha256:
        raise ModelFormatError(
            f"the workflow wants the SHA-256 {source.sha256}, and what is published there has {file.sha256}",
            where=source.url,
            advice="its publisher changed it; fetch it by hand if that is what you want",
        )
    return _Job(name, kind, (replace(file, url=source.url, sha256=source.sha256 or file.sha256),), place)


def _ask(jobs: list[_Job], library: Library, yes: bool) -> None:
    """Show what would be fetched, and ask."""
    from graphflow.library.roots import PICKLE_EXTENSIONS

    target = console(error=True)
    for job in jobs:
        shown = "of unknown size" if job.size is None else size(job.size)
        origin = job.files[0].url if job.target is not None else f"the Hub, {count(len(job.files), 'file')}"
        target.print(styled(job.name, "cyan"), styled(f"{job.kind.replace('_', ' ')}, {shown}"))
        if job.target is not None and job.target.suffix.lower() in PICKLE_EXTENSIONS:
            target.print(styled("  a pickle file: `graphflow models convert` it before it is used", "yellow"))
        target.print(styled(f"  from {origin}\n  to {job.target or library.hub_cache}", "dim"), soft_wrap=True)
    for folder in {job.target.parent if job.target is not None else library.hub_cache for job in jobs}:
        there = next(part for part in (folder, *folder.parents) if part.is_dir())
        needed = sum(job.size or 0 for job in jobs)
        if needed > shutil.disk_usage(there).free:
            raise InvalidInputError(
                f"there is too little room for {size(needed)}",
                where=str(there),
                advice="free some, or use --models DIR",
            )
    total = sum(job.size or 0 for job in jobs)
    least = "at least " if any(job.size is None for job in jobs) else ""
    confirm(f"Download {count(len(jobs), 'model')}, {least}{size(total)}?", yes)


def _carry_out(job: _Job, library: Library, allowed: frozenset[str]) -> None:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from graphflow.library.download import check_digest, download, fetch
    from graphflow.library.hub import cached_snapshot, parse_hub_id

    target = console()
    if job.target is None:
        download(job.name, library.hub_cache)
        hub_id = parse_hub_id(job.name)
        if hub_id is not None and (snapshot := cached_snapshot(library.hub_cache, hub_id)) is not None:
            for file in job.files:
                check_digest(file, snapshot[0] / file.path)
        target.print(styled(f"{job.name}: in {library.hub_cache}"), soft_wrap=True)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    errors = console(error=True)
    own = job.files[0].hub is None  # the Hub's library shows its own bar
    with Progress(*columns, console=errors, transient=True, disable=not own or not errors.is_terminal) as bars:
        bar = bars.add_task(clean(job.target.name), total=job.size)
        fetch(job.files[0], job.target, allowed, lambda done: bars.update(bar, completed=done))
    digest = ", SHA-256 checked" if job.files[0].sha256 else ", no SHA-256 is known"
    target.print(styled(f"{job.target}: {size(job.target.stat().st_size)}{digest}"), soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=EPILOG)(fetch)
