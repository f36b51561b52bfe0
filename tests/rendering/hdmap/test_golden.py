"""HD-map frames against those of the RDS-HQ toolkit."""

import json

import cv2
import numpy as np
import pytest

from cosmos_exp.rendering.hdmap.drawing import Box, HdMap
from cosmos_exp.scene.map_layers import cuboid_corners
from cosmos_exp.scene.rds_hq.clip import RdsHqClip
from cosmos_exp.scene.rds_hq.objects import at_frames, average_static_objects, hdmap_class

MOST = 20  # pixels that may differ in a frame
SETS = ("synth_ftheta", "synth_pinhole", "example_ftheta")


@pytest.mark.parametrize("name", SETS)
def test_frames(shared, name):
    golden = shared / "rds_hq" / "golden"
    if not golden.is_dir():
        pytest.skip("no RDS-HQ golden frames")
    described = json.loads((golden / "manifest.json").read_text())["sets"][name]
    camera_type = described["camera_type"]
    clip = RdsHqClip((golden / described["input"]).resolve(), described["clip"])
    frames = {file: values["frame"] for file, values in described["files"].items() if "704" not in file}
    objects = at_frames(average_static_objects(clip.objects()), frames.values())
    hd_map = HdMap(clip.layers(), reference_compat=True)
    models = {camera: drawn_at_720(clip.model(camera_type, camera)) for camera in clip.cameras(camera_type)}
    different = {}
    for file, frame in frames.items():
        camera = file.split("/")[0]
        pose = clip.camera_poses(camera, frames=[frame])[frame]
        boxes = [Box(n, hdmap_class(r.type), cuboid_corners(r.pose, r.size)) for n, r in objects[frame].items()]
        drawn = hd_map.draw(models[camera], pose, boxes)
        expected = cv2.cvtColor(cv2.imread(str(golden / name / file)), cv2.COLOR_BGR2RGB)
        different[file] = int((drawn != expected).any(axis=2).sum())
    assert len(different) >= 12 and max(different.values()) <= MOST, different
    assert np.median(list(different.values())) == 0, different


def drawn_at_720(model):
    return model.scaled(720 / model.height) if hasattr(model, "scaled") else model.resized(1280, 720)
