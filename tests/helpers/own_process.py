"""Tests with the marker `own_process` run in a forked process: what ends it ends no other test.

The marked tests of a module that follow each other share a process. Fixtures of the session are made in the process of
pytest, before the fork; all others, and what the tests do, are the forked process's own. A test that ends its process
fails, with the signal, its output and where Python was; those after it get a new process.

Not with --pdb, which needs the terminal, and not where the system has no pidfd.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

import pytest
from _pytest.outcomes import Exit, OutcomeException
from _pytest.runner import CallInfo, runtestprotocol

MARKER = "own_process"
LEAVING = 10.0  # seconds that a process has to tear its fixtures down at the end, and again when it is interrupted

Answer = tuple[list[dict[str, Any]], list[warnings.WarningMessage], BaseException | None]


class OwnProcesses:
    """The plugin."""

    def __init__(self) -> None:
        self._child: Child | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if not is_apart(item):
            return None
        together = nextitem is not None and is_apart(nextitem) and nextitem.path == item.path
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = self._run(item, nextitem if together else None)
        if not together:
            reports += _teardown_of_the_session(item, nextitem)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Of a session that ends early."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _run(self, item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
        """nextitem: the next one in the same process; None: the process ends."""
        child = self._child = self._child or Child(item)
        began = time.time()
        child.pipe.send((item.nodeid, nextitem and nextitem.nodeid))
        answer = child.answer()
        if answer is None or nextitem is None:
            child.end()
            self._child = None
        if answer is None:
            return [_crash_report(item, child, began)]
        reports, warned, exception = answer
        for one in warned:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        if exception is not None:
            raise exception
        return [item.config.hook.pytest_report_from_serializable(config=item.config, data=data) for data in reports]


def is_apart(item: pytest.Item) -> bool:
    marked = item.get_closest_marker(MARKER) is not None
    return marked and hasattr(os, "pidfd_open") and not item.config.getoption("usepdb")


class Child:
    """A forked process that runs tests, seen from pytest's."""

    def __init__(self, first: pytest.Item):
        _make_fixtures_of_the_session(first)
        first.config._tmp_path_factory.getbasetemp()  # that of all processes
        self._trace = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.pipe, theirs = Pipe()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self.pid = os.fork()
        if not self.pid:
            self.pipe.close()
            _serve(first.session, theirs, self._trace)
        theirs.close()
        self._ended = os.pidfd_open(self.pid)
        self.status: int | None = None

    def answer(self) -> Answer | None:
        """None where the process has ended instead."""
        wait([self.pipe, self._ended])
        with contextlib.suppress(EOFError, ConnectionError):
            if self.pipe.poll():
                return self.pipe.recv()
        return None

    def end(self) -> None:
        """Let it tear its fixtures down and end; it is killed where it does not."""
        self.pipe.close()
        for number in (signal.SIGINT, signal.SIGKILL):
            if not wait([self._ended], LEAVING):
                os.kill(self.pid, number)
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            os.close(self._ended)

    def cause(self) -> str:
        """Why the process has ended, in words, and where Python's threads were."""
        assert self.status is not None
        self._trace.seek(0)
        how = f"with status {self.status}" if self.status >= 0 else f"by {signal.Signals(-self.status).name}"
        return f"The process of this test was ended {how}.\n\n{self._trace.read()}".rstrip()


def _make_fixtures_of_the_session(first: pytest.Item) -> None:
    """Those of all marked tests of the module. What is wrong with one, the test tells that needs it."""
    session, state = first.session, first.session._setupstate
    if session not in state.stack:
        state.setup(session)
    for item in session.items:
        if item.path != first.path or not is_apart(item):
            continue
        definitions = {name: item._fixtureinfo.name2fixturedefs.get(name) for name in item.fixturenames}
        state.stack[item] = ([], None)  # or it may not ask for fixtures
        try:
            for name, found in definitions.items():
                if found and found[-1].scope == "session" and found[-1].params is None:
                    with contextlib.suppress(Exception, OutcomeException):
                        item._request.getfixturevalue(name)
        finally:
            del state.stack[item]


def _teardown_of_the_session(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Of what the next test does not need, in this process; a report where that fails."""
    state = item.session._setupstate
    call = CallInfo.from_call(lambda: state.teardown_exact(nextitem), "teardown", reraise=(Exit, KeyboardInterrupt))
    return [pytest.TestReport.from_item_and_call(item, call)] if call.excinfo else []


def _crash_report(item: pytest.Item, child: Child, began: float) -> pytest.TestReport:
    sections = []
    capture = item.config.pluginmanager.getplugin("capturemanager")
    if capture is not None and capture.is_globally_capturing():
        capture.resume_global_capture()
        capture.suspend_global_capture()
        for name, text in zip(("stdout", "stderr"), capture.read_global_capture()):
            sections += [(f"Captured {name} call", text)] if text else []
    now = time.time()
    keywords = {name: 1 for name in item.keywords}
    times = {"duration": now - began, "start": began, "stop": now}
    return pytest.TestReport(
        item.nodeid, item.location, keywords, "failed", child.cause(), "call", sections=sections, **times
    )


# In the forked process


def _serve(session: pytest.Session, pipe: Connection, trace: Any) -> None:
    """Run the tests that are asked for until nobody asks any more; does not return."""
    status = 1
    try:
        faulthandler.enable(trace)
        if "torch" in sys.modules:  # threads of its pool are not here
            sys.modules["torch"].set_num_threads(1)
        _begin_coverage()
        state = session._setupstate
        for finalizers, _ in state.stack.values():
            del finalizers[1:]  # fixtures of the process of pytest are its own to tear down
        items = {item.nodeid: item for item in session.items}
        gc.freeze()
        try:
            while True:
                name, following = pipe.recv()
                pipe.send(_answer(items[name], items.get(following)))
        except (EOFError, ConnectionError):
            state.teardown_exact(None)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(Exception):
            _save_coverage()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(status)


def _answer(item: pytest.Item, nextitem: pytest.Item | None) -> Answer:
    reports, exception = [], None
    with warnings.catch_warnings(record=True) as warned:
        try:
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
        except (KeyboardInterrupt, Exit) as error:
            exception = error.with_traceback(None)
    serialized = [item.config.hook.pytest_report_to_serializable(config=item.config, report=one) for one in reports]
    return serialized, [_plain(one) for one in warned], exception


def _plain(one: warnings.WarningMessage) -> warnings.WarningMessage:
    """Of a class that every process knows."""
    category = one.category if one.category.__module__ in ("builtins", "pytest") else UserWarning
    message = category(str(one.message)) if category is not one.category else one.message
    return warnings.WarningMessage(message, category, one.filename, one.lineno)


def _slipcover() -> Any:
    """SlipCover's plugin where it measures a worker of xdist, for whose forks it does nothing by itself."""
    plugin = sys.modules.get("slipcover.pytest_plugin")
    return plugin if plugin is not None and plugin._slipcover_instance and plugin._coverage_dir else None


def _begin_coverage() -> None:
    if plugin := _slipcover():
        plugin._slipcover_instance.signal_child_process()


def _save_coverage() -> None:
    if plugin := _slipcover():
        name = f"coverage-{os.environ['PYTEST_XDIST_WORKER']}-{os.getpid()}.json"
        (Path(plugin._coverage_dir) / name).write_text(json.dumps(plugin._slipcover_instance.get_coverage()))
