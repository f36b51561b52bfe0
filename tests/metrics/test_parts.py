from __future__ import annotations

from cosmos_exp.metrics.parts import grouped_parts


def test_what_follows_the_slash_is_told_apart():
    parts = ["far", "car", "front_wide_120fov", "yellow", "near", "pedestrian", "clear", "small", "cloudiness"]
    pair = "front_wide_120fov+cross_left_120fov"
    assert grouped_parts([*parts, pair, "car"]) == {
        "Cameras": ["front_wide_120fov"],
        "Pairs of cameras": [pair],
        "Lane lines": ["yellow"],
        "Object classes": ["car", "pedestrian"],
        "Object sizes": ["small"],
        "Object distances": ["near", "far"],
        "Object occlusion": ["clear"],
        "Other": ["cloudiness"],
    }


def test_cameras_are_those_of_the_run():
    assert grouped_parts(["left", "right", "left+right"], ["right", "left"]) == {
        "Cameras": ["right", "left"],
        "Pairs of cameras": ["left+right"],
    }
