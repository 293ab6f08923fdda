"""Whether an imported workflow runs here: at once, with further files, or not, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from graphflow.document.document import Document
from graphflow.document.published import published, source_of
from graphflow.errors import GraphflowError, InvalidInputError, ModelNotFoundError, WorkflowError
from graphflow.library.stand_ins import WHOLE, family_by_name, runs_nowhere
from graphflow.planning.expand import Expanded
from graphflow.planning.files import FileResolver, FileUse
from graphflow.session import Session
from graphflow.spec.decorator import FileNeed
from graphflow.spec.registry import Registry
from graphflow.store import MemoryTier, Store

from .models import named_models
from .report import Decision, Report

_UNTOLD = "none told"
"""The family of a workflow whose models have names that nobody publishes."""


class Trial(Session):
    """A session in which files that are not there count as there and are noted, for whether all else is in order.

    Args:
        session: Gives settings and node types.
    """

    def __init__(self, session: Session) -> None:
        settings = session.settings.model_copy(update={"stand_in": True})
        super().__init__(settings, known=session.registry, store=Store(MemoryTier(0)))
        self.missing: dict[str, None] = {}

    def resolver(self, expanded: Expanded, folder: Path | None, input_folder: Path | None) -> FileResolver:
        """What finds the files of a document, and notes those that are not there."""
        self.missing = {}
        return _Noting(super().resolver(expanded, folder, input_folder), expanded, self.missing)


@dataclass
class _Noting:
    """Finds files; a use without a path is given for those that are not there, where nothing stands in."""

    resolver: FileResolver
    expanded: Expanded
    missing: dict[str, None] = field(default_factory=dict)

    def resolve(self, need: FileNeed, *, trusted: bool) -> FileUse:
        """Find a file; see :class:`graphflow.planning.files.FileResolver`."""
        try:
            use = self.resolver.resolve(need, trusted=trusted)
        except ModelNotFoundError:
            said = [need.name, *self._published(need.name)]
            if need.kind in WHOLE and any(map(runs_nowhere, said)):
                text = f"{need.name!r} is of a family that does not run here yet"
                raise ModelNotFoundError(text, advice="the docs list the families (docs/families.md)") from None
            self._note(need, " (of a family that runs here)" if need.kind in WHOLE else "")
            return FileUse(need)
        except InvalidInputError as error:
            if type(error) is not InvalidInputError:  # it is there, and cannot be read
                raise
            self._note(need)
            return FileUse(need)
        if use.stands_in:
            self._note(need)
        return use

    def _note(self, need: FileNeed, more: str = "") -> None:
        self.missing[f"{need.kind.replace('_', ' ')} {need.name}{more}"] = None

    def _published(self, name: str) -> Iterator[str]:
        if (source := source_of(name, published(self.expanded.document))) is not None:
            yield source.url


def decide(document: Document, trial: Trial, *, report: Report | None = None, folder: Path | None = None) -> Decision:
    """Say whether an imported workflow runs here.

    Args:
        document: The workflow.
        trial: What tries it.
        report: What became of its nodes, where it was drawn.
        folder: The folder of its file, in which names of pictures resolve.
    """
    family = family_of(document, report, trial.registry)
    if report is not None and not report.ready:
        return Decision("cannot run", tuple(_lacking(report)), family=family)
    try:
        planned = trial.plan(document, folder=folder)
    except WorkflowError as error:
        told = (f"{problem.message}{f' ({problem.advice})' if problem.advice else ''}" for problem in error.problems)
        return Decision("cannot run", tuple(dict.fromkeys(told)), family=family)
    except GraphflowError as error:
        return Decision("cannot run", (str(error),), family=family)
    told_by_files = (use.family for step in planned.steps.values() for use in step.files if use.family)
    files = tuple(trial.missing)
    return Decision("runs with these files" if files else "runs", files=files, family=next(told_by_files, family))


def exports(document: Document, trial: Trial, *, folder: Path | None = None) -> bool:
    """Say whether a workflow that runs can be written as a Diffusers script."""
    from ..diffusers_script import export

    try:
        export(document, session=trial, folder=folder)
    except GraphflowError:
        return False
    return True


def family_of(document: Document, report: Report | None, registry: Registry) -> str:
    """Return the family that the names of a document's models tell, else what its nodes wait for."""
    names = [name for _, name, kind in named_models(document, registry) if kind in WHOLE]
    families = (family_by_name(said) for name in names for said in (name, *_urls(name, document)))
    found = next((family.name for family in families if family is not None), "")
    return found or next(iter(report.waiting if report is not None else ()), "") or _UNTOLD


def _urls(name: str, document: Document) -> Iterable[str]:
    source = source_of(name, published(document))
    return [] if source is None else [source.url]


def _lacking(report: Report) -> Iterator[str]:
    """Yield what nodes lack, each once, with their types."""
    by_reason: dict[str, dict[str, None]] = {}
    for entry in report.unsupported:
        by_reason.setdefault("; ".join(entry.remarks), {})[entry.type] = None
    for waits, entries in report.waiting.items():
        by_reason[f"{waits} does not run here yet"] = dict.fromkeys(entry.type for entry in entries)
    for reason, types in by_reason.items():
        yield f"{reason}: {', '.join(types)}"
