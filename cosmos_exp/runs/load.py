"""Finished runs and sweeps as Python objects, read from disk alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.video import read_video
from cosmos_exp.runs.run_folder import RunFolder, Status, existing_folder
from cosmos_exp.runs.seed_diversity import join_seed_diversity
from cosmos_exp.runs.sweep_cells import Cell, axis_values, read_cells

if TYPE_CHECKING:
    from pandas import DataFrame

GRID = "grid"


class Run:
    """One run folder. folder: its paths and files by name."""

    def __init__(self, folder: RunFolder):
        self.folder = folder

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.status.state})"

    @property
    def path(self) -> Path:
        return self.folder.path

    @property
    def status(self) -> Status:
        """As the run left it, or `killed` where it says `running` and its process is gone."""
        status = self.folder.living_status()
        if status is None:
            raise UserError(f"{self.path} is no run folder: it holds no {self.folder.status.name}")
        return status

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved config as plain values."""
        return self.folder.read_config()

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """{style: {metric: value}}; `metric` for the clip, `metric/view` for one view. Empty before they are there."""
        return self.folder.read_metrics() if self.folder.metrics.exists() else {}

    @property
    def frame_series(self) -> dict[str, dict[str, np.ndarray]]:
        """{style: {metric: float64 [F]}}: values of single frames of the front view, NaN where a frame has none."""
        series = self.folder.read_frames()
        return {style: {k: np.array(v, np.float64) for k, v in found.items()} for style, found in series.items()}

    @cached_property
    def clip(self) -> str:
        """Name of the clip."""
        clips = self.folder.clips()
        if not clips:
            raise UserError(f"{self.path} has no captions yet: the run ended before its first stage")
        return clips[0]

    @property
    def prompts(self) -> dict[str, str]:
        """{style: prompt} of the front view."""
        return self.folder.read_captions(self.clip)

    @property
    def styles(self) -> tuple[str, ...]:
        return tuple(self.prompts)

    @property
    def views(self) -> tuple[str, ...]:
        return tuple(self.config["views"]["names"])

    def video_path(self, view: str | None = None, style: str | None = None) -> Path:
        """The mp4 of a view, or of all in one picture (`grid`). None: the grid, or the front view where there is no
        other; the first style. UserError where there is none."""
        style = self.styles[0] if style is None else style
        if style not in self.styles:
            raise UserError(unknown_name("style of this run", style, self.styles))
        several = self.folder.grid(self.clip, style).exists()
        view = (GRID if several else self.views[0]) if view is None else view
        choices = (*self.views, GRID) if several else self.views[:1]
        if view not in choices:
            raise UserError(unknown_name("view of this run", view, choices))
        if view == GRID:
            path = self.folder.grid(self.clip, style)
        elif several:
            path = self.folder.view(self.clip, style, self.views.index(view))
        else:
            path = self.folder.single_view(self.clip, style)
        return _existing(path)

    def video(self, view: str | None = None, style: str | None = None) -> np.ndarray:
        """uint8 [F,H,W,3] RGB, decoded from the mp4; see `video_path`."""
        return read_video(self.video_path(view, style))

    def control(self, name: str, view: str | None = None) -> np.ndarray:
        """uint8 [F,H,W,3]: a control, or a preview such as rgb, of a view; None: of the front view."""
        path = self.folder.control(name, self.views[0] if view is None else view, self.clip)
        if not path.exists():
            there = sorted({p.parent.parent.name for p in self.path.glob(f"*/*/{self.clip}_0.mp4")})
            raise UserError(unknown_name("control video of this run", name, there))
        return read_video(path)


class Sweep:
    """The run folders in and below a folder: a sweep's, or any that holds runs."""

    def __init__(self, path: Path):
        self.path = path

    def __repr__(self) -> str:
        return f"Sweep({str(self.path)!r}, {len(self.cells)} cells)"

    @property
    def cells(self) -> list[Cell]:
        """One per run and style, with what differs between the runs as `axes`; read anew each time. Seed diversity as
        `cosmos-exp compare` has measured it."""
        return join_seed_diversity(self.path, read_cells(self.path), measure=False)

    @property
    def axes(self) -> dict[str, list[Any]]:
        """{swept key: its values}."""
        return axis_values(self.cells)

    def runs(self) -> Iterator[Run]:
        """Of the cells that have a folder, each once, in their order."""
        for name in dict.fromkeys(cell.run for cell in self.cells if cell.run):
            yield Run(RunFolder(self.path / name))

    def rows(self) -> list[dict[str, Any]]:
        """One plain dict per cell, see `Cell.row`."""
        return [cell.row() for cell in self.cells]

    def to_frame(self) -> DataFrame:
        """`rows` as a pandas DataFrame. UserError where pandas is not installed."""
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise UserError("to_frame() needs pandas: pip install 'cosmos-exp[frame]'; rows() needs nothing") from error
        return DataFrame(self.rows())


def load_run(folder: Path | str) -> Run:
    """Raises UserError for a folder that is not a run's."""
    run = Run(RunFolder(existing_folder(folder)))
    _ = run.status
    return run


def load_sweep(folder: Path | str) -> Sweep:
    """Raises UserError for a folder without runs."""
    sweep = Sweep(Path(folder))
    _ = sweep.cells
    return sweep


def _existing(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"no video at {path}: the run has not come so far")
    return path
