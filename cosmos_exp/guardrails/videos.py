"""The guards of videos: faces that are pixelated, and frames for which a clip is blocked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.progress import Tick
from cosmos_exp.guardrails import faces, safety
from cosmos_exp.guardrails.config import GuardrailsConfig
from cosmos_exp.guardrails.faces import Face, FaceGuard
from cosmos_exp.guardrails.safety import Judge, OpenNsfw, SiglipClassifier

SAFETY_MODELS = ("open_nsfw", "siglip")


@dataclass(frozen=True)
class VideoGuards:
    """faces, judge: None where that guard is off. share: of a view's frames that may be unsafe."""

    faces: FaceGuard | None
    judge: Judge | None
    share: float

    def record(self) -> dict[str, Any]:
        """What the guards are, as plain values."""
        found: dict[str, Any] = {}
        if self.faces:
            found[faces.NAME] = self.faces.record()
        if self.judge:
            found[safety.NAME] = {**self.judge.record(), "share": self.share}
        return found

    @property
    def files(self) -> tuple[Path, ...]:
        """That their results follow from."""
        return tuple(file for guard in (self.faces, self.judge) if guard for file in guard.files)

    def examine(self, frames: np.ndarray, tick: Tick = lambda done, total: None) -> dict[str, Any]:
        """What the guards find in uint8 [F,H,W,3] RGB, as plain values.

        faces: of each frame. safety: `found`, why the clip is to be blocked, or empty, and what was measured. Where the
        frames are unsafe, faces are not looked for. UserError where a guard cannot judge.
        """
        if not len(frames):
            raise UserError("guardrails: a video without frames cannot be judged")
        report: dict[str, Any] = {}
        if self.judge:
            unsafe, measured = self.judge.unsafe(frames)
            report[safety.NAME] = {"found": self._found(unsafe), "unsafe_frames": int(unsafe.sum()), **measured}
        if self.faces and not report.get(safety.NAME, {}).get("found"):
            report[faces.NAME] = []
            for number, frame in enumerate(frames, 1):
                report[faces.NAME].append([list(face) for face in self.faces.find(frame)])
                tick(number, len(frames))
        return report

    def _found(self, unsafe: np.ndarray) -> str:
        if unsafe.mean() <= self.share:
            return ""
        return f"{int(unsafe.sum())} of {len(unsafe)} frames are unsafe, the first is frame {int(unsafe.argmax())}"


def found_faces(report: dict[str, Any]) -> list[list[Face]]:
    """Of each frame, from what `VideoGuards.examine` has made; none where it did not look for them."""
    return [[Face(*face) for face in frame] for frame in report.get(faces.NAME, [])]


def video_guards(config: GuardrailsConfig, device: str = "cpu") -> VideoGuards | None:
    """The guards of a config; None where none is on. device: of a network in torch."""
    if not (config.faces or config.safety):
        return None
    judge: Judge | None = None
    if config.safety and config.safety_model == "siglip":
        judge = SiglipClassifier(config.weights, config.violence, device)
    elif config.safety:
        judge = OpenNsfw(config.weights, config.safety_threshold)
    finder = FaceGuard(config.weights, config.face_threshold, config.face_size) if config.faces else None
    return VideoGuards(finder, judge, config.safety_share)
