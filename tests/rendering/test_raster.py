"""The rasteriser against exact ray casting, and its promise that nothing depends on threads."""

import numpy as np
import pytest

from cosmos_exp.rendering.geometry import compile_mesh
from cosmos_exp.rendering.mesh import Material, ellipsoid, mesh
from cosmos_exp.rendering.palette import Tag
from cosmos_exp.rendering.rasterizer import rasterize, sample_rays
from cosmos_exp.rendering.renderer import Renderer, render_camera
from cosmos_exp.rendering.types import OUTPUTS
from cosmos_exp.sensors.ftheta import FTheta
from cosmos_exp.sensors.pinhole import Pinhole
from cosmos_exp.sensors.rigs import build_rig

PINHOLE = Pinhole.from_hfov(96, 64, np.radians(100))
FTHETA = FTheta(96, 64, (47.0, 30.5), (0, 0.0225, 1e-5, 0, 0, 0), True)
FTHETA_WIDE = FTheta(96, 64, (47.0, 30.5), (0, 0.034, 0, 0, 0, 0), True, (1.02, 0.01, 0.02))


def cast(triangles: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest triangle and its distance along each ray [3,H,W] (Moeller and Trumbore, 1997), from the origin."""
    directions = rays.reshape(3, -1).T.astype(np.float64)
    best, number = np.full(len(directions), np.inf), np.full(len(directions), -1)
    for i, (a, b, c) in enumerate(triangles):
        e1, e2 = b - a, c - a
        p = np.cross(directions, e2)
        det = p @ e1
        with np.errstate(divide="ignore", invalid="ignore"):
            u = (p @ -a) / det
            q = np.cross(-a, e1)
            v = (directions @ q) / det
            t = (e2 @ q) / det
        hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0.05) & (t < best)
        best[hit], number[hit] = t[hit], i
    return number.reshape(rays.shape[1:]), best.reshape(rays.shape[1:])


def drawn(model, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    geometry = compile_mesh(
        mesh(triangles, Material.PLAIN, Tag.OTHER, (1, 1, 1), two_sided=True), np.zeros(3), chunked=False
    )
    inverse = np.zeros((model.height, model.width), np.float32)
    ids = np.full((model.height, model.width), -1, np.int32)
    rasterize(model, sample_rays(model), geometry, np.eye(4), 0, inverse, ids)
    return ids, inverse


def scattered(seed: int, size: float) -> np.ndarray:
    """Triangles around the camera: some behind, some through the image plane, some across the whole view."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform((-8, -6, -3), (8, 6, 20), (60, 3))
    return centres[:, None] + rng.normal(0, size, (60, 3, 3))


@pytest.mark.parametrize("size", [0.3, 2.0, 9.0])
@pytest.mark.parametrize("model", [PINHOLE, FTHETA, FTHETA_WIDE], ids=["pinhole", "ftheta", "ftheta_beyond_180"])
def test_agrees_with_ray_casting(model, size):
    for seed in range(3):
        triangles = scattered(seed, size)
        ids, inverse = drawn(model, triangles)
        expected, distance = cast(triangles.astype(np.float32).astype(np.float64), sample_rays(model))
        if isinstance(model, FTheta):  # the ray caster's near limit is along the ray, the z-buffer has none there
            near = distance < 0.2
            ids, expected = np.where(near, -1, ids), np.where(near, -1, expected)
        same = ids == expected
        assert same.mean() > 0.995
        hit = same & (ids >= 0)
        np.testing.assert_allclose(1 / inverse[hit], distance[hit], rtol=2e-4)


@pytest.mark.parametrize("model", [PINHOLE, FTHETA], ids=["pinhole", "ftheta"])
def test_closed_surface_has_no_cracks(model):
    ids, _ = drawn(model, ellipsoid((0, 0, 0), (5, 5, 5)))
    assert (ids >= 0).all()


def test_outward_faces_hide_when_seen_from_behind():
    geometry = compile_mesh(mesh(ellipsoid((0, 0, 0), (5, 5, 5)), Material.PLAIN, Tag.OTHER, (1, 1, 1)), np.zeros(3))
    inverse, ids = np.zeros((64, 96), np.float32), np.full((64, 96), -1, np.int32)
    rasterize(PINHOLE, None, geometry, np.eye(4), 0, inverse, ids)
    assert (ids == -1).all()


def test_thread_count_changes_nothing(street):
    camera = build_rig(
        "test", {"front_wide_120fov": {"hfov": 90, "position": [0, 0, 1.5], "rotation": [0, 0, 0]}}, size=(128, 72)
    ).cameras[0]
    renders = []
    for threads in (1, 3):
        renders.append(render_camera(Renderer(street), camera, np.arange(6) / 5, weather="Snowy", threads=threads))
    for name in OUTPUTS:
        np.testing.assert_array_equal(getattr(renders[0], name), getattr(renders[1], name))
