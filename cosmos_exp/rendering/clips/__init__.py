"""Condition videos of RDS-HQ clips as Cosmos-Drive-Dreams uses them: HD map, LiDAR and resized source video, one job
per camera. Imports `common`, `sensors`, `scene` and the rest of `rendering`."""
