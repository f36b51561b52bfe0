"""Names of the camera views. Views are addressed by name, never by index."""

from __future__ import annotations

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

# Rows of the 2x3 grid video: left, front, right over rear-left, rear, rear-right.
GRID = (
    ("cross_left_120fov", "front_wide_120fov", "cross_right_120fov"),
    ("rear_left_70fov", "rear_tele_30fov", "rear_right_70fov"),
)
