"""The eight caption styles of Cosmos-Drive-Dreams; the renderer has a weather of the same name for each."""

from __future__ import annotations

STYLES = ("Original", "Golden hour", "Morning", "Night", "Rainy", "Snowy", "Sunny", "Foggy")
