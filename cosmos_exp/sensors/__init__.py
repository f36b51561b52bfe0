"""Camera models (pinhole, f-theta), rigs of cameras built from configs, and CARLA's sensor files.

Knows nothing of scenes. May import `common`.
"""
