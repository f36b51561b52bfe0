"""A process of a server that computes jobs: `python -m cosmos_exp.serving.worker NAME [--device cuda:1] OVERRIDE...`

It takes jobs from the store until its stdin is closed, by the server or by the server's death, and keeps the model from
one job to the next. What goes wrong with a job is told as the job's error, and the traceback of a bug is written to
`worker.log` in the job's folder.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2

from cosmos_exp.common.cache_holds import holds_of
from cosmos_exp.common.errors import UserError
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.guardrails.verdicts import Blocked
from cosmos_exp.remote.wire import Status
from cosmos_exp.serving.blobs import BlobStore
from cosmos_exp.serving.config import settings
from cosmos_exp.serving.generation import PREPARED, Generator
from cosmos_exp.serving.store import ClaimedJob, JobStore, WorkerInfo

log = logging.getLogger(__name__)

IDLE = 0.05
"""Seconds between two looks into an empty queue."""
SEEN = 2.0
"""Seconds between two signs of life."""
PATIENCE = 10.0
"""Seconds that a job has to stop at its next step, once the server is gone."""


class JobCancelled(Exception):
    """The client does not want the job any more."""


class ServerGone(Exception):
    """The worker is to end, and the job to go back to the queue."""


class Worker:
    """name: by which the server knows this process. state: the server's folder."""

    def __init__(self, name: str, generator: Generator, state: Path, *, most_attempts: int):
        self.name = name
        self.generator = generator
        self.state = state
        self.store = JobStore(state / "jobs.sqlite", most_attempts=most_attempts)
        self.blobs = BlobStore(state / "blobs")
        self.stopping = threading.Event()
        self._seen = 0.0

    @property
    def backends(self) -> tuple[str, ...]:
        return (self.generator.config.model.name,)

    def work(self) -> None:
        """Take jobs until `stopping` is set."""
        while not self.stopping.is_set():
            self.show("ready")
            if job := self.store.claim(self.name, self.backends):
                self.show("busy", job.id, at_once=True)
                self.do(job)
                self.show("ready", at_once=True)
            else:
                self.stopping.wait(IDLE)
        self.show("stopped", at_once=True)

    def show(self, state: str, message: str = "", *, at_once: bool = False) -> None:
        if at_once or time.monotonic() - self._seen > SEEN:
            self._seen = time.monotonic()
            device = self.generator.device or self.generator.config.hardware.device
            said = WorkerInfo(self.name, os.getpid(), device, state, message, self.backends, time.time())
            self.store.set_worker(said)

    def do(self, job: ClaimedJob) -> None:
        """One job, however it ends. A device that a bug has left in a bad state ends the process."""
        folder = self.state / "jobs" / job.id
        with logged(folder / "worker.log"):
            log.info("job %s, attempt %d", job.id, job.attempts)
            try:
                self.generator.run(job.id, job.request, self.blobs, folder, self._reporter(job))
                self.store.finish(job.id)
            except JobCancelled:
                log.info("cancelled")
                self.store.let_go(job.id)
            except ServerGone:
                log.info("the server has ended: the job goes back to the queue")
                self.store.let_go(job.id)
            except Blocked as error:
                log.info("%s", error)
                self.store.block(job.id, str(error))
            except UserError as error:
                log.info("%s", error)
                self.store.fail(job.id, str(error).replace(f"{folder}/", ""))
            except Exception as error:
                log.exception("a bug")
                self.store.fail(job.id, f"{type(error).__name__} in the server: its worker.log of this job says more")
                if "CUDA" in str(error):
                    raise
        holds_of(Path(self.generator.config.paths.cache).absolute()).release()

    def _reporter(self, job: ClaimedJob):
        def report(progress: float, message: str) -> None:
            if self.stopping.is_set():
                raise ServerGone
            status = Status.PREPARING if progress < PREPARED else Status.RUNNING
            if not self.store.report(job.id, status, progress, message):
                raise JobCancelled
            self.show("busy", job.id)

        return report


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """What this package logs goes to a file too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("cosmos_exp")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def stop_with_server(worker: Worker) -> None:
    """Ends the process when its stdin does; a job that does not come to its next step is left to the next server."""
    while sys.stdin.buffer.read(4096):
        pass
    worker.stopping.set()
    time.sleep(PATIENCE)
    os._exit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m cosmos_exp.serving.worker", description="Computes jobs.")
    parser.add_argument("name")
    parser.add_argument("--device", help="instead of hardware.device, such as cuda:1")
    parser.add_argument("overrides", nargs="*", help="those of the server")
    given = parser.parse_intermixed_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the server, which then closes stdin
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("cosmos_exp").setLevel(logging.INFO)
    logging.getLogger("cosmos_exp").propagate = False
    config, serve = settings(given.overrides)
    worker = Worker(given.name, Generator(config, given.device), Path(serve.state), most_attempts=serve.attempts)
    worker.show("loading", at_once=True)
    cv2.setNumThreads(RunSpec(config).threads)
    threading.Thread(target=stop_with_server, args=(worker,), daemon=True).start()
    worker.work()


if __name__ == "__main__":
    main()
