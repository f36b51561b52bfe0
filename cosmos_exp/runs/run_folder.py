"""The run folder: where each result lies, under the names that Cosmos-Drive-Dreams uses.

config.yaml                               resolved config
status.json                               state, stage, time by stage, cache hits, error
provenance.json                           code, packages, files, seeds, and digests of the results
captions/<clip>.json                      {style: prompt}
rewrites/<clip>.json                      {style: how a language model's text came about}, where one wrote it
<control>/<camera>/<clip>_0.mp4           control videos, the renderer's other outputs, weight maps (<control>_weight)
single_view/<clip>_<style>.mp4            front view; beside it .txt, its prompt
multi_view/<clip>_<style>/{0..5}.mp4      one per view, in the order of the config's `views.names`
multi_view/<clip>_<style>/grid.mp4        the views as one picture
multi_view/<clip>_<style>/prompt.json     {view: prompt}
metrics.json                              {style: {metric: value}}
frames.json                               {style: {metric: [value of each frame of the front view, null for none]}}
references.json                           {style: {metric: {"ceiling": value, "floor": value}}}, either may be missing
guardrails.json                           the guards, their thresholds, and what each said
not_measured.json                         {style: {metric: why it has no value}}, where the scene has none for it
filter.json                               {style: the candidates with their scores, which one was kept and why}, with
                                          sampler.best_of above 1
labels/<style>/labels.json, <view>.mp4    label verdicts; the same to lay over the generated view
wandb/                                    the offline W&B run
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cosmos_exp.captions import files
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import write_json
from cosmos_exp.common.guards import YAML_BYTES, parse_yaml, read_bytes, read_json, shortened
from cosmos_exp.common.input_files import did_you_mean
from cosmos_exp.common.processes import has_open, is_alive
from cosmos_exp.filtering.rule import Choice
from cosmos_exp.runs.states import DONE, KILLED, RUNNING

logger = logging.getLogger(__name__)

COUNTS, NESTED = ("seconds", "cpu_seconds", "hits", "misses", "in_effect"), ("gpu_memory", "weights")
PLACES = ("outputs/sweeps", "outputs/runs")
"""Where runs lie unless they are told otherwise."""
HEARTBEAT = 5.0
"""Seconds between two signs of life of a run at work."""
SILENCE = 180.0
"""Seconds without a sign of life after which a run counts as killed."""


@dataclass
class Status:
    """What status.json says.

    state: queued (a cell of a sweep that no process has begun), running, done, failed, preempted (by the scheduler or a
    time limit; resumes at its stage), interrupted (by the user), cancelled, blocked (by a guard). A reader makes
    `killed` of `running` where the process is gone, see `RunFolder.living_status`.
    started, updated: ISO 8601, UTC; `updated` is also the heartbeat. host, pid: of the process at work. job: its id at
    Slurm or submitit. stage: the stage at work, or the last one. step: how far it is. attempts: how often it was begun.
    seconds: {stage: wall time}. cpu_seconds: {stage: time of this process on the cores}. hits, misses: {stage: cache
    lookups}. error: one message, empty while all is well.
    gpu_memory: {stage: {"allocated", "reserved": most GiB}} of the stages that took memory of a GPU.
    weights: {network: {control: weight}} as they count.
    in_effect: {dotted key of the config: value} where null leaves a number to the model.
    """

    state: str
    run_id: str
    started: str = ""
    updated: str = ""
    host: str = ""
    pid: int = 0
    job: str = ""
    attempts: int = 0
    stage: str = ""
    step: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    hits: dict[str, int] = field(default_factory=dict)
    misses: dict[str, int] = field(default_factory=dict)
    gpu_memory: dict[str, dict[str, float]] = field(default_factory=dict)
    error: str = ""
    weights: dict[str, dict[str, float]] = field(default_factory=dict)
    in_effect: dict[str, float] = field(default_factory=dict)


class RunFolder:
    """Paths below one run folder, and its JSON files. Nothing is created before something is written."""

    def __init__(self, path: Path | str):
        self.path = Path(path)

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def status(self) -> Path:
        return self.path / "status.json"

    @property
    def stop(self) -> Path:
        """Where this file appears, the run at work here ends itself."""
        return self.path / ".stop"

    @property
    def lock(self) -> Path:
        """Its lock is that of the one process that works here."""
        return self.path / ".lock"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def frames(self) -> Path:
        return self.path / "frames.json"

    @property
    def references(self) -> Path:
        return self.path / "references.json"

    @property
    def not_measured(self) -> Path:
        return self.path / "not_measured.json"

    @property
    def guardrails(self) -> Path:
        return self.path / "guardrails.json"

    @property
    def filter(self) -> Path:
        return self.path / "filter.json"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def wandb(self) -> Path:
        return self.path / "wandb"

    def captions(self, clip: str) -> Path:
        return self.path / "captions" / f"{clip}.json"

    def rewrites(self, clip: str) -> Path:
        return self.path / "rewrites" / f"{clip}.json"

    def read_rewrites(self, clip: str) -> dict[str, dict[str, Any]]:
        """{style: caption, source, attempts and rejected answers} of what a language model wrote; empty where none
        did."""
        path = self.rewrites(clip)
        return _nested(path, _read_json(path), 1) if path.exists() else {}

    def control(self, control: str, camera: str, clip: str) -> Path:
        return self.path / control / camera / f"{clip}_0.mp4"

    def single_view(self, clip: str, style: str) -> Path:
        return self.path / "single_view" / f"{clip}_{style}.mp4"

    def multi_view(self, clip: str, style: str) -> Path:
        return self.path / "multi_view" / f"{clip}_{style}"

    def view(self, clip: str, style: str, index: int) -> Path:
        return self.multi_view(clip, style) / f"{index}.mp4"

    def grid(self, clip: str, style: str) -> Path:
        return self.multi_view(clip, style) / "grid.mp4"

    def prompt(self, clip: str, style: str) -> Path:
        return self.multi_view(clip, style) / "prompt.json"

    def labels(self, style: str) -> Path:
        """Folder of the label verdicts of a style, and of their videos."""
        return self.path / "labels" / style

    def remove_measurements(self) -> None:
        """What an earlier run measured here, so that none of it is taken for this one's."""
        for file in self._measurements:
            file.unlink(missing_ok=True)
        shutil.rmtree(self.path / "labels", ignore_errors=True)

    def remove_clip(self) -> None:
        """What is to be seen of the generated clip, and what was written for W&B: also of an earlier run."""
        self.remove_measurements()
        for name in ("captions", "rewrites", "single_view", "multi_view", "wandb"):
            shutil.rmtree(self.path / name, ignore_errors=True)

    def is_measurement(self, path: str) -> bool:
        """Of a path below this folder."""
        return path in [file.name for file in self._measurements] or path.startswith("labels/")

    @property
    def _measurements(self) -> tuple[Path, ...]:
        return self.metrics, self.references, self.frames, self.not_measured, self.filter

    def clips(self) -> list[str]:
        """Clips that have captions here."""
        return sorted(p.stem for p in (self.path / "captions").glob("*.json"))

    def read_captions(self, clip: str) -> dict[str, str]:
        """{style: prompt} of a clip."""
        return files.read_captions(self.captions(clip))

    def read_prompts(self, clip: str, style: str) -> dict[str, str]:
        """{view: prompt} of a generated clip."""
        return files.read_prompts(self.prompt(clip, style))

    def read_config(self) -> dict[str, Any]:
        """The resolved config. UserError where it is missing or no YAML."""
        try:
            config = read_run_yaml(self.config)
        except FileNotFoundError as error:
            raise UserError(f"no {self.config.name} at {self.path}: has a run begun there?") from error
        if not isinstance(config, dict):
            raise UserError(f"{self.config} is no config: it holds {type(config).__name__}, not keys")
        return config

    @contextlib.contextmanager
    def in_working_folder(self) -> Iterator[None]:
        """Where the run was begun, which relative paths of its config start from, as far as that is recorded and still
        there; back again afterwards."""
        before = Path.cwd()
        with contextlib.suppress(OSError, UserError, KeyError, TypeError):
            os.chdir(self._working_folder())
        try:
            yield
        finally:
            os.chdir(before)

    def _working_folder(self) -> Any:
        """As the provenance has it, or in runs of older versions Hydra's record."""
        folder = self.path.resolve()
        with contextlib.suppress(OSError, UserError, KeyError, TypeError):
            return RunFolder(folder).read_provenance()["started_in"]
        return read_run_yaml(folder / ".hydra" / "hydra.yaml")["hydra"]["runtime"]["cwd"]

    def read_metrics(self) -> dict[str, dict[str, float]]:
        """{style: {metric: value}}."""
        found = _nested(self.metrics, _read_json(self.metrics), 1)
        known = {s: {name: value for name, value in m.items() if _is_finite(value)} for s, m in found.items()}
        odd = [f"{name} of {s}" for s, metrics in found.items() for name in metrics if name not in known[s]]
        if odd:
            logger.warning("%s: %d values that are no finite numbers left out: %s", self.metrics, len(odd), odd[0])
        return known

    def read_frames(self) -> dict[str, dict[str, list[float | None]]]:
        """{style: {metric: value of each frame of the front view}}; empty where there are none."""
        return _nested(self.frames, _read_json(self.frames), 1) if self.frames.exists() else {}

    def read_references(self) -> dict[str, dict[str, dict[str, float]]]:
        """{style: {metric: {"ceiling": value, "floor": value}}}; empty where the run has none."""
        return _nested(self.references, _read_json(self.references), 2) if self.references.exists() else {}

    def read_not_measured(self) -> dict[str, dict[str, str]]:
        """{style: {metric: why it has no value}}; empty where all metrics apply."""
        return _nested(self.not_measured, _read_json(self.not_measured), 1) if self.not_measured.exists() else {}

    def read_filter(self) -> dict[str, Choice]:
        """{style: which of its candidates was kept}; empty where the run made one of each style."""
        if not self.filter.exists():
            return {}
        found = _nested(self.filter, _read_json(self.filter), 1)
        try:
            return {style: Choice.of_record(values) for style, values in found.items()}
        except UserError as error:
            raise UserError(f"{self.filter}: {error}") from error

    def write_not_measured(self, reasons: Mapping[str, Mapping[str, str]]) -> None:
        """reasons: {style: {metric: why it has no value}}; no file where there are none."""
        if any(reasons.values()):
            write_json(self.not_measured, {style: dict(found) for style, found in reasons.items()})

    def read_provenance(self) -> dict[str, Any]:
        """What `provenance` recorded. UserError where there is none."""
        return _read_json(self.provenance)

    def read_status(self) -> Status | None:
        """None where no run has begun here."""
        return _status(_read_json(self.status), self.status) if self.status.exists() else None

    def require_status(self) -> Status:
        """UserError where no run has begun here."""
        status = self.read_status()
        if status is None:
            raise UserError(f"{self.path} is no run folder: it holds no {self.status.name}")
        return status

    def require_done(self, purpose: str) -> None:
        """UserError for any folder but that of a finished run. purpose: what only such a run can be."""
        existing_folder(self.path)
        state = self.require_status().state
        if state != DONE:
            raise UserError(f"{self.path} holds a run that is {state}: only a finished one can be {purpose}")

    def write_status(self, status: Status) -> None:
        """Write status.json, stamped with the time."""
        status.updated = datetime.now(timezone.utc).isoformat(timespec="seconds")
        write_json(self.status, vars(status))

    def living_status(self) -> Status | None:
        """The status, `killed` where it says `running` but the process that wrote it is gone or silent."""
        status = self.read_status()
        if status is None or status.state != RUNNING:
            return status
        where = f"during {status.stage or 'its start'}"
        if status.host == socket.gethostname() and not is_alive(status.pid):
            return replace(status, state=KILLED, error=where)
        if status.updated and time.time() - datetime.fromisoformat(status.updated).timestamp() > SILENCE:
            silence = f"no sign of life from {status.host} since {status.updated}"
            return replace(status, state=KILLED, error=f"{where}: {silence}")
        return status

    def hanging_process(self) -> int | None:
        """The process of this machine that works here without a sign of life: stopped, or stuck. None where there is
        none."""
        before, now = self.read_status(), self.living_status()
        if before is None or before.state != RUNNING or now is None or now.state != KILLED:
            return None
        here = before.host == socket.gethostname() and is_alive(before.pid)
        return before.pid if here and has_open(before.pid, self.lock) else None


def existing_folder(path: Path | str) -> Path:
    """The folder of a run, of a sweep, or of several. UserError with the nearest one where there is none; a name alone
    may be one of the usual places'."""
    path = Path(path)
    if path.is_file():
        raise UserError(f"{path} is a file, not a folder; it is in {path.absolute().parent}")
    if not path.is_dir():
        hint = did_you_mean(path, *(Path(place, path.name) for place in PLACES))
        raise UserError(f"no folder at {path}{hint}")
    return path


def read_run_yaml(path: Path) -> Any:
    """Plain values of a YAML file of a run or sweep. FileNotFoundError where there is none."""
    return parse_yaml(read_bytes("record", path, YAML_BYTES), str(path))


def _status(values: dict[str, Any], path: Path) -> Status:
    """UserError for values of a wrong type. Keys that a newer version added are left out."""
    usual = Status("", "")
    known = {f.name: values[f.name] for f in fields(Status) if f.name in values}
    missing = [name for name in ("state", "run_id") if name not in known]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: it is no status of a run")
    for name, value in known.items():
        kind = type(getattr(usual, name))
        if type(value) is not kind or (name in COUNTS and not all(_is_finite(v) for v in value.values())):
            raise UserError(f"{path}: {name} is {shortened(value)}, not {kind.__name__}")
        if name in NESTED and not all(isinstance(v, dict) and all(map(_is_finite, v.values())) for v in value.values()):
            raise UserError(f"{path}: {name} is {shortened(value)}, not numbers by name")
        if name in ("started", "updated") and value and not _is_time(value):
            raise UserError(f"{path}: {name} is {shortened(value)}, not a time such as 2026-01-31T12:00:00+00:00")
    if not 0 <= known.get("pid", 0) < 2**31:
        raise UserError(f"{path}: pid is {shortened(known['pid'])}, not the number of a process")
    return Status(**known)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def _nested(path: Path, values: dict[str, Any], levels: int) -> dict[str, Any]:
    """The values, which must be dicts below each key, so many levels deep."""
    for key, value in values.items():
        if not isinstance(value, dict):
            raise UserError(f"{path}: {key!r} holds {shortened(value)}, not keys")
        if levels > 1:
            _nested(path, value, levels - 1)
    return values


def _read_json(path: Path) -> Any:
    try:
        values = read_json("record", path, finite=False)
    except FileNotFoundError as error:
        raise UserError(f"no {path.name} at {path.parent}: has the run finished?") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} is no {path.name}: it holds {type(values).__name__}, not keys")
    return values
