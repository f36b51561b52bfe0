"""Shapes have the areas, volumes and places that they should."""

import json

import numpy as np
import pytest
from helpers.streets import line, pose, still, street_map

from cosmos_exp.rendering.actors import GAIT_PHASES, actor_mesh
from cosmos_exp.rendering.barriers import barrier_mesh
from cosmos_exp.rendering.mesh import box, cylinder, ellipsoid
from cosmos_exp.rendering.palette import ACTOR_TAGS, PALETTE, Tag, colorize
from cosmos_exp.rendering.roads import (
    CROSSWALK_LIFT,
    crosswalk_mesh,
    dashes,
    ground_mesh,
    kerb_mesh,
    lane_mesh,
    line_mesh,
    offset_polyline,
    simplified_stations,
    triangulated,
)
from cosmos_exp.rendering.structures import building_mesh, street_lamps, tree_mesh
from cosmos_exp.scene.procedural.street import procedural_scene
from cosmos_exp.scene.types import ActorClass, Barrier, Building, Lane, LaneLine, LaneType, SceneMap, Track, Tree


def volume(triangles):
    return np.einsum("ij,ij->i", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2])).sum() / 6


def area(triangles):
    return (
        np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1).sum() / 2
    )


def test_closed_shapes_face_outwards():
    assert volume(box((2, 3, 4), (5, 6, 7))) == pytest.approx(24)
    assert volume(cylinder((1, 0, 0), (1, 2, 3), 1, 64)) == pytest.approx(np.pi * 13**0.5, rel=0.01)
    assert 3.5 < volume(ellipsoid((0, 0, 0), (1, 1, 1))) < 4 / 3 * np.pi


@pytest.mark.parametrize("actor_class", list(ActorClass))
@pytest.mark.parametrize("size", [(4.5, 1.8, 1.5), (11.0, 2.5, 3.2), (0.5, 0.6, 1.7), (0.01, 0.01, 0.01)])
def test_actors_stay_near_their_cuboid(actor_class, size):
    track = Track("a", actor_class, size, still(pose(0, 0, 0)))
    whole = actor_mesh(track, 7, phase=GAIT_PHASES // 4)
    assert np.isfinite(whole.triangles).all()
    assert (whole.instance == 7).all() and (whole.tag == ACTOR_TAGS[actor_class]).all()
    if size[0] > 0.4 and actor_class not in (ActorClass.PEDESTRIAN, ActorClass.RIDER):
        reach = np.abs(whole.triangles).reshape(-1, 3).max(0) - np.array(size) / 2
        assert (reach < 0.35).all()


def test_dashes_and_gaps():
    pieces = dashes(line(0.0, x0=0, x1=30), 3.0, 4.5)
    assert [(round(p[0, 0], 3), round(p[-1, 0], 3)) for p in pieces] == [(0, 3), (7.5, 10.5), (15, 18), (22.5, 25.5)]


def test_offset_keeps_the_distance_around_a_corner():
    corner = np.array([[0, 0, 0], [10, 0, 0], [10, 10, 0.0]])
    np.testing.assert_allclose(offset_polyline(corner, 1.0), [[0, 1, 0], [9, 1, 0], [9, 10, 0]], atol=1e-9)


def test_concave_polygon_is_not_filled_over():
    arrow = np.array([[0, 0, 0], [4, 0, 0], [4, 4, 0], [2, 1, 0], [0, 4, 0.0]])
    assert area(triangulated(arrow)) == pytest.approx(16 - 8 + 2)
    assert area(triangulated(arrow[::-1])) == pytest.approx(10)


def test_straight_lane_needs_few_stations_a_bend_more():
    left, right = line(1.75), line(-1.75)
    assert len(simplified_stations(left, right)) <= 4
    angle = np.linspace(0, np.pi / 2, 60)
    bend = np.stack([np.cos(angle), np.sin(angle), np.zeros(60)], axis=1)
    kept = simplified_stations(20 * bend, 24 * bend)
    assert 8 < len(kept) <= 60 and kept[0] == 0 and kept[-1] == 59


def test_lane_area():
    road = lane_mesh(Lane("a", LaneType.DRIVING, line(1.75), line(-1.75)))
    assert area(road.triangles) == pytest.approx(3.5 * 220)
    raised = lane_mesh(Lane("a", LaneType.SIDEWALK, line(1.75), line(-1.75)))
    assert raised.triangles[..., 2].max() > 0.05 and (raised.tag == Tag.SIDEWALK).all()


def test_crosswalk_bars_cover_half():
    zebra = crosswalk_mesh(np.array([[0, 0, 0], [3, 0, 0], [3, 8, 0], [0, 8, 0.0]]))
    assert area(zebra.triangles) == pytest.approx(12)
    spans = np.ptp(zebra.triangles.reshape(-1, 6, 3), axis=1)
    np.testing.assert_allclose(spans[:, :2], [[3, 0.5]] * 8, atol=1e-6)


def test_degenerate_input_gives_no_triangles_and_no_error():
    point = np.zeros((3, 3))
    assert len(kerb_mesh(point)) == 0 and len(line_mesh(LaneLine(point))) == 0
    assert len(lane_mesh(Lane("a", LaneType.DRIVING, np.zeros((1, 3)), np.ones((1, 3))))) == 0
    assert len(crosswalk_mesh(np.zeros((2, 3)))) == 0
    assert np.isfinite(lane_mesh(Lane("a", LaneType.SIDEWALK, point, point)).triangles).all()
    assert len(ground_mesh(SceneMap("empty"), "")) > 0


def test_ground_stays_below_a_hilly_road():
    x = np.linspace(0, 200, 101)
    left = np.stack([x, np.full(101, 2.0), 4 * np.sin(x / 30)], axis=1)
    right = left - [0, 4, 0]
    ground = ground_mesh(SceneMap("hill", lanes=(Lane("a", LaneType.DRIVING, left, right),)), "").triangles
    for station in left[5:-5:7]:
        below = heights_at(ground, station[:2])
        assert below.max() < station[2]


def heights_at(triangles: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """z of every triangle that lies over or under xy."""
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    det = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    u = ((xy[0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (xy[1] - a[:, 1])) / det
    v = ((b[:, 0] - a[:, 0]) * (xy[1] - a[:, 1]) - (xy[0] - a[:, 0]) * (b[:, 1] - a[:, 1])) / det
    inside = (u >= 0) & (v >= 0) & (u + v <= 1)
    return (a[:, 2] + u * (b[:, 2] - a[:, 2]) + v * (c[:, 2] - a[:, 2]))[inside]


def test_buildings_have_outward_walls_and_trees_grow_up():
    tower = building_mesh(Building(np.array([[0, 0, 0], [9, 0, 0], [9, 6, 0], [0, 6, 0.0]]), 20.0, (0.5, 0.5, 0.5), 1))
    walls = tower.triangles[:8]
    normals = np.cross(walls[:, 1] - walls[:, 0], walls[:, 2] - walls[:, 0])
    assert (np.einsum("ij,ij->i", normals, walls.mean(axis=1) - [4.5, 3, 10]) > 0).all()
    for seed in range(8):
        tree = tree_mesh(Tree(np.array([3.0, 4.0, 1.0]), 8.0, 2.0, seed)).triangles
        assert 8.0 < tree[..., 2].max() - 1.0 + 0.8 < 10.0


def test_lamps_hang_over_the_road():
    (lamp,) = street_lamps(street_map())
    assert lamp[1][1] > lamp[0].top[1] and lamp[1][2] > 5.5


def test_palette(shared):
    path = shared / "carla" / "cityscapes_palette_0.9.16.json"
    if not path.is_file():
        pytest.skip("no CARLA palette")
    np.testing.assert_array_equal(PALETTE, json.loads(path.read_text())["palette"])


def test_colorize_wraps_as_carla_does():
    np.testing.assert_array_equal(colorize(np.array([1, 30, 11], np.uint8)), [PALETTE[1], PALETTE[1], PALETTE[11]])


def test_the_terrain_lies_close_below_a_sloping_road():
    scene = procedural_scene(seed=2, road="slope", num_vehicles=0, num_pedestrians=0, duration=1.0)
    triangles = ground_mesh(scene.map, "").triangles
    for lane in scene.map.lanes[::3]:
        for point in lane.left[10:60:7]:
            below = point[2] - height_of(triangles, point[:2])
            assert 0.05 < below < 0.4


def height_of(triangles, xy):
    """Of the surface at a point."""
    a, u, v = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    area = u[:, 0] * v[:, 1] - v[:, 0] * u[:, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        p = ((xy[0] - a[:, 0]) * v[:, 1] - v[:, 0] * (xy[1] - a[:, 1])) / area
        q = (u[:, 0] * (xy[1] - a[:, 1]) - (xy[0] - a[:, 0]) * u[:, 1]) / area
    k = np.flatnonzero((p >= -1e-9) & (q >= -1e-9) & (p + q <= 1 + 1e-9))[0]
    return a[k, 2] + p[k] * u[k, 2] + q[k] * v[k, 2]


def test_a_crosswalk_follows_the_slope():
    across = np.array([[0, -4, 0], [3, -4, 0.3], [3, 4, 0.3], [0, 4, 0]], float)
    points = crosswalk_mesh(across).triangles.reshape(-1, 3)
    np.testing.assert_allclose(points[:, 2] - 0.1 * points[:, 0], CROSSWALK_LIFT, atol=1e-6)


@pytest.mark.parametrize(("kind", "tag"), [("concrete", Tag.WALL), ("rail", Tag.GUARD_RAIL)])
def test_a_barrier_stands_along_its_line(kind, tag):
    barrier = barrier_mesh(Barrier(line(0.0, x0=0, x1=30), height=0.8, width=0.5, kind=kind))
    assert set(barrier.tag) == {tag}
    assert barrier.triangles[..., 2].max() == pytest.approx(0.8, abs=0.01)
    assert np.abs(barrier.triangles[..., 1]).max() < 0.26
    assert np.ptp(barrier.triangles[..., 0]) == pytest.approx(30.0)
