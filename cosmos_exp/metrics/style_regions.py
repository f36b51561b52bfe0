"""Style by region: do the road, the sky, the vegetation and the buildings look as they do in the requested style?

The margin of `style`, for the pixels of one true class at a time: snow lies on the road, the sky is dark at night. Each
region has a linear discriminant of its own, over statistics of its colours, fitted on rendered clips of known style
(`style_regions.json`). Where two styles paint a region alike, as `Sunny` and `Original` do a road, its colours
cannot tell them apart: a style is compared with those alone that lie at least SEPARATE standard deviations away in this
region, and has no value where there is none. 1 is the requested style's mean, 0 lies between it and the nearest of
these, -1 is the other's mean. Frames are looked at in the small size of `style`, and pixels there that the
class fills. Higher is better.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import read_json
from cosmos_exp.metrics.style import SIZE, StyleClassifier, fit
from cosmos_exp.metrics.types import GeneratedClip
from cosmos_exp.rendering.palette import Tag

REGIONS = {
    "road": (Tag.ROAD,),
    "sky": (Tag.SKY,),
    "vegetation": (Tag.VEGETATION, Tag.TERRAIN),
    "building": (Tag.BUILDING, Tag.WALL),
}
FEATURES = ("red", "green", "blue", "contrast", "saturation")  # means of 0..1; contrast: deviation of the luma
FRAMES = 8  # at most, of each view
FILLED = 0.9  # share of a small pixel that the class covers
MIN_PIXELS = 25  # small ones of a frame; of 2304
SEPARATE = 3.0  # Mahalanobis distance between two means
DEVIATION = 0.02
REGIONS_FILE = Path(__file__).with_name("style_regions.json")


def region_features(video: np.ndarray, semantic: np.ndarray) -> dict[str, np.ndarray]:
    """{region: [frames,len(FEATURES)]} of uint8 [F,H,W,3] and its classes [F,H,W]: a row per frame that shows enough of
    the region, of at most FRAMES; regions without any are left out."""
    chosen = np.unique(np.linspace(0, len(video) - 1, FRAMES).round().astype(int))
    rows: dict[str, list[np.ndarray]] = {}
    for t in chosen:
        rgb = cv2.resize(video[t], SIZE, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        saturation = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1]
        for region, tags in REGIONS.items():
            covered = np.isin(semantic[t], tags).astype(np.float32)
            inside = cv2.resize(covered, SIZE, interpolation=cv2.INTER_AREA) >= FILLED
            if inside.sum() >= MIN_PIXELS:
                rows.setdefault(region, []).append(_features(rgb[inside], luma[inside], saturation[inside]))
    return {region: np.array(found) for region, found in rows.items()}


def _features(rgb: np.ndarray, luma: np.ndarray, saturation: np.ndarray) -> np.ndarray:
    return np.array([*rgb.mean(axis=0), luma.std(), saturation.mean()], np.float64)


def fit_region(features: np.ndarray, labels: Sequence[str]) -> StyleClassifier:
    """As `style.fit`. A sky of one flat colour has hardly any deviation of its own; DEVIATION keeps the smallest step
    away from it from being another style."""
    return fit(features, labels, deviation=DEVIATION)


def region_margin(classifier: StyleClassifier, features: np.ndarray, style: str) -> float | None:
    """As `style.margin`, against the styles that the region tells apart; None where there is none."""
    mean = classifier.centroids[classifier.styles.index(style)]
    offsets = mean - classifier.centroids
    distance = np.einsum("ck,kl,cl->c", offsets, classifier.precision, offsets)
    other = distance >= SEPARATE**2
    if not other.any():
        return None
    log_odds = np.einsum("ck,kl,cl->c", features - mean + offsets / 2, classifier.precision, offsets)
    return float(min((2 * log_odds[other] / distance[other]).min(), 1.0))


def save(classifiers: Mapping[str, StyleClassifier], path: Path) -> None:
    """Write a classifier per region as JSON."""
    regions = {
        region: {
            "centroids": {s: np.round(c, 5).tolist() for s, c in zip(found.styles, found.centroids)},
            "precision": np.round(found.precision, 3).tolist(),
        }
        for region, found in classifiers.items()
    }
    path.write_text(json.dumps({"features": list(FEATURES), "regions": regions}, indent=1) + "\n")


def load(path: Path) -> dict[str, StyleClassifier]:
    """Read them; UserError where the file was made for other features."""
    content = read_json("style classifiers", path)
    if content["features"] != list(FEATURES):
        raise UserError(f"{path} was fitted for other features than {', '.join(FEATURES)}: fit it again")
    return {
        region: StyleClassifier(
            tuple(found["centroids"]), np.array(list(found["centroids"].values())), np.array(found["precision"])
        )
        for region, found in content["regions"].items()
    }


@cache
def shipped_classifiers() -> dict[str, StyleClassifier]:
    return load(REGIONS_FILE)


def style_regions(clip: GeneratedClip) -> dict[str, float]:
    """style_road, style_sky, ...: margin of each region over all views; style_regions: their mean."""
    found: dict[str, list[np.ndarray]] = {}
    for view, video in clip.videos.items():
        for region, rows in region_features(video, clip.renders[view].output("semantic")).items():
            found.setdefault(region, []).append(rows)
    values = {}
    for region, classifier in shipped_classifiers().items():
        if clip.style not in classifier.styles:
            raise UserError(unknown_name("style", clip.style, classifier.styles))
        if region in found:
            margin = region_margin(classifier, np.concatenate(found[region]).mean(axis=0), clip.style)
            if margin is not None:
                values[f"style_{region}"] = margin
    return {"style_regions": float(np.mean(list(values.values()))), **values} if values else {}
