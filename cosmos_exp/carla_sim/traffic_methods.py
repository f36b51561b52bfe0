"""The client's remote calls about vehicles, walkers, traffic lights and traffic managers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosmos_exp.carla_sim.actors import Actor, VehicleControl
from cosmos_exp.carla_sim.methods import Refused, actor_of, method
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.carla_sim.vehicles import physics_control, steering_angle
from cosmos_exp.scene.carla.recorder import ActorType

if TYPE_CHECKING:
    from cosmos_exp.carla_sim.simulation import Simulation


def _vehicle(sim: Simulation, number: int) -> Actor:
    return _of_kind(sim, number, ActorType.VEHICLE, "vehicle")


def _light(sim: Simulation, number: int) -> Actor:
    return _of_kind(sim, number, ActorType.TRAFFIC_LIGHT, "traffic light")


def _walker(sim: Simulation, number: int) -> Actor:
    return _of_kind(sim, number, ActorType.WALKER, "walker")


def _of_kind(sim: Simulation, number: int, kind: ActorType, name: str) -> Actor:
    actor = actor_of(sim, number)
    if actor.kind is not kind:
        raise Refused(f"actor {number}, {actor.type_id}, is no {name}")
    return actor


# Vehicles


@method(void=True)
def apply_control_to_vehicle(sim: Simulation, number: int, control: list) -> None:
    throttle, steer, brake, hand_brake, reverse, manual, gear = control
    _vehicle(sim, number).control = VehicleControl(
        min(max(throttle, 0.0), 1.0), min(max(steer, -1.0), 1.0), min(max(brake, 0.0), 1.0), hand_brake, reverse,
        manual, gear,
    )  # fmt: skip


@method()
def get_physics_control(sim: Simulation, number: int) -> list:
    actor = _vehicle(sim, number)
    return physics_control(actor.transform, actor.box_extent)


@method()
def get_wheel_steer_angle(sim: Simulation, number: int, wheel: int) -> float:
    """Degrees; wheels 0 and 1 are in front."""
    actor = _vehicle(sim, number)
    return steering_angle(actor.control.steer, float(np.linalg.norm(actor.velocity))) if wheel < 2 else 0.0


@method(void=True)
def set_actor_simulate_physics(sim: Simulation, number: int, enabled: bool) -> None:
    actor = actor_of(sim, number)
    actor.physics = bool(enabled)
    if not enabled:
        actor.velocity = np.zeros(3)


@method(void=True)
def enable_actor_constant_velocity(sim: Simulation, number: int, velocity: list) -> None:
    _vehicle(sim, number).constant_velocity = np.array(velocity, np.float64)


@method(void=True)
def disable_actor_constant_velocity(sim: Simulation, number: int) -> None:
    _vehicle(sim, number).constant_velocity = None


# Walkers


@method(void=True)
def apply_control_to_walker(sim: Simulation, number: int, control: list) -> None:
    direction, speed, _ = control
    walker = _walker(sim, number)
    walker.walker_direction, walker.walker_speed = np.array(direction, np.float64), float(speed)


@method(void=True)
def set_walker_state(sim: Simulation, number: int, transform: list, speed: float) -> None:
    """Where an AI controller of the client has its walker now."""
    walker = _walker(sim, number)
    walker.transform, walker.walker_speed = Transform.of(transform), float(speed)
    walker.walker_direction = np.zeros(3)


# Traffic lights


@method(void=True)
def set_traffic_light_state(sim: Simulation, number: int, state: int) -> None:
    light = _light(sim, number).light
    light.state, light.elapsed = int(state), 0.0


@method(void=True)
def set_traffic_light_green_time(sim: Simulation, number: int, seconds: float) -> None:
    _light(sim, number).light.green = float(seconds)


@method(void=True)
def set_traffic_light_yellow_time(sim: Simulation, number: int, seconds: float) -> None:
    _light(sim, number).light.yellow = float(seconds)


@method(void=True)
def set_traffic_light_red_time(sim: Simulation, number: int, seconds: float) -> None:
    _light(sim, number).light.red = float(seconds)


@method(void=True)
def freeze_traffic_light(sim: Simulation, number: int, frozen: bool) -> None:
    sim.world.traffic.cycles.freeze(_light(sim, number).light.sign_id, bool(frozen))


@method(void=True)
def freeze_all_traffic_lights(sim: Simulation, frozen: bool) -> None:
    sim.world.traffic.cycles.freeze_all(bool(frozen))


@method(void=True)
def reset_traffic_light_group(sim: Simulation, number: int) -> None:
    sim.world.traffic.cycles.reset_group(_light(sim, number).light.sign_id)


@method(void=True)
def reset_all_traffic_lights(sim: Simulation) -> None:
    sim.world.traffic.cycles.reset_all()


@method()
def get_group_traffic_lights(sim: Simulation, number: int) -> list:
    return sim.world.traffic.group_of(_light(sim, number))


# Traffic managers: they run in a client; the server knows which there are


@method()
def is_traffic_manager_running(sim: Simulation, port: int) -> bool:
    return port in sim.traffic_managers


@method()
def get_traffic_manager_running(sim: Simulation, port: int) -> list:
    return [sim.traffic_managers.get(port, ""), port if port in sim.traffic_managers else 0]


@method()
def add_traffic_manager_running(sim: Simulation, address: list) -> bool:
    host, port = address
    if port in sim.traffic_managers:
        return False
    sim.traffic_managers[port] = host
    return True


@method()
def destroy_traffic_manager(sim: Simulation, port: int) -> bool:
    return sim.traffic_managers.pop(port, None) is not None
