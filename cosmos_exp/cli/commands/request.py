"""`cosmos-exp request ENDPOINT FILE ...`: videos of request files from a server, as CARLA's Cosmos client gets them."""

from __future__ import annotations

import math
import re
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import ValidationErrors, attempt

if TYPE_CHECKING:
    from cosmos_exp.remote.gradio_endpoint import Waiting
    from cosmos_exp.remote.request_file import VideoRequest

VIDEOS = ("input", "edge", "depth", "seg", "vis")


def command_line() -> Parser:
    parser = Parser(
        "request",
        "Send request files in TOML to a server with the Gradio interface of Cosmos-Transfer1, such as `cosmos-exp "
        "serve` or CARLA's, and get the videos. Everything is checked before anything is sent. A video that is there "
        "already and belongs to the same request is not made again. Exit status: 0, all videos are there; 2, a "
        "mistake, or the server refused a request; 75, the connection was lost: the same command goes on.",
    )
    add = parser.add_argument
    add("endpoint", metavar="ENDPOINT", help="address of the server, such as http://host:8080")
    add("files", metavar="FILE", nargs="+", type=Path, help="request files, TOML")
    add(
        "--output",
        metavar="PATH",
        help="file of the video; or a folder, one that is there or ends in /, for FILE_seed_SEED.mp4; default outputs/",
    )
    for name in VIDEOS:
        what = "input video" if name == "input" else f"control video of {name}"
        add(f"--{name}-video", metavar="PATH", type=Path, help=f"{what}, in place of that of the file")
    add("--seed", type=int, help="in place of that of the file")
    add("--seeds", metavar="A,B,...", help="every file with each of these seeds")
    add("--parallel", type=int, default=1, metavar="N", help="requests in flight at the same time; default 1")
    add("--overwrite", action="store_true", help="replace videos of other requests")
    add("--retries", type=int, default=3, metavar="N", help="further attempts after a lost connection; default 3")
    add(
        "--backoff-initial", type=float, default=1.5, metavar="S", help="seconds before the second attempt; default 1.5"
    )
    add("--backoff-multiplier", type=float, default=2.0, metavar="X", help="of the pause, each time; default 2")
    add("--jitter", type=float, default=0.5, metavar="S", help="up to so many seconds more, at random; default 0.5")
    add("--poll-interval", type=float, default=5.0, metavar="S", help="seconds between reports; default 5")
    add("--result-timeout", type=float, default=120.0, metavar="S", help="seconds to fetch a result; default 120")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    _check(options)
    from cosmos_exp.remote.request_batch import Batch, planned
    from cosmos_exp.remote.server_client import checked_endpoint, token_of_environment

    url, token = checked_endpoint(options.endpoint), token_of_environment()
    wanted = planned(_requests(options), options.output, overwrite=options.overwrite)
    return Batch(url, token, _waiting(options), options.parallel).run(wanted)


def _check(options: Namespace) -> None:
    """Raises ValidationErrors with every value that cannot be."""
    errors = []
    for name, least in (("retries", 0), ("parallel", 1)):
        if getattr(options, name) < least:
            errors.append(f"--{name} {getattr(options, name)}: {least} or more")
    for name in ("backoff_initial", "backoff_multiplier", "jitter"):
        if not 0 <= getattr(options, name) < math.inf:
            errors.append(f"--{name.replace('_', '-')} {getattr(options, name):g}: 0 or more, and finite")
    for name in ("poll_interval", "result_timeout"):
        if not 0 < getattr(options, name) < math.inf:
            errors.append(f"--{name.replace('_', '-')} {getattr(options, name):g}: above 0, and finite")
    if options.seeds is not None and options.seed is not None:
        errors.append("--seed and --seeds: give one of them")
    if options.seeds is not None and not re.fullmatch(r"\d+(,\d+)*", options.seeds):
        errors.append(f"--seeds {options.seeds!r}: whole numbers of 0 or more with commas, such as 512,1024")
    if errors:
        raise ValidationErrors(errors)


def _requests(options: Namespace) -> list[VideoRequest]:
    """Of every file and seed. Raises ValidationErrors with the mistakes of all files."""
    from cosmos_exp.remote.request_file import Overrides, read_request

    videos = {name: path for name in VIDEOS if (path := getattr(options, f"{name}_video"))}
    seeds = [int(seed) for seed in options.seeds.split(",")] if options.seeds else [options.seed]
    found, errors = [], []
    for file in options.files:
        first, own = attempt(partial(read_request, file, Overrides(videos, seeds[0]), _check_map))
        errors += own
        if first:
            found += [first, *(first.with_seed(seed) for seed in dict.fromkeys(seeds[1:]))]
    if errors:
        raise ValidationErrors(errors)
    return found


def _check_map(path: Path, frames: int) -> None:
    from cosmos_exp.models.dit.map_files import read_map

    read_map(path, frames)


def _waiting(options: Namespace) -> Waiting:
    from cosmos_exp.remote.gradio_endpoint import Retry, Waiting

    retry = Retry(options.retries, options.backoff_initial, options.backoff_multiplier, options.jitter)
    return Waiting(retry, options.poll_interval, options.result_timeout)
