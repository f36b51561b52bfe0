"""`python -m benchmarks` lists and chooses; what the benchmarks measure is theirs."""

from importlib import import_module

import pytest

from benchmarks.__main__ import OF_THE_CPU, benchmarks, main


def test_help_lists_every_benchmark_and_starts_none(capfd):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    told = capfd.readouterr().out
    for name, what in benchmarks().items():
        assert f"  {name} " in told and what in told
    assert set(OF_THE_CPU) | {"fuzz", "metrics", "full_size"} <= set(benchmarks())
    assert "damages" not in benchmarks()  # what others are made of


@pytest.mark.parametrize("name", benchmarks())
def test_what_a_benchmark_imports_is_there(name):
    import_module(f"benchmarks.{name}")


def test_an_unknown_name_gets_the_nearest(capfd):
    with pytest.raises(SystemExit) as ended:
        main(["rendr"])
    assert ended.value.code == 2
    assert "did you mean 'render'" in capfd.readouterr().err


def test_only_the_named_one_runs(monkeypatch, tmp_path):
    """In its own process, here with a command line of Python that ends at once."""
    started = tmp_path / "started"
    command = tmp_path / "python"
    command.write_text(f'#!/bin/sh\necho "$@" >> {started}\n')
    command.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(command))
    assert main(["network", "demo"]) == 0
    assert started.read_text().splitlines() == ["-m benchmarks.network", "-m benchmarks.demo"]
