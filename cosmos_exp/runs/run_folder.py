"""The run folder: where each result lies, under the names that Cosmos-Drive-Dreams uses.

config.yaml                               resolved config
status.json                               state, stage, time by stage, cache hits, error
provenance.json                           code, packages, files, seeds, and digests of the results
captions/<clip>.json                      {style: prompt}
<control>/<camera>/<clip>_0.mp4           control videos, the renderer's other outputs, weight maps (<control>_weight)
single_view/<clip>_<style>.mp4            front view; beside it .txt, its prompt
multi_view/<clip>_<style>/{0..5}.mp4      one per view, in the order of `views.VIEWS`
multi_view/<clip>_<style>/grid.mp4        the views as one picture
multi_view/<clip>_<style>/prompt.json     {view: prompt}
metrics.json                              {style: {metric: value}}
frames.json                               {style: {metric: [value of each frame of the front view, null for none]}}
references.json                           {style: {metric: {"ceiling": value, "floor": value}}}, either may be missing
labels/<style>/labels.json, <view>.mp4    label verdicts; the same to lay over the generated view
wandb/                                    the offline W&B run
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from cosmos_exp.captions import files
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import write_json
from cosmos_exp.common.processes import has_open, is_alive
from cosmos_exp.runs.states import DONE, KILLED, RUNNING

HEARTBEAT = 5.0
"""Seconds between two signs of life of a run at work."""
SILENCE = 180.0
"""Seconds without a sign of life after which a run counts as killed."""
YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader, several times as fast, where PyYAML was built with it."""


@dataclass
class Status:
    """What status.json says.

    state: queued (a cell of a sweep that no process has begun), running, done, failed, preempted (by the scheduler or a
    time limit; resumes at its stage), interrupted (by the user), cancelled. A reader makes `killed` of `running` where
    the process is gone, see `RunFolder.living_status`.
    started, updated: ISO 8601, UTC; `updated` is also the heartbeat. host, pid: of the process at work. job: its id at
    Slurm or submitit. stage: the stage at work, or the last one. step: how far it is. attempts: how often it was begun.
    seconds: {stage: wall time}. cpu_seconds: {stage: time of this process on the cores}. hits, misses: {stage: cache
    lookups}. error: one message, empty while all is well.
    gpu_memory: {stage: {"allocated", "reserved": most GiB}} of the stages that took memory of a GPU.
    weights: {network: {control: weight}} as they count.
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
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def wandb(self) -> Path:
        return self.path / "wandb"

    def captions(self, clip: str) -> Path:
        return self.path / "captions" / f"{clip}.json"

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
        for file in (self.metrics, self.references, self.frames):
            file.unlink(missing_ok=True)
        shutil.rmtree(self.path / "labels", ignore_errors=True)

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
            return load_yaml(self.config.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(f"no {self.config.name} at {self.path}: has a run begun there?") from error
        except yaml.YAMLError as error:
            raise UserError(f"{self.config} is not YAML: {error}") from error

    @contextlib.contextmanager
    def in_working_folder(self) -> Iterator[None]:
        """Where the run was begun, which relative paths of its config start from, as far as that is recorded and still
        there; back again afterwards."""
        before, recorded = Path.cwd(), self.path.resolve() / ".hydra" / "hydra.yaml"
        with contextlib.suppress(OSError, yaml.YAMLError, KeyError, TypeError):
            os.chdir(load_yaml(recorded.read_text(encoding="utf-8"))["hydra"]["runtime"]["cwd"])
        try:
            yield
        finally:
            os.chdir(before)

    def read_metrics(self) -> dict[str, dict[str, float]]:
        """{style: {metric: value}}."""
        return _read_json(self.metrics)

    def read_frames(self) -> dict[str, dict[str, list[float | None]]]:
        """{style: {metric: value of each frame of the front view}}; empty where there are none."""
        return _read_json(self.frames) if self.frames.exists() else {}

    def read_references(self) -> dict[str, dict[str, dict[str, float]]]:
        """{style: {metric: {"ceiling": value, "floor": value}}}; empty where the run has none."""
        return _read_json(self.references) if self.references.exists() else {}

    def read_provenance(self) -> dict[str, Any]:
        """What `provenance` recorded. UserError where there is none."""
        return _read_json(self.provenance)

    def read_status(self) -> Status | None:
        """None where no run has begun here."""
        return Status(**_read_json(self.status)) if self.status.exists() else None

    def require_status(self) -> Status:
        """UserError where no run has begun here."""
        status = self.read_status()
        if status is None:
            raise UserError(f"{self.path} is no run folder: it holds no {self.status.name}")
        return status

    def require_done(self, purpose: str) -> None:
        """UserError for any folder but that of a finished run. purpose: what only such a run can be."""
        if not self.path.is_dir():
            raise UserError(f"no folder at {self.path}")
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


def load_yaml(text: str) -> Any:
    """Plain values of a YAML text. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=YAML)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"no {path.name} at {path.parent}: has the run finished?") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from error
