"""Metrics of what was generated, each looked up on its own, and the sanity gate before them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.files import write_bytes
from cosmos_exp.common.single_entry_cache import SingleEntryCache
from cosmos_exp.common.stored_arrays import Arrays, load_arrays
from cosmos_exp.common.video import write_video
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.evaluators import load_evaluator
from cosmos_exp.evaluators.identity import evaluator_identity
from cosmos_exp.evaluators.types import Evaluator, Perception
from cosmos_exp.metrics import READS_PERCEPTION, READS_TARGETS, SURVIVAL, VERSIONS, evaluate_metric
from cosmos_exp.metrics.frame_series import FRAME_SERIES, frame_series
from cosmos_exp.metrics.label_file import FILE as LABELS
from cosmos_exp.metrics.label_file import label_values
from cosmos_exp.metrics.label_overlay import label_overlay
from cosmos_exp.metrics.survival import survival
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.models.base import ByRequest, GeneratedVideos
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.scene_loading import LoadedScene
from cosmos_exp.rendering.stored import load_render
from cosmos_exp.runs.run_folder import RunFolder

LABELS_VERSION = 1  # of the verdicts' file and videos

_evaluators = SingleEntryCache()
_found = SingleEntryCache()  # what the metrics of a clip have found out about its truth


@dataclass(frozen=True)
class StoredEvaluator:
    """An evaluator whose output for the same frames is looked up: generated videos, ceilings and floors share it."""

    evaluator: Evaluator
    results: Results

    @property
    def identity(self) -> Mapping[str, object]:
        return self.evaluator.identity

    @property
    def every(self) -> int:
        return self.evaluator.every

    def perceive(self, frames: np.ndarray) -> Perception:
        shown = hashlib.sha256(frames.tobytes()).hexdigest()
        entry = self.results.part(
            "metrics",
            "perception",
            {"evaluator": self.identity, "shape": list(frames.shape)},
            [shown],
            lambda: self.evaluator.perceive(frames).arrays(),
        )
        return Perception.from_arrays(load_arrays(entry))


@dataclass(frozen=True)
class StyleResult:
    """One style's videos beside the truth. renders: the scene in its weather. targets: the scene in this style; empty
    where it was not rendered."""

    prompt: str
    videos: GeneratedVideos
    renders: ByRequest
    targets: ByRequest


class Measured:
    """The metrics of one style. Its clip is loaded when the first metric has to be computed."""

    def __init__(self, spec: RunSpec, scene: LoadedScene, results: Results, style: StyleResult):
        self.spec = spec
        self.scene = scene
        self.results = results
        self.style = style

    def metric(self, name: str) -> Entry:
        """{key: value} of one metric."""
        config, inputs, size = self.config(name), self.inputs(name), self.spec.megapixels
        return self.results.get("metrics", config, inputs, lambda: evaluate_metric(self.clip, name), size=size)

    def config(self, name: str) -> dict[str, Any]:
        """What a metric's value follows from, besides its inputs."""
        reader = {"evaluator": self.reader} if self.reader and name in READS_PERCEPTION else {}
        return {"metric": name, "version": VERSIONS[name], **reader}

    @cached_property
    def reader(self) -> Mapping[str, object] | None:
        """The identity of the evaluator, which is loaded only where something has to be read."""
        return evaluator_identity(self.spec.config.evaluator)

    @cached_property
    def evaluator(self) -> Evaluator | None:
        config = self.spec.config
        return _evaluators.get(
            (tuple(asdict(config.evaluator).items()), config.hardware.device),
            lambda: load_evaluator(config.evaluator, config.hardware.device),
        )

    @property
    def has_labels(self) -> bool:
        """Whether the run judges labels."""
        return self.reader is not None and bool({*SURVIVAL} & {*self.spec.metrics})

    def write_labels(self, folder: RunFolder) -> None:
        """The verdicts of `survival` and their videos, into the run folder. Call where `has_labels`."""
        name = SURVIVAL[0]
        config = {"labels": LABELS_VERSION, **self.config(name), "fps": self.spec.fps}
        entry = self.results.part("metrics", "labels", config, self.inputs(name), self._labels)
        target = folder.labels(self.style.videos.style)
        for file, content in load_arrays(entry).items():
            write_bytes(target / file, content.tobytes())

    def _labels(self) -> Arrays:
        """{file name: uint8 [bytes]}."""
        found = survival(self.clip)
        if found is None:
            raise ValueError("labels are judged with an evaluator and the scene rendered in the style")
        files = {LABELS: np.frombuffer(json.dumps(label_values(self.clip, found)).encode(), np.uint8)}
        with TemporaryDirectory() as folder:
            for view in self.clip.videos:
                path = write_video(Path(folder) / f"{view}.mp4", label_overlay(self.clip, found, view), self.spec.fps)
                files[path.name] = np.frombuffer(path.read_bytes(), np.uint8)
        return files

    def frame_series(self, names: Sequence[str]) -> dict[str, list[float | None]]:
        """{metric: value of each frame of the front view}, of those that have any; None for a frame without one."""
        return {name: values for name in FRAME_SERIES if name in names and (values := self._frame_values(name))}

    def _frame_values(self, name: str) -> list[float | None]:
        config = {"metric": name, "version": VERSIONS[name]}
        entry = self.results.part(
            "metrics", "frame_series", config, self.inputs(name), lambda: {"values": frame_series(self.clip, name)}
        )
        values = load_arrays(entry)["values"].tolist()
        return [None if math.isnan(value) else round(value, 6) for value in values]

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

    @cached_property
    def clip(self) -> GeneratedClip:
        style, truth = self.style, self.spec.truth_requests
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
            evaluator=StoredEvaluator(self.evaluator, self.results) if self.evaluator else None,
        )
        keys = tuple(renders[request].key for request in truth.values())
        clip.reference_cache.update(_found.get(keys, lambda: clip.reference_cache))
        return clip
