"""A hand-made street: straight road along x, one car 20 m ahead, sidewalks, a building, a tree, a sign, a light."""

import numpy as np

from cosmos_exp.scene.types import (
    Building,
    Lane,
    LaneLine,
    LaneType,
    LightState,
    Pole,
    SceneMap,
    TrafficLight,
    TrafficSign,
    Trajectory,
    Tree,
)


def line(y: float, z: float = 0.0, x0: float = -60.0, x1: float = 160.0) -> np.ndarray:
    x = np.linspace(x0, x1, 23)
    return np.stack([x, np.full(23, y), np.full(23, z)], axis=1)


def pose(x: float, y: float, z: float, yaw: float = 0.0) -> np.ndarray:
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, 1.0, z], [0, 0, 0, 1]])


def still(at: np.ndarray, end: float = 2.0) -> Trajectory:
    return Trajectory(np.array([0.0, end]), np.stack([at, at]))


def street_map() -> SceneMap:
    return SceneMap(
        "street",
        lanes=(
            Lane("r", LaneType.DRIVING, line(1.75), line(-1.75)),
            Lane("l", LaneType.DRIVING, line(1.75)[::-1], line(5.25)[::-1]),
            Lane("sr", LaneType.SIDEWALK, line(-1.75), line(-4.5)),
            Lane("sl", LaneType.SIDEWALK, line(8.0), line(5.25)),
        ),
        lane_lines=(LaneLine(line(1.75), "broken"), LaneLine(line(-1.6))),
        road_boundaries=(line(-1.75), line(5.25)),
        crosswalks=(np.array([[9, -1.75, 0], [12, -1.75, 0], [12, 5.25, 0], [9, 5.25, 0.0]]),),
        wait_lines=(np.array([[8, -1.75, 0], [8, 1.75, 0.0]]),),
        poles=(Pole(np.array([15, -2.5, 0.0]), np.array([15, -2.5, 6.0])),),
        traffic_signs=(TrafficSign("s", pose(14, -3, 2.3, np.pi), (0.05, 0.7, 0.7), "stop"),),
        traffic_lights=(
            TrafficLight(
                "t", pose(16, 3, 5, np.pi), (0.3, 0.4, 1.0), np.array([0.0, 1.0]), (LightState.RED, LightState.GREEN)
            ),
        ),
        buildings=(
            Building(np.array([[20, -20, 0], [40, -20, 0], [40, -8, 0], [20, -8, 0.0]]), 12.0, (0.6, 0.5, 0.4), 3),
        ),
        trees=(Tree(np.array([25, 10, 0.0]), 7.0, 2.5, 1),),
    )
