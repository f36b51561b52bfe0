"""`cosmos-exp distance SWEEP --to RENDERED`: FID and FVD of every setting of a sweep to another set of videos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from cosmos_exp.metrics.distribution import Detector
    from cosmos_exp.runs.sweep_cells import Cell
    from cosmos_exp.tracking.comparison.settings import Setting


def command_line() -> Parser:
    parser = Parser(
        "distance",
        "FID and FVD, the Frechet distances between the videos of every setting of a sweep and those of other runs in "
        "the same style, such as a sweep with model=render over the same scenes. The networks are files of your own: "
        "nothing is downloaded.",
    )
    parser.add_argument("folder", metavar="SWEEP_FOLDER", type=Path)
    parser.add_argument("--to", metavar="FOLDER", type=Path, required=True, help="runs to compare with")
    parser.add_argument("--fid", metavar="FILE", type=Path, help="inception-2015-12-05.pt of StyleGAN3, as TorchScript")
    parser.add_argument("--fvd", metavar="FILE", type=Path, help="i3d_torchscript.pt")
    parser.add_argument("--device", default="cpu", help="where the networks run, by default the CPU")
    return parser


def main(arguments: Sequence[str]) -> int:
    from rich.table import Table

    from cosmos_exp.metrics.distribution import load_detector
    from cosmos_exp.runs.sweep_cells import read_cells
    from cosmos_exp.tracking.comparison.settings import settings_of
    from cosmos_exp.tracking.comparison.summary import table_console

    options = command_line().parse(arguments)
    files = {kind: path for kind, path in (("fid", options.fid), ("fvd", options.fvd)) if path}
    if not files:
        raise UserError("distance: give --fid FILE, --fvd FILE or both")
    detectors = [load_detector(kind, path, options.device) for kind, path in files.items()]
    others = settings_of(read_cells(options.to))
    for style, settings in settings_of(read_cells(options.folder)).items():
        references = [cell for setting in others.get(style, []) for cell in setting.cells if _paths(cell)]
        if not references:
            raise UserError(f"{options.to}: no videos in the style {style}; there are: {', '.join(others)}")
        table = Table(title=escape(f"{style}: distance to {options.to}"), title_justify="left")
        for name in ("setting", "videos", *(f"{kind.upper()} ↓" for kind in files)):
            table.add_column(name)
        for row in _rows(settings, references, detectors):
            table.add_row(*row)
        table_console().print(table)
    return 0


def _rows(
    settings: Sequence[Setting], references: Sequence[Cell], detectors: Sequence[Detector]
) -> Iterator[list[str]]:
    """Of each setting: its name, its number of videos, a distance for each detector; none where it has no video."""
    from cosmos_exp.metrics.distribution import set_features
    from cosmos_exp.metrics.frechet import frechet_distance

    expected = [set_features(detector, _videos(references)) for detector in detectors]
    for setting in settings:
        name = ", ".join(f"{axis}={value}" for axis, value in setting.axes.items()) or "all"
        count = sum(len(_paths(cell)) for cell in setting.cells)
        found = [set_features(detector, _videos(setting.cells)) for detector in detectors] if count else []
        distances = [f"{frechet_distance(a, b):.4g}" for a, b in zip(found, expected)]
        yield [escape(name), str(count), *(distances or ["-"] * len(detectors))]


def _videos(cells: Sequence[Cell]) -> Iterator[tuple[Path, np.ndarray]]:
    from cosmos_exp.common.video import read_video

    for cell in cells:
        for path in _paths(cell):
            yield path, read_video(path)


def _paths(cell: Cell) -> list[Path]:
    """The videos of its views, or of its single view."""
    views = [cell.videos[view] for view in cell.views if view in cell.videos]
    return views or [path for name, path in cell.videos.items() if name == "single view"]
