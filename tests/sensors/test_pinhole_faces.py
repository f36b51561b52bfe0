"""Any lens from pinhole pictures: as if it had looked itself."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.sensors.camera import CameraModel
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole
from cosmos_exp.sensors.pinhole_faces import pinhole_faces

GROUND = 1.5  # metres below the camera


def equidistant(width: int, height: int, focal: float) -> FTheta:
    return FTheta(width, height, (width / 2, height / 2), (0.0, focal, 0.0, 0.0, 0.0, 0.0), False, (1.0, 0.0, 0.0))


LENSES = {
    "pinhole": Pinhole.from_hfov(96, 64, np.radians(100)),
    "squeezed pinhole": Pinhole.from_hfov(96, 64, np.radians(100)).resized(96, 40),
    "120 degrees": equidistant(120, 66, 57.0),
    "190 degrees": equidistant(96, 48, 29.0),
    "fisheye": equidistant(64, 64, 21.0),
}


def seen(rays: np.ndarray, to_world: np.ndarray) -> dict[str, np.ndarray]:
    """What a camera at the origin sees along its rays [H,W,3] of the ground, y = GROUND, and the sky above it."""
    world = rays @ to_world.T
    with np.errstate(divide="ignore", invalid="ignore"):
        along = np.where(world[..., 1] > 0.02, GROUND / world[..., 1], np.inf)
        depth = np.where(np.isinf(along), np.inf, along * rays[..., 2])
    normal = np.where(np.isinf(along)[..., None], 0.0, to_world.T @ np.array([0.0, -1.0, 0.0]))
    return {
        "rgb": np.rint(127.5 + 127.5 * world).astype(np.uint8),
        "depth": depth.astype(np.float32),
        "semantic": np.where(np.isinf(along), 11, 1).astype(np.uint8),
        "instance": np.where(np.isinf(along), 0, 1 + (world[..., 0] > 0)).astype(np.uint16),
        "normals": np.rint(127 * normal).astype(np.int8),
    }


def assembled(lens: CameraModel, output: str) -> np.ndarray:
    faces = pinhole_faces(lens)
    pictures = [seen(face.model.rays().astype(np.float64), face.rotation)[output] for face in faces.faces]
    return faces.assemble(output, pictures)


@pytest.mark.parametrize("name", LENSES)
def test_every_output_is_what_the_lens_itself_sees(name: str) -> None:
    lens = LENSES[name]
    expected = seen(lens.rays().astype(np.float64), np.eye(3))
    rgb = assembled(lens, "rgb").astype(int)
    assert np.abs(rgb - expected["rgb"]).max() <= 1
    for output, share in (("semantic", 0.02), ("instance", 0.03)):
        assert (assembled(lens, output) != expected[output]).mean() < share, "at borders alone"
    both = np.isfinite(expected["depth"]) & np.isfinite(assembled(lens, "depth")) & (np.abs(expected["depth"]) < 8)
    error = np.abs(assembled(lens, "depth")[both] / expected["depth"][both] - 1)
    assert np.median(error) < 0.02 and both.any()
    same = assembled(lens, "semantic") == expected["semantic"]
    assert np.abs(assembled(lens, "normals").astype(int) - expected["normals"])[same].max() <= 1


def test_a_pinhole_with_square_pixels_is_its_own_face() -> None:
    lens = LENSES["pinhole"]
    faces = pinhole_faces(lens)
    picture = np.zeros((64, 96, 3), np.uint8)
    assert faces.direct and [face.model for face in faces.faces] == [lens]
    assert faces.assemble("rgb", [picture]) is picture


@pytest.mark.parametrize(("name", "count"), [("squeezed pinhole", 1), ("120 degrees", 2), ("190 degrees", 3)])
def test_few_faces_are_needed_and_none_is_coarser(name: str, count: int) -> None:
    """Neighbouring pixels of the lens are at least a pixel apart in its faces."""
    lens = LENSES[name]
    faces = pinhole_faces(lens)
    assert len(faces.faces) == count
    for face in faces.faces:
        local = lens.rays().astype(np.float64) @ face.rotation
        ahead = (local[:, 1:, 2] > 0.8) & (local[:, :-1, 2] > 0.8)
        pixels = local[..., :2] / np.maximum(local[..., 2:], 0.1) * face.model.fx
        assert np.linalg.norm(np.diff(pixels, axis=1), axis=-1)[ahead].min() > 0.99


def test_a_lens_whose_faces_would_be_huge_is_refused() -> None:
    with pytest.raises(UserError, match=r"needs a pinhole picture of \d+x\d+ pixels, at most 8192"):
        pinhole_faces(equidistant(8000, 100, 4000.0))
