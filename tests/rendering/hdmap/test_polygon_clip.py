"""Clipping convex polygons to the image, against rational arithmetic."""

from fractions import Fraction
from math import floor

import cv2
import numpy as np

from cosmos_exp.rendering.hdmap.polygon_clip import clip_to_image

WIDTH, HEIGHT = 128, 72


def exact(corners):
    """Sutherland-Hodgman with fractions, rounded down at the end."""
    polygon = [(Fraction(int(x)), Fraction(int(y))) for x, y in corners]
    for axis, at, sign in ((0, 0, 1), (0, WIDTH, -1), (1, 0, 1), (1, HEIGHT, -1)):
        kept = []
        for a, b in zip(polygon, polygon[1:] + polygon[:1]):
            inside = [sign * (p[axis] - at) >= 0 for p in (a, b)]
            if inside[0]:
                kept.append(a)
            if inside[0] != inside[1]:
                t = (at - a[axis]) / (b[axis] - a[axis])
                kept.append((a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])))
        polygon = kept
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(polygon, polygon[1:] + polygon[:1]))
    return {(floor(x), floor(y)) for x, y in polygon} if area else set()


def random_hulls(count):
    rng = np.random.default_rng(3)
    for spread in np.repeat([8, 60, 400, 9000], count // 4):
        centre = rng.uniform((-20, -20), (150, 90))
        hull = cv2.convexHull((centre + rng.normal(0, spread, (rng.integers(3, 9), 2))).astype(np.int32))[:, 0]
        if len(hull) >= 3:
            yield hull


def test_corners_are_exact():
    cut = 0
    for hull in random_hulls(2000):
        clipped = clip_to_image(hull, WIDTH, HEIGHT)
        assert set(map(tuple, clipped.tolist())) == exact(hull), hull
        cut += 0 < len(clipped) != len(hull)
    assert cut > 500


def test_inside_beside_and_around():
    square = np.array([[10, 10], [20, 10], [20, 20], [10, 20]], np.int32)
    assert clip_to_image(square, WIDTH, HEIGHT) is square
    assert not len(clip_to_image(square - 40, WIDTH, HEIGHT))
    assert not len(clip_to_image(square - [20, 0], WIDTH, HEIGHT))  # shares an edge with the image
    around = clip_to_image((square - 15) * 1000, WIDTH, HEIGHT)
    assert set(map(tuple, around.tolist())) == {(0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT)}
