"""A finished run made again from what its folder says, with nothing from the cache, and compared with what it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.video import stream_video, video_shape
from cosmos_exp.config.schema import Config, model_type, scene_type
from cosmos_exp.models.registry import config_types
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.scene.sources import SOURCES

GPU_TOLERANCE = 2.0  # mean absolute difference of a video, in 8-bit levels
UNRECORDED = "not recorded"
FIRST_FAMILY = "transfer1"  # of run folders that are older than the key


@dataclass(frozen=True)
class Comparison:
    """One result, then and now. equal: bit for bit. difference: mean absolute, of videos in 8-bit levels; None where
    only equality can be told. allowed: the largest difference that counts as the same."""

    what: str
    equal: bool
    difference: float | None
    allowed: float

    @property
    def same(self) -> bool:
        return self.equal or (self.difference is not None and self.difference <= self.allowed)


def read_run(path: Path) -> tuple[RunFolder, DictConfig, dict[str, Any]]:
    """A finished run's folder, its config with types, and its provenance. UserError for any other folder."""
    folder = RunFolder(path)
    folder.require_done("reproduced")
    return folder, typed_config(folder), folder.read_provenance()


def typed_config(folder: RunFolder) -> DictConfig:
    """The config of a run folder, of the types that a run's config has. UserError where this version has other keys."""
    plain = folder.read_config()
    source, model = plain.get("scene", {}).get("source"), plain.get("model", {})
    if source not in SOURCES:
        raise UserError(f"{folder.config}: scene.source={source!r} is unknown to this version")
    family = model.setdefault("family", FIRST_FAMILY)
    types = config_types()
    if family not in types:
        raise UserError(f"{folder.config}: {unknown_name('model family', family, types)}")
    typed = OmegaConf.structured(Config)
    try:
        typed.scene = scene_type(source)
        typed.model = model_type(family, types[family])
        typed.merge_with(plain)
        return typed
    except OmegaConfBaseException as error:
        problem = " ".join(str(error).split("\n")[0].split())
        raise UserError(f"{folder.config} was written by another version: {problem}") from error


def rerun(cfg: DictConfig, recorded: Mapping[str, Any], to: Path) -> RunFolder:
    """The same run below `to`, with an empty cache, as many threads and no tracking."""
    cfg = cfg.copy()
    cfg.hardware.threads = recorded["machine"]["threads"]
    cfg.tracking.mode = "disabled"
    cfg.paths.outputs, cfg.paths.cache = str(to), str(to / "cache")
    folder = to / "again"
    run(cfg, folder, sweep="reproduced")
    return RunFolder(folder)


def changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What the two runs' provenance does not agree in, besides their results; a line each."""
    for key in ("code", "python", "packages", "machine", "model", "files", "seeds", "noise"):
        for path, before, after in _differences(key, then.get(key, UNRECORDED), now.get(key, UNRECORDED)):
            yield f"{path}: {before} then, {after} now"


def _differences(path: str, then: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*then, *now]):
            yield from _differences(f"{path}.{key}", then.get(key, UNRECORDED), now.get(key, UNRECORDED))
    elif then != now and path != "model.folder":
        yield path, then, now


def compare(then: RunFolder, now: RunFolder, allowed: float) -> list[Comparison]:
    """Every result of the first run beside that of the second: digests of arrays, then videos and metrics."""
    before, after = (folder.read_provenance().get("results", {}) for folder in (then, now))
    found = []
    for what in before:
        equal = before[what] == after.get(what)
        difference = None if equal else _video_difference(then, now, what)
        found.append(Comparison(what, equal, 0.0 if equal else difference, allowed))
    old, new = then.read_metrics(), now.read_metrics()
    return [*found, Comparison("metrics", old == new, None, allowed)]


def _video_difference(then: RunFolder, now: RunFolder, what: str) -> float | None:
    """The largest of the mean absolute differences of the videos that show a result; None where none does."""
    kind, name, *view = what.split("/")
    values = []
    for clip in then.clips():
        paths = {
            "control": lambda clip=clip: [Path(name, *view, f"{clip}_0.mp4")],
            "single_view": lambda clip=clip: [then.single_view(clip, name).relative_to(then.path)],
            "multi_view": lambda clip=clip: [
                path.relative_to(then.path) for path in sorted(then.multi_view(clip, name).glob("[0-9].mp4"))
            ],
        }.get(kind, list)()
        values += [_difference(then.path / path, now.path / path) for path in paths]
    known = [value for value in values if value is not None]
    return max(known) if known else None


def _difference(then: Path, now: Path) -> float | None:
    if not (then.is_file() and now.is_file()):
        return None
    if video_shape(then) != video_shape(now):
        return 255.0
    pairs = zip(stream_video(then), stream_video(now), strict=True)
    return float(np.mean([np.abs(old.astype(np.int16) - new).mean() for old, new in pairs]))
