from __future__ import annotations

import numpy as np

from cosmos_exp.scene.crop import crop_map
from cosmos_exp.scene.types import Barrier, Lane, LaneLine, LaneType, Pole, SceneMap


def line(first: float, last: float, y: float) -> np.ndarray:
    x = np.arange(first, last + 1, 5.0)
    return np.stack([x, np.full(len(x), y), np.zeros(len(x))], axis=-1)


def test_lanes_and_lines_are_cut_and_the_rest_kept_whole_or_dropped():
    lane = Lane("a", LaneType.DRIVING, line(0, 500, 0), line(0, 500, -3.5))
    square = np.array([[190.0, 0, 0], [225, 0, 0], [225, 5, 0], [190, 5, 0]])
    scene_map = SceneMap(
        name="m",
        lanes=(lane, Lane("far", LaneType.DRIVING, line(400, 500, 0), line(400, 500, -3.5))),
        lane_lines=(LaneLine(line(0, 500, 0), "broken", "yellow", 0.2),),
        road_boundaries=(line(0, 500, -3.5),),
        crosswalks=(square, square + [200, 0, 0]),
        barriers=(Barrier(line(0, 500, 2), 0.9, kind="rail"), Barrier(line(400, 500, 2))),
        poles=(Pole(np.zeros(3), np.array([0, 0, 3.0])), Pole(np.array([200.0, 0, 0]), np.array([200.0, 0, 3]))),
    )
    cropped = crop_map(scene_map, np.array([[100.0, 0, 0], [150, 0, 0]]), 50.0)
    assert [piece.id for piece in cropped.lanes] == ["a"]
    assert cropped.lanes[0].left[[0, -1], 0].tolist() == [45, 205]
    assert cropped.lanes[0].right.shape == cropped.lanes[0].left.shape
    assert cropped.lane_lines[0].points[[0, -1], 0].tolist() == [45, 205]
    (barrier,) = cropped.barriers
    assert barrier.points[[0, -1], 0].tolist() == [50, 200] and (barrier.height, barrier.kind) == (0.9, "rail")
    assert (cropped.lane_lines[0].style, cropped.lane_lines[0].color) == ("broken", "yellow")
    assert len(cropped.road_boundaries) == len(cropped.crosswalks) == 1
    assert [pole.base[0] for pole in cropped.poles] == [200.0]


def test_a_lane_that_leaves_and_returns_becomes_two():
    bow = np.array([[x, 80.0 * np.sin(x / 100 * np.pi), 0] for x in range(0, 101, 5)])
    lane = Lane("bow", LaneType.DRIVING, bow, bow - [0, 3, 0])
    cropped = crop_map(SceneMap("m", lanes=(lane,)), np.array([[0.0, 0, 0], [100, 0, 0]]), 40.0)
    assert [piece.id for piece in cropped.lanes] == ["bow", "bow/1"]
    assert cropped.lanes[0].left[0, 0] == 0 and cropped.lanes[1].left[-1, 0] == 100


def test_a_single_point_is_a_path():
    lane = Lane("a", LaneType.DRIVING, line(0, 100, 0), line(0, 100, -3.5))
    assert len(crop_map(SceneMap("m", lanes=(lane,)), np.array([[50.0, 0.0]]), 10.0).lanes[0].left) == 7
