"""How arrays of a stage are kept: as safetensors files, read by the page."""

from __future__ import annotations

import os

import numpy as np
import pytest
import safetensors.numpy

from cosmos_exp.cache import Entry
from cosmos_exp.stages.results import ARRAYS, _save, load_arrays

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
    _save(tmp_path, arrays)
    by_library, ours = safetensors.numpy.load_file(tmp_path / ARRAYS), load_arrays(Entry("", tmp_path, hit=True))
    assert ours.keys() == by_library.keys() == arrays.keys()
    for name, array in arrays.items():
        assert ours[name].dtype == array.dtype and np.array_equal(ours[name], array)
        assert np.array_equal(by_library[name], array)


def test_those_who_may_read_the_folder_may_read_the_file(tmp_path):
    for mode in (0o755, 0o700):
        tmp_path.chmod(mode)
        _save(tmp_path, {"video": np.zeros(3, np.uint8)})
        assert (tmp_path / ARRAYS).stat().st_mode & 0o777 == mode & 0o666


def test_what_is_written_into_a_loaded_array_does_not_reach_the_file(tmp_path):
    _save(tmp_path, {"video": np.zeros((2, 3), np.uint8)})
    entry = Entry("", tmp_path, hit=True)
    load_arrays(entry)["video"][:] = 7
    assert not load_arrays(entry)["video"].any()


def test_loading_reads_only_what_is_looked_at(tmp_path):
    _save(tmp_path, {"large": np.zeros(100_000_000, np.uint8), "small": np.arange(10)})
    before = _resident_bytes()
    assert load_arrays(Entry("", tmp_path, hit=True))["small"].sum() == 45
    assert _resident_bytes() - before < 10_000_000


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
