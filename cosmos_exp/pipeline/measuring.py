"""Metrics of what was generated, each looked up on its own, and the sanity gate before them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.files import write_bytes
from cosmos_exp.common.memo import Memo
from cosmos_exp.common.single_entry_cache import SingleEntryCache
from cosmos_exp.common.stored_arrays import Arrays, load_arrays
from cosmos_exp.common.threads import one_torch_thread
from cosmos_exp.common.video import write_video
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.evaluators import load_evaluator
from cosmos_exp.evaluators.config import EvaluatorConfig
from cosmos_exp.evaluators.identity import evaluator_identity
from cosmos_exp.evaluators.types import Perception
from cosmos_exp.metrics import READS_PERCEPTION, READS_PROMPT, READS_TARGETS, SURVIVAL, VERSIONS, evaluate_metric
from cosmos_exp.metrics.frame_series import FRAME_SERIES, frame_series
from cosmos_exp.metrics.label_file import FILE, label_values
from cosmos_exp.metrics.label_overlay import label_overlay
from cosmos_exp.metrics.survival import survival
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.models.base import ByRequest, GeneratedVideos, RenderRequest
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.scene_loading import LoadedScene
from cosmos_exp.rendering.stored import load_render
from cosmos_exp.runs.run_folder import RunFolder

LABELS = "labels"
"""The verdicts of `survival`, as a file and as videos."""
LABELS_VERSION = 1

_evaluators = SingleEntryCache()
_found = SingleEntryCache()  # what the metrics of a clip have found out about its truth


@dataclass(frozen=True)
class StoredEvaluator:
    """The evaluator of a run, whose output for the same frames is looked up: generated videos, ceilings and floors
    share it. Its network is loaded where something has to be read."""

    results: Results

    @property
    def config(self) -> EvaluatorConfig:
        return self.results.spec.config.evaluator

    @cached_property
    def identity(self) -> Mapping[str, object]:
        """Empty without an evaluator."""
        return evaluator_identity(self.config, self.results.file_identity) or {}

    @property
    def every(self) -> int:
        return self.config.every

    def perceive(self, frames: np.ndarray) -> Perception:
        shown = hashlib.sha256(frames.tobytes()).hexdigest()
        config = {"evaluator": self.identity, "shape": list(frames.shape)}
        entry = self.results.part("metrics", "perception", config, [shown], lambda: self._read(frames).arrays())
        return Perception.from_arrays(load_arrays(entry))

    def _read(self, frames: np.ndarray) -> Perception:
        """On a CPU in one thread: several metrics are computed at the same time."""
        device = self.results.spec.config.hardware.device
        key = *astuple(self.config), device
        one_torch_thread()
        return _evaluators.get(key, lambda: load_evaluator(self.config, device)).perceive(frames)


@dataclass(frozen=True)
class StyleResult:
    """One style's videos beside the truth. renders: the scene in its weather. targets: the scene in this style; empty
    where it was not rendered."""

    prompt: str
    videos: GeneratedVideos
    renders: ByRequest
    targets: ByRequest


class Measured:
    """The metrics of one style. Its clip is loaded when the first metric has to be computed. Several threads may ask
    for metrics."""

    def __init__(
        self,
        spec: RunSpec,
        scene: LoadedScene,
        results: Results,
        style: StyleResult,
        truth: Mapping[str, RenderRequest] | None = None,
    ):
        """truth: {view: what its video is compared with}; None: of all that the run generates."""
        self.spec = spec
        self.scene = scene
        self.results = results
        self.style = style
        self.truth = spec.truth_requests if truth is None else truth
        self.megapixels = spec.megapixels if truth is None else sum(own.shape.megapixels for own in truth.values())
        self.evaluator = StoredEvaluator(results)
        self._memo = Memo()

    def metric(self, name: str) -> Entry:
        """{key: value} of one metric."""
        config, inputs, size = self.config(name), self.inputs(name), self.megapixels
        return self.results.get("metrics", config, inputs, lambda: evaluate_metric(self.clip, name), size=size)

    def config(self, name: str) -> dict[str, Any]:
        """What a metric's value follows from, besides its inputs."""
        evaluator = {"evaluator": self.evaluator.identity} if self.has_evaluator and name in READS_PERCEPTION else {}
        prompt = {"prompt": self.style.prompt} if name in READS_PROMPT else {}
        return {"metric": name, "version": VERSIONS[name], **evaluator, **prompt}

    @property
    def has_evaluator(self) -> bool:
        return bool(self.evaluator.identity)

    def shown(self, names: Sequence[str]) -> dict[str, Callable[[], Entry]]:
        """What is looked at beside the values of these metrics: {metric: lookup of its values of frames}, and LABELS
        where the run judges labels."""
        found: dict[str, Callable[[], Entry]] = {}
        if {*SURVIVAL} & {*self.spec.metrics} and self.has_evaluator:
            found[LABELS] = self._label_files
        found |= {name: partial(self._series, name) for name in FRAME_SERIES if name in names}
        return found

    def write_labels(self, folder: RunFolder) -> None:
        """The verdicts of `survival` and their videos, into the run folder, where the run judges labels."""
        if lookup := self.shown(()).get(LABELS):
            target = folder.labels(self.style.videos.style)
            for file, content in load_arrays(lookup()).items():
                write_bytes(target / file, content.tobytes())

    def _label_files(self) -> Entry:
        name = SURVIVAL[0]
        config = {"labels": LABELS_VERSION, **self.config(name), "fps": self.spec.fps}
        return self.results.part("metrics", LABELS, config, self.inputs(name), self._labels)

    def _labels(self) -> Arrays:
        """{file name: uint8 [bytes]}."""
        found = survival(self.clip)
        if found is None:
            raise ValueError("labels are judged with an evaluator and the scene rendered in the style")
        files = {FILE: np.frombuffer(json.dumps(label_values(self.clip, found)).encode(), np.uint8)}
        with TemporaryDirectory() as folder:
            for view in self.clip.videos:
                path = write_video(Path(folder) / f"{view}.mp4", label_overlay(self.clip, found, view), self.spec.fps)
                files[path.name] = np.frombuffer(path.read_bytes(), np.uint8)
        return files

    def frame_series(self, names: Sequence[str]) -> dict[str, list[float | None]]:
        """{metric: value of each frame of the front view}, of those that have any; None for a frame without one."""
        return {name: values for name in FRAME_SERIES if name in names and (values := self._frame_values(name))}

    def _frame_values(self, name: str) -> list[float | None]:
        values = load_arrays(self._series(name))["values"].tolist()
        return [None if math.isnan(value) else round(value, 6) for value in values]

    def _series(self, name: str) -> Entry:
        return self.results.part(
            *("metrics", "frame_series", self.config(name), self.inputs(name)),
            lambda: {"values": frame_series(self.clip, name)},
        )

    def require_sane(self) -> None:
        """SanityError where a generated video is black, frozen or not a number."""
        from cosmos_exp.metrics.gate import require_sane

        made = self.style.videos
        videos = {view: video.read() for view, video in made.views.items()} | {"single view": made.front.read()}
        require_sane({f"{made.style}, {view}": video for view, video in videos.items()})

    def inputs(self, name: str) -> list[str]:
        """Keys of what a metric reads: so that a further metric leaves the results of the others."""
        style = self.style
        targets = style.targets.values() if name in READS_TARGETS else ()
        entries = [*style.videos.entries, *style.renders.values(), *targets]
        return [style.videos.style, *(entry.key for entry in entries)]

    @property
    def clip(self) -> GeneratedClip:
        return self._memo.once("clip", self._load_clip)

    def _load_clip(self) -> GeneratedClip:
        style, truth = self.style, self.truth
        videos, renders, targets = style.videos, style.renders, style.targets
        frames = next(iter(truth.values())).shape.frames
        clip = GeneratedClip(
            style=videos.style,
            prompt=style.prompt,
            generated={view: video.read() for view, video in videos.views.items()},
            single_view=videos.front.read(),
            renders={view: load_render(renders[request], view) for view, request in truth.items()},
            cameras={view: self.scene.camera(request) for view, request in truth.items()},
            rig_poses=self.scene.scene.rig_trajectory.sample(self.scene.times[:frames]),
            targets={view: load_arrays(targets[own])["rgb"] for view, own in truth.items() if own in targets},
            scene=self.scene.scene,
            evaluator=self.evaluator if self.has_evaluator else None,
        )
        keys = tuple(renders[request].key for request in truth.values())
        return clip.sharing(_found.get(keys, Memo))
