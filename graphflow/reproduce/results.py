"""What a workflow writes, as digests, and whether that is as a lock says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graphflow.document.opening import Opened, opened
from graphflow.errors import GraphflowError
from graphflow.planning.expand import Expanded, Text
from graphflow.planning.steps import Plan
from graphflow.reproduce.carried import carried
from graphflow.reproduce.lock import SUFFIX, Difference, Lock, differences, make_lock, read_lock
from graphflow.session import Session


@dataclass(frozen=True)
class LockVerdict:
    """What verifying a lock found.

    Attributes:
        path: The lock.
        differences: What is not as it was locked.
        results: By node: how many of the locked results are the same, and how many there are; None: none are locked.
        error: Why the workflow cannot be run.
        tells: Whether it is a lock; a file that is none is invalid input.
    """

    path: Path
    differences: tuple[Difference, ...] = ()
    results: Mapping[str, tuple[int, int]] | None = None
    error: GraphflowError | None = None
    tells: bool = True

    @property
    def ok(self) -> bool:
        """Whether all is as locked: the results where there are any, else all the rest."""
        if self.error is not None:
            return False
        if self.results is None:
            return not self.differences
        return all(same == total for same, total in self.results.values())


def is_lock(path: Path) -> bool:
    """Tell whether a file is a lock, by its name."""
    return path.name.endswith(SUFFIX)


def results_of(session: Session, expanded: Expanded, **options: Any) -> dict[str, list[str]]:
    """Run a workflow and return digests of what each node writes shows, in order; its files are gone then.

    Args:
        session: The session, with an empty store.
        expanded: The workflow.
        **options: Further options of :meth:`graphflow.session.Session.run`.
    """
    with tempfile.TemporaryDirectory(prefix="graphflow-results-") as work:
        result = session.run(expanded, out=work, **options)
        records = {node: [carried(file.path).record for file in files] for node, files in result.files.items()}
    return {
        node: [str(record.get("content", "")) for record in sorted(found, key=lambda record: record.get("number", 0))]
        for node, found in records.items()
    }


def verify_lock(path: Path, make_session: Callable[[Mapping[str, Any]], Session], **options: Any) -> LockVerdict:
    """Compare what is here with a lock, and where it has results, run its workflow and compare these.

    Args:
        path: The lock; its workflow lies beside it.
        make_session: Makes a session with further settings and an empty store.
        **options: Further options of :meth:`graphflow.session.Session.run`.
    """
    try:
        lock = read_lock(path)
    except GraphflowError as error:
        return LockVerdict(path, error=error, tells=False)
    try:
        given = {name: lock.numerics[name] for name in ("device",) if lock.numerics.get(name) == "cpu"}
        if lock.numerics.get("compute"):
            given["dtype"] = lock.numerics["compute"]
        with make_session(given) as session:
            return _verdict(path, lock, session, options)
    except GraphflowError as error:
        return LockVerdict(path, error=error)


def planned(session: Session, path: Path) -> Plan:
    """Plan the workflow of a lock, with the values that were given when it was locked.

    Raises:
        InvalidInputError: There is no such lock, or its workflow cannot be opened.
        WorkflowError: The workflow cannot be planned.
    """
    found, expanded = _expanded(session, path, read_lock(path))
    return session.plan(expanded, folder=found.folder)


def _expanded(session: Session, path: Path, lock: Lock) -> tuple[Opened, Expanded]:
    beside = path.parent / Path(lock.workflow).name
    found = opened(beside if beside.is_file() else lock.workflow)
    given = ({name: Text(value) for name, value in part.items()} for part in (lock.inputs, lock.overrides))
    expanded = session.expand(found.document, *given)
    return found, replace(expanded, trusted=frozenset())  # somebody else may have written the lock


def _verdict(path: Path, lock: Lock, session: Session, options: Mapping[str, Any]) -> LockVerdict:
    found, expanded = _expanded(session, path, lock)
    options = {"folder": found.folder, **options}
    plan = session.plan(expanded, **{name: value for name, value in options.items() if name != "cancellation"})
    unlike = tuple(differences(lock, make_lock(session, plan, lock.workflow)))
    if lock.results is None:
        return LockVerdict(path, unlike)
    now = results_of(session, expanded, targets=list(lock.results), **options)
    results = {
        node: (sum(one == other for one, other in zip(digests, now.get(node, ()), strict=False)), len(digests))
        for node, digests in lock.results.items()
    }
    return LockVerdict(path, unlike, results)
