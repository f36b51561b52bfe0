"""Driving scenes: the types `Scene` and `SceneMap`, readers and generators of scenes, scenery and edits.

`carla`, `opendrive`, `rds_hq` and `waymo` read recorded data, `procedural` generates streets, `edits` changes the scene
of any source, and `sources` selects a source by the config. May import `common` and `sensors`.
"""

from cosmos_exp.scene.types import (
    ActorClass,
    Barrier,
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
    TrafficSign,
    Trajectory,
    Tree,
)

__all__ = [
    "ActorClass",
    "Barrier",
    "Building",
    "Lane",
    "LaneLine",
    "LaneType",
    "LightState",
    "Pole",
    "Scene",
    "SceneMap",
    "Track",
    "TrafficLight",
    "TrafficSign",
    "Trajectory",
    "Tree",
]
