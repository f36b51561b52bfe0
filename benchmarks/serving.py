"""A server over loopback: requests per second, what it adds to the bare model, bytes per second, and a soak.

python -m benchmarks.serving                    # 1, 4 and 16 clients, then uploads and downloads
python -m benchmarks.serving --soak 500         # so many requests, 20 at once: each result is compared with its request

The model is `model=render` at the smallest size, whose result is the video that it is sent: what is left is the server.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np

from cosmos_exp.common.console import Console
from cosmos_exp.common.video import read_video, write_video
from cosmos_exp.remote.job_client import JobClient
from cosmos_exp.remote.wire import Extra, JobRequest, Status
from cosmos_exp.serving.blobs import BlobStore
from cosmos_exp.serving.config import settings
from cosmos_exp.serving.generation import Generator
from cosmos_exp.serving.store import JobStore

FRONT, SHAPE = "front_wide_120fov", (9, 144, 256, 3)
MODEL = ("model=render", "views=single")
AT_ONCE = 20
MIB = 2**20

console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--requests", type=int, default=32, help="by each number of clients")
    parser.add_argument("--megabytes", type=int, default=256, help="of the file that is sent and fetched")
    parser.add_argument("--soak", type=int, default=0, help="requests of a soak, in place of the rest")
    given = parser.parse_args()
    with TemporaryDirectory() as name, served(Path(name)) as (url, state), JobClient(url) as client:
        folder = Path(name)
        ask(client, 0, folder)  # the worker has everything loaded
        if given.soak:
            soak(client, state, given.soak, folder)
            return
        alone = bare(folder)
        console.print(f"the bare model: {1000 * alone:.0f} ms")
        for count in given.clients:
            measure(client, count, given.requests, alone, folder)
        transfers(client, url, given.megabytes * MIB)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Path]]:
    """URL and state folder of a server with one worker."""
    state = folder / "state"
    command = [sys.executable, "-m", "cosmos_exp", "serve", *MODEL, "serve.port=0", f"serve.state={state}"]
    process = subprocess.Popen(
        [*command, f"paths.outputs={folder}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1], state
    finally:
        process.terminate()
        process.wait()


def picture(number: int) -> np.ndarray:
    """uint8 [9,144,256,3]: squares of colours that follow from the number."""
    squares = np.random.default_rng(number).integers(0, 256, (SHAPE[0], 9, 16, 3), np.uint8)
    return squares.repeat(16, axis=1).repeat(16, axis=2)


def request(number: int, sha256: str) -> JobRequest:
    extra = Extra(config={"model.num_frames": SHAPE[0]}, renders={"target": {FRONT: sha256}})
    return JobRequest(backend="render", prompt=f"Street {number}.", extra=extra)


def content(number: int, folder: Path) -> bytes:
    path = write_video(folder / f"sent_{number}.mp4", picture(number), 24, lossless=True)
    data = path.read_bytes()
    path.unlink()
    return data


def ask(client: JobClient, number: int, folder: Path) -> float:
    """Seconds from the upload to the downloaded result, which is compared with what was sent."""
    sent = content(number, folder)
    begun = time.perf_counter()
    job = client.submit(request(number, client.put_blob(sent)))
    done = client.wait(job.id)
    if done.status is not Status.DONE:
        raise SystemExit(f"request {number}: {done.status.value}: {done.error}")
    (lossless,) = [file for file in client.result(job.id).files if file.kind == "lossless"]
    path = folder / f"made_{number}.mp4"
    client.download(job.id, lossless, path)
    seconds = time.perf_counter() - begun
    if not np.array_equal(read_video(path), picture(number)):
        raise SystemExit(f"request {number} got the result of another one")
    path.unlink()
    return seconds


def bare(folder: Path, count: int = 8) -> float:
    """Median seconds of a job in this process, without server and queue."""
    generator, blobs = Generator(settings([*MODEL, f"paths.outputs={folder}/bare"]).config), BlobStore(folder / "bare")
    seconds = []
    for number in range(count):
        sent = content(10_000 + number, folder)
        sha256 = hashlib.sha256(sent).hexdigest()
        blobs.put(sha256, io.BytesIO(sent), "video.mp4")
        begun = time.perf_counter()
        generator.run(f"{number}", request(number, sha256), blobs, folder / f"bare_{number}", lambda share, told: None)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def measure(client: JobClient, clients: int, count: int, alone: float, folder: Path) -> None:
    first = 1000 * clients
    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        seconds = list(pool.map(lambda number: ask(client, number, folder), range(first, first + count)))
    rate, median = count / (time.perf_counter() - begun), statistics.median(seconds)
    added = f", {1000 * (median - alone):.0f} ms more than the bare model" if clients == 1 else ""
    console.print(f"{clients:2} clients: {rate:.1f} requests per second, median {1000 * median:.0f} ms{added}")


def transfers(client: JobClient, url: str, size: int) -> None:
    data = os.urandom(size)
    sha256 = hashlib.sha256(data).hexdigest()
    console.print(f"upload: {rate(size, lambda: client.put_blob(data)):.0f} MB/s, with its SHA-256 on both sides")

    def fetch() -> None:
        with httpx.stream("GET", f"{url}/v1/blobs/{sha256}") as answer:
            if sum(map(len, answer.iter_bytes(MIB))) != size:
                raise SystemExit("the download is not whole")

    console.print(f"download: {rate(size, fetch):.0f} MB/s")


def rate(size: int, transfer: Callable[[], object]) -> float:
    begun = time.perf_counter()
    transfer()
    return size / 1e6 / (time.perf_counter() - begun)


def soak(client: JobClient, state: Path, count: int, folder: Path) -> None:
    begun, used = time.perf_counter(), []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done, _ in enumerate(pool.map(lambda number: ask(client, number, folder), range(1, count + 1)), 1):
            if done % max(1, count // 5) == 0:
                used.append(memory(state))
                console.print(f"{done} done, memory of server and worker: {used[-1][0]:.0f} and {used[-1][1]:.0f} MB")
    jobs = client.jobs(limit=1000)
    states = {status.value: sum(job.status is status for job in jobs) for status in {job.status for job in jobs}}
    seconds = time.perf_counter() - begun
    console.print(f"{count} requests, {AT_ONCE} at once, in {seconds:.0f} s: each got its own result; jobs: {states}")


def memory(state: Path) -> tuple[float, float]:
    """Resident MB of the server and of its worker."""
    (worker,) = JobStore(state / "jobs.sqlite").workers()
    status = Path(f"/proc/{worker.pid}/status").read_text()
    server = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid")))
    return resident(server), resident(worker.pid)


def resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1000


if __name__ == "__main__":
    main()
