"""Compilation of the renderer's kernels with numba, and where compiled code is kept.

`kernel` makes a function that Python calls, `part` one that only kernels call. A part is compiled into its kernels:
it has no wrapper for Python and no file of its own, which would take half of the time of compilation.

Compiled code is read from any of these folders and written to the first that can be: NUMBA_CACHE_DIR, the package's
own, the user's cache, and one beside the results, which `keep_beside` names. Where none can be written, it is not kept.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core import caching

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).parent
SECONDS_BETWEEN_LINES = 3.0

_beside: list[Path] = []
_njit: Any = njit  # whose types lack options that it has


def kernel(seconds: float = 0.0, **options: Any) -> Callable[[Callable], Any]:
    """Decorator of a compiled function that Python calls.

    seconds: that its compilation takes on an idle core, for kernels that nearly every picture needs; these make up the
    time left that is told while they are compiled. options: of `numba.njit`.
    """

    def decorate(function: Callable) -> Any:
        dispatcher = _njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True, **options)(function)
        dispatcher._cache = _KernelCache(function, seconds)
        return dispatcher

    return decorate


def part(**options: Any) -> Callable[[Callable], Any]:
    """Decorator of a compiled function that only kernels call. options: of `numba.njit`.

    Raises TypeError where Python calls it.
    """

    def decorate(function: Callable) -> Any:
        def refuse(*arguments: Any, **named: Any) -> None:
            raise TypeError(f"{function.__qualname__} is a part of kernels: only compiled code can call it")

        dispatcher = _njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(
            function
        )
        dispatcher._insert = lambda *entry: None  # calls from Python find no compiled code, which has no wrapper,
        dispatcher._compile_for_args = refuse  # and come here
        return dispatcher

    return decorate


def keep_beside(results: Path) -> None:
    """Where no other folder can be written, keep compiled code in a folder of this user's in `results`."""
    folder = results / f"compiled-{os.getuid()}"
    if folder not in _beside:
        _beside.append(folder)


def folders() -> Iterator[Path]:
    """Where compiled code may lie, in the order of preference. Pickles are read from them, so folders that others may
    write are left out, but for those that this user or who installed the package has chosen."""
    if numba.config.CACHE_DIR:  # type: ignore[attr-defined]  # numba sets it when it is imported
        yield Path(numba.config.CACHE_DIR, "cosmos_exp")  # type: ignore[attr-defined]
    yield PACKAGE / "__pycache__"
    yield from filter(_is_private, [_user_cache(), *_beside])


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "cosmos-exp", "compiled")


def _is_private(folder: Path) -> bool:
    try:
        status = folder.stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


class _KernelCache(caching._Cache):
    """The compiled code of a kernel. numba asks for it before it compiles, and hands over what it has compiled."""

    def __init__(self, function: Callable, seconds: float):
        self._function = function
        self._seconds = seconds
        compilation.expected[self] = seconds

    @property
    def cache_path(self) -> str:
        return str(next(folders()))

    def enable(self) -> None: ...

    def disable(self) -> None: ...

    def flush(self) -> None: ...

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        for folder in folders():
            try:
                found = _Files(self._function, folder).load_overload(sig, target_context)
            except Exception:  # of another version or damaged: compiled again
                log.debug("unreadable compiled code in %s", folder, exc_info=True)
                continue
            if found is not None:
                compilation.loaded(self, folder)
                return found
        compilation.begin(self)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        compilation.end(self, self._seconds)
        problems = []
        for folder in folders():
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _Files(self._function, folder).save(sig, data)
            except OSError as error:
                problems.append(f"{folder}: {error.strerror}")
            else:
                return compilation.loaded(self, folder)
        _not_kept("; ".join(problems))


@functools.cache
def _not_kept(problems: str) -> None:
    log.warning(
        "compiled code is not kept, and each process compiles anew (%s); NUMBA_CACHE_DIR may name a folder", problems
    )


class _Files(caching.Cache):
    """numba's files of one kernel in a folder."""

    def save(self, sig: Any, data: Any) -> None:
        try:
            self.save_overload(sig, data)
        except OSError:
            raise
        except Exception:  # the index is damaged
            self.flush()
            self.save_overload(sig, data)

    def __init__(self, function: Callable, folder: Path):
        self._impl_class: Any = functools.partial(_Layout, folder=folder)
        super().__init__(function)


class _Layout(caching.CompileResultCacheImpl):
    """How numba's files are named, and what they depend on."""

    def __init__(self, function: Callable, folder: Path):
        self._lineno = function.__code__.co_firstlineno
        self._locator = _Locator(folder)
        module = function.__module__.removeprefix("cosmos_exp.rendering.")
        self._filename_base = f"{module}.{function.__name__}.py{sys.version_info[0]}{sys.version_info[1]}"


class _Locator(caching._CacheLocator):
    def __init__(self, folder: Path):
        self._folder = folder
        self._py_file = str(folder)  # named by numba's warning of code that cannot be kept

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return _sources()

    def get_disambiguator(self) -> str:
        return ""


@functools.cache
def _sources() -> str:
    """Digest of the renderer's source: a kernel holds the parts and constants of other modules too."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


class _Compilation:
    """Tells that kernels are compiled, and the time left, by the pace of those that are done.

    expected: seconds of those that are neither compiled nor loaded yet. folders: where compiled code lies that this
    process has used or made.
    """

    def __init__(self) -> None:
        self.expected: dict[_KernelCache, float] = {}
        self.folders: dict[Path, None] = {}
        self._planned = self._taken = 0.0
        self._started = self._told = 0.0

    def loaded(self, kernel: _KernelCache, folder: Path) -> None:
        self.expected.pop(kernel, None)
        self.folders[folder] = None

    def begin(self, kernel: _KernelCache) -> None:
        self._started = time.monotonic()
        left = sum(self.expected.values())
        if not left or kernel not in self.expected:
            return
        if not self._told:
            log.info("compiling the renderer for this machine, which later runs need not: up to a minute")
        elif self._started - self._told >= SECONDS_BETWEEN_LINES:
            pace = self._taken / self._planned if self._planned else 1.0
            log.info("compiling the renderer: about %.0f s left", left * pace)
        else:
            return
        self._told = self._started

    def end(self, kernel: _KernelCache, seconds: float) -> None:
        self.expected.pop(kernel, None)
        if seconds:
            self._planned += seconds
            self._taken += time.monotonic() - self._started


compilation = _Compilation()
