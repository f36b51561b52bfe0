"""What a sweep prints at its end: a table per style, its settings by its metrics, and which are best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from cosmos_exp.common.console import Console
from cosmos_exp.metrics.info import METRIC_INFO, metric_info
from cosmos_exp.runs.summary import ARROWS
from cosmos_exp.runs.sweep_cells import Cell, axis_values
from cosmos_exp.tracking.comparison.answer import Answer, axis_labels, value_text
from cosmos_exp.tracking.comparison.settings import (
    OF_ALL_SEEDS,
    Ranking,
    Setting,
    default_objective,
    first_columns,
    rank,
    settings_of,
)

MOST_SETTINGS = 24
"""Rows; a larger table is for the page."""
EXPLAIN = "what a metric means: cosmos-exp explain METRIC"
FILE_WIDTH = 150
"""Characters of a line in a file or a pipe, which have no width."""


def table_console() -> Console:
    """Of standard output, wide enough for a table where that is no terminal."""
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    return console


def print_summary(cells: Sequence[Cell]) -> None:
    """Print the table and the answer of each style to standard output; nothing where there is a single setting or no
    metric. The page has further metrics."""
    console = table_console()
    measured = [name for name in METRIC_INFO if any(name in cell.metrics for cell in cells)]
    metrics = first_columns(measured) + [name for name in OF_ALL_SEEDS if name in measured]
    objective = default_objective(measured)
    tables = {style: settings for style, settings in settings_of(cells).items() if len(settings) > 1 and metrics}
    for style, settings in tables.items():
        rankings = {metric: rank(settings, metric) for metric in metrics}
        console.print(settings_table(style, settings, rankings))
        if objective:
            said = Answer(axis_values(list(cells)), objective).sentence(settings)
            console.print(said, highlight=False, soft_wrap=True)
        if any(rankings.values()):
            console.print(_legend(rankings), highlight=False, soft_wrap=True)
        if len(settings) > MOST_SETTINGS:
            console.print(f"and {len(settings) - MOST_SETTINGS} more settings, on the page", highlight=False)
    if tables:
        console.print(EXPLAIN, highlight=False)


def settings_table(style: str, settings: Sequence[Setting], rankings: Mapping[str, Ranking | None]) -> Table:
    """One row per setting: its axes that vary, then its means; ★ best, ≈ not told apart from the best."""
    axes = [axis for axis, values in axis_values([c for s in settings for c in s.cells]).items() if len(values) > 1]
    axes = [axis for axis in axes if axis in settings[0].axes]
    labels = axis_labels(axes)
    table = Table(title=style, title_justify="left")
    for axis in axes:
        table.add_column(labels[axis])
    for metric in rankings:
        info = metric_info(metric)
        table.add_column(f"{info.label} {ARROWS.get(info.direction, '')}".strip(), justify="right")
    for setting in settings[:MOST_SETTINGS]:
        values = [_value(setting, metric, ranking) for metric, ranking in rankings.items()]
        table.add_row(*(value_text(setting, axis) for axis in axes), *values)
    return table


def _value(setting: Setting, metric: str, ranking: Ranking | None) -> str:
    found = setting.estimate(metric)
    if found is None:
        return "-"
    mark = ""
    if ranking and ranking.count > 1:
        if setting is ranking.best:
            mark = "≈ " if ranking.ties else "★ "
        elif any(setting is tie for tie in ranking.ties):
            mark = "≈ "
    return f"{mark}{found.mean:.3f}"


def _legend(rankings: Mapping[str, Ranking | None]) -> str:
    told = [ranking for ranking in rankings.values() if ranking and ranking.count > 1]
    if not told:
        return "one scene and one seed: what differs may be chance, so nothing is marked as best"
    fewest = min(told, key=lambda ranking: ranking.count)
    return f"★ best, ≈ not told apart from the best: paired over {fewest.count} {fewest.unit}, Holm-corrected"
