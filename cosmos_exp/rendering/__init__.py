"""The renderer: a `Scene` seen by a `Camera` becomes RGB in any weather, depth, semantic and instance segmentation,
normals, HD map and LiDAR images, on the CPU with numba. `renderer.py` is the entry point, `types.py` holds its output.
Imports `common`, `sensors` and `scene`."""
