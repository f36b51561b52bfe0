"""`cosmos-exp jobs ...`: the jobs of a server, from the command line."""

from __future__ import annotations

import re
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, ValidationErrors, attempt
from cosmos_exp.common.files import file_sha256, json_text, write_json
from cosmos_exp.common.views import VIEWS

if TYPE_CHECKING:
    from cosmos_exp.remote.job_client import JobClient
    from cosmos_exp.remote.wire import ControlInput, JobInfo, JobRequest

FAILED = 2
"""Exit status where a job that was waited for has no result."""
DERIVE = "derive"
WEIGHT = re.compile(r"(?P<source>.+):(?P<weight>\d+(\.\d*)?|\.\d+)", re.DOTALL)
VIDEO = ".mp4"


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
    from cosmos_exp.remote.job_client import JobClient, endpoint_of_environment

    with JobClient(given.endpoint or endpoint_of_environment()) as client:
        return ACTIONS[given.action][0](client, given)


# Submit


def _submit_options(parser: Parser) -> None:
    add = parser.add_argument
    add("--prompt", required=True, metavar="TEXT", help="what is to be seen; @FILE: the content of a file")
    add("--backend", metavar="MODEL", help="default: the server's, where it has one")
    add(
        "--control", action="append", default=[], metavar="NAME=VIDEO[:WEIGHT]",
        help="a control video; of several views a folder with VIEW.mp4 of each; `derive`: the server makes it from "
        "--rgb; may be repeated",
    )  # fmt: skip
    add("--view", action="append", default=[], metavar="VIEW", help="a view to generate, in the model's order; repeat")
    add("--rgb", metavar="VIDEO", type=Path, help="the video to begin with, or a folder of VIEW.mp4")
    add(
        "--render", action="append", default=[], metavar="OUTPUT=VIDEO",
        help="the scene as it was rendered, for models that read it: target, in the style of the prompt; or a folder",
    )  # fmt: skip
    add("--negative-prompt", metavar="TEXT", help="what is not to be seen; @FILE as for --prompt")
    add("--seed", type=int, help="default, as for the others: as the server's config has it")
    add("--guidance", type=float)
    add("--steps", type=int, help="of the sampler")
    add("--resolution", metavar="HxW", help="pixels, such as 704x1280, or the height alone")
    add("--config", action="append", default=[], metavar="KEY=VALUE", help="such as sampler.sigma_max=70; repeat")
    add("--clip", metavar="NAME", help="from which, with the seed, the noise follows")
    add("--interactive", action="store_true", help="before the jobs of batches")
    add("--wait", action="store_true", help="until it is finished")
    add("--out", metavar="DIR", type=Path, help="wait, and fetch the files of the result to DIR/JOB/")


def _submit(client: JobClient, given: Namespace) -> int:
    request = _request(client, given)
    job = client.submit(request, {"client": "cosmos-exp jobs"})
    if not (given.wait or given.out):
        _show_job(job, given.json)
        return 0
    return _follow(client, job.id, given)


def _request(client: JobClient, given: Namespace) -> JobRequest:
    """Everything is checked that can be, then the files are uploaded."""
    from pydantic import ValidationError

    from cosmos_exp.remote.wire import Extra, JobRequest

    problems: list[str] = []
    values: dict[str, Any] = {}

    def take(name: str, make: Callable[[], Any]) -> None:
        values[name], found = attempt(make)
        problems.extend(found)

    take("prompt", lambda: _text("--prompt", given.prompt))
    take("negative_prompt", lambda: given.negative_prompt and _text("--negative-prompt", given.negative_prompt))
    take("controls", lambda: dict(_checked_controls(given.control)))
    take("rgb", lambda: _videos("--rgb", given.rgb, given.view) if given.rgb else {})
    take("renders", lambda: {
        name: _videos("--render", path, given.view) for name, (path, _) in _checked_controls(given.render, "--render")
    })  # fmt: skip
    take("config", lambda: dict(_settings(given.config)))
    if problems:
        raise ValidationErrors(problems)
    try:
        extra = Extra(config=values["config"], **({"clip": given.clip} if given.clip else {}))
        request = JobRequest(
            backend=given.backend or _only_model(client),
            prompt=values["prompt"],
            negative_prompt=values["negative_prompt"],
            seed=given.seed,
            guidance=given.guidance,
            num_steps=given.steps,
            resolution=given.resolution,
            priority="interactive" if given.interactive else "batch",
            views=given.view,
            extra=extra,
        )
    except ValidationError as error:
        raise ValidationErrors(
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
        ) from None
    controls = {
        name: _uploaded(client, source, weight, given.view) for name, (source, weight) in values["controls"].items()
    }
    rgb = _put(client, values["rgb"])
    renders = {output: _put(client, videos) for output, videos in values["renders"].items()}
    extra = extra.model_copy(update={"renders": renders})
    return request.model_copy(update={"controls": controls, "rgb": rgb, "extra": extra})


def _put(client: JobClient, videos: Mapping[str, Path]) -> dict[str, str]:
    return {view: client.put_blob(path) for view, path in videos.items()}


def _text(option: str, given: str) -> str:
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{option} {given!r}: {getattr(error, 'strerror', None) or 'no UTF-8 text'}") from None


def _checked_controls(given: Sequence[str], option: str = "--control") -> Iterator[tuple[str, tuple[Path, float]]]:
    """{name: (video or folder, weight)}; the path `derive` stands for none."""
    seen, problems = set(), []
    for text in given:
        name, equals, source = text.partition("=")
        found = WEIGHT.fullmatch(source) if option == "--control" else None
        source, weight = (found["source"], float(found["weight"])) if found else (source, 1.0)
        if not equals or not name or not source:
            problems.append(f"{option} {text!r}: give NAME=VIDEO, such as edge=edge.mp4; of a control also :WEIGHT")
        elif name in seen:
            problems.append(f"{option} {text!r}: {name} is given more than once")
        elif source != DERIVE and not Path(source).exists():
            problems.append(f"{option} {text!r}: no file {source!r}")
        else:
            seen.add(name)
            yield name, (Path(source), weight)
    if problems:
        raise ValidationErrors(problems)


def _uploaded(client: JobClient, source: Path, weight: float, views: Sequence[str]) -> ControlInput:
    from cosmos_exp.remote.wire import ControlInput

    if source == Path(DERIVE):
        return ControlInput(derive=True, weight=weight)
    if source.is_dir():
        videos = _videos("--control", source, views)
        return ControlInput(blobs=_put(client, videos), weight=weight)
    return ControlInput(blob=client.put_blob(source), weight=weight)


def _videos(option: str, source: Path, views: Sequence[str]) -> dict[str, Path]:
    """{view: video} of a folder, or the one file as that of the front view."""
    if source.is_file():
        return {views[0] if views else VIEWS[0]: source}
    found = {path.stem: path for path in sorted(source.glob(f"*{VIDEO}"))} if source.is_dir() else {}
    if not found:
        raise UserError(f"{option} {str(source)!r}: no video, and no folder with videos VIEW{VIDEO}")
    if missing := [view for view in views if view not in found]:
        raise UserError(f"{option} {str(source)!r} has no {', '.join(f'{view}{VIDEO}' for view in missing)}")
    return {view: found[view] for view in views} if views else found


def _settings(given: Sequence[str]) -> Iterator[tuple[str, Any]]:
    from cosmos_exp.common.guards import parse_yaml

    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UserError(f"--config {text!r}: give KEY=VALUE, such as sampler.sigma_max=70")
        yield key, parse_yaml(value, f"--config {key}")


def _only_model(client: JobClient) -> str:
    names = [model.id for model in client.models()]
    if len(names) != 1:
        raise UserError(f"--backend: give one of the server's models: {', '.join(names) or 'it has none'}")
    return names[0]


# Watch, result


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
    "submit": (_submit, "upload the videos of a request and queue it", _submit_options),
    "list": (_list, "the newest jobs", _list_options),
    "watch": (_watch, "show a job until it is finished", _watch_options),
    "result": (_result, "list or fetch what a job made", _result_options),
    "cancel": (_cancel, "cancel jobs, or delete finished ones", _cancel_options),
    "models": (_models, "what the server generates with", _no_options),
    "health": (_health, "whether its workers are ready", _no_options),
    "status": (_status, "uptime, queue and uploads, as JSON", _no_options),
}
"""{name: (function, what it does, its options)}."""
