"""Names of the camera views. Views are addressed by name, never by index."""

from __future__ import annotations

from collections.abc import Collection

# In the order of Single2MultiView.
VIEWS = (
    "front_wide_120fov",
    "cross_left_120fov",
    "cross_right_120fov",
    "rear_tele_30fov",
    "rear_left_70fov",
    "rear_right_70fov",
)

ALL_VIEWS = (*VIEWS, "front_tele_30fov")
"""That a camera can stand for. Cosmos-Transfer2.5 has an order of its own."""

# Rows of a picture of all views: ahead, left to right; behind it, as seen from above.
GRID = (
    ("front_tele_30fov",),
    ("cross_left_120fov", "front_wide_120fov", "cross_right_120fov"),
    ("rear_left_70fov", "rear_tele_30fov", "rear_right_70fov"),
)


def grid_rows(views: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Rows of a picture of these views, each once; a row without any is left out."""
    rows = (tuple(name for name in row if name in views) for row in GRID)
    return tuple(row for row in rows if row)
