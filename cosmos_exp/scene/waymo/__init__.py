"""Conversion of the Waymo Open Dataset (perception, v2 tables) to RDS-HQ clips.

May import `common`, the modules of `scene` itself and `scene.rds_hq`.
"""
