"""What the commands `controls` and `capture` share: sensor file, class filter, and how the videos are written."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosmos_exp.cli.commands.parser import Parser

if TYPE_CHECKING:
    from cosmos_exp.controls.class_filter import ClassFilter
    from cosmos_exp.scene.types import Scene
    from cosmos_exp.sensors.carla_yaml import CarlaSensors


def add_options(parser: Parser, output: str, *, all_frames: str) -> None:
    """output: the long name of the folder's option. all_frames: what no `--frames` means."""
    add = parser.add_argument
    add("--sensors", required=True, metavar="FILE", help="YAML list of sensors")
    add("--class-filter-config", metavar="FILE", default="carla", help="YAML of class colours; default: the usual ones")
    add("-o", output, required=True, type=Path, metavar="OUT", help="folder of the videos")
    add("--fps", type=float, default=24.0, help="frames per second; default 24")
    add("--frames", type=int, metavar="N", help=f"number of frames, such as 120 or 121; default: {all_frames}")
    add("--wsm", action="store_true", help="wsm.mp4 beside hdmap.mp4, a World Scenario map")
    add("--lossless", action="store_true", help="exact to the bit, but not playable in browsers")
    add("--reference-compat", action="store_true", help="edges and object colours with the defects of CARLA's exporter")


def read_files(options: Namespace) -> tuple[CarlaSensors, ClassFilter]:
    """Of the options. Raises UserError where one cannot be read, or the filter lacks a list that the videos need."""
    from cosmos_exp.controls.class_filter import CANNY, SHADED, find_filter
    from cosmos_exp.sensors.carla_yaml import read_carla_sensors

    sensors, classes = read_carla_sensors(options.sensors), find_filter(options.class_filter_config)
    classes.required(CANNY)
    classes.required(SHADED)
    return sensors, classes


def write_videos(options: Namespace, scene: Scene, sensors: CarlaSensors, out: Path, **more: Any) -> list[Path]:
    """The videos as the options want them; more: of `write_control_set`."""
    from cosmos_exp.common.progress import steps
    from cosmos_exp.common.video import Encoding
    from cosmos_exp.controls.carla_set import write_control_set

    params: Mapping[str, Any] = {
        "class_filter": options.class_filter_config,
        "reference_compat": options.reference_compat,
    }
    encoding = Encoding(lossless=options.lossless)
    with steps("controls") as tick:
        given = {"edge": params, "seg": params, "encoding": encoding, "wsm": options.wsm}
        return write_control_set(scene, sensors, out, progress=tick, **given, **more)
