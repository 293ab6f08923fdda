"""Completing what files carry when they are written: digests of the models, and how the values were computed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from graphflow.errors import CancelledError, GraphflowError
from graphflow.execution.circumstances import Circumstances, facts
from graphflow.planning.files import FileUse
from graphflow.planning.steps import Step

Digest = Callable[[Path, Callable[[int, int], None]], str]
"""Gives the SHA-256 of a file; calls what it is given again and again while it reads."""

_POLL_SECONDS = 0.1


class Digesting:
    """Digests files in a thread of its own, beside the sampling.

    Args:
        digest: Digests one file.
    """

    def __init__(self, digest: Digest) -> None:
        self._digest = digest
        self._found: dict[str, str | GraphflowError] = {}
        self._wanted: list[str] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def want(self, paths: Iterable[str]) -> None:
        """Begin with these files, unless they are wanted already."""
        with self._changed:
            known = {*self._wanted, *self._found}
            self._wanted += [path for path in dict.fromkeys(paths) if path not in known]
            if self._wanted and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="graphflow-digests", daemon=True)
                self._thread.start()

    def get(self, path: str, poll: Callable[[], None]) -> str:
        """Wait for the digest of a file.

        Args:
            path: The file.
            poll: Called while waiting; what it raises ends the wait.

        Raises:
            ModelFormatError: The file cannot be read.
        """
        self.want([path])
        while True:
            with self._changed:
                found = self._found.get(path)
                if found is None:
                    self._changed.wait(_POLL_SECONDS)
            if isinstance(found, GraphflowError):
                raise found
            if found is not None:
                return found
            poll()

    def close(self) -> None:
        """Stop; what is being read is left."""
        with self._changed:
            self._closed = True
            self._wanted.clear()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._wanted:
                    self._thread = None
                    return
                path = self._wanted[0]
            found: str | GraphflowError
            try:
                found = self._digest(Path(path), self._check)
            except CancelledError:
                found = CancelledError()
            except GraphflowError as error:
                found = error
            except Exception as error:  # a thread has nobody else to tell
                found = GraphflowError(f"its SHA-256 cannot be had: {error}", where=path)
            with self._changed:
                self._found[path] = found
                self._wanted = [other for other in self._wanted if other != path]
                self._changed.notify_all()

    def _check(self, done: int, total: int) -> None:
        if self._closed:
            raise CancelledError


class Recorder:
    """Completes records of one run.

    Args:
        steps: The steps of its plan.
        digesting: Digests the models; begins at once with those whose digests somebody will wait for.
    """

    def __init__(self, steps: Mapping[str, Step], digesting: Digesting) -> None:
        self._steps = steps
        self._digesting = digesting
        for step in steps.values():
            if step.action == "write" and not step.artifact_stored and "record" in (step.record or {}):
                digesting.want(path for use in step.descends for _, path in use.files)

    def __call__(
        self, step: str, record: Mapping[str, Any], made: Circumstances, poll: Callable[[], None]
    ) -> dict[str, Any]:
        """Return a record with all that is known now.

        Args:
            step: The node that writes.
            record: What planning knew.
            made: The circumstances of what it writes.
            poll: Called while waiting for digests; what it raises ends the wait.
        """
        if "record" not in record:
            return dict(record)
        told = {**record["record"], **facts(made)}
        safety = told.get("safety")
        if safety is not None:
            told["safety"] = {**safety, "verdict": "passed" if safety.get("checked") else "not checked"}
        models = models_of(self._steps[step].descends, lambda path: self._digesting.get(path, poll))
        if models:
            told["models"] = models
        return {**record, "record": told}


def models_of(uses: Iterable[FileUse], digest: Callable[[str], str]) -> dict[str, dict[str, Any]]:
    """Return what a record says of models, by name: the kind, the Hub's id of it, and each file with size and SHA-256.

    Args:
        uses: The files in use, others than models too.
        digest: Gives a file's SHA-256.
    """
    models: dict[str, dict[str, Any]] = {}
    for use in uses:
        if not use.need.model or not use.files:
            continue
        entry = models.setdefault(use.need.name, {"kind": use.need.kind, "files": {}})
        if use.fingerprint and use.fingerprint.startswith("hub:"):
            entry["hub"] = use.fingerprint.removeprefix("hub:")
        for inside, path in use.files:
            if inside not in entry["files"]:
                entry["files"][inside] = {"sha256": digest(path), "size": Path(path).stat().st_size}
    for entry in models.values():
        entry["files"] = dict(sorted(entry["files"].items()))
    return dict(sorted(models.items()))
