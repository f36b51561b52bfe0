"""How arrays of a stage are kept: as safetensors files, read by the page."""

from __future__ import annotations

import os
from functools import partial
from threading import Barrier

import numpy as np
import pytest
import safetensors.numpy

from cosmos_exp.common.cache import Entry, StageCache
from cosmos_exp.common.stored_arrays import ARRAYS, load_arrays, save_result
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.pipeline.cached_results import Results, Stopwatch

DTYPES = (
    "bool",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "float16",
    "float32",
    "float64",
)


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    numbers = np.random.default_rng(0).integers(0, 100, (3, 5, 7))
    return {name: numbers.astype(name) for name in DTYPES} | {"none": np.zeros((0, 4), np.float32)}


def test_arrays_come_back_as_they_were(arrays, tmp_path):
    arrays["turned"] = arrays["float32"].transpose(2, 0, 1)
    save_result(tmp_path, arrays)
    by_library, ours = safetensors.numpy.load_file(tmp_path / ARRAYS), load_arrays(Entry("", tmp_path, hit=True))
    assert ours.keys() == by_library.keys() == arrays.keys()
    for name, array in arrays.items():
        assert ours[name].dtype == array.dtype and np.array_equal(ours[name], array)
        assert np.array_equal(by_library[name], array)


def test_those_who_may_read_the_folder_may_read_the_file(tmp_path):
    for mode in (0o755, 0o700):
        tmp_path.chmod(mode)
        save_result(tmp_path, {"video": np.zeros(3, np.uint8)})
        assert (tmp_path / ARRAYS).stat().st_mode & 0o777 == mode & 0o666


def test_what_is_written_into_a_loaded_array_does_not_reach_the_file(tmp_path):
    save_result(tmp_path, {"video": np.zeros((2, 3), np.uint8)})
    entry = Entry("", tmp_path, hit=True)
    load_arrays(entry)["video"][:] = 7
    assert not load_arrays(entry)["video"].any()


def test_loading_reads_only_what_is_looked_at(tmp_path):
    save_result(tmp_path, {"large": np.zeros(100_000_000, np.uint8), "small": np.arange(10)})
    before = _resident_bytes()
    assert load_arrays(Entry("", tmp_path, hit=True))["small"].sum() == 45
    assert _resident_bytes() - before < 10_000_000


def test_results_that_do_not_need_each_other_are_computed_at_the_same_time(configure, tmp_path):
    spec = RunSpec.of(configure("hardware.threads=3"))
    results, all_there, ticks = Results(spec, StageCache(tmp_path)), Barrier(3, timeout=20), []

    def lookup(number: int) -> Entry:
        def compute():
            all_there.wait()
            return {"number": np.array([number])}

        return results.get("videos", {"number": number}, [], compute)

    lookups = [partial(lookup, number) for number in range(6)]
    entries = results.together(lookups, lambda *at: ticks.append(at))
    assert [load_arrays(entry)["number"][0] for entry in entries] == list(range(6))
    assert (results.misses, ticks) == ({"videos": 6}, [(n, 6) for n in range(1, 7)])
    assert [cost.stage for cost in results.history.costs()] == ["videos"] * 6


def test_overlapping_work_is_charged_in_shares():
    clock = [100.0]
    watch = Stopwatch(now=lambda: clock[0])
    first = watch.begin()
    clock[0] += 3
    second = watch.begin()
    clock[0] += 4  # both
    first = watch.end(first)
    clock[0] += 5
    second = watch.end(second)
    clock[0] += 50  # none
    third = watch.begin()
    clock[0] += 1
    assert (first, second, watch.end(third)) == (3 + 2, 2 + 5, 1)


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
