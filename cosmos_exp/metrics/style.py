"""Style score: does the video look like the requested style?

A dozen statistics of colour and contrast, and a linear discriminant over the eight styles (shared covariance, equal
priors). Its numbers are fitted on rendered clips of known style and ship as `style_classifier.json`. The score is the
log-odds of the requested style against another one, divided by what they are at the requested style's mean, the least
over all others: 1 is as dark, pale, blue or grey as the renderer's clips of that style, 0 lies between it and another
style, -1 is another style's mean. So it falls steadily as one style fades into another, where a probability jumps from
1 to 0. Above 1 it is cut: more snow than snow is no better. Frames are looked at in a small size, because generated
video is blurrier or noisier than rendered video in every style. It is blind to rain drops and snow flakes. Higher is
better.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import read_json
from cosmos_exp.metrics.types import GeneratedClip

FEATURES = (
    "red", "green", "blue",  # mean, 0..1
    "contrast",  # standard deviation of the luma
    "saturation", "saturation_spread",  # of HSV
    "dark", "bright",  # share of pixels with luma below 0.2 and above 0.8
    "upper_luma", "lower_luma",  # mean of the upper and lower third
    "upper_blue", "lower_blue",  # blue minus red there
)  # fmt: skip
DARK, BRIGHT = 0.2, 0.8
SIZE = (64, 36)  # width, height at which a frame is looked at
RIDGE = 0.05  # share of the diagonal added to the pooled covariance
CLASSIFIER_FILE = Path(__file__).with_name("style_classifier.json")


@dataclass(frozen=True)
class StyleClassifier:
    """Linear discriminant. styles: C names; centroids: [C,K]; precision: [K,K], inverse pooled covariance."""

    styles: tuple[str, ...]
    centroids: np.ndarray
    precision: np.ndarray


def style_features(video: np.ndarray) -> np.ndarray:
    """[len(FEATURES)] float64 of a uint8 [F,H,W,3] video, averaged over at most eight frames."""
    chosen = np.unique(np.linspace(0, len(video) - 1, 8).round().astype(int))
    return np.mean([frame_features(video[i]) for i in chosen], axis=0)


def frame_features(frame: np.ndarray) -> np.ndarray:
    """[len(FEATURES)] float64 of one uint8 [H,W,3] frame."""
    small = cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA)  # neither noise nor softness is a style
    rgb = small.astype(np.float32) / 255
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    saturation = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1]
    third = SIZE[1] // 3
    upper, lower = slice(0, third), slice(-third, None)
    warmth = rgb[..., 2] - rgb[..., 0]
    return np.array(
        [
            *rgb.mean(axis=(0, 1)),
            luma.std(),
            saturation.mean(),
            saturation.std(),
            (luma < DARK).mean(),
            (luma > BRIGHT).mean(),
            luma[upper].mean(),
            luma[lower].mean(),
            warmth[upper].mean(),
            warmth[lower].mean(),
        ],
        np.float64,
    )


def fit(features: np.ndarray, labels: Sequence[str], *, deviation: float = 1e-3) -> StyleClassifier:
    """Fit to features [N,K] of clips with known styles, N labels; every style needs at least two clips.

    deviation: that every feature is taken to have beside what its clips show.
    """
    styles = tuple(sorted(set(labels)))
    index = np.array([styles.index(label) for label in labels])
    if np.bincount(index).min() < 2:
        raise UserError("fitting the style classifier needs at least two clips of every style")
    centroids = np.stack([features[index == c].mean(axis=0) for c in range(len(styles))])
    residual = features - centroids[index]
    covariance = residual.T @ residual / max(len(features) - len(styles), 1)
    covariance += np.diag(RIDGE * np.diag(covariance) + deviation**2)
    return StyleClassifier(styles, centroids, np.linalg.inv(covariance))


def predict(classifier: StyleClassifier, features: np.ndarray) -> dict[str, float]:
    """{style: probability} of one clip's features [K]."""
    offset = features - classifier.centroids
    score = -0.5 * np.einsum("ck,kl,cl->c", offset, classifier.precision, offset)
    weight = np.exp(score - score.max())
    return dict(zip(classifier.styles, (weight / weight.sum()).tolist()))


def save(classifier: StyleClassifier, path: Path) -> None:
    """Write a classifier as JSON."""
    content = {
        "features": list(FEATURES),
        "centroids": {s: np.round(c, 6).tolist() for s, c in zip(classifier.styles, classifier.centroids)},
        "precision": np.round(classifier.precision, 4).tolist(),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def load(path: Path) -> StyleClassifier:
    """Read a classifier; UserError where the file was made for other features."""
    content = read_json("style classifier", path)
    if content["features"] != list(FEATURES):
        raise UserError(f"{path} was fitted for other features than {', '.join(FEATURES)}: fit it again")
    centroids: Mapping[str, list[float]] = content["centroids"]
    return StyleClassifier(tuple(centroids), np.array(list(centroids.values())), np.array(content["precision"]))


@cache
def shipped_classifier() -> StyleClassifier:
    return load(CLASSIFIER_FILE)


def margin(classifier: StyleClassifier, features: np.ndarray, style: str) -> float:
    """Where features [K] lie between the mean of the style, 1, and that of the nearest other, -1; at most 1."""
    mean = classifier.centroids[classifier.styles.index(style)]
    others = classifier.centroids[[other != style for other in classifier.styles]]
    weights = (mean - others) @ classifier.precision
    log_odds = np.einsum("ck,ck->c", features - (mean + others) / 2, weights)
    at_mean = np.einsum("ck,ck->c", (mean - others) / 2, weights)
    return float(min((log_odds / at_mean).min(), 1.0))


def style_score(clip: GeneratedClip) -> dict[str, float]:
    """style_score: margin of the requested style, over all views; style_match: 1 where it is the likeliest."""
    classifier = shipped_classifier()
    if clip.style not in classifier.styles:
        raise UserError(unknown_name("style", clip.style, classifier.styles))
    features = np.mean([style_features(video) for video in clip.videos.values()], axis=0)
    score = margin(classifier, features, clip.style)
    return {"style_score": score, "style_match": float(score > 0)}
