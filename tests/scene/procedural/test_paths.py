from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.scene.procedural.paths import bend, direction, join, quarter_turn, straight


def test_a_bend_turns_by_its_angle_with_bounded_curvature():
    path = bend(np.array([3.0, 4.0]), 0.3, before=20.0, angle=-1.2, radius=50.0, after=30.0)
    assert path.headings[-1] - path.headings[0] == pytest.approx(-1.2, abs=2e-3)
    assert np.abs(np.diff(path.headings) / np.diff(path.stations)).max() < 1.01 / 50.0
    assert path.length == pytest.approx(20.0 + 1.2 * 50.0 + 15.0 + 30.0, abs=1e-3)
    chords = np.diff(path.points, axis=0)
    middle = (path.headings[1:] + path.headings[:-1]) / 2
    np.testing.assert_allclose(np.arctan2(chords[:, 1], chords[:, 0]), middle, atol=1e-9)


def test_offsets_lie_beside_the_path():
    path = bend(np.zeros(2), 0.0, before=5.0, angle=1.0, radius=40.0, after=5.0)
    left = path.offset(3.5)
    np.testing.assert_allclose(np.linalg.norm(left[:, :2] - path.points, axis=1), 3.5)
    assert path.shifted(3.5).length < path.length < path.shifted(-3.5).length


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("end", [(10.0, 10.0), (14.0, 6.0), (6.0, 14.0)])
def test_a_quarter_turn_joins_its_ends_tangentially(left, end):
    side = 1.0 if left else -1.0
    goal = np.array([end[0], side * end[1]])
    path = quarter_turn(np.zeros(2), 0.0, goal, left)
    np.testing.assert_allclose(path.points[[0, -1]], [[0.0, 0.0], goal], atol=1e-12)
    np.testing.assert_allclose(path.headings[[0, -1]], [0.0, side * np.pi / 2])
    chords = np.diff(path.points, axis=0)
    assert (np.linalg.norm(chords, axis=1) > 1e-9).all()
    np.testing.assert_allclose(
        np.arctan2(chords[:, 1], chords[:, 0]), (path.headings[1:] + path.headings[:-1]) / 2, atol=1e-9
    )


def test_joined_paths_go_on_without_a_jump():
    first = straight(np.zeros(2), 3.0, 10.0)
    second = straight(first.points[-1], 3.0 - 2 * np.pi, 5.0)
    path = join(first, second)
    assert path.length == pytest.approx(15.0)
    assert np.abs(np.diff(path.headings)).max() < 1e-9
    xy, heading = path.at(12.5)
    np.testing.assert_allclose(xy, 12.5 * direction(3.0))
    assert heading == pytest.approx(3.0)


def test_reversed_runs_the_other_way():
    path = straight(np.array([1.0, 2.0]), 0.5, 30.0)
    back = path.reversed()
    np.testing.assert_allclose(back.at(4.0)[0], path.at(26.0)[0])
    np.testing.assert_allclose(direction(float(back.at(0.0)[1])), -direction(0.5))
