"""`cosmos-exp convert waymo`: segments of the Waymo Open Dataset as RDS-HQ clips; `convert checkpoint` is its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError, unknown_name


def command_line() -> Parser:
    parser = Parser(
        "convert",
        "Segments of the Waymo Open Dataset (perception, v2 tables; maps from the v1 TFRecords) as RDS-HQ clips.",
    )
    parser.choice(
        "format", ["waymo", "checkpoint"], "what the input is; `convert checkpoint --help` has its own options"
    )
    parser.add_argument("-i", "--input", required=True, metavar="DIR", help="folder with a folder per v2 component")
    parser.add_argument("-o", "--output", required=True, metavar="ROOT", help="RDS-HQ folder to write clips to")
    parser.add_argument("--segment", metavar="ID", help="one segment; by default all")
    parser.add_argument("--maps", metavar="DIR", help="folder of the v1 *.tfrecord files; by default the input folder")
    parser.add_argument("--without-map", action="store_true", help="write clips with empty map layers")
    parser.add_argument("--videos", default="all", metavar="all|front|none", help="cameras whose images become videos")
    return parser


def main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] == "checkpoint":
        from cosmos_exp.cli.commands.convert_checkpoint import main as convert_checkpoint

        return convert_checkpoint(arguments[1:])
    options = command_line().parse(arguments)
    from cosmos_exp.scene.waymo.convert import VIDEOS, Summary, convert_segment
    from cosmos_exp.scene.waymo.tables import segments

    if options.videos not in VIDEOS:
        raise UserError(unknown_name("value of --videos", options.videos, VIDEOS))
    tables = Path(options.input)
    names = segments(tables)
    if options.segment is not None:
        if options.segment not in names:
            raise UserError(unknown_name(f"segment in {tables}", options.segment, names))
        names = [options.segment]

    def report(summary: Summary) -> None:
        elements = ", ".join(f"{count} {layer}" for layer, count in summary.map_elements.items() if count)
        print(
            f"{summary.clip_id}: {summary.frames} frames, {len(summary.cameras)} cameras, {summary.objects} objects, "
            f"{summary.sweeps} LiDAR sweeps, {elements or 'no map'}"
        )
        if summary.left_out:
            print("  left out: " + ", ".join(f"{n} {name}" for name, n in sorted(summary.left_out.items())))

    for name in names:
        maps = Path(options.maps) if options.maps else None
        options_of_clip = {"maps": maps, "without_map": options.without_map, "videos": options.videos}
        report(convert_segment(tables, name, Path(options.output), **options_of_clip))
    return 0
