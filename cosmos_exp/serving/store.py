"""The jobs of a server, in SQLite: what is queued, who is at work on what, what is finished.

The server and its workers have the file open at the same time. Every change is one transaction, so whichever process
is killed, no job is lost, and none is computed twice at once: `holder` is the worker that is at a job, and it alone may
report on it. A cancelled job keeps its holder until that one has let go.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cosmos_exp.common.errors import UserError
from cosmos_exp.remote.wire import JobInfo, JobRequest, Status

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, request TEXT NOT NULL, manifest TEXT NOT NULL, backend TEXT NOT NULL,
    priority INTEGER NOT NULL, place INTEGER NOT NULL, status TEXT NOT NULL, token_id TEXT,
    created REAL NOT NULL, started REAL, finished REAL, progress REAL NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT '', error TEXT, views TEXT NOT NULL, worker TEXT, holder TEXT,
    attempts INTEGER NOT NULL DEFAULT 0, expired REAL, version INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS queue ON jobs (status, priority, place);
CREATE INDEX IF NOT EXISTS age ON jobs (created);
CREATE INDEX IF NOT EXISTS ends ON jobs (finished);
CREATE TABLE IF NOT EXISTS workers (
    name TEXT PRIMARY KEY, pid INTEGER NOT NULL, device TEXT NOT NULL, state TEXT NOT NULL, message TEXT NOT NULL,
    backends TEXT NOT NULL, seen REAL NOT NULL);
"""
ID_DIGITS = 20
"""Hex digits of a job's id."""
PRIORITIES = {"interactive": 0, "batch": 1}
OVER = tuple(status.value for status in Status if status.finished)
LIVE = (Status.PREPARING.value, Status.RUNNING.value)
WAITING_FOR_LOCK = 30.0
"""Seconds that one process waits for another's transaction."""
REPORT_EVERY = 0.25
"""Seconds between two reports of progress that are written."""
LONGEST_TEXT = 8000
"""Characters of a message or an error."""


class QueueFull(UserError):
    """As many jobs wait as may."""


class ClaimedJob(NamedTuple):
    """attempts: how often it was begun, this time included."""

    id: str
    request: JobRequest
    attempts: int


class WorkerInfo(NamedTuple):
    """state: loading, ready, busy, error or stopped. seen: seconds since 1970. backends: models that it serves."""

    name: str
    pid: int
    device: str
    state: str
    message: str
    backends: tuple[str, ...]
    seen: float


class Update(NamedTuple):
    """A job as it is, and a number that grows with every change of it."""

    version: int
    job: JobInfo


class JobStore:
    """path: of the database, made where there is none. Thread-safe. most_attempts: begun so often, a job whose worker
    died has failed."""

    def __init__(self, path: Path, *, most_attempts: int = 3):
        self.path, self.most_attempts = path, most_attempts
        self._local, self._held, self._reported = threading.local(), dict[str, str](), dict[str, tuple[float, str]]()
        self._connections, self._lock = list[sqlite3.Connection](), threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db.executescript(SCHEMA)

    # Clients

    def submit(
        self, request: JobRequest, manifest: dict[str, Any] | None = None, token_id: str | None = None,
        *, model: str = "", most_queued: int | None = None,
    ) -> tuple[JobInfo, bool]:  # fmt: skip
        """The job of a request, and whether it is to be computed now: an equal one that waits, runs or is done is given
        as it is. manifest: what the client says of the clip. model: as `job_id` takes it. Raises QueueFull where
        `most_queued` jobs wait."""
        job = job_id(request, model)
        with self._transaction() as db:
            row = db.execute("SELECT * FROM jobs WHERE id=?", (job,)).fetchone()
            if row is not None and not _is_to_be_computed(row):
                urgent = min(row["priority"], PRIORITIES[request.priority])
                db.execute("UPDATE jobs SET priority=? WHERE id=?", (urgent, job))
                return self._info(db, self._row(db, job)), False
            waiting = db.execute("SELECT count(*) FROM jobs WHERE status='queued'").fetchone()[0]
            if most_queued is not None and waiting >= most_queued:
                raise QueueFull(f"{waiting} jobs wait, and no more may (serve.most_queued): try again later")
            place = db.execute("SELECT coalesce(max(place), 0) + 1 FROM jobs").fetchone()[0]
            db.execute(
                "INSERT INTO jobs (id, request, manifest, backend, priority, place, status, token_id, created, views) "
                "VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?) ON CONFLICT (id) DO UPDATE SET (request, manifest, "
                "priority, place, status, token_id, created, started, finished, progress, message, error, worker, "
                "attempts, expired, version) = (excluded.request, excluded.manifest, excluded.priority, "
                "excluded.place, 'queued', excluded.token_id, excluded.created, NULL, NULL, 0, '', NULL, NULL, 0, "
                "NULL, version + 1)",
                (job, request.model_dump_json(), json.dumps(manifest or {}), request.backend,
                 PRIORITIES[request.priority], place, token_id, time.time(), json.dumps(request.views)),
            )  # fmt: skip
            return self._info(db, self._row(db, job)), True

    def get(self, job: str) -> JobInfo | None:
        update = self.update(job)
        return update and update.job

    def update(self, job: str) -> Update | None:
        row = self._row(self._db, job)
        return None if row is None else Update(row["version"], self._info(self._db, row))

    def request(self, job: str) -> JobRequest | None:
        row = self._row(self._db, job)
        return None if row is None else JobRequest.model_validate_json(row["request"])

    def manifest(self, job: str) -> dict[str, Any]:
        """What the client said of the clip."""
        row = self._row(self._db, job)
        return {} if row is None else json.loads(row["manifest"])

    def is_to_be_computed(self, job: str) -> bool:
        """Whether `submit` would queue it: it is new, failed, was cancelled, or its result was deleted."""
        row = self._row(self._db, job)
        return row is None or _is_to_be_computed(row)

    def is_expired(self, job: str) -> bool:
        """Whether its result was deleted for its age."""
        row = self._row(self._db, job)
        return row is not None and row["expired"] is not None

    def jobs(
        self, status: Status | None = None, backend: str | None = None, token_id: str | None = None, limit: int = 100
    ) -> list[JobInfo]:
        """The newest first."""
        given = {"status": status and status.value, "backend": backend, "token_id": token_id}
        wanted = {key: value for key, value in given.items() if value is not None}
        where = " AND ".join(["1", *(f"{key}=:{key}" for key in wanted)])
        query = f"SELECT * FROM jobs WHERE {where} ORDER BY created DESC, place DESC LIMIT :limit"
        rows = self._db.execute(query, {**wanted, "limit": limit}).fetchall()
        return [self._info(self._db, row) for row in rows]

    def cancel(self, job: str) -> JobInfo | None:
        """A job that is finished stays as it is. One at work is cancelled at once; its worker sees so in `report`."""
        with self._transaction() as db:
            db.execute(
                "UPDATE jobs SET status='cancelled', finished=?, message='', version=version+1 "
                "WHERE id=? AND status IN ('queued', 'preparing', 'running')",
                (time.time(), job),
            )
        return self.get(job)

    def delete(self, job: str) -> bool:
        """Forget a finished job; False where a worker has not let go of it yet, or it is not finished."""
        with self._transaction() as db:
            done = db.execute(f"DELETE FROM jobs WHERE id=? AND holder IS NULL AND status IN {OVER}", (job,))
            return done.rowcount == 1

    def finished_since(self, time: float) -> list[JobInfo]:
        """Jobs that ended later, in that order. time: seconds since 1970."""
        rows = self._db.execute("SELECT * FROM jobs WHERE finished>? ORDER BY finished", (time,)).fetchall()
        return [self._info(self._db, row) for row in rows]

    def position(self, job: str) -> int | None:
        """How many wait before it; None where it does not wait."""
        row = self._row(self._db, job)
        return None if row is None else self._position(self._db, row)

    def counts(self) -> dict[str, dict[Status, int]]:
        """{backend: {status: jobs}}."""
        found: dict[str, dict[Status, int]] = {}
        for backend, status, count in self._db.execute("SELECT backend, status, count(*) FROM jobs GROUP BY 1, 2"):
            found.setdefault(backend, {})[Status(status)] = count
        return found

    # Workers

    def claim(self, worker: str, backends: Collection[str]) -> ClaimedJob | None:
        """Take the next job of these models; None where none waits. It is `preparing` then, and this worker holds it
        until finish, fail, block or let_go."""
        asked = ",".join("?" * len(backends))
        if not self._db.execute("SELECT 1 FROM jobs WHERE status='queued' LIMIT 1").fetchone():
            return None  # without a lock: idle workers ask often
        with self._transaction() as db:
            row = db.execute(
                "UPDATE jobs SET status='preparing', worker=?, holder=?, started=?, progress=0, message='', "
                "attempts=attempts+1, version=version+1 WHERE id = (SELECT id FROM jobs WHERE status='queued' AND "
                f"holder IS NULL AND backend IN ({asked}) ORDER BY priority, place LIMIT 1) "
                "RETURNING id, request, attempts",
                (worker, worker, time.time(), *backends),
            ).fetchone()
        if row is None:
            return None
        self._held[row["id"]] = worker
        return ClaimedJob(row["id"], JobRequest.model_validate_json(row["request"]), row["attempts"])

    def report(self, job: str, status: Status, progress: float, message: str = "") -> bool:
        """How far the worker is, 0 to 1. False: the job was cancelled; stop and `let_go`."""
        said, now = (status.value, message), time.monotonic()
        before, what = self._reported.get(job, (0.0, ""))
        if now - before < REPORT_EVERY and what == repr(said):
            row = self._row(self._db, job)
            return row is not None and row["holder"] == self._held.get(job) and row["status"] in LIVE
        self._reported[job] = now, repr(said)
        return self._change(
            job, "status=?, progress=?, message=?", (status.value, min(1.0, max(0.0, progress)), message[:LONGEST_TEXT])
        )

    def finish(self, job: str) -> bool:
        """It is done, its result on disk. False: it was cancelled before."""
        values = ("status='done', finished=?, progress=1, message='', error=NULL", (time.time(),))
        return self._change(job, *values) & self.let_go(job)

    def fail(self, job: str, error: str) -> bool:
        """error: told to the client. False: it was cancelled before."""
        return self._end(job, Status.FAILED, error)

    def block(self, job: str, error: str) -> bool:
        """A guard has stopped it: an equal request is not computed again. Else as `fail`."""
        return self._end(job, Status.BLOCKED, error)

    def _end(self, job: str, status: Status, error: str) -> bool:
        values = (status.value, time.time(), error[:LONGEST_TEXT])
        return self._change(job, "status=?, finished=?, error=?, message=''", values) & self.let_go(job)

    def let_go(self, job: str) -> bool:
        """This worker is no longer at a job; one that is not over goes back to the queue, and the attempt does not
        count. Always true."""
        worker = self._held.pop(job, None)
        self._reported.pop(job, None)
        if worker is not None:
            with self._transaction() as db:
                db.execute(
                    "UPDATE jobs SET status='queued', started=NULL, progress=0, message='', worker=NULL, "
                    "attempts=attempts-1, version=version+1 WHERE id=? AND holder=? AND status IN "
                    "('preparing', 'running')",
                    (job, worker),
                )
                db.execute("UPDATE jobs SET holder=NULL WHERE id=? AND holder=?", (job, worker))
        return True

    def requeue_interrupted(self, worker: str | None = None, reason: str = "", *, counts: bool = True) -> list[str]:
        """Queue again what a dead worker was at, or all workers: at the start of a server. A job that was begun
        `most_attempts` times has failed, for this reason. counts: whether this attempt does. Returns the ids of
        both."""
        whose, given = ("holder=?", (worker,)) if worker else ("holder IS NOT NULL", ())
        live = f"{whose} AND status IN ('preparing', 'running')"
        why = f"its worker ended {self.most_attempts} times" + (f"; the last time: {reason}" if reason else "")
        with self._transaction() as db:
            ids = [row["id"] for row in db.execute(f"SELECT id FROM jobs WHERE {live}", given)]
            if not counts:
                db.execute(f"UPDATE jobs SET attempts=attempts-1 WHERE {live}", given)
            db.execute(
                f"UPDATE jobs SET status='failed', finished=?, error=?, version=version+1 WHERE {live} AND attempts>=?",
                (time.time(), why[:LONGEST_TEXT], *given, self.most_attempts),
            )
            db.execute(
                "UPDATE jobs SET status='queued', started=NULL, progress=0, worker=NULL, version=version+1, "
                f"message='queued again: its worker ended' WHERE {live}",
                given,
            )
            db.execute(f"UPDATE jobs SET holder=NULL WHERE {whose}", given)
        return ids

    def set_worker(self, worker: WorkerInfo) -> None:
        """What a worker says of itself; its last word stands."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO workers (name, pid, device, state, message, backends, seen) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*worker[:4], worker.message[:LONGEST_TEXT], json.dumps(worker.backends), worker.seen),
            )

    def workers(self) -> list[WorkerInfo]:
        rows = self._db.execute("SELECT * FROM workers ORDER BY name").fetchall()
        return [WorkerInfo(**{**dict(row), "backends": tuple(json.loads(row["backends"]))}) for row in rows]

    def forget_workers(self) -> None:
        """Of a server that has ended."""
        with self._transaction() as db:
            db.execute("DELETE FROM workers")

    # Retention

    def blobs_needed(self) -> frozenset[str]:
        """SHA-256 of the uploads of all jobs that are not over."""
        rows = self._db.execute("SELECT request FROM jobs WHERE status IN ('queued', 'preparing', 'running')")
        return frozenset(blob for row in rows for blob in JobRequest.model_validate_json(row["request"]).blobs)

    def expire(self, older_than: float) -> list[str]:
        """Mark those finished for so many seconds, whose results are to be deleted; returns their ids."""
        with self._transaction() as db:
            rows = db.execute(
                "UPDATE jobs SET expired=?, version=version+1 WHERE expired IS NULL AND holder IS NULL AND "
                f"status IN {OVER} AND finished<? RETURNING id",
                (time.time(), time.time() - older_than),
            ).fetchall()
            return [row["id"] for row in rows]

    def forget_expired(self, older_than: float) -> None:
        """Delete the rows of those that expired so many seconds ago."""
        with self._transaction() as db:
            db.execute("DELETE FROM jobs WHERE expired<?", (time.time() - older_than,))

    def known(self) -> frozenset[str]:
        """Ids of the jobs whose folders are to stay."""
        return frozenset(row["id"] for row in self._db.execute("SELECT id FROM jobs WHERE expired IS NULL"))

    def close(self) -> None:
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._local = threading.local()

    # SQLite

    @property
    def _db(self) -> sqlite3.Connection:
        """This thread's connection."""
        if (found := getattr(self._local, "db", None)) is None:
            found = sqlite3.connect(self.path, WAITING_FOR_LOCK, isolation_level=None, check_same_thread=False)
            found.row_factory = sqlite3.Row
            found.execute("PRAGMA journal_mode=WAL")
            self._local.db = found
            with self._lock:
                self._connections.append(found)
        return found

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def _row(self, db: sqlite3.Connection, job: str) -> sqlite3.Row:
        return db.execute("SELECT * FROM jobs WHERE id=?", (job,)).fetchone()

    def _change(self, job: str, values: str, given: tuple[Any, ...]) -> bool:
        """Set values of a job that this process holds and that is not over; False where that is not so."""
        with self._transaction() as db:
            done = db.execute(
                f"UPDATE jobs SET {values}, version=version+1 WHERE id=? AND holder=? AND "
                "status IN ('preparing', 'running')",
                (*given, job, self._held.get(job)),
            )
            return done.rowcount == 1

    def _position(self, db: sqlite3.Connection, row: sqlite3.Row) -> int | None:
        if row["status"] != Status.QUEUED.value:
            return None
        query = (
            "SELECT count(*) FROM jobs WHERE status='queued' AND backend=? AND (priority<? OR priority=? AND place<?)"
        )
        given = (row["backend"], row["priority"], row["priority"], row["place"])
        return int(db.execute(query, given).fetchone()[0])

    def _info(self, db: sqlite3.Connection, row: sqlite3.Row) -> JobInfo:
        same = ("id", "backend", "token_id", "created", "started", "finished", "progress", "message", "error", "worker")
        return JobInfo(
            **{key: row[key] for key in same},
            status=Status(row["status"]),
            priority=next(name for name, rank in PRIORITIES.items() if rank == row["priority"]),
            views=json.loads(row["views"]),
            queue_position=self._position(db, row),
        )


def job_id(request: JobRequest, model: str = "") -> str:
    """model: what the result follows from beside the request, such as weights: with others, it is another job."""
    return hashlib.sha256(f"{model} {request.digest}".encode()).hexdigest()[:ID_DIGITS]


def _is_to_be_computed(row: sqlite3.Row) -> bool:
    return row["status"] in (Status.FAILED.value, Status.CANCELLED.value) or row["expired"] is not None
