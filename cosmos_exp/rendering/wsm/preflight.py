"""What a model that reads World Scenario maps will miss or mistake in a clip, told before anything is generated.

The numbers are those of Cosmos-Transfer2.5-2B/auto/multiview and of the cars that its clips come from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.wsm.colors import box_class, line_style
from cosmos_exp.rendering.wsm.drawing import WorldScenario
from cosmos_exp.rendering.wsm.elements import UNKNOWN, Elements, PaintedLine
from cosmos_exp.rendering.wsm.sources import ClipGtSource, Source, unknown_categories
from cosmos_exp.scene.clipgt.clip import some_of
from cosmos_exp.sensors.camera import fields_of_view
from cosmos_exp.sensors.rigs import mounting

RATE = 10  # Hz that the model reads
CHUNK, SHARED = 29, 1  # frames of a chunk, and those that it has in common with the one before
COSMOS3_FRAMES = 101  # of a clip of Cosmos3, at the same rate
TRAINED = {  # camera: horizontal field of view and yaw, degrees
    "camera_front_wide_120fov": (120.0, 0.0),
    "camera_cross_left_120fov": (120.0, 67.0),
    "camera_cross_right_120fov": (120.0, -67.0),
    "camera_rear_left_70fov": (70.0, 153.0),
    "camera_rear_right_70fov": (70.0, -153.0),
    "camera_rear_tele_30fov": (30.0, 180.0),
    "camera_front_tele_30fov": (30.0, 0.0),
}
FOV_SHARE, ANGLE = 0.2, 15.0  # how far a camera may be off: share of the field of view, degrees of each angle
LOW, HIGH = 0.4, 2.5  # metres of a camera above the ground
ASPECT, ASPECT_SHARE = 16 / 9, 0.05
NEAR = 60.0  # metres from the car's way within which lane lines are looked for
BESIDE, STEP = 8.0, 0.5  # metres from it within which they lie on its ground, and by which they may be above or below
SAMPLES = 60  # frames at which the car's way is looked at
FASTEST, STANDING = 70.0, 0.5  # metres a second, and metres
EVERY, MOST = 2.0, 1000  # metres between points of lane lines that are looked at, and how many of one line
LEVEL = 1e-4  # metres by which a level area may be uneven across the first heading
UNEVEN = 0.2  # share of the usual step between frames
SMALLEST, LARGEST = 0.05, 40.0  # metres of an object


class Severity(str, Enum):
    """error: the model cannot read the clip, or sees no road. warning: it will see something else than there is. note:
    good to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    severity: Severity
    text: str


def findings(source: Source) -> list[Finding]:
    """Of a clip, the worst first. A part of it that is broken is an error of its own."""
    found: list[Finding] = []
    checks: tuple[Callable[[Source], Iterator[Finding]], ...] = (_frames, _cameras, _drive, _map, _objects)
    for check in checks:
        try:
            found += check(source)
        except UserError as error:
            found.append(_error(str(error)))
    try:
        notes = source.notes
    except UserError as error:
        notes = [str(error)]
    found += [_note(text) for text in notes if text not in {finding.text for finding in found}]
    found = list(dict.fromkeys(found))
    return sorted(found, key=lambda finding: list(Severity).index(finding.severity))


def _frames(source: Source) -> Iterator[Finding]:
    times = source.frame_times
    count = len(times)
    steps = np.diff(times)
    if (steps <= 0).any():
        frame = int((steps <= 0).argmax()) + 1
        yield _error(f"frame {frame} is at {times[frame]} us, not after the frame before it")
        return
    fps, factor = source.fps, max(round(source.fps / RATE), 1)
    if abs(fps / RATE - factor) > 0.01 * factor:
        yield _error(
            f"{fps:g} Hz is no multiple of {RATE} Hz, the rate of the model; the nearest is {factor * RATE} Hz"
        )
    elif count // factor < CHUNK:
        yield _error(
            f"{count} frames at {fps:g} Hz are {count // factor} at {RATE} Hz: the model reads {CHUNK}, that is "
            f"{CHUNK * factor}, or more"
        )
    else:
        read, thinned = CHUNK - SHARED, count // factor
        if surplus := (thinned - CHUNK) % read:
            yield _note(
                f"{thinned} frames at {RATE} Hz: the model reads {CHUNK} and then {read} each, so {surplus} are over"
            )
        if thinned < COSMOS3_FRAMES:
            yield _note(f"{thinned} frames at {RATE} Hz: Cosmos3 reads {COSMOS3_FRAMES}")
    if count > 2 and np.abs(steps / np.median(steps) - 1).max() > UNEVEN:
        low, high = steps.min() / 1000, steps.max() / 1000
        yield _warning(f"frames are {low:.0f} to {high:.0f} ms apart: a video has one rate, here {fps:g} Hz")


def _cameras(source: Source) -> Iterator[Finding]:
    cameras = source.cameras
    known = [name for name in TRAINED if name in cameras]
    if not known:
        yield _error(f"none of the cameras {', '.join(TRAINED)}; there are {some_of(list(cameras))}")
        return
    if missing := [name for name in TRAINED if name not in cameras]:
        yield _warning(
            f"{len(known)} of the {len(TRAINED)} cameras of the model: no {', '.join(missing)}; NVIDIA's script stops "
            "there, and fewer views make worse videos"
        )
    if others := [name for name in cameras if name not in TRAINED]:
        yield _note(f"cameras that the model has no view for: {some_of(others)}")
    for name in known:
        if odd := list(_unlike_trained(source, name)):
            yield _warning(f"{name} is unlike that of the model: {'; '.join(odd)}")


def _unlike_trained(source: Source, name: str) -> Iterator[str]:
    own = source.native_model(name)
    fov, yaw = TRAINED[name]
    frame = source.frames(name)[0]
    mount = np.linalg.inv(source.rig_poses([frame])[0]) @ source.poses(name, [frame])[frame]
    across = float(np.degrees(fields_of_view(own)[0]))
    position, angles = mounting(mount)
    if abs(across / fov - 1) > FOV_SHARE:
        yield f"{across:.0f} degrees across, not about {fov:.0f}"
    for label, angle, usual in zip(("roll", "pitch", "yaw"), angles.tolist(), (0.0, 0.0, yaw)):
        if abs((angle - usual + 180) % 360 - 180) > ANGLE:
            yield f"{label} {angle:.0f} degrees, not about {usual:.0f}"
    if not LOW <= position[2] <= HIGH:
        yield f"{position[2]:.1f} m above the ground, not {LOW:g} to {HIGH:g}"
    if abs(own.width / own.height / ASPECT - 1) > ASPECT_SHARE:
        yield f"{own.width}x{own.height} pixels, which 16:9 squeezes"


def _drive(source: Source) -> Iterator[Finding]:
    frames = _sampled(source)
    way = source.rig_poses(frames)[:, :3, 3]
    seconds = np.diff(source.frame_times[frames]) / 1e6
    speeds = np.linalg.norm(np.diff(way, axis=0), axis=1) / np.maximum(seconds, 1e-6)
    if len(speeds) and speeds.max() > FASTEST:
        at = frames[int(speeds.argmax())]
        yield _warning(f"the car moves at {speeds.max():.0f} m/s at frame {at}: does it jump, are times microseconds?")
    if len(way) > 1 and np.ptp(way, axis=0).max() < STANDING:
        yield _note("the car stands")


def _map(source: Source) -> Iterator[Finding]:
    elements = source.elements()
    way = source.rig_poses(_sampled(source))[:, :3, 3]
    WorldScenario(elements)
    if not elements.lane_lines:
        yield _error("no lane lines: the model makes up the lanes")
    elif not any(_distances(_along(line.points), way).min() <= NEAR for line in elements.lane_lines):
        yield _error(f"no lane line within {NEAR:g} m of the car's way: is the map in the world of the poses?")
    if not elements.road_boundaries:
        yield _warning("no road boundaries: the model makes up where the road ends")
    if (step := _step(elements, way)) is not None and abs(step) > STEP:
        side = "above" if step > 0 else "below"
        yield _warning(f"lane lines lie {abs(step):.1f} m {side} the ground under the car: is the map level, z = 0?")
    layers = {"wait lines": elements.wait_lines, "poles": elements.poles, "crosswalks": elements.crosswalks}
    layers |= {"road markings": elements.road_markings, "traffic signs": elements.traffic_signs}
    empty = [name for name, items in layers.items() if not items] + ["traffic lights"] * (not elements.lights)
    if empty:
        yield _note(f"no {', '.join(empty)}")
    frames = _sampled(source)
    if elements.lights and all(state(frame) == UNKNOWN for _, state in elements.lights for frame in frames):
        yield _warning(f"none of {len(elements.lights)} traffic lights has a state: they are grey")
    yield from _of_nvidias_renderer(source, elements)


def _of_nvidias_renderer(source: Source, elements: Elements) -> Iterator[Finding]:
    """What it draws in another way than `render wsm`."""
    others = Counter(_words(line) for line in elements.lane_lines if _differs(line))
    if others:
        listed = some_of([f"{count} {words}" for words, count in others.most_common()])
        yield _note(f"lane lines that NVIDIA's renderer draws ochre and solid: {listed}")
    if not isinstance(source, ClipGtSource):
        return
    if level := sum(map(_is_level, [*elements.crosswalks, *elements.road_markings])):
        yield _warning(f"{level} crosswalks or road markings are level: NVIDIA's renderer stops there")
    if double := sum(_is_double(line) for line in elements.lane_lines):
        yield _note(f"{double} double lane lines: NVIDIA's renderer merges or stacks the two of ClipGT clips")


def _objects(source: Source) -> Iterator[Finding]:
    tracks = source.tracks
    if not tracks:
        yield _warning("no objects: the model sees an empty road")
        return
    classes = Counter(box_class(track.category, reference_compat=False) for track in tracks)
    if len(classes) == 1:
        yield _warning(f"objects of one class alone: {len(tracks)} {next(iter(classes))}")
    yield from map(_warning, unknown_categories(tracks))
    if odd := [t.id for t in tracks if t.sizes.min() < SMALLEST or t.sizes.max() > LARGEST]:
        yield _warning(f"objects smaller than {SMALLEST:g} m or larger than {LARGEST:g} m: {some_of(odd)}")
    jumping = []
    for track in tracks:
        seconds = np.maximum(np.diff(track.motion.times) / 1e6, 1e-6)
        ways = np.linalg.norm(np.diff(track.motion.poses[:, :3, 3], axis=0), axis=1)
        jumping += [track.id] * bool(len(ways) and (ways / seconds).max() > FASTEST)
    if jumping:
        yield _warning(f"objects faster than {FASTEST:g} m/s: {some_of(jumping)}")


def _sampled(source: Source) -> list[int]:
    count = len(source.frame_times)
    return np.unique(np.linspace(0, count - 1, min(count, SAMPLES)).astype(np.int64)).tolist()


def _distances(points: np.ndarray, way: np.ndarray) -> np.ndarray:
    """[N,M] metres on the ground from points to places of the way."""
    return np.linalg.norm(points[:, None, :2] - way[None, :, :2], axis=-1)


def _along(line: np.ndarray) -> np.ndarray:
    """Points [N,3] of a line, about EVERY metres apart, at most MOST of them."""
    stations = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(0.0, stations[-1], min(int(stations[-1] / EVERY) + 2, MOST))
    return np.stack([np.interp(at, stations, line[:, axis]) for axis in range(3)], axis=1)


def _step(elements: Elements, way: np.ndarray) -> float | None:
    """Metres that lane lines beside the car lie above the ground under it, the median."""
    steps = []
    for line in elements.lane_lines:
        points = _along(line.points)
        apart = _distances(points, way)
        near = apart.min(axis=1) <= BESIDE
        steps.append(points[near, 2] - way[apart[near].argmin(axis=1), 2])
    every = np.concatenate([np.zeros(0), *steps])
    return float(np.median(every)) if len(every) else None


def _is_level(ring: np.ndarray) -> bool:
    """Whether the ring has no area in the plane across the first heading, y and z."""
    around = ring[:, 1:] - ring[:, 1:].mean(axis=0)
    return bool(np.linalg.svd(around, compute_uv=False)[-1] < LEVEL)


def _words(line: PaintedLine) -> str:
    (words, _), *_ = Counter(zip(line.colors, line.styles)).most_common(1) or [(("WHITE", "SOLID_SINGLE"), 1)]
    return " ".join(words).upper()


def _differs(line: PaintedLine) -> bool:
    ours, theirs = (line_style(line.colors, line.styles, reference_compat=compat) for compat in (False, True))
    return ours != theirs


def _is_double(line: PaintedLine) -> bool:
    style = line_style(line.colors, line.styles, reference_compat=True)
    return style is not None and len(style.paint) > 1


def _error(text: str) -> Finding:
    return Finding(Severity.ERROR, text)


def _warning(text: str) -> Finding:
    return Finding(Severity.WARNING, text)


def _note(text: str) -> Finding:
    return Finding(Severity.NOTE, text)
