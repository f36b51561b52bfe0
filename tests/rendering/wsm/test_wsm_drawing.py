"""World Scenario maps: what is drawn where, in which colour, and which defects of the reference are gone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.wsm import colors
from cosmos_exp.rendering.wsm.areas import area_triangles, delaunay
from cosmos_exp.rendering.wsm.colors import Paint, Style, box_class, line_style
from cosmos_exp.rendering.wsm.drawing import Box, WorldScenario
from cosmos_exp.rendering.wsm.elements import Elements, PaintedLine
from cosmos_exp.rendering.wsm.strips import CHUNK, MOST_PARTS, Strips, cut, doubled, painted
from cosmos_exp.scene.map_layers import cuboid_corners
from cosmos_exp.sensors.ftheta import FTheta

LENS = FTheta(320, 180, (160.0, 90.0), (0.0, 160.0, 0.0, 0.0, 0.0, 0.0), backward=False)
FORWARD = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1.0]])  # 1.5 m above the ground, along x
MODES = pytest.mark.parametrize("compat", [False, True])


def draw(elements: Elements, boxes: list[Box] = [], *, compat: bool = False, frame: int = 0, **options) -> np.ndarray:  # noqa: B006
    return WorldScenario(elements, reference_compat=compat, **options).draw(LENS, FORWARD, boxes, frame)


def pixel(point: tuple[float, float, float]) -> tuple[int, int]:
    """Row and column of a point of the world."""
    ((u, v),) = LENS.project(np.linalg.inv(FORWARD)[:3] @ np.array([*point, 1.0]))
    return int(v), int(u)


def faded(color: tuple[int, int, int], depth: float) -> np.ndarray:
    return np.array(color) * (1 - depth / 200)


def box(kind: str, x: float, y: float = 0.0, size: tuple[float, float, float] = (4, 2, 1.5), track: str = "1") -> Box:
    pose = np.eye(4)
    pose[:3, 3] = x, y, size[2] / 2
    return Box(track, kind, cuboid_corners(pose, size))


def ring(x: float = 10.0, size: float = 4.0, z: float = 0.0) -> np.ndarray:
    """A square on the ground, before the car."""
    return np.array([[x, -size / 2, z], [x + size, -size / 2, z], [x + size, size / 2, z], [x, size / 2, z]])


def colored(image: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """[H,W] bool: pixels of this colour, however faded."""
    lit = image.max(axis=2) > 30
    unit = image / np.maximum(np.linalg.norm(image, axis=2, keepdims=True), 1)
    return lit & (np.abs(unit - np.array(color) / np.linalg.norm(color)).max(axis=2) < 0.05)


@MODES
def test_colours_fade_with_the_depth_of_a_vertex(compat: bool) -> None:
    tilted = ring(20.0) + [[0, 0, 0], [0, 0, 1.0], [0, 0, 1.0], [0, 0, 0]]
    line = np.array([[50.0, 20, 0], [50.0, -20, 0]])
    image = draw(Elements(crosswalks=[tilted], wait_lines=[line]), compat=compat)
    np.testing.assert_allclose(image[pixel((22, 0, 0.5))], faded(colors.CROSSWALK, 22), atol=2)
    np.testing.assert_allclose(image[pixel((50, 15, 0))], faded(colors.WAIT_LINE, 50), atol=1)


@MODES
def test_lines_are_as_wide_as_the_reference_has_them(compat: bool) -> None:
    """12 pixels where vertical, 6.75 where horizontal, less by the fade."""
    across = np.array([[10.0, 8, 1.5], [10.0, -8, 1.5]])
    image = draw(Elements(road_boundaries=[across]), compat=compat).astype(float)
    rows = image[:, 160].sum(axis=1) / faded(colors.ROAD_BOUNDARY, 10).sum()
    assert rows.sum() == pytest.approx(12 * 180 / 320 * 0.95, abs=0.3)
    upright = np.array([[10.0, 0, -4], [10.0, 0, 6]])
    image = draw(Elements(road_boundaries=[upright]), compat=compat).astype(float)
    columns = image[90].sum(axis=1) / faded(colors.ROAD_BOUNDARY, 10).sum()
    assert columns.sum() == pytest.approx(12 * 0.95, abs=0.3)


@MODES
def test_near_things_hide_far_ones_whatever_comes_first(compat: bool) -> None:
    near, far = box("Car", 10, track="a"), box("Cyclist", 20, track="b", size=(4, 2, 1.5))
    for first, second in ((near, far), (far, near)):
        boxes = [Box("1", first.color_class, first.corners), Box("2", second.color_class, second.corners)]
        image = draw(Elements(), boxes, compat=compat)
        np.testing.assert_allclose(image[pixel((8, 0, 0.75))], faded(colors.BOXES["Car"][1], 8), atol=2)


@MODES
def test_boxes_go_from_one_colour_in_front_to_another_at_the_rear(compat: bool) -> None:
    image = draw(Elements(), [box("Car", 10, 4)], compat=compat)
    front, rear = colors.BOXES["Car"]
    rear_pixel, front_pixel = image[pixel((8.8, 3, 0.8))], image[pixel((11.2, 3, 0.8))]
    assert np.abs(rear_pixel - faded(rear, 8.8)).max() < np.abs(rear_pixel - faded(front, 8.8)).max()
    assert np.abs(front_pixel - faded(front, 11.2)).max() < np.abs(front_pixel - faded(rear, 11.2)).max()
    assert (image == np.rint(faded(colors.BOX_EDGE, 8)).astype(np.uint8)).all(axis=2).any()


@MODES
def test_nothing_is_drawn_beyond_200_metres_or_behind(compat: bool) -> None:
    lines = [np.array([[201.0, -50, 1.5], [260.0, 50, 1.5]]), np.array([[-5.0, -5, 1.5], [-5.0, 5, 1.5]])]
    assert not draw(Elements(road_boundaries=lines), [box("Car", 220), box("Car", -9)], compat=compat).any()


def test_samples_make_edges_smooth() -> None:
    line = Elements(road_boundaries=[np.array([[10.0, 8, 1.2], [10.0, -8, 0.9]])])
    smooth, hard = draw(line), draw(line, samples=1)
    levels = {tuple(color) for color in hard.reshape(-1, 3)}
    assert len(levels) == 2  # the line and black
    assert len({tuple(color) for color in smooth.reshape(-1, 3)}) > len(levels)
    with pytest.raises(UserError, match="3 samples per pixel: allowed are 1 and 4"):
        draw(line, samples=3)


def test_merged_parts_look_like_single_ones() -> None:
    points = np.stack([np.linspace(3, 60, 30), 2 * np.sin(np.linspace(0, 3, 30)), np.zeros(30)], axis=1)
    line = Elements(lane_lines=[PaintedLine(points, ["WHITE"], ["SOLID_GROUP"])])
    whole, merged = draw(line), draw(line, merge=6.0)
    assert (np.abs(whole.astype(int) - merged).max(axis=2) > 64).mean() < 0.001


def test_an_image_is_black_again_for_the_next_frame() -> None:
    scenario = WorldScenario(Elements())
    assert scenario.draw(LENS, FORWARD, [box("Car", 10)]).any()
    assert not scenario.draw(LENS, FORWARD).any()


# Defects of the reference.


def test_level_areas_are_drawn_as_outlined() -> None:
    """The reference ends at a level ring of a ClipGT clip, and fills concave ones to their hull."""
    u = np.array(
        [[8, -3, 0], [14, -3, 0], [14, 3, 0], [8, 3, 0], [8, 1.5, 0], [12, 1.5, 0], [12, -1.5, 0], [8, -1.5, 0]]
    )
    u = u.astype(float)
    image = draw(Elements(crosswalks=[u]))
    assert image[pixel((13, 0, 0))].any()
    assert not image[pixel((9, 0, 0))].any()
    assert draw(Elements(crosswalks=[u]), compat=True)[pixel((9, 0, 0))].any()
    upright = np.stack([-u[:, 1], -u[:, 2], u[:, 0]], axis=1)  # axes right, down, forward
    with pytest.raises(UserError, match=r"crosswalk 0 has no area .* without --reference-compat it is drawn"):
        draw(Elements(crosswalks=[upright]), compat=True)


def test_areas_and_boxes_that_reach_behind_the_camera_are_cut_there() -> None:
    image = draw(Elements(road_markings=[ring(-10.0, 30.0)]))
    below = image[130:, 100:220]
    assert colored(below, colors.ROAD_MARKING).all()
    assert not image[:88].any()  # the sky
    assert not draw(Elements(), [box("Car", 1.0, 3.0, (8, 2, 1.0))])[:88].any()


def test_boxes_whose_faces_alone_are_in_the_image_are_drawn() -> None:
    wall = [box("Car", 12, size=(2, 60, 30))]
    assert draw(Elements(), wall).any()
    assert not draw(Elements(), wall, compat=True).any()


def test_trucks_have_their_colours() -> None:
    assert {box_class(name, reference_compat=False) for name in ("truck", "Heavy_truck", "bus", "TRAILER")} == {"Truck"}
    assert box_class("heavy_truck", reference_compat=True) == "Others"
    assert box_class("automobile", reference_compat=True) == "Car"
    assert box_class("automobile", reference_compat=True, any_case=False) == "Others"
    assert box_class("spaceship", reference_compat=False) == "Others"


@pytest.mark.parametrize(
    ("words", "ours", "reference"),
    [
        ("WHITE SOLID_SINGLE", Style(colors.WHITE, (Paint.SOLID,)), "same"),
        ("YELLOW SOLID_DASHED", Style(colors.YELLOW, (Paint.LONG_DASHES, Paint.SOLID)), "same"),
        ("white dashed_single", Style(colors.WHITE, (Paint.LONG_DASHES,)), "ochre"),
        ("YELLOW SOLID_DOUBLE", Style(colors.YELLOW, (Paint.SOLID, Paint.SOLID)), "ochre"),
        ("WHITE DASHED_SOLID", Style(colors.WHITE, (Paint.SOLID, Paint.LONG_DASHES)), "ochre"),
        ("BLUE SOLID_SINGLE", Style(colors.OCHRE, (Paint.SOLID,)), "ochre"),
        ("WHITE SOMETHING", Style(colors.WHITE, (Paint.SOLID,)), "ochre"),
        ("WHITE VIRTUAL", None, "ochre"),
    ],
)
def test_styles_of_lane_lines(words: str, ours: Style | None, reference: str) -> None:
    color, style = words.split()
    assert line_style([color], [style], reference_compat=False) == ours
    ochre = Style(colors.OCHRE, (Paint.SOLID,))
    assert line_style([color], [style], reference_compat=True) == (ochre if reference == "ochre" else ours)


def test_the_most_frequent_style_of_a_line_counts() -> None:
    styles = ["SOLID_SINGLE", "VIRTUAL", "VIRTUAL"]
    assert line_style(["WHITE"] * 3, styles, reference_compat=False) is None
    assert line_style([], [], reference_compat=False) == Style(colors.WHITE, (Paint.SOLID,))


def test_lights_show_the_state_of_the_frame() -> None:
    corners = cuboid_corners(np.array([[1, 0, 0, 20], [0, 1, 0, 0], [0, 0, 1, 3], [0, 0, 0, 1.0]]), (0.5, 2.0, 2.0))
    lights = Elements(lights=[(corners, lambda frame: ("red", "green")[frame])])
    for frame, name in enumerate(("red", "green")):
        image = draw(lights, frame=frame)
        np.testing.assert_allclose(image[pixel((20, 0, 3))], faded(colors.LIGHTS[name], 20), atol=2)


# Lines.


def test_edges_are_cut_evenly() -> None:
    starts, ends = cut(np.array([[0.0, 0, 0], [1.0, 0, 0], [1.0, 0, 0], [1.0, 0.05, 0]]), 0.2)
    assert len(starts) == 4 + 1 + 1  # 5 points in 1 m, two at least
    np.testing.assert_array_equal(starts[1:], ends[:-1])
    np.testing.assert_allclose(ends[:4, 0], [0.25, 0.5, 0.75, 1.0])


def lane(length: float) -> tuple[np.ndarray, np.ndarray]:
    return cut(np.array([[0.0, 0, 0], [length, 0, 0]]), 0.05)


def test_long_dashes_end_after_three_of_twelve_metres() -> None:
    starts, ends = painted(lane(30.0), Paint.LONG_DASHES)
    covered = (ends - starts)[:, 0].sum()
    assert covered == pytest.approx(3 * 3.0, abs=1e-3)
    for dash in (0.0, 12.0, 24.0):
        inside = (starts[:, 0] >= dash - 1e-3) & (ends[:, 0] <= dash + 3 + 1e-3)
        assert (ends - starts)[inside, 0].sum() == pytest.approx(3.0, abs=1e-3)


def test_other_paint_keeps_whole_parts() -> None:
    parts = lane(30.0)
    assert painted(parts, Paint.SOLID) is parts
    starts, ends = painted(parts, Paint.SHORT_DASHES)
    assert ((starts[:, 0] % 3 < 1.5 + 1e-3) & (ends[:, 0] % 3 <= 1.5 + 1e-3)).all()
    assert len(painted(parts, Paint.DOTS)[0]) == -(-len(parts[0]) // 10)
    dots = painted(parts, Paint.DOT_DASHES)[0]
    assert len(dots) == 6 * (599 // 72) + 6  # of 599 parts, in groups of 72; the last has 23
    assert len(painted(lane(0.5), Paint.DOT_DASHES)[0]) == 3


def test_double_lines_are_0_2_metres_apart_left_first() -> None:
    left, right = doubled(lane(5.0), (Paint.SOLID, Paint.LONG_DASHES))
    np.testing.assert_allclose(left[0][:, 1], 0.1, atol=1e-6)
    np.testing.assert_allclose(right[0][:, 1], -0.1, atol=1e-6)
    assert len(right[0]) < len(left[0])


def test_strips_share_points_within_lines_only() -> None:
    lines = [(lane(20.0), colors.WHITE, 12.0), (painted(lane(20.0), Paint.DOTS), colors.YELLOW, 12.0)]
    strips = Strips.of(lines)
    parts = [len(parts[0]) for parts, _, _ in lines]
    assert strips.joined.sum() == sum(parts)
    assert len(strips.points) == parts[0] + 1 + 2 * parts[1]
    assert len(strips.colors) == -(-(parts[0] + 1) // CHUNK) + -(-2 * parts[1] // CHUNK)
    for k, (x, y, z, radius) in enumerate(strips.spheres):
        inside = strips.points[strips.starts[k] : strips.starts[k + 1]]
        assert (np.linalg.norm(inside - (x, y, z), axis=1) <= radius).all()


def test_lines_of_absurd_length_are_refused() -> None:
    with pytest.raises(UserError, match=f"at most {MOST_PARTS}"):
        cut(np.array([[0.0, 0, 0], [1e7, 0, 0]]), 0.05)


# Areas.


def circle_is_empty(points: np.ndarray, triangle: np.ndarray) -> bool:
    a, b, c = points[triangle]
    matrix = 2 * np.array([b - a, c - a])
    centre = np.linalg.solve(matrix, [b @ b - a @ a, c @ c - a @ a])
    radius = np.linalg.norm(a - centre)
    return bool((np.linalg.norm(points - centre, axis=1) >= radius * (1 - 1e-6)).all())


@pytest.mark.parametrize("seed", range(5))
def test_delaunay_of_random_points(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(40, 2)).astype(np.float32)
    triangles = delaunay(points)
    assert all(circle_is_empty(points.astype(float), triangle) for triangle in triangles)
    edges = {frozenset(pair) for t in triangles.tolist() for pair in combinations(t, 2)}
    assert len(points) - len(edges) + len(triangles) == 1  # Euler: no hole, no overlap


def test_delaunay_of_grids_lines_and_repeats() -> None:
    grid = np.stack(np.meshgrid(np.arange(5.0), np.arange(4.0)), axis=-1).reshape(-1, 2)
    assert len(delaunay(grid)) == 2 * 4 * 3
    assert len(delaunay(np.concatenate([grid, grid[:3]]))) == 2 * 4 * 3
    assert len(delaunay(grid[:5])) == len(delaunay(grid[:2])) == len(delaunay(grid[:0])) == 0


def test_areas_keep_their_size_on_the_ground() -> None:
    triangles = area_triangles(ring(size=4.0), reference_compat=False, place="area")
    sides = triangles[:, 1:, :2] - triangles[:, :1, :2]
    assert np.abs(np.linalg.det(sides)).sum() / 2 == pytest.approx(16.0)
    closed = np.concatenate([ring(), ring()[:1]])
    assert len(area_triangles(closed, reference_compat=False, place="area")) > 0
    with pytest.raises(UserError, match=r"crosswalk 3 has \d+ vertices, .*: at most 1000 are drawn"):
        area_triangles(ring(size=400.0), reference_compat=False, place="crosswalk 3")
