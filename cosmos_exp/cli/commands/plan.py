"""`cosmos-exp plan OVERRIDE ...`: what a run or sweep would compute, in what time and on how much disk."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cosmos_exp.cli.commands.parser import Parser
from cosmos_exp.common.errors import UserError

if TYPE_CHECKING:
    from cosmos_exp.sweeps.plan import Plan, PlannedCell, StagePlan

ASK_ABOVE = 1.0  # hours
MOST_CELLS = 40  # listed
WIDTH = 160  # where there is no terminal


def command_line() -> Parser:
    parser = Parser("plan", "What a run or a sweep would compute, how long it takes, and how much disk.")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="as for a run, with +sweep=NAME or a=1,2")
    parser.add_argument("-m", "--multirun", action="store_true", help="comma-separated values are cells")
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="a folder of your own options")
    parser.add_argument("--run", action="store_true", help="then run it")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--ask-above", metavar="HOURS", type=float, default=ASK_ABOVE, help=f"default: {ASK_ABOVE:g} hours"
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    options = command_line().parse(arguments)
    from cosmos_exp.sweeps.compose_cells import compose_cells

    overrides, configs = compose_cells(options.overrides, options.config_dir, multirun=options.multirun)

    from cosmos_exp.sweeps.plan import make_plan, swept_keys

    plan = make_plan(configs)
    _show(plan, swept_keys(overrides))
    if not options.run:
        return 0
    hours = None if plan.seconds is None else plan.seconds / 3600
    if (hours is None or hours > options.ask_above) and not options.yes:
        _ask(hours, options.ask_above)
    from cosmos_exp.cli.main import run

    own = ["--config-dir", str(options.config_dir)] if options.config_dir else []
    return run([*own, *(["-m"] if options.multirun else []), *options.overrides])


def _ask(hours: float | None, above: float) -> None:
    reason = "time unknown" if hours is None else f"{hours:.1f} h, more than {above:g} h"
    if not sys.stdin.isatty():
        raise UserError(f"{reason}: give --yes to run it without being asked, or a higher --ask-above")
    if input(f"{reason}. Run it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UserError("not run")


def _show(plan: Plan, axes: Sequence[dict[str, str]]) -> None:
    from cosmos_exp.common.console import Console
    from cosmos_exp.sweeps.plan import free_bytes

    console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    if len(plan.cells) > 1:
        console.print(_cells(plan.cells, axes))
        if len(plan.cells) > MOST_CELLS:
            console.print(f"and {len(plan.cells) - MOST_CELLS} more cells")
    console.print(_stages(plan.stages))
    for note in plan.notes:
        console.print(f"scene:    {note}", markup=False)
    for note in plan.cost_notes:
        console.print(f"model:    {note}", markup=False)
    paths = plan.cells[0].config.paths
    same = sum(cell.same_as is not None for cell in plan.cells)
    console.print(
        f"cells:    {len(plan.cells)}" + (f", {len(plan.cells) - same} of them different" if same else "") + "\n"
        f"time:     {_total(plan)}\n"
        f"disk:     {size_text(plan.bytes)}, free {size_text(free_bytes(Path(paths.outputs)))}"
    )


def _total(plan: Plan) -> str:
    if plan.unknown:
        return f"unknown: {', '.join(plan.unknown)} not measured yet in this setting; one cell run alone is enough"
    gpu = f", {plan.gpu_seconds / 3600:.2f} GPU-hours" if plan.gpu_seconds else ""
    scaled = [s.stage for s in plan.stages if s.to_make and s.each and s.each.scaled]
    note = f"; measured at other sizes: {', '.join(scaled)}" if scaled else ""
    return f"{time_text(plan.seconds)}{gpu}, all cells one after another{note}"


def _cells(cells: Sequence[PlannedCell], axes: Sequence[dict[str, str]]):
    from rich.table import Table

    keys = list(dict.fromkeys(key for values in axes for key in values))
    table = Table("cell", *keys, "to make", "about")
    for number, (cell, values) in enumerate(zip(cells, axes)):
        if number == MOST_CELLS:
            break
        stages = ", ".join(dict.fromkeys(wanted.stage for wanted in cell.new)) or "nothing: all is there"
        if cell.same_as is not None:
            stages = f"nothing: the same as {cell.same_as}"
        table.add_row(str(number), *(values.get(key, "") for key in keys), stages, time_text(cell.seconds))
    return table


def _stages(stages: Sequence[StagePlan]):
    from rich.table import Table

    on_gpu = any(stage.gpu_seconds for stage in stages)
    table = Table("stage", "wanted", "cached", "shared", "to make", "each", "time", *["GPU-hours"] * on_gpu, "disk")
    for column in table.columns:
        column.no_wrap = True
    for stage in stages:
        each = time_text(stage.each.seconds) if stage.each else "" if not stage.to_make else "?"
        hours = [f"{stage.gpu_seconds / 3600:.3f}"] * on_gpu
        counts = map(str, (stage.wanted, stage.cached, stage.shared, stage.to_make))
        table.add_row(stage.stage, *counts, each, time_text(stage.seconds), *hours, size_text(stage.bytes))
    return table


def time_text(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size_text(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
