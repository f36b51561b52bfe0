import json

import numpy as np
import pytest

from cosmos_exp.scene.rds_hq.clip import find_clip
from cosmos_exp.scene.rds_hq.objects import (
    HDMAP_CLASSES,
    ObjectRecord,
    actor_class,
    at_frames,
    average_static_objects,
    hdmap_class,
    object_type,
)
from cosmos_exp.scene.types import ActorClass


def turned(yaw: float, x: float = 0.0) -> np.ndarray:
    pose = np.eye(4)
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[0, 3] = x
    return pose


def record(x=0.0, yaw=0.0, *, moving=True, length=4.0, kind="Car") -> ObjectRecord:
    return ObjectRecord(turned(yaw, x), (length, 2.0, 1.5), moving, kind)


def test_the_reference_clip(shared):
    folder = shared / "rds_hq" / "golden"
    if not folder.is_dir():
        pytest.skip("no RDS-HQ golden numbers")
    golden = json.loads((folder / "objects_at_render_frames.json").read_text())
    clip = find_clip(folder / "inputs" / "synth-a_0_1333333")
    frames = at_frames(average_static_objects(clip.objects()), range(40), last_used=39)
    assert sorted(golden) == [f"{frame:06d}" for frame in frames]
    for frame, expected in golden.items():
        found = frames[int(frame)]
        assert set(found) == set(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name].pose, values["object_to_world"], rtol=0, atol=1e-6)
            np.testing.assert_allclose(found[name].size, values["object_lwh"], rtol=0, atol=1e-6)
            assert (found[name].moving, found[name].type) == (values["object_is_moving"], values["object_type"])


def test_standing_objects_hold_still():
    yaws = [0.1, -0.1, 0.0, np.pi]  # the last is an outlier
    objects = {3 * i: {"a": record(i, yaw, moving=False, length=4.0 + i)} for i, yaw in enumerate(yaws)}
    objects[6]["b"] = record(7, 1.0)
    held = average_static_objects(objects)
    for frame in objects:
        np.testing.assert_allclose(held[frame]["a"].pose, turned(0.0, 1.0), atol=1e-12)
        assert held[frame]["a"].size == (5.5, 2.0, 1.5)
    assert held[6]["b"] is objects[6]["b"]


def test_only_the_standing_records_of_an_object_are_held():
    objects = {0: {"a": record(0, moving=False)}, 3: {"a": record(1, moving=False)}, 6: {"a": record(9)}}
    held = average_static_objects(objects)
    assert [held[f]["a"].pose[0, 3] for f in (0, 3, 6)] == [0.5, 0.5, 9]


def test_headings_far_from_their_mean_stay():
    objects = {i: {"a": record(i, yaw, moving=False)} for i, yaw in enumerate(np.radians([0, 100]))}
    held = average_static_objects(objects)
    for i, frame in enumerate(objects):
        np.testing.assert_array_equal(held[frame]["a"].pose, objects[frame]["a"].pose)
        assert held[frame]["a"].pose[0, 3] == i


def test_mean_axes_are_means_of_their_own():
    def tilted(roll, pitch):
        x = np.array([[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]])
        y = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
        pose = np.eye(4)
        pose[:3, :3] = x @ y
        return pose

    poses = [tilted(0.2, 0.1), tilted(-0.1, -0.15), tilted(0.0, 0.02)]
    objects = {i: {"a": ObjectRecord(p, (1, 1, 1), False, "Car")} for i, p in enumerate(poses)}
    rotation = average_static_objects(objects)[0]["a"].pose[:3, :3]
    x, z = (np.mean([p[:3, axis] for p in poses], axis=0) for axis in (0, 2))
    np.testing.assert_allclose(rotation[:, 0], x / np.linalg.norm(x))
    np.testing.assert_allclose(rotation[:, 2], z / np.linalg.norm(z))
    np.testing.assert_allclose(rotation[:, 1], np.cross(rotation[:, 2], rotation[:, 0]))


def test_between_key_frames():
    objects = {0: {"a": record(0, 0.0, length=4.0), "b": record()}, 3: {"a": record(3, 0.6, length=7.0, kind="Bus")}}
    frames = at_frames(objects, [0, 1, 3])
    assert set(frames[0]) == {"a", "b"} and set(frames[1]) == {"a"}
    np.testing.assert_allclose(frames[1]["a"].pose, turned(0.2, 1.0), atol=1e-12)
    assert frames[1]["a"].size == pytest.approx((5.0, 2.0, 1.5))
    assert frames[1]["a"].type == "Car"
    assert frames[3]["a"] is objects[3]["a"]


def test_askew_rotations_are_straightened_between_key_frames():
    askew = record()
    askew.pose[0, 1] = 0.02
    frames = at_frames({0: {"a": askew}, 2: {"a": askew}}, [0, 1])
    assert frames[0]["a"].pose[0, 1] == 0.02
    rotation = frames[1]["a"].pose[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert rotation[0, 1] == pytest.approx(0.01, abs=1e-4)


def test_before_the_first_and_after_the_last_key_frame():
    objects = {3: {"a": record(3)}, 6: {"a": record(6)}, 9: {"a": record(9)}}
    x = {frame: there["a"].pose[0, 3] for frame, there in at_frames(objects, range(12)).items()}
    assert x == pytest.approx({f: min(max(f, 3), 9) for f in range(12)})


def test_key_frames_after_the_last_used_do_not_count():
    objects = {0: {"a": record(0)}, 3: {"a": record(3)}, 6: {"a": record(6)}}
    assert at_frames(objects, [5])[5]["a"].pose[0, 3] == pytest.approx(5)
    assert at_frames(objects, [5], last_used=5)[5]["a"].pose[0, 3] == 3


def test_no_objects():
    assert at_frames(average_static_objects({}), [0, 1]) == {0: {}, 1: {}}


def test_classes():
    assert {hdmap_class(kind) for kind in HDMAP_CLASSES["Truck"]} == {"Truck"}
    assert hdmap_class("Protruding_object") == hdmap_class("car") == "Others"
    assert actor_class("Train_or_tram_car") is ActorClass.TRAIN
    assert actor_class("Animal") is ActorClass.OTHER
    for actor in ActorClass:
        same = actor_class(object_type(actor))
        assert same is actor or (actor, same) == (ActorClass.MOTORCYCLE, ActorClass.RIDER)
