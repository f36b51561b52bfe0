"""CARLA recorder logs: binary reader, actors, and a log on its town's map as a `Scene`.

May import `common`, the modules of `scene` itself and `scene.opendrive`.
"""
