"""`cosmos-exp render rds-hq -i ROOT -o OUT`: the HD-map and LiDAR videos of RDS-HQ clips; `render wsm` is its own."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.cli.commands.render_jobs import count_of_workers, lasting_objects, names, numbers, one_of, run
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.input_files import did_you_mean

if TYPE_CHECKING:
    from cosmos_exp.rendering.clips.jobs import JobContext
    from cosmos_exp.scene.rds_hq.datasets import Dataset

CAMERA_TYPES = ("ftheta", "pinhole")
SKIPPABLE = ("hdmap", "lidar")
POST_TRAINING_DATASETS = ("waymo", "waymo_mv", "waymo_mv_short")  # those that the toolkit allows it for


def command_line() -> Parser:
    parser = Parser(
        "render",
        "Draw the HD-map and LiDAR videos of RDS-HQ clips: OUT/<hdmap|lidar>/<camera type>_<camera>/<clip>_<n>.mp4. "
        "Files that are there are overwritten, unless --resume; a file has its name only when it is complete.",
    )
    parser.choice(
        "what",
        ["rds-hq", "wsm"],
        "rds-hq: clips in the RDS-HQ format; wsm: World Scenario maps, `render wsm --help` has its options",
    )
    add = parser.add_argument
    add("-i", "--input", required=True, type=Path, metavar="ROOT", help="the folder that holds pose/, 3d_lanelines/...")
    add("-o", "--output", required=True, type=Path, metavar="OUT", help="folder to write to")
    add("--clip", metavar="ID|FILE.json", help="one clip, or a JSON list of clips; default: all")
    add("--dataset", default="rds_hq", metavar="NAME|FILE.json", help="cameras, layers, sizes, chunks; default rds_hq")
    add("--camera-type", default="ftheta", type=one_of("camera type", CAMERA_TYPES), metavar="|".join(CAMERA_TYPES))
    add("--cameras", metavar="A,B", type=names, help="in place of the dataset's")
    add("--frames", metavar="N,M", type=numbers, help="write these frames as PNGs in place of videos")
    add("--png", action="store_true", help="PNGs in place of videos: of --frames, or of all frames")
    add("--skip", metavar="|".join(SKIPPABLE), type=one_of("kind", SKIPPABLE), action="append", default=[])
    add("--novel-pose-folder", metavar="F", help="camera poses from ROOT/F; the output goes to OUT_F")
    add("--post-training", action="store_true", help="the dataset's other block; also videos/ from the clip's RGB")
    add("--reference-compat", action="store_true", help="with the defects of NVIDIA's toolkit")
    add("--default-intrinsics", metavar="TAR", type=Path, help="f-theta cameras for clips without")
    add("--lossless", action="store_true", help="RGB H.264 at QP 0: exact, but not for browsers")
    add("--workers", metavar="N", type=count_of_workers, help="processes; default: one per core")
    add("--resume", action="store_true", help="leave videos alone that are there")
    return parser


def main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] == "wsm":
        from cosmos_exp.cli.commands.render_wsm import main as render_wsm

        return render_wsm(arguments[1:])
    options = command_line().parse(arguments)
    started = time.monotonic()
    with lasting_objects():
        from cosmos_exp.rendering.clips.jobs import plan

        context = _job_context(options)
        kinds = [kind for kind in SKIPPABLE if kind not in options.skip] + ["videos"] * options.post_training
        jobs, results = plan(context, _clips(options), kinds)
    return run(context, jobs, results, context.out, options.workers, started)


def _job_context(options: argparse.Namespace) -> JobContext:
    from cosmos_exp.rendering.clips.jobs import JobContext
    from cosmos_exp.rendering.clips.videos import REFERENCE_ENCODING, VideoSettings

    settings = VideoSettings(
        dataset=_dataset(options),
        camera_type=options.camera_type,
        pose_folder=options.novel_pose_folder or "pose",
        reference_compat=options.reference_compat,
        encoding=replace(REFERENCE_ENCODING, lossless=options.lossless),
        keep_existing=options.resume,
    )
    out = options.output
    if options.novel_pose_folder:
        out = out.with_name(f"{out.name}_{options.novel_pose_folder}")
    pictures = options.png or options.frames is not None
    return JobContext(options.input, out, settings, pictures, options.frames, options.default_intrinsics)


def _dataset(options: argparse.Namespace) -> Dataset:
    from cosmos_exp.scene.rds_hq.dataset_file import find_dataset

    dataset = find_dataset(options.dataset)
    if options.post_training:
        if options.reference_compat and (
            dataset.name not in POST_TRAINING_DATASETS or options.camera_type != "pinhole"
        ):
            raise UserError(
                "with --reference-compat, --post-training is for pinhole cameras and the datasets "
                f"{', '.join(POST_TRAINING_DATASETS)}; given {options.camera_type}, {dataset.name}"
            )
        dataset = dataset.for_post_training()
    return replace(dataset, cameras=options.cameras) if options.cameras else dataset


def _clips(options: argparse.Namespace) -> list[str]:
    from cosmos_exp.scene.rds_hq.clip import clip_ids

    if options.clip is None:
        return clip_ids(options.input, options.novel_pose_folder or "pose")
    if not options.clip.endswith(".json"):
        return [options.clip]
    from cosmos_exp.common.guards import read_json

    try:
        listed = read_json("list of clips", Path(options.clip))
    except FileNotFoundError:
        raise UserError(f"no such list of clips: {options.clip}{did_you_mean(options.clip)}") from None
    if not isinstance(listed, list) or not listed or not all(isinstance(name, str) for name in listed):
        raise UserError(f"{options.clip} is not a JSON list of clip names")
    return listed
