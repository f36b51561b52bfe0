import numpy as np
import pytest

from cosmos_exp.visualization.canvas import Box, Canvas, Labels, PlanTransform, dashed, dotted, text_box


def test_shapes_are_where_they_should_be_and_their_edges_are_smooth():
    canvas = Canvas(60, 40)
    canvas.polygon(np.array([(10, 10), (30, 10), (30, 30), (10, 30)]), (200, 0, 0))
    canvas.disc((45, 20), 8, (0, 0, 200))
    pixels = canvas.pixels()
    assert pixels.shape == (40, 60, 3) and pixels.dtype == np.uint8
    assert tuple(pixels[20, 20]) == (200, 0, 0) and tuple(pixels[20, 45]) == (0, 0, 200)
    assert tuple(pixels[20, 5]) == (255, 255, 255)
    assert len(np.unique(pixels[10:30, 36:54, 0])) > 3  # shades along the circle
    assert (pixels[:, :, 1] < 255).sum() == pytest.approx(20 * 20 + np.pi * 8**2, rel=0.15)


def test_an_alpha_lets_the_ground_through():
    canvas = Canvas(20, 20, (100, 100, 100))
    canvas.polygon(np.array([(0, 0), (20, 0), (20, 20), (0, 20)]), (200, 200, 200, 128))
    assert np.abs(canvas.pixels().astype(int) - 150).max() <= 2


def test_text_is_dark_on_its_halo():
    canvas = Canvas(120, 40, (90, 120, 90))
    canvas.text((10, 20), "48.0°", 20, (0, 0, 0), halo=2)
    pixels = canvas.pixels()
    assert pixels.min() < 30 and pixels.max() > 230


def test_labels_never_overlap_and_say_when_there_is_no_room():
    canvas = Canvas(200, 60)
    labels = Labels(canvas, canvas.box, size=14)
    places = [((x, y), "lm") for y in (10, 30, 50) for x in (5, 60, 120)]
    placed = [labels.place(places, f"label{i}") for i in range(12)]
    assert True in placed and placed[-1] is False
    boxes = [box.grown(-2) for box in labels.taken]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(box.inside(canvas.box) for box in boxes)


def test_labels_avoid_obstacles():
    canvas = Canvas(200, 60)
    labels = Labels(canvas, canvas.box, size=14, obstacles=np.array([(20.0, 20.0), (24.0, 20.0)]))
    assert labels.place([((10, 20), "lm"), ((110, 20), "lm")], "name")
    assert labels.taken[0].left > 100


def test_text_box_anchors():
    box = text_box((50, 20), ["ab", "abcd"], 10, "rb")
    assert box.right == 50 and box.bottom == 20 and box.bottom - box.top == pytest.approx(23)
    assert Box(0, 0, 9, 9).overlaps(Box(8, 8, 10, 10)) and not Box(0, 0, 9, 9).overlaps(Box(9, 0, 12, 9))


def test_dashes_follow_the_line():
    corner = np.array([(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)])
    parts = dashed(corner, 4, 4)
    lengths = [np.linalg.norm(np.diff(p, axis=0), axis=1).sum() for p in parts]
    np.testing.assert_allclose(lengths, [4, 4, 4])
    np.testing.assert_allclose(parts[1], [(8, 0), (10, 0), (10, 2)])
    assert np.linalg.norm(np.diff(dotted(corner, 1)[3:14], axis=0), axis=1).max() <= 1


def test_a_sheet_has_its_high_corner_at_the_top_right():
    to_page = PlanTransform(np.array([-10.0, -5.0]), np.array([10.0, 5.0]), 4.0)
    np.testing.assert_allclose(to_page(np.array([(-10, 5), (10, -5), (0, 0)])), [(0, 0), (80, 40), (40, 20)])
    assert (to_page.canvas().width, to_page.canvas().height) == (80, 40)
