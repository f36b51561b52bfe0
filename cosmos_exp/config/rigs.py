"""Rigs by the name of their option."""

from __future__ import annotations

from collections.abc import Sequence

from cosmos_exp.config.compose import compose, rig_of
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Rig
from cosmos_exp.sensors.rigs import resized


def load_rig(
    name: str = "six_views",
    overrides: Sequence[str] = (),
    *,
    scene: Scene | None = None,
    size: tuple[int, int] | None = None,
) -> Rig:
    """The cameras of an option of the `sensors` group: `load_rig("carla_yaml", ["sensors.file=sensors.yaml"])`.

    scene: whose ego actor the cameras of a sensor file are mounted on. size: (width, height) of every camera; None: its
    own, or 1280 x 704. Raises UserError for an unknown name, and where the rig is that of a recorded clip that no
    override names.
    """
    rig = rig_of(compose([f"sensors={name}", *overrides]), scene)
    return resized(rig, *size) if size else rig
