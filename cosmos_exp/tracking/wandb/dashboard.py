"""The comparison of a sweep as a saved W&B workspace: parallel coordinates, metrics by axis, videos, the joined table.

Built with wandb-workspaces (the extra `dashboard`), from what lies on disk; only saving needs an account. The panels
read what `wandb_folder.py` logs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.metrics.info import metric_info
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.sweep_cells import STYLE_AXIS, Cell, axis_values, find_runs, read_cells
from cosmos_exp.tracking.wandb.run import AXES, FRAME, column, frame_key, media_key

MAX_METRICS = 8  # panels by axis
PANEL_COLUMNS = 24  # of a section


def workspace(folder: Path, *, project: str | None = None, entity: str | None = None) -> Any:
    """wandb_workspaces.Workspace over the runs of a sweep. project, entity: in place of those in the runs' config.

    UserError where the package is absent or there is no run.
    """
    ws, _ = _import_workspaces()
    cells = read_cells(folder)
    runs = [RunFolder(run) for run in find_runs(folder)]
    config = next((run for run in runs if run.config.exists()), None)
    if config is None:
        raise UserError(f"no run in {folder} has a config")
    tracking = config.read_config()["tracking"]
    group = tracking["group"] or folder.resolve().name
    axes = {axis: values for axis, values in axis_values(cells).items() if axis != STYLE_AXIS}
    metrics = list(dict.fromkeys(key for cell in cells for key in cell.metrics if "/" not in key))
    return ws.Workspace(
        entity=entity or tracking["entity"] or "",
        project=project or tracking["project"],
        name=f"{group} comparison",
        sections=[
            _section("Parallel coordinates", [_parallel(axes, metrics)]),
            *(_section(f"By {axis}", _by_axis(axis, values, metrics)) for axis, values in axes.items()),
            *([_section("By frame", curves)] if (curves := _by_frame(runs)) else []),
            _section("Videos", _videos(cells)),
            _section("Table", [_table()]),
        ],
        runset_settings=ws.RunsetSettings(
            filters=[ws.Metric("Group") == group],
            order=[ws.Ordering(ws.Config(f"{AXES}.value.{column(axis)}")) for axis in axes],
            pinned_columns=[
                "run:displayName",
                "run:state",
                *(f"config:{AXES}.value.{column(axis)}" for axis in axes),
                *(f"summary:{_logged(metric)}" for metric in metrics[:MAX_METRICS]),
            ],
        ),
    )


def spec(workspace: Any) -> dict[str, Any]:
    """What W&B stores of a workspace, as plain JSON values."""
    return workspace._to_model().spec.model_dump(by_alias=True, exclude_none=True)


def save(workspace: Any) -> str:
    """Save the workspace as a new view, under the login's own name where it has no entity; returns its address."""
    import wandb

    try:
        workspace.entity = workspace.entity or wandb.Api().default_entity
        return workspace.save().url
    except (wandb.errors.Error, ValueError) as error:
        raise UserError(f"W&B did not take the dashboard of {workspace.entity}/{workspace.project}: {error}") from error


def _parallel(axes: dict[str, Any], metrics: list[str]) -> Any:
    _, wr = _import_workspaces()
    columns = [wr.ParallelCoordinatesPlotColumn(metric=_axis(axis), display_name=axis) for axis in axes]
    for metric in metrics[:MAX_METRICS]:
        info = metric_info(metric)
        logged = wr.SummaryMetric(_logged(metric))
        turned = True if info.direction == "down" else None  # so that better is up
        columns.append(wr.ParallelCoordinatesPlotColumn(metric=logged, display_name=info.label, inverted=turned))
    return wr.ParallelCoordinatesPlot(columns=columns, layout=wr.Layout(w=PANEL_COLUMNS, h=12))


def _by_axis(axis: str, values: list[Any], metrics: list[str]) -> list[Any]:
    """Per metric the mean of each value of the axis with its standard error, and where values are numbers, each run."""
    _, wr = _import_workspaces()
    numeric = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    panels = []
    for metric in metrics[:MAX_METRICS]:
        title = f"{metric_info(metric).label} by {axis}"
        panels.append(
            wr.BarPlot(
                title=title,
                metrics=[_logged(metric)],
                groupby=_axis(axis),
                groupby_aggfunc="mean",
                groupby_rangefunc="stderr",
                orientation="v",
            )
        )
        if numeric:
            panels.append(wr.ScatterPlot(title=title, x=_axis(axis), y=wr.SummaryMetric(_logged(metric))))
    return panels


def _by_frame(runs: list[RunFolder]) -> list[Any]:
    """Per metric with values of single frames, their curves: a line per run and style."""
    _, wr = _import_workspaces()
    keys: dict[str, dict[str, None]] = {}
    for run in runs:
        for style, series in run.read_frames().items():
            for metric in series:
                keys.setdefault(metric, {})[frame_key(style, metric)] = None
    return [
        wr.LinePlot(title=f"{metric_info(metric).label} by frame", x=FRAME, y=list(logged))
        for metric, logged in keys.items()
    ]


def _videos(cells: list[Cell]) -> list[Any]:
    """Per style the grid, or the single view, of every run, in the order of the axes."""
    _, wr = _import_workspaces()
    what = "grid" if any("grid" in cell.videos for cell in cells) else "single_view"
    return [
        wr.MediaBrowser(
            title=f"{style} by axis",
            media_keys=[media_key(f"{what}/{style}")],
            gallery_axis="run",
            layout=wr.Layout(w=PANEL_COLUMNS, h=14),
        )
        for style in dict.fromkeys(cell.style for cell in cells if cell.style)
    ]


def _table() -> Any:
    _, wr = _import_workspaces()
    return wr.WeavePanelSummaryTable(table_name="comparison", layout=wr.Layout(w=PANEL_COLUMNS, h=14))


def _section(name: str, panels: list[Any]) -> Any:
    ws, _ = _import_workspaces()
    return ws.Section(name=name, panels=panels, is_open=True)


def _axis(axis: str) -> Any:
    _, wr = _import_workspaces()
    return wr.Config(f"{AXES}.{column(axis)}")


def _logged(metric: str) -> str:
    return f"metrics/{metric}"


def _import_workspaces() -> tuple[Any, Any]:
    try:
        import wandb_workspaces.reports.v2 as wr
        import wandb_workspaces.workspaces as ws
    except ImportError as error:
        raise UserError(
            "a W&B dashboard needs the package `wandb-workspaces`: pip install 'cosmos-exp[dashboard]'"
        ) from error
    return ws, wr
