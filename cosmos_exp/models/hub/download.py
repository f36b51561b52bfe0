"""What the Hub has, what of it is there already, and the download.

huggingface_hub transfers the files. It compares the size of what arrives by HTTP, but no checksum, neither by HTTP nor
by Xet; a file that is there it takes by its own note of the commit. So every file is checked here, once.
The files come one after another, by `hf_hub_download`: `snapshot_download` fetches in threads, for which Ctrl-C waits.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import fnmatch
import hashlib
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, errors, get_token

from cosmos_exp.common.errors import UserError, nearest_name
from cosmos_exp.common.files import write_json
from cosmos_exp.common.guards import read_json
from cosmos_exp.models.hub.models import Request

RECORD = (
    ".checked.json"  # in the folder of a repository: digest, size and time of change of the files that were checked
)
LOCK = ".download.lock"
BLOCK = 1 << 22  # bytes
UNITS = ("B", "kB", "MB", "GB", "TB")

THERE = "there"
UNCHECKED = "there, checksum not yet checked"
MISSING = "missing"
OTHER_SIZE = "missing, a file of another size is replaced"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a repository at one commit, and the state it is in below `folder`, the repository's own.

    `digest` is the SHA-256 of a file in large-file storage, else the SHA-1 of the Git blob.
    """

    request: Request
    commit: str
    name: str
    size: int
    digest: str
    folder: Path
    state: str

    @property
    def to_fetch(self) -> int:
        """Bytes."""
        return 0 if self.state in (THERE, UNCHECKED) else self.size


def list_files(requests: Sequence[Request], folder: Path) -> list[File]:
    """The files of each request as the Hub has them now, and which are in `folder`. Writes nothing."""
    return [file for request in requests for file in _listed(request, folder / request.repo)]


def _listed(request: Request, folder: Path) -> list[File]:
    with _explained(request.repo, request.revision):
        info = HfApi().model_info(request.repo, revision=request.revision, files_metadata=True, timeout=30)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    files = []
    for name in _matching(request, list(siblings)):
        lfs = siblings[name].lfs
        size, digest = (lfs["size"], lfs["sha256"]) if lfs else (siblings[name].size, siblings[name].blob_id)
        if size is None or digest is None or info.sha is None:
            raise UserError(f"the Hub gives no size or checksum of {name} in {request.repo}; it cannot be checked")
        with _explained(request.repo, request.revision):
            state = _state(folder, name, size, digest)
        files.append(
            File(request=request, commit=info.sha, name=name, size=size, digest=digest, folder=folder, state=state)
        )
    return files


def _matching(request: Request, present: list[str]) -> list[str]:
    found: dict[str, None] = {}
    for pattern in request.patterns:
        names = [name for name in present if fnmatch.fnmatchcase(name, pattern)]
        if not names:
            nearest = nearest_name(pattern, present)
            hint = f"; nearest is {nearest!r}" if nearest else ""
            raise UserError(f"{request.repo} has no file {pattern!r} at revision {request.revision!r}{hint}")
        found |= dict.fromkeys(names)
    for name in found:
        if name.startswith("/") or ".." in name.split("/"):
            raise UserError(f"{request.repo} has a file named {name!r}, which would leave its folder; refused")
    return list(found)


def _state(folder: Path, name: str, size: int, digest: str) -> str:
    path = folder / name
    if path.is_dir():
        raise UserError(f"{path} is a folder, but a file of that name goes there")
    if not path.is_file():
        return MISSING
    if _recorded(folder).get(name) == _entry(path, digest):
        return THERE
    return UNCHECKED if path.stat().st_size == size else OTHER_SIZE


def _recorded(folder: Path) -> dict[str, list]:
    try:
        entries = read_json("record", folder / RECORD)
    except (FileNotFoundError, UserError):  # what is not known to be checked is checked again
        return {}
    return entries if isinstance(entries, dict) else {}


def _entry(path: Path, digest: str) -> list:
    return [digest, path.stat().st_size, path.stat().st_mtime_ns]


def format_files(files: Sequence[File], folder: Path) -> str:
    """The files with their sizes and states as a table, and what there is to fetch."""
    width = max(len(file.name) for file in files)
    lines = []
    for request in dict.fromkeys(file.request for file in files):
        own = [file for file in files if file.request == request]
        lines.append(f"{request.repo} at {request.revision} ({own[0].commit[:8]}): {', '.join(request.models)}")
        lines += [f"  {file.name:<{width}}  {_size(file.size):>8}  {file.state}" for file in own]
    total, to_fetch = sum(file.size for file in files), sum(file.to_fetch for file in files)
    lines.append(
        f"{len(files)} files, {_size(total)}: {_size(total - to_fetch)} there, {_size(to_fetch)} to fetch "
        f"into {folder} ({_size(_free_space(folder))} free)"
    )
    return "\n".join(lines)


def _size(count: int) -> str:
    """`14.5 GB`: three digits of a number of bytes, in powers of 1000."""
    power = 0
    while count / 1000**power >= 999.5 and power < len(UNITS) - 1:
        power += 1
    return f"{count / 1000**power:.3g} {UNITS[power]}"


def _free_space(folder: Path) -> int:
    """Bytes free on the disk that holds `folder`, which need not exist yet."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise UserError(f"{place} is a file; --to wants a folder")
    return shutil.disk_usage(place).free


def download(files: Sequence[File], folder: Path, say: Callable[[str], None] = print) -> None:
    """Fetch what is missing, check what is there. An interruption leaves the files that are complete.

    UserError where the disk is too small, access is refused, or a file is damaged twice.
    """
    to_fetch, free = sum(file.to_fetch for file in files), _free_space(folder)
    if to_fetch > free:
        raise UserError(
            f"{_size(to_fetch)} are missing, but the disk of {folder} has only {_size(free)} free: "
            f"free {_size(to_fetch - free)} more, or name a folder on another disk with --to"
        )
    for request in dict.fromkeys(file.request for file in files if file.to_fetch):
        with _explained(request.repo, request.revision):
            HfApi().auth_check(request.repo)
    for file in files:
        if file.state != THERE:
            with _explained(file.request.repo, file.commit), _locked(file.folder):
                _obtain(file, say)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another download is writing to {folder}: wait until it ends") from error
        yield


def _obtain(file: File, say: Callable[[str], None]) -> None:
    path, label = file.folder / file.name, f"{file.request.repo}/{file.name}"
    if file.state == UNCHECKED:
        say(f"{label}: there, checking {_size(file.size)}")
        if _digest(path, file.digest) == file.digest:
            return _record(path, file)
        say(f"{label}: damaged or of another revision, fetching it again")
    path.unlink(missing_ok=True)
    for force in (False, True):  # the second time not from the cache of huggingface_hub
        say(f"{label}: {_size(file.size)}")
        fault = _fetch(path, file, force)
        if fault is None:
            return _record(path, file)
        path.unlink(missing_ok=True)
        if not force:
            say(f"{label}: damaged on the way, fetching it again")
    raise UserError(f"{label} arrived damaged twice: {fault}; a proxy or the disk may be at fault")


def _fetch(path: Path, file: File, force: bool) -> str | None:
    """What is wrong with the file that arrived, or None."""
    try:
        HfApi().hf_hub_download(
            file.request.repo, file.name, revision=file.commit, local_dir=file.folder, force_download=force
        )
    except OSError as error:
        wrong_size = type(error) is OSError and error.errno is None
        if not wrong_size:
            raise
        return _one_line(error)
    digest = _digest(path, file.digest)
    return None if digest == file.digest else f"its checksum is {digest}, the Hub says {file.digest}"


def _digest(path: Path, like: str) -> str:
    """SHA-256 of the file, or its SHA-1 as a Git blob where `like` is one."""
    state = hashlib.sha256()
    if len(like) != 64:
        state = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            state.update(block)
    return state.hexdigest()


def _record(path: Path, file: File) -> None:
    entries = _recorded(file.folder) | {file.name: _entry(path, file.digest)}
    write_json(file.folder / RECORD, entries)


@contextlib.contextmanager
def _explained(repo: str, revision: str) -> Iterator[None]:
    """Turns refusals of the Hub, of the network and of the disk into UserErrors that say what to do."""
    try:
        yield
    except UserError:
        raise
    except (errors.HTTPError, OSError, ValueError, RuntimeError) as error:  # the last two by Xet too
        wrapped = isinstance(error, (errors.LocalEntryNotFoundError, ValueError))
        raise UserError(_explanation((wrapped and error.__cause__) or error, repo, revision)) from error


def _explanation(error: BaseException, repo: str, revision: str) -> str:
    hub, page = HfApi().endpoint, f"https://huggingface.co/{repo}"
    login = "log in with `hf auth login`, or set HF_TOKEN"
    again = "run the same command again later, and it goes on"
    response = getattr(error, "response", None)
    status = None if response is None else response.status_code
    if isinstance(error, errors.OfflineModeIsEnabled):
        return f"cannot look at {repo}: HF_HUB_OFFLINE is set, which forbids the network; unset it to download"
    if isinstance(error, errors.GatedRepoError):
        account = "the account that you are logged in with" if get_token() else f"an account, {login}"
        return f"{repo} is gated: accept its licence at {page} with {account}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no revision {revision!r}; allowed: a branch, tag or commit listed at {page}/commits/main"
    if status == 401:
        problem = (
            f"{hub} does not accept your token for {repo}"
            if get_token()
            else f"{repo} needs a login, or does not exist"
        )
        return f"{problem}: {login}, and see {page}"
    if isinstance(error, errors.RepositoryNotFoundError) or status == 404:
        return f"{hub} has no repository {repo!r}, or no such file in it at {revision!r}; see {page}"
    if status == 403:
        return f"{hub} denies access to {repo}: the token lacks the permission to read it; see {page}"
    if status is not None:
        return f"{hub} answered {repo} with status {status}: {again}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full: make space, run the same command again, and it goes on"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if isinstance(error, ValueError):
        return _one_line(error)
    problem = "Xet's transfer failed" if isinstance(error, RuntimeError) else f"no connection to {hub}"
    return f"{problem} ({_one_line(error)}): {again}"


def _one_line(error: BaseException) -> str:
    return textwrap.shorten(str(error) or type(error).__name__, 150, placeholder=" ...")
