import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from cosmos_exp.common.errors import UserError
from cosmos_exp.common.views import VIEWS
from cosmos_exp.sensors.camera import Rig, fields_of_view
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.rigs import build_rig, cameras_of_views, resized, rig_of_views

CONF = Path(__file__).resolve().parents[2] / "conf" / "sensors"
FRONT = {"hfov": 120, "position": [1.7, 0, 1.4], "rotation": [0, 0, 0]}
FTHETA = {
    "width": 1920,
    "height": 1080,
    "center": [960, 540],
    "poly": [0, 0.00105, 0, 0, 0, 0],
    "backward": True,
}


def rig_of(**options):
    return build_rig("test", {"front_wide_120fov": {**FRONT, **options}})


OF_A_FILE = ("rds_hq", "clipgt", "carla_yaml")  # their cameras are read from a clip, from a sensor file


@pytest.mark.parametrize(
    "path", sorted(p for p in CONF.glob("*.yaml") if p.stem not in OF_A_FILE), ids=lambda p: p.stem
)
def test_shipped_rigs(path):
    options = yaml.safe_load(path.read_text())
    rig = build_rig(options["name"], options["cameras"], size=(256, 144))
    assert options["name"] == path.stem
    assert {(c.model.width, c.model.height) for c in rig.cameras} == {(256, 144)}
    front = rig_of_views(rig, options.get("views", {}), VIEWS[:1]).cameras[0]
    assert front.name == VIEWS[0] and front.camera_to_rig[0, 2] > 0.98


def shipped(name: str) -> Rig:
    options = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return build_rig(options["name"], options["cameras"])


@pytest.mark.parametrize("name", ["six_views", "six_views_ftheta", "nvidia_seven"])
def test_rigs_of_all_views(name):
    rig = shipped(name)
    assert tuple(camera.name for camera in rig.cameras)[:6] == VIEWS
    assert [c.name for c in rig_of_views(rig, {}, VIEWS[::-1]).cameras] == list(VIEWS[::-1])


def test_carla_example_camera_in_the_rig_frame():
    """(0, 0, 1.8) from the origin of a Lincoln MKZ, whose rear axle is at (-1.394, 0, -0.037) in the actor's frame."""
    (camera,) = shipped("cosmos_aov").cameras
    np.testing.assert_allclose(camera.camera_to_rig[:3, 3], [0 + 1.394, 0, 1.8 + 0.037], atol=0.005)
    np.testing.assert_allclose(camera.camera_to_rig[2, 2], np.sin(np.radians(8)), atol=1e-12)  # Unreal pitch 8: upwards
    assert (camera.model.width, camera.model.height) == (1920, 1080)
    assert np.degrees(fields_of_view(camera.model)[0]) == pytest.approx(110)


def test_waymo_cameras():
    rig = shipped("waymo_five")
    sizes = {c.name: (c.model.width, c.model.height) for c in rig.cameras}
    assert sizes["front"] == (1920, 1280) and sizes["side_left"] == (1920, 886)
    headings = [np.degrees(np.arctan2(*c.camera_to_rig[1::-1, 2])) for c in rig.cameras]
    np.testing.assert_allclose(headings, [0, 45, -45, 90, -90], atol=1e-9)
    assert rig.cameras[0].model.fx == pytest.approx(2040, abs=20)


def angle_between(a: np.ndarray, b: np.ndarray) -> float:
    """Degrees by which two camera poses differ in direction, roll included."""
    return float(np.degrees(np.arccos(np.clip((np.trace(a[:3, :3].T @ b[:3, :3]) - 1) / 2, -1, 1))))


@pytest.mark.parametrize(
    ("name", "metres", "degrees"),
    [
        ("nvidia_seven", 0.01, 0.1),
        ("drive_dreams_single", 0.01, 0.1),
        ("six_views", 0.5, 7),
        ("six_views_ftheta", 0.5, 7),
    ],
)
def test_rigs_of_the_data_collection_car_agree_with_the_fit_to_a_real_clip(name, metres, degrees, shared):
    fitted = json.loads((shared / "rds_hq" / "example" / "fitted_extrinsics.json").read_text())
    for camera in shipped(name).cameras:
        if camera.name == "front_tele_30fov":  # not in the fit
            continue
        pose = np.array(fitted[f"camera_{camera.name}"]["camera_to_vehicle"])
        assert np.linalg.norm(camera.camera_to_rig[:3, 3] - pose[:3, 3]) < metres, camera.name
        assert angle_between(camera.camera_to_rig, pose) < degrees, camera.name


@pytest.mark.parametrize(
    ("name", "hfov", "vfov"),
    [("front_wide_120fov", 118.8, 65.9), ("cross_left_120fov", 119.8, 66.4), ("rear_tele_30fov", 29.8, 16.8)],
)
def test_fields_of_view_of_real_lenses(name, hfov, vfov):
    np.testing.assert_allclose(
        np.degrees(fields_of_view(shipped("nvidia_seven").camera(name).model)), [hfov, vfov], atol=0.1
    )


def test_field_of_view_beyond_half_a_turn():
    fisheye = FTheta(1000, 1000, (500.0, 500.0), (0, np.radians(0.2), 0, 0, 0, 0), True)
    np.testing.assert_allclose(np.degrees(fields_of_view(fisheye)), [200, 200], atol=0.01)


def test_own_size_of_a_pinhole():
    wide = rig_of(size=[1920, 1080]).cameras[0].model
    assert (wide.width, wide.fx, wide.fy) == (1920, wide.fy, wide.fx)
    options = {"front_wide_120fov": {**FRONT, "size": [1920, 1080]}}
    squeezed = build_rig("test", options, size=(960, 1080)).cameras[0].model
    assert squeezed.fx == pytest.approx(wide.fx / 2) and squeezed.fy == pytest.approx(wide.fy)
    assert fields_of_view(squeezed) == pytest.approx(fields_of_view(wide))


def test_views_look_where_their_names_say():
    options = yaml.safe_load((CONF / "six_views.yaml").read_text())
    forward = {c.name: c.camera_to_rig[:3, 2] for c in build_rig("six", options["cameras"]).cameras}
    assert forward["front_wide_120fov"][0] > 0.99
    assert forward["cross_left_120fov"][1] > 0.8 and forward["cross_right_120fov"][1] < -0.8
    assert forward["rear_tele_30fov"][0] < -0.99
    assert forward["rear_left_70fov"][0] < -0.8 and forward["rear_left_70fov"][1] > 0.3


def test_axes():
    level = rig_of().cameras[0].camera_to_rig
    np.testing.assert_allclose(level[:3, :3] @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(level[:3, :3] @ [1, 0, 0], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(level[:3, 3], FRONT["position"])
    assert rig_of(rotation=[0, 10, 0]).cameras[0].camera_to_rig[2, 2] < 0
    assert rig_of(rotation=[0, 0, 30]).cameras[0].camera_to_rig[1, 2] > 0


def test_ftheta_camera():
    options = {k: v for k, v in FRONT.items() if k != "hfov"}
    rig = build_rig("test", {"front_wide_120fov": {**options, "ftheta": FTHETA}})
    assert isinstance(rig.cameras[0].model, FTheta)
    assert resized(rig, 256, 144).cameras[0].model.width == 256


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hfov": 190}, "hfov 190 .* 1 to 170 degrees, nearest 170; wider cameras need ftheta"),
        ({"hfov": "wide"}, "hfov .* needs 1 finite number"),
        ({"hfov": None}, "exactly one of hfov"),
        ({"ftheta": FTHETA}, "exactly one of hfov"),
        ({"hfov": None, "ftheta": {**FTHETA, "poly": [0, 0.001, 0, -1e-9, 0, 0]}}, "must grow from the centre"),
        ({"hfov": None, "ftheta": {**FTHETA, "poly": [0, 0.001]}}, "needs 6 finite numbers"),
        ({"hfov": None, "ftheta": {**FTHETA, "centre": [1, 2]}}, "did you mean 'center'"),
        ({"position": [1, 2]}, "position .* needs 3 finite numbers"),
        ({"rotation": [0, float("nan"), 0]}, "rotation .* needs 3 finite numbers"),
        ({"fov": 90}, "did you mean 'hfov'"),
        ({"size": [1920, 4]}, "1920x4 is no image size"),
        ({"size": [1920, 1080.5]}, "no image size"),
        ({"hfov": None, "ftheta": FTHETA, "size": [1920, 1080]}, "size .* goes with hfov"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(UserError, match=message):
        rig_of(**options)


def test_all_mistakes_at_once():
    with pytest.raises(UserError) as caught:
        build_rig("test", {"Front-Wide": FRONT, "rear_tele_30fov": {**FRONT, "hfov": 0}})
    assert "camera name 'Front-Wide'" in str(caught.value) and "'front_wide'" in str(caught.value)
    assert "hfov 0 of camera 'rear_tele_30fov'" in str(caught.value)


def test_no_cameras_and_tiny_images():
    with pytest.raises(UserError, match="has no cameras"):
        build_rig("empty", {})
    with pytest.raises(UserError, match=r"4x4 .* smallest is 8x8"):
        build_rig("test", {"front_wide_120fov": FRONT}, size=(4, 4))


def test_cameras_that_stand_for_views_of_another_name():
    cameras = ["front", "side", "rear_tele_30fov"]
    found = cameras_of_views(cameras, {"front": "front_wide_120fov"})
    assert found == {"front_wide_120fov": "front", "rear_tele_30fov": "rear_tele_30fov"}
    rig = build_rig("mine", {name: FRONT for name in cameras})
    assert [c.name for c in rig_of_views(rig, {"side": "cross_left_120fov"}, ["cross_left_120fov"]).cameras] == [
        "cross_left_120fov"
    ]
    with pytest.raises(UserError, match="no camera for the view 'front_wide_120fov'") as caught:
        rig_of_views(rig, {}, VIEWS[:1])
    assert "+sensors.views.front=front_wide_120fov" in str(caught.value)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ({"frnt": "front_wide_120fov"}, "camera of the rig 'frnt': did you mean 'front'"),
        ({"front": "front_wide"}, "view 'front_wide': did you mean 'front_wide_120fov'"),
        ({"front": "rear_tele_30fov"}, "front and rear_tele_30fov all stand for the view 'rear_tele_30fov'"),
    ],
)
def test_mistakes_in_the_mapping_are_named(views, message):
    with pytest.raises(UserError, match=message):
        cameras_of_views(["front", "rear_tele_30fov"], views)
