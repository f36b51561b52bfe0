"""Capture from a running CARLA server, through CARLA's own client, into a folder; and the folder as a `Scene` with
pictures.

May import `common`, `sensors`, the modules of `scene` itself and `scene.carla`. The client is imported where it is
needed, since only the extra `carla` installs it.
"""
