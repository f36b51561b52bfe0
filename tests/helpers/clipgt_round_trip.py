"""Scenes that were written as ClipGT clips and read back, beside what they were."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from cosmos_exp.scene.clipgt.map import LEAST_SLOPE
from cosmos_exp.scene.clipgt.scene_clip import anchor
from cosmos_exp.scene.types import Scene


def turned(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def check_same(scene: Scene, back: Scene, times: Sequence[float], *, left_out: Collection[str] = ()) -> None:
    """back: the scene of its clip. times: of the clip's frames, seconds from the scene's start. Tolerances are those of
    docs/world_scenario.md. left_out: ids of tracks that the format has no place for."""
    world = np.linalg.inv(anchor(scene))
    old, new = scene.map, back.map
    for name in ("road_boundaries", "wait_lines", "crosswalks", "road_markings"):
        level = LEAST_SLOPE if name in ("crosswalks", "road_markings") else 0.0
        for a, b in zip(getattr(old, name), getattr(new, name), strict=True):
            reach = np.ptp(a[:, :2], axis=0).max()
            assert np.abs(turned(a, world) - b).max() <= 1e-9 + level * reach, name
    for a, b in zip(old.lane_lines, new.lane_lines, strict=True):
        assert np.allclose(turned(a.points, world), b.points, rtol=0, atol=1e-9)
        assert (a.style, a.color, a.width, a.marking) == (b.style, b.color, b.width, b.marking)
    for a, b in zip(old.lanes, new.lanes, strict=True):
        assert np.allclose(turned(a.left, world), b.left, rtol=0, atol=1e-9)
        assert (a.id, a.type, a.junction) == (b.id, b.type, b.junction)
    for a, b in zip(old.poles, new.poles, strict=True):
        assert np.allclose(turned(np.stack([a.base, a.top]), world), [b.base, b.top], rtol=0, atol=1e-9)
        assert a.radius == b.radius
    for a, b in (*zip(old.traffic_signs, new.traffic_signs, strict=True), *zip(old.traffic_lights, new.traffic_lights)):
        assert a.id == b.id and np.allclose(world @ a.pose, b.pose, rtol=0, atol=1e-9)
        assert np.allclose(a.size, b.size, rtol=0, atol=1e-9)
    for a, b in zip(old.traffic_lights, new.traffic_lights, strict=True):
        assert a.states == b.states and np.allclose(a.state_times - scene.start, b.state_times, rtol=0, atol=1e-9)
    for i, t in enumerate(times):
        assert np.allclose(
            world @ scene.rig_trajectory.at(scene.start + t), back.rig_trajectory.at(t), rtol=0, atol=2e-5
        ), i
    kept = {track.id: track for track in back.tracks}
    assert not kept.keys() & set(left_out)
    for track in (track for track in scene.tracks if track.id not in left_out):
        seen = [t for t in times if track.exists_at(scene.start + t)]
        if not seen:
            continue
        found = kept[track.id]
        assert (found.actor_class, found.color, found.model, found.role) == (
            track.actor_class,
            track.color,
            track.model,
            track.role,
        )
        assert np.allclose(found.size, track.size, rtol=0, atol=1e-9)
        for t in seen[:: max(len(seen) // 20, 1)]:
            assert found.trajectory.covers(t, 2e-6)
            assert np.allclose(world @ track.trajectory.at(scene.start + t), found.trajectory.at(t), rtol=0, atol=2e-5)
    assert [t.id for t in back.tracks] == [t.id for t in scene.tracks if t.id in kept]
