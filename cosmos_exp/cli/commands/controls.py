"""`cosmos-exp controls --sensors FILE -o OUT scene=...`: the videos of CARLA's Cosmos exporter, without CARLA."""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_exp.cli.commands.control_set import add_options, read_files, write_videos
from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError


def command_line() -> Parser:
    parser = Parser(
        "controls",
        "Draw the control videos of a scene for the cameras of a sensor file of CARLA's Cosmos exporter: OUT/rgb.mp4, "
        "depth.mp4, rgb_edges.mp4 and so on, or OUT/camera_0/rgb.mp4 where the file has several cameras.",
    )
    example = "scene=carla_log scene.log=FILE scene.map=FILE, ..."
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="*", help=f"of a run: {example}")
    add_options(parser, "--output", all_frames="all that the scene has")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    from cosmos_exp.config.compose import compose, scene_of

    if options.output.is_file():
        raise UserError(f"--output {str(options.output)!r} is a file, not a folder")
    sensors, classes = read_files(options)
    scene = scene_of(compose(options.overrides))
    for note in (*sensors.notes, *sensors.not_drawn, *classes.notes):
        print(f"note: {note}")
    for path in write_videos(options, scene, sensors, options.output, fps=options.fps, num_frames=options.frames):
        print(path)
    return 0
