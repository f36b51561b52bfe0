"""Which live vehicle is the ego: by actor id, role name or type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.ego import USUAL_ROLES, hero_role

LISTED = 12  # vehicles in a message


@dataclass(frozen=True)
class Vehicle:
    """A vehicle of the server, as far as the choice of an ego goes."""

    id: int
    role: str
    type_id: str

    def __str__(self) -> str:
        return f"{self.id} {self.type_id} (role {self.role or 'none'})"


def live_vehicles(world: Any) -> list[Vehicle]:
    """The vehicles of a `carla.World`, by id."""
    found = world.get_actors().filter("vehicle.*")
    return sorted((Vehicle(v.id, v.attributes.get("role_name", ""), v.type_id) for v in found), key=lambda v: v.id)


def find_ego(vehicles: Sequence[Vehicle], ego: str | None) -> Vehicle:
    """The vehicle with that actor id, role name or type; with None, that of the first of EGO_ROLES that one has.

    Raises UserError that lists the vehicles by id, type and role where there is none, or more than one.
    """
    if ego is None:
        role = hero_role(v.role for v in vehicles)
        found = [v for v in vehicles if v.role == role]
        wanted = f"no vehicle has the role {USUAL_ROLES}"
    elif ego.isdecimal():
        found = [v for v in vehicles if v.id == int(ego)]
        wanted = f"no vehicle has the actor id {ego}"
    else:
        found = [v for v in vehicles if v.role == ego] or [v for v in vehicles if v.type_id == ego]
        wanted = f"no vehicle has the role or type {ego!r}"
    if not found:
        raise UserError(f"{wanted}: give the ego's actor id, role or type; {listed(vehicles)}")
    if len(found) > 1:
        which = f"{ego!r}" if ego else f"the role {found[0].role!r}"
        raise UserError(f"{which} is that of {len(found)} vehicles: give the ego's actor id; {listed(found)}")
    return found[0]


def listed(vehicles: Iterable[Vehicle]) -> str:
    names = [str(vehicle) for vehicle in vehicles]
    if not names:
        return "there are no vehicles"
    more = f", ... ({len(names)} in all)" if len(names) > LISTED else ""
    return f"the vehicles are: {'; '.join(names[:LISTED])}{more}"
