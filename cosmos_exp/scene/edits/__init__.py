"""Edits of a scene: novel ego trajectories, and tracks that are dropped, moved, retimed, copied or added.

May import `common`, the modules of `scene` itself and `scene.rds_hq`, whose novel trajectories it reads and writes.
"""
