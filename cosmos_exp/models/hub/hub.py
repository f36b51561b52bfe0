"""The Hub's side: which files a repository has, and its refusals as one line that says what to do."""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from huggingface_hub import HfApi, constants, get_token, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import get_hf_file_metadata

from cosmos_exp.common.errors import UserError, nearest_name
from cosmos_exp.models.hub.models import Request

SECONDS_TO_ANSWER = 30.0
BUSY = (429, 500, 502, 503, 504)  # status codes after which to try again


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file of a repository at one commit.

    `digest` is the SHA-256 of a file in large-file storage, else the SHA-1 of the Git blob, as `algorithm` says.
    """

    repo: str
    commit: str
    name: str
    size: int
    algorithm: str
    digest: str


def endpoint() -> str:
    """The Hub's address: HF_ENDPOINT, else the public one."""
    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def url(file: RemoteFile) -> str:
    return hf_hub_url(file.repo, file.name, revision=file.commit, endpoint=endpoint())


def list_files(request: Request) -> list[RemoteFile]:
    """The files of a request at the commit its revision stands for now; UserError if any is not there."""
    api = HfApi(endpoint=endpoint())
    with explained(request.repo, request.revision):
        info = api.model_info(request.repo, revision=request.revision, files_metadata=True, timeout=SECONDS_TO_ANSWER)
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    files = []
    for name in _matching(request, list(siblings)):
        sibling = siblings[name]
        algorithm, digest = ("sha256", sibling.lfs["sha256"]) if sibling.lfs else ("git-sha1", sibling.blob_id)
        size = sibling.lfs["size"] if sibling.lfs else sibling.size
        if size is None or digest is None or info.sha is None:
            raise UserError(f"{endpoint()} gives no size or checksum of {name} in {request.repo}; it cannot be checked")
        files.append(
            RemoteFile(repo=request.repo, commit=info.sha, name=name, size=size, algorithm=algorithm, digest=digest)
        )
    return files


def check_access(file: RemoteFile) -> None:
    """UserError unless this file, and so the files of its repository, may be downloaded."""
    with explained(file.repo, file.commit):
        get_hf_file_metadata(url(file), timeout=SECONDS_TO_ANSWER)


def _matching(request: Request, present: list[str]) -> list[str]:
    found: list[str] = []
    for pattern in request.patterns:
        names = [name for name in present if fnmatch.fnmatchcase(name, pattern)]
        if not names:
            nearest = nearest_name(pattern, present)
            hint = f"; nearest is {nearest!r}" if nearest else ""
            raise UserError(f"{request.repo} has no file {pattern!r} at revision {request.revision!r}{hint}")
        found += [name for name in names if name not in found]
    for name in found:
        if name.startswith("/") or ".." in name.split("/"):
            raise UserError(f"{request.repo} has a file named {name!r}, which would leave its folder; refused")
    return found


@contextlib.contextmanager
def explained(repo: str, revision: str) -> Iterator[None]:
    """Turns refusals of the Hub, of the network and of the disk into UserErrors."""
    try:
        yield
    except (HTTPError, OSError, HFValidationError) as error:
        raise UserError(_explanation(error, repo, revision)) from error


def is_outage(error: Exception) -> bool:
    """Whether waiting may help: the connection broke, or the server is too busy to answer."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in BUSY
    if isinstance(error, OSError):  # the network's errors carry no errno, those of the disk do
        return error.errno is None and type(error) is not OSError and not isinstance(error, OfflineModeIsEnabled)
    return True


def reason(error: Exception) -> str:
    """The error in one short line."""
    return textwrap.shorten(str(error) or type(error).__name__, 150, placeholder=" ...")


def _explanation(error: Exception, repo: str, revision: str) -> str:
    page = f"https://huggingface.co/{repo}"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, OfflineModeIsEnabled):
        return f"cannot look at {repo}: HF_HUB_OFFLINE is set, which forbids the network; unset it to download"
    if isinstance(error, HFValidationError):
        return " ".join(str(error).split())
    if isinstance(error, GatedRepoError):
        logged_in = "the account that you are logged in with" if get_token() else f"an account, {_how_to_log_in()}"
        return f"{repo} is gated: accept its licence at {page} with {logged_in}"
    if isinstance(error, RevisionNotFoundError):
        return f"{repo} has no revision {revision!r}; allowed: a branch, tag or commit listed at {page}/commits/main"
    if status == 401 and get_token():
        return f"{endpoint()} does not accept your token for {repo}: {_how_to_log_in()}, and see {page}"
    if status == 401:
        return f"{repo} needs a login, or does not exist: {_how_to_log_in()}, and see {page}"
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return f"{endpoint()} has no repository {repo!r}, or no such file in it at {revision!r}; see {page}"
    if status == 403:
        return f"{endpoint()} denies access to {repo}: the token lacks the permission to read it; see {page}"
    if status == 429:
        return f"{endpoint()} asks to slow down (status 429): run the same command again later, and it goes on"
    if status is not None:
        return f"{endpoint()} answered {repo} with status {status}: run the same command again later, and it goes on"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full: make space, run the same command again, and it goes on"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return f"no connection to {endpoint()} ({reason(error)}): run the same command again later, and it goes on"


def _how_to_log_in() -> str:
    return "log in with `hf auth login`, or set HF_TOKEN"
