"""Shared building blocks without knowledge of scenes, models or runs: user errors, input files, progress, threads,
video files, caches, and the names of styles and views. Imports nothing of this project outside of itself."""
