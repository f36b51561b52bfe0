"""From values to an offline W&B run, once, at the end: disk is the truth and W&B is a view of it.

The run is written to `<run folder>/wandb/offline-run-*` and needs no network; `wandb_upload.py` sends it. Videos go in
by path, as they are on disk (H.264, yuv420p), never re-encoded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.filtering.rule import Choice
from cosmos_exp.metrics.normalised import beside_references
from cosmos_exp.tracking.wandb.file import is_finished, read_run, run_files

MODES = ("offline", "online", "disabled")
AXES, CONTENT = "axes", "content"  # keys of the run's config
FRAME, FRAMES = "frame", "frames"  # the step metric of values by frame, and what their keys begin with
WRITE_TIMEOUT = 60  # seconds
STAGING = Path("wandb") / "staging"
FORBIDDEN_IN_ID = r"[/\\#?%:]"
NO_WANDB = "tracking needs the package `wandb`: install it, or set tracking.mode=disabled"

Metrics = Mapping[str, Mapping[str, float]]
References = Mapping[str, Mapping[str, Mapping[str, float]]]
Frames = Mapping[str, Mapping[str, Sequence["float | None"]]]
NOTHING: Mapping[str, Any] = MappingProxyType({})

_git_around: dict[Path, dict[str, Any]] = {}
"""{folder of run folders: what W&B found out there by asking git}, so that it asks once and not for every run."""


@dataclass(frozen=True)
class ComparisonRow:
    """One row of the comparison table: one style of one scene. control: {control name: video}."""

    scene: str
    style: str
    control: Mapping[str, Path]
    single_view: Path | None
    grid: Path | None

    @property
    def files(self) -> list[Path]:
        return [path for path in (*self.control.values(), self.single_view, self.grid) if path is not None]


def check_mode(mode: str) -> None:
    """UserError where the mode is unknown, the wandb package is absent, or an online run has no key to log in with."""
    if mode not in MODES:
        raise UserError(unknown_name("tracking.mode", mode, MODES))
    if mode != "disabled" and find_spec("wandb") is None:  # to import it takes a third of a second
        raise UserError(NO_WANDB)
    if mode == "online" and not has_login(_import_wandb()):
        raise UserError("tracking.mode='online' needs a W&B login (`wandb login` or WANDB_API_KEY), or use 'offline'")


def log_run(
    run_folder: Path,
    *,
    run_id: str,
    project: str,
    name: str,
    entity: str | None = None,
    group: str | None = None,
    job_type: str = "generate",
    tags: Sequence[str] = (),
    config: Mapping[str, Any],
    axes: Mapping[str, Any],
    metrics: Metrics,
    prompts: Mapping[str, str],
    videos: Mapping[str, Path],
    rows: Sequence[ComparisonRow],
    references: References = NOTHING,
    frames: Frames = NOTHING,
    choices: Mapping[str, Choice] = NOTHING,
    error: str = "",
    exit_code: int = 0,
) -> Path:
    """Write one finished run as an offline W&B run and return its folder.

    config: resolved, plain containers. axes: {swept key: value}, kept as flat `axes.*` columns. metrics: {style:
    {key: value}}. references: {style: {key: {"ceiling", "floor": value}}}. frames: {style: {key: value of each frame}},
    logged as history over the step metric `frame`. choices: {style: which candidate was kept}, logged as a table.
    prompts: {style: prompt}. videos: {key: mp4 path}. exit_code: not 0 marks the run as failed, error says why. A run
    folder holds one offline run of an id: it is left alone where it says all this already, and replaced where it does
    not. Raises FileNotFoundError for a video that does not exist.
    """
    wandb = _import_wandb()
    options = dict(project=project, entity=entity, name=name, group=group, job_type=job_type, tags=list(tags))
    axes = {column(key): value for key, value in axes.items()}
    kept = {AXES: axes, "prompts": dict(prompts)}
    files = [*videos.values(), *(path for row in rows for path in row.files)]
    beside = [references, frames] if references or frames else []  # so that a run without them keeps its hash
    beside += [choice.record() for choice in choices.values()]
    content = _content_hash([run_id, options, config, kept, metrics, error, exit_code, *beside], files)
    if (there := _logged(run_folder, run_id, content)) is not None:
        return there
    _remove_offline_copies(run_folder, run_id)
    with _environment_of(run_folder):
        run = _start(wandb, run_folder, run_id, config={**config, **kept, CONTENT: content}, **options)
        finished_with = 1
        try:
            logged: dict[str, Any] = metric_values(metrics) | reference_values(metrics, references)
            logged |= {f"prompt/{_key(style)}": prompt for style, prompt in prompts.items()}
            logged |= {media_key(key): _video(wandb, path) for key, path in videos.items()}
            logged |= {"error": error} if error else {}
            logged |= choice_values(choices)
            if choices:
                logged["candidates"] = candidates_table(wandb, choices, name)
            if rows:
                logged["comparison"] = comparison_table(wandb, rows, name, axes, metrics, prompts, references)
            run.log(logged)
            _log_frames(run, frames)
            finished_with = exit_code
        finally:
            run.finish(exit_code=finished_with)
            _wait_until_written(Path(run.settings.sync_dir) / f"run-{run_id}.wandb")
    return Path(run.settings.sync_dir)


def column(key: str) -> str:
    """A swept key as a W&B column, which takes dots for nesting: `sampler.guidance` is `sampler_guidance`."""
    return key.replace(".", "_")


def media_key(key: str) -> str:
    """The key that a video of `videos` is logged under."""
    return f"videos/{_key(key)}"


def frame_key(style: str, metric: str) -> str:
    """The key that values of single frames are logged under."""
    return f"{FRAMES}/{_key(style)}/{metric}"


def _content_hash(values: Any, files: Sequence[Path]) -> str:
    """SHA-256 of plain values and of the files' contents."""
    digest = hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode())
    for path in files:
        digest.update(_existing(path).read_bytes())
    return digest.hexdigest()


def _logged(run_folder: Path, run_id: str, content: str) -> Path | None:
    """The folder of the finished offline run of this id and content."""
    for file in run_files(run_folder / "wandb"):
        if file.name == f"run-{run_id}.wandb" and is_finished(file) and read_run(file).config.get(CONTENT) == content:
            return file.parent
    return None


def _wait_until_written(file: Path) -> None:
    """W&B's own process goes on writing for a moment after `finish`: wait for the record that ends the run."""
    deadline = time.monotonic() + WRITE_TIMEOUT
    while not is_finished(file):
        if time.monotonic() > deadline:
            raise UserError(f"W&B did not write {file} to its end within {WRITE_TIMEOUT} s: is the disk full?")
        time.sleep(0.02)


def metric_values(metrics: Metrics) -> dict[str, float]:
    """`metrics/<style>/<key>` of every style, and `metrics/<key>`, the mean over the styles that have the key."""
    flat = {f"metrics/{_key(style)}/{key}": value for style, values in metrics.items() for key, value in values.items()}
    keys = dict.fromkeys(key for values in metrics.values() for key in values if "/" not in key)
    for key in keys:
        flat[f"metrics/{key}"] = float(np.mean([values[key] for values in metrics.values() if key in values]))
    return flat


def reference_values(metrics: Metrics, references: References) -> dict[str, float]:
    """`ceiling/<style>/<key>`, `floor/...` and `normalised/...` of every style, and the means over the styles, as of
    `metric_values`; of whole clips alone."""
    flat: dict[str, float] = {}
    means: dict[str, list[float]] = {}
    for style, values in metrics.items():
        for column, value in _beside(values, references.get(style, {})).items():
            kind, _, key = column.partition("/")
            flat[f"{kind}/{_key(style)}/{key}"] = value
            means.setdefault(column, []).append(value)
    return flat | {column: float(np.mean(values)) for column, values in means.items()}


def choice_values(choices: Mapping[str, Choice]) -> dict[str, float]:
    """`filter/<style>/score` and `filter/<style>/candidate` of the candidate that is kept."""
    flat: dict[str, float] = {}
    for style, winner in ((style, choice.winner) for style, choice in choices.items()):
        flat |= {f"filter/{_key(style)}/candidate": winner.number}
        flat |= {} if winner.score is None else {f"filter/{_key(style)}/score": winner.score}
    return flat


def candidates_table(wandb: Any, choices: Mapping[str, Choice], run: str) -> Any:
    """wandb.Table with a row per style and candidate: seed, scores, what is wrong with it, whether it is kept."""
    names = list(dict.fromkeys(n for choice in choices.values() for c in choice.candidates for n in c.scores))
    table = wandb.Table(columns=["run", "style", "candidate", "seed", "kept", "score", *names, "problems"])
    for style, choice in choices.items():
        for own in choice.candidates:
            values = [own.scores.get(name) for name in names]
            kept = own is choice.winner
            table.add_data(run, style, own.number, own.seed, kept, own.score, *values, "; ".join(own.problems))
    return table


def _beside(values: Mapping[str, float], references: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """`beside_references` without those of single views."""
    plain = {key: value for key, value in values.items() if "/" not in key}
    return beside_references(plain, {key: ends for key, ends in references.items() if key in plain})


def _log_frames(run: Any, frames: Frames) -> None:
    """One step of history per frame."""
    if not frames:
        return
    run.define_metric(FRAME, hidden=True, summary="none")
    run.define_metric(f"{FRAMES}/*", step_metric=FRAME, summary="none")
    series = {frame_key(style, key): values for style, found in frames.items() for key, values in found.items()}
    for frame in range(max(map(len, series.values()), default=0)):
        now = {key: values[frame] for key, values in series.items() if frame < len(values)}
        run.log({FRAME: frame} | {key: value for key, value in now.items() if value is not None})


def comparison_table(
    wandb: Any,
    rows: Sequence[ComparisonRow],
    run: str,
    axes: Mapping[str, Any],
    metrics: Metrics,
    prompts: Mapping[str, str],
    references: References = NOTHING,
) -> Any:
    """wandb.Table with scene, style, prompt, the axes, the control videos, both results, the plain metrics, their
    ceilings, floors and normalised values.

    `key`, which is equal for the same scene and style in every run of a sweep, joins the tables of several runs; `run`
    tells their rows apart.
    """
    controls = list(dict.fromkeys(name for row in rows for name in row.control))
    keys = list(dict.fromkeys(key for row in rows for key in metrics.get(row.style, {}) if "/" not in key))
    beside = {row.style: _beside(metrics.get(row.style, {}), references.get(row.style, {})) for row in rows}
    keys += dict.fromkeys(key for values in beside.values() for key in values)
    columns = ["key", "run", "scene", "style", "prompt", *axes, *controls, "single_view", "grid", *keys]
    table = wandb.Table(columns=columns)
    for row in rows:
        media = [*(row.control.get(name) for name in controls), row.single_view, row.grid]
        values = {**metrics.get(row.style, {}), **beside[row.style]}
        table.add_data(
            f"{row.scene} {row.style}",
            run,
            row.scene,
            row.style,
            prompts.get(row.style, ""),
            *axes.values(),
            *(None if path is None else _video(wandb, path) for path in media),
            *(values.get(key) for key in keys),
        )
    return table


def _start(wandb: Any, run_folder: Path, run_id: str, **options: Any) -> Any:
    if re.search(FORBIDDEN_IN_ID, run_id) or not run_id:
        raise UserError(f"{run_id=} cannot be a W&B id: it must not be empty or contain any of / \\ # ? % :")
    settings = wandb.Settings(
        silent=True, console="off", symlink=False,
        x_disable_stats=True, x_save_requirements=False, disable_job_creation=True,
    )  # fmt: skip
    run_folder.mkdir(parents=True, exist_ok=True)
    around = run_folder.resolve().parent
    for name, value in _git_around.get(around, {}).items():
        setattr(settings, name, value)
    run = wandb.init(dir=str(run_folder), id=run_id, mode="offline", settings=settings, **options)
    known = {name: getattr(run.settings, name) for name in ("git_root", "git_commit", "git_remote_url")}
    _git_around[around] = {name: value for name, value in known.items() if value} or {"disable_git": True}
    return run


def has_login(wandb: Any) -> bool:
    """Whether there is a login, by whatever means; the server is not asked. UserError where it is not usable."""
    try:
        return wandb.login(prompt=False, verify=False)
    except wandb.errors.Error as error:
        raise UserError(f"the W&B login is not usable: {error}") from error


def _remove_offline_copies(run_folder: Path, run_id: str) -> None:
    for file in (run_folder / "wandb").glob(f"offline-run-*/run-{run_id}.wandb"):
        shutil.rmtree(file.parent)
    shutil.rmtree(run_folder / STAGING, ignore_errors=True)


@contextmanager
def _environment_of(run_folder: Path) -> Iterator[None]:
    """W&B keeps the table's files in the run folder, not in the home folder, for a later `wandb sync`, and does not
    advertise Weave to a process that has a client of language models loaded."""
    wanted = {"WANDB_DATA_DIR": str((run_folder / STAGING).resolve()), "WANDB_DISABLE_WEAVE": "true"}
    if "weave" in sys.modules:
        del wanted["WANDB_DISABLE_WEAVE"]
    added = {name: value for name, value in wanted.items() if not os.environ.get(name)}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _video(wandb: Any, path: Path) -> Any:
    return wandb.Video(str(_existing(path)), format="mp4")


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"no video at {path}")
    return path


def _key(text: str) -> str:
    return text.replace(" ", "_")


def _import_wandb() -> Any:
    try:
        import wandb
    except ImportError as error:
        raise UserError(NO_WANDB) from error
    return wandb
