"""Every setting of a sweep against a chosen one, the baseline: paired differences, their intervals and chances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.metrics.info import METRIC_INFO, metric_info
from cosmos_exp.runs.summary import ARROWS
from cosmos_exp.runs.sweep_cells import Cell
from cosmos_exp.tracking.comparison.settings import Setting, chosen_unequally, settings_of
from cosmos_exp.tracking.comparison.statistics import LEVEL, Interval, holm, independent, mean_interval
from cosmos_exp.tracking.comparison.summary import table_console

LEGEND = (
    "better, worse: at 5 %; chosen: by a metric that took the best of more candidates on one side; p: after Holm, for "
    "all settings of a metric; interval: of one comparison alone"
)


@dataclass(frozen=True)
class Difference:
    """A setting minus the baseline: mean over `count` scenes, or seeds of a single one (`unit`).

    interval: at 95 %, of this comparison alone; None for one scene and seed. p: after Holm, for all settings that are
    compared in the metric; None likewise. unequal: the metric chose among more candidates on one side.
    """

    setting: Setting
    mean: float
    interval: Interval | None
    p: float | None
    count: int
    unit: str
    unequal: bool = False


def differences_to(settings: Sequence[Setting], metric: str, baseline: Setting) -> list[Difference]:
    """Of each other setting that has the metric in a scene and seed of the baseline, in their order."""
    found = []
    for setting in settings:
        pairs = [] if setting is baseline else setting.differences(baseline, metric)
        if pairs:
            values, unit = independent(pairs)
            found.append((setting, values, unit, mean_interval(values)))
    adjusted = iter(holm([interval.p for *_, interval in found if interval]))
    return [
        Difference(
            setting,
            sum(values) / len(values),
            interval,
            next(adjusted) if interval else None,
            len(values),
            unit,
            chosen_unequally([setting, baseline], metric),
        )
        for setting, values, unit, interval in found
    ]


def baseline_of(settings: Sequence[Setting], chosen: str) -> Setting:
    """The one setting that `AXIS=VALUE[,AXIS=VALUE]` names; an axis may go without its group. UserError where it names
    none or several."""
    axes = list(settings[0].axes)
    wanted: dict[str, str] = {}
    for text in chosen.split(","):
        name, equals, value = text.strip().partition("=")
        axis = next((axis for axis in axes if name in (axis, axis.partition(".")[2])), None)
        if not equals:
            raise UserError(f"--baseline: {text!r} is not AXIS=VALUE; axes: {', '.join(axes)}")
        if axis is None:
            raise UserError(unknown_name("axis of --baseline", name, axes))
        values = list(dict.fromkeys(str(setting.axes[axis]) for setting in settings))
        if value not in values:
            raise UserError(unknown_name(f"value of {axis}", value, values))
        wanted[axis] = value
    matching = [s for s in settings if all(str(s.axes[axis]) == value for axis, value in wanted.items())]
    if len(matching) != 1:
        open_axes = [axis for axis in axes if axis not in wanted and len({str(s.axes[axis]) for s in settings}) > 1]
        more = f": give {' and '.join(open_axes)} too" if matching else ""
        raise UserError(f"--baseline={chosen} names {len(matching)} settings, and has to name one{more}")
    return matching[0]


def print_differences(cells: Sequence[Cell], chosen: str) -> None:
    """A table per style to standard output: every metric, every setting against the baseline that `chosen` names."""
    console = table_console()
    metrics = [name for name in METRIC_INFO if metric_info(name).direction]
    for style, settings in settings_of(cells).items():
        if len(settings) < 2:
            raise UserError("--baseline: there is a single setting, and nothing to compare it with")
        baseline = baseline_of(settings, chosen)
        found = {metric: differences_to(settings, metric, baseline) for metric in metrics}
        console.print(differences_table(style, baseline, found))
    console.print(LEGEND, highlight=False, soft_wrap=True)


def differences_table(style: str, baseline: Setting, found: Mapping[str, Sequence[Difference]]) -> Table:
    """One row per metric and setting."""
    shown = [metric for metric, differences in found.items() if differences]
    axes = [
        axis
        for axis in baseline.axes
        if any(d.setting.axes[axis] != baseline.axes[axis] for m in shown for d in found[m])
    ]
    named = ", ".join(f"{axis.partition('.')[2] or axis}={value}" for axis, value in baseline.axes.items())
    table = Table(title=f"{style}: difference to {named}", title_justify="left")
    for title in ("metric", *(axis.partition(".")[2] or axis for axis in axes)):
        table.add_column(title)
    for title in ("difference", "95 % interval", "p", "n"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for metric in shown:
        info = metric_info(metric)
        for row, difference in enumerate(found[metric]):
            label = f"{info.label} {ARROWS[info.direction]}" if row == 0 else ""
            values = (str(difference.setting.axes[axis]) for axis in axes)
            table.add_row(label, *values, *_cells(difference, info.direction))
        table.add_section()
    return table


def _cells(difference: Difference, direction: str) -> tuple[str, str, str, str, str]:
    """Difference, interval, p, n, and whether it is better."""
    count = f"{difference.count} {difference.unit}"
    if difference.interval is None or difference.p is None:
        return f"{difference.mean:+.3f}", "-", "-", count, ""
    verdict = "better" if (difference.mean > 0) == (direction == "up") else "worse"
    verdict = "chosen" if difference.unequal else verdict
    interval = f"{difference.interval.low:+.3f} to {difference.interval.high:+.3f}"
    return f"{difference.mean:+.3f}", interval, f"{difference.p:.3f}", count, verdict if difference.p < LEVEL else ""
