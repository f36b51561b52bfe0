"""LiDAR control frames: recorded or simulated sweeps splatted into a depth image, on the CPU or with torch on a GPU.
Imports `common`, `sensors` and `scene`; nothing else of `rendering`."""
