"""Renders a Scene through a camera: static meshes are built once, each frame is rasterised once for all weathers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike

from cosmos_exp.common.cores import usable_cores
from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.rendering.dynamic_objects import DynamicObjects
from cosmos_exp.rendering.frame_objects import FrameObjects, SceneFrames
from cosmos_exp.rendering.gbuffer import GBUFFER_OUTPUTS, GBuffer
from cosmos_exp.rendering.geometry import Geometry, compile_mesh
from cosmos_exp.rendering.hdmap.drawing import Box, HdMap
from cosmos_exp.rendering.lidar.condition import LidarRenderer
from cosmos_exp.rendering.lidar.simulated import lidar_image, scene_lidar
from cosmos_exp.rendering.lighting import NO_SHADOW, GroundGrid, ShadowMap, noise_texture, shading_parameters
from cosmos_exp.rendering.mesh import join
from cosmos_exp.rendering.precipitation import add_precipitation
from cosmos_exp.rendering.rasterizer import empty_shadow_map, rasterize, rasterize_shadows, sample_rays
from cosmos_exp.rendering.roads import road_mesh
from cosmos_exp.rendering.shading import shade
from cosmos_exp.rendering.structures import structure_mesh
from cosmos_exp.rendering.types import OPTIONAL_OUTPUTS, OUTPUTS, CameraRender
from cosmos_exp.rendering.weather import Weather, weather_of
from cosmos_exp.rendering.wsm.scene_map import SceneScenario
from cosmos_exp.scene.map_layers import cuboid_corners, map_layers
from cosmos_exp.scene.rds_hq.objects import hdmap_class, object_type
from cosmos_exp.scene.types import Scene
from cosmos_exp.sensors.camera import Camera, CameraModel

SMALL_IMAGE = 360  # rows: images up to this height get 2x2 samples per pixel by default
SHADOW_STEP = 10.0
CACHE_SIZE = 16


@dataclass(frozen=True)
class Frame:
    """What moves in a frame, shared by all its cameras. shadows: {sun's direction: its shadow map}, filled on use."""

    objects: FrameObjects
    moving: Geometry
    grid: GroundGrid
    shadows: dict[tuple, ShadowMap] = field(default_factory=dict)


class Renderer:
    """Renders a static map with what moves on it: the tracks of its scene, or frames given from outside.

    The static part of `scene` is compiled once. Methods may be called from several threads. start: [4,4] the rig's pose
    at the start of the scene, whose heading the sun's azimuth counts from.
    """

    def __init__(self, scene: Scene):
        self.scene = scene
        self.start = scene.rig_trajectory.at(scene.start)
        self.origin = np.floor(self.start[:3, 3])
        area = scene.facts.get("area", "")
        self.static = compile_mesh(join([road_mesh(scene.map, area), structure_mesh(scene.map)]), self.origin)
        self.dynamic = DynamicObjects(scene.map, self.origin)
        self.hd_map = HdMap(map_layers(scene.map))
        self._heading = _level(self.start[:3, :3])
        self._scene_frames = SceneFrames(scene)
        self._frames: dict[float, Frame] = {}
        self._static_shadow_maps: dict[tuple, ShadowMap] = {}

    def frame(self, objects: FrameObjects) -> Frame:
        """What moves, as geometry."""
        return Frame(objects, self.dynamic.geometry(objects), self.dynamic.ground_grid(objects))

    def frame_at(self, t: float) -> Frame:
        """The scene's frame at t; the last few frames are cached for the other cameras."""
        frame = self._frames.get(t)
        if frame is None:
            frame = self.frame(self._scene_frames.at(t))
            _cache(self._frames, t, frame)
        return frame

    def gbuffer(self, camera: Camera, t: float | Frame, *, samples: int = 1) -> GBuffer:
        """Rasterise a frame, or the scene's frame at time t, with samples x samples samples per pixel (1 or 2)."""
        frame = self._frame(t)
        model = camera.model
        sampled = model if samples == 1 else model.resized(model.width * samples, model.height * samples)
        rays = sample_rays(sampled)
        pose = self.dynamic.relative(frame.objects.ego) @ camera.camera_to_rig
        inverse = np.zeros(rays.shape[1:], np.float32)
        ids = np.full(rays.shape[1:], -1, np.int32)
        rasterize(sampled, rays, self.static, pose, 0, inverse, ids)
        rasterize(sampled, rays, frame.moving, pose, len(self.static), inverse, ids)
        return GBuffer(camera, frame.objects.t, samples, ids, inverse, rays, pose, self.static, frame.moving)

    def shade(
        self, gbuffer: GBuffer, weather: Weather, *, frame: Frame | None = None, seed: int = 0, coarse: bool = True
    ) -> np.ndarray:
        """[H,W,3] uint8 RGB of a g-buffer in a weather. frame: that of the g-buffer, None for the scene's at its time.

        seed: of raindrops and snowflakes. coarse: shade one of 2x2 samples and interpolate inside each triangle;
        outlines stay at full resolution.
        """
        if frame is None:
            frame = self.frame_at(gbuffer.t)
        shadow = self._shadow_map(frame, weather)
        pose, ego, grid = gbuffer.camera_to_world, self.dynamic.relative(frame.objects.ego), frame.grid
        parameters = shading_parameters(weather, self._heading, pose, ego, _sample_angle(gbuffer), shadow, grid)
        out = np.empty((*gbuffer.ids.shape, 3), np.uint8)
        static, moving = gbuffer.static, gbuffer.moving
        shade(
            gbuffer.ids, gbuffer.inverse, gbuffer.rays, static.attributes, static.codes, moving.attributes,
            moving.codes, parameters, shadow.inverse, grid.values, noise_texture(), coarse, out,
        )  # fmt: skip
        if gbuffer.samples > 1:
            out = _tent_filtered(out)
        if weather.rain or weather.flakes:
            add_precipitation(out, weather, gbuffer.t, seed=seed, camera=gbuffer.camera.name)
        return out

    def hdmap(self, camera: Camera, t: float | Frame) -> np.ndarray:
        """[H,W,3] uint8 HD-map control frame, of a frame or the scene's at time t: map elements and boxes on black."""
        objects = self._frame(t).objects
        boxes = [
            Box(
                item.track.id,
                hdmap_class(object_type(item.track.actor_class)),
                cuboid_corners(item.pose, item.track.size),
            )
            for item in objects.objects
        ]
        return self.hd_map.draw(camera.model, objects.ego @ camera.camera_to_rig, boxes)

    def lidar(self, camera: Camera, t: float) -> np.ndarray:
        """[H,W,3] uint8 LiDAR control frame, from the scene's own sweeps or simulated ones."""
        return lidar_image(self._lidar, self.scene, camera, t)

    def wsm(self, camera: Camera, t: float) -> np.ndarray:
        """[H,W,3] uint8 World Scenario map."""
        return self._scenario.draw(camera, t)

    @cached_property
    def _scenario(self) -> SceneScenario:
        return SceneScenario(self.scene)

    @cached_property
    def _lidar(self) -> LidarRenderer:
        return scene_lidar(self.scene, lambda camera, t: self.gbuffer(camera, t).depth)

    def clear_frame_cache(self) -> None:
        """Drop the cached data of the last frames, for timing."""
        self._frames.clear()

    def _frame(self, t: float | Frame) -> Frame:
        return t if isinstance(t, Frame) else self.frame_at(t)

    def _shadow_map(self, frame: Frame, weather: Weather) -> ShadowMap:
        if weather.shadows == 0:
            return NO_SHADOW
        key = (weather.sun_elevation, weather.sun_azimuth)
        found = frame.shadows.get(key)
        if found is None:
            found = self._with_dynamic_shadows(self._static_shadow_map(frame, weather), frame)
            frame.shadows[key] = found
        return found

    def _static_shadow_map(self, frame: Frame, weather: Weather) -> ShadowMap:
        """Shadows of static geometry, around the ego's position rounded to SHADOW_STEP metres."""
        ego = self.dynamic.relative(frame.objects.ego)[:3, 3]
        centre = np.round(ego / SHADOW_STEP) * SHADOW_STEP
        key = (*centre.tolist(), weather.sun_elevation, weather.sun_azimuth)
        found = self._static_shadow_maps.get(key)
        if found is None:
            found = empty_shadow_map(self._heading @ weather.sun_direction, centre)
            rasterize_shadows(found, self.static)
            _cache(self._static_shadow_maps, key, found)
        return found

    @staticmethod
    def _with_dynamic_shadows(static: ShadowMap, frame: Frame) -> ShadowMap:
        shadows = static._replace(inverse=static.inverse.copy())
        rasterize_shadows(shadows, frame.moving)
        shadows.inverse[[0, -1]] = shadows.inverse[:, [0, -1]] = 0
        return shadows


def render_camera(
    scene: Scene | Renderer,
    camera: Camera,
    times: ArrayLike,
    *,
    weather: Weather | str = "Original",
    outputs: Iterable[str] = OUTPUTS,
    samples: int | None = None,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CameraRender:
    """Render one camera at the given times [F], seconds.

    weather: a Weather or the name of a style. outputs: any of OUTPUTS and OPTIONAL_OUTPUTS. samples: per pixel and axis
    for rgb, 1 or 2; None takes 2 for images of up to 360 rows. threads: that render frames in parallel; None takes
    all cores this process may use. The result does not depend on it. progress: called with (frames done,
    frames in all).
    Raises UserError on an unknown output or style.
    """
    renderer = scene if isinstance(scene, Renderer) else Renderer(scene)
    wanted = tuple(dict.fromkeys(outputs))
    for name in wanted:
        if name not in (*OUTPUTS, *OPTIONAL_OUTPUTS):
            raise UserError(unknown_name("output", name, (*OUTPUTS, *OPTIONAL_OUTPUTS)))
    if isinstance(weather, str):
        weather = weather_of(weather)
    if samples is None:
        samples = 2 if camera.model.height <= SMALL_IMAGE and "rgb" in wanted else 1
    seconds = np.asarray(times, np.float64)

    maps = {"hdmap": renderer.hdmap, "lidar": renderer.lidar, "wsm": renderer.wsm}
    arrays = {name: _empty_clip(name, len(seconds), camera.model) for name in wanted}

    def draw_frame(i: int) -> None:
        t = float(seconds[i])
        for name in set(wanted) & set(maps):
            arrays[name][i] = maps[name](camera, t)
        if set(wanted) - set(maps):
            gbuffer = renderer.gbuffer(camera, t, samples=samples)
            for name in set(wanted) & set(GBUFFER_OUTPUTS):
                gbuffer.output(name, arrays[name][i])
            if "rgb" in wanted:
                arrays["rgb"][i] = renderer.shade(gbuffer, weather, seed=renderer.scene.seed)

    with ThreadPoolExecutor(max_workers=threads or usable_cores()) as pool:
        for done, _ in enumerate(pool.map(draw_frame, range(len(seconds))), start=1):
            if progress is not None:
                progress(done, len(seconds))
    return CameraRender(camera.name, seconds, **arrays)


def _empty_clip(name: str, frames: int, model: CameraModel) -> np.ndarray:
    dtype, channels = GBUFFER_OUTPUTS.get(name, (np.uint8, (3,)))
    return np.empty((frames, model.height, model.width, *channels), dtype)


def _sample_angle(gbuffer: GBuffer) -> float:
    """Angle between neighbouring samples at the image's centre, radians."""
    height, width = gbuffer.ids.shape
    a, b = gbuffer.rays[:, height // 2, width // 2], gbuffer.rays[:, height // 2, width // 2 + 1]
    return float(np.linalg.norm(np.cross(a, b)) / (np.linalg.norm(a) * np.linalg.norm(b)))


def _tent_filtered(samples: np.ndarray) -> np.ndarray:
    """[2H,2W,3] -> [H,W,3]: weights 1/4, 1/2, 1/4 around each pixel's centre sample, in both directions."""
    kernel = np.array([0.25, 0.5, 0.25], np.float32)
    return np.ascontiguousarray(cv2.sepFilter2D(samples, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)[::2, ::2])


def _level(rotation: np.ndarray) -> np.ndarray:
    """The heading of a rotation: forward projected on the ground."""
    yaw = np.arctan2(rotation[1, 0], rotation[0, 0])
    return np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1.0]])


def _cache(cache: dict, key: object, value: object) -> None:
    """Add to a small cache, dropping its oldest entries; safe against other threads doing the same."""
    cache[key] = value
    for old in list(cache)[:-CACHE_SIZE]:
        cache.pop(old, None)
