"""Labels in pixels, against scenes whose picture is known."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.perceived import perceived_clip

from cosmos_exp.evaluators.labels import MARKING, object_labels, paint_classes, paint_lines
from cosmos_exp.evaluators.types import IGNORED, OBJECT_CLASSES, PAINT_CLASSES, SEMANTIC_CLASSES, semantic_classes
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.renderer import render_camera
from cosmos_exp.scene.types import ActorClass, LaneLine, Scene, SceneMap, Track, Trajectory
from cosmos_exp.sensors.camera import Camera
from cosmos_exp.sensors.pinhole import Pinhole

FORWARD = np.array([[0, 0, 1.0, 0], [-1, 0, 0, 0], [0, -1, 0, 1.5], [0, 0, 0, 1]])
CAMERA = Camera("front", Pinhole.from_hfov(160, 90, np.pi / 2), FORWARD)
OUTPUTS = ("depth", "semantic", "instance")
TIMES = np.zeros(1)


def pose(x: float, y: float, z: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def car(name: str, x: float, y: float = 0.0) -> Track:
    trajectory = Trajectory(np.array([0.0, 1.0]), np.stack([pose(x, y, 0.75)] * 2))
    return Track(name, ActorClass.CAR, (4.0, 2.0, 1.5), trajectory)


def scene(*tracks: Track, lines: tuple[LaneLine, ...] = ()) -> Scene:
    still = Trajectory(np.array([0.0, 1.0]), np.stack([np.eye(4)] * 2))
    ego = Track("ego", ActorClass.CAR, (4.0, 2.0, 1.5), still)
    return Scene("clip", "test", SceneMap("map", lane_lines=lines), ego, still, tracks, 0.0, 1.0)


def labels_of(made: Scene):
    return object_labels(made, CAMERA, TIMES, render_camera(made, CAMERA, TIMES, outputs=OUTPUTS))


def test_the_box_of_a_car_ahead_is_where_its_corners_are():
    (label,) = labels_of(scene(car("a", 20.0)))
    assert (label.id, label.name, label.frame) == ("a", "car", 0)
    near = 80 / 18.0  # pixels per metre at the nearest corners: 90 degrees across 160 pixels
    assert label.box[0] == pytest.approx(80 - near, abs=1.5) and label.box[2] == pytest.approx(80 + near, abs=1.5)
    assert label.box[3] == pytest.approx(45 + 1.5 * near, abs=1.5)
    assert label.distance == pytest.approx(np.hypot(20.0, 0.75))
    assert label.occlusion == 0.0
    assert label.box[0] <= label.visible[0] < label.visible[2] <= label.box[2]


def test_a_car_behind_another_is_occluded_and_one_behind_the_camera_is_not_there():
    found = {
        label.id: label for label in labels_of(scene(car("near", 10.0, 0.8), car("far", 20.0), car("rear", -15.0)))
    }
    assert set(found) == {"near", "far"}
    assert found["near"].occlusion == 0.0 and 0.3 < found["far"].occlusion < 1.0
    assert found["far"].visible[0] > found["far"].box[0] + 1  # the left part is hidden


def test_a_car_that_reaches_behind_the_camera_has_a_box():
    (label,) = labels_of(scene(car("beside", 1.0, -2.5)))
    assert label.box[2] == CAMERA.model.width


def test_paint_is_of_the_nearest_lane_line_and_else_a_marking():
    left = LaneLine(np.array([[4.0, 1.0, 0.0], [40.0, 1.0, 0.0]]))
    right = LaneLine(np.array([[4.0, -1.0, 0.0], [40.0, -1.0, 0.0]]), style="broken", color="yellow")
    made = scene(lines=(left, right))
    render = render_camera(made, CAMERA, TIMES, outputs=OUTPUTS)
    (found,) = paint_lines(made, CAMERA, TIMES, render)
    assert set(np.unique(found)) == {0, 1, 2}
    assert np.array_equal(found != 0, render.output("semantic")[0] == Tag.ROAD_LINE)
    assert np.nonzero(found == 1)[1].max() < 80 < np.nonzero(found == 2)[1].min()

    other = scene(lines=(left,))  # the paint on the right belongs to no line of this map
    (marked,) = paint_lines(other, CAMERA, TIMES, render)
    assert (marked[found == 1] == 1).all() and (marked[found == 2] == MARKING).mean() > 0.8
    classes = paint_classes(marked, other.map.lane_lines)
    assert set(np.unique(classes[marked == MARKING])) == {1 + PAINT_CLASSES.index("marking")}
    assert set(np.unique(classes[marked == 1])) == {1 + PAINT_CLASSES.index("solid_white")}


def test_tags_become_classes_and_unlabelled_pixels_are_ignored():
    tags = np.array([Tag.ROAD, Tag.ROAD_LINE, Tag.BUS, Tag.UNLABELED], np.uint8)
    names = [*SEMANTIC_CLASSES]
    assert semantic_classes(tags).tolist() == [
        names.index("road"),
        names.index("road"),
        names.index("vehicle"),
        IGNORED,
    ]


def test_every_visible_track_of_a_street_is_labelled():
    clip = perceived_clip()
    for view, render in clip.renders.items():
        found = {
            (label.frame, label.code) for label in clip.labels(view).objects if label.name in list(OBJECT_CLASSES)[:4]
        }
        for frame, instances in enumerate(render.output("instance")):
            ids, counts = np.unique(instances[instances > 0], return_counts=True)
            assert {(frame, int(i)) for i, n in zip(ids, counts) if n >= 4} <= found
