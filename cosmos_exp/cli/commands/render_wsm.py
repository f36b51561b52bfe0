"""`cosmos-exp render wsm -i CLIP -o OUT`: World Scenario videos of ClipGT and RDS-HQ clips."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.cli.commands.render_jobs import count_of_workers, lasting_objects, names, numbers, run
from cosmos_exp.common.errors import UserError, unknown_name


def command_line() -> Parser:
    parser = Parser(
        "render wsm",
        "Draw the World Scenario videos of clips, control of Cosmos-Transfer2.5 and Cosmos3: "
        "OUT/<clip>/<clip>.<camera>.mp4. Files that are there are overwritten, unless --resume; a file has its name "
        "only when it is complete.",
    )
    add = parser.add_argument
    add("-i", "--input", required=True, type=Path, metavar="CLIP", help="a ClipGT clip, a folder of them, or RDS-HQ")
    add("-o", "--output", required=True, type=Path, metavar="OUT", help="folder to write to")
    add("--clip", metavar="ID", help="one clip; default: all")
    add("--cameras", metavar="A,B", type=names, help="with colons or underscores; default: all that the clip has")
    add("--size", metavar="WxH", type=_size, default=(1280, 720), help="of the videos; default 1280x720")
    add("--frames", metavar="N,M", type=numbers, help="write these frames as PNGs in place of videos")
    add("--png", action="store_true", help="PNGs in place of videos: of --frames, or of all frames")
    add("--reference-compat", action="store_true", help="with the defects of NVIDIA's renderer")
    add("--default-intrinsics", metavar="TAR", type=Path, help="f-theta cameras for RDS-HQ clips without")
    add("--scale-widths", action="store_true", help="widths of lines as in 1280 pixels, shrunk with the picture")
    add("--lossless", action="store_true", help="RGB H.264 at QP 0: exact, but not for browsers")
    add("--workers", metavar="N", type=count_of_workers, help="processes; default: one per core")
    add("--resume", action="store_true", help="leave files alone that are there")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    started = time.monotonic()
    with lasting_objects():
        from cosmos_exp.rendering.clips.videos import REFERENCE_ENCODING
        from cosmos_exp.rendering.wsm.drawing import warm_up
        from cosmos_exp.rendering.wsm.sources import find_clips
        from cosmos_exp.rendering.wsm.videos import WsmContext

        clips = find_clips(options.input)
        if options.clip is not None:
            if options.clip not in clips:
                raise UserError(unknown_name(f"clip in {options.input}", options.clip, clips))
            clips = {options.clip: clips[options.clip]}
        images = options.png or options.frames is not None
        _check_even(options, images)
        context = WsmContext(
            clips,
            options.output,
            size=options.size,
            cameras=options.cameras,
            reference_compat=options.reference_compat,
            images=images,
            frames=options.frames,
            keep_existing=options.resume,
            encoding=replace(REFERENCE_ENCODING, lossless=options.lossless),
            default_ftheta=options.default_intrinsics,
            scaled=options.scale_widths,
        )
        jobs, results = context.plan()
        if jobs:
            warm_up()  # once, and not in every process
    return run(context, jobs, results, context.out, options.workers, started)


def _check_even(options: argparse.Namespace, images: bool) -> None:
    width, height = options.size
    if (width % 2 or height % 2) and not (images or options.lossless):
        nearest = f"{width + width % 2}x{height + height % 2}"
        raise UserError(f"--size {width}x{height}: videos have even sides, the nearest is {nearest}; --png has no rule")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", text)
    if not match or not all(8 <= int(side) <= 8192 for side in match.groups()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1280x720, with 8 to 8192 pixels each way")
    return int(match[1]), int(match[2])
