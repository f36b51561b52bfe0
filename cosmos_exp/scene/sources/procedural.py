from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.source import SceneConfig, SceneSource
from cosmos_exp.scene.types import Scene


@dataclass
class ProceduralConfig(SceneConfig):
    """A street generated from a seed."""

    seed: int = 1000005
    """The nano model was trained on streets of seeds below 1000000."""
    road: str | None = None
    """Kind of street; null samples one of straight_2lane, straight_4lane, curve, intersection and t_junction."""
    traffic: str = "ordinary"
    """`near`: close to the ego, with more lorries, buses, cyclists and crossing people of all sizes, and signs and
    signals in all states."""
    layout: str = "even"
    """How lane widths, bends, sidewalks and speed limits are drawn: evenly from wide ranges, or as measured in towns
    (`town`)."""
    num_vehicles: int = 12
    num_pedestrians: int = 6
    duration: float = 5.0
    """Seconds."""


def load(**options: Any) -> Scene:
    from cosmos_exp.scene.procedural.street import procedural_scene

    return procedural_scene(**options)


def check(options: Mapping[str, Any]) -> Iterator[str]:
    from cosmos_exp.scene.procedural.street import check_arguments

    try:
        check_arguments(**options)
    except UserError as error:
        yield f"scene.{error}"


SOURCE = SceneSource(ProceduralConfig, load, check=check)
