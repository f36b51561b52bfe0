"""The simulated world: its actors and their state at each tick. Not thread-safe: the server's loop alone uses it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from cosmos_exp.carla_sim.actors import (
    Actor,
    LightPhase,
    VehicleControl,
    attribute_type,
    spectator,
)
from cosmos_exp.carla_sim.maps import Town
from cosmos_exp.carla_sim.messages import Moment
from cosmos_exp.carla_sim.replay import Pose, Recording, Replay, ReplayOptions
from cosmos_exp.carla_sim.traffic import Traffic
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.carla_sim.weather_parameters import PRESETS
from cosmos_exp.scene.carla.ego import EGO_ROLES
from cosmos_exp.scene.carla.log import SAME_PLACE
from cosmos_exp.scene.carla.packets import Packet
from cosmos_exp.scene.carla.recorder import ActorType

REMEMBERED = 1000  # destroyed actors that clients may still ask after
SIGNALS = (ActorType.TRAFFIC_LIGHT, ActorType.TRAFFIC_SIGN)
CARLA_DEGREES = -90.0  # a signal's model looks along its right


@dataclass
class Settings:
    """The client's EpisodeSettings. fixed_delta: seconds, None for the wall clock's."""

    synchronous: bool = False
    no_rendering: bool = False
    fixed_delta: float | None = None
    rest: tuple = (True, 0.01, 10, 0.0, True, 3000.0, 2000.0, True)

    @property
    def wire(self) -> list:
        delta = [False] if self.fixed_delta is None else [True, self.fixed_delta]
        return [self.synchronous, self.no_rendering, delta, *self.rest]

    @classmethod
    def of(cls, value: list) -> Settings:
        synchronous, no_rendering, delta, *rest = value
        given = float(delta[1]) if delta and delta[0] else None
        return cls(bool(synchronous), bool(no_rendering), given or None, tuple(rest))


@dataclass
class World:
    """One episode. frame counts on over episodes; elapsed is the simulated time of this one, seconds."""

    town: Town
    episode: int = 1
    frame: int = 0
    settings: Settings = field(default_factory=Settings)
    replay_options: ReplayOptions = field(default_factory=ReplayOptions)

    def __post_init__(self) -> None:
        self.actors: dict[int, Actor] = {}
        self.children: dict[int, set[int]] = {}
        self.gone: dict[int, Actor] = {}  # the last ones that were destroyed
        self.weather = PRESETS["ClearNoon"]
        self.elapsed, self.delta = 0.0, 0.0
        self.replay: Replay | None = None
        self.began = time.monotonic()
        self._next_id = 1
        self._clock = (0.0, 0, 0.0)  # elapsed before the current step length, steps of it, seconds of one
        self.spectator = self._add(spectator(self._new_id()))
        self.traffic = Traffic(self.town)
        self._add_signals()

    @property
    def moment(self) -> Moment:
        return Moment(self.frame, self.elapsed)

    @property
    def platform_time(self) -> float:
        """Wall seconds since the episode began."""
        return time.monotonic() - self.began

    # Actors

    def actor(self, number: int) -> Actor | None:
        return self.actors.get(number)

    def spawn(
        self, type_id: str, transform: Transform, attributes: dict, *, description: int = 0, parent: int = 0,
        attachment: int = 0, wanted: int | None = None,
    ) -> Actor:  # fmt: skip
        """A new actor. transform: relative to the parent's, where there is one. wanted: the id, where it is free."""
        number = self._new_id() if wanted is None or wanted in self.actors or wanted == 0 else wanted
        actor = Actor(number, type_id, transform, attributes, description, parent, attachment=attachment)
        if parent:
            actor.relative = transform
            self.children.setdefault(parent, set()).add(number)
            self.actors[parent].carries += 1
        self._add(actor)
        self._place(actor)
        return actor

    def destroy(self, number: int) -> list[Actor]:
        """Remove an actor and what is attached to it; returns those that are gone."""
        actor = self.actors.get(number)
        if actor is None or actor is self.spectator:
            return []
        gone = [child for each in list(self.children.pop(number, ())) for child in self.destroy(each)]
        if actor.parent in self.actors:
            self.children.get(actor.parent, set()).discard(number)
            self.actors[actor.parent].carries -= 1
        del self.actors[number]
        self.remember([actor])
        return [*gone, actor]

    def remember(self, actors: Iterable[Actor]) -> None:
        """Keep the last actors that are gone, for clients that still ask after them."""
        self.gone.update((actor.id, actor) for actor in actors)
        for number in list(self.gone)[:-REMEMBERED]:
            del self.gone[number]

    def root(self, actor: Actor) -> Actor:
        """The actor that carries this one, itself where it is attached to nothing."""
        while actor.parent in self.actors:
            actor = self.actors[actor.parent]
        return actor

    def of_kind(self, kind: ActorType) -> list[Actor]:
        return [actor for actor in self.actors.values() if actor.kind is kind]

    def states(self) -> Iterator[bytes]:
        """What a snapshot tells of each actor."""
        lights = {a.id: a.light.state for a in self.actors.values() if a.kind is ActorType.TRAFFIC_LIGHT}
        return (actor.state(lights) for actor in self.actors.values())

    # Time

    def step(self, delta: float) -> None:
        """One tick of `delta` seconds."""
        self.frame += 1
        self._advance_clock(delta)
        if self.replay is not None:
            self._step_replay(delta)
        self.traffic.step(list(self.actors.values()), delta, lights=self.replay is None)
        self.place_attached()

    def _advance_clock(self, delta: float) -> None:
        base, steps, step = self._clock
        if delta != step:
            base, steps = self.elapsed, 0
        self._clock = (base, steps + 1, delta)
        self.delta, self.elapsed = delta, base + (steps + 1) * delta

    def place_attached(self) -> None:
        """Move what is attached to where its parent is now."""
        for number in list(self.children):
            parent = self.actors.get(number)
            if parent is not None and not parent.parent:
                self._place_children(number)

    def _place_children(self, number: int) -> None:
        for child in self.children.get(number, ()):
            self._place(self.actors[child])
            self._place_children(child)

    def place(self, actor: Actor) -> None:
        """Move an attached actor to where its parent is now, and what is attached to it."""
        self._place(actor)
        self._place_children(actor.id)

    def _place(self, actor: Actor) -> None:
        parent = self.actors.get(actor.parent)
        if parent is not None and actor.relative is not None:
            actor.transform = parent.transform @ actor.relative

    # Replays

    def start_replay(self, recording: Recording, start: float, duration: float, follow: int, **options) -> Replay:
        """Play a log from the next tick on. Its actors are there at once, as at the start."""
        self.stop_replay(keep_actors=False)
        self.replay = Replay(recording, start, duration, follow, **options)
        self._next_id = max(self._next_id, 1 + max((a.id for a in recording.actors), default=0))
        self._apply_replay(self.replay.start)
        self.place_attached()
        return self.replay

    def stop_replay(self, *, keep_actors: bool) -> list[Actor]:
        """End the replay; returns the actors that are gone with it."""
        replay, self.replay = self.replay, None
        gone: list[Actor] = []
        if replay is not None:
            for number in replay.ids.values():
                actor = self.actors.get(number)
                if actor is None:
                    continue
                actor.driven = False
                if not keep_actors and actor.kind not in SIGNALS:
                    gone += self.destroy(number)
        return gone

    def _step_replay(self, delta: float) -> None:
        assert self.replay is not None
        t = self.replay.timeline.advance(delta, self.replay_options.factor)
        if t > self.replay.end + 1e-9:
            self.stop_replay(keep_actors=True)
        else:
            self._apply_replay(t)

    def _apply_replay(self, t: float) -> None:
        replay = self.replay
        assert replay is not None
        replay.time = t
        recording = replay.recording
        frame = recording.frame_at(t)
        present = set()
        for index, recorded in enumerate(recording.actors):
            if not recorded.first_frame <= frame <= recorded.last_frame or self._left_out(recorded.added):
                continue
            present.add(index)
            if index not in replay.ids:
                replay.ids[index] = self._replayed_actor(index, recorded)
            actor = self.actors.get(replay.ids[index])
            if actor is not None and not (actor.driven and recording.stands_still(index)):
                self._follow_recording(actor, recording.pose(recorded, t))
        for index in [i for i in replay.ids if i not in present]:
            number = replay.ids.pop(index)
            if number in self.actors and self.actors[number].kind not in SIGNALS:
                self.destroy(number)
        self._apply_states(replay, frame)
        self._follow(replay)

    def _follow(self, replay: Replay) -> None:
        """The spectator goes with the actor that the client has named, whoever else has moved it."""
        followed = self.actors.get(replay.live_ids.get(replay.follow, 0))
        if followed is not None:
            self.spectator.transform = followed.transform @ replay.offset

    def _left_out(self, added) -> bool:
        if added.type == ActorType.SENSOR:
            return not (self.replay and self.replay.sensors)
        return added.type_id == "spectator" and self.replay_options.ignore_spectator

    def _replayed_actor(self, index: int, recorded) -> int:
        """The world's actor for a recorded one: the map's light or sign, the spectator, or a new one."""
        added = recorded.added
        place = Transform(np.array(added.location), np.array(added.rotation))
        if added.type_id == "spectator":
            return self.spectator.id
        if added.type in SIGNALS:
            near = self._signal_at(added.type, place)
            if near is not None:
                return near.id
        attributes = {name: (attribute_type(name, value), value) for name, value in added.attributes.items()}
        actor = self.spawn(added.type_id, place, attributes, wanted=added.id)
        if recorded.box_extent is not None and np.isfinite([*recorded.box_origin, *recorded.box_extent]).all():
            actor.box_center, actor.box_extent = recorded.box_origin, recorded.box_extent
        return actor.id

    def _follow_recording(self, actor: Actor, pose: Pose | None) -> None:
        if pose is None:
            return
        if self.replay_options.ignore_hero and actor.role in EGO_ROLES:
            return
        actor.driven = True
        actor.transform, actor.velocity = pose.transform, pose.velocity
        actor.angular_velocity = pose.angular_velocity

    def _apply_states(self, replay: Replay, frame: int) -> None:
        live = replay.live_ids

        def rows(packet: Packet) -> Iterator[tuple[Actor, np.void]]:
            for row in replay.recording.rows(packet, frame):
                actor = self.actors.get(live.get(int(row["id"]), 0))
                if actor is not None:
                    yield actor, row

        for actor, row in rows(Packet.STATE):
            light = actor.light
            light.state, light.elapsed, light.frozen = int(row["state"]), float(row["elapsed"]), bool(row["frozen"])
        for actor, row in rows(Packet.ANIM_VEHICLE):
            gear = int(row["gear"])
            actor.control = VehicleControl(
                float(row["throttle"]), float(row["steer"]), float(row["brake"]), bool(row["handbrake"]),
                gear < 0, False, gear,
            )  # fmt: skip
        for actor, row in rows(Packet.VEHICLE_LIGHT):
            actor.lamps = int(row["mask"])

    def _signal_at(self, kind: ActorType, place: Transform) -> Actor | None:
        near = [a for a in self.actors.values() if a.kind == kind]
        away = [float(np.linalg.norm((a.transform.location - place.location)[:2])) for a in near]
        if not away or min(away) > SAME_PLACE:
            return None
        return near[int(np.argmin(away))]

    # Building

    def _new_id(self) -> int:
        while self._next_id in self.actors:
            self._next_id += 1
        self._next_id += 1
        return self._next_id - 1

    def _add(self, actor: Actor) -> Actor:
        self.actors[actor.id] = actor
        return actor

    def _add_signals(self) -> None:
        scene_map = self.town.map
        self.light_ids: list[int] = []  # of the map's lights, in their order
        for light in scene_map.traffic_lights:
            self.light_ids.append(self._add_signal("traffic.traffic_light", light.id, light.pose).id)
        for sign in scene_map.traffic_signs:
            self._add_signal(f"traffic.{sign.kind or 'unknown'}", sign.id, sign.pose)
        self.traffic.add_lights(self.actors[number] for number in self.light_ids)

    def _add_signal(self, type_id: str, name: str, pose: np.ndarray) -> Actor:
        head = Transform.of_pose(pose)
        rotation = head.rotation + [0.0, 0.0, CARLA_DEGREES]
        foot = head.location * [1, 1, 0]
        actor = Actor(self._new_id(), type_id, Transform(foot, rotation), light=LightPhase(sign_id=name))
        return self._add(actor)
