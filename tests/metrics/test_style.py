from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.styles import STYLES
from cosmos_exp.metrics import style


def graded(truth, rng) -> dict[str, np.ndarray]:
    """The street as four styles, by colour grading with some variation."""
    video = truth.single_view.astype(np.float32)
    gain = rng.uniform(0.9, 1.1)
    return {
        "Night": video * 0.15 * gain,
        "Foggy": video * 0.2 * gain + 150,
        "Snowy": video * 0.4 + 140 * gain,
        "Sunny": video * 1.2 * gain * [1.05, 1.0, 0.9],
    }


def samples(truth, seed: int, count: int) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    features, labels = [], []
    for _ in range(count):
        for label, video in graded(truth, rng).items():
            features.append(style.style_features(np.clip(video, 0, 255).astype(np.uint8)))
            labels.append(label)
    return np.array(features), labels


def test_features_of_a_flat_video():
    video = np.zeros((2, 12, 12, 3), np.uint8)
    video[..., 0] = 255
    features = dict(zip(style.FEATURES, style.style_features(video)))
    assert features["red"] == 1.0 and features["blue"] == 0.0
    assert features["saturation"] == pytest.approx(1.0)
    assert features["contrast"] == 0.0
    assert features["upper_blue"] == features["lower_blue"] == -1.0
    assert features["dark"] == features["bright"] == 0.0


def test_classifier_separates_graded_streets_and_survives_a_file(truth, tmp_path):
    style.save(style.fit(*samples(truth, seed=0, count=6)), tmp_path / "c.json")
    classifier = style.load(tmp_path / "c.json")
    features, labels = samples(truth, seed=1, count=3)
    found = [max(p, key=p.__getitem__) for p in (style.predict(classifier, f) for f in features)]
    assert found == labels
    assert sum(style.predict(classifier, features[0]).values()) == pytest.approx(1.0)


def test_the_margin_is_one_at_the_style_and_falls_steadily_to_the_other(truth):
    classifier = style.fit(*samples(truth, seed=0, count=6))
    night, snowy = (classifier.centroids[classifier.styles.index(name)] for name in ("Night", "Snowy"))
    assert style.margin(classifier, night, "Night") == 1.0
    assert style.margin(classifier, snowy, "Night") <= -1.0
    videos = graded(truth, np.random.default_rng(3))
    shares = np.linspace(0, 1, 9)
    blends = [(1 - a) * videos["Night"] + a * videos["Snowy"] for a in shares]
    scores = [
        style.margin(classifier, style.style_features(np.clip(blend, 0, 255).astype(np.uint8)), "Snowy")
        for blend in blends
    ]
    assert scores == sorted(scores)
    assert scores[0] < -0.5 and scores[-1] > 0.5
    assert len({round(score, 1) for score in scores}) > 5, "graded, not a switch"


def test_softness_is_not_a_style(truth):
    classifier = style.fit(*samples(truth, seed=0, count=6))
    for label, video in graded(truth, np.random.default_rng(5)).items():
        soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 3) for frame in np.clip(video, 0, 255).astype(np.uint8)])
        probabilities = style.predict(classifier, style.style_features(soft))
        assert max(probabilities, key=probabilities.__getitem__) == label


def test_fit_needs_two_clips_of_every_style(truth):
    with pytest.raises(UserError, match="at least two clips"):
        style.fit(*samples(truth, seed=0, count=1))


def test_file_for_other_features_is_refused(tmp_path):
    (tmp_path / "c.json").write_text('{"features": ["red"], "centroids": {}, "precision": []}')
    with pytest.raises(UserError, match="fitted for other features"):
        style.load(tmp_path / "c.json")


def test_shipped_classifier_knows_the_eight_styles(truth):
    assert set(style.shipped_classifier().styles) == set(STYLES)
    dark = replace(truth, style="Night", generated={v: (x * 0.12).astype(np.uint8) for v, x in truth.generated.items()})
    assert style.style_score(dark)["style_score"] > style.style_score(replace(dark, style="Sunny"))["style_score"]
    with pytest.raises(UserError, match="did you mean 'Night'"):
        style.style_score(replace(truth, style="night"))
