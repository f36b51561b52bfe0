"""The `sensors` group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cosmos_exp.common.typed_config import NO_EFFECT, REQUIRED


@dataclass
class SensorsConfig:
    """The cameras on the vehicle."""

    name: str = field(default=REQUIRED, metadata=NO_EFFECT)
    cameras: dict[str, Any] = REQUIRED
    """{camera name: model and mounting}."""
    camera_type: str | None = None
    """ftheta or pinhole: the cameras that the scene's clip was recorded with, by that calibration; null: `cameras`."""
    views: dict[str, str] = field(default_factory=dict)
    """{camera name: view of the model that it stands for}, where the two names differ."""
    file: str | None = None
    """Sensor file of CARLA's Cosmos exporter; its cameras are camera_0, camera_1 and so on, in place of `cameras`."""
    actor_origin: list[float] | None = None
    """x, y, z in metres of the ego actor in the rig frame, where the sensors of a file belong; null: the scene's."""
