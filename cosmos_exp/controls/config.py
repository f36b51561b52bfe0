"""The `controls` and `previews` groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import ClassVar

from cosmos_exp.common.typed_config import NO_EFFECT, REQUIRED


@dataclass
class AreaConfig:
    """A part of the picture: where all that is given meets."""

    classes: list[str] = field(default_factory=list)
    """Semantic classes of the scene, such as car or pedestrian; any of them."""
    box: list[float] | None = None
    """Left, top, right, bottom, as shares of width and height."""
    mask: str | None = None
    """File of values over the clip: .pt, .npy or .safetensors [T,H,W] or [H,W], a picture or a video; or a folder with
    one for each camera. A single file is of the front view."""


@dataclass
class WeightMapConfig(AreaConfig):
    """weight * (outside + (inside - outside) * area); where no area is given, the weight is the same everywhere."""

    inside: float = 1.0
    outside: float = 0.0


@dataclass
class ControlConfig:
    COUNTS_WHERE: ClassVar[str] = "where the control has a weight"

    weight: float = 0.0
    """Control weight, >= 0; 0 leaves the control out."""
    weight_map: WeightMapConfig = field(default_factory=WeightMapConfig)
    """Varies the weight over the picture."""
    file: str | None = None
    """A user-provided control video of the front view, or a folder with one for each camera; null draws it from the
    scene."""

    @property
    def changes_result(self) -> bool:
        return self.weight > 0


@dataclass
class EdgeConfig(ControlConfig):
    strength: str = "medium"
    """Canny thresholds: very_low (many edges) to very_high (few)."""
    class_filter: str | None = None
    """Class filter of CARLA's Cosmos exporter, or `carla` for its usual classes: only their edges stay."""
    drop_sky: bool = False
    """Remove edges in the sky."""
    reference_compat: bool = False
    """Masked edges with the flaws of CARLA's exporter: edges along the mask, no vehicles."""


@dataclass
class VisConfig(ControlConfig):
    strength: str = "medium"
    """Blur: very_low to very_high."""


@dataclass
class DepthConfig(ControlConfig):
    min_depth: float = 0.01
    """Metres drawn white."""
    max_depth: float = 1000.0
    """Metres drawn black."""
    mapping: str = "log"
    """log: of these limits; inverse, linear: from the smallest value in the clip to its largest."""


@dataclass
class SegConfig(ControlConfig):
    mode: str = "semantic"
    """semantic: CityScapes colours; instance: one colour per object; shaded: both, with light from the right."""
    palette: str = "distinct"
    """Colours of objects: distinct, or prism as in CARLA's Cosmos exporter."""
    class_filter: str | None = None
    """Class filter of CARLA's Cosmos exporter; shaded: classes that keep their colour; null: its usual ones."""
    reference_compat: bool = False
    """Objects told apart by class and upper byte of their id only, as in CARLA's exporter."""


@dataclass
class ControlsConfig:
    """Weights above 1 in sum are scaled down to 1; others are used as given. Controls that the multi-view net does not
    read give their weight to those that it reads."""

    hdmap: ControlConfig = field(default_factory=ControlConfig)
    edge: EdgeConfig = field(default_factory=EdgeConfig)
    depth: DepthConfig = field(default_factory=DepthConfig)
    seg: SegConfig = field(default_factory=SegConfig)
    vis: VisConfig = field(default_factory=VisConfig)
    lidar: ControlConfig = field(default_factory=ControlConfig)
    """Made only where it has a weight or is among previews.names."""
    wsm: ControlConfig = field(default_factory=ControlConfig)
    """World Scenario map. Made only where it has a weight or is among previews.names."""
    keypoint: ControlConfig = field(default_factory=ControlConfig)
    """Poses of people in OpenPose's colours. Made only where it has a weight, from a file."""
    upscale: ControlConfig = field(default_factory=ControlConfig)
    """The video that upscaler_4k enlarges, from a file."""

    def items(self) -> Iterator[tuple[str, ControlConfig]]:
        """(name, config) of every control."""
        return ((entry.name, getattr(self, entry.name)) for entry in fields(self))

    @property
    def used(self) -> dict[str, ControlConfig]:
        """Those with a weight above 0."""
        return {name: control for name, control in self.items() if control.weight > 0}


@dataclass
class PreviewsConfig:
    """Videos to look at, which condition nothing."""

    names: list[str] = field(default=REQUIRED, metadata=NO_EFFECT)
    """Pictures written as videos beside the controls, any of `cosmos_exp.controls.PREVIEWS`; their parameters are those
    of controls.edge and controls.seg."""
    controls: str = field(default="all", metadata=NO_EFFECT)
    """all: every control of every view; used: only those that a network reads."""
