"""Damaged files for every reader: how many are read or refused, and whether any ends in a traceback, a hang or a crash.

Each reader reads damaged copies of valid files of our own making in a process of its own, which may take GIBIBYTES of
memory beyond what it starts with, and SECONDS of processor time for one file. Files that end badly are kept.
"""

from __future__ import annotations

import argparse
import logging
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmos_exp.common.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the valid files are those of the tests

from helpers.fuzzed import READERS, Fuzzer

GIBIBYTES = 1.0
SECONDS = 5.0
STUCK = 60.0  # seconds of the clock for one file, where it waits and computes nothing
HANGS = (signal.SIGPROF, signal.SIGALRM)
COUNTS = struct.Struct("<4d")  # files read, files refused, tracebacks, MiB
KEPT = 20  # files of a reader that end badly


@dataclass
class Tally:
    """What came of the damaged files of a reader. peak: most MiB beyond those of the process before the first file."""

    read: int = 0
    refused: int = 0
    tracebacks: int = 0
    hangs: int = 0
    crashes: int = 0
    peak: float = 0.0

    @property
    def files(self) -> int:
        return self.read + self.refused + self.tracebacks + self.hangs + self.crashes


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("readers", nargs="*", help=f"those to try, of {', '.join(READERS)}; all where none is named")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all readers together")
    parser.add_argument("--count", type=int, default=10_000, help="most files of one reader")
    parser.add_argument("--keep", type=Path, default=Path("fuzz"), help="folder for files that end badly")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if unknown := set(options.readers) - set(READERS):
        parser.error(f"unknown reader {', '.join(unknown)}: there are {', '.join(READERS)}")
    readers = options.readers or list(READERS)
    print("| reader | files | read | refused | tracebacks | hangs | crashes | peak MiB | seconds |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    end = time.monotonic() + 60 * options.minutes
    for place, reader in enumerate(readers):
        start = time.monotonic()
        share = (end - start) / (len(readers) - place)
        tally = fuzz(reader, options.count, share, options.keep / reader, options.seed)
        bad = [tally.tracebacks, tally.hangs, tally.crashes]
        row = [reader, tally.files, tally.read, tally.refused, *bad, f"{tally.peak:.0f}"]
        print(f"| {' | '.join(map(str, row))} | {time.monotonic() - start:.0f} |", flush=True)


def fuzz(reader: str, count: int, seconds: float, keep: Path, seed: int) -> Tally:
    """Until so many files were tried, or the time is over. A process that hangs or crashes is followed by another."""
    tally, end = Tally(), time.monotonic() + seconds
    while tally.files < count and time.monotonic() < end:
        with tempfile.TemporaryDirectory(prefix="fuzz") as folder, mmap.mmap(-1, COUNTS.size) as counts:
            sys.stdout.flush()
            child = os.fork()
            if not child:
                _work(READERS[reader], Path(folder), range(tally.files, count), end, counts, keep, seed)
            _, status = os.waitpid(child, 0)
            read, refused, tracebacks, peak = COUNTS.unpack(counts[:])
            tally.read, tally.refused = tally.read + int(read), tally.refused + int(refused)
            tally.tracebacks, tally.peak = tally.tracebacks + int(tracebacks), max(tally.peak, peak)
            if os.WIFSIGNALED(status) or os.WEXITSTATUS(status):
                hangs = os.WIFSIGNALED(status) and os.WTERMSIG(status) in HANGS
                tally.hangs, tally.crashes = tally.hangs + hangs, tally.crashes + (not hangs)
                _keep(Path(folder), keep / f"{'hang' if hangs else 'crash'}_{tally.files}", f"status {status}")
    return tally


def _work(reader, folder: Path, numbers: range, end: float, counts: mmap.mmap, keep: Path, seed: int) -> None:
    """Reads the damaged files of these numbers, and leaves the process."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    fuzzer = Fuzzer(reader, folder)
    for path in fuzzer.valid:
        reader.read(folder, path)  # what is imported and compiled for a first file counts for none
    before = _peak()
    _limit_memory()
    read = refused = tracebacks = 0
    for number in numbers:
        counts[:] = COUNTS.pack(read, refused, tracebacks, _peak() - before)
        if time.monotonic() > end:
            break
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, STUCK)
        try:
            fuzzer.attempt(random.Random(f"{seed} {number}"))
            read += 1
        except UserError:
            refused += 1
        except Exception:
            tracebacks += 1
            if tracebacks <= KEPT:
                _keep(folder, keep / f"traceback_{number}", f"{fuzzer.last.name}\n{traceback.format_exc()}")
    counts[:] = COUNTS.pack(read, refused, tracebacks, _peak() - before)
    os._exit(0)


def _keep(folder: Path, kept: Path, told: str) -> None:
    shutil.copytree(folder, kept, dirs_exist_ok=True)
    (kept / "what.txt").write_text(told)


def _peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _limit_memory() -> None:
    """Of addresses, from what the process has mapped now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + int(GIBIBYTES * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main()
