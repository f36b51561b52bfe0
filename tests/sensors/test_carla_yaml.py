"""CARLA's sensor files: the samples' forms, lenses, mounting, several cameras of one kind, mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.axes import flu_poses
from cosmos_exp.sensors.carla_lens import LENS_MODELS, radius_of
from cosmos_exp.sensors.carla_yaml import carla_rig, read_carla_sensors
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole
from cosmos_exp.sensors.rigs import OPENCV_IN_FLU

KINDS = ("rgb", "normals", "depth", "semantic_segmentation", "instance_segmentation")
SAMPLE_POSE = "transform: {location: {x: 0, y: 0, z: 1.8}, rotation: {pitch: 8, yaw: 0, roll: 0}}"
FULL_HD = "image_size_x: 1920, image_size_y: 1080"
AXLE = np.array([1.39, 0.0, 0.04])  # origin of the recorded Lincoln MKZ in the rig frame


def entries(*sensors: str, attributes: str = f"{FULL_HD}, fov: 110", extra: str = "", pose: str = SAMPLE_POSE) -> str:
    lines = (f"- sensor: {s}\n  attributes: {{{attributes}}}\n  {pose}\n{extra}" for s in sensors)
    return "".join(lines)


@pytest.fixture
def read(tmp_path: Path):
    def read(text: str):
        path = tmp_path / "sensors.yaml"
        path.write_text(text)
        return read_carla_sensors(path)

    return read


def only_model(sensors):
    (camera,) = carla_rig(sensors, AXLE).cameras
    return camera.model


def test_the_default_set_is_one_camera_with_all_outputs(read):
    sensors = read(entries(*KINDS, "rds_hq"))
    assert sensors.outputs == {"camera_0": ("rgb", "normals", "depth", "semantic", "instance", "hdmap")}
    assert sensors.sensors["camera_0"][-1] == "rds_hq" and not sensors.notes
    (camera,) = carla_rig(sensors, AXLE).cameras
    model = camera.model
    assert isinstance(model, Pinhole) and (model.width, model.height) == (1920, 1080)
    assert model.fx == pytest.approx(960 / np.tan(np.radians(55))) and model.fy == model.fx
    np.testing.assert_allclose(camera.camera_to_rig[:3, 3], [1.39, 0, 1.84])
    assert camera.camera_to_rig[2, 2] == pytest.approx(np.sin(np.radians(8))), "Unreal's pitch 8 looks up"


def test_defaults_are_carlas(read):
    model = only_model(read("- sensor: rgb"))
    assert (model.width, model.height, model.fx) == (800, 600, pytest.approx(400))


def test_attributes_may_be_strings_and_the_path_may_begin_with_file(tmp_path):
    path = tmp_path / "sensors.yaml"
    path.write_text(entries("rgb", attributes="image_size_x: '640', image_size_y: '480', fov: '90'"))
    assert only_model(read_carla_sensors(f"file:{path}")).fx == pytest.approx(320)


@pytest.mark.parametrize("angles", [(10, 0, 0), (0, 20, 0), (0, 0, 30), (10, -20, 30), (-50, 120, -15)])
def test_mounting_is_carlas_matrix_in_our_axes(read, angles):
    pitch, yaw, roll = angles
    pose = f"transform: {{location: {{x: 1.5, y: -0.4, z: 2}}, rotation: {{pitch: {pitch}, yaw: {yaw}, roll: {roll}}}}}"
    (camera,) = carla_rig(read(entries("rgb", pose=pose)), np.zeros(3)).cameras
    expected = flu_poses(np.array([[1.5, -0.4, 2.0]]), np.array([[roll, pitch, yaw]]))[0]
    np.testing.assert_allclose(camera.camera_to_rig[:3, :3], expected[:3, :3] @ OPENCV_IN_FLU, atol=1e-12)
    np.testing.assert_allclose(camera.camera_to_rig[:3, 3], expected[:3, 3])


def test_given_pinhole_and_ftheta_parameters(read):
    focal = entries("rds_hq", attributes=FULL_HD, extra="  pinhole_parameters: {focal_length: 960.0}\n")
    assert only_model(read(focal)).fx == pytest.approx(960)
    ftheta = "  ftheta_parameters: {polynomials: {k0: 0, k1: 257., k2: 0, k3: 0, k4: 0, k5: 0}, is_bw_poly: false}\n"
    model = only_model(read(entries("rds_hq", attributes=FULL_HD, extra=ftheta)))
    assert isinstance(model, FTheta) and not model.backward
    assert model.poly == (0, 257, 0, 0, 0, 0) and model.center == (960, 540) and model.linear == (1, 0, 0)


def test_the_lens_of_an_rds_hq_entry_makes_it_a_camera_of_its_own(read):
    wide = "  wide_angle_lens: true\n"
    ftheta = wide + "  ftheta_parameters: {polynomials: {k1: 257.}}\n"
    sensors = read(entries("rgb", "depth", extra=wide) + entries("rds_hq", attributes=FULL_HD, extra=ftheta))
    assert sensors.outputs == {"camera_0": ("rgb", "depth"), "camera_1": ("hdmap",)}


@pytest.mark.parametrize("model", LENS_MODELS)
def test_wide_angle_lenses_follow_their_formula(read, model):
    """The fov is vertical: half of it reaches half the height; in between the radius is that of the formula."""
    size = (1080, 1080) if model == "orthographic" else (1920, 1080)
    fov = 60 if model == "orthographic" else 90
    lens = only_model(
        read(
            entries(
                "rgb",
                attributes=f"image_size_x: {size[0]}, image_size_y: {size[1]}, fov: {fov}, camera_model: {model}",
                extra="  wide_angle_lens: true\n",
            )
        )
    )
    radius = radius_of(model, [0.083092, 0.011121, 0.008587, 0.000854])
    half = np.radians(fov) / 2
    angles = np.linspace(0.05, half, 12)
    points = np.stack([0 * angles, np.sin(angles), np.cos(angles)], axis=1)
    found = lens.project(points)[:, 1] - 540
    np.testing.assert_allclose(found, 540 / radius(half) * radius(angles), atol=0.5)
    assert found[-1] == pytest.approx(540, abs=0.5)


def test_a_focal_length_replaces_the_fov_and_the_default_lens_is_equidistant(read):
    wide = "  wide_angle_lens: true\n"
    assert only_model(read(entries("rgb", attributes=f"{FULL_HD}, focal_length: 400", extra=wide))).poly[1] == 400
    model = only_model(read(entries("rgb", attributes=f"{FULL_HD}, fov: 150", extra=wide)))
    assert model.poly == (0, pytest.approx(540 / np.radians(75)), 0, 0, 0, 0)


def test_a_coarse_fit_is_said(read):
    text = entries("rgb", attributes=f"{FULL_HD}, fov: 150, camera_model: stereographic")
    assert "1.1 pixels off its f-theta polynomial" in read(text).notes[0]


def test_what_the_renderer_cannot_follow_is_said(read):
    sensors = read(entries("rgb", "rgb", attributes="fov: 90, motion_blur_intensity: 0.4"))
    assert sensors.photographic == {"camera_0": {"rgb": {"motion_blur_intensity": "0.4"}}}
    (note,) = sensors.not_drawn
    assert "motion_blur_intensity has no counterpart" in note
    assert "entry 2 repeats" in sensors.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: it must be a list"),
        ("sensor: rgb", "is a dict: it must be a list"),
        ("- [", "not readable as YAML"),
        ("- rgb", "entry 1: 'rgb' is no entry of keys"),
        ("- sensor: lidar", "unknown sensor 'lidar'"),
        ("- sensor: semantic", "did you mean 'semantic_segmentation'"),
        ("- attributes: {fov: 90}", "has no key `sensor`"),
        ("- {sensor: rgb, transfrom: {}}", "did you mean 'transform'"),
        ("- {sensor: rgb, attributes: {fow: 90}}", "unknown attribute 'fow': did you mean 'fov'"),
        ("- {sensor: rgb, attributes: {fov: wide}}", "fov='wide': must be a finite number"),
        ("- {sensor: rgb, attributes: {fov: 175}}", "hfov 175 .* nearest 170"),
        ("- {sensor: rgb, attributes: {image_size_x: 0.5}}", "image_size_x=0.5: a whole number"),
        ("- {sensor: rgb, transform: {location: {x: a}}}", "location.x='a'"),
        ("- {sensor: rgb, transform: {rotation: {heading: 1}}}", "unknown key of rotation 'heading'"),
        ("- {sensor: rgb, transform: [1, 2]}", "transform is .1, 2., not a set of keys"),
        ("- {sensor: rgb, attributes: {camera_model: fisheye}}", "unknown camera_model 'fisheye'"),
        ("- {sensor: rgb, attributes: {camera_model: equidistant, fov: 0}}", "above 0 and below 360"),
        ("- {sensor: rgb, attributes: {camera_model: equidistant, equirectangular: true}}", "not available"),
        ("- {sensor: rgb, attributes: {camera_model: orthographic, fov: 150}}", "leaves the corners"),
        ("- {sensor: rds_hq, pinhole_parameters: {fx: 9}}", "must be the one key focal_length"),
        ("- {sensor: rds_hq, ftheta_parameters: {polynomials: {k9: 9}}}", "unknown key of polynomials 'k9'"),
        ("- {sensor: rds_hq, ftheta_parameters: {polynomials: {k1: -5}}}", "must grow from the centre"),
    ],
)
def test_mistakes_are_named(read, text, message):
    with pytest.raises(UserError, match=message):
        read(text)


def test_every_bad_entry_is_named_at_once(read):
    with pytest.raises(UserError) as caught:
        read("- sensor: rbg\n- sensor: depth\n- {sensor: depth, attributes: {fov: x}}")
    assert "entry 1: unknown sensor 'rbg': did you mean 'rgb'" in str(caught.value)
    assert "entry 3: fov='x'" in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="no sensor file"):
        read_carla_sensors(tmp_path / "nowhere.yaml")
