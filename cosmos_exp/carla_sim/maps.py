"""Towns: OpenDRIVE files by name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from cosmos_exp.carla_sim.lights import SignalPlan, signal_plan
from cosmos_exp.carla_sim.navigation_mesh import navigation_mesh
from cosmos_exp.carla_sim.sensor_data import GeoReference
from cosmos_exp.carla_sim.spawn_points import spawn_points
from cosmos_exp.carla_sim.speed_limits import SpeedLimits
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import XML_BYTES, read_bytes
from cosmos_exp.common.input_files import existing_file
from cosmos_exp.scene.carla.recorder import town_name
from cosmos_exp.scene.lane_surface import LaneSurface
from cosmos_exp.scene.opendrive.lane_strips import Strip, lane_strips
from cosmos_exp.scene.opendrive.notes import Notes
from cosmos_exp.scene.opendrive.reader import load_opendrive
from cosmos_exp.scene.opendrive.records import RoadNetwork
from cosmos_exp.scene.opendrive.road_network import read_network
from cosmos_exp.scene.types import SceneMap

FOLDER = "Carla/Maps"  # CARLA's asset folder, in the names that clients see
SUFFIX = ".xodr"
SENT = "OpenDriveMap"  # CARLA's name of a map that a client has sent


def base_name(name: str) -> str:
    """`/Game/Carla/Maps/Town10HD_Opt` -> `town10hd`."""
    return town_name(name).removesuffix(SUFFIX).lower().removesuffix("_opt")


@dataclass(frozen=True)
class Town:
    """An OpenDRIVE map. name: without folder and suffix. text: as the client reads it."""

    name: str
    path: Path
    text: str

    @cached_property
    def map(self) -> SceneMap:
        return load_opendrive(self.path)

    @cached_property
    def surface(self) -> LaneSurface:
        return LaneSurface(self.map.lanes)

    @cached_property
    def _roads(self) -> tuple[RoadNetwork, list[Strip]]:
        """The roads and their lanes; what is wrong with them, `map` has told."""
        notes = Notes()
        network = read_network(self.path, notes)
        return network, [strip for sides in lane_strips(network, notes) for side in sides for strip in side[1:]]

    @cached_property
    def signals(self) -> SignalPlan:
        return signal_plan(*self._roads)

    @cached_property
    def speed_limits(self) -> SpeedLimits:
        return SpeedLimits(self._roads[1])

    @cached_property
    def spawn_points(self) -> list[Transform]:
        return spawn_points(self.map)

    @cached_property
    def navigation_mesh(self) -> bytes:
        return navigation_mesh(self.map.lanes)

    @cached_property
    def navigation_file(self) -> str:
        """Name of the mesh's file among those that clients keep, another for another mesh."""
        digest = hashlib.sha256(self.navigation_mesh).hexdigest()[:16]
        return f"{FOLDER}/Nav/{self.name}_{digest}.bin"

    @cached_property
    def geo_reference(self) -> GeoReference:
        return GeoReference.of_map(self.text)

    @property
    def asset(self) -> str:
        return f"{FOLDER}/{self.name}"


class Towns:
    """The maps of a server: OpenDRIVE files given by path, and all of some folders."""

    def __init__(self, files: Sequence[Path] = (), folders: Sequence[Path] = ()):
        self.paths: dict[str, Path] = {}
        for folder in folders:
            if not folder.is_dir():
                raise UserError(f"no folder of maps {str(folder)!r}")
            for path in sorted(folder.glob(f"*{SUFFIX}")):
                self.paths.setdefault(base_name(path.name), path)
        for file in files:
            path = existing_file("OpenDRIVE map", file)
            self.paths[base_name(path.name)] = path
        self._loaded: dict[str, Town] = {}
        self._sent: TemporaryDirectory | None = None

    def add_text(self, text: str) -> None:
        """A map that a client sends, under the name that it then loads. Raises UserError where it is no OpenDRIVE."""
        if self._sent is None:
            self._sent = TemporaryDirectory(prefix="carla-sim-")
        path = Path(self._sent.name, f"{SENT}{SUFFIX}")
        path.write_text(text, encoding="utf-8")
        town = Town(SENT, path, text)
        _ = town.map
        self.paths[base_name(SENT)], self._loaded[base_name(SENT)] = path, town

    @property
    def names(self) -> list[str]:
        return [path.stem for path in self.paths.values()]

    def town(self, name: str) -> Town:
        """The town of that name, in any case, with or without folder and `_Opt`.

        Raises UserError on an unknown name, and where the file is no OpenDRIVE map.
        """
        key = base_name(name)
        if key not in self.paths:
            raise UserError(unknown_name("map", name, self.names))
        if key not in self._loaded:
            path = self.paths[key]
            text = read_bytes("OpenDRIVE map", path, XML_BYTES).decode("utf-8", "replace")
            self._loaded[key] = Town(path.stem, path, text)
        return self._loaded[key]
