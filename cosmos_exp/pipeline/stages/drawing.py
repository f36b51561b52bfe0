"""Pictures of the scene: renders, control videos, and both as files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.video import write_video
from cosmos_exp.config.run_spec import Settings, Take
from cosmos_exp.controls.user_videos import camera_file, read_user_video
from cosmos_exp.pipeline.cached_results import Arrays, Results, load_arrays, load_render
from cosmos_exp.pipeline.stages.keys import camera_config, control_config
from cosmos_exp.pipeline.stages.loaded import Loaded


@dataclass(frozen=True)
class Drawing:
    settings: Settings
    loaded: Loaded
    results: Results

    def render(self, take: Take, weather: str, outputs: tuple[str, ...]) -> Entry:
        """One camera's pixels. outputs: which of the renderer's."""
        settings, shape = self.settings, take.shape
        front = settings.videos.single_view.shape
        config = {
            "camera": camera_config(settings.cfg["sensors"], take.view),
            "size": [shape.width, shape.height],
            "frames": shape.frames,
            "fps": settings.fps,
            "weather": weather if "rgb" in outputs else None,
            "outputs": sorted(outputs),
        }
        if (shape.height, shape.width) != (front.height, front.width):
            config["resized_from"] = [front.width, front.height]

        def compute() -> Arrays:
            from cosmos_exp.render.renderer import render_camera

            loaded, options = self.loaded, {"weather": weather, "outputs": outputs, "threads": settings.threads}
            render = render_camera(loaded.renderer, loaded.camera(take), loaded.times[: shape.frames], **options)
            return {"times": render.times} | {name: getattr(render, name) for name in outputs}

        inputs = [self.loaded.scene_key, take.view]
        return self.results.get("render", config, inputs, compute, size=shape.megapixels)

    def control(self, name: str, take: Take, render: Entry) -> Entry:
        """A control's video, `video` uint8 [F,H,W,3], from a camera's render."""
        params = self.settings.control_params(name)
        config, files = control_config(params, self.results.cache)

        def compute() -> Arrays:
            from cosmos_exp.controls import make_control

            return {"video": make_control(name, load_render(render, take.view), **params)}

        config, inputs = {"control": name, **config}, [render.key, *files]
        return self.results.get("controls", config, inputs, compute, size=take.shape.megapixels)

    def ready_control(self, name: str, take: Take, clip: str) -> Entry:
        """The same from `controls.<name>.file`."""
        shape, path = take.shape, camera_file(self.settings.cfg["controls"][name]["file"], take.view, clip)
        config = {"control": name, "ready": True, "frames": shape.frames, "size": [shape.width, shape.height]}

        def compute() -> Arrays:
            return {"video": read_user_video(path, name, **shape._asdict())}

        inputs = [self.results.cache.file_identity(path)]
        return self.results.get("controls", config, inputs, compute, size=shape.megapixels)

    def control_file(self, take: Take, control: Entry) -> Entry:
        """A control's video as a file, `mp4` uint8 [bytes]."""
        return self._video_file(take, lambda: load_arrays(control)["video"], {}, [control.key])

    def preview_file(self, name: str, take: Take, render: Entry) -> Entry:
        """A preview of a render as a file, `mp4` uint8 [bytes]."""
        params = {control: self.settings.control_params(control) for control in ("edge", "seg")}
        config, inputs = {"preview": name}, [render.key]
        for control, values in params.items():
            config[control], files = control_config(values, self.results.cache)
            inputs += files

        def draw() -> np.ndarray:
            from cosmos_exp.controls.previews import preview

            return preview(name, load_render(render, take.view), **params)

        return self._video_file(take, draw, config, inputs)

    def _video_file(
        self, take: Take, draw: Callable[[], np.ndarray], config: Mapping[str, Any], inputs: list[str]
    ) -> Entry:
        fps = self.settings.fps

        def compute() -> Arrays:
            with TemporaryDirectory() as folder:
                path = write_video(Path(folder) / "video.mp4", draw(), fps)
                return {"mp4": np.frombuffer(path.read_bytes(), np.uint8)}

        return self.results.get("videos", {"fps": fps, **config}, inputs, compute, size=take.shape.megapixels)
