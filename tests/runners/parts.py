"""Long runs in parts: each finished part is kept, so that a run that was stopped goes on where it was.

    python -m tests.runners.NAME [PART ...] [--list] [--fresh]

``PART`` names parts: ``samplers/euler-normal`` one of them, ``samplers`` all below it, ``features/hires*`` those that fit.
A result stands in ``build/runners/NAME/`` with a digest of all that decides it. A further call runs what has none, what
changed since, and what failed. Once every part has a result, the runner writes its report.

Exit codes: 0, all chosen parts are good; 1, one is not; 2, no part has that name; 130, stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from graphflow.basics.atomic import write_bytes
from graphflow.basics.wording import nearest

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "runners"
FOLDERS = ("converters", "graphflow", "nodes", "tests", "workflows")
LIBRARIES = ("diffusers", "numpy", "torch", "transformers")

Given = argparse.Namespace
Results = Mapping[str, Any]
"""What each part gave, as plain JSON, in the order of the parts."""


@dataclass(frozen=True)
class Runner:
    """One long run.

    Attributes:
        name: What it is called, and its folder of results.
        about: What it does, for ``--help``.
        parts: Names of all parts, in order.
        run: Runs parts and yields each with its result as it is finished; what they share is made once.
        ok: Whether a result is good.
        line: What to print of a result.
        report: Called with all results once every part has one.
        options: Adds options of its own.
    """

    name: str
    about: str
    parts: Sequence[str]
    run: Callable[[Sequence[str], Given], Iterator[tuple[str, Any]]]
    ok: Callable[[Any], bool]
    line: Callable[[Any], str]
    report: Callable[[Results, Given], None]
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None


def main(runner: Runner, arguments: Sequence[str] | None = None, *, kept: Path = KEPT, digest: str = "") -> int:
    """Run the parts that a command line chooses, and return the exit code.

    Args:
        runner: The run.
        arguments: The command line; that of the process by default.
        kept: Folder of the results.
        digest: Of all that decides a result; that of the source tree by default.
    """
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        f"python -m tests.runners.{runner.name}", description=runner.about, formatter_class=form
    )
    parser.add_argument(
        "part", nargs="*", help="parts to run, by name, by what they stand below, or by pattern; all by default"
    )
    parser.add_argument("--list", action="store_true", help="list the parts with their state, and run nothing")
    parser.add_argument("--fresh", action="store_true", help="run the chosen parts again, whatever is kept")
    runner.options(parser)
    given = parser.parse_args(arguments)
    chosen = _chosen(runner.parts, given.part)
    unknown = [word for word in given.part if not _chosen(runner.parts, [word])]
    if unknown:
        near = nearest(unknown[0], runner.parts)
        parser.error(
            f"there is no part {unknown[0]!r}" + (f"; did you mean {near!r}?" if near else "; --list names them")
        )
    results = _Kept(kept / runner.name, digest or source_digest())
    if given.list:
        for part in chosen:
            print(f"{part:52} {results.state(part, runner.ok)}")
        return 0
    todo = [part for part in chosen if given.fresh or results.state(part, runner.ok) != "ok"]
    if len(todo) < len(chosen):
        print(f"{len(chosen) - len(todo)} of {len(chosen)} parts are kept from before", flush=True)
    start = time.monotonic()
    try:
        for part, result in runner.run(todo, given) if todo else ():
            results.keep(part, result)
            print(f"{part:52} {runner.line(result)} ({time.monotonic() - start:.1f} s)", flush=True)
            start = time.monotonic()
    except KeyboardInterrupt:
        print("stopped; what is finished is kept, and the same command goes on", file=sys.stderr)
        return 130
    bad = [part for part in chosen if not runner.ok(results.get(part))]
    print(f"{len(chosen) - len(bad)} of {len(chosen)} parts are good, {len(runner.parts)} in all")
    for part in bad:
        print(f"not good: {part} {runner.line(results.get(part))}")
    everything = {part: results.get(part) for part in runner.parts}
    if all(result is not None for result in everything.values()):
        runner.report(everything, given)
    return 1 if bad else 0


def _chosen(parts: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return the parts that one of the words names, all of them without words."""
    return [
        part
        for part in parts
        if not words or any(part == word or part.startswith(f"{word}/") or fnmatchcase(part, word) for word in words)
    ]


class _Kept:
    """The results of one run, each in a file."""

    def __init__(self, folder: Path, digest: str) -> None:
        self._folder, self._digest = folder, digest

    def keep(self, part: str, result: Any) -> None:
        """Keep a result."""
        kept = {"part": part, "digest": self._digest, "result": result}
        write_bytes(self._path(part), json.dumps(kept, indent=1).encode())

    def get(self, part: str) -> Any:
        """Return the result of a part; None where there is none, or where what decides it has changed."""
        kept = self._read(part)
        return kept["result"] if kept.get("digest") == self._digest else None

    def state(self, part: str, ok: Callable[[Any], bool]) -> str:
        """Return ``ok``, ``not good``, ``changed since`` or ``missing``."""
        kept = self._read(part)
        if not kept:
            return "missing"
        if kept["digest"] != self._digest:
            return "changed since"
        return "ok" if ok(kept["result"]) else "not good"

    def _read(self, part: str) -> dict[str, Any]:
        try:
            kept = json.loads(self._path(part).read_text("utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return kept if isinstance(kept, dict) and kept.keys() == {"part", "digest", "result"} else {}

    def _path(self, part: str) -> Path:
        return self._folder / f"{part.replace('/', '__')}.json"


def source_digest(root: Path = ROOT) -> str:
    """Return a digest of the source tree, the data of the tests and the libraries that compute.

    Test modules decide no result: nothing imports from them.
    """
    found = hashlib.sha256()
    for name in LIBRARIES:
        found.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("test_"):
                data = hashlib.sha256(path.read_bytes()).hexdigest()
                found.update(f"{path.relative_to(root).as_posix()} {data}\n".encode())
    return found.hexdigest()
