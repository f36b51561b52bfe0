"""`cosmos-exp jobs ...`: the jobs of a server, from the command line."""

from __future__ import annotations

import re
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.cli.commands.job_submission import request_of, submit_options
from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, ValidationErrors, attempt
from cosmos_exp.common.files import file_sha256, json_text, write_json

if TYPE_CHECKING:
    from cosmos_exp.remote.job_client import JobClient
    from cosmos_exp.remote.wire import JobInfo

FAILED = 2
"""Exit status where a job that was waited for has no result."""


class ActionParser(Parser):
    """Hands what follows the action to the parser of that one."""

    def parse(self, arguments: Sequence[str]) -> Namespace:
        action = super().parse(arguments[:1]).action
        given = action_parser(action).parse(arguments[1:])
        given.action = action
        return given


def command_line() -> ActionParser:
    parser = ActionParser(
        "jobs",
        "Jobs of a server of the job API: " + "; ".join(f"{name}, {about}" for name, (_, about, _) in ACTIONS.items())
        + ". The server is --endpoint or COSMOS_URL, by default http://127.0.0.1:8080; the token COSMOS_TOKEN, or the "
        "content of the file COSMOS_TOKEN_FILE. `cosmos-exp jobs ACTION --help` shows the options of one.",
    )  # fmt: skip
    parser.choice("action", list(ACTIONS), "what to do")
    return parser


def action_parser(action: str) -> Parser:
    _, about, add_options = ACTIONS[action]
    parser = Parser(f"jobs {action}", f"{about[0].upper()}{about[1:]}.")
    add_options(parser)
    parser.add_argument("--endpoint", metavar="URL", help="of the server; default: COSMOS_URL, else this machine's")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def main(arguments: Sequence[str]) -> int:
    given = command_line().parse(arguments)
    from cosmos_exp.remote.job_client import JobClient
    from cosmos_exp.remote.server_client import endpoint_of_environment

    with JobClient(given.endpoint or endpoint_of_environment()) as client:
        return ACTIONS[given.action][0](client, given)


# Submit, watch, result


def _submit(client: JobClient, given: Namespace) -> int:
    request = request_of(client, given)
    job = client.submit(request, {"client": "cosmos-exp jobs"})
    if not (given.wait or given.out):
        _show_job(job, given.json)
        return 0
    return _follow(client, job.id, given)


def _watch_options(parser: Parser) -> None:
    parser.add_argument("job", metavar="JOB", help="id")
    parser.add_argument("--out", metavar="DIR", type=Path, help="fetch the files of the result to DIR/JOB/")


def _watch(client: JobClient, given: Namespace) -> int:
    return _follow(client, given.job, given)


def _follow(client: JobClient, job: str, given: Namespace) -> int:
    """Show a job until it is finished, then fetch its files where they are asked for."""
    from cosmos_exp.remote.wire import Status

    last = None
    for last in client.watch(job):
        _show_job(last, given.json)
    if last is None or last.status is not Status.DONE:
        return FAILED
    if given.out:
        _fetch(client, job, given.out, as_json=given.json)
    return 0


def _result_options(parser: Parser) -> None:
    parser.add_argument("job", metavar="JOB", help="id")
    parser.add_argument("--out", metavar="DIR", type=Path, help="fetch its files to DIR/JOB/; else they are listed")


def _result(client: JobClient, given: Namespace) -> int:
    if given.out:
        _fetch(client, given.job, given.out, as_json=given.json)
        return 0
    manifest = client.result(given.job)
    if given.json:
        print(json_text(manifest.model_dump(mode="json"), indent=1))
    else:
        for file in manifest.files:
            print(f"{file.sha256[:16]}  {file.size:>12}  {file.kind:<8}  {file.name}")
    return 0


def _fetch(client: JobClient, job: str, out: Path, *, as_json: bool) -> None:
    """Files that are there and the same stay; others of the same name are an error."""
    manifest = client.result(job)
    folder = out / re.sub(r"[^\w.-]", "_", job)
    for file in manifest.files:
        path = folder / file.name
        if path.exists() and file_sha256(path) != file.sha256:
            raise UserError(f"{path} is another file; move it away, or give another --out")
        if not path.exists():
            client.download(job, file, path)
        if not as_json:
            print(path)
    write_json(folder / "job.json", manifest.model_dump(mode="json"))
    if as_json:
        print(json_text({"folder": str(folder), "files": [file.name for file in manifest.files]}, indent=1))


# List, cancel, server


def _list_options(parser: Parser) -> None:
    parser.add_argument("--status", metavar="STATUS", help="queued, running, done, failed, blocked and so on")
    parser.add_argument("--mine", action="store_true", help="submitted with this token")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="the newest N, default 50")


def _list(client: JobClient, given: Namespace) -> int:
    found = client.jobs(status=given.status, mine=given.mine or None, limit=given.limit)
    if given.json:
        print(json_text([job.model_dump(mode="json") for job in found], indent=1))
        return 0
    for job in found:
        made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.created))
        print(
            f"{job.id}  {job.status.value:<9}  {job.progress:>4.0%}  {made}  {job.backend}  {job.error or ''}".rstrip()
        )
    return 0


def _cancel_options(parser: Parser) -> None:
    parser.add_argument("jobs", metavar="JOB", nargs="+", help="ids; one that is finished is deleted with its files")


def _cancel(client: JobClient, given: Namespace) -> int:
    problems = []
    for job in given.jobs:
        done, found = attempt(partial(client.cancel, job))
        problems += found
        if done is not None:
            _show_job(done, given.json)
    if problems:
        raise ValidationErrors(problems)
    return 0


def _no_options(parser: Parser) -> None:
    pass


def _models(client: JobClient, given: Namespace) -> int:
    found = client.models()
    if given.json:
        print(json_text([model.model_dump(mode="json") for model in found], indent=1))
        return 0
    for model in found:
        contract = model.contract
        controls = ", ".join(contract.get("controls", ()))
        size = f"{contract.get('width', '?')}x{contract.get('height', '?')} at {contract.get('fps', '?')} Hz"
        print(f"{model.id}: {size}; {model.workers} workers, {model.queued} waiting; controls: {controls}")
    return 0


def _health(client: JobClient, given: Namespace) -> int:
    found = client.health()
    if given.json:
        print(json_text(found, indent=1))
    else:
        print("ready" if found.get("ready") else "not ready")
        for worker in found.get("workers", ()):
            told = [str(worker.get(key, "")) for key in ("name", "device", "state", "message")]
            print("  " + "  ".join(filter(None, told)))
    return 0 if found.get("ready") else 1


def _status(client: JobClient, given: Namespace) -> int:
    print(json_text(client.status(), indent=1))
    return 0


def _show_job(job: JobInfo, as_json: bool) -> None:
    if as_json:
        print(job.model_dump_json(), flush=True)
        return
    waiting = f"{job.queue_position} before it" if job.queue_position else ""
    shown = [job.id, job.status.value, f"{job.progress:.0%}", job.message, waiting, job.error or ""]
    print("  ".join(filter(None, shown)), flush=True)


Action = Callable[["JobClient", Namespace], int]

ACTIONS: dict[str, tuple[Action, str, Callable[[Parser], None]]] = {
    "submit": (_submit, "upload the videos of a request and queue it", submit_options),
    "list": (_list, "the newest jobs", _list_options),
    "watch": (_watch, "show a job until it is finished", _watch_options),
    "result": (_result, "list or fetch what a job made", _result_options),
    "cancel": (_cancel, "cancel jobs, or delete finished ones", _cancel_options),
    "models": (_models, "what the server generates with", _no_options),
    "health": (_health, "whether its workers are ready", _no_options),
    "status": (_status, "uptime, queue and uploads, as JSON", _no_options),
}
"""{name: (function, what it does, its options)}."""
