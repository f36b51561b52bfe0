"""The stage cache under every kind of accident."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cosmos_exp.common.cache import MANIFEST, StageCache, stage_key

KEY = stage_key("render", 1, {"frames": 9}, ["scene"])


def write_number(folder: Path) -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "number.txt").write_text("42" * 1000)


def fail_if_called(folder: Path) -> None:
    pytest.fail("computed although the result is there")


@pytest.fixture
def cache(tmp_path: Path) -> StageCache:
    return StageCache(tmp_path / "cache")


def test_a_result_is_computed_once(cache: StageCache) -> None:
    first = cache.get_or_compute("render", KEY, write_number)
    second = cache.get_or_compute("render", KEY, fail_if_called)
    assert (first.hit, second.hit) == (False, True)
    assert second.path == first.path
    manifest = json.loads((first.path / MANIFEST).read_text())
    assert manifest["parts/number.txt"]["size"] == 2000


@pytest.mark.parametrize(
    "changed",
    [
        stage_key("controls", 1, {"frames": 9}, ["scene"]),
        stage_key("render", 2, {"frames": 9}, ["scene"]),
        stage_key("render", 1, {"frames": 17}, ["scene"]),
        stage_key("render", 1, {"frames": 9}, ["another scene"]),
    ],
)
def test_the_key_depends_on_everything(changed: str) -> None:
    assert changed != KEY


def test_the_key_does_not_depend_on_the_order_of_the_config() -> None:
    assert stage_key("s", 1, {"a": 1, "b": 2}, []) == stage_key("s", 1, {"b": 2, "a": 1}, [])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    path.write_bytes(b"!" + path.read_bytes()[1:])


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", ["parts/number.txt", MANIFEST])
def test_a_damaged_result_is_computed_again(cache: StageCache, damage, name: str) -> None:
    entry = cache.get_or_compute("render", KEY, write_number)
    damage(entry.path / name)
    again = cache.get_or_compute("render", KEY, write_number)
    assert not again.hit
    assert (again.path / "parts" / "number.txt").read_text() == "42" * 1000
    assert cache.get_or_compute("render", KEY, fail_if_called).hit


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("name", ["parts/number.txt", MANIFEST])
def test_what_was_not_synced_when_the_power_failed_is_computed_again(cache: StageCache, name: str) -> None:
    entry = cache.get_or_compute("metrics", KEY, write_number, synced=False)
    empty(entry.path / name)  # as file systems leave a file that was renamed before its content was written
    again = cache.get_or_compute("metrics", KEY, write_number, synced=False)
    assert not again.hit
    assert (again.path / "parts" / "number.txt").read_text() == "42" * 1000


def test_all_of_a_result_is_synced_unless_it_is_not_to_be(cache: StageCache, monkeypatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    cache.get_or_compute("metrics", KEY, write_number, synced=False)
    assert not {"number.txt", MANIFEST} & {*synced}
    cache.get_or_compute("render", KEY, write_number)
    assert [*sorted(synced[-5:-2]), *synced[-2:]] == sorted([MANIFEST, "number.txt", "parts"]) + [
        f"{KEY}.partial",
        "render",
    ]


def test_an_error_leaves_nothing_behind(cache: StageCache) -> None:
    def half(folder: Path) -> None:
        write_number(folder)
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError):
        cache.get_or_compute("render", KEY, half)
    assert [p for p in cache.root.glob("render/*") if p.is_dir()] == []


def test_kill_minus_nine_leaves_nothing_that_looks_whole(cache: StageCache) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from cosmos_exp.common.cache import StageCache
        def slow(folder):
            (folder / "parts").mkdir()
            (folder / "parts" / "number.txt").write_text("4")
            print("half way", flush=True)
            time.sleep(60)
        StageCache(sys.argv[1]).get_or_compute("render", sys.argv[2], slow)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(cache.root), KEY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip() == "half way"
        cache.remove_leftovers()
        assert list(cache.root.glob("render/*.partial")), "the folder of a living process was removed"
        process.send_signal(signal.SIGKILL)
    assert list(cache.root.glob("render/*.partial"))
    assert not cache.get_or_compute("render", KEY, write_number).hit
    assert cache.get_or_compute("render", KEY, fail_if_called).hit


def test_leftovers_of_the_dead_are_removed(cache: StageCache) -> None:
    leftover = cache.root / "render" / f"{KEY}.partial"
    leftover.mkdir(parents=True)
    cache.remove_leftovers()
    assert not leftover.exists()


def race(root: Path, start, computed) -> None:
    def slow(folder: Path) -> None:
        with computed.get_lock():
            computed.value += 1
        time.sleep(0.3)
        write_number(folder)

    start.wait()
    entry = StageCache(root).get_or_compute("render", KEY, slow)
    assert (entry.path / "parts" / "number.txt").read_text() == "42" * 1000


def test_of_several_processes_one_computes(cache: StageCache) -> None:
    context = multiprocessing.get_context("fork")
    start, computed = context.Event(), context.Value("i", 0)
    processes = [context.Process(target=race, args=(cache.root, start, computed)) for _ in range(4)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert computed.value == 1


def test_the_identity_of_a_file_is_its_content(cache: StageCache, tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("weights")
    b.write_text("weights")
    before = cache.file_identity(a)
    assert before == cache.file_identity(b) == cache.file_identity(a)
    a.write_text("WEIGHTS")
    os.utime(a, ns=(1, 1))
    assert cache.file_identity(a) != before


def test_a_file_changed_in_place_with_its_size_and_time_kept_is_another(cache: StageCache, tmp_path: Path) -> None:
    file = tmp_path / "map.xodr"
    file.write_text("one")
    before, stat = cache.file_identity(file), file.stat()
    with open(file, "r+") as content:
        content.write("two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert cache.file_identity(file) != before


def test_a_result_changed_in_place_with_its_size_and_time_kept_is_computed_again(cache: StageCache) -> None:
    part = cache.get_or_compute("render", KEY, write_number).path / "parts" / "number.txt"
    cache.get_or_compute("render", KEY, fail_if_called)
    stat = part.stat()
    part.write_text("24" * 1000)
    os.utime(part, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not cache.get_or_compute("render", KEY, write_number).hit
    assert part.read_text() == "42" * 1000


def test_threads_of_one_process_wait_without_naming_another(tmp_path: Path, caplog) -> None:
    cache, begun, asked = StageCache(tmp_path), threading.Event(), threading.Event()

    def compute(folder: Path) -> None:
        begun.set()
        asked.wait(20)
        time.sleep(0.1)
        (folder / "value").write_text("1")

    with caplog.at_level("INFO"), ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.get_or_compute, "render", "ab" * 32, compute)
        begun.wait(20)
        second = pool.submit(cache.get_or_compute, "render", "ab" * 32, compute)
        asked.set()
        assert [first.result().hit, second.result().hit] == [False, True]
    assert "another process" not in caplog.text
