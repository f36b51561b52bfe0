"""Renders of the scene, control videos, and both as encoded files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.stored_arrays import ArrayFile, Arrays, load_arrays
from cosmos_exp.common.video import write_video
from cosmos_exp.common.video_decoding import READING_VERSION
from cosmos_exp.config.run_spec import RunSpec
from cosmos_exp.controls.user_videos import camera_file, check_video, read_user_video
from cosmos_exp.models.base import RenderRequest
from cosmos_exp.pipeline.cached_results import Results
from cosmos_exp.pipeline.captured_arrays import captured_arrays
from cosmos_exp.pipeline.keys import camera_config, control_config
from cosmos_exp.pipeline.scene_loading import LoadedScene
from cosmos_exp.rendering.stored import load_render


@dataclass(frozen=True)
class Renders:
    spec: RunSpec
    scene: LoadedScene
    results: Results

    def render(self, request: RenderRequest, weather: str, outputs: tuple[str, ...]) -> Entry:
        """One camera's pixels. outputs: which of the renderer's; those that were captured with the scene are taken from
        there, in its own weather."""
        spec, shape = self.spec, request.shape
        front = spec.model.front.shape
        config = {
            "camera": camera_config(spec.sensors, request.view),
            "size": [shape.width, shape.height],
            "frames": shape.frames,
            "fps": spec.fps,
            "weather": weather if "rgb" in outputs else None,
            "outputs": sorted(outputs),
        }
        if (shape.height, shape.width) != (front.height, front.width):
            config["resized_from"] = [front.width, front.height]

        def compute() -> Mapping[str, np.ndarray | ArrayFile]:
            own = self.scene.has_pictures and weather == spec.weather
            captured = captured_arrays(self.scene, request, outputs) if own else {}
            drawn = tuple(name for name in outputs if name not in captured)
            return {"times": self.scene.times[: shape.frames], **captured, **self._draw(request, weather, drawn)}

        inputs = [self.scene.key, request.view]
        return self.results.get("render", config, inputs, compute, size=shape.megapixels)

    def _draw(self, request: RenderRequest, weather: str, outputs: tuple[str, ...]) -> Arrays:
        from cosmos_exp.rendering.renderer import render_camera

        if not outputs:
            return {}
        render = render_camera(
            self.scene.renderer,
            self.scene.camera(request),
            self.scene.times[: request.shape.frames],
            weather=weather,
            outputs=outputs,
            threads=self.spec.threads,
        )
        return {name: getattr(render, name) for name in outputs}

    def control(self, name: str, request: RenderRequest, render: Entry) -> Entry:
        """A control's video, `video` uint8 [F,H,W,3], from a camera's render."""
        params = self.spec.control_params(name)
        config, files = control_config(self.spec.control_identity(name), self.results.cache)

        def compute() -> Arrays:
            from cosmos_exp.controls import make_control

            return {"video": make_control(name, load_render(render, request.view), **params)}

        config, inputs = {"control": name, **config}, [render.key, *files]
        return self.results.get("controls", config, inputs, compute, size=request.shape.megapixels)

    def user_control(self, name: str, file: str, request: RenderRequest, clip: str) -> Entry:
        """The same from a user-provided file, or from a folder with one per view."""
        shape, path, fps = request.shape, camera_file(file, request.view, clip), self.spec.fps
        check_video(path, shape.frames, fps)
        size = [shape.width, shape.height]
        config = {"control": name, "ready": READING_VERSION, "frames": shape.frames, "size": size}

        def compute() -> Arrays:
            return {"video": read_user_video(path, name, **shape._asdict(), fps=fps)}

        inputs = [self.results.cache.file_identity(path)]
        return self.results.get("controls", config, inputs, compute, size=shape.megapixels)

    def control_file(self, request: RenderRequest, control: Entry) -> Entry:
        """A control's video as a file, `mp4` uint8 [bytes]."""
        return self._video_file(request, lambda: load_arrays(control)["video"], {}, [control.key])

    def preview_file(self, name: str, request: RenderRequest, render: Entry) -> Entry:
        """A preview of a render as a file, `mp4` uint8 [bytes]."""
        params = {control: self.spec.control_params(control) for control in ("edge", "seg")}
        config: dict[str, Any] = {"preview": name}
        inputs = [render.key]
        for control in params:
            config[control], files = control_config(self.spec.control_identity(control), self.results.cache)
            inputs += files

        def draw() -> np.ndarray:
            from cosmos_exp.controls.previews import preview

            return preview(name, load_render(render, request.view), **params)

        return self._video_file(request, draw, config, inputs)

    def _video_file(
        self, request: RenderRequest, draw: Callable[[], np.ndarray], config: Mapping[str, Any], inputs: list[str]
    ) -> Entry:
        fps = self.spec.fps

        def compute() -> Arrays:
            with TemporaryDirectory() as folder:
                path = write_video(Path(folder) / "video.mp4", draw(), fps)
                return {"mp4": np.frombuffer(path.read_bytes(), np.uint8)}

        return self.results.get("videos", {"fps": fps, **config}, inputs, compute, size=request.shape.megapixels)
