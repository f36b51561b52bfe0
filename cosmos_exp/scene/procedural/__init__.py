"""Street scenes generated from a seed: road layouts, signals, traffic and pedestrians.

May import `common` and the modules of `scene` itself.
"""
