"""The blueprint library: what can be spawned, with the attributes that CARLA 0.9.16 gives it.

Sizes of vehicles are CARLA's bounding boxes to a centimetre or so; their colours are a common palette, not CARLA's. Of
a camera's attributes those of the lens and the size count; the others, of the film and the post-processing, are
accepted and change nothing. The dropping of LiDAR points is off unless asked for, unlike in CARLA. There is no radar,
DVS, optical flow and obstacle sensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

from cosmos_exp.common.errors import UserError, unknown_name

Vec3 = tuple[float, float, float]


class AttributeType(IntEnum):
    """As the client counts them."""

    BOOL = 1
    INT = 2
    FLOAT = 3
    STRING = 4
    COLOR = 5


@dataclass(frozen=True)
class Attribute:
    """recommended: values that a client may choose from; restricted: only from those. fixed: cannot be set."""

    name: str
    type: AttributeType
    value: str
    recommended: tuple[str, ...] = ()
    fixed: bool = False
    restricted: bool = False

    def wire(self, first_type: int = AttributeType.BOOL) -> list[Any]:
        """The client's ActorAttribute. first_type: number that it has for bool."""
        kind = int(self.type) - AttributeType.BOOL + first_type
        return [self.name, kind, self.value, list(self.recommended), not self.fixed, self.restricted]


@dataclass(frozen=True)
class Blueprint:
    """box: half extent in metres, None for what has no body; an actor's origin is on the ground, a walker's at its
    middle."""

    id: str
    attributes: tuple[Attribute, ...] = ()
    box: Vec3 | None = None

    @property
    def tags(self) -> str:
        return ",".join(self.id.split("."))

    @property
    def is_solid(self) -> bool:
        """Does it need a free place to be spawned at?"""
        return self.box is not None and self.id.startswith(("vehicle.", "walker."))

    @property
    def defaults(self) -> dict[str, tuple[int, str]]:
        """{attribute: (type, value)}."""
        return {attribute.name: (int(attribute.type), attribute.value) for attribute in self.attributes}

    @property
    def box_center(self) -> Vec3:
        """Centre of the box in the actor's frame, metres."""
        if self.box is None or self.id.startswith("walker."):
            return (0.0, 0.0, 0.0)
        return (0.0, 0.0, self.box[2])


def blueprint(type_id: str) -> Blueprint:
    """Raises UserError for what cannot be spawned, with the nearest names."""
    found = catalogue().get(type_id)
    if found is None:
        raise UserError(unknown_name("blueprint", type_id, catalogue()))
    return found


@cache
def catalogue() -> dict[str, Blueprint]:
    """All that can be spawned, by id."""
    made = [*_vehicles(), *_walkers(), *_props(), *_sensors()]
    return {item.id: item for item in made}


@cache
def definitions(first_type: int = AttributeType.BOOL) -> list[list[Any]]:
    """The answer to `get_actor_definitions`: [uid, id, tags, attributes] of all. first_type: the client's bool."""
    return [
        [uid, item.id, item.tags, [attribute.wire(first_type) for attribute in item.attributes]]
        for uid, item in enumerate(catalogue().values(), 1)
    ]


# Vehicles

PALETTE = (
    "17,17,17", "95,97,100", "178,182,186", "237,237,240", "20,52,105", "58,104,152", "110,13,18", "165,38,30",
    "24,66,40", "120,92,62", "224,182,46",
)  # fmt: skip
LIGHTS, DOORS = "lights", "doors"
# Half length, half width, half height in metres; base_type, generation; what else it has, special_type among it.
VEHICLES: dict[str, tuple[float, float, float, str, int, tuple[str, ...]]] = {
    "vehicle.audi.a2": (1.853, 0.895, 0.775, "car", 1, ()),
    "vehicle.audi.etron": (2.428, 1.016, 0.825, "car", 1, ("electric",)),
    "vehicle.audi.tt": (2.091, 0.997, 0.693, "car", 1, (LIGHTS,)),
    "vehicle.bmw.grandtourer": (2.306, 1.121, 0.834, "car", 1, ()),
    "vehicle.chevrolet.impala": (2.679, 1.017, 0.705, "car", 1, (LIGHTS,)),
    "vehicle.citroen.c3": (1.994, 0.925, 0.809, "car", 1, ()),
    "vehicle.dodge.charger_2020": (2.503, 1.048, 0.767, "car", 2, (LIGHTS, DOORS)),
    "vehicle.dodge.charger_police": (2.487, 1.019, 0.771, "car", 1, (LIGHTS, "emergency")),
    "vehicle.dodge.charger_police_2020": (2.619, 1.048, 0.819, "car", 2, (LIGHTS, DOORS, "emergency")),
    "vehicle.ford.crown": (2.683, 0.900, 0.788, "car", 2, (LIGHTS, DOORS, "taxi")),
    "vehicle.ford.mustang": (2.359, 0.947, 0.650, "car", 1, (LIGHTS,)),
    "vehicle.jeep.wrangler_rubicon": (1.933, 0.953, 0.939, "car", 1, ()),
    "vehicle.lincoln.mkz_2017": (2.451, 1.064, 0.755, "car", 1, (LIGHTS,)),
    "vehicle.lincoln.mkz_2020": (2.446, 0.918, 0.745, "car", 2, (LIGHTS, DOORS)),
    "vehicle.mercedes.coupe": (2.513, 1.076, 0.825, "car", 1, (LIGHTS,)),
    "vehicle.mercedes.coupe_2020": (2.337, 1.000, 0.721, "car", 2, (LIGHTS, DOORS)),
    "vehicle.micro.microlino": (1.104, 0.740, 0.688, "car", 1, ("electric",)),
    "vehicle.mini.cooper_s": (1.903, 0.985, 0.738, "car", 1, ()),
    "vehicle.mini.cooper_s_2021": (2.276, 1.049, 0.884, "car", 2, (LIGHTS, DOORS)),
    "vehicle.nissan.micra": (1.817, 0.923, 0.751, "car", 1, ()),
    "vehicle.nissan.patrol": (2.302, 0.966, 0.927, "car", 1, ()),
    "vehicle.nissan.patrol_2021": (2.783, 1.075, 1.022, "car", 2, (LIGHTS, DOORS)),
    "vehicle.seat.leon": (2.096, 0.908, 0.737, "car", 1, ()),
    "vehicle.tesla.model3": (2.396, 1.082, 0.744, "car", 1, (LIGHTS, "electric")),
    "vehicle.toyota.prius": (2.257, 1.003, 0.762, "car", 1, ()),
    "vehicle.carlamotors.carlacola": (2.602, 1.313, 1.234, "truck", 1, (LIGHTS,)),
    "vehicle.carlamotors.european_hgv": (3.968, 1.446, 1.733, "truck", 2, (LIGHTS, DOORS)),
    "vehicle.carlamotors.firetruck": (4.234, 1.448, 1.914, "truck", 2, (LIGHTS, DOORS, "emergency")),
    "vehicle.tesla.cybertruck": (3.137, 1.195, 1.049, "truck", 1, (LIGHTS, "electric")),
    "vehicle.ford.ambulance": (3.182, 1.176, 1.216, "van", 2, (LIGHTS, DOORS, "emergency")),
    "vehicle.mercedes.sprinter": (2.958, 0.994, 1.280, "van", 2, (LIGHTS, DOORS)),
    "vehicle.volkswagen.t2": (2.240, 1.035, 1.019, "van", 1, (LIGHTS,)),
    "vehicle.volkswagen.t2_2021": (2.221, 0.942, 0.994, "van", 2, (LIGHTS, DOORS)),
    "vehicle.mitsubishi.fusorosa": (5.136, 1.972, 2.126, "bus", 2, (LIGHTS, DOORS)),
    "vehicle.harley-davidson.low_rider": (1.178, 0.382, 0.819, "motorcycle", 1, (LIGHTS,)),
    "vehicle.kawasaki.ninja": (1.017, 0.399, 0.778, "motorcycle", 1, (LIGHTS,)),
    "vehicle.vespa.zx125": (0.902, 0.432, 0.775, "motorcycle", 1, (LIGHTS, "electric")),
    "vehicle.yamaha.yzf": (1.105, 0.434, 0.777, "motorcycle", 1, (LIGHTS,)),
    "vehicle.bh.crossbike": (0.744, 0.430, 0.900, "bicycle", 1, ()),
    "vehicle.diamondback.century": (0.821, 0.186, 0.900, "bicycle", 1, ()),
    "vehicle.gazelle.omafiets": (0.920, 0.165, 0.900, "bicycle", 1, ()),
}
SPECIAL = ("electric", "emergency", "taxi")


def _vehicles() -> Iterable[Blueprint]:
    for type_id, (length, width, height, base, generation, has) in VEHICLES.items():
        special = next((name for name in has if name in SPECIAL), "")
        two_wheels = base in ("motorcycle", "bicycle")
        yield Blueprint(
            type_id,
            (
                _text("role_name", "autopilot", "autopilot", "scenario", "ego_vehicle"),
                Attribute("color", AttributeType.COLOR, PALETTE[0], PALETTE),
                Attribute("sticky_control", AttributeType.BOOL, "true"),
                Attribute("terramechanics", AttributeType.BOOL, "false"),
                _fixed("object_type", ""),
                _fixed("base_type", base),
                _fixed("special_type", special),
                _fixed("generation", generation),
                _fixed("number_of_wheels", 2 if two_wheels else 4),
                _fixed("has_dynamic_doors", DOORS in has),
                _fixed("has_lights", LIGHTS in has),
            ),
            (length, width, height),
        )


# Walkers

ADULT, CHILD = (0.188, 0.188, 0.930), (0.188, 0.188, 0.550)
CHILDREN = (9, 10, 11, 12, 13, 14, 48, 49)
WALKERS = 51
WALKING, RUNNING = 1.5, 3.2  # m/s


def _walkers() -> Iterable[Blueprint]:
    for number in range(1, WALKERS + 1):
        child = number in CHILDREN
        yield Blueprint(
            f"walker.pedestrian.{number:04d}",
            (
                _text("role_name", "pedestrian", "pedestrian"),
                Attribute("speed", AttributeType.FLOAT, str(WALKING), ("0.0", str(WALKING), str(RUNNING))),
                Attribute("is_invincible", AttributeType.BOOL, "true"),
                Attribute("use_wheelchair", AttributeType.BOOL, "false"),
                _fixed("gender", "female" if number % 2 else "male"),
                _fixed("age", "child" if child else "adult"),
                _fixed("generation", 1 if number < 15 else 2),
                _fixed("can_use_wheelchair", False),
            ),
            CHILD if child else ADULT,
        )
    yield Blueprint("controller.ai.walker", (_text("role_name", "default"),))


# Props, half extents in metres

PROPS: dict[str, Vec3] = {
    "barrel": (0.29, 0.29, 0.44), "bench01": (0.30, 0.84, 0.43), "bench02": (0.34, 0.92, 0.45),
    "bench03": (0.32, 0.88, 0.44), "bin": (0.35, 0.35, 0.54), "box01": (0.31, 0.31, 0.31), "box02": (0.27, 0.27, 0.22),
    "box03": (0.30, 0.30, 0.28), "briefcase": (0.22, 0.08, 0.17), "busstop": (1.0, 1.9, 1.35),
    "chainbarrier": (0.05, 0.9, 0.35), "clothcontainer": (0.60, 0.64, 0.92), "colacan": (0.03, 0.03, 0.06),
    "constructioncone": (0.17, 0.17, 0.29), "container": (1.9, 1.0, 0.8), "creasedbox01": (0.35, 0.35, 0.06),
    "dirtdebris01": (0.86, 0.86, 0.10), "dirtdebris02": (0.80, 0.80, 0.10), "dirtdebris03": (0.75, 0.75, 0.10),
    "fountain": (2.9, 2.9, 1.9), "garbage01": (0.15, 0.15, 0.15), "glasscontainer": (0.65, 0.65, 0.90),
    "gnome": (0.15, 0.15, 0.32), "kiosk_01": (1.3, 1.3, 1.5), "mailbox": (0.25, 0.25, 0.60),
    "motorhelmet": (0.13, 0.17, 0.14), "plasticbag": (0.20, 0.20, 0.18), "plasticchair": (0.31, 0.30, 0.44),
    "plastictable": (0.63, 0.63, 0.38), "plantpot01": (0.45, 0.45, 0.35), "shoppingcart": (0.30, 0.46, 0.50),
    "slide": (0.45, 1.7, 1.1), "streetbarrier": (0.10, 0.60, 0.45), "streetfountain": (0.20, 0.35, 0.50),
    "streetsign": (0.05, 0.35, 1.2), "swing": (1.0, 1.9, 1.2), "table": (0.60, 0.60, 0.38),
    "trafficcone01": (0.19, 0.19, 0.34), "trafficcone02": (0.20, 0.20, 0.37), "trafficwarning": (0.60, 1.20, 1.15),
    "trampoline": (1.9, 1.9, 1.2), "trashcan01": (0.30, 0.30, 0.50), "travelcase": (0.25, 0.15, 0.40),
    "vendingmachine": (0.42, 0.55, 0.95), "warningaccident": (0.10, 0.45, 0.60),
    "warningconstruction": (0.10, 0.45, 0.60), "wateringcan": (0.12, 0.25, 0.17),
}  # fmt: skip
LARGE, SMALL = 1.0, 0.25  # half extent, metres


def _props() -> Iterable[Blueprint]:
    for name, half in PROPS.items():
        size = "small" if max(half) < SMALL else "medium" if max(half) < LARGE else "big"
        yield Blueprint(f"static.prop.{name}", (_text("role_name", "prop"), _fixed("size", size)), half)
    mesh = (_text("mesh_path", ""), _number("mass", 0.0), _number("scale", 1.0), _text("role_name", "prop"))
    yield Blueprint("static.prop.mesh", mesh, (0.5, 0.5, 0.5))


# Sensors

CAMERAS = (
    "rgb", "depth", "semantic_segmentation", "instance_segmentation", "normals", "cosmos_visualization", "sky_mask",
)  # fmt: skip
LENS = {
    "lens_circle_falloff": 5.0, "lens_circle_multiplier": 0.0, "lens_k": -1.0, "lens_kcube": 0.0, "lens_x_size": 0.08,
    "lens_y_size": 0.08,
}  # fmt: skip
FILM = {
    "bloom_intensity": 0.675, "lens_flare_intensity": 0.1, "iso": 100.0, "gamma": 2.2, "shutter_speed": 200.0,
    "motion_blur_intensity": 0.45, "motion_blur_max_distortion": 0.35, "motion_blur_min_object_screen_size": 0.1,
    "exposure_compensation": 0.0, "exposure_min_bright": 10.0, "exposure_max_bright": 12.0, "exposure_speed_up": 3.0,
    "exposure_speed_down": 1.0, "calibration_constant": 16.0, "focal_distance": 1000.0, "blur_amount": 1.0,
    "blur_radius": 0.0, "min_fstop": 1.2, "fstop": 1.4, "temp": 6500.0, "tint": 0.0, "slope": 0.88, "toe": 0.55,
    "shoulder": 0.26, "black_clip": 0.0, "white_clip": 0.04, "chromatic_aberration_intensity": 0.0,
    "chromatic_aberration_offset": 0.0,
}  # fmt: skip
WIDE_ANGLE = ".wide_angle_lens"
KANNALA_BRANDT = (0.083092, 0.011121, 0.008587, 0.000854)
GNSS_NOISE = tuple(f"noise_{axis}_{kind}" for axis in ("alt", "lat", "lon") for kind in ("bias", "stddev"))
IMU_NOISE = tuple(
    f"noise_{name}_{axis}" for name in ("accel_stddev", "gyro_bias", "gyro_stddev") for axis in ("x", "y", "z")
)
SCANNER: dict[str, float] = {
    "channels": 32, "points_per_second": 56000, "range": 10.0, "rotation_frequency": 10.0, "upper_fov": 10.0,
    "lower_fov": -30.0, "horizontal_fov": 360.0,
}  # fmt: skip
RETURNS = {
    "atmosphere_attenuation_rate": 0.004, "dropoff_general_rate": 0.0, "dropoff_intensity_limit": 0.8,
    "dropoff_zero_intensity": 0.0, "noise_stddev": 0.0,
}  # fmt: skip


def _sensors() -> Iterable[Blueprint]:
    role = _text("role_name", "front", "front", "back", "left", "right", "front_left", "front_right")
    tick = _number("sensor_tick", 0.0)
    image = (_number("image_size_x", 800), _number("image_size_y", 600), _number("fov", 90.0), tick, role)
    for name in CAMERAS:
        film = (_text("exposure_mode", "histogram", "histogram", "manual"), _number("blade_count", 5), *_numbers(FILM))
        extra = (Attribute("enable_postprocess_effects", AttributeType.BOOL, "true"), *film) if name == "rgb" else ()
        yield Blueprint(f"sensor.camera.{name}", (*image, *_numbers(LENS), *extra))
        yield Blueprint(f"sensor.camera.{name}{WIDE_ANGLE}", (*image, *_wide_angle()))
    scan = (*_numbers(SCANNER), tick, role)
    seed = _number("noise_seed", 0)
    yield Blueprint("sensor.lidar.ray_cast", (*scan, *_numbers(RETURNS), seed))
    yield Blueprint("sensor.lidar.ray_cast_semantic", scan)
    yield Blueprint("sensor.other.gnss", (*_numbers(dict.fromkeys(GNSS_NOISE, 0.0)), seed, tick, role))
    yield Blueprint("sensor.other.imu", (*_numbers(dict.fromkeys(IMU_NOISE, 0.0)), seed, tick, role))
    yield Blueprint("sensor.other.collision", (role,))
    yield Blueprint("sensor.other.lane_invasion", (role,))


def _wide_angle() -> Iterable[Attribute]:
    models = ("equidistant", "perspective", "stereographic", "equisolid", "orthographic", "kannala-brandt")
    yield _text("camera_model", models[0], *models)
    yield from (_number(f"k{i}", value) for i, value in enumerate(KANNALA_BRANDT))
    yield from _numbers({"focal_length": 0.0, "fov_fade_size": 0.0, "longitude_offset": 0.0})
    yield from (Attribute(name, AttributeType.BOOL, "false") for name in ("perspective", "equirectangular", "fov_mask"))


def _text(name: str, value: str, *recommended: str) -> Attribute:
    return Attribute(name, AttributeType.STRING, value, recommended)


def _number(name: str, value: float) -> Attribute:
    return Attribute(name, AttributeType.INT if isinstance(value, int) else AttributeType.FLOAT, str(value))


def _numbers(values: Mapping[str, float]) -> Iterable[Attribute]:
    return [_number(name, value) for name, value in values.items()]


def _fixed(name: str, value: bool | int | str) -> Attribute:
    """What a blueprint is, not what a client sets."""
    kind = {bool: AttributeType.BOOL, int: AttributeType.INT, str: AttributeType.STRING}[type(value)]
    return Attribute(name, kind, str(value).lower() if isinstance(value, bool) else str(value), fixed=True)
