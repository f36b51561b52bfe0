from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cosmos_exp.sensors.rigs import build_rig, camera_pose, mounting
from cosmos_exp.visualization.frusta import draw_distance, frustum_from_above, frustum_from_the_side
from cosmos_exp.visualization.rig import camera_rows, draw_rig

ROOT = Path(__file__).resolve().parents[2]
PICTURES = sorted((ROOT / "docs" / "images").glob("rig_*.png"))


def one_camera(**options):
    front = {"hfov": 90, "size": [1000, 500], "position": [1, 0, 2], "rotation": [0, 0, 0]}
    return build_rig("test", {"front": front | options}).cameras[0]


def test_area_from_above():
    shape = frustum_from_above(one_camera(rotation=[0, 0, 90]), 10)
    np.testing.assert_allclose(shape[0], (1, 0))
    np.testing.assert_allclose(np.linalg.norm(shape[1:] - shape[0], axis=1), 10)
    bearings = np.degrees(np.arctan2(*(shape[1:] - shape[0]).T[::-1]))
    np.testing.assert_allclose(bearings[[0, -1]], [135, 45])


def test_area_from_the_side_ends_at_the_ground():
    shape = frustum_from_the_side(one_camera(), 10)
    assert shape[:, 1].min() == pytest.approx(0)
    half = np.arctan(0.5)
    assert shape[:, 1].max() == pytest.approx(2 + 10 * np.sin(half))
    np.testing.assert_allclose(shape[-1], (1 + 2 / np.tan(half), 0), atol=1e-9)


def test_narrow_cameras_reach_farther():
    assert (
        draw_distance(one_camera(hfov=30).model)
        > draw_distance(one_camera(hfov=60).model)
        > draw_distance(one_camera(hfov=120).model)
    )


def test_mounting_is_the_inverse_of_camera_pose():
    position, rotation = mounting(camera_pose([1, -2, 3], [10, -20, 150]))
    np.testing.assert_allclose(position, [1, -2, 3])
    np.testing.assert_allclose(rotation, [10, -20, 150])


def test_rows_of_a_rig_with_views_of_other_names():
    rig = build_rig("two", {n: {"hfov": 60, "position": [1, 0, 2], "rotation": [0, 0, 0]} for n in ("a", "b")})
    rows = camera_rows(rig, {"a": "front_wide_120fov"})
    assert [row.view for row in rows] == ["front_wide_120fov", "-"]
    assert rows[0].hfov == pytest.approx(60) and rows[0].size == (1280, 704)


def test_many_cameras_fit_on_the_page():
    ring = {f"camera_{i}": {"hfov": 60, "position": [1, 0, 2], "rotation": [0, 0, 30 * i]} for i in range(12)}
    picture = draw_rig(build_rig("ring", ring), {})
    assert picture.shape[1] == 1200 and picture.dtype == np.uint8


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_the_pictures_in_the_docs_are_those_of_the_configs(path):
    options = yaml.safe_load((ROOT / "conf" / "sensors" / f"{path.stem.removeprefix('rig_')}.yaml").read_text())
    drawn = draw_rig(build_rig(options["name"], options["cameras"]), options.get("views", {})).astype(int)
    kept = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert kept.shape == drawn.shape
    assert np.abs(kept - drawn).mean() < 1  # fonts may differ a little between versions of Pillow
