"""Perception networks that say what a generated video shows, and the labels of the scene that their output is compared
with. Imports `common`, `sensors`, `scene` and `rendering`."""
