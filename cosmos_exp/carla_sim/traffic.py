"""What moves by itself in a tick: traffic lights, then vehicles by their controls, walkers, and what floats."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cached_property

import numpy as np

from cosmos_exp.carla_sim.actors import SPEED_LIMIT, Actor, LightPhase
from cosmos_exp.carla_sim.lights import LightCycles, SignalPlan, StopLines, trigger_box
from cosmos_exp.carla_sim.maps import Town
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.carla_sim.vehicles import drive, is_free
from cosmos_exp.carla_sim.walkers import FASTEST, walk
from cosmos_exp.scene.carla.recorder import ActorType

SOLID = (ActorType.VEHICLE, ActorType.WALKER, ActorType.OTHER)


class Traffic:
    """The rules of one town. Actors that a recording drives are left alone."""

    def __init__(self, town: Town):
        self.surface, self.plan, self._limits = town.surface, town.signals, town.speed_limits
        self.cycles = LightCycles(SignalPlan(), {})
        self._lights: dict[str, Actor] = {}
        self._places: dict[int, np.ndarray] = {}  # of walkers at the last tick

    @cached_property
    def _stop_lines(self) -> StopLines:
        return StopLines(self.plan.entries)

    def add_lights(self, lights: Iterable[Actor]) -> None:
        """Take over the map's traffic lights: their turns and their trigger volumes."""
        self._lights = {actor.light.sign_id: actor for actor in lights}
        phases: dict[str, LightPhase] = {key: actor.light for key, actor in self._lights.items()}
        self.cycles = LightCycles(self.plan, phases)
        for key, actor in self._lights.items():
            actor.box_center, actor.box_extent = trigger_box(actor.transform, self.plan.entries.get(key, ()))

    def group_of(self, light: Actor) -> list[int]:
        return [self._lights[key].id for key in self.cycles.group_of(light.light.sign_id)]

    def step(self, actors: Collection[Actor], delta: float, *, lights: bool = True) -> None:
        """Move what is not attached to something and not driven by a recording. lights: whether their time passes."""
        if lights:
            self.cycles.step(delta)
        for actor in actors:
            if actor.driven or actor.parent:
                continue
            if actor.kind is ActorType.VEHICLE:
                self._drive(actor, delta)
            elif actor.kind is ActorType.WALKER:
                self._walk(actor, delta)
            elif actor.velocity.any():
                moved = actor.transform.location + actor.velocity * delta
                actor.transform = Transform(moved, actor.transform.rotation + actor.angular_velocity * delta)
        self._places = {actor.id: self._places[actor.id] for actor in actors if actor.id in self._places}
        for actor in actors:
            if actor.kind is ActorType.VEHICLE:
                actor.at_light = self._holding(actor)
                self._limit(actor)

    def _drive(self, actor: Actor, delta: float) -> None:
        if not actor.physics:
            return
        motion = drive(
            actor.transform, actor.velocity, actor.control, actor.box_extent, delta, self.surface,
            constant=actor.constant_velocity,
        )  # fmt: skip
        actor.transform, actor.velocity = motion.transform, motion.velocity
        actor.acceleration, actor.angular_velocity = motion.acceleration, motion.angular_velocity

    def _walk(self, actor: Actor, delta: float) -> None:
        actor.transform = walk(
            actor.transform, actor.walker_direction, actor.walker_speed, float(actor.box_extent[2]), delta, self.surface
        )
        here, before = actor.transform.location, self._places.get(actor.id)
        self._places[actor.id] = here
        moved = (here - before) / delta if before is not None and delta > 0 else np.zeros(3)
        velocity = moved if np.linalg.norm(moved) <= FASTEST else np.zeros(3)  # faster, it was put there
        actor.acceleration = (velocity - actor.velocity) / delta if delta > 0 else np.zeros(3)
        actor.velocity = velocity

    def _limit(self, actor: Actor) -> None:
        """The limit where the vehicle is, at most CARLA's own: faster, its traffic manager cuts the towns' corners.
        Where there is none, the last one goes on, as between CARLA's signs."""
        limit = self._limits.at(actor.transform.location)
        actor.speed_limit = actor.speed_limit if limit is None else min(limit, SPEED_LIMIT)

    def _holding(self, actor: Actor) -> int:
        """Id of the light that the vehicle comes up to, else 0."""
        pose = actor.transform.pose
        forward = pose[:2, 0] / max(float(np.linalg.norm(pose[:2, 0])), 1e-9)
        front = pose[:2, 3] + forward * float(actor.box_extent[0])
        signal = self._stop_lines.holding(front, forward, float(np.linalg.norm(actor.velocity)))
        return self._lights[signal].id if signal in self._lights else 0

    @staticmethod
    def is_free(transform: Transform, extent: np.ndarray, actors: Iterable[Actor]) -> bool:
        """May something of half size `extent` be spawned there?"""
        solid = [a for a in actors if a.kind in SOLID and a.box_extent.any() and np.isfinite(a.box_extent).all()]
        return is_free(transform, extent, [(actor.transform, actor.box_extent) for actor in solid])
