"""Frames judged for what must not be shown, by open_nsfw or by the classifier of Cosmos-Guardrail1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.guardrails.classes import CLASSES, VIOLENCE
from cosmos_exp.guardrails.networks import OPEN_NSFW, load, outputs

NAME = "safety"
SIDE, CROP = 256, 224
"""Pixels that open_nsfw's frames are resized to, and those of the middle that it sees."""
OUTPUTS = ("outputs",)
BGR_MEAN = np.array([104, 117, 123], np.float32)

SIGLIP, GUARDRAIL = "google/siglip-so400m-patch14-384", "nvidia/Cosmos-Guardrail1"
SIGLIP_FILE = "model.safetensors"
CLASSIFIER = "video_content_safety_filter/safety_filter.pt"
BATCH = 8  # frames


class Judge(Protocol):
    """A network that says of each frame whether it is unsafe."""

    def unsafe(self, frames: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """bool [F] of uint8 [F,H,W,3] RGB, and what else is to be recorded. UserError where it cannot judge."""
        ...

    def record(self) -> dict[str, Any]:
        """What the judge is, as plain values."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """That its results follow from."""
        ...


@dataclass(frozen=True)
class OpenNsfw:
    """Yahoo's open_nsfw, a ResNet-50 that scores nudity 0 to 1. weights: as `guardrails.weights`."""

    weights: str
    threshold: float

    @cached_property
    def _net(self) -> cv2.dnn.Net:
        return load(OPEN_NSFW, self.weights)

    def scores(self, frames: np.ndarray) -> np.ndarray:
        """float [F], 0 to 1, of uint8 [F,H,W,3] RGB."""
        scores = np.array([self._score(frame) for frame in frames])
        if not ((scores >= 0) & (scores <= 1)).all():
            raise UserError("guardrails.safety: open_nsfw gave a score that is none: the frames cannot be judged")
        return scores

    def _score(self, frame: np.ndarray) -> float:
        """Of a frame as the network was trained: resized, the middle cut out, BGR less the mean."""
        resized = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        start = (SIDE - CROP) // 2
        middle = resized[start : start + CROP, start : start + CROP, ::-1]
        (classes,) = outputs(self._net, OPEN_NSFW, np.ascontiguousarray(middle - BGR_MEAN)[None], OUTPUTS)
        return float(classes[1])

    def unsafe(self, frames: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        scores = self.scores(frames)
        return scores >= self.threshold, {"highest_score": round(float(scores.max()), 4)}

    def record(self) -> dict[str, Any]:
        return {"network": OPEN_NSFW.name, "threshold": self.threshold}

    @property
    def files(self) -> tuple[Path, ...]:
        return (OPEN_NSFW.path(self.weights),)


@dataclass(frozen=True)
class SiglipClassifier:
    """SigLIP's embedding of a frame and a classifier of three layers, whose highest class counts.

    weights: as `guardrails.weights`. device: of the network. violence: whether that class is unsafe.
    """

    weights: str
    violence: bool
    device: str = "cpu"

    @property
    def folder(self) -> Path:
        return Path(self.weights) / SIGLIP

    @property
    def classifier(self) -> Path:
        return Path(self.weights) / GUARDRAIL / CLASSIFIER

    @cached_property
    def _networks(self) -> Any:
        from cosmos_exp.guardrails.siglip import Networks

        return Networks(self.folder, self.classifier, self.device)

    def unsafe(self, frames: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        found = np.concatenate(
            [self._networks.classes(frames[start : start + BATCH]) for start in range(0, len(frames), BATCH)]
        )
        shares = {name: round(float((found == number).mean()), 4) for number, name in enumerate(CLASSES)}
        harmless = found == 0 if self.violence else (found == 0) | (found == VIOLENCE)
        return ~harmless, {"classes": {name: share for name, share in shares.items() if share}}

    def record(self) -> dict[str, Any]:
        return {"network": "SigLIP", "violence": self.violence}

    @property
    def files(self) -> tuple[Path, ...]:
        return self.folder / SIGLIP_FILE, self.classifier
