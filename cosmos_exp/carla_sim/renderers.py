"""What the cameras see: the scene of a replay around the actor that it follows, else the town around their carrier.

A replay is drawn as the pipeline draws the log: by the renderer of the same `Scene`, at the same times, so the pixels
are the same. Everything else is drawn by renderers of pieces of the town, which are built where they are needed.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from cosmos_exp.carla_sim.actors import Actor
from cosmos_exp.carla_sim.maps import Town
from cosmos_exp.carla_sim.replay import Replay
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.carla_sim.world import World
from cosmos_exp.common.counted_warnings import CountedWarnings
from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.frame_objects import (
    RANGE,
    WALKING,
    FrameObjects,
    PlacedObject,
    SceneFrames,
    gait_offset,
    gait_phase,
)
from cosmos_exp.rendering.gbuffer import GBuffer
from cosmos_exp.rendering.renderer import Frame, Renderer
from cosmos_exp.scene.carla.axes import flu_points
from cosmos_exp.scene.carla.log import LIGHT_STATES, recorded_scene
from cosmos_exp.scene.carla.recorded_actors import RecordedActor
from cosmos_exp.scene.carla.recorder import ActorType
from cosmos_exp.scene.carla.tracks import actor_parts, is_drawable_prop, is_traffic, rear_axle, recorded_box
from cosmos_exp.scene.crop import crop_map
from cosmos_exp.scene.scenery import add_scenery
from cosmos_exp.scene.types import ActorClass, LightState, Scene, Track, Trajectory
from cosmos_exp.sensors.camera import Camera

logger = logging.getLogger(__name__)

REGION = 100.0  # metres between the centres of pieces of the town
REACH = 220.0  # metres of the town around a centre
MOST_REGIONS = 6
OFF = 1.0  # metres off its carrier's box from which a camera sees the carrier
NOWHERE = Trajectory(np.zeros(1), np.eye(4)[None])


def as_recorded(actor: Actor) -> RecordedActor:
    """An actor as the reader of logs describes it."""
    boxed = actor.box_extent.any()
    return RecordedActor(
        actor.added,
        0,
        0,
        box_origin=actor.box_center if boxed else None,
        box_extent=actor.box_extent if boxed else None,
    )


@dataclass
class Drawn:
    """How an actor is drawn. parts: its tracks and their centres [4,4] in the actor's frame. walked: metres.

    placed: the parts where the actor was at `place`.
    """

    parts: list[tuple[Track, np.ndarray]]
    place: Transform
    walked: float = 0.0
    placed: list[PlacedObject] | None = None


class Appearances:
    """The tracks of the world's actors, made once for each."""

    def __init__(self) -> None:
        self._drawn: dict[int, Drawn] = {}

    def forget(self, number: int) -> None:
        self._drawn.pop(number, None)

    def placed(self, actor: Actor) -> list[PlacedObject]:
        """The actor's parts where it is now; none where it is nothing to be seen."""
        drawn = self._drawn.get(actor.id)
        if drawn is None:
            drawn = self._drawn[actor.id] = Drawn(_parts(actor), actor.transform)
        if drawn.placed is not None and drawn.place is actor.transform:
            return drawn.placed
        step = float(np.linalg.norm(actor.transform.location - drawn.place.location))
        drawn.walked, drawn.place = drawn.walked + step, actor.transform
        pose = actor.transform.pose
        drawn.placed = [
            PlacedObject(instance_number(actor.id), track, pose @ to_centre, _phase(track, drawn.walked))
            for track, to_centre in drawn.parts
        ]
        return drawn.placed


def instance_number(actor: int) -> int:
    """What stands for an actor in the instance image: its id, in 16 bits."""
    return (actor - 1) % 0xFFFF + 1


def _phase(track: Track, walked: float) -> int:
    if track.actor_class not in WALKING or walked < 0.2:
        return 0
    return gait_phase(walked, gait_offset(track.id))


def _parts(actor: Actor) -> list[tuple[Track, np.ndarray]]:
    recorded = as_recorded(actor)
    if not is_traffic(recorded) and not is_drawable_prop(recorded):
        return []
    parts = []
    for part in actor_parts(recorded, CountedWarnings()):
        to_centre = np.eye(4)
        to_centre[:3, 3] = part.box.centre
        name = f"{actor.id}{part.suffix}"
        parts.append((Track(name, part.kind, part.box.size, NOWHERE, part.color, actor.type_id, actor.role), to_centre))
    return parts


def _axle(actor: Actor) -> np.ndarray:
    """[3] the origin of the rig in the actor's frame: below a vehicle's rear axle."""
    recorded = as_recorded(actor)
    box = recorded_box(recorded)
    return np.zeros(3) if box is None or actor.kind is not ActorType.VEHICLE else rear_axle(recorded, box)


def heading(renderer: Renderer) -> float:
    """Degrees, counter-clockwise from the world's x, that the azimuth of a weather's sun counts from."""
    forward = renderer.start[:2, 0]
    return math.degrees(math.atan2(forward[1], forward[0]))


class TownPieces:
    """Renderers of pieces of a town, built on demand and ahead of it in a thread; the least recently used go."""

    def __init__(self, town: Town):
        self.town = town
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="town")
        self._built: OrderedDict[tuple[int, int], Future[Renderer]] = OrderedDict()
        self._whole = self._pool.submit(lambda: add_scenery(town.map, 0))
        self._lock = threading.Lock()

    def renderer(self, place: np.ndarray) -> Renderer:
        """The renderer around a place [3] of the world; waits while it is built."""
        return self.begin(place).result()

    def begin(self, place: np.ndarray) -> Future[Renderer]:
        """Begin to build the renderer around a place."""
        cell = (int(np.round(place[0] / REGION)), int(np.round(place[1] / REGION)))
        with self._lock:
            if cell not in self._built:
                self._built[cell] = self._pool.submit(self._build, cell)
                while len(self._built) > MOST_REGIONS:
                    self._built.popitem(last=False)
            self._built.move_to_end(cell)
            return self._built[cell]

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _build(self, cell: tuple[int, int]) -> Renderer:
        centre = np.array([cell[0] * REGION, cell[1] * REGION, 0.0])
        pose = np.eye(4)
        pose[:3, 3] = centre
        path = Trajectory(np.zeros(1), pose[None])
        cropped = crop_map(self._whole.result(), centre[None], REACH)
        ego = Track("ego", ActorClass.CAR, (4.5, 1.9, 1.5), path)
        scene = Scene(self.town.name, "carla_sim", cropped, ego, path, (), 0.0, 0.0)
        return Renderer(scene)


class ReplayedScene:
    """The scene of a replay, built in a thread."""

    def __init__(self, replay: Replay, town: Town, pool: ThreadPoolExecutor):
        self.replay = replay
        self._built = pool.submit(self._build, town)

    def _build(self, town: Town) -> tuple[Renderer, SceneFrames] | None:
        replay = self.replay
        for duration in (replay.duration or None, None):
            try:
                scene = recorded_scene(
                    replay.recording.log, town.map, ego=replay.follow or None, start=replay.start, duration=duration
                )
                return Renderer(scene), SceneFrames(scene)
            except UserError as error:
                logger.info("the replay is drawn without a scene of its own: %s", error)
        return None

    def at(self, t: float) -> tuple[Renderer, FrameObjects] | None:
        """The renderer and the frame at a time; None outside the scene."""
        built = self._built.result()
        if built is None:
            return None
        renderer, frames = built
        scene = renderer.scene
        if not scene.start - 1e-6 <= t <= scene.end + 1e-6:
            return None
        return renderer, frames.at(t)

    @property
    def ego(self) -> int | None:
        """Id of the ego in the log."""
        built = self._built.result()
        return None if built is None else int(built[0].scene.ego.id)


def stands_off(place: np.ndarray, carrier: Actor) -> bool:
    """Whether a sensor at a place [3] of its carrier's frame (FLU) stands so far off the carrier's box that it sees it,
    as a camera behind a car does.
    """
    if not carrier.box_extent.any():
        return False
    return bool((np.abs(place - flu_points(carrier.box_center)) - carrier.box_extent).max() > OFF)


def _moved(offset: np.ndarray) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = offset
    return pose


@dataclass(frozen=True)
class Placement:
    """What a sensor sees. to_rig: [4,4] the sensor relative to the frame's ego pose."""

    renderer: Renderer
    frame: Frame
    to_rig: np.ndarray

    def look(self, camera: Camera) -> GBuffer:
        """What a camera in the rig sees."""
        return self.renderer.gbuffer(camera, self.frame)


class TickPictures:
    """What the cameras see of one tick. All of the world is read when it is made; frames are made once, when asked for.

    Used in one thread.
    """

    def __init__(self, world: World, appearances: Appearances, pieces: TownPieces, scene: ReplayedScene | None):
        self.pieces = pieces
        self.elapsed = world.elapsed
        self.actors = {actor.id: replace(actor) for actor in world.actors.values() if actor.carries or actor.is_sensor}
        self.objects: dict[int, list[PlacedObject]] = {}
        for actor in world.actors.values():
            if placed := appearances.placed(actor):
                self.objects[actor.id] = placed
        self.lights = {
            light.id: LIGHT_STATES[min(world.actors[number].light.state, len(LIGHT_STATES) - 1)]
            for light, number in zip(world.town.map.traffic_lights, world.light_ids)
            if number in world.actors
        }
        self.scene = scene if scene is not None and scene.replay is world.replay else None
        if self.scene is not None:
            replay = self.scene.replay
            self.time = replay.time
            self.live_ids = replay.live_ids
        self._frames: dict[tuple, tuple[Renderer, Frame] | None] = {}

    def place(self, sensor: Actor, pose: np.ndarray) -> Placement:
        """What a sensor sees. pose: [4,4] relative to the actor that it is attached to, or to the world."""
        carrier = self._root(sensor)
        off = carrier.id != sensor.id and stands_off(pose[:3, 3], carrier)
        if sensor.parent == carrier.id:
            found = self._once(("replay", carrier.id, off), lambda: self._replay_frame(carrier, with_carrier=off))
            if found is not None:
                offset = found[0].scene.ego_origin
                assert offset is not None, "scenes of logs have actors"
                return Placement(*found, _moved(offset) @ pose)
        found = self._once(("town", carrier.id, off), lambda: self._town_frame(carrier, with_carrier=off))
        assert found is not None
        if sensor.parent == carrier.id:
            return Placement(*found, _moved(-_axle(carrier)) @ pose)
        if sensor.parent:
            pose = self.actors[sensor.parent].transform.pose @ pose
        return Placement(*found, np.linalg.inv(found[1].objects.ego) @ pose)

    def _root(self, actor: Actor) -> Actor:
        while actor.parent in self.actors:
            actor = self.actors[actor.parent]
        return actor

    def _once(self, key: tuple, make: Callable[[], tuple[Renderer, Frame] | None]) -> tuple[Renderer, Frame] | None:
        if key not in self._frames:
            self._frames[key] = make()
        return self._frames[key]

    def _replay_frame(self, carrier: Actor, *, with_carrier: bool) -> tuple[Renderer, Frame] | None:
        """The frame of the replay's scene, where the carrier is its ego; None for any other."""
        if self.scene is None:
            return None
        found = self.scene.at(self.time)
        if found is None or self.live_ids.get(self.scene.ego or 0) != carrier.id:
            return None
        renderer, objects = found
        replayed = set(self.live_ids.values()) - ({carrier.id} if with_carrier else set())
        others = [
            item
            for number, placed in self.objects.items()
            for item in placed
            if number not in replayed and (with_carrier or number != carrier.id)
        ]
        return renderer, renderer.frame(replace(objects, objects=(*objects.objects, *others)))

    def _town_frame(self, carrier: Actor, *, with_carrier: bool) -> tuple[Renderer, Frame]:
        """The town around a carrier, or around a camera that stands by itself."""
        pose = carrier.transform.pose
        renderer = self.pieces.renderer(pose[:3, 3])
        ego = _moved(pose[:3, 3]) if carrier.is_sensor else pose @ _moved(_axle(carrier))
        objects = [
            item
            for number, placed in self.objects.items()
            for item in placed
            if (with_carrier or number != carrier.id) and np.abs(item.pose[:3, 3] - ego[:3, 3]).max() < RANGE
        ]
        states = tuple(self.lights.get(light.id, LightState.OFF) for light in renderer.scene.map.traffic_lights)
        return renderer, renderer.frame(FrameObjects(self.elapsed, ego, tuple(objects), states))
