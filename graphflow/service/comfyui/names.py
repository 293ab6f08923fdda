"""What ComfyUI's clients call files: a type, a subfolder and a file name, which lead to uploads and to files of jobs.

None of it is a path: a name is looked up, so nothing but what was sent or made through the service can be had by it.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, TypeAlias, cast, get_args

from graphflow.errors import InvalidInputError, LimitError, StoreError

Type: TypeAlias = Literal["input", "output", "temp"]
TYPES: tuple[Type, ...] = get_args(Type)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS name (
  type TEXT NOT NULL, subfolder TEXT NOT NULL, filename TEXT NOT NULL, stem TEXT, counter INT, upload TEXT, job TEXT, file TEXT,
  PRIMARY KEY (type, subfolder, filename)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS name_job ON name (job) WHERE job IS NOT NULL;
CREATE INDEX IF NOT EXISTS name_stem ON name (type, subfolder, stem, counter) WHERE stem IS NOT NULL;
CREATE TABLE IF NOT EXISTS hidden (job TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stop (job TEXT PRIMARY KEY, node TEXT NOT NULL, executed TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS user_file (path TEXT PRIMARY KEY, data BLOB NOT NULL, created REAL NOT NULL, modified REAL NOT NULL);
CREATE TABLE IF NOT EXISTS counter (next INT NOT NULL);
INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter);
"""
_MARK = re.compile(r"\s*\[(input|output|temp)\]\s*\Z")
_COUNTED = re.compile(r"(.+)_(\d{5,15})_\.\w+")
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*]')
_LONGEST = 255
_USER_FILES, _USER_BYTES = 10_000, 2**28
"""How many files a front end may keep, and their bytes."""


class Place(NamedTuple):
    """What a client calls a file."""

    type: Type
    subfolder: str
    filename: str

    def to_json(self) -> dict[str, str]:
        """Return it as history and messages have it."""
        return {"filename": self.filename, "subfolder": self.subfolder, "type": self.type}

    @property
    def below(self) -> str:
        """The name in the folder of its type, with forward slashes."""
        return f"{self.subfolder}/{self.filename}" if self.subfolder else self.filename


@dataclass(frozen=True)
class Held:
    """What a name leads to: the name of an upload, or a job and one of its files."""

    upload: str | None
    job: str | None
    file: str | None


@dataclass(frozen=True)
class UserFile:
    """A file that the front end keeps; times are seconds since 1970, and ``data`` is left out of lists."""

    path: str
    size: int
    created: float
    modified: float
    data: bytes = b""


def place_of(name: str, subfolder: str = "", type: str = "input") -> Place:
    """Return the place that a name asks for; a mark such as ``[output]`` behind it counts more than the type.

    Raises:
        InvalidInputError: It is no name of a file: empty, leads upwards, or has characters that names must not have.
    """
    marked = _MARK.search(name)
    if marked is not None:
        name, type = name[: marked.start()], marked[1]
    whole = f"{subfolder}/{name}".replace("\\", "/")
    parts = [part for part in whole.split("/") if part]
    wrong = not name or whole.startswith("//") or not parts or any(map(_is_wrong, parts)) or type not in TYPES
    if wrong or (subfolder or name).startswith(("/", "\\")):
        raise InvalidInputError("this is no name of a file here", where=f"{type}: {whole[:_LONGEST]}")
    *folders, filename = parts
    return Place(cast("Type", type), "/".join(folders), filename)


def _is_wrong(part: str) -> bool:
    return part.strip(" .") == "" or len(part) > _LONGEST or bool(_UNSAFE.search(part))


class Names:
    """The names of one service, and what else is kept of its prompts beside the jobs. Safe to use from several threads.

    Args:
        path: The file in which they are kept.

    Raises:
        StoreError: It cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise StoreError(f"cannot be used: {error}", where=str(path), advice="name another folder") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def number(self) -> int:
        """Draw the number of the next prompt: each is one more than the last."""
        ((drawn,),) = self._rows("UPDATE counter SET next=next+1 RETURNING next-1")
        return int(drawn)

    def find(self, place: Place) -> Held | None:
        """Return what a name leads to."""
        rows = self._rows("SELECT upload,job,file FROM name WHERE type=? AND subfolder=? AND filename=?", place)
        return Held(*rows[0]) if rows else None

    def listed(self, type: Type) -> list[Place]:
        """Return all names of a type, sorted."""
        rows = self._rows("SELECT type,subfolder,filename FROM name WHERE type=? ORDER BY subfolder,filename", (type,))
        return [Place(*row) for row in rows]

    def call_upload(self, place: Place, upload: str, *, overwrite: bool) -> Place:
        """Call an upload by a name.

        Args:
            place: The name.
            upload: What the upload is called among uploads.
            overwrite: Whether the name may lead elsewhere from now on; else a number is put behind it.

        Returns:
            The name that it has.
        """
        path = PurePosixPath(place.filename)
        tried, count = place, 0
        with self._lock:
            while True:
                row = self._database.execute(
                    "SELECT upload FROM name WHERE type=? AND subfolder=? AND filename=?", tried
                ).fetchone()
                if row is None or overwrite or row[0] == upload:
                    counted = _COUNTED.fullmatch(tried.filename)  # so that no output is to have this name
                    stem, counter = (counted[1], int(counted[2])) if counted else (None, None)
                    self._database.execute(
                        "INSERT OR REPLACE INTO name (type,subfolder,filename,stem,counter,upload) VALUES (?,?,?,?,?,?)",
                        (*tried, stem, counter, upload),
                    )
                    return tried
                count += 1
                tried = place._replace(filename=f"{path.stem} ({count}){path.suffix}")

    def call_files(self, job: str, files: Iterable[tuple[Type, str, str]]) -> dict[str, Place]:
        """Call files of a job by names, once: each has the next number that its beginning has in its folder.

        Args:
            job: The job.
            files: The type of each file, how its name begins (``folder/api``), and its name in the job's folder.

        Returns:
            The name of each file (``api_00012_.png`` in ``folder``) by that.
        """
        with self._lock, self._database:
            known = self._database.execute(
                "SELECT file,type,subfolder,filename FROM name WHERE job=?", (job,)
            ).fetchall()
            named = {file: Place(*place) for file, *place in known}
            fresh = [one for one in files if one[2] not in named]
            if fresh:
                self._database.execute("BEGIN IMMEDIATE")
            for type, beginning, file in fresh:
                subfolder, _, stem = beginning.rpartition("/")
                (last,) = self._database.execute(
                    "SELECT coalesce(max(counter), 0) FROM name WHERE type=? AND subfolder=? AND stem=?",
                    (type, subfolder, stem),
                ).fetchone()
                place = Place(type, subfolder, f"{stem}_{last + 1:05}_{PurePosixPath(file).suffix}")
                self._database.execute(
                    "INSERT INTO name VALUES (?,?,?,?,?,NULL,?,?)", (*place, stem, last + 1, job, file)
                )
                named[file] = place
            return named

    def hide(self, jobs: Iterable[str]) -> None:
        """Leave jobs out of the history from now on."""
        with self._lock:
            self._database.executemany("INSERT OR IGNORE INTO hidden VALUES (?)", [(job,) for job in jobs])

    def hidden(self) -> set[str]:
        """Return the jobs that are left out."""
        return {job for (job,) in self._rows("SELECT job FROM hidden")}

    def note_stop(self, job: str, node: str, executed: Sequence[str]) -> None:
        """Keep at which node a job was stopped or failed, and which were done by then."""
        self._rows("INSERT OR REPLACE INTO stop VALUES (?,?,?)", (job, node, json.dumps(list(executed))))

    def stopped(self, job: str) -> tuple[str, list[str]]:
        """Return what was kept of where a job was stopped; nothing where it was not."""
        rows = self._rows("SELECT node,executed FROM stop WHERE job=?", (job,))
        return (rows[0][0], json.loads(rows[0][1])) if rows else ("", [])

    def user_files(self) -> list[UserFile]:
        """Return the files that the front end keeps, sorted."""
        rows = self._rows("SELECT path,length(data),created,modified FROM user_file ORDER BY path")
        return [UserFile(*row) for row in rows]

    def user_file(self, path: str) -> UserFile | None:
        """Return a file that the front end keeps."""
        rows = self._rows("SELECT path,length(data),created,modified,data FROM user_file WHERE path=?", (path,))
        return UserFile(*rows[0]) if rows else None

    def keep(self, path: str, data: bytes) -> UserFile:
        """Keep a file for the front end, in place of the one that has its name.

        Raises:
            LimitError: There is no room for it.
        """
        now = time.time()
        with self._lock:
            count, size = self._database.execute(
                "SELECT count(*), coalesce(sum(length(data)), 0) FROM user_file WHERE path != ?", (path,)
            ).fetchone()
            if count >= _USER_FILES or size + len(data) > _USER_BYTES:
                raise LimitError("there is no room for more files of the front end", where=path, advice="delete some")
            (created,) = self._database.execute(
                "INSERT INTO user_file VALUES (?,?,?,?)"
                " ON CONFLICT (path) DO UPDATE SET data=excluded.data, modified=excluded.modified RETURNING created",
                (path, data, now, now),
            ).fetchone()
        return UserFile(path, len(data), created, now, data)

    def drop(self, path: str) -> bool:
        """Forget a file of the front end; returns whether there was one."""
        return bool(self._rows("DELETE FROM user_file WHERE path=? RETURNING 1", (path,)))

    def forget(self, known: Iterable[str]) -> None:
        """Forget names of jobs that are no more, given those that are."""
        there = set(known)
        with self._lock:
            for table in ("name", "hidden", "stop"):
                gone = [
                    row
                    for row in self._database.execute(
                        f"SELECT DISTINCT job FROM {table} WHERE job IS NOT NULL"
                    ).fetchall()
                    if row[0] not in there
                ]
                self._database.executemany(f"DELETE FROM {table} WHERE job=?", gone)
