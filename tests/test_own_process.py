"""Tests in forked processes: what ends one is told, and all else is as in the process of pytest."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.carla_clients import until

TESTS = Path(__file__).parent
CONFTEST = """
import os, pathlib, pytest
from helpers.own_process import OwnProcesses

def pytest_configure(config):
    config.pluginmanager.register(OwnProcesses())

def told(*words):
    with pathlib.Path(__file__).with_name("told").open("a") as file:
        print(*words, file=file)

@pytest.fixture(scope="session")
def of_the_session():
    yield os.getpid()
    told("session", os.getpid())

@pytest.fixture(scope="module")
def of_the_module():
    yield os.getpid()
    told("module", os.getpid())
"""
CRASHES = """
import os, signal, pytest
pytestmark = pytest.mark.own_process

def test_before(of_the_session, of_the_module):
    assert of_the_session == os.getppid() and of_the_module == os.getpid()

def test_together(of_the_session, of_the_module):
    assert of_the_session == os.getppid() and of_the_module == os.getpid()

def test_that_crashes(of_the_module):
    print("said before")
    os.system("echo said by a library >&2")
    os.kill(os.getpid(), signal.SIGSEGV)

def test_after(of_the_session, of_the_module):
    assert of_the_session == os.getppid() and of_the_module == os.getpid()

def test_that_leaves():
    os._exit(3)

def test_last(of_the_session):
    assert of_the_session == os.getppid()
"""
OTHERS = """
import os
def test_in_the_process_of_pytest(of_the_session):
    assert of_the_session == os.getpid()
"""
OUTCOMES = """
import pytest, sys, warnings

@pytest.fixture(scope="session")
def missing():
    pytest.skip("not here")

@pytest.fixture(scope="session")
def broken():
    raise ValueError("cannot be made")

@pytest.fixture(scope="session")
def leaky():
    yield 1
    raise ValueError("cannot be put away")

def test_passes(leaky, record_property):
    record_property("number", 5)
def test_fails():
    print("to stdout"); print("to stderr", file=sys.stderr)
    assert [1, 2] == [1, 3]
def test_raises(tmp_path): raise OSError(2, "no such thing")
def test_skips(): pytest.skip("not today")
def test_skips_for_its_fixture(missing): pass
def test_has_a_broken_fixture(broken): pass
@pytest.mark.xfail(reason="known")
def test_is_known_to_fail(): assert False
@pytest.mark.xfail(strict=True)
def test_is_said_to_fail(): pass
def test_warns(): warnings.warn("mind the gap", RuntimeWarning)
def test_reads_its_output(capfd):
    print("heard"); assert capfd.readouterr().out == "heard\\n"
@pytest.mark.parametrize("number", [1, 2])
def test_has_parameters(number): assert number == 1
"""
WAITS = """
import os, pathlib, time, pytest
@pytest.mark.own_process
def test_waits(of_the_session, of_the_module):
    pathlib.Path(__file__).with_name("waiting").write_text(str(os.getpid()))
    time.sleep(60)
"""

USED = "def used(number):\n    return number + 1\n"
USES = """
import pytest
from code_of_it import used
@pytest.mark.own_process
def test_used(): assert used(1) == 2
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """A function: a folder of tests."""

    def write(**modules: str) -> Path:
        (tmp_path / "conftest.py").write_text(CONFTEST)
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    own_process: is forked\n")
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(text)
        return tmp_path

    return write


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:schemathesis", *options]


def environment() -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "SLIPCOVER"))}
    return {**own, "PYTHONPATH": str(TESTS), "COLUMNS": "200"}


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)
    assert not done.stderr, done.stderr
    return done.stdout


def summary(output: str) -> list[str]:
    """The lines of -rA that name a test."""
    return sorted(re.findall(r"^(?:PASSED|FAILED|SKIPPED|XFAIL|XPASS|ERROR) .*", output, re.M))


@pytest.mark.parametrize("options", [[], ["-n", "2", "--dist", "loadfile"]], ids=["alone", "xdist"])
def test_a_crash_fails_one_test(written, options: list[str]) -> None:
    folder = written(test_crashes=CRASHES, test_others=OTHERS)
    said = run(folder, *command("-rA", *options))
    assert summary(said) == [
        "FAILED test_crashes.py::test_that_crashes - The process of this test was ended by SIGSEGV.",
        "FAILED test_crashes.py::test_that_leaves - The process of this test was ended with status 3.",
        "PASSED test_crashes.py::test_after",
        "PASSED test_crashes.py::test_before",
        "PASSED test_crashes.py::test_last",
        "PASSED test_crashes.py::test_together",
        "PASSED test_others.py::test_in_the_process_of_pytest",
    ]
    assert re.search(r'test_crashes\.py", line \d+ in test_that_crashes', said), "where Python was"
    assert "said before" in said and "said by a library" in said


def test_what_a_test_tells_is_the_same(written) -> None:
    told = []
    for text in (OUTCOMES, OUTCOMES + "pytestmark = pytest.mark.own_process\n"):
        folder = written(test_outcomes=text)
        said = run(folder, *command("-rA", "-vv", "--tb=short", "--junitxml=results.xml"))
        results = (folder / "results.xml").read_text()
        assert 'name="number" value="5"' in results
        parts = {name: said.count(name) for name in ("to stdout", "to stderr", "mind the gap", "At index 1 diff: 2")}
        told.append((summary(said), parts, re.findall(r"=+ (.*) in [\d.]+s", said)))
    assert told[0] == told[1]
    lines, parts, _ = told[1]
    assert len(lines) == 13 and all(parts.values()) and any("cannot be put away" in line for line in lines)


@pytest.mark.parametrize("options", [[], ["-x"]], ids=["to its end", "at the first failure"])
def test_fixtures_go_where_they_were_made(written, options: list[str]) -> None:
    """Those of the session once, after those of the modules in processes that have not crashed."""
    fails = CRASHES.replace("os.kill(os.getpid(), signal.SIGSEGV)", "assert False")
    folder = written(test_crashes=fails, test_others=OTHERS)
    run(folder, *command(*options))
    kinds = [line.split()[0] for line in (folder / "told").read_text().splitlines()]
    assert kinds == ["module", "session"] if options else ["session"]


def test_ctrl_c_ends_both_processes(written) -> None:
    folder = written(test_waits=WAITS)
    waiting = folder / "waiting"
    with subprocess.Popen(
        command(), cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        child = int(until(lambda: waiting.exists() and waiting.read_text()))
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED and "KeyboardInterrupt" in said
    assert not Path(f"/proc/{child}").exists()
    assert [line.split()[0] for line in (folder / "told").read_text().splitlines()] == ["module", "session"]


def test_lines_that_run_in_a_forked_process_are_counted(written) -> None:
    folder = written(test_it=USES, code_of_it=USED)
    for options in ([], ["-n", "1"]):
        measured = [sys.executable, "-m", "slipcover", "--json", "--out", "lines.json", "--source", "."]
        run(folder, *measured, *command(*options)[1:])
        files = json.loads((folder / "lines.json").read_text())["files"]
        assert files["code_of_it.py"]["missing_lines"] == [], options


def test_every_test_with_a_client_of_carla_is_forked() -> None:
    """Where a module makes one, or takes the fixture of one."""
    for path in TESTS.rglob("test_*.py"):
        tree = ast.parse(path.read_text())
        makes = any(isinstance(node, ast.Attribute) and ast.unparse(node) == "carla.Client" for node in ast.walk(tree))
        if makes and path != Path(__file__):
            assert "own_process" in path.read_text(), path
