from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_exp.scene.source import REQUIRED, SceneConfig, SceneSource
from cosmos_exp.scene.types import Scene


@dataclass
class CarlaLogConfig(SceneConfig):
    """A CARLA recorder log on an OpenDRIVE map."""

    log: str = REQUIRED
    """Path of the recorder file."""
    map: str = REQUIRED
    """Path of the .xodr file of the town the log was recorded in."""
    ego: int | None = None
    """Actor id of the ego vehicle; null: the one with the role hero, ego_vehicle or ego."""
    start: float = 0.0
    """Seconds after the log's first frame."""
    duration: float | None = None
    """Seconds; null: to the end of the log."""
    seed: int = 0
    """Of the scenery (buildings, trees) generated beside the roads."""


def load(log: str, map: str, **options: Any) -> Scene:
    from cosmos_exp.scene.carla.log import load_carla_scene

    return load_carla_scene(log, map, **options)


def check(options: Mapping[str, Any]) -> Iterator[str]:
    if options["duration"] is not None and options["duration"] <= 0:
        yield f"scene.duration={options['duration']:g}: a time window must be longer than 0 s"
    if options["start"] < 0:
        yield f"scene.start={options['start']:g}: must be 0 s or later"


SOURCE = SceneSource(CarlaLogConfig, load, files=("log", "map"), check=check)
