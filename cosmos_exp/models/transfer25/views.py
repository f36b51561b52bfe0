"""The views of Cosmos-Transfer2.5 auto/multiview: order, row of the network's table, published name.

Where some of the cameras are left out, the others keep order and row.
"""

from __future__ import annotations

from collections.abc import Sequence

VIEW_KEYS = {
    "front_wide_120fov": "front_wide",
    "cross_right_120fov": "cross_right",
    "rear_right_70fov": "rear_right",
    "rear_tele_30fov": "rear",
    "rear_left_70fov": "rear_left",
    "cross_left_120fov": "cross_left",
    "front_tele_30fov": "front_tele",
}
"""{view: its key in a published request}, in the order of the tensors."""

ORDER = tuple(VIEW_KEYS)


def view_ids(views: Sequence[str]) -> tuple[int, ...]:
    """Rows of the network's table."""
    return tuple(ORDER.index(view) for view in views)


def in_order(views: Sequence[str]) -> tuple[str, ...]:
    """The same views in the order of the tensors."""
    return tuple(sorted(views, key=ORDER.index))


def primary_view(views: Sequence[str]) -> str:
    """The one whose text is the prompt: the front view, else the first."""
    return ORDER[0] if ORDER[0] in views else in_order(views)[0]
