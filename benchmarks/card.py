"""The figures of a video model's card, beside other models on the same scenes, and a page of pictures.

python -m benchmarks.card [OVERRIDE ...] [--models nano nano_fast] [--scenes 16] [--seeds 2] [--styles Sunny Snowy ...]
                          [--folder F]

Held-out scenes in the styles, with noise seeds, as a sweep for each model: its cells are cached, kept in the folder
and resumed. A figure is a mean over scenes with its 95 % interval, each scene the mean of its styles and seeds. Ratios
are to the ceiling, the renderer's own picture. Of six views, those at the sides and the rear count by themselves.
F/pictures.html shows the middle frame of every scene and style: the render, then the models.

On two cores: --scenes 2 --seeds 1 --styles Sunny Snowy, about three minutes for nano_fast.
"""

from __future__ import annotations

import argparse
import html
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

import cosmos_exp as cx
from benchmarks.behaviour import Rows, Scenes, Value, metric, of_scenes
from cosmos_exp.common.styles import STYLES
from cosmos_exp.common.video import middle_frame
from cosmos_exp.common.views import VIEWS
from cosmos_exp.models.config import ModelConfig
from cosmos_exp.runs.sweep_cells import Cell
from cosmos_exp.tracking.comparison.statistics import mean_interval
from cosmos_exp.train.rendering import HELD_OUT_SEED

FRONT = VIEWS[0]
RENDER = "render"
HEAD = '<!doctype html><meta charset="utf-8"><title>pictures</title><style>img { max-width: 100% }</style>'


@dataclass(frozen=True)
class Figure:
    """What a card states. wanted: of the nano model."""

    text: str
    value: Value
    wanted: str = ""


def of_views(front: bool) -> Value:
    """PSNR of the front view, or the mean of the others; none where there are no others."""

    def value(row: dict[str, Any]) -> float | None:
        found = {key.removeprefix("psnr/"): row[key] for key in row if key.startswith("psnr/")} or {FRONT: row["psnr"]}
        chosen = [number for view, number in found.items() if (view == FRONT) == front and number is not None]
        return float(np.mean(chosen)) if chosen else None

    return value


def of_ceiling(*keys: str) -> Value:
    """The mean of the metrics that there are, over that of their ceilings."""

    def value(row: dict[str, Any]) -> float | None:
        pairs = [(row.get(key), row.get(f"ceiling/{key}")) for key in keys]
        both = [(own, ceiling) for own, ceiling in pairs if own is not None and ceiling is not None]
        best = sum(ceiling for _, ceiling in both)
        return sum(own for own, _ in both) / best if best else None

    return value


LARGER = ("object_recall/medium", "object_recall/large")
FIGURES = (
    Figure("PSNR, front view, dB", of_views(front=True), "≥ 23"),
    Figure("PSNR, side and rear views, dB", of_views(front=False), "≥ 20.5"),
    Figure("object recall, 12 pixels and more, of the ceiling", of_ceiling(*LARGER), "≥ 0.6"),
    Figure("object recall, smaller, of the ceiling", of_ceiling("object_recall/small")),
    Figure("lane lines shown", metric("lane_survival")),
    Figure("objects shown", metric("object_survival")),
    Figure("mask mIoU, of the ceiling", of_ceiling("mask_miou")),
    Figure("flicker, of the ceiling", of_ceiling("flicker"), "≤ 1.5"),
    Figure("cross-view Sampson error, of the ceiling", of_ceiling("cse"), "≤ 1.5"),
    Figure("style matches", metric("style_match")),
    Figure("sharpness, of the render", metric("sharpness")),
)


def told(scenes: Scenes, digits: int = 2) -> str:
    values = list(scenes.values())
    if not values:
        return ""
    text, interval = f"{np.mean(values):.{digits}f}", mean_interval(values) if len(values) > 1 else None
    return text if interval is None else f"{text} ({interval.low:.{digits}f} to {interval.high:.{digits}f})"


def table_of(rows: dict[str, Rows]) -> list[list[str]]:
    """A line per figure: its text, the models' values in their order, what is wanted."""
    return [
        [figure.text, *(told(of_scenes(own, figure.value)) for own in rows.values()), figure.wanted]
        for figure in FIGURES
    ]


def of_every_model(overrides: Sequence[str]) -> list[str]:
    """Without those of keys that one family's `model` group has."""
    known = {f"model.{field.name}" for field in fields(ModelConfig)}
    return [each for each in overrides if not each.startswith("model.") or each.partition("=")[0] in known]


def picture(frames: Sequence[np.ndarray], width: int = 576) -> np.ndarray:
    """Frames beside each other, each `width` pixels wide."""
    sized = [cv2.resize(f, (width, round(width * f.shape[0] / f.shape[1]))) for f in frames]
    height = max(len(f) for f in sized)
    return np.hstack([cv2.copyMakeBorder(f, 0, height - len(f), 0, 4, cv2.BORDER_CONSTANT) for f in sized])


def write_page(cells: dict[str, list[Cell]], folder: Path) -> Path:
    """cells: of the render and the models, with the same scenes and styles. Of noise seeds the first is shown."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    shown: dict[tuple[str, str], dict[str, Path]] = {}
    for name, own in cells.items():
        for cell in own:
            video = cell.videos.get("grid") or cell.videos.get("single view")
            if video is not None:
                shown.setdefault((cell.clip, cell.style), {}).setdefault(name, video)
    parts = [f"<h1>{html.escape(', '.join(cells))}</h1>"]
    for (clip, style), videos in sorted(shown.items()):
        name = f"{clip}_{style.replace(' ', '_')}.jpg"
        made = picture([middle_frame(video) for video in videos.values()])
        cv2.imwrite(str(folder / "pictures" / name), made[..., ::-1])
        title = html.escape(f"{clip}, {style}: {', '.join(videos)}")
        parts.append(f'<h2>{title}</h2><img src="pictures/{html.escape(name)}" alt="{title}">')
    page = folder / "pictures.html"
    page.write_text(HEAD + "\n".join(parts) + "\n")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=["nano", "nano_fast"], help="options of the group model")
    parser.add_argument("--scenes", type=int, default=16, help="held-out procedural scenes")
    parser.add_argument("--seeds", type=int, default=2, help="noise seeds of each")
    parser.add_argument("--styles", nargs="+", choices=STYLES, default=list(STYLES))
    parser.add_argument("--folder", type=Path, default=Path("outputs/card"), help="of the sweeps and the pictures")
    parser.add_argument("overrides", nargs="*", help="of every cell, such as views=single")
    options = parser.parse_args()
    common = [
        *("tracking.mode=disabled", f"captions.styles=[{','.join(options.styles)}]"),
        f"scene.seed={','.join(str(HELD_OUT_SEED + n) for n in range(options.scenes))}",
    ]
    seeds = f"sampler.seed={','.join(map(str, range(options.seeds)))}"

    def cells_of(name: str, *own: str) -> list[Cell]:
        return cx.sweep([*common, f"model={name}", *own, f"hydra.sweep.dir={options.folder / name}"]).cells

    cells = {RENDER: cells_of(RENDER, f"model.like={options.models[-1]}", *of_every_model(options.overrides))}
    cells |= {model: cells_of(model, seeds, *options.overrides) for model in options.models}
    rows = {model: [cell.row() for cell in cells[model]] for model in options.models}
    table = Table("figure", *options.models, "wanted of nano")
    for line in table_of(rows):
        table.add_row(*line)
    console = Console()
    console.print(table)
    console.print(f"pictures: {write_page(cells, options.folder)}")


if __name__ == "__main__":
    main()
