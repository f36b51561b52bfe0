"""Figures for people to look at: a scene from above and the fields of view of a camera rig. Imports `common`, `sensors`
and `scene`."""
