"""The queue: what a job's states are, whichever process ends when."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import pytest

from cosmos_exp.remote.wire import ControlInput, JobRequest, Status
from cosmos_exp.serving.store import JobStore, QueueFull, WorkerInfo, job_id

BACKENDS = ["nano"]
BLOB = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "jobs.sqlite")


def request(prompt: str = "rain", **values) -> JobRequest:
    return JobRequest(backend="nano", prompt=prompt, **values)


def test_a_job_goes_from_the_queue_to_its_result(store: JobStore) -> None:
    job, created = store.submit(request(), {"log": "a.log"}, "mine")
    assert (job.status, created, job.queue_position, job.token_id) == (Status.QUEUED, True, 0, "mine")
    claimed = store.claim("w0", BACKENDS)
    assert claimed is not None and (claimed.id, claimed.request, claimed.attempts) == (job.id, request(), 1)
    assert store.report(job.id, Status.RUNNING, 0.5, "single_view")
    running = store.get(job.id)
    assert running is not None and (running.status, running.progress, running.worker) == (Status.RUNNING, 0.5, "w0")
    assert store.finish(job.id)
    done = store.get(job.id)
    assert done is not None and done.status is Status.DONE and done.started and done.finished
    assert store.manifest(job.id) == {"log": "a.log"}
    assert store.claim("w0", BACKENDS) is None


def test_an_equal_request_is_the_same_job(store: JobStore) -> None:
    first, _ = store.submit(request())
    for again in (store.submit(request()), store.submit(request(priority="interactive"))):
        assert again[0].id == first.id and not again[1]
    store.claim("w0", BACKENDS)
    store.finish(first.id)
    assert store.submit(request())[0].status is Status.DONE
    assert store.submit(request("snow"))[1]


def test_a_request_to_other_weights_is_another_job(store: JobStore) -> None:
    """A server that was started again with another checkpoint must not answer with what the old one made."""
    first, _ = store.submit(request(), model="checkpoint a")
    store.claim("w0", BACKENDS)
    store.finish(first.id)
    second, created = store.submit(request(), model="checkpoint b")
    assert created and second.id != first.id
    assert store.submit(request(), model="checkpoint a")[0].status is Status.DONE


@pytest.mark.parametrize("end", ["fail", "cancel", "expire"])
def test_what_has_no_result_is_computed_again_under_its_id(store: JobStore, end: str) -> None:
    first, _ = store.submit(request())
    store.claim("w0", BACKENDS)
    if end == "fail":
        store.fail(first.id, "no memory")
    elif end == "cancel":
        store.cancel(first.id)
        store.let_go(first.id)
    else:
        store.finish(first.id)
        assert store.expire(-1) == [first.id] and store.is_expired(first.id)
    again, created = store.submit(request())
    assert created and again.id == first.id and again.status is Status.QUEUED and again.error is None
    claimed = store.claim("w1", BACKENDS)
    assert claimed is not None and claimed.attempts == 1


def test_the_queue_is_in_order_with_interactive_jobs_first(store: JobStore) -> None:
    batch = [store.submit(request(str(i)))[0].id for i in range(3)]
    urgent = store.submit(request("now", priority="interactive"))[0].id
    assert [store.position(job) for job in (urgent, *batch)] == [0, 1, 2, 3]
    taken = [job.id for _ in range(4) if (job := store.claim("w0", BACKENDS))]
    assert taken == [urgent, *batch]


def test_a_worker_takes_only_what_it_can_do(store: JobStore) -> None:
    store.submit(request())
    assert store.claim("w0", ["other"]) is None
    assert store.claim("w0", ["other", "nano"]) is not None


def test_a_full_queue_takes_no_more_but_tells_what_it_has(store: JobStore) -> None:
    store.submit(request(), most_queued=1)
    with pytest.raises(QueueFull, match="1 jobs wait"):
        store.submit(request("snow"), most_queued=1)
    assert not store.submit(request(), most_queued=1)[1]


def test_a_cancelled_job_is_left_by_its_worker_before_another_takes_it(store: JobStore) -> None:
    job = store.submit(request())[0].id
    store.claim("w0", BACKENDS)
    cancelled = store.cancel(job)
    assert cancelled is not None and cancelled.status is Status.CANCELLED
    assert not store.delete(job), "its worker may still write"
    store.submit(request())
    assert store.claim("w1", BACKENDS) is None
    assert not store.report(job, Status.RUNNING, 0.6)
    assert not store.finish(job)
    claimed = store.claim("w1", BACKENDS)
    assert claimed is not None and claimed.id == job


def test_a_worker_that_stops_in_order_gives_its_job_back(store: JobStore) -> None:
    job = store.submit(request())[0].id
    for _ in range(5):
        claimed = store.claim("w0", BACKENDS)
        assert claimed is not None and claimed.attempts == 1
        store.let_go(job)
    info = store.get(job)
    assert info is not None and info.status is Status.QUEUED


def test_a_job_whose_worker_dies_is_begun_again_three_times_at_most(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite", most_attempts=3)
    job = store.submit(request())[0].id
    other = store.submit(request("snow"))[0].id
    for attempt in range(1, 4):
        claimed = store.claim("w0", BACKENDS)
        assert claimed is not None and (claimed.id, claimed.attempts) == (job, attempt)
        assert store.requeue_interrupted("w1") == []
        assert store.requeue_interrupted("w0", "signal 9") == [job]
    failed = store.get(job)
    assert failed is not None and failed.status is Status.FAILED
    assert failed.error == "its worker ended 3 times; the last time: signal 9"
    waiting = store.get(other)
    assert waiting is not None and waiting.status is Status.QUEUED


def test_a_new_server_has_the_jobs_of_the_one_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    killed = JobStore(path)
    ids = [killed.submit(request(str(i)))[0].id for i in range(3)]
    killed.claim("w0", BACKENDS)
    killed.finish(ids[0])
    killed.claim("w0", BACKENDS)
    store = JobStore(path)
    assert store.requeue_interrupted() == [ids[1]]
    states = [store.get(job) for job in ids]
    assert [s and s.status for s in states] == [Status.DONE, Status.QUEUED, Status.QUEUED]


def test_no_job_is_taken_twice_by_workers_that_ask_at_once(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    submitted = {JobStore(path).submit(request(str(i)))[0].id for i in range(60)}
    taken: list[str] = []

    def work(name: str) -> None:
        store = JobStore(path)
        while claimed := store.claim(name, BACKENDS):
            taken.append(claimed.id)
            store.finish(claimed.id)

    threads = [threading.Thread(target=work, args=(f"w{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 60 and set(taken) == submitted


def test_uploads_of_waiting_jobs_are_needed(store: JobStore) -> None:
    control = {"edge": ControlInput(blob=BLOB)}
    job = store.submit(request(controls=control))[0].id
    assert store.blobs_needed() == {BLOB}
    store.cancel(job)
    assert store.blobs_needed() == frozenset()


def test_finished_jobs_expire_and_are_forgotten_later(store: JobStore) -> None:
    done, waiting = (store.submit(request(prompt))[0].id for prompt in "ab")
    store.claim("w0", BACKENDS)
    store.finish(done)
    assert store.expire(3600) == []
    assert store.expire(-1) == [done]
    assert store.known() == {waiting}
    store.forget_expired(3600)
    assert store.get(done) is not None
    store.forget_expired(-1)
    assert store.get(done) is None


def test_jobs_are_listed_with_the_newest_first(store: JobStore) -> None:
    ids = [store.submit(request(str(i)), {}, f"t{i % 2}")[0].id for i in range(4)]
    assert [job.id for job in store.jobs()] == ids[::-1]
    assert [job.id for job in store.jobs(token_id="t0", limit=1)] == [ids[2]]
    store.cancel(ids[0])
    assert [job.id for job in store.jobs(Status.CANCELLED)] == [ids[0]]
    assert store.jobs(backend="other") == []
    assert store.counts() == {"nano": {Status.QUEUED: 3, Status.CANCELLED: 1}}


def test_every_change_of_a_job_has_a_new_version(store: JobStore) -> None:
    job = store.submit(request())[0].id
    versions = []
    for change in (
        lambda: store.claim("w0", BACKENDS),
        lambda: store.report(job, Status.RUNNING, 0.1),
        lambda: store.finish(job),
    ):
        change()
        update = store.update(job)
        versions.append(update and update.version)
    assert versions == sorted(set(versions))


def test_progress_is_written_at_intervals_but_a_cancel_is_seen_at_once(store: JobStore) -> None:
    job = store.submit(request())[0].id
    store.claim("w0", BACKENDS)
    for step in range(100):
        assert store.report(job, Status.RUNNING, step / 100, "sampling")
    update = store.update(job)
    assert update is not None and update.version < 20
    JobStore(store.path).cancel(job)
    assert not store.report(job, Status.RUNNING, 1.0, "sampling")


def test_workers_say_how_they_are(store: JobStore) -> None:
    loading = WorkerInfo("w0", 12, "cpu", "loading", "", ("nano",), time.time())
    store.set_worker(loading)
    store.set_worker(loading._replace(state="ready"))
    assert [worker.state for worker in JobStore(store.path).workers()] == ["ready"]
    store.forget_workers()
    assert store.workers() == []


def test_text_of_any_kind_survives(store: JobStore) -> None:
    odd = 'a "quoted" 雨\x00 <b>\u202e line\n' + "x" * 1000
    job = store.submit(request(odd))[0].id
    kept = store.request(job)
    assert kept is not None and kept.prompt == odd and job_id(kept) == job


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_text("not a database, and nothing to overwrite" * 20)
    with pytest.raises(sqlite3.DatabaseError):
        JobStore(path)
    assert path.read_text().startswith("not a database")
