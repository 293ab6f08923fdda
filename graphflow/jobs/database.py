"""The record of all jobs: one SQLite file that a killed process leaves whole.

Every change is one transaction. The write-ahead log is not synced at each of them: what a process wrote survives its end,
a power cut may take the last moments.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from graphflow.errors import StoreError
from graphflow.jobs.job import FINAL, Attempt, Job, JobFile, Order, State

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, state TEXT NOT NULL, paused INT NOT NULL DEFAULT 0,
  stopping TEXT NOT NULL DEFAULT '', priority INT NOT NULL, name TEXT NOT NULL, origin TEXT NOT NULL, created REAL NOT NULL,
  started REAL, finished REAL, attempt INT NOT NULL DEFAULT 0, crashes INT NOT NULL DEFAULT 0, key TEXT UNIQUE, asked TEXT,
  work TEXT NOT NULL, error TEXT, result TEXT, extra TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS job_next ON job (priority DESC, number) WHERE state IN ('queued', 'interrupted') AND NOT paused;
CREATE INDEX IF NOT EXISTS job_state ON job (state, number);
CREATE INDEX IF NOT EXISTS job_over ON job (finished) WHERE finished IS NOT NULL;
CREATE TABLE IF NOT EXISTS attempt (
  job INT NOT NULL, number INT NOT NULL, started REAL NOT NULL, finished REAL, outcome TEXT, cause TEXT,
  PRIMARY KEY (job, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS file (
  job INT NOT NULL, place INT NOT NULL, node TEXT NOT NULL, name TEXT NOT NULL, size INT NOT NULL, how TEXT NOT NULL,
  PRIMARY KEY (job, place)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tally (state TEXT PRIMARY KEY, jobs INT NOT NULL) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS job_added AFTER INSERT ON job BEGIN
  INSERT INTO tally VALUES (new.state, 1) ON CONFLICT DO UPDATE SET jobs=jobs+1;
END;
CREATE TRIGGER IF NOT EXISTS job_moved AFTER UPDATE OF state ON job BEGIN
  UPDATE tally SET jobs=jobs-1 WHERE state=old.state;
  INSERT INTO tally VALUES (new.state, 1) ON CONFLICT DO UPDATE SET jobs=jobs+1;
END;
CREATE TRIGGER IF NOT EXISTS job_removed AFTER DELETE ON job BEGIN
  UPDATE tally SET jobs=jobs-1 WHERE state=old.state;
END;
DELETE FROM tally;
INSERT INTO tally SELECT state, count(*) FROM job GROUP BY state;
"""
_NAMES = tuple(field.name for field in fields(Job))
_SHOWN = ",".join(_NAMES)
_WAITING = "state IN ('queued', 'interrupted')"


class Database:
    """The jobs of one folder. Safe to use from several threads of one process; a second process is kept out elsewhere.

    Args:
        path: The file, made if it is missing.

    Raises:
        StoreError: It cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise StoreError(
                    f"the jobs were kept by another version of graphflow ({version}, this one has {_VERSION})",
                    where=str(path),
                    advice="name another folder with --data",
                )
            self._database.executescript(_SCHEMA + f"PRAGMA user_version={_VERSION};")
        except sqlite3.Error as error:
            raise StoreError(f"cannot be used: {error}", where=str(path), advice="name another folder") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    # ------------------------------------------------------------------------------------------------- reading

    def job(self, id: str) -> Job | None:
        """Return a job, or None where there is none of this id."""
        rows = self._rows(f"SELECT {_SHOWN} FROM job WHERE id=?", (id,))
        return _job(rows[0]) if rows else None

    def order(self, id: str) -> Order:
        """Return what a job is to do."""
        ((text,),) = self._rows("SELECT work FROM job WHERE id=?", (id,))
        return Order(**json.loads(text))

    def keyed(self, key: str) -> tuple[Job, str] | None:
        """Return the job that was submitted with an idempotency key, and the digest of what was asked for."""
        rows = self._rows(f"SELECT {_SHOWN},asked FROM job WHERE key=?", (key,))
        return (_job(rows[0][:-1]), rows[0][-1]) if rows else None

    def jobs(
        self, states: Iterable[State] = (), *, origin: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[Job]:
        """Return jobs, the newest first.

        Args:
            states: Only those in one of these states; none is all.
            origin: Only those that came by this interface.
            limit: At most so many.
            before: Only those that came before this one.
        """
        wanted = list(states)
        conditions = [f"state IN ({','.join('?' * len(wanted))})"] if wanted else []
        values: list[Any] = list(wanted)
        if origin is not None:
            conditions.append("origin=?")
            values.append(origin)
        if before is not None:
            conditions.append("number < (SELECT number FROM job WHERE id=?)")
            values.append(before)
        where = " AND ".join(conditions) or "1"
        rows = self._rows(f"SELECT {_SHOWN} FROM job WHERE {where} ORDER BY number DESC LIMIT ?", (*values, limit))
        return [_job(row) for row in rows]

    def finished(self, states: Iterable[State], *, origin: str) -> dict[str, float | None]:
        """Return when the jobs in some states were over that came by an interface, by id, the newest first."""
        wanted = list(states)
        marks = ",".join("?" * len(wanted))
        query = f"SELECT id,finished FROM job WHERE state IN ({marks}) AND origin=? ORDER BY number DESC"
        return dict(self._rows(query, (*wanted, origin)))

    def waiting(self) -> list[Job]:
        """Return the jobs that wait, in the order in which they will run; paused ones last."""
        rows = self._rows(f"SELECT {_SHOWN} FROM job WHERE {_WAITING} ORDER BY paused, priority DESC, number")
        return [_job(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Return how many jobs there are by state."""
        return dict(self._rows("SELECT state, jobs FROM tally WHERE jobs > 0"))

    def attempts(self, id: str) -> list[Attempt]:
        """Return a job's attempts, the first one first."""
        rows = self._rows(
            "SELECT a.number,a.started,a.finished,a.outcome,a.cause FROM attempt a JOIN job ON job.number=a.job"
            " WHERE id=? ORDER BY a.number",
            (id,),
        )
        return [
            Attempt(number, started, finished, outcome, _read(cause))
            for number, started, finished, outcome, cause in rows
        ]

    def files(self, id: str) -> list[JobFile]:
        """Return the files of a job's result, in the order of its nodes."""
        rows = self._rows(
            "SELECT node,f.name,size,how FROM file f JOIN job ON job.number=f.job WHERE id=? ORDER BY place", (id,)
        )
        return [JobFile(*row) for row in rows]

    # ------------------------------------------------------------------------------------------------ changing

    def add(
        self,
        id: str,
        order: Order,
        *,
        name: str,
        origin: str,
        priority: int,
        paused: bool,
        key: str | None,
        asked: str | None,
        extra: Mapping[str, Any],
    ) -> Job:
        """Add a queued job.

        Raises:
            sqlite3.IntegrityError: There is one of this id, or with this idempotency key.
        """
        with self._change() as database:
            row = database.execute(
                "INSERT INTO job (id,state,paused,priority,name,origin,created,key,asked,work,extra)"
                f" VALUES (?,'queued',?,?,?,?,?,?,?,?,?) RETURNING {_SHOWN}",
                (id, paused, priority, name, origin, time.time(), key, asked, _text(vars(order)), _text(extra)),
            ).fetchone()
        return _job(row)

    def claim(self) -> Job | None:
        """Begin the next attempt of the job that comes first; None where none waits."""
        with self._change() as database:
            row = database.execute(
                f"UPDATE job SET state='running', stopping='', attempt=attempt+1, started=? WHERE number=(SELECT number"
                f" FROM job INDEXED BY job_next WHERE {_WAITING} AND NOT paused ORDER BY priority DESC, number LIMIT 1)"
                f" RETURNING {_SHOWN},number",
                (time.time(),),
            ).fetchone()
            if row is None:
                return None
            job = _job(row[:-1])
            database.execute(
                "INSERT INTO attempt (job,number,started) VALUES (?,?,?)", (row[-1], job.attempt, job.started)
            )
        return job

    def end(
        self,
        id: str,
        outcome: str,
        *,
        cause: Mapping[str, Any] | None = None,
        result: Mapping[str, Any] | None = None,
        files: Sequence[JobFile] = (),
        crashed: bool = False,
    ) -> Job:
        """End the attempt of a running job.

        Args:
            id: The job.
            outcome: As :attr:`graphflow.jobs.job.Attempt.outcome`.
            cause: Why it gave nothing.
            result: What it gave.
            files: What it wrote.
            crashed: Whether the process that ran it has died.
        """
        now = time.time()
        state = {"paused": "queued"}.get(outcome, outcome)
        with self._change() as database:
            row = database.execute(
                "UPDATE job SET state=?, paused=paused OR ?, stopping='', finished=?, error=?, result=?,"
                f" crashes=CASE WHEN ? THEN crashes+1 ELSE 0 END WHERE id=? AND state='running' RETURNING {_SHOWN},number",
                (
                    state, outcome == "paused", now if state in FINAL else None,
                    _text(cause) if state == "failed" else None, _text(result), crashed, id,
                ),
            ).fetchone()  # fmt: skip
            if row is None:
                raise StoreError(f"job {id} does not run")
            number, job = row[-1], _job(row[:-1])
            database.execute(
                "UPDATE attempt SET finished=?, outcome=?, cause=? WHERE job=? AND number=?",
                (now, outcome, _text(cause), number, job.attempt),
            )
            database.executemany(
                "INSERT INTO file VALUES (?,?,?,?,?,?)",
                [(number, place, file.node, file.name, file.size, file.how) for place, file in enumerate(files)],
            )
        return job

    def cancel(self, id: str) -> Job | None:
        """End a job that waits; None where it does not."""
        return self._alter(id, "state='cancelled', finished=?", _WAITING, time.time())

    def pause(self, id: str) -> Job | None:
        """Have a job that waits go on waiting until it is resumed; None where it does not wait."""
        return self._alter(id, "paused=1", _WAITING)

    def resume(self, id: str) -> Job | None:
        """Have a paused job wait for its turn; None where it does not wait."""
        return self._alter(id, "paused=0, crashes=0", _WAITING)

    def stop(self, id: str, outcome: str) -> Job | None:
        """Say what becomes of a running job at its next step, where it is not to be cancelled; None where it does not run."""
        return self._alter(
            id, "stopping=CASE stopping WHEN 'cancelled' THEN stopping ELSE ? END", "state='running'", outcome
        )

    def prioritise(self, id: str, priority: int) -> Job | None:
        """Change a job's priority; None where there is no such job."""
        return self._alter(id, "priority=?", "1", priority)

    def retry(self, id: str) -> Job | None:
        """Queue a job again that is over or was given up; None where it is neither."""
        return self._alter(
            id,
            "state='queued', paused=0, stopping='', finished=NULL, error=NULL, crashes=0",
            "(state IN ('failed', 'cancelled') OR (state='interrupted' AND paused))",
        )

    def _alter(self, id: str, assignments: str, condition: str, *values: Any) -> Job | None:
        """Change a job where a condition holds; returns it as it stands then, or None where it does not hold."""
        with self._change() as database:
            row = database.execute(
                f"UPDATE job SET {assignments} WHERE {condition} AND id=? RETURNING {_SHOWN}", (*values, id)
            ).fetchone()
        return _job(row) if row else None

    def recover(self, most: int) -> list[tuple[str, int]]:
        """End the attempts of a process that has died.

        Args:
            most: After so many in a row a job is paused, so that it does not end the service for ever.

        Returns:
            Of each job that ran: its id, and the number of the attempt.
        """
        ended: list[tuple[str, int]] = []
        for id, stopping, attempt, crashes in self._rows(
            "SELECT id,stopping,attempt,crashes FROM job WHERE state='running'"
        ):
            cause = {"message": "the service ended while this ran"}
            self.end(id, stopping or "interrupted", cause=cause, crashed=not stopping)
            if not stopping and crashes + 1 >= most:
                self.pause(id)
            ended.append((id, attempt))
        return ended

    def remove(self, ids: Iterable[str]) -> None:
        """Forget jobs."""
        with self._change() as database:
            for id in ids:
                row = database.execute("DELETE FROM job WHERE id=? RETURNING number", (id,)).fetchone()
                if row is not None:
                    database.execute("DELETE FROM attempt WHERE job=?", row)
                    database.execute("DELETE FROM file WHERE job=?", row)

    def outlived(self, seconds: float, count: int) -> list[str]:
        """Return the jobs that are over and older than ``seconds``, or not among the last ``count``."""
        rows = self._rows(
            "SELECT id FROM job WHERE finished < ? UNION SELECT id FROM (SELECT id FROM job WHERE finished IS NOT NULL"
            " ORDER BY finished DESC LIMIT -1 OFFSET ?)",
            (time.time() - seconds, count),
        )
        return [id for (id,) in rows]


def _job(row: Sequence[Any]) -> Job:
    values = dict(zip(_NAMES, row, strict=True))
    read = {name: _read(values[name]) for name in ("error", "result", "extra")}
    return Job(**{**values, **read, "paused": bool(values["paused"])})


def _read(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
