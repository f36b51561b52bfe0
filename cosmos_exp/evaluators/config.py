"""The `evaluator` config group."""

from __future__ import annotations

from dataclasses import dataclass

EVALUATORS = ("nano", "transformers", "none")
MODELS = ("segmentation", "depth", "detection")
"""Keys of the models of `transformers`."""


@dataclass
class EvaluatorConfig:
    name: str = "nano"
    """nano: the network that ships with the package; transformers: models of Hugging Face, for photoreal video; none:
    the metrics of perception have no value."""
    every: int = 4
    """It reads one of so many frames."""
    batch: int = 8
    """Frames that it reads at once."""
    weights: str | None = None
    """nano: a file that `cosmos-exp train` wrote; null: the one that ships with the package."""
    segmentation: str | None = None
    """transformers: a model of semantic segmentation with CityScapes classes, by name or folder; null: no mask_miou."""
    depth: str | None = None
    """transformers: a model of monocular depth in metres; null: no depth_si_rmse."""
    detection: str | None = None
    """transformers: a model of object detection with COCO classes; null: no object_recall, no false_objects."""
