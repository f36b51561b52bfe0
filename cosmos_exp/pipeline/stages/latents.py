"""Videos as the networks take them: latents of the controls, of a video to depart from, of frames to begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.config.run_spec import Settings
from cosmos_exp.controls.user_videos import read_user_video, view_file
from cosmos_exp.models.transfer1.clip_shapes import Video
from cosmos_exp.pipeline.cached_results import Arrays, Results, load_arrays
from cosmos_exp.pipeline.stages.keys import chunk_config
from cosmos_exp.pipeline.stages.loaded import Loaded
from cosmos_exp.sampling.chunks import Chunk

if TYPE_CHECKING:
    from torch import Tensor

    from cosmos_exp.models.transfer1.model import WorldModel


@dataclass(frozen=True)
class Latents:
    settings: Settings
    loaded: Loaded
    results: Results

    def hint(self, control: Entry, video: Video, chunk: Chunk) -> Entry:
        """A control video's latents over one chunk, `latents` float32 [16,T,h,w]."""

        def compute() -> Arrays:
            return {"latents": self._encoded(chunk.of(load_arrays(control)["video"]))}

        inputs = [control.key, self.loaded.weights_identity("tokenizer")]
        size = video.shape._replace(frames=chunk.size).megapixels
        return self.results.get("hints", chunk_config(video, chunk), inputs, compute, size=size)

    def start(self, render: Entry, chunk: Chunk) -> Entry | None:
        """Latents of the video that a chunk of the front view departs from, `latents` float32 [16,T,h,w]; None: of
        noise alone. render: of the front view."""
        given, video = self.settings.cfg["sampler"]["input"], self.settings.videos.single_view
        if given is None:
            return None
        config, source = chunk_config(video, chunk), render.key
        if given != "rgb":
            config |= {"shape": list(video.shape)}
            source = self.results.cache.file_identity(given)

        def compute() -> Arrays:
            if given == "rgb":
                frames = load_arrays(render)["rgb"]
            else:
                frames = read_user_video(Path(given), "rgb", **video.shape._asdict())
            return {"latents": self._encoded(chunk.of(frames))}

        inputs = [source, self.loaded.weights_identity("tokenizer")]
        size = video.shape._replace(frames=chunk.size).megapixels
        return self.results.get("input", config, inputs, compute, size=size)

    def first_frames(self, renders: Mapping[str, Entry]) -> Entry | None:
        """Latents of what all views begin with, `latents` float32 [V,16,T,h,w]; None: of nothing. renders: {view}."""
        views, video = self.settings.views, self.settings.videos.multi_view
        given = self.settings.cfg["sampler"]["first_frames"]
        if given is None:
            return None
        shape, sources = video.shape._replace(frames=video.overlap), [renders[view].key for view in views]
        if given != "rgb":
            files = {view: view_file(given, view, views) for view in views}
            sources = [self.results.cache.file_identity(path) for path in files.values()]

        def frames(view: str) -> np.ndarray:
            if given == "rgb":
                return load_arrays(renders[view])["rgb"][: shape.frames]
            return read_user_video(files[view], "rgb", **shape._asdict())

        def compute() -> Arrays:
            return {"latents": np.stack([self._encoded(frames(view)) for view in views])}

        inputs, size = [*sources, self.loaded.weights_identity("tokenizer")], len(views) * shape.megapixels
        return self.results.get("input", {"first_frames": list(shape)}, inputs, compute, size=size)

    def _encoded(self, video: np.ndarray) -> np.ndarray:
        return encoded(self.loaded.model, video).numpy()


def encoded(model: WorldModel, video: np.ndarray) -> Tensor:
    """Latents [16,T,h,w] float32 on the CPU of a video uint8 [F,H,W,3]. The tokenizer is causal: the first frames are
    encoded alone as they are within a longer video."""
    return model.encode_video(video).float().cpu()
