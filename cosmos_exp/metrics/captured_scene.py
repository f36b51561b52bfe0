"""Which metrics have a value for a scene that comes with pictures of its own, such as one captured from CARLA.

Its labels and its geometry are of the world in the pictures. The renderer draws that scene with buildings and trees of
its own, so its picture in a style is no reference for it: what compares pictures compares with the captured ones, in
their own weather alone. That weather is whatever was captured, and none of the styles that the style scores know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cosmos_exp.metrics import READS_TARGETS, SURVIVAL
from cosmos_exp.metrics.info import metric_info

OF_PICTURES = READS_TARGETS.difference(SURVIVAL)
"""Metrics that compare with a picture in the style. Label survival asks whether the evaluator can be trusted at a
label, which any true picture of the scene tells."""

OF_STYLES = frozenset({"style_score", "style_regions"})

NO_PICTURE = (
    "the scene was captured with pictures, and has none in this style to compare with: the renderer draws other "
    "buildings and trees"
)
NO_STYLE = "its pictures have the weather that was captured, which is none of the styles that the score knows"

WITHOUT_CEILING = OF_STYLES
"""In other styles too: the captured picture shows another style."""
WITHOUT_FLOOR = OF_PICTURES
"""Another scene is drawn by the renderer, and beside captured pictures its look counts, not what it shows."""


def not_measured(metrics: Iterable[str], *, own_weather: bool) -> dict[str, str]:
    """{metric: why it has no value} of these metrics. own_weather: whether the style is that of the pictures."""
    absent, reason = (OF_STYLES, NO_STYLE) if own_weather else (OF_PICTURES, NO_PICTURE)
    return {name: reason for name in metrics if name in absent}


def sentences(found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """One for each reason. found: {style: {metric: why it has no value}}."""
    said: dict[str, tuple[list[str], list[str]]] = {}
    for style, reasons in found.items():
        for metric, reason in reasons.items():
            styles, labels = said.setdefault(reason, ([], []))
            styles += [style] * (style not in styles)
            labels += [metric_info(metric).label] * (metric_info(metric).label not in labels)
    return [f"No {', '.join(labels)} in {', '.join(styles)}: {reason}" for reason, (styles, labels) in said.items()]
