"""The processes of one run: the first leads and does all but sampling alone, the others wait and sample along.

The leader starts the others itself, or torchrun started all. A process that fails, is killed or loses the leader ends;
the leader then ends the others and raises one error.
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
from cosmos_exp.models.transfer1.model import WorldModel
from cosmos_exp.models.transfer1.parallel import Team, own_device

IDLE = timedelta(days=30)  # how long the others wait for the next clip
TO_START = 300.0  # seconds
TO_END = 5.0
TO_FAIL = 120.0  # from the end of one process to the end of the leader, whatever it does
FAILURE, READY = "cosmos_exp/failure", "cosmos_exp/ready"
FOLLOW = "from cosmos_exp.models.transfer1.processes import follow; follow(tied=True)"

Source = tuple[Path, Mapping[str, Any], str]
Sample = Callable[..., Tensor]  # (model, *inputs, progress=None, team=None, **options)


@dataclass(frozen=True)
class Call:
    """One clip to sample. source: the model's folder, options of `WorldModel.from_folder` besides the device, and a key
    that changes with its files.

    inputs, options: of `sample`, tensors on the CPU. threads: of each process, on a CPU. memory_gb: of each GPU that a
    process may take.
    """

    source: Source
    device: str
    threads: int
    memory_gb: float | None
    sample: Sample
    inputs: tuple[Any, ...]
    options: dict[str, Any]


class Crew:
    """This process and those that sample along. device: "cpu", or "cuda", a GPU of its own for each."""

    def __init__(self, size: int, device: str, others: list[Follower], store: dist.Store):
        self.size, self.device = size, device
        self.others = others
        self.store = store
        self.team = Team(own_device(device, 0))
        self.ended = False
        atexit.register(self.end)

    @classmethod
    def start(cls, size: int, device: str) -> Crew:
        """Start the others, and wait until they are there."""
        if sys.platform == "linux":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        store = dist.TCPStore("127.0.0.1", 0, size, is_master=True, wait_for_workers=False)
        others = [Follower(rank, size, store.port) for rank in range(1, size)]
        try:
            deadline = time.monotonic() + TO_START
            while not store.check([f"{READY}/{other.rank}" for other in others]):
                if any(other.process.poll() is not None for other in others) or time.monotonic() > deadline:
                    raise UserError(failure(others, store) or f"{size} processes did not start in {TO_START:g} s")
                time.sleep(0.02)
            dist.init_process_group("gloo", store=store, rank=0, world_size=size, timeout=IDLE)
        except BaseException:
            end_all(others)
            raise
        return cls(size, device, others, store)

    @property
    def fit(self) -> bool:
        """Whether all are there."""
        return not self.ended and all(other.process.poll() is None for other in self.others)

    def sample(
        self,
        sample: Sample,
        model: WorldModel,
        source: Source,
        *inputs: Any,
        progress: Callable[[int, int], None],
        threads: int,
        memory_gb: float | None = None,
        **options: Any,
    ) -> Tensor:
        """What `sample` returns, computed by all. source: of the others' models. threads: of all together.

        Raises UserError where another process fails, OutOfMemoryError if of that; all others have then ended.
        """
        threads = max(1, threads // self.size) if self.device == "cpu" else threads
        call = Call(source, self.device, threads, memory_gb, sample, inputs, options)
        with self._watched(), torch_threads(threads):
            try:
                dist.broadcast_object_list([call], src=0)
                result = sample(model, *inputs, progress=progress, team=self.team, **options)
                if not self.fit:
                    raise RuntimeError("a process ended before the clip was done")
                return result
            except BaseException as error:
                explained = isinstance(error, UserError) or not isinstance(error, Exception)
                reason = None if explained else self._wait_for_failure()
                self.end()
                if reason:
                    full = torch.OutOfMemoryError.__name__ in reason
                    raise (torch.OutOfMemoryError if full else UserError)(reason) from error
                raise

    def end(self) -> None:
        """End the others; nothing happens the second time."""
        if not self.ended:
            self.ended = True
            atexit.unregister(self.end)
            end_all(self.others)
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
        """Where a process ends before its time, free this one from waiting for it, if need be by ending it."""
        while self.fit:
            if done.wait(0.2):
                return
        if not self.ended:
            threading.Thread(target=self.team.abort, daemon=True).start()
        if not done.wait(TO_FAIL):
            reason = failure(self.others, self.store) or "a process ended before its time"
            print(f"cosmos-exp: {reason}", file=sys.stderr, flush=True)
            end_all(self.others)
            os._exit(1)

    def _wait_for_failure(self) -> str | None:
        deadline = time.monotonic() + TO_END
        while time.monotonic() < deadline:
            if reason := failure(self.others, self.store):
                return reason
            time.sleep(0.1)
        return None


class Follower:
    """Another process on this machine. It ends with its leader, of whatever the leader dies."""

    def __init__(self, rank: int, size: int, port: int):
        self.rank, self.size = rank, size
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, it lives as long as the process
        who = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        others = {name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", FOLLOW],
            env=others | who | where,
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
        )

    def last_line(self) -> str:
        self.log.seek(0)
        return (self.log.read().decode(errors="replace").strip().splitlines() or [""])[-1].strip()


def end_all(others: list[Follower]) -> None:
    for other in others:
        with contextlib.suppress(OSError):
            other.process.stdin.close()  # it then ends
    deadline = time.monotonic() + TO_END
    for other in others:
        try:
            other.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            other.process.kill()
            other.process.wait()


def failure(others: list[Follower], store: dist.Store) -> str | None:
    """What the first process that failed died of, as far as it is known; None where none did."""
    for other in others:
        if (code := other.process.poll()) is not None and code < 0:
            return f"process {other.rank} of {other.size} was ended by {signal.Signals(-code).name}"
    if store.check([FAILURE]):
        return store.get(FAILURE).decode()
    for other in others:
        if code := other.process.poll():
            return f"process {other.rank} of {other.size} failed: {other.last_line() or f'exit status {code}'}"
    return None


_crew: Crew | None = None
_meeting: dist.Store | None = None  # of torchrun's processes


def crew_of(size: int, device: str) -> Crew:
    """The processes that sample for this one. They stay for the next clips, and end with this process."""
    global _crew
    if _crew is None or not _crew.fit or (_crew.size, _crew.device) != (size, device):
        if _crew is not None:
            _crew.end()
        _crew = Crew(size, device, [], _of_torchrun()) if torchrun.processes() else Crew.start(size, device)
    return _crew


def _of_torchrun() -> dist.Store:
    if _meeting is None or not dist.is_initialized():
        raise UserError(
            "torchrun's processes sample for the one that leads them, on one kind of device, until one of them fails; "
            "for more, give hardware.processes instead"
        )
    return _meeting


def join() -> None:
    """Lead the processes that torchrun started."""
    global _meeting
    _meeting = meet()


def meet() -> dist.Store:
    """Join the group that the environment names."""
    store, rank, size = next(rendezvous("env://", timeout=IDLE))
    store.set(f"{READY}/{rank}", "")
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=IDLE)
    return store


def follow(*, tied: bool = False) -> NoReturn:
    """Sample along until the leader ends. tied: the leader holds the other end of the standard input."""
    if tied:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)  # they are the leader's to answer
        threading.Thread(target=_end_with_leader, daemon=True).start()
    try:
        status = _follow(meet())
    except KeyboardInterrupt:
        status = 130
    sys.stderr.flush()
    os._exit(status)  # past the groups' own goodbyes, for which the others may be gone


def _end_with_leader() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _follow(store: dist.Store) -> int:
    team, model, source = None, None, None
    while True:
        calls: list[Call | None] = [None]
        try:
            dist.broadcast_object_list(calls, src=0)
        except RuntimeError:  # the leader is gone
            return 0
        try:
            call = calls[0]
            if team is None:
                team = Team(own_device(call.device, int(os.environ["LOCAL_RANK"])))
            if call.device == "cuda":
                limit_memory(str(team.device), call.memory_gb)
            if source != call.source:
                model, source = None, call.source  # one at a time
                folder, options, _ = source
                model = WorldModel.from_folder(folder, device=team.device, **options)
            with torch_threads(call.threads):
                call.sample(model, *call.inputs, team=team, **call.options)
        except Exception as error:
            if type(error) is RuntimeError or isinstance(error, dist.DistError):
                time.sleep(1)  # most likely it is another's end that was felt here: let that be heard first
            reason = f"process {dist.get_rank()} of {dist.get_world_size()}: {type(error).__name__}: {error}"
            store.compare_set(FAILURE, "", reason.splitlines()[0])
            traceback.print_exc()
            return 1
