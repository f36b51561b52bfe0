"""`cosmos-exp compare SWEEP_FOLDER`: a page that shows the cells side by side, a picture and a video of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cosmos_exp.cli.commands.parser import Parser


def command_line() -> Parser:
    parser = Parser(
        "compare",
        "Write the page that compares the cells of a sweep and one still of all, and print where they are. Which cells "
        "the still and the video show is for --where, --show and --columns; the page lets its reader choose.",
    )
    parser.add_argument("folder", metavar="SWEEP_FOLDER", type=Path)
    parser.add_argument("--mp4", action="store_true", help="write one video of all cells too, for slides")
    parser.add_argument(
        "--csv", action="store_true", help="write compare.csv too: a row per cell, its axes and metrics"
    )
    parser.add_argument("--parquet", action="store_true", help="the same as compare.parquet; needs pyarrow")
    parser.add_argument(
        "--baseline",
        metavar="AXIS=VALUE",
        default="",
        help="print the paired difference of every setting to this one too; several axes as AXIS=VALUE,AXIS=VALUE",
    )
    parser.add_argument(
        "--where",
        metavar="AXIS=VALUE",
        action="append",
        default=[],
        help="only these cells; may be given again, of one axis too",
    )
    parser.add_argument("--show", metavar="VIDEO", default="", help="what each cell shows: grid, single view, a view")
    parser.add_argument("--columns", metavar="AXIS", default="", help="the axis whose values are columns")
    return parser


def main(arguments: Sequence[str]) -> int:
    from cosmos_exp.runs.seed_diversity import join_seed_diversity
    from cosmos_exp.runs.sweep_cells import read_cells
    from cosmos_exp.tracking.comparison.compare import (
        write_grid_image,
        write_grid_video,
        write_page,
        write_parquet,
        write_table,
    )
    from cosmos_exp.tracking.comparison.differences import print_differences
    from cosmos_exp.tracking.comparison.summary import print_summary

    options = command_line().parse(arguments)
    choice = dict(where=options.where, show=options.show, column=options.columns)
    cells = join_seed_diversity(options.folder, read_cells(options.folder))
    print_summary(cells)
    if options.baseline:
        print_differences(cells, options.baseline)
    print(write_page(options.folder, cells))
    print(write_grid_image(options.folder, cells, **choice))
    if options.mp4:
        print(write_grid_video(options.folder, cells, **choice))
    if options.csv:
        print(write_table(options.folder, cells))
    if options.parquet:
        print(write_parquet(options.folder, cells))
    return 0
