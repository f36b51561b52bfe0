"""`evaluator=transformers`: models of Hugging Face, by name or folder, for photoreal video."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from cosmos_exp.common.errors import UserError
from cosmos_exp.evaluators.config import EvaluatorConfig
from cosmos_exp.evaluators.identity import evaluator_identity
from cosmos_exp.evaluators.types import IGNORED, OBJECT_CLASSES, SEMANTIC_CLASSES, Perception

NO_CLASS = IGNORED - 1
"""Semantic class of pixels that a model gives a class which is none of ours: wrong wherever it is."""
LEAST_SCORE = 0.05

# Names of CityScapes, ADE20K and COCO, beside our own.
SEMANTIC_NAMES = {
    "building": ("building", "wall", "fence", "house", "skyscraper", "bridge"),
    "pole": ("pole", "streetlight"),
    "traffic_light": ("traffic light",),
    "traffic_sign": ("traffic sign", "signboard"),
    "vegetation": ("vegetation", "tree", "plant", "palm"),
    "terrain": ("terrain", "grass", "earth", "field"),
    "person": ("person", "rider"),
    "vehicle": ("car", "truck", "bus", "train", "motorcycle", "bicycle", "van", "minibike"),
}
OBJECT_NAMES = {
    "large_vehicle": ("truck", "bus", "train"),
    "two_wheeler": ("motorcycle", "bicycle", "rider"),
    "pedestrian": ("person", "pedestrian"),
    "traffic_light": ("traffic light",),
    "traffic_sign": ("traffic sign", "stop sign"),
}


class TransformersEvaluator:
    """config: without problems. device: where the models run, in their own precision."""

    def __init__(self, config: EvaluatorConfig, device: str = "cpu"):
        self.config = config
        self.device = torch.device(device)
        self.every = config.every

    @cached_property
    def identity(self) -> Mapping[str, object]:
        return evaluator_identity(self.config) or {}

    @cached_property
    def _models(self) -> dict[str, tuple[Any, Any]]:
        """{task: image processor and model}."""
        from transformers import AutoModelForDepthEstimation as Depth
        from transformers import AutoModelForObjectDetection as Detection
        from transformers import AutoModelForSemanticSegmentation as Segmentation

        found = {}
        for key, kind in (("segmentation", Segmentation), ("depth", Depth), ("detection", Detection)):
            if name := getattr(self.config, key):
                found[key] = self._load(key, kind, name)
        if "depth" in found and _is_relative(found["depth"][1].config):
            raise UserError(
                f"evaluator.depth={self.config.depth} predicts depth up to an unknown shift, which no scale-invariant "
                "error allows: take a model of depth in metres, such as "
                "depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf"
            )
        return found

    def _load(self, key: str, kind: Any, name: str) -> tuple[Any, Any]:
        from transformers import AutoImageProcessor

        try:
            processor = AutoImageProcessor.from_pretrained(name, use_fast=False)
            model = kind.from_pretrained(name)
        except (OSError, ValueError, ImportError) as error:
            raise UserError(f"evaluator.{key}={name}: {error}") from None
        return processor, model.to(self.device).eval()

    @torch.inference_mode()
    def perceive(self, frames: np.ndarray) -> Perception:
        """frames: uint8 [F,H,W,3] RGB."""
        size = frames.shape[1:3]
        seen: dict[str, Any] = {}
        if "segmentation" in self._models:
            table, seen["known"] = class_table(self._models["segmentation"][1].config.id2label)
            classes = self._batches("segmentation", frames, lambda processor, output, sizes: torch.stack(
                processor.post_process_semantic_segmentation(output, target_sizes=sizes)
            ).cpu().numpy())  # fmt: skip
            seen["semantic"] = table[np.concatenate(classes)]
        if "depth" in self._models:
            depths = self._batches("depth", frames, lambda processor, output, sizes: torch.nn.functional.interpolate(
                output.predicted_depth[:, None].float(), size, mode="bilinear", align_corners=False
            )[:, 0].cpu().numpy())  # fmt: skip
            seen["depth"] = np.concatenate(depths).astype(np.float32)
        if "detection" in self._models:
            seen["boxes"] = self._boxes(frames)
        return Perception(**seen)

    def _boxes(self, frames: np.ndarray) -> np.ndarray:
        kinds = object_kinds(self._models["detection"][1].config.id2label)
        found = self._batches("detection", frames, lambda processor, output, sizes: (
            processor.post_process_object_detection(output, threshold=LEAST_SCORE, target_sizes=sizes)
        ))  # fmt: skip
        rows = [np.zeros((0, 7), np.float32)]
        for frame, result in enumerate(result for batch in found for result in batch):
            labels = [kinds.get(int(label), -1) for label in result["labels"]]
            table = np.column_stack(
                [np.full(len(labels), frame), labels, result["scores"].cpu().numpy(), result["boxes"].cpu().numpy()]
            )
            rows.append(table[table[:, 1] >= 0].astype(np.float32).reshape(-1, 7))
        return np.concatenate(rows)

    def _batches(self, key: str, frames: np.ndarray, finish: Callable[[Any, Any, list[tuple[int, int]]], Any]) -> list:
        """What `finish` makes of the processor, the model's output and the frames' sizes, per batch."""
        processor, model = self._models[key]
        results = []
        for first in range(0, len(frames), self.config.batch):
            batch = list(frames[first : first + self.config.batch])
            inputs = processor(images=batch, return_tensors="pt").to(self.device)
            results.append(finish(processor, model(**inputs), [frame.shape[:2] for frame in batch]))
        return results


def _is_relative(config: Any) -> bool:
    kind = getattr(config, "depth_estimation_type", None)
    return kind == "relative" or (kind is None and config.model_type == "dpt")


def class_table(id2label: Mapping[int, str]) -> tuple[np.ndarray, Sequence[str]]:
    """uint8 [256], a model's class -> index into SEMANTIC_CLASSES or NO_CLASS, and which of ours it tells apart.

    UserError where it has none of ours.
    """
    names = {alias: ours for ours in SEMANTIC_CLASSES for alias in SEMANTIC_NAMES.get(ours, (ours,))}
    table = np.full(max(256, max(id2label) + 1), NO_CLASS, np.uint8)
    known = set()
    for index, label in id2label.items():
        ours = names.get(_plain(label))
        if ours:
            table[index] = list(SEMANTIC_CLASSES).index(ours)
            known.add(ours)
    if not known:
        raise UserError(
            f"evaluator.segmentation: none of the model's classes ({', '.join(list(id2label.values())[:8])}, ...) is "
            f"one of {', '.join(names)}"
        )
    return table, tuple(name for name in SEMANTIC_CLASSES if name in known)


def object_kinds(id2label: Mapping[int, str]) -> dict[int, int]:
    """{a model's class: index into OBJECT_CLASSES}. UserError where it has none of ours."""
    names = {alias: ours for ours in OBJECT_CLASSES for alias in OBJECT_NAMES.get(ours, (ours,))}
    found = {i: list(OBJECT_CLASSES).index(names[_plain(s)]) for i, s in id2label.items() if _plain(s) in names}
    if not found:
        raise UserError(
            f"evaluator.detection: none of the model's classes ({', '.join(list(id2label.values())[:8])}, ...) is "
            f"one of {', '.join(names)}"
        )
    return found


def _plain(label: str) -> str:
    """ADE20K gives synonyms after commas."""
    return label.partition(",")[0].strip().lower().replace("_", " ")
