"""The recorder logs of a server, by the names that its clients give them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.carla_sim.replay import Recording
from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import shortened
from cosmos_exp.common.input_files import existing_file
from cosmos_exp.common.single_entry_cache import SingleEntryCache
from cosmos_exp.scene.carla.recorder import read_log

SUFFIX = ".log"


class LogFiles:
    """Clients read and write below one folder, whatever they call a file, and read those logs besides.

    folder: None for a server that records nothing. Methods raise UserError on a name that leads elsewhere.
    """

    def __init__(self, folder: Path | None, logs: Sequence[Path] = ()):
        for log in logs:
            existing_file("recorder log", log)
        if folder is not None and not folder.is_dir():
            raise UserError(f"no folder of recordings {str(folder)!r}: make it first")
        self._folder, self._logs = folder, logs
        self._read = SingleEntryCache()

    def recording(self, name: str) -> Recording:
        """What is recorded under that name; the last one that was asked for is kept."""
        path = self._existing(name)
        try:
            state = path.stat()
        except OSError:
            raise UserError(f"no recording {shortened(name)}") from None
        key = (path, state.st_mtime_ns, state.st_size)
        return self._read.get(key, lambda: Recording(read_log(path)))

    def new(self, name: str) -> Path:
        """Where a recording of that name is to be written. Its folder is there then."""
        if self._folder is None:
            raise UserError("this server has no folder of recordings: start it with --recordings DIR")
        path = self._below(self._folder, name)
        path = path if path.suffix else path.with_name(f"{path.name}{SUFFIX}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot record to {shortened(name)}: {error.strerror}") from None
        return path

    def _existing(self, name: str) -> Path:
        for path in self._logs:
            if name in (str(path), path.name, path.stem, str(path.resolve())):
                return path
        if self._folder is None:
            known = [path.name for path in self._logs]
            raise UserError(unknown_name("recording", name, known) if known else "this server has no recordings")
        path = self._below(self._folder, name)
        return path if path.suffix or path.is_file() else path.with_name(f"{path.name}{SUFFIX}")

    @staticmethod
    def _below(folder: Path, name: str) -> Path:
        """The file of that name, links followed."""
        try:
            path, folder = (folder / name).resolve(), folder.resolve()
            path.is_file()
        except (OSError, ValueError, RuntimeError):  # too long, with a NUL, a link to itself
            raise UserError(f"{shortened(name)} is no file name") from None
        if not path.is_relative_to(folder) or path == folder:
            raise UserError(f"{shortened(name)} lies outside the folder of recordings of this server")
        return path
