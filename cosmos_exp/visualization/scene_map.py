"""The map of a scene from above."""

from __future__ import annotations

import numpy as np

from cosmos_exp.scene.types import LaneType, LightState, SceneMap
from cosmos_exp.visualization.canvas import WHITE, Canvas, Color, PlanTransform

GROUND: Color = (238, 236, 230)
BUILDING: Color = (206, 198, 188)
TREE: Color = (96, 150, 84, 110)
LANES: dict[LaneType, Color] = {
    LaneType.SIDEWALK: (216, 211, 204),
    LaneType.MEDIAN: (196, 208, 180),
    LaneType.SHOULDER: (176, 179, 184),
    LaneType.PARKING: (160, 166, 176),
    LaneType.BIKING: (172, 160, 152),
    LaneType.OTHER: (188, 188, 188),
    LaneType.DRIVING: (146, 151, 159),
}  # in the order in which they are drawn
LINE_COLORS: dict[str, Color] = {"white": (255, 255, 255), "yellow": (248, 200, 60)}
BOUNDARY: Color = (86, 90, 98)
BARRIER: Color = (126, 112, 96)
CROSSWALK: Color = (255, 255, 255, 170)
MARKING: Color = (255, 255, 255, 220)
WAIT_LINE: Color = (226, 62, 62)
LIGHTS: dict[LightState, Color] = {
    LightState.RED: (224, 42, 42),
    LightState.YELLOW: (240, 184, 20),
    LightState.GREEN: (36, 168, 76),
    LightState.OFF: (90, 90, 90),
}


def draw_map(canvas: Canvas, to_page: PlanTransform, scene_map: SceneMap, start: float) -> None:
    """start: seconds; traffic lights are drawn as they are then."""
    pixel = 1 / to_page.scale
    for kind, color in LANES.items():
        for lane in (lane for lane in scene_map.lanes if lane.type is kind):
            canvas.polygon(to_page(np.concatenate([lane.left, lane.right[::-1]])), color)
    for building in scene_map.buildings:
        canvas.polygon(to_page(building.footprint), BUILDING, (170, 160, 150), 0.8)
    for area in scene_map.crosswalks:
        canvas.polygon(to_page(area), CROSSWALK, WHITE, 0.8)
    for area in scene_map.road_markings:
        canvas.polygon(to_page(area), MARKING)
    for line in scene_map.lane_lines:
        dashes = (3 * to_page.scale, 3 * to_page.scale) if line.style.startswith("broken") else None
        color = LINE_COLORS.get(line.color, WHITE)
        canvas.line(to_page(line.points), color, max(line.width, 1.1 * pixel) * to_page.scale, dashes)
    for boundary in scene_map.road_boundaries:
        canvas.line(to_page(boundary), BOUNDARY, 1.2)
    for barrier in scene_map.barriers:
        canvas.line(to_page(barrier.points), BARRIER, max(barrier.width * to_page.scale, 1.6))
    for wait_line in scene_map.wait_lines:
        canvas.line(to_page(wait_line), WAIT_LINE, max(0.4 * to_page.scale, 1.6))
    for tree in scene_map.trees:
        canvas.disc(to_page(tree.position[None])[0], tree.crown_radius * to_page.scale, TREE)
    for pole in scene_map.poles:
        canvas.disc(to_page(pole.base[None])[0], 1.3, (70, 70, 76))
    for light in scene_map.traffic_lights:
        canvas.disc(to_page(light.pose[None, :3, 3])[0], 3.2, LIGHTS[light.state_at(start)], WHITE, 0.8)


def map_entries(scene_map: SceneMap) -> list[tuple[str, Color, str]]:
    """Legend entries of the map elements: symbol (box, line or disc), colour, name."""
    kinds = {lane.type for lane in scene_map.lanes}
    lanes = [("box", LANES[k], f"{k.value} lane" if k is LaneType.DRIVING else k.value) for k in LaneType if k in kinds]
    others = [
        (scene_map.road_boundaries, ("line", BOUNDARY, "road boundary")),
        (scene_map.barriers, ("line", BARRIER, "barrier")),
        (scene_map.wait_lines, ("line", WAIT_LINE, "wait line")),
        (scene_map.crosswalks, ("box", (224, 226, 229), "crosswalk")),
        (scene_map.traffic_lights, ("disc", LIGHTS[LightState.RED], "traffic light (state at the start)")),
        (scene_map.buildings, ("box", BUILDING, "building")),
        (scene_map.trees, ("disc", (150, 186, 142), "tree")),
    ]
    return lanes + [entry for items, entry in others if items]
