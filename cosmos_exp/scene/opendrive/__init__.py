"""OpenDRIVE reader: an `.xodr` file as a `SceneMap` with lanes, markings, kerbs, signals and objects.

May import `common` and the modules of `scene` itself.
"""
