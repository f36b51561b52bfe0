"""A finished run made again from what its folder says, with nothing from the cache, and compared with what it was.

Three things must agree: what lies in the folder, what its provenance says the run wrote there, and what the new run
makes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.files import file_sha256
from cosmos_exp.common.guards import read_json
from cosmos_exp.common.video import stream_video, video_shape
from cosmos_exp.config.override_text import literal
from cosmos_exp.config.schema import Config, model_type, scene_type
from cosmos_exp.models.registry import config_types
from cosmos_exp.pipeline.provenance import written_files
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.scene.sources import SOURCES

GPU_TOLERANCE = 2.0  # mean absolute difference of a video, in 8-bit levels
UNRECORDED = "not recorded"
FIRST_FAMILY = "transfer1"  # of run folders that are older than the key


@dataclass(frozen=True)
class Comparison:
    """One result, or one file, then and now.

    equal: bit for bit. difference: mean absolute, of videos in 8-bit levels; None where only equality can be told.
    allowed: the largest difference that counts as the same; 0: bit for bit. measured: follows from results, so that
    where these may differ it may too.
    """

    what: str
    equal: bool
    difference: float | None
    allowed: float
    is_file: bool = False
    measured: bool = False

    @property
    def same(self) -> bool:
        if self.equal or self.allowed == 0:
            return self.equal
        return self.measured or (self.difference is not None and self.difference <= self.allowed)


def read_run(path: Path) -> tuple[RunFolder, DictConfig, dict[str, Any]]:
    """A finished run's folder, its config with types, and its provenance, empty where there is none. UserError for any
    other folder."""
    folder = RunFolder(path.absolute())
    folder.require_done("reproduced")
    recorded = folder.read_provenance() if folder.provenance.exists() else {}
    return folder, typed_config(folder), recorded


def typed_config(folder: RunFolder) -> DictConfig:
    """The config of a run folder, of the types that a run's config has. UserError where this version has other keys."""
    plain = folder.read_config()
    scene, model = plain.get("scene"), plain.get("model")
    if not (isinstance(scene, dict) and isinstance(model, dict)):
        raise UserError(f"{folder.config} has no scene and model with keys of their own: it is no config of a run")
    source = scene.get("source")
    if source not in list(SOURCES):
        raise UserError(f"{folder.config}: scene.source={source!r} is unknown to this version")
    family = model.setdefault("family", FIRST_FAMILY)
    types = config_types()
    if family not in list(types):
        raise UserError(f"{folder.config}: {unknown_name('model family', family, types)}")
    typed = OmegaConf.structured(Config)
    try:
        typed.scene = scene_type(source)
        typed.model = model_type(family, types[family])
        typed.merge_with(literal(plain))
        return typed
    except (OmegaConfBaseException, ValueError, TypeError) as error:
        problem = " ".join(str(error).split("\n")[0].split())
        raise UserError(f"{folder.config} was written by another version: {problem}") from error


def rerun(cfg: DictConfig, to: Path) -> RunFolder:
    """The same run below `to`, an absolute path, with an empty cache and no tracking. Relative paths of the config
    start from the working folder."""
    cfg = cfg.copy()
    cfg.tracking.mode = "disabled"
    cfg.paths.outputs, cfg.paths.cache = str(to), str(to / "cache")
    folder = to / "again"
    run(cfg, folder, sweep="reproduced")
    return RunFolder(folder)


def altered(folder: RunFolder, recorded: Mapping[str, Any]) -> list[str]:
    """What lies in the folder and is not what the record says that the run wrote; a line each."""
    written = recorded.get("written")
    if not recorded:
        return [f"{folder.provenance.name} is missing: nothing says what the run made"]
    found = []
    if not (isinstance(recorded.get("results"), dict) and recorded["results"]):
        found.append(f"{folder.provenance.name} holds no digests of the results: nothing says what the run made")
    if not (isinstance(written, dict) and written):
        return [*found, f"{folder.provenance.name} holds no digests of the files in the folder"]
    for path, digest in written.items():
        file = folder.path / path
        if not file.is_file():
            found.append(f"{path} is missing: the run wrote it")
        elif file_sha256(file) != digest:
            found.append(f"{path} is not what the run wrote")
    return found


def changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What the two runs' provenance does not agree in, besides their results; a line each."""
    for key in ("run_id", "code", "python", "packages", "machine", "model", "files", "seeds", "noise"):
        for path, before, after in _differences(key, then.get(key, UNRECORDED), now.get(key, UNRECORDED)):
            yield f"{path}: {before} then, {after} now"


def _differences(path: str, then: Any, now: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*then, *now]):
            yield from _differences(f"{path}.{key}", then.get(key, UNRECORDED), now.get(key, UNRECORDED))
    elif then != now and path != "model.folder":
        yield path, then, now


def compare(then: RunFolder, now: RunFolder, recorded: Mapping[str, Any], allowed: float) -> list[Comparison]:
    """Every result of the new run beside that of the first: digests of arrays as they were recorded, then the files."""
    before, after = recorded.get("results"), now.read_provenance()["results"]
    before = before if isinstance(before, dict) else {}
    found = []
    for what in dict.fromkeys([*before, *after]) if before else ():
        equal = before.get(what) == after.get(what)
        difference = None if equal else _video_difference(then, now, what)
        found.append(Comparison(what, equal, 0.0 if equal else difference, allowed))
    files = (path for path in written_files(now) if path != now.config.name)
    return [*found, *(_compare_files(then, now, path, allowed) for path in files)]


def _compare_files(then: RunFolder, now: RunFolder, path: str, allowed: float) -> Comparison:
    """A file of the new run beside the one in the first run's folder. Values that `cosmos-exp evaluate` has added since
    to the measurements there are no difference."""
    old, new = then.path / path, now.path / path
    measured = now.is_measurement(path)
    if not old.is_file():
        return Comparison(path, False, None, allowed, is_file=True)
    equal, difference = file_sha256(old) == file_sha256(new), None
    if not equal and path.endswith(".mp4"):
        difference = _difference(old, new)
    elif not equal and measured:
        with contextlib.suppress(UserError):
            equal = _within(*(read_json("measurements", file, finite=False) for file in (new, old)))
    return Comparison(path, equal, difference, allowed, is_file=True, measured=measured)


def _within(values: Any, more: Any) -> bool:
    """Whether these values are all in `more`, where mappings may have further keys."""
    if isinstance(values, dict) and isinstance(more, dict):
        return all(key in more and _within(value, more[key]) for key, value in values.items())
    return values == more


def _video_difference(then: RunFolder, now: RunFolder, what: str) -> float | None:
    """The largest of the mean absolute differences of the videos that show a result; None where none does."""
    kind, name, *view = [*what.split("/"), ""] if "/" not in what else what.split("/")
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
    """Of two videos, 255 where they have not the same frames; None where one cannot be read."""
    try:
        if video_shape(then) != video_shape(now):
            return 255.0
        pairs = zip(stream_video(then), stream_video(now), strict=True)
        return float(np.mean([np.abs(old.astype(np.int16) - new).mean() for old, new in pairs]))
    except UserError:
        return None
