"""What a sweep prints at its end: its cells by their metrics, and per style its settings and which are best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from cosmos_exp.common.console import Console
from cosmos_exp.metrics.info import METRIC_INFO, metric_info
from cosmos_exp.runs.states import DONE
from cosmos_exp.runs.summary import ARROWS
from cosmos_exp.runs.sweep_cells import Cell, axis_values
from cosmos_exp.tracking.comparison.answer import Answer, axis_labels, choices, not_measured, value_text
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
    """Print the table of the cells to standard output where several make up a setting, and the table and the answer of
    each style; nothing where there is a single cell or no metric. The page has further metrics."""
    console = table_console()
    measured = [name for name in METRIC_INFO if any(name in cell.metrics for cell in cells)]
    metrics = first_columns(measured) + [name for name in OF_ALL_SEEDS if name in measured]
    objective = default_objective(measured)
    if metrics and any(len(s.cells) > 1 for settings in settings_of(cells).values() for s in settings):
        console.print(cells_table(cells, metrics))
        if len(cells) > MOST_SETTINGS:
            console.print(f"and {len(cells) - MOST_SETTINGS} more cells, on the page")
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
    for sentence in [*not_measured(cells), *choices(cells)]:
        console.print(sentence, highlight=False, soft_wrap=True)
    if tables:
        console.print(EXPLAIN, highlight=False)


def cells_table(cells: Sequence[Cell], metrics: Sequence[str]) -> Table:
    """One row per cell: the axes that vary, the metrics, the state where it is not done."""
    axes = [axis for axis, values in axis_values(list(cells)).items() if len(values) > 1]
    labels, table = axis_labels(axes), Table(title="cells", title_justify="left")
    for axis in axes:
        table.add_column(labels[axis])
    for metric in metrics:
        table.add_column(metric_info(metric).label, justify="right")
    for cell in cells[:MOST_SETTINGS]:
        values = [f"{cell.metrics[metric]:.3f}" if metric in cell.metrics else "-" for metric in metrics]
        if cell.state != DONE and values:
            values[0] = cell.state
        table.add_row(*(str(cell.axes.get(axis, "")) for axis in axes), *values)
    return table


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
