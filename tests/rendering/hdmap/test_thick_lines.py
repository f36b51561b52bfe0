"""Lines, caps and clipping against OpenCV's own."""

import cv2
import numpy as np
import pytest
from numba import njit

from cosmos_exp.rendering.hdmap.canvas import LayerCanvas
from cosmos_exp.rendering.hdmap.thick_lines import cap, clip_line, draw_line, tile_shift

WIDTH, HEIGHT = 100, 70
CLIPS_WITH_MARGIN = int(cv2.__version__.split(".")[0]) >= 5  # earlier versions drew lines of any length in full


@njit
def draw_all(layer, drawn, shift, rows, ends, thickness, caps):
    for k in range(len(ends)):
        draw_line(
            layer, drawn, shift, rows, ends[k, 0], ends[k, 1], ends[k, 2], ends[k, 3], thickness, caps, np.uint32(7)
        )


@njit
def clipped_line(right, bottom, x0, y0, x1, y1):
    return clip_line(right, bottom, x0, y0, x1, y1)


def ours(ends, thickness, size=(WIDTH, HEIGHT)):
    canvas = LayerCanvas(*size)
    ends = np.asarray(ends, np.int64).reshape(-1, 4)
    draw_all(canvas.layer, canvas.drawn, canvas.shift, canvas.rows, ends, thickness, cap(thickness))
    return canvas


def opencv(ends, thickness, size=(WIDTH, HEIGHT)):
    image = np.zeros(size[::-1], np.uint8)
    for x0, y0, x1, y1 in np.reshape(ends, (-1, 4)).tolist():
        cv2.line(image, (x0, y0), (x1, y1), 7, thickness)
    return image


def random_ends(kind, count):
    rng = np.random.default_rng(len(kind))
    if kind == "inside":
        return rng.integers((12, 12, 12, 12), (88, 58, 88, 58), (count, 4))
    if kind == "dots":
        start = rng.integers((12, 12), (88, 58), (count, 2))
        return np.concatenate([start, start + rng.integers(-3, 4, (count, 2))], axis=1).clip(12, 58)
    if kind == "across":
        return rng.integers(-40, 140, (count, 4))
    return rng.integers(-100_000, 100_000, (count, 4)) // np.array([1, 1, 1000, 1000])


@pytest.mark.parametrize("thickness", [1, 2, 5, 7, 8])
@pytest.mark.parametrize("kind", ["inside", "dots", "across", "far"])
def test_every_pixel_is_opencvs(kind, thickness):
    if kind in ("across", "far") and not CLIPS_WITH_MARGIN:
        pytest.skip("this OpenCV does not clip lines as version 5 does")
    for ends in random_ends(kind, 400):
        np.testing.assert_array_equal(ours(ends, thickness).layer, opencv(ends, thickness), err_msg=str(ends))


def test_clipping_is_opencvs():
    for ends in np.concatenate([random_ends(kind, 1000) for kind in ("across", "far")]):
        visible, *clipped = clipped_line(WIDTH - 1, HEIGHT - 1, *ends)
        expected, start, end = cv2.clipLine((0, 0, WIDTH, HEIGHT), ends[:2].tolist(), ends[2:].tolist())
        assert (visible, *clipped) == (expected, *start, *end)


@pytest.mark.parametrize("width", [16, 256, 1277, 1280, 3840])
def test_tiles_cover_what_was_drawn(width):
    shift = tile_shift(width)
    assert (width - 1) >> shift < 64
    canvas = ours([[0, 3, width - 1, 12], [width // 2, 0, width // 2, 15]], 2, size=(width, 16))
    y, x = np.nonzero(canvas.layer)
    assert ((canvas.drawn[y] >> (x >> shift).astype(np.uint64)) & np.uint64(1)).all()


def test_layers_mix_by_the_maximum_and_leave_black():
    canvas = LayerCanvas(64, 8)
    canvas.channels[2, 5:20] = (10, 200, 30, 0)
    canvas.touch(5, 2, 19, 2)
    canvas.merge()
    canvas.channels[2, 10:63] = (20, 100, 30, 0)
    canvas.touch(10, 2, 62, 2)
    canvas.merge()
    out = np.full((8, 64, 3), 99, np.uint8)
    canvas.finish(out)
    assert out[2, 7].tolist() == [10, 200, 30] and out[2, 12].tolist() == [20, 200, 30]
    assert out[2, 40].tolist() == [20, 100, 30] and out[2, 63].tolist() == [0, 0, 0] and not out[3:].any()
    assert not canvas.layer.any() and not canvas.mix.any() and not canvas.drawn.any() and not canvas.mixed.any()
