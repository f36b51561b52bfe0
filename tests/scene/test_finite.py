"""A number that is not finite stops where a scene is made, with its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.finite import require_finite
from cosmos_exp.scene.types import (
    ActorClass,
    Building,
    Lane,
    LaneLine,
    LaneType,
    LightState,
    Pole,
    Scene,
    SceneMap,
    Track,
    TrafficLight,
    Trajectory,
    Tree,
)

NAN = float("nan")


@pytest.fixture
def scene() -> Scene:
    path = Trajectory(np.array([0.0, 1.0]), np.stack([np.eye(4)] * 2))
    line = np.zeros((2, 3))
    scene_map = SceneMap(
        "town",
        lanes=(Lane("1:0:1", LaneType.DRIVING, line, line + 1),),
        lane_lines=(LaneLine(line),),
        crosswalks=(line,),
        poles=(Pole(line[0], line[1]),),
        traffic_lights=(TrafficLight("7", np.eye(4), (1, 1, 1), np.array([0.0]), (LightState.RED,)),),
        buildings=(Building(line, 3.0, (1, 1, 1)),),
        trees=(Tree(line[0], 3.0, 1.0),),
    )
    car = Track("4", ActorClass.CAR, (4.0, 2.0, 1.5), path)
    return Scene("clip", "mine", scene_map, replace(car, id="ego"), path, (car,), 0.0, 1.0)


def test_finite_scenes_pass(scene: Scene) -> None:
    require_finite(scene)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda s: replace(s, end=float("inf")), r"the start or the end is inf \(number 1\)"),
        (lambda s: s.rig_trajectory.times.__setitem__(1, NAN) or s, "a time of the rig is nan"),
        (lambda s: replace(s, tracks=(replace(s.tracks[0], size=(4.0, NAN, 1.0)),)), "a size of object 4 is nan"),
        (lambda s: s.map.lanes[0].left.__setitem__((1, 2), NAN) or s, "an edge of lane 1:0:1 is nan"),
        (lambda s: s.map.traffic_lights[0].state_times.__setitem__(0, NAN) or s, "a time of traffic light 7 is nan"),
        (lambda s: replace(s, map=replace(s.map, trees=(Tree(np.zeros(3), NAN, 1.0),))), "tree 0 is nan"),
    ],
    ids=["window", "time", "size", "lane", "light", "tree"],
)
def test_the_place_is_named(scene: Scene, changed, message: str) -> None:
    with pytest.raises(UserError, match=f"scene clip: {message}.*must be finite"):
        require_finite(changed(scene))
