"""The processes of one run. Rank 0 runs the pipeline; the other ranks are workers that only sample.

Rank 0 starts the workers itself, or torchrun started all ranks. A worker that fails, is killed or loses rank 0 exits;
rank 0 then stops all workers and raises one error.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from cosmos_exp.common import torchrun
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.gpu_memory import limit_memory
from cosmos_exp.common.threads import torch_threads
from cosmos_exp.models.dit.parallel import ParallelContext, rank_device

IDLE_TIMEOUT = timedelta(days=30)  # how long a worker waits for the next clip
START_TIMEOUT = 300.0  # seconds
STOP_TIMEOUT = 5.0
ABORT_TIMEOUT = 120.0  # from the exit of one process to the exit of rank 0, in whatever call that hangs
FAILURE_KEY, READY_KEY = "cosmos_exp/failure", "cosmos_exp/ready"
WORKER_SCRIPT = "from cosmos_exp.models.dit.workers import worker_main; worker_main(exit_on_stdin_eof=True)"

Load = Callable[..., Any]  # (folder, device=, **options), a function of a module
Source = tuple[Load, Path, Mapping[str, Any], str]
Sample = Callable[..., Tensor]  # (model, *inputs, progress=None, parallel=None, **options)


@dataclass(frozen=True)
class Call:
    """One clip to sample. source: what loads the model, its folder, options besides the device, and a key that changes
    with its files.

    inputs, options: of `sample`, tensors on the CPU. threads: of each process, on a CPU. memory_gb: limit per GPU.
    """

    source: Source
    device: str
    threads: int
    memory_gb: float | None
    sample: Sample
    inputs: tuple[Any, ...]
    options: dict[str, Any]


class SamplingWorkers:
    """Rank 0's handle on the workers. device: "cpu", or "cuda" for one GPU per process."""

    def __init__(self, size: int, device: str, processes: list[WorkerProcess], store: dist.Store):
        """processes: the workers that this process started; empty where torchrun did."""
        self.size, self.device = size, device
        self.processes = processes
        self.store = store
        self.parallel = ParallelContext(rank_device(device, 0))
        self.closed = False
        atexit.register(self.shutdown)

    @classmethod
    def start(cls, size: int, device: str) -> SamplingWorkers:
        """Start the workers and wait until all are ready."""
        if sys.platform == "linux":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        store = dist.TCPStore("127.0.0.1", 0, size, is_master=True, wait_for_workers=False)
        processes = [WorkerProcess(rank, size, store.port) for rank in range(1, size)]
        try:
            deadline = time.monotonic() + START_TIMEOUT
            while not store.check([f"{READY_KEY}/{worker.rank}" for worker in processes]):
                if any(worker.exit_code is not None for worker in processes) or time.monotonic() > deadline:
                    raise UserError(
                        failure(processes, store) or f"{size} processes did not start in {START_TIMEOUT:g} s"
                    )
                time.sleep(0.02)
            dist.init_process_group("gloo", store=store, rank=0, world_size=size, timeout=IDLE_TIMEOUT)
        except BaseException:
            stop_all(processes)
            raise
        return cls(size, device, processes, store)

    @property
    def alive(self) -> bool:
        """Whether every worker runs."""
        return not self.closed and all(worker.exit_code is None for worker in self.processes)

    def sample(
        self,
        sample: Sample,
        model: Any,
        source: Source,
        *inputs: Any,
        progress: Callable[[int, int], None],
        threads: int,
        memory_gb: float | None = None,
        **options: Any,
    ) -> Tensor:
        """What `sample` returns, computed by all ranks. source: of the workers' models. threads: summed over all ranks.

        Raises UserError where a worker fails, OutOfMemoryError if it ran out of memory; all workers have then exited.
        """
        threads = max(1, threads // self.size) if self.device == "cpu" else threads
        call = Call(source, self.device, threads, memory_gb, sample, inputs, options)
        with self._watched(), torch_threads(threads):
            try:
                dist.broadcast_object_list([call], src=0)
                result = sample(model, *inputs, progress=progress, parallel=self.parallel, **options)
                if not self.alive:
                    raise RuntimeError("a worker exited before the clip was done")
                return result
            except BaseException as error:
                explained = isinstance(error, UserError) or not isinstance(error, Exception)
                reason = None if explained else self._wait_for_failure()
                self.shutdown()
                if reason:
                    out_of_memory = torch.OutOfMemoryError.__name__ in reason
                    raise (torch.OutOfMemoryError if out_of_memory else UserError)(reason) from error
                raise

    def shutdown(self) -> None:
        """Stop the workers. A second call does nothing."""
        if not self.closed:
            self.closed = True
            atexit.unregister(self.shutdown)
            stop_all(self.processes)
            with contextlib.suppress(RuntimeError):  # of a broken group
                dist.destroy_process_group()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(done,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _watch(self, done: threading.Event) -> None:
        """Where a worker exits early, abort the collectives that this process waits in; if that fails, exit."""
        while self.alive:
            if done.wait(0.2):
                return
        if not self.closed:
            threading.Thread(target=self.parallel.abort, daemon=True).start()
        if not done.wait(ABORT_TIMEOUT):
            reason = failure(self.processes, self.store) or "a worker exited before the clip was done"
            print(f"cosmos-exp: {reason}", file=sys.stderr, flush=True)
            stop_all(self.processes)
            os._exit(1)

    def _wait_for_failure(self) -> str | None:
        deadline = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < deadline:
            if reason := failure(self.processes, self.store):
                return reason
            time.sleep(0.1)
        return None


class WorkerProcess:
    """A worker that rank 0 started on this machine. It exits when rank 0 does, however that one ends."""

    def __init__(self, rank: int, size: int, port: int):
        self.rank, self.size = rank, size
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the process
        ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
        master = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER_SCRIPT],
            env=inherited | ranks | master,
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
        )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.poll()

    def close_stdin(self) -> None:
        """Ask it to exit."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def last_line(self) -> str:
        """The last line of its output."""
        self.log.seek(0)
        return (self.log.read().decode(errors="replace").strip().splitlines() or [""])[-1].strip()


def stop_all(processes: list[WorkerProcess]) -> None:
    for worker in processes:
        worker.close_stdin()
    deadline = time.monotonic() + STOP_TIMEOUT
    for worker in processes:
        try:
            worker.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()


def failure(processes: list[WorkerProcess], store: dist.Store) -> str | None:
    """Why the first worker that failed did, as far as it is known; None where none failed."""
    exited = [(worker, code) for worker in processes if (code := worker.exit_code)]  # read once: they exit meanwhile
    for worker, code in exited:
        if code < 0:
            return f"process {worker.rank} of {worker.size} was killed by {signal.Signals(-code).name}"
    if store.check([FAILURE_KEY]):
        return store.get(FAILURE_KEY).decode()
    for worker, code in exited:
        return f"process {worker.rank} of {worker.size} failed: {worker.last_line() or f'exit status {code}'}"
    return None


_workers: SamplingWorkers | None = None
_torchrun_store: dist.Store | None = None


def sampling_workers(size: int, device: str) -> SamplingWorkers:
    """The workers of this process, kept for the next clips until it exits. Started anew where one has exited."""
    global _workers
    if _workers is None or not _workers.alive or (_workers.size, _workers.device) != (size, device):
        if _workers is not None:
            _workers.shutdown()
        if torchrun.processes():
            _workers = SamplingWorkers(size, device, [], _initialized_store())
        else:
            _workers = SamplingWorkers.start(size, device)
    return _workers


def _initialized_store() -> dist.Store:
    if _torchrun_store is None or not dist.is_initialized():
        raise UserError(
            "torchrun's workers sample for rank 0, on one kind of device, until one of them fails; for more, give "
            "hardware.processes instead"
        )
    return _torchrun_store


def init_rank_zero() -> None:
    """Join torchrun's process group as rank 0."""
    global _torchrun_store
    _torchrun_store = init_process_group()


def init_process_group() -> dist.Store:
    """Join the process group that the environment names."""
    store, rank, size = next(rendezvous("env://", timeout=IDLE_TIMEOUT))
    store.set(f"{READY_KEY}/{rank}", "")
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=IDLE_TIMEOUT)
    return store


def worker_main(*, exit_on_stdin_eof: bool = False) -> NoReturn:
    """Sample what rank 0 broadcasts until it exits. exit_on_stdin_eof: rank 0 holds the other end of stdin."""
    if exit_on_stdin_eof:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)  # rank 0 handles them
        threading.Thread(target=_exit_on_stdin_eof, daemon=True).start()
    try:
        status = _serve(init_process_group())
    except KeyboardInterrupt:
        status = 130
    sys.stderr.flush()
    os._exit(status)  # skips the destructors of the process groups, which may wait for ranks that have exited


def _exit_on_stdin_eof() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _serve(store: dist.Store) -> int:
    """Sample each broadcast call; returns the exit status."""
    worker = _Worker()
    while True:
        calls: list[Call | None] = [None]
        try:
            dist.broadcast_object_list(calls, src=0)
        except RuntimeError:  # rank 0 has exited
            return 0
        try:
            (call,) = calls
            assert call is not None
            worker.sample(call)
        except Exception as error:
            if type(error) is RuntimeError or isinstance(error, dist.DistError):
                time.sleep(1)  # probably the exit of another rank broke a collective: let its reason be reported first
            reason = f"process {dist.get_rank()} of {dist.get_world_size()}: {type(error).__name__}: {error}"
            store.compare_set(FAILURE_KEY, "", reason.splitlines()[0])
            traceback.print_exc()
            return 1


class _Worker:
    """What a worker keeps between calls: its process groups, and one model."""

    def __init__(self) -> None:
        self.parallel: ParallelContext | None = None
        self.model: Any = None
        self.source: Source | None = None

    def sample(self, call: Call) -> None:
        if self.parallel is None:
            self.parallel = ParallelContext(rank_device(call.device, int(os.environ["LOCAL_RANK"])))
        if call.device == "cuda":
            limit_memory(str(self.parallel.device), call.memory_gb)
        if self.model is None or self.source != call.source:
            self.model, self.source = None, call.source  # frees the old one first
            load, folder, options, _ = call.source
            self.model = load(folder, device=self.parallel.device, **options)
        with torch_threads(call.threads):
            call.sample(self.model, *call.inputs, parallel=self.parallel, **call.options)
