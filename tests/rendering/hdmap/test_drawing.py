"""The HD-map control at places and depths that can be worked out by hand."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.streets import pose

from cosmos_exp.common.errors import UserError
from cosmos_exp.rendering.hdmap.drawing import BOX_COLORS, COLORS, Box, HdMap, stroke_width
from cosmos_exp.rendering.hdmap.shapes import subdivided
from cosmos_exp.rendering.renderer import Renderer
from cosmos_exp.scene.map_layers import cuboid_corners, map_layers
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole
from cosmos_exp.sensors.rigs import build_rig, camera_pose

MODEL = Pinhole.from_hfov(1280, 720, np.radians(90))  # f = 640
POSE = camera_pose((0, 0, 1.5), (0, 0, 0))


def drawn(model=MODEL, boxes=(), compat=False, **layers):
    arrays = {name: [np.array(v, float) for v in elements] for name, elements in layers.items()}
    return HdMap(arrays, reference_compat=compat).draw(model, POSE, boxes)


def box(name, color_class, x, y=0.0, size=(4, 2, 2)):
    return Box(name, color_class, cuboid_corners(pose(x, y, 1.5), size))


def faded(color, depth):
    return (np.array(color) * 2 * (122.5 - depth) / 255).astype(int).tolist()


def test_line_across_the_view():
    image = drawn(wait_lines=[[[10, 6, 0], [10, -6, 0]]])
    row = 360 + 96  # 1.5 m below the camera at 10 m
    assert image[row, 640].tolist() == faded(COLORS["wait_lines"], 10)
    assert np.flatnonzero(image[:, 640].any(axis=1)).tolist() == list(range(row - 4, row + 5))
    columns = np.flatnonzero(image[row].any(axis=1))
    assert (columns[0], columns[-1]) == (640 - 384 - 4, 640 + 384 + 4)


def test_lines_fade_with_depth_and_end():
    image = drawn(lanelines=[np.stack([np.linspace(2, 300, 50), np.zeros(50), np.zeros(50)], axis=1)]).astype(int)
    rows = np.arange(376, 700)
    depths = 1.5 * 640 / (rows - 4 - 360)  # later, farther strokes cover the last 4 px of earlier ones
    strokes = image[rows, 640, 2]
    np.testing.assert_allclose(strokes, [faded((249,) * 3, d)[0] for d in depths], atol=9)
    assert (np.diff(strokes) >= 0).all() and strokes[-1] > 1.4 * strokes[0]
    assert not image[:359].any()


def test_subdivision():
    line = np.array([[0, 0, 0], [4, 0, 0], [4, 0, 0], [4, 1.7, 0], [4, 1.7, 2.5]], float)
    steps = np.diff(subdivided(line), axis=0)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), [1, 1, 1, 1, 0, 1.7, 1.25, 1.25])


def test_box_is_a_wire_frame_in_the_colour_of_its_class():
    image = drawn(boxes=[box("a", "Truck", 12)])
    assert image[..., 2].max() == faded(BOX_COLORS["Truck"], 10)[2]
    assert not image[..., :2].any()
    assert not image[360, 640].any() and image[360 + 64, 640].any()  # the near face is 10 m away and 2 m high


def test_boxes_of_a_class_cover_each_other_by_name_those_of_others_mix():
    near, far = box("9", "Car", 12), box("10", "Car", 12 + 40)
    both = drawn(boxes=[near, far])
    np.testing.assert_array_equal(both, drawn(boxes=[far, near]))
    top = np.argmax(both[:, 640].any(axis=1)) + 2
    assert both[top, 640].tolist() == faded((255, 0, 0), 10)  # "10" < "9"
    mixed = drawn(boxes=[near, box("x", "Pedestrian", 12)])
    assert mixed[top, 640].tolist() == faded((255, 255, 0), 10)


def test_crosswalk_is_filled():
    image = drawn(crosswalks=[[[8, -2, 0], [12, -2, 0], [12, 2, 0], [8, 2, 0]]])
    mean = (8 + 12 + 12 + 8 + 8) / 5  # the first corner counts twice
    assert image[456, 640].tolist() == faded(COLORS["crosswalks"], mean)


def test_nothing_behind_and_through_the_camera_plane():
    assert not drawn(wait_lines=[[[-5, 3, 0], [-5, -3, 0]]]).any()
    through = drawn(wait_lines=[[[-5, 1, 0], [20, 1, 0]]])
    assert through[500:].any() and not through[:360].any()


class TestDefectsOfTheReference:
    def test_line_with_both_ends_beside_the_image(self):
        line = [[3.0, 9, 0], [3.0, -9, 0]]
        assert not drawn(compat=True, wait_lines=[line]).any()
        assert drawn(wait_lines=[line])[360 + 320, 640].tolist() == faded(COLORS["wait_lines"], 3)

    def test_box_around_the_view(self):
        truck = box("a", "Truck", 6, size=(4, 20, 0.5))
        assert not drawn(compat=True, boxes=[truck]).any()
        assert drawn(boxes=[truck])[:, 640].any(axis=1).sum() >= 14

    @pytest.mark.parametrize("model", [MODEL, FTheta(1280, 720, (640, 360), (0, 0.0016, 0, 0, 0, 0), True)])
    def test_polygon_that_holds_the_image(self, model):
        wall = [[5, 200, -200], [5, 200, 200], [5, -200, 200], [5, -200, -200]]
        assert not drawn(model, compat=True, road_markings=[wall]).any()
        assert (drawn(model, road_markings=[wall]) == faded(COLORS["road_markings"], 5)).all()

    def test_strokes_out_of_range_do_not_erase(self):
        far = [[110, 0, 0], [136, 0, 0]]
        near = [[110, -5, 0], [110, 5, 0]]
        layers = {"wait_lines": [near, far]}
        assert not drawn(compat=True, **layers)[369, 640].any()
        np.testing.assert_array_equal(drawn(**layers), drawn(wait_lines=[near]))

    def test_polygons_out_of_range_do_not_flash(self):
        sign = [[120, -1, 1], [120, 1, 1], [140, 1, 2], [140, -1, 2]]
        assert drawn(compat=True, road_markings=[sign]).max() > 200
        assert not drawn(road_markings=[sign]).any()

    def test_points_behind_a_pinhole_are_not_mirrored(self):
        behind = [[0, 2, 1.5], [-5, 1, 1]]
        assert drawn(compat=True, wait_lines=[behind]).any()
        assert not drawn(wait_lines=[behind]).any()

    def test_widths_scale_with_the_image(self):
        small = MODEL.resized(256, 144)
        line = [[10.0, 6, 0], [10.0, -6, 0]]
        rows = [drawn(small, compat=c, wait_lines=[line])[:, 128].any(axis=1).sum() for c in (True, False)]
        assert rows == [9, 3]


@pytest.mark.parametrize(
    ("height", "expected"), [(720, (8, 5)), (704, (8, 5)), (1080, (12, 8)), (144, (2, 1)), (9, (1, 1))]
)
def test_stroke_widths(height, expected):
    assert (stroke_width(8, height), stroke_width(5, height)) == expected


def test_draws_into_a_given_image():
    hd_map = HdMap({"wait_lines": [np.array([[10.0, 6, 0], [10.0, -6, 0]])]})
    out = np.full((720, 1280, 3), 77, np.uint8)
    assert hd_map.draw(MODEL, POSE, out=out) is out
    np.testing.assert_array_equal(out, hd_map.draw(MODEL, POSE))


def test_threads_and_sizes_do_not_disturb_each_other(street):
    hd_map = HdMap(map_layers(street.map))
    models = [MODEL.resized(256, 144), MODEL.resized(320, 180)] * 6
    alone = [hd_map.draw(model, POSE) for model in models]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda model: hd_map.draw(model, POSE), models))
    for a, b in zip(alone, together):
        np.testing.assert_array_equal(a, b)


def test_empty_and_degenerate_elements():
    nothing = drawn(
        lanelines=[np.zeros((1, 3))],
        poles=[],
        crosswalks=[np.zeros((0, 3)), [[9, 0, 0]]],
        road_boundaries=[np.zeros((0, 3))],
    )
    assert not nothing.any()
    dot = drawn(boxes=[box("flat", "Others", 10, size=(0, 0, 0))])
    assert dot.any(axis=2).sum() == 29  # a disc of radius 3


def test_unknown_names():
    with pytest.raises(UserError, match="did you mean 'lanelines'"):
        HdMap({"lane_lines": []})
    with pytest.raises(UserError, match="did you mean 'Car'"):
        HdMap({}).draw(MODEL, POSE, [box("a", "Cars", 10)])


def test_moving_objects_only_while_they_exist(street):
    camera = build_rig(
        "test", {"front_wide_120fov": {"hfov": 90, "position": [0, 0, 1.5], "rotation": [0, 0, 0]}}, size=(256, 144)
    ).cameras[0]
    renderer = Renderer(street)

    def shows_a_walker(t):
        frame = renderer.hdmap(camera, t)
        return bool(((frame[..., 1] > 200) & (frame[..., [0, 2]] < 60).all(axis=2)).any())

    assert [shows_a_walker(t) for t in (0.5, 1.2, 1.8)] == [False, True, False]
