"""Names of the camera views. Views are addressed by name, never by index; the order is that of Single2MultiView."""

from __future__ import annotations

VIEWS = (
    "front_wide_120fov",
    "cross_left_120fov",
    "cross_right_120fov",
    "rear_tele_30fov",
    "rear_left_70fov",
    "rear_right_70fov",
)

# Rows of the 2x3 grid video: left, front, right over rear-left, rear, rear-right.
GRID = (
    ("cross_left_120fov", "front_wide_120fov", "cross_right_120fov"),
    ("rear_left_70fov", "rear_tele_30fov", "rear_right_70fov"),
)
