"""Eviction from the stage cache, beside real processes that hold entries, compute them, are killed, or evict too."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from cosmos_exp.common.cache import MANIFEST, StageCache, stage_key
from cosmos_exp.common.cache_prune import Limits, prune
from cosmos_exp.common.cache_survey import survey
from cosmos_exp.common.errors import UserError

KEY = stage_key("render", 1, {"frames": 9}, ["scene"])
DAY = 86400.0


def write_number(folder: Path) -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "number.txt").write_text("42" * 1000)


def fail_if_called(folder: Path) -> None:
    pytest.fail("computed although the result is there")


@pytest.fixture
def cache(tmp_path: Path) -> StageCache:
    return StageCache(tmp_path / "cache")


def test_a_use_is_recorded_and_spoils_nothing(cache: StageCache) -> None:
    entry = cache.get_or_compute("render", KEY, write_number)
    made = entry.path.stat().st_mtime
    os.utime(entry.path / MANIFEST, (1, 1))
    run_python(cache.root, "cache.get_or_compute('render', KEY, None)")
    assert time.time() - (entry.path / MANIFEST).stat().st_mtime < 60
    assert entry.path.stat().st_mtime == made
    assert cache.get_or_compute("render", KEY, fail_if_called).hit


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from cosmos_exp.common.cache import StageCache
root, KEY = Path(sys.argv[1]), sys.argv[2]
cache = StageCache(root)
def say(text="ready"):
    print(text, flush=True)
def write(folder):
    (folder / "number.txt").write_text("42" * 1000)
def wait():
    say()
    sys.stdin.readline()
"""


def start_python(root: Path, code: str, key: str = KEY) -> subprocess.Popen:
    """Another process, with `cache` and `write`; `wait()` says that it is there and waits for a line."""
    command = [sys.executable, "-c", SCRIPT + textwrap.dedent(code), str(root), key]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run_python(root: Path, code: str) -> str:
    with start_python(root, code) as process:
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return printed


def until_ready(process: subprocess.Popen) -> None:
    assert process.stdout.readline().strip() == "ready"


def keys(count: int) -> list[str]:
    return [stage_key("render", 1, {"frames": number}, []) for number in range(count)]


def store(cache: StageCache, count: int) -> list[Path]:
    """Entries of 2000 bytes and a manifest, made by a process that has ended; the first was used first, days ago."""
    code = f"for key in {keys(count)!r}: cache.get_or_compute('render', key, write)"
    run_python(cache.root, code)
    paths = [cache.root / "render" / key for key in keys(count)]
    for number, path in enumerate(paths):
        os.utime(path / MANIFEST, (time.time() - DAY * (count - number),) * 2)
    return paths


def there(paths: list[Path]) -> list[bool]:
    return [path.exists() for path in paths]


ALL = Limits(most_bytes=0)


def test_sizes_are_those_of_the_files(cache: StageCache) -> None:
    paths = store(cache, 3)
    cache.file_identity(__file__)
    found = survey(cache.root)
    assert [entry.bytes for entry in found.entries] == [2000 + (paths[0] / MANIFEST).stat().st_size] * 3
    on_disk = sum(path.stat().st_size for path in cache.root.rglob("*") if path.is_file())
    assert found.bytes == on_disk
    assert len(found.identities) == 1
    assert (found.leftovers, found.computing, found.in_use.processes) == ([], [], 0)


def test_the_least_recently_used_go_until_the_rest_fits(cache: StageCache) -> None:
    paths = store(cache, 5)
    run_python(cache.root, f"cache.get_or_compute('render', {keys(1)[0]!r}, None)")  # the oldest is used again
    each = survey(cache.root).entries[0].bytes
    pruned = prune(cache.root, Limits(most_bytes=3 * each + 10))
    assert there(paths) == [True, False, False, True, True]
    assert pruned.after == survey(cache.root).bytes == 3 * each
    assert prune(cache.root, Limits(most_bytes=3 * each)).evicted == []
    assert not [path for path in cache.root.rglob("*") if path.suffix in (".evicted", ".lock")]


def test_what_was_not_used_for_long_goes(cache: StageCache) -> None:
    paths = store(cache, 5)  # last used 5, 4, 3, 2 and 1 days ago
    prune(cache.root, Limits(unused_for=2.5 * DAY))
    assert there(paths) == [False, False, False, True, True]


def test_both_limits_hold_together(cache: StageCache) -> None:
    paths = store(cache, 5)
    each = survey(cache.root).entries[0].bytes
    prune(cache.root, Limits(most_bytes=4 * each, unused_for=3.5 * DAY))
    assert there(paths) == [False, False, True, True, True]
    prune(cache.root, Limits(most_bytes=each, unused_for=30 * DAY))
    assert there(paths) == [False, False, False, False, True]


def test_a_dry_run_says_the_same_and_changes_nothing(cache: StageCache) -> None:
    paths = store(cache, 4)
    (cache.root / "render" / f"{'a' * 64}.partial").mkdir()
    before = sorted((path, path.stat().st_mtime_ns) for path in cache.root.rglob("*"))
    planned = prune(cache.root, Limits(unused_for=2.5 * DAY), dry_run=True)
    assert sorted((path, path.stat().st_mtime_ns) for path in cache.root.rglob("*")) == before
    done = prune(cache.root, Limits(unused_for=2.5 * DAY))
    assert (done.evicted, done.leftovers, done.after) == (planned.evicted, planned.leftovers, planned.after)
    assert there(paths) == [False, False, True, True] and len(done.leftovers) == 1


@pytest.mark.parametrize("way", ["end", "kill"])
def test_what_a_process_has_looked_up_stays_until_it_ends(cache: StageCache, way: str) -> None:
    paths = store(cache, 3)
    with start_python(cache.root, "cache.get_or_compute('render', KEY, None); wait()", keys(3)[0]) as process:
        until_ready(process)
        pruned = prune(cache.root, ALL)
        assert there(paths) == [True, False, False]
        assert [entry.path for entry in pruned.in_use] == paths[:1]
        os.utime(paths[0] / MANIFEST, (1, 1))
        prune(cache.root, Limits(unused_for=DAY))
        assert paths[0].exists()
        if way == "kill":
            process.kill()
        else:
            process.communicate("\n")
    files = [path for path in (cache.root / "holds").iterdir() if not path.name.startswith(".")]
    assert len(files) == (way == "kill"), "one that ends takes its file along"
    assert [piece.path for piece in prune(cache.root, ALL).leftovers] == files
    assert not paths[0].exists() and not any(path.exists() for path in files)


def test_what_is_being_computed_stays(cache: StageCache) -> None:
    code = "cache.get_or_compute('render', KEY, lambda folder: (write(folder), wait())); wait()"
    with start_python(cache.root, code) as process:
        until_ready(process)
        (computing,) = survey(cache.root).computing
        assert computing.bytes == 2000
        pruned = prune(cache.root, ALL)
        assert (pruned.evicted, pruned.leftovers) == ([], [])
        assert computing.path.exists()
        process.stdin.write("\n")
        process.stdin.flush()
        until_ready(process)
        prune(cache.root, ALL)
        assert (cache.root / "render" / KEY).exists()
        process.kill()
    prune(cache.root, ALL)
    assert list((cache.root / "render").iterdir()) == []


def test_what_a_killed_computation_left_goes(cache: StageCache) -> None:
    code = "cache.get_or_compute('render', KEY, lambda folder: (write(folder), wait()))"
    with start_python(cache.root, code) as process:
        until_ready(process)
        process.kill()
    assert sorted(piece.bytes for piece in survey(cache.root).leftovers)[-1] == 2000
    prune(cache.root, Limits(most_bytes=10**9))
    assert list((cache.root / "render").iterdir()) == []


def test_a_hold_lasts_as_long_as_a_forked_process(cache: StageCache) -> None:
    (path,) = store(cache, 1)
    code = """
        cache.get_or_compute("render", KEY, None)
        if os.fork() == 0:
            say(os.getpid())
            time.sleep(60)
        """
    with start_python(cache.root, code, keys(1)[0]) as process:
        child = int(process.stdout.readline())
        try:
            process.wait(timeout=30)
            prune(cache.root, ALL)
            assert path.exists()
        finally:
            os.kill(child, signal.SIGKILL)
    for _ in range(100):
        prune(cache.root, ALL)
        if not path.exists():
            return
        time.sleep(0.05)
    pytest.fail("held by nobody")


def test_what_was_evicted_is_computed_again(cache: StageCache) -> None:
    (path,) = store(cache, 1)
    prune(cache.root, ALL)
    entry = cache.get_or_compute("render", path.name, write_number)
    assert not entry.hit and (entry.path / "parts" / "number.txt").exists()


def test_holds_come_back_where_the_folder_was_deleted(cache: StageCache) -> None:
    code = """
        import shutil
        cache.get_or_compute("render", KEY, write)
        shutil.rmtree(root)
        cache.get_or_compute("render", KEY, write)
        wait()
        """
    with start_python(cache.root, code) as process:
        until_ready(process)
        prune(cache.root, ALL)
        assert (cache.root / "render" / KEY).exists()
        process.kill()


def look_up_and_read(root: Path, stop, rounds) -> None:
    """What a run does: look up, and read; each round is a process of its own."""
    while not stop.is_set():
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(Exception):
                for key in keys(8):
                    entry = StageCache(root).get_or_compute("render", key, write_number)
                    assert (entry.path / "parts" / "number.txt").read_text() == "42" * 1000
                for key in keys(8):
                    assert (root / "render" / key / "parts" / "number.txt").stat().st_size == 2000
                status = 0
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0, "an entry went while it was used"
        with rounds.get_lock():
            rounds.value += 1


def prune_again_and_again(root: Path, stop, evicted) -> None:
    while not stop.is_set():
        pruned = prune(root, ALL)
        assert not pruned.failures
        with evicted.get_lock():
            evicted.value += len(pruned.evicted)


def test_runs_and_two_evictions_race(cache: StageCache) -> None:
    context = multiprocessing.get_context("fork")
    cache.root.mkdir()
    stop, rounds, evicted = context.Event(), context.Value("i", 0), context.Value("i", 0)
    processes = [context.Process(target=look_up_and_read, args=(cache.root, stop, rounds)) for _ in range(3)]
    processes += [context.Process(target=prune_again_and_again, args=(cache.root, stop, evicted)) for _ in range(2)]
    for process in processes:
        process.start()
    time.sleep(4)
    stop.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 5
    assert rounds.value > 3 and evicted.value > 8
    prune(cache.root, ALL)
    assert list((cache.root / "render").iterdir()) == []


def test_two_evictions_at_once_do_not_take_twice(cache: StageCache) -> None:
    store(cache, 30)
    each = survey(cache.root).entries[0].bytes
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=prune, args=(cache.root, Limits(20 * each))) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(survey(cache.root).entries) == 20


def test_a_lookup_is_fast_beside_a_thousand_processes(cache: StageCache) -> None:
    """Their files are never opened: they cannot even be read."""
    names = keys(200)
    for key in names:
        cache.get_or_compute("render", key, write_number)

    def seconds() -> float:
        code = f"""
            started = time.perf_counter()
            for key in {names!r}: cache.get_or_compute('render', key, None)
            say(time.perf_counter() - started)
            """
        return float(run_python(cache.root, code))

    alone = min(seconds() for _ in range(3))
    for number in range(1000):
        (cache.root / "holds" / f"host-{number}-0").write_text("\n".join(f"render/{key}" for key in names))
    assert min(seconds() for _ in range(3)) < 2 * alone + 0.05


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user's process is started by root alone")


@pytest.fixture
def shared_cache() -> Iterator[StageCache]:
    """Below a folder that all users can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield StageCache(folder / "cache")
    shutil.rmtree(folder)


def as_nobody(work) -> int:
    """Exit status of a forked process of another user: 0 where `work` returns, 1 where it raises."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@needs_root
@pytest.mark.parametrize("can_write_holds", [True, False])
def test_what_the_process_of_another_user_uses_stays(shared_cache: StageCache, can_write_holds: bool) -> None:
    paths, root = store(shared_cache, 2), shared_cache.root
    if not can_write_holds:
        (root / "holds").chmod(0o755)
    ready, end = os.pipe(), os.pipe()

    def use() -> None:
        StageCache(root).get_or_compute("render", paths[0].name, fail_if_called)
        os.write(ready[1], b"1")
        os.read(end[0], 1)

    user = threading.Thread(target=as_nobody, args=(use,))
    user.start()
    os.read(ready[0], 1)
    try:
        if can_write_holds:
            prune(root, ALL)
            assert there(paths) == [True, False]
        else:
            for dry_run in (False, True):
                with pytest.raises(UserError, match=r"a running process reads .* and cannot write there"):
                    prune(root, ALL, dry_run=dry_run)
            assert there(paths) == [True, True]
    finally:
        os.write(end[1], b"1")
        user.join()
    prune(root, ALL)
    assert there(paths) == [False, False]


@needs_root
def test_a_folder_that_cannot_be_written_is_one_message(shared_cache: StageCache) -> None:
    paths, root = store(shared_cache, 2), shared_cache.root

    def evict() -> None:
        pruned = prune(root, ALL)  # the gate is open to all users, the entries are not
        assert pruned.evicted == [] and {*pruned.failures} == {*paths}
        assert set(pruned.failures.values()) == {"Permission denied"}

    def evict_without_holds() -> None:
        with pytest.raises(UserError, match=r"cannot write in .*; nothing was removed"):
            prune(root, ALL)
        assert len(prune(root, ALL, dry_run=True).evicted) == 2

    assert as_nobody(evict) == 0
    shutil.rmtree(root / "holds")
    assert as_nobody(evict_without_holds) == 0
    assert there(paths) == [True, True]


def test_only_the_names_of_results_are_ever_touched(tmp_path: Path) -> None:
    cache = StageCache(tmp_path / "outputs" / "cache")
    store(cache, 1)
    (tmp_path / "outputs" / "runs" / "mine").mkdir(parents=True)
    with pytest.raises(UserError, match=r"is not a stage cache: did you mean '.*outputs/cache'"):
        prune(tmp_path / "outputs", ALL)
    (cache.root / "render" / "notes").mkdir()
    prune(cache.root, ALL)
    assert [path.name for path in (cache.root / "render").iterdir()] == ["notes"]
