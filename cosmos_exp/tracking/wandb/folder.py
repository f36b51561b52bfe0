"""A run folder as an offline W&B run, from what lies on disk alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.runs.states import DONE
from cosmos_exp.runs.sweep_cells import SEARCH, read_overrides, searched_keys, sweep_cells
from cosmos_exp.tracking.wandb.run import ComparisonRow, log_run

MAX_NAME = 128  # characters that W&B takes


def log_folder(
    folder: RunFolder,
    *,
    state: str = DONE,
    error: str = "",
    project: str | None = None,
    entity: str | None = None,
) -> Path:
    """Write the folder's offline W&B run, in a sweep as one of a group with the swept values as axes; returns where.

    state, error: how the run ended; of one that is not done, what there is is logged and marked as failed. project,
    entity: in place of those in its config. FileNotFoundError where a video of a finished run is missing.
    """
    cfg, status = folder.read_config(), folder.require_status()
    tracking, sweep = cfg["tracking"], _sweep(folder.path)
    done = state == DONE
    axes = swept_values(folder.path) if sweep else {}
    absent = folder.read_not_measured()
    written = {name: record for clip in folder.clips() for name, record in folder.read_rewrites(clip).items()}
    choices = folder.read_filter()
    chosen = {style: {"by": own.by, "favoured": own.record()["favoured"]} for style, own in choices.items()}
    prompts, videos, rows = _results(folder, cfg, partial=not done)
    for key, value in status.in_effect.items():
        group, _, name = key.partition(".")
        cfg[group][name] = value
    return log_run(
        folder.path,
        run_id=status.run_id,
        project=project or tracking["project"],
        name=run_name(folder.path, axes),
        entity=entity or tracking["entity"],
        group=tracking["group"] or sweep,
        tags=[*tracking["tags"], cfg["scene"]["name"], cfg["model"]["name"]],
        config=cfg
        | {"effective_weights": status.weights}
        | ({"not_measured": absent} if absent else {})
        | ({"rewrites": written} if written else {})
        | ({"chosen": chosen} if chosen else {}),
        axes=axes,
        metrics=folder.read_metrics() if done or folder.metrics.exists() else {},
        references=folder.read_references(),
        frames=folder.read_frames(),
        choices=choices,
        prompts=prompts,
        videos=videos,
        rows=rows,
        error=error if error or done else state,
        exit_code=0 if done else 1,
    )


def run_name(run: Path, axes: dict[str, Any]) -> str:
    """What W&B shows below each curve and video: the folder's name, in a sweep the swept values before it."""
    values = [f"{key.partition('.')[2] or key}={value}" for key, value in axes.items()]
    return " ".join([*values, f"#{run.name}" if values else run.name])[-MAX_NAME:]


def _results(
    folder: RunFolder, cfg: dict[str, Any], *, partial: bool
) -> tuple[dict[str, str], dict[str, Path], list[ComparisonRow]]:
    """Prompts by style, videos by key, rows of the table; partial: of those that are there."""
    used = [name for name, control in cfg["controls"].items() if control["weight"] > 0]
    views = cfg["views"]["names"]
    prompts: dict[str, str] = {}
    videos: dict[str, Path] = {}
    rows = []
    for clip in folder.clips():
        captions = folder.read_captions(clip)
        prompts |= captions
        drawn = {name: folder.control(name, views[0], clip) for name in (*used, *(f"{name}_weight" for name in used))}
        drawn = {name: path for name, path in drawn.items() if path.exists()}  # some models read none
        controls = {name: drawn[name] for name in used if name in drawn}
        videos |= {f"control/{name}": path for name, path in drawn.items()}
        for style in captions:
            single_view, grid = folder.single_view(clip, style), folder.grid(clip, style)
            videos[f"single_view/{style}"] = single_view
            if grid.exists():
                videos[f"grid/{style}"] = grid
                videos |= {f"{view}/{style}": folder.view(clip, style, i) for i, view in enumerate(views)}
            if single_view.exists() or not partial:
                rows.append(ComparisonRow(clip, style, controls, single_view, grid if grid.exists() else None))
    if partial:
        videos = {key: path for key, path in videos.items() if path.exists()}
    return prompts, videos, rows


def _sweep(run: Path) -> str | None:
    """Name of the sweep that a run folder is a cell of."""
    parent = run.resolve().parent
    return parent.name if any((parent / record).exists() for record in ("multirun.yaml", SEARCH)) else None


def swept_values(run: Path) -> dict[str, Any]:
    """{key: value} of what the sweep or search around this run folder varies."""
    own, cells, searched = read_overrides(run), sweep_cells(run.parent), searched_keys(run.parent)
    return {k: value for k, value in own.items() if k in searched or any(cell.get(k) != value for cell in cells)}
