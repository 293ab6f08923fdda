"""``graphflow fetch``: download the models that a workflow names and that are not here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
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
    yes: Yes = False,
) -> None:
    """Download the models that a workflow needs and that are not here. Shows the sizes and asks before.

    What is fetched goes into the first model folder; models that are named by their Hub id go into the Hub's cache.
    """  # fmt: skip
    from graphflow.converters.comfyui.models import model_needs
    from graphflow.document.published import published, source_of

    session = make_session(packs=packs, models=models)
    library = session.library
    loaded = load(workflow)
    with named(loaded):
        expanded = session.expand(loaded.document, input_values(inputs), overrides(sets))
    needs = model_needs(expanded.flat, session.registry, library)
    missing = [need for need in needs if not need.path or not _whole(need, library)]
    target = console()
    if not missing:
        target.print(styled(f"all models are here: {count(len(needs), 'model')}", "green"))
        return
    if library.offline:
        raise InvalidInputError(f"{count(len(missing), 'model')} missing, and offline is set", where=workflow)
    known = published(expanded.document)
    allowed = frozenset(allow_host or ())
    jobs, unknown = [], []
    for need in missing:
        job = _job(need, source_of(need.name, known), library, allowed)
        if job is None:
            unknown.append(need)
        else:
            jobs.append(job)
    if jobs:
        _ask(jobs, library, yes)
        for job in jobs:
            _carry_out(job, library, allowed)
    if unknown:
        raise ModelNotFoundError(
            "nobody says where to get "
            + "; ".join(f"{need.name!r}" + (f", for {need.place}" if need.place else "") for need in unknown),
            where=workflow,
            advice="put it there by hand, or name another with -i or --set",
        )


def _whole(need: ModelNeed, library: Library) -> bool:
    """Tell whether a model that is there is there with all its files."""
    try:
        return library.describe(need.name, need.kind).path is not None  # type: ignore[arg-type]  # packs may name kinds of their own
    except ModelFormatError:
        return True  # it is something else that planning tells


def _job(need: ModelNeed, source: Published | None, library: Library, allowed: frozenset[str]) -> _Job | None:
    from graphflow.library.download import hub_repository, on_hub, remote_file, wanted_files
    from graphflow.library.hub import parse_hub_id

    if source is None:
        hub_id = parse_hub_id(need.name)
        if hub_id is None:
            return None
        files = hub_repository(hub_id)
        return _Job(need.name, need.kind, tuple(files[name] for name in sorted(wanted_files(files))), None)
    place = library.place_for(need.name, need.kind, source.url)  # type: ignore[arg-type]
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
    return _Job(need.name, need.kind, (replace(file, url=source.url, sha256=source.sha256 or file.sha256),), place)


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
