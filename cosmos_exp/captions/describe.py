"""One-sentence description of a scene, from its facts and tracks, in the style of driving-video captions."""

from __future__ import annotations

from collections import Counter

import numpy as np

from cosmos_exp.scene.types import ActorClass, LightState, Scene, Track

MAX_BYTES = 110  # leaves room for the camera's and the style's sentence in 256 bytes
MAX_DISTANCE = 60.0  # metres from the ego vehicle within which objects are mentioned
TALL = 15.0  # metres above which a building is no house
ROADS = {  # words before and after the area
    "straight_2lane": ("", "two-lane street"),
    "straight_4lane": ("", "four-lane road"),
    "curve": ("curving", "road"),
    "intersection": ("", "intersection"),
    "t_junction": ("", "T-junction"),
    "s_curve": ("winding", "road"),
    "slope": ("hilly", "road"),
    "residential": ("narrow", "street"),
    "roundabout": ("", "roundabout"),
    "multilane_intersection": ("multi-lane", "intersection"),
    "motorway": ("", "motorway"),
}
JUNCTIONS = ("intersection", "t_junction", "roundabout", "multilane_intersection")
NUMBERS = ("no", "a", "two", "three", "four", "five", "six")
COLORS = {
    "white": (0.92, 0.92, 0.92),
    "black": (0.05, 0.05, 0.06),
    "grey": (0.36, 0.36, 0.37),
    "silver": (0.68, 0.69, 0.71),
    "red": (0.65, 0.06, 0.07),
    "blue": (0.06, 0.17, 0.52),
    "green": (0.10, 0.32, 0.16),
    "yellow": (0.85, 0.65, 0.08),
    "orange": (0.80, 0.36, 0.08),
    "brown": (0.35, 0.22, 0.13),
}
VEHICLES = {
    ActorClass.CAR: "car",
    ActorClass.TRUCK: "truck",
    ActorClass.BUS: "bus",
    ActorClass.TRAIN: "train",
    ActorClass.MOTORCYCLE: "motorcycle",
    ActorClass.BICYCLE: "cyclist",
}
PLURALS = {"bus": "buses"}


def describe(scene: Scene) -> str:
    """One English sentence of at most MAX_BYTES ASCII bytes about the scene at its start.

    Names the road, the signal, the vehicle ahead, other traffic, people and surroundings; the least important are left
    out where the sentence would become too long.
    """
    ahead = ahead_of_ego(scene)
    leader = next(((track, xy) for track, xy in ahead if is_leading(track, xy)), None)
    others = [track for track, _ in ahead if leader is None or track is not leader[0]]
    clauses = [
        signal_phrase(scene),
        leader_phrase(leader[0]) if leader else "",
        counted(sum(t.actor_class is ActorClass.PEDESTRIAN for t in others), "pedestrian"),
        traffic_phrase([t for t in others if t.actor_class in VEHICLES], leader is not None),
    ]
    opening = f"Driving {place_phrase(scene)}"
    chosen: list[str] = []
    for clause in filter(None, clauses):
        if len(sentence(opening, [*chosen, clause])) <= MAX_BYTES:
            chosen.append(clause)
    surroundings = surroundings_phrase(scene)
    longer = sentence(f"{opening} past {surroundings}", chosen)
    return longer if surroundings and len(longer) <= MAX_BYTES else sentence(opening, chosen)


def sentence(opening: str, clauses: list[str]) -> str:
    if not clauses:
        return f"{opening}."
    listed = clauses[0] if len(clauses) == 1 else f"{', '.join(clauses[:-1])} and {clauses[-1]}"
    return f"{opening} with {listed}."


def place_phrase(scene: Scene) -> str:
    area = scene.facts.get("area", "")
    road = scene.facts.get("road") or observed_road(scene)
    preposition = "through" if road in JUNCTIONS else "along"
    before, noun = ROADS.get(road, ("", road.replace("_", " ")))
    return f"{preposition} {with_article(' '.join(filter(None, (before, area, noun))))}"


def with_article(noun: str) -> str:
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def observed_road(scene: Scene) -> str:
    """The kind of road, derived from lanes and ego path, for scenes without that fact."""
    poses = scene.ego.trajectory.poses
    start, heading = poses[0][:2, 3], poses[0][:2, 0]
    for lane in scene.map.lanes:
        if not lane.junction:
            continue
        offsets = lane.left[:, :2] - start
        along = offsets @ heading
        if ((along > 0.0) & (along < 40.0) & (np.hypot(*offsets.T) < 45.0)).any():
            return "intersection"
    turned = float(np.arccos(np.clip(heading @ poses[-1][:2, 0], -1.0, 1.0)))
    return "curve" if turned > np.radians(15.0) else "street"


def ahead_of_ego(scene: Scene, time: float | None = None) -> list[tuple[Track, np.ndarray]]:
    """Tracks within MAX_DISTANCE and 45 degrees of straight ahead, and their (x, y) in the ego frame, at a time of the
    scene in seconds, by default its start.

    Nearest first; riders are skipped, as their vehicles are listed.
    """
    time = scene.start if time is None else time
    to_ego = np.linalg.inv(scene.ego.trajectory.at(time))
    found = []
    for track in scene.tracks:
        if track.actor_class is ActorClass.RIDER or not track.exists_at(time):
            continue
        xy = (to_ego @ track.trajectory.at(time))[:2, 3]
        if 0.0 < xy[0] < MAX_DISTANCE and abs(xy[1]) < xy[0]:
            found.append((track, xy))
    return sorted(found, key=lambda item: float(item[1][0]))


def is_leading(track: Track, xy: np.ndarray) -> bool:
    return track.actor_class in VEHICLES and abs(float(xy[1])) < 1.6


def leader_phrase(track: Track) -> str:
    noun = VEHICLES[track.actor_class]
    adjective = color_name(track.color) if track.color is not None and noun != "cyclist" else ""
    return f"{with_article(f'{adjective} {noun}'.strip())} ahead"


def traffic_phrase(tracks: list[Track], besides_leader: bool) -> str:
    """The other vehicles by kind when they are all alike, as "other vehicles" when not."""
    kinds = Counter(VEHICLES[t.actor_class] for t in tracks)
    if len(kinds) == 1:
        noun = next(iter(kinds))
    else:
        noun = "vehicle"
    if not besides_leader:
        return counted(len(tracks), noun)
    return "another " + noun if len(tracks) == 1 else counted(len(tracks), noun, "other ")


def counted(count: int, noun: str, adjective: str = "") -> str:
    if count == 0:
        return ""
    number = NUMBERS[count] if count < len(NUMBERS) else "many"
    return f"{number} {adjective}{noun if count == 1 else PLURALS.get(noun, noun + 's')}"


def signal_phrase(scene: Scene) -> str:
    state = signal_ahead(scene, scene.start)
    return f"a {state.value} light" if state else ""


def signal_ahead(scene: Scene, time: float) -> LightState | None:
    """The state of the nearest lit traffic light that faces the ego, at a time of the scene in seconds."""
    ego = scene.ego.trajectory.at(time)
    nearest, found = MAX_DISTANCE, None
    for light in scene.map.traffic_lights:
        xy = (np.linalg.inv(ego) @ light.pose)[:2, 3]
        faces_ego = float(light.pose[:2, 0] @ ego[:2, 0]) < -0.7
        state = light.state_at(time)
        if faces_ego and state is not LightState.OFF and 0.0 < xy[0] < nearest and abs(xy[1]) < 15.0:
            nearest, found = float(xy[0]), state
    return found


def surroundings_phrase(scene: Scene) -> str:
    """Buildings by their height, and trees."""
    heights, trees = surroundings(scene, scene.start)
    words = []
    if len(heights) >= 3:
        words.append("tall buildings" if np.median(heights) > TALL else "houses")
    if trees >= 8:
        words.append("trees")
    return " and ".join(words)


def surroundings(scene: Scene, time: float) -> tuple[list[float], int]:
    """(heights of buildings in metres, number of trees) within MAX_DISTANCE of the ego."""
    ego_xy = scene.ego.trajectory.at(time)[:2, 3]
    heights = [
        b.height for b in scene.map.buildings if np.linalg.norm(b.footprint[:, :2].mean(axis=0) - ego_xy) < MAX_DISTANCE
    ]
    return heights, sum(float(np.linalg.norm(t.position[:2] - ego_xy)) < MAX_DISTANCE for t in scene.map.trees)


def color_name(color: tuple[float, float, float]) -> str:
    """The nearest of COLORS. color: RGB in 0..1."""
    return min(COLORS, key=lambda name: sum((a - b) ** 2 for a, b in zip(COLORS[name], color)))
