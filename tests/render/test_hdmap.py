"""The HD-map control at places and depths that can be worked out by hand."""

from dataclasses import replace

import numpy as np
import pytest
from streets import pose, still

from cosmos_exp.render.hdmap import COLORS, HdMap
from cosmos_exp.render.renderer import Renderer
from cosmos_exp.scene.types import ActorClass, LaneLine, SceneMap, Track
from cosmos_exp.sensors.pinhole import Pinhole
from cosmos_exp.sensors.rigs import build_rig, camera_pose

MODEL = Pinhole.from_hfov(640, 360, np.radians(90))
POSE = camera_pose((0, 0, 1.5), (0, 0, 0))


def drawn(street, placed=(), model=MODEL, **layers):
    scene = replace(street, map=SceneMap("test", **layers))
    return HdMap(scene, np.zeros(3)).draw(model, POSE, list(placed))


def faded(color, depth):
    return (np.array(color) * 2 * (122.5 - depth) / 255).astype(int)


def test_line_across_the_view(street):
    image = drawn(street, wait_lines=(np.array([[10.0, 6, 0], [10.0, -6, 0]]),))
    row = 180 + round(1.5 / 10 * 320)
    np.testing.assert_allclose(image[row, 320], faded(COLORS["wait_lines"], 10), atol=1)
    drawn_rows = np.flatnonzero(image[:, 320].any(axis=1))
    assert abs(len(drawn_rows) - 4) <= 1 and abs(drawn_rows.mean() - row) <= 1
    columns = np.flatnonzero(image[row].any(axis=1))
    assert abs(columns[0] - (320 - 192)) <= 3 and abs(columns[-1] - (320 + 192)) <= 3


def test_lines_fade_with_depth_and_end(street):
    line = LaneLine(np.stack([np.linspace(2, 300, 50), np.zeros(50), np.zeros(50)], axis=1))
    image = drawn(street, lane_lines=(line,)).astype(int)
    column = image[:, 320, 2]
    depths = 1.5 * 320 / (np.arange(190, 350) - 180)
    strokes = column[190:350]
    np.testing.assert_allclose(strokes, faded((249,) * 160, depths), atol=30)
    assert (np.diff(strokes) >= 0).all() and strokes[-1] > 1.4 * strokes[0]
    assert not image[:179].any()


def test_box_is_a_wire_frame_in_the_colour_of_its_class(street):
    track = Track("a", ActorClass.TRUCK, (4, 2, 2), still(pose(12, 0, 1)))
    image = drawn(street, [(0, track, pose(12, 0, 1))])
    assert image[..., 2].max() == faded((0, 0, 255), 10)[2]
    assert not image[..., :2].any()
    assert not image[180 + round(0.5 / 10 * 320) - 6, 320].any()  # inside the near face


def test_crosswalk_is_filled(street):
    square = np.array([[8, -2, 0], [12, -2, 0], [12, 2, 0], [8, 2, 0.0]])
    image = drawn(street, crosswalks=(square,))
    np.testing.assert_allclose(image[180 + round(1.5 / 10 * 320), 320], faded(COLORS["crosswalks"], 10), atol=1)


def test_nothing_behind_and_through_the_camera_plane(street):
    behind = drawn(street, wait_lines=(np.array([[-5.0, 3, 0], [-5.0, -3, 0]]),))
    assert not behind.any()
    through = drawn(street, wait_lines=(np.array([[-5.0, 1, 0], [20.0, 1, 0]]),))
    assert through[300:].any() and not through[:170].any()


@pytest.mark.parametrize(("height", "width"), [(144, 256), (720, 1280)])
def test_strokes_scale_with_the_image(street, height, width):
    model = Pinhole.from_hfov(width, height, np.radians(90))
    image = drawn(street, model=model, wait_lines=(np.array([[10.0, 6, 0], [10.0, -6, 0]]),))
    thickness = image[:, width // 2].any(axis=1).sum()
    assert abs(thickness - 8 * height / 720) <= 1.1


def test_moving_objects_only_while_they_exist(street):
    camera = build_rig(
        "test", {"front_wide_120fov": {"hfov": 90, "position": [0, 0, 1.5], "rotation": [0, 0, 0]}}, size=(320, 180)
    ).cameras[0]
    renderer = Renderer(street)

    def shows_a_walker(t):
        frame = renderer.hdmap(camera, t)
        return bool(((frame[..., 1] > 200) & (frame[..., [0, 2]] < 60).all(axis=2)).any())

    assert [shows_a_walker(t) for t in (0.5, 1.2, 1.8)] == [False, True, False]
