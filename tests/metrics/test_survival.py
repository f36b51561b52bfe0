"""Label survival: verdicts for labels that are shown, removed, moved, and that nobody can see."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.perceived import VIEWS, perceived_clip, shifted, street

from cosmos_exp.common.errors import UserError
from cosmos_exp.metrics.label_file import Shares, label_values, read_shares, surviving
from cosmos_exp.metrics.label_overlay import COLORS, label_overlay
from cosmos_exp.metrics.objects import SCORE
from cosmos_exp.metrics.survival import (
    LEVEL,
    LOST,
    SHOWN,
    UNDECIDED,
    lane_survival,
    object_survival,
    outline_test,
    paint_test,
    survival,
)
from cosmos_exp.rendering.renderer import Renderer, render_camera

FRONT = VIEWS[0]


@pytest.fixture(scope="module")
def clip():
    return perceived_clip()


@pytest.fixture(scope="module")
def displaced(clip):
    return replace(clip, generated={view: shifted(40)(view, video) for view, video in clip.generated.items()})


def test_the_render_shows_all_labels_that_can_be_decided(clip):
    assert object_survival(clip)["object_survival"] == 1.0
    assert lane_survival(clip)["lane_survival"] == 1.0
    assert {v.verdict for v in (*survival(clip).objects, *survival(clip).lines)} <= {SHOWN, UNDECIDED}


def test_a_displaced_picture_shows_few(displaced):
    assert object_survival(displaced)["object_survival"] < 0.3
    assert lane_survival(displaced)["lane_survival"] < 0.4


def test_a_vehicle_that_is_not_drawn_is_lost_and_the_others_are_not(clip):
    """The nearest car that the evaluator finds is left out of the picture."""
    scene = street()
    seen = [v for v in survival(clip).objects if v.seen >= SCORE and v.label.name == "car"]
    nearest = min(seen, key=lambda verdict: verdict.label.distance)
    removed, view = nearest.id, nearest.view
    without = replace(scene, tracks=tuple(t for t in scene.tracks if t.id != removed))
    times = clip.renders[view].times
    video = render_camera(Renderer(without), clip.cameras[view], times, outputs=("rgb",)).output("rgb")
    found = survival(replace(clip, generated={**clip.generated, view: video})).objects
    verdicts = [v.verdict for v in found if v.view == view and v.id == removed and v.seen_in_render >= SCORE]
    assert verdicts and all(verdict == LOST for verdict in verdicts)
    others = [v.verdict == SHOWN for v in found if v.view == view and v.id != removed and v.verdict != UNDECIDED]
    assert np.mean(others) > 0.8


def test_a_verdict_has_its_evidence(clip):
    for verdict in survival(clip).objects:
        trusted = verdict.seen_in_render >= SCORE
        assert (verdict.p_in_render is None) or not trusted
        if verdict.verdict == SHOWN and not trusted:
            assert verdict.p <= LEVEL and verdict.p_in_render <= LEVEL


def test_the_outline_test_finds_a_disc_and_nothing_in_noise():
    y, x = np.mgrid[:64, :96]
    disc = (x - 48) ** 2 + (y - 32) ** 2 <= 64
    rng = np.random.default_rng(0)
    mask, corner = disc[20:45, 36:61], (36, 20)

    def p_of(picture: np.ndarray) -> float | None:
        return outline_test((np.gradient(picture, axis=1), np.gradient(picture, axis=0)), mask, corner, "disc")

    assert p_of(100.0 * disc + rng.normal(0, 5, disc.shape)) <= LEVEL
    chances = [p_of(rng.normal(0, 5, disc.shape)) for _ in range(40)]
    assert np.mean(np.array(chances) <= 0.1) < 0.3  # about a tenth under the null hypothesis


def test_the_paint_test_finds_a_line_and_nothing_beside_it():
    contrast = np.random.default_rng(0).normal(0, 2, (60, 200))
    contrast[:, 100] += 20
    rows = np.arange(60)
    assert paint_test(contrast, rows, np.full(60, 100)) <= LEVEL
    assert paint_test(contrast, rows, np.full(60, 70)) > LEVEL
    assert paint_test(contrast[:, :8], rows, np.full(60, 4)) is None  # no room for copies


def test_the_overlay_shows_each_label_in_the_colour_of_its_verdict(clip, displaced):
    for made, colour in ((clip, SHOWN), (displaced, LOST)):
        drawn = label_overlay(made, survival(made), FRONT)
        assert drawn.shape == made.videos[FRONT].shape and drawn.dtype == np.uint8
        colours = {tuple(c) for c in drawn.reshape(-1, 3)}
        assert COLORS[colour] in colours and (0, 0, 0) in colours
    assert not (label_overlay(clip, survival(clip), FRONT) == COLORS[LOST]).all(axis=-1).any()


def test_the_file_of_verdicts_gives_the_share_of_each_label(displaced, tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(label_values(displaced, survival(displaced))))
    shares = read_shares(path)
    decided = [v for v in survival(displaced).objects if v.verdict != UNDECIDED]
    assert set(shares.objects) == {v.id for v in decided}
    one = decided[0].id
    assert shares.objects[one] == np.mean([v.verdict == SHOWN for v in decided if v.id == one])


def test_only_what_is_shown_survives():
    scene = street()
    shares = Shares({scene.tracks[0].id: 0.6, scene.tracks[1].id: 0.4}, {2: 1.0, 3: 0.1})
    kept = surviving(scene, shares, 0.5)
    assert [track.id for track in kept.tracks] == [scene.tracks[0].id]
    assert kept.map.lane_lines == (scene.map.lane_lines[2],)
    assert kept.map.traffic_signs == () and kept.map.crosswalks == scene.map.crosswalks


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="no label verdicts at"):
        read_shares(tmp_path / "labels.json")
    for content in ("[]", "{}", '{"schema": 9, "objects": [], "lane_lines": []}', "no json"):
        (tmp_path / "labels.json").write_text(content)
        with pytest.raises(UserError, match=r"labels\.json"):
            read_shares(tmp_path / "labels.json")
