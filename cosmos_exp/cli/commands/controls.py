"""`cosmos-exp controls --sensors FILE -o OUT scene=...`: the videos of CARLA's Cosmos exporter, without CARLA."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError


def command_line() -> Parser:
    parser = Parser(
        "controls",
        "Draw the control videos of a scene for the cameras of a sensor file of CARLA's Cosmos exporter: OUT/rgb.mp4, "
        "depth.mp4, rgb_edges.mp4 and so on, or OUT/camera_0/rgb.mp4 where the file has several cameras.",
    )
    add = parser.add_argument
    add("overrides", metavar="OVERRIDE", nargs="*", help="of a run: scene=carla_log scene.log=FILE scene.map=FILE, ...")
    add("--sensors", required=True, metavar="FILE", help="YAML list of sensors")
    add("--class-filter-config", metavar="FILE", default="carla", help="YAML of class colours; default: the usual ones")
    add("-o", "--output", required=True, type=Path, metavar="OUT", help="folder of the videos")
    add("--fps", type=float, default=24.0, help="frames per second; default 24")
    add("--frames", type=int, metavar="N", help="number of frames; default: all that the scene has")
    add("--lossless", action="store_true", help="exact to the bit, but not playable in browsers")
    add("--reference-compat", action="store_true", help="with the defects of CARLA's exporter")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    from cosmos_exp.common.progress import steps
    from cosmos_exp.common.video import Encoding
    from cosmos_exp.config.compose import compose, scene_of
    from cosmos_exp.controls.carla_set import write_control_set
    from cosmos_exp.controls.class_filter import CANNY, SHADED, find_filter
    from cosmos_exp.sensors.carla_yaml import read_carla_sensors

    if options.output.is_file():
        raise UserError(f"--output {str(options.output)!r} is a file, not a folder")
    sensors, classes = read_carla_sensors(options.sensors), find_filter(options.class_filter_config)
    classes.required(CANNY)
    classes.required(SHADED)
    scene = scene_of(compose(options.overrides))
    for note in (*sensors.notes, *sensors.not_drawn, *classes.notes):
        print(f"note: {note}")
    params = {"class_filter": options.class_filter_config, "reference_compat": options.reference_compat}
    with steps("controls") as tick:
        files = write_control_set(
            scene,
            sensors,
            options.output,
            fps=options.fps,
            num_frames=options.frames,
            edge=params,
            seg=params,
            encoding=Encoding(lossless=options.lossless),
            progress=tick,
        )
    for path in files:
        print(path)
    return 0
