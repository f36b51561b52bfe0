"""`cosmos-exp reproduce RUN_FOLDER`: rerun from an empty cache, and compare with the folder and with its record."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError

if TYPE_CHECKING:
    from cosmos_exp.pipeline.reproduce import Comparison


def command_line() -> Parser:
    parser = Parser(
        "reproduce",
        "Run a finished run again, with an empty cache, and compare the results with what lies in its folder and with "
        "what its provenance says. Exit status 1 where anything differs.",
    )
    parser.add_argument("folder", metavar="RUN_FOLDER", type=Path)
    parser.add_argument(
        "--tolerance",
        metavar="LEVELS",
        type=float,
        help="mean difference of a video that counts as the same; default: 0, bit for bit, and 2 of 255 on a GPU",
    )
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep the second run there")
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    if options.tolerance is not None and options.tolerance < 0:
        raise UserError(f"--tolerance {options.tolerance:g}: must be 0 (bit for bit) or more")
    if options.keep is not None and options.keep.exists() and any(options.keep.iterdir()):
        raise UserError(f"--keep: {options.keep} is not empty")

    from cosmos_exp.common.progress import ConsoleHandler
    from cosmos_exp.pipeline.reproduce import GPU_TOLERANCE, altered, changed, compare, read_run, rerun

    then, cfg, recorded = read_run(options.folder)
    on_gpu = cfg.hardware.device.startswith("cuda")
    allowed = (GPU_TOLERANCE if on_gpu else 0.0) if options.tolerance is None else options.tolerance
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ConsoleHandler()])
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory(prefix="reproduce_") as to:
        to = Path(to).resolve()
        with then.in_working_folder():
            now = rerun(cfg, to)
        differences = list(changed(recorded, now.read_provenance())) if recorded else []
        results = compare(then, now, recorded, allowed)
    faults = altered(then, recorded)
    for line in [*differences, *faults]:
        print(line)
    _show(results)
    differing = [result.what for result in results if not result.same]
    if not differing and not faults:
        exact = all(result.equal for result in results)
        print(f"reproduced {'bit for bit' if exact else f'within {allowed:g} levels'}: {options.folder}")
        return 0
    reasons = [f"the first result that differs is {differing[0]}"] if differing else []
    reasons += [f"{len(faults)} differences between folder and record, the first: {faults[0]}"] if faults else []
    print(f"not reproduced: {options.folder}; {'; '.join(reasons)}")
    return 1


def _show(results: Sequence[Comparison]) -> None:
    """Every result, and of the files those that differ."""
    from rich.table import Table

    from cosmos_exp.common.console import Console

    table = Table("result", "bit for bit", "mean difference (levels)")
    for result in results:
        if not (result.is_file and result.equal):
            difference = "" if result.difference is None else f"{result.difference:.3f}"
            table.add_row(result.what, "yes" if result.equal else "no", difference)
    Console(markup=False, emoji=False).print(table)
    files = [result.equal for result in results if result.is_file]
    print(f"files in the folder: {sum(files)} of {len(files)} as the new run makes them")
