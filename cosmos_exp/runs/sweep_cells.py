"""The cells of a sweep, read back from its run folders: what was asked, what came of it, where the videos are."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.guards import parse_yaml, shortened
from cosmos_exp.common.views import VIEWS
from cosmos_exp.filtering.rule import Choice
from cosmos_exp.metrics.normalised import beside_references
from cosmos_exp.runs.run_folder import RunFolder, Status, existing_folder, read_run_yaml
from cosmos_exp.runs.states import DONE, FAILED, UNREADABLE

log = logging.getLogger(__name__)

STYLES_KEY, STYLE_AXIS, SEED_AXIS = "captions.styles", "style", "sampler.seed"
MISSING = "missing"
SEARCH = "search.json"  # what a search looks for, and where
SELECTION_KEYS = ("sweep", "sweep_name", "name", "experiment")  # pick or name a sweep; no axis of it
EXPONENTIAL = r"[+-]?\d+\.?\d*[eE][+-]?\d+"  # a number for Hydra, a text for YAML 1.1


@dataclass
class Cell:
    """One style of one run folder, or a cell that the sweep asked for and that has no folder.

    run: folder relative to the compared one. axes: {swept key: value}. state: one of a run's (`Status.state`), missing,
    or unreadable. metrics: {key: value}. not_measured: {metric: why it has no value}.
    references: {key: {"ceiling", "floor": value}}, either may be missing.
    weights: {network: {control: weight}} as they count, empty where they count as given. videos: {what it shows: path}.
    views: in the order of the run. controls: {control: {view: path}}. labels: {view: path} of the videos that lay label
    verdicts over the generated ones. choice: which of several candidates it shows; None where there was one.
    """

    run: str
    axes: dict[str, Any]
    state: str
    style: str = ""
    clip: str = ""
    prompt: str = ""
    error: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    not_measured: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    weights: dict[str, dict[str, float]] = field(default_factory=dict)
    videos: dict[str, Path] = field(default_factory=dict)
    views: list[str] = field(default_factory=list)
    controls: dict[str, dict[str, Path]] = field(default_factory=dict)
    labels: dict[str, Path] = field(default_factory=dict)
    choice: Choice | None = None

    def row(self) -> dict[str, Any]:
        """As a plain dict: run, state, style, the axes, the metrics, then `ceiling/<metric>`, `floor/<metric>` and
        `normalised/<metric>` where they are known."""
        named = {"run": self.run, "state": self.state, "style": self.style}
        return {**named, **self.axes, **self.metrics, **beside_references(self.metrics, self.references)}


def read_cells(folder: Path) -> list[Cell]:
    """All cells of the run folders in and below `folder`, in the order of their folders; those never begun come last.

    Axes are the overrides that differ between the runs or that the sweep varies. A run with a file that cannot be read
    is one cell, `unreadable`, with a warning. UserError where there is no run.
    """
    runs = find_runs(existing_folder(folder))
    if not runs:
        raise UserError(f"no run folders in {folder}: give the folder of a sweep, or one that holds runs")
    overrides: dict[Path, dict[str, Any]] = {}
    defaults: dict[Path, dict[str, Any]] = {}
    unreadable: dict[Path, str] = {}
    for run in runs:
        try:
            overrides[run], defaults[run] = read_overrides(run), _read_yaml(run / "config.yaml", dict)
        except UserError as error:
            unreadable[run] = str(error)
    asked = sweep_cells(folder)
    axes = _axes(list(overrides.values()), asked)
    cells, begun = [], set()
    for run in runs:
        name, values = run.relative_to(folder).as_posix(), dict.fromkeys(axes)
        if run not in unreadable:
            values = {axis: overrides[run].get(axis, _as_override(_lookup(defaults[run], axis))) for axis in axes}
            begun.add(_signature(overrides[run], axes))
            try:
                cells += _run_cells(run, folder, values, defaults[run])
            except UserError as error:
                unreadable[run] = str(error)
        if run in unreadable:
            log.warning("%s: left out: %s", name, unreadable[run])
            cells.append(Cell(run=name, axes=values, state=UNREADABLE, error=unreadable[run]))
    for values in asked:
        if _signature(values, axes) not in begun:
            cells.append(Cell(run="", axes={axis: values.get(axis) for axis in axes}, state=MISSING))
    return _with_styles(cells)


def _with_styles(cells: list[Cell]) -> list[Cell]:
    """The style as an axis where there are several, replacing `captions.styles`; a cell without one stands for each."""
    styles = _distinct(cell.style for cell in cells if cell.style)
    expanded = []
    for cell in cells:
        asked = cell.axes.pop(STYLES_KEY, None)
        known = [cell.style] if cell.style else _styles_of(asked) if asked else styles
        for style in [s for s in known if s in styles] or styles or [""]:
            axes = cell.axes | {STYLE_AXIS: style} if len(styles) > 1 else cell.axes
            expanded.append(replace(cell, axes=axes, style=style))
    return expanded


def find_runs(folder: Path) -> list[Path]:
    """Run folders in and below `folder`, those with a status.json, `2` before `10`."""
    found = {mark.parent for mark in folder.rglob("status.json")}
    return sorted(found, key=lambda run: [_natural(part) for part in run.parts])


def read_overrides(run: Path) -> dict[str, Any]:
    """{key: value} of the overrides Hydra recorded for a run; empty where it recorded none."""
    recorded = [str(text) for text in _read_yaml(run / ".hydra" / "overrides.yaml", list)]
    return dict(_override(text) for text in recorded if _override(text)[0] not in SELECTION_KEYS)


def sweep_cells(folder: Path) -> list[dict[str, Any]]:
    """Overrides of every cell that the multirun in `folder` asked for; empty where it is no plain grid."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    config = _read_yaml(folder / "multirun.yaml", dict).get("hydra", {})
    params, task = _lookup(config, "sweeper.params") or {}, _lookup(config, "overrides.task") or []
    if not isinstance(config, dict) or not isinstance(params, dict) or not isinstance(task, list):
        raise UserError(f"{folder / 'multirun.yaml'} is no record of a multirun")
    swept = [f"{key}={value}" for key, value in params.items()]
    try:
        parsed = OverridesParser.create().parse_overrides([*swept, *map(str, task)])
    except OverrideParseException:
        return []
    varied = [override for override in parsed if override.is_sweep_override()]
    if not varied or not all(override.is_discrete_sweep() for override in varied):
        return []
    choices = [list(o.sweep_string_iterator()) if o in varied else [o.get_value_element_as_str()] for o in parsed]
    keys = [override.key_or_group for override in parsed]
    cells = [dict(_override(f"{key}={value}") for key, value in zip(keys, values)) for values in product(*choices)]
    return [{key: value for key, value in cell.items() if key not in SELECTION_KEYS} for cell in cells]


def searched_keys(folder: Path) -> list[str]:
    """The keys that the search in `folder` varies; empty where it holds none."""
    return list(_read_yaml(folder / SEARCH, dict).get("axes", {}))


def search_objectives(folder: Path) -> list[str]:
    """The metrics that the search in `folder` optimises; empty where it holds none."""
    return list(_read_yaml(folder / SEARCH, dict).get("objectives", []))


def axis_values(cells: list[Cell]) -> dict[str, list[Any]]:
    """{axis: its values, numbers in order}."""
    axes = dict.fromkeys(axis for cell in cells for axis in cell.axes)
    return {axis: _distinct(cell.axes.get(axis) for cell in cells) for axis in axes}


def _run_cells(run: Path, root: Path, axes: dict[str, Any], config: dict[str, Any]) -> list[Cell]:
    folder = RunFolder(run)
    status = folder.living_status()
    state, error = _state(status)
    metrics = folder.read_metrics() if folder.metrics.exists() else {}
    references, absent, choices = folder.read_references(), folder.read_not_measured(), folder.read_filter()
    captions = {clip: folder.read_captions(clip) for clip in folder.clips()}
    styles = [(clip, style, prompt) for clip, prompts in captions.items() for style, prompt in prompts.items()]
    if not styles:
        styles = [("", style, "") for style in _names(config, STYLES_KEY, run) or [""]]
    views = _names(config, "views.names", run) or list(VIEWS)
    controls = {clip: _controls(folder, clip, views, config) for clip in captions}
    return [
        Cell(
            run=run.relative_to(root).as_posix(),
            axes=axes,
            state=state,
            error=error,
            style=style,
            clip=clip,
            prompt=prompt,
            metrics=metrics.get(style, {}),
            not_measured=absent.get(style, {}),
            references=references.get(style, {}),
            weights=status.weights if status else {},
            videos=_videos(folder, clip, style, views, controls[clip]) if clip else {},
            views=views,
            controls=controls.get(clip, {}),
            labels=_existing({view: folder.labels(style) / f"{view}.mp4" for view in views}) if clip else {},
            choice=choices.get(style),
        )
        for clip, style, prompt in styles
    ]


def run_state(folder: RunFolder) -> tuple[str, str]:
    """(state as in `Cell`, why it is not done)."""
    try:
        return _state(folder.living_status())
    except UserError as error:
        return UNREADABLE, str(error)


def _state(status: Status | None) -> tuple[str, str]:
    if status is None:
        return FAILED, "ended before its first stage"
    return status.state, status.error if status.state != DONE else ""


def _controls(folder: RunFolder, clip: str, views: list[str], config: dict[str, Any]) -> dict[str, dict[str, Path]]:
    names = config.get("controls")
    names = names if names and isinstance(names, dict) else {"hdmap": {}}
    found = {name: _existing({view: folder.control(name, view, clip) for view in views}) for name in names}
    return {name: videos for name, videos in found.items() if videos}


def _videos(
    folder: RunFolder, clip: str, style: str, views: list[str], controls: dict[str, dict[str, Path]]
) -> dict[str, Path]:
    found = {"grid": folder.grid(clip, style), "single view": folder.single_view(clip, style)}
    found |= {view: folder.view(clip, style, index) for index, view in enumerate(views)}
    found |= {f"control {name}": videos[views[0]] for name, videos in controls.items() if views[0] in videos}
    found["render"] = folder.control("rgb", views[0], clip)
    return _existing(found)


def _existing(paths: dict[str, Path]) -> dict[str, Path]:
    return {name: path for name, path in paths.items() if path.is_file()}


def _axes(overrides: list[dict[str, Any]], asked: list[dict[str, Any]]) -> list[str]:
    """Override keys that do not have one and the same value everywhere."""
    keys = dict.fromkeys(key for values in [*asked, *overrides] for key in values)
    return [key for key in keys if len(_distinct(values.get(key) for values in [*asked, *overrides])) > 1]


def _distinct(values: Any) -> list[Any]:
    """Distinct values, numbers in order and first, then the rest by name."""
    unique = list({repr(value): value for value in values}.values())
    numbers = [v for v in unique if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return sorted(numbers) + sorted((v for v in unique if v not in numbers), key=str)


def _signature(values: dict[str, Any], axes: list[str]) -> tuple[str, ...]:
    return tuple(repr(values.get(axis)) for axis in axes)


def _override(text: str) -> tuple[str, Any]:
    key, _, value = text.lstrip("+").partition("=")
    try:
        parsed = parse_yaml(value, key)
    except UserError:
        parsed = value
    if isinstance(parsed, str) and re.fullmatch(EXPONENTIAL, parsed):
        parsed = float(parsed)
    return key, _plain(parsed) if isinstance(parsed, (int, float, bool, str)) else value


def _plain(value: Any) -> Any:
    """Whole numbers as int, so that 3 and 3.0 are one value."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _lookup(config: dict[str, Any], dotted: str) -> Any:
    """The value of a dotted key, None where absent; a group stands for its `name`."""
    value: Any = config
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return _plain(value.get("name", value) if isinstance(value, dict) and "." not in dotted else value)


def _as_override(value: Any) -> Any:
    """A value of a config as an override would give it: lists and mappings in one line."""
    if isinstance(value, list):
        return f"[{','.join(str(_as_override(item)) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_as_override(item)}' for key, item in value.items())}}}"
    return value


def _names(config: dict[str, Any], dotted: str, run: Path) -> list[str]:
    found = _lookup(config, dotted)
    if found is not None and not (isinstance(found, list) and all(isinstance(name, str) for name in found)):
        raise UserError(f"{run / 'config.yaml'}: {dotted} is {shortened(found)}, not a list of names")
    return found or []


def _styles_of(asked: Any) -> list[Any]:
    """The styles of an override of `captions.styles`."""
    found = parse_yaml(str(asked), STYLES_KEY)
    return found if isinstance(found, list) else [found]


def _natural(part: str) -> tuple[int, str]:
    number = part.partition("_")[0]
    return (int(number), part) if number.isdecimal() and len(number) < 10 else (-1, part)


def _read_yaml(path: Path, kind: type) -> Any:
    """The values of a record, empty where there is none. UserError where it holds no `kind`."""
    try:
        values = read_run_yaml(path)
    except FileNotFoundError:
        return kind()
    if values is not None and not isinstance(values, kind):
        raise UserError(f"{path} holds {shortened(values)}, not a {kind.__name__}")
    return values or kind()
