"""Semantic tags of CARLA 0.9.16 and their colours in its CityScapes palette."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from cosmos_exp.scene.types import ActorClass


class Tag(IntEnum):
    """Values of the semantic output. CARLA draws tag t with the colour of t modulo 29."""

    UNLABELED = 0
    ROAD = 1
    SIDEWALK = 2
    BUILDING = 3
    WALL = 4
    FENCE = 5
    POLE = 6
    TRAFFIC_LIGHT = 7
    TRAFFIC_SIGN = 8
    VEGETATION = 9
    TERRAIN = 10
    SKY = 11
    PEDESTRIAN = 12
    RIDER = 13
    CAR = 14
    TRUCK = 15
    BUS = 16
    TRAIN = 17
    MOTORCYCLE = 18
    BICYCLE = 19
    STATIC = 20
    DYNAMIC = 21
    OTHER = 22
    WATER = 23
    ROAD_LINE = 24
    GROUND = 25
    BRIDGE = 26
    RAIL_TRACK = 27
    GUARD_RAIL = 28


# fmt: off
PALETTE = np.array([
    (0, 0, 0), (128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153),
    (250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0),
    (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32), (110, 190, 160), (170, 120, 50),
    (55, 90, 80), (45, 60, 150), (157, 234, 50), (81, 0, 81), (150, 100, 100), (230, 150, 140), (180, 165, 180),
], np.uint8)
# fmt: on

PALETTE_OF_BYTES = PALETTE[np.arange(256) % len(PALETTE)]

ACTOR_TAGS = {
    ActorClass.CAR: Tag.CAR,
    ActorClass.TRUCK: Tag.TRUCK,
    ActorClass.BUS: Tag.BUS,
    ActorClass.TRAIN: Tag.TRAIN,
    ActorClass.MOTORCYCLE: Tag.MOTORCYCLE,
    ActorClass.BICYCLE: Tag.BICYCLE,
    ActorClass.RIDER: Tag.RIDER,
    ActorClass.PEDESTRIAN: Tag.PEDESTRIAN,
    ActorClass.OTHER: Tag.DYNAMIC,
}


def colorize(semantic: np.ndarray) -> np.ndarray:
    """Tags [...] uint8 -> colours [...,3] uint8 (RGB)."""
    return np.take(PALETTE_OF_BYTES, semantic, axis=0)
