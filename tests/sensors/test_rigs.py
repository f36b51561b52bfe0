from pathlib import Path

import numpy as np
import pytest
import yaml

from cosmos_exp.errors import UserError
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.rigs import build_rig, resized
from cosmos_exp.views import VIEWS

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


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_rigs(path):
    options = yaml.safe_load(path.read_text())
    rig = build_rig(options["name"], options["cameras"], size=(256, 144))
    assert options["name"] == path.stem
    assert {(c.model.width, c.model.height) for c in rig.cameras} == {(256, 144)}
    names = tuple(c.name for c in rig.cameras)
    assert names == (VIEWS if path.stem.startswith("six_views") else ("front_wide_120fov",))


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
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(UserError, match=message):
        rig_of(**options)


def test_all_mistakes_at_once():
    with pytest.raises(UserError) as caught:
        build_rig("test", {"front_wide": FRONT, "rear_tele_30fov": {**FRONT, "hfov": 0}})
    assert "did you mean 'front_wide_120fov'" in str(caught.value)
    assert "hfov 0 of camera 'rear_tele_30fov'" in str(caught.value)


def test_no_cameras_and_tiny_images():
    with pytest.raises(UserError, match="has no cameras"):
        build_rig("empty", {})
    with pytest.raises(UserError, match=r"4x4 .* smallest is 8x8"):
        build_rig("test", {"front_wide_120fov": FRONT}, size=(4, 4))
