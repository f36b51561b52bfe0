"""`cosmos-exp jobs submit`: a request from the command line, its videos checked and uploaded."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, ValidationErrors, attempt
from cosmos_exp.common.views import VIEWS

if TYPE_CHECKING:
    from cosmos_exp.remote.job_client import JobClient
    from cosmos_exp.remote.wire import ControlInput, JobRequest

DERIVE = "derive"
WEIGHT = re.compile(r"(?P<source>.+):(?P<weight>\d+(\.\d*)?|\.\d+)", re.DOTALL)
VIDEO = ".mp4"


def submit_options(parser: Parser) -> None:
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


def request_of(client: JobClient, given: Namespace) -> JobRequest:
    """What the options say: everything is checked that can be, then the files are uploaded."""
    from pydantic import ValidationError

    from cosmos_exp.remote.wire import Extra, JobRequest, complaints

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
        raise ValidationErrors(complaints(error.errors())) from None
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
