"""Damaged files of every kind are read or refused: no reader ends in any other error. `python -m benchmarks.fuzz` reads
thousands of each."""

import random
import warnings

import pytest
from helpers.fuzzed import READERS, Fuzzer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cosmos_exp.common.errors import UserError

pytestmark = pytest.mark.own_process  # libraries read the files, too
FILES = {"tar": 25, "yaml": 25, "parquet": 15, "video": 15}  # those that take longer; 60 of the others


@pytest.fixture(scope="module", params=READERS)
def fuzzer(request, tmp_path_factory):
    return request.param, Fuzzer(READERS[request.param], tmp_path_factory.mktemp(request.param))


def test_valid_files_are_read(fuzzer):
    _, files = fuzzer
    for path in files.valid:
        files.reader.read(files.folder, path)


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_read_or_refused(fuzzer):
    name, files = fuzzer

    @settings(
        max_examples=FILES.get(name, 60), deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.integers(0, 2**32))
    def attempt(seed):
        try:
            files.attempt(random.Random(seed))
        except UserError as error:
            assert str(error)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attempt()
