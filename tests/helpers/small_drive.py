"""A recorder log of half a second: an ego that drives, and one actor of each kind."""

from __future__ import annotations

import numpy as np

from helpers import recorder_writer as w

TIMES = np.cumsum([0.0, 0.05, 0.12, 0.03, 0.1, 0.07, 0.11, 0.02, 0.1, 0.1, 0.1])
EGO, CAR, WALKER, PROP, CHAIR, LIGHT, SPECTATOR = 10, 11, 12, 13, 14, 15, 1
SPEED = 10.0
LANE_Y = 175  # centimetres: CARLA's y is to the right, where lane -1 lies


def at(x: float, y: float = LANE_Y, z: float = 0.0, yaw: float = 0.0) -> tuple[float, ...]:
    return (100 * x, y, z, 0.0, 0.0, yaw)


def small_drive() -> w.Drive:
    """The ego at 10 m/s along x from frame 2 on, a car parked below ground until frame 5, a walker, props, a light."""
    drive = w.Drive(times=TIMES)
    drive.add(
        0,
        w.added(
            w.actor(SPECTATOR, 0, "spectator"),
            w.actor(CAR, 1, "vehicle.nissan.patrol", color="255,0,51", number_of_wheels="4", role_name="scenario"),
            w.actor(WALKER, 2, "walker.pedestrian.0001"),
            w.actor(PROP, 0, "static.prop.trafficcone01"),
            w.actor(CHAIR, 0, "static.prop.mesh"),
            w.actor(LIGHT, 3, "traffic.traffic_light", location=(12050, 450, 10)),
        ),
        w.boxes(
            {
                SPECTATOR: w.NAN_BOX,
                CAR: ((0, 0, 90), (230, 95, 90)),
                WALKER: ((0, 0, 0), (20, 20, 93)),
                PROP: ((0, 0, 25), (20, 20, 25)),
                CHAIR: ((0, 0, 50), (30, 30, 50)),
            }
        ),
    )
    drive.add(
        2,
        w.added(w.actor(EGO, 1, "vehicle.lincoln.mkz", color="16,16,16", role_name="hero")),
        w.boxes({EGO: ((10, -5, 70), (240, 100, 75))}),
        w.physics(EGO, [(250, 95, 30), (250, 255, 30), (-30, 95, 30), (-30, 255, 30)]),
    )
    drive.add(10, w.deleted(EGO, WALKER))
    count = len(TIMES)
    drive.movers = {
        EGO: {i: at(1 + SPEED * (TIMES[i] - TIMES[2])) for i in range(2, 10)},
        CAR: {i: at(30, z=-50000.0 if i < 5 else 0.0) for i in range(count)},
        WALKER: {i: at(20, y=-520 + 5 * i, z=93, yaw=90) for i in range(10)},
        PROP: {i: at(15, y=300) for i in range(count)},
        CHAIR: {i: at(15, y=-500) for i in range(count)},
        SPECTATOR: {i: at(0) for i in range(count)},
    }
    drive.lights = {LIGHT: {i: (0 if i < 4 else 2 if i < 8 else 4) for i in range(count)}}
    return drive


def tracks_by_id(scene):
    return {track.id: track for track in scene.tracks}
