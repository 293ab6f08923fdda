"""The index of an output folder: which file was made with which prompt, seed, model and picture, and when.

It is a SQLite file beside the folder, ``.NAME.graphflow.sqlite``, and holds nothing but times that the files do not tell
themselves, so it may be removed at any time. Before it answers it looks at folders that changed since.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from graphflow.errors import InvalidInputError
from graphflow.reproduce.indexed import SUFFIXES, Facts, facts_of

_VERSION = 1
_MANY = 5_000
_SETTLED_NS = 2 * 10**9
"""A folder that changed less than this ago may change again without its time telling it."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS folder (path TEXT PRIMARY KEY, mtime_ns INT);
CREATE TABLE IF NOT EXISTS file (id INTEGER PRIMARY KEY, folder TEXT, name TEXT, size INT, mtime_ns INT, workflow TEXT,
  UNIQUE (folder, name));
CREATE INDEX IF NOT EXISTS file_time ON file (mtime_ns);
CREATE TABLE IF NOT EXISTS prompt (id INTEGER PRIMARY KEY, text TEXT UNIQUE, folded TEXT);
CREATE TABLE IF NOT EXISTS file_prompt (prompt INT, file INT, PRIMARY KEY (prompt, file)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seed (seed TEXT, file INT, PRIMARY KEY (seed, file)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS model (id INTEGER PRIMARY KEY, name TEXT, kind TEXT, digests TEXT, UNIQUE (name, kind, digests));
CREATE TABLE IF NOT EXISTS file_model (model INT, file INT, PRIMARY KEY (model, file)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS source (sha256 TEXT, name TEXT, file INT, PRIMARY KEY (sha256, file)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS made (path TEXT PRIMARY KEY, mtime_ns INT, seconds REAL, run TEXT);
CREATE INDEX IF NOT EXISTS prompt_of ON file_prompt (file);
CREATE INDEX IF NOT EXISTS seed_of ON seed (file);
CREATE INDEX IF NOT EXISTS model_of ON file_model (file);
CREATE INDEX IF NOT EXISTS source_of ON source (file);
"""
_TOLD = {
    "prompt": "SELECT file, text FROM file_prompt JOIN prompt ON id=prompt",
    "seed": "SELECT file, seed FROM seed",
    "model": "SELECT file, name FROM file_model JOIN model ON id=model",
}
"""What is told of files that were found."""
_PARTS = ("file_prompt", "seed", "file_model", "source")


@dataclass(frozen=True)
class Wanted:
    """What files are looked for; all that is given must hold.

    Attributes:
        model: Part of a model's name.
        lora: Part of a LoRA's name.
        prompt: Part of a prompt, whatever its case.
        seed: A seed.
        since: When it was written, or later.
        source: SHA-256 of a file that it was made from: a picture, or a model's file.
        limit: The most files, the newest first.
    """

    model: str | None = None
    lora: str | None = None
    prompt: str | None = None
    seed: int | None = None
    since: datetime | None = None
    source: str | None = None
    limit: int = 100


@dataclass(frozen=True)
class Found:
    """A file that was found.

    Attributes:
        path: The file.
        written: When it was written.
        seconds: How long its run took, or of one of a sweep its own nodes, where that is known.
        workflow: Its workflow's name.
        prompts: The texts that models were given.
        seeds: Its seeds.
        models: The names of its models.
    """

    path: Path
    written: datetime
    seconds: float | None
    workflow: str
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    models: tuple[str, ...]


def index_path(folder: Path) -> Path:
    """Return where a folder's index is: beside it."""
    whole = folder.resolve()
    return whole.parent / f".{whole.name}.graphflow.sqlite"


class Index:
    """The index of one folder and the folders in it.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = index_path(folder)

    def note(self, seconds: Mapping[Path, float], run: str = "") -> None:
        """Write down what files do not tell: how long making them took. Without a word where that cannot be written."""
        if not seconds:
            return
        try:
            with self._open() as database:
                root = self.folder.resolve()
                rows = [
                    (path.resolve().relative_to(root).as_posix(), path.stat().st_mtime_ns, taken, run)
                    for path, taken in seconds.items()
                ]
                database.executemany("INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?)", rows)
        except (OSError, ValueError, sqlite3.Error):
            return

    def update(self, *, anew: bool = False) -> int:
        """Look at what changed since, and return how many files were read.

        Args:
            anew: Forget all but the times of runs, and read every file.

        Raises:
            InvalidInputError: There is no such folder.
        """
        if not self.folder.is_dir():
            raise InvalidInputError("there is no such folder", where=str(self.folder), advice="name one with --dir")
        with self._open() as database:
            return self._update(database, anew=anew)

    def find(self, wanted: Wanted) -> list[Found]:
        """Return the files that are looked for, the newest first."""
        with self._open() as database:
            conditions, values = _conditions(database, wanted)
            query = (
                "SELECT id, folder, name, f.mtime_ns, workflow, seconds FROM file f LEFT JOIN made m ON m.mtime_ns=f.mtime_ns"
                f" AND m.path=iif(folder='', name, folder || '/' || name) {conditions}"
                " ORDER BY f.mtime_ns DESC, id DESC LIMIT ?"
            )
            rows = database.execute(query, (*values, wanted.limit)).fetchall()
            ids = json.dumps([row[0] for row in rows])
            parts = {name: _by_file(database, query, ids) for name, query in _TOLD.items()}
        return [
            Found(
                self.folder / folder / name,
                datetime.fromtimestamp(mtime_ns / 1e9),
                seconds,
                workflow,
                tuple(parts["prompt"].get(id, ())),
                tuple(sorted(map(int, parts["seed"].get(id, ())))),
                tuple(parts["model"].get(id, ())),
            )
            for id, folder, name, mtime_ns, workflow, seconds in rows
        ]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        database = _connect(self.path)
        try:
            with database:
                yield database
        finally:
            database.close()

    def _update(self, database: sqlite3.Connection, *, anew: bool) -> int:
        if anew:
            for table in (*_PARTS, "file", "folder", "prompt", "model"):
                database.execute(f"DELETE FROM {table}")
        known = dict(database.execute("SELECT path, mtime_ns FROM folder"))
        pending, read = {"", *known}, 0
        while pending:
            folder = pending.pop()
            place = self.folder / folder
            try:
                mtime_ns = place.stat().st_mtime_ns
                if known.get(folder) == mtime_ns:
                    continue
                entries = list(os.scandir(place))
            except OSError:
                _forget(database, [row[0] for row in database.execute("SELECT id FROM file WHERE folder=?", (folder,))])
                database.execute("DELETE FROM folder WHERE path=?", (folder,))
                continue
            inner = [entry for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name[0] != "."]
            inside = {f"{folder}/{entry.name}" if folder else entry.name for entry in inner}
            pending |= inside - known.keys()
            read += self._read(database, folder, entries)
            settled = time.time_ns() - mtime_ns > _SETTLED_NS
            database.execute("INSERT OR REPLACE INTO folder VALUES (?, ?)", (folder, mtime_ns if settled else 0))
        return read

    def _read(self, database: sqlite3.Connection, folder: str, entries: Iterable[os.DirEntry[str]]) -> int:
        """Take in the files of one folder: new and changed ones are read, those that are gone are forgotten."""
        rows = database.execute("SELECT name, size, mtime_ns, id FROM file WHERE folder=?", (folder,))
        known = {name: (size, mtime_ns, id) for name, size, mtime_ns, id in rows}
        gone, read = dict(known), 0
        for entry in entries:
            if os.path.splitext(entry.name)[1].lower() not in SUFFIXES:  # noqa: PTH122  # of 100,000 names
                continue
            try:
                state = entry.stat()
            except OSError:
                continue
            before = gone.pop(entry.name, None)
            if before is not None and before[:2] == (state.st_size, state.st_mtime_ns):
                continue
            if before is not None:
                _forget(database, [before[2]])
            read += 1
            facts = facts_of(self.folder / folder / entry.name) or Facts()
            _insert(database, (folder, entry.name, state.st_size, state.st_mtime_ns, facts.workflow), facts)
        _forget(database, [id for _, _, id in gone.values()])
        return read


def _by_file(database: sqlite3.Connection, query: str, ids: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for file, value in database.execute(f"{query} WHERE file IN (SELECT value FROM json_each(?))", (ids,)):
        found.setdefault(file, []).append(value)
    return found


def _connect(path: Path) -> sqlite3.Connection:
    """Open an index; one that is damaged or of another version is made anew, and where none can be written, in memory."""
    for place in (path, path, Path(":memory:")):
        try:
            database = sqlite3.connect(place, timeout=10)
        except sqlite3.Error:  # a folder that cannot be written
            continue
        try:
            database.execute("PRAGMA synchronous = OFF")
            database.create_function("casefold", 1, str.casefold, deterministic=True)
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError("another version")
            database.executescript(f"{_SCHEMA} PRAGMA user_version = {_VERSION};")
            return database
        except sqlite3.OperationalError:
            database.close()
        except sqlite3.DatabaseError:
            database.close()
            path.unlink(missing_ok=True)
    raise InvalidInputError("the index cannot be opened", where=str(path), advice="remove it")


def _insert(database: sqlite3.Connection, row: tuple[Any, ...], facts: Facts) -> None:
    file = database.execute(
        "INSERT INTO file (folder, name, size, mtime_ns, workflow) VALUES (?, ?, ?, ?, ?)", row
    ).lastrowid

    def number(table: str, columns: str, values: tuple[str, ...]) -> int:
        marks = ", ".join("?" * len(values))
        where = " AND ".join(f"{column}=?" for column in columns.split(", "))
        found = database.execute(f"SELECT id FROM {table} WHERE {where}", values).fetchone()
        if found is None:
            return database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values).lastrowid or 0
        return int(found[0])

    for text in dict.fromkeys(facts.prompts):
        prompt = number("prompt", "text, folded", (text, text.casefold()))
        database.execute("INSERT INTO file_prompt VALUES (?, ?)", (prompt, file))
    database.executemany("INSERT INTO seed VALUES (?, ?)", [(str(seed), file) for seed in facts.seeds])
    for (name, kind), digests in facts.models.items():
        model = number("model", "name, kind, digests", (name, kind, " ".join(digests)))
        database.execute("INSERT INTO file_model VALUES (?, ?)", (model, file))
    sources = {digest: name for name, digest in facts.sources.items()}
    database.executemany(
        "INSERT INTO source VALUES (?, ?, ?)", [(digest, name, file) for digest, name in sources.items()]
    )


def _forget(database: sqlite3.Connection, ids: Iterable[int]) -> None:
    rows = [(id,) for id in ids]
    for table in _PARTS:
        database.executemany(f"DELETE FROM {table} WHERE file=?", rows)
    database.executemany("DELETE FROM file WHERE id=?", rows)


def _conditions(database: sqlite3.Connection, wanted: Wanted) -> tuple[str, list[Any]]:
    """Return what must hold of a file as SQL, and the values in it.

    Of what few files have, these are looked up; of what many have, the newest files are tried one by one.
    """
    conditions: list[str] = []
    values: list[Any] = []
    of_model = "model IN (SELECT id FROM model WHERE {})"

    def add(*parts: tuple[tuple[str, ...], str], value: str) -> None:
        """Add that one of the parts holds: the tables of one, that with the file last, and a condition on ``value``."""
        few = [f"SELECT file FROM {' CROSS JOIN '.join(tables)} WHERE {condition}" for tables, condition in parts]
        if all(len(database.execute(f"{part} LIMIT {_MANY}", (value,)).fetchall()) < _MANY for part in few):
            conditions.append(f"f.id IN ({' UNION '.join(few)})")
        else:
            # from the file on, so in the opposite order
            each = [
                f"EXISTS (SELECT 1 FROM {' CROSS JOIN '.join(tables[::-1])} WHERE file=f.id AND {condition})"
                for tables, condition in parts
            ]
            conditions.append(f"({' OR '.join(each)})")
        values.extend([value] * len(parts))

    if wanted.model is not None:
        add((("file_model",), of_model.format("instr(casefold(name), ?)")), value=wanted.model.casefold())
    if wanted.lora is not None:
        lora = of_model.format("kind='lora' AND instr(casefold(name), ?)")
        add((("file_model",), lora), value=wanted.lora.casefold())
    if wanted.prompt is not None:
        add((("prompt", "file_prompt"), "id=prompt AND instr(folded, ?)"), value=wanted.prompt.casefold())
    if wanted.seed is not None:
        add((("seed",), "seed=?"), value=str(wanted.seed))
    if wanted.since is not None:
        conditions.append("f.mtime_ns >= ?")
        values.append(int(wanted.since.timestamp() * 1e9))
    if wanted.source is not None:
        add((("source",), "sha256=?"), (("file_model",), of_model.format("instr(digests, ?)")), value=wanted.source)
    return ("WHERE " + " AND ".join(conditions) if conditions else ""), values
