from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_exp.scene.source import REQUIRED, SceneConfig, SceneSource, window_problems
from cosmos_exp.scene.types import Scene


@dataclass
class CarlaLogConfig(SceneConfig):
    """A CARLA recorder log on an OpenDRIVE map."""

    log: str = REQUIRED
    """Path of the recorder file."""
    map: str = REQUIRED
    """Path of the .xodr file of the town the log was recorded in."""
    ego: int | None = None
    """Actor id of the ego vehicle; null: the one with the role hero, ego_vehicle, ego, or hero0 to hero9."""
    start: float | None = None
    """Seconds after the log's first frame; null: where the longest piece of the log begins that holds the ego without
    gaps and jumps; 0: where the first does."""
    duration: float | None = None
    """Seconds; null: to the end of that piece."""
    seed: int = 0
    """Of the scenery (buildings, trees) generated beside the roads."""


def load(log: str, map: str, **options: Any) -> Scene:
    from cosmos_exp.scene.carla.log import load_carla_scene

    return load_carla_scene(log, map, **options)


def check(options: Mapping[str, Any]) -> Iterator[str]:
    yield from window_problems(options["start"] or 0.0, options["duration"])


SOURCE = SceneSource(CarlaLogConfig, load, files=("log", "map"), check=check)
