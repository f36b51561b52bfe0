"""Clips in NVIDIA's ClipGT format: one folder of parquet tables per clip."""
