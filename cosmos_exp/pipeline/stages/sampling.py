"""Videos that the networks make: the front view, and from it all views."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.common import torchrun
from cosmos_exp.common.cache import Entry
from cosmos_exp.common.progress import Tick
from cosmos_exp.common.video import resize
from cosmos_exp.config.run_spec import GIVEN_VIDEOS, Settings
from cosmos_exp.models.transfer1.spatial_conditioning import Places
from cosmos_exp.pipeline.cached_results import Arrays, Results, load_arrays
from cosmos_exp.pipeline.stages.keys import given_config, keys_of, speed_config
from cosmos_exp.pipeline.stages.latents import encoded
from cosmos_exp.pipeline.stages.loaded import Loaded
from cosmos_exp.sampling.chunks import Chunk, join
from cosmos_exp.sampling.weight_normalization import normalized_weights

if TYPE_CHECKING:
    from torch import Tensor

LATER = ("guidance", "num_steps", "sigma_min")
"""Of the sampler group, what changes nothing before the first evaluation is done."""


@dataclass(frozen=True)
class Sampling:
    """places: where in the picture controls and regional prompts count."""

    settings: Settings
    loaded: Loaded
    results: Results
    places: Places

    def single_view(
        self,
        clip: str,
        chunk: Chunk,
        hints: Mapping[str, Entry],
        text: Entry,
        negative: Entry | None,
        start: Entry | None,
        before: Entry | None,
        tick: Tick,
        *,
        render: Entry,
        regions: Sequence[Entry] = (),
    ) -> Entry:
        """One chunk of the front view: `latents` float32 [16,T,h,w], `video` uint8 [F,H,W,3].

        hints: {control: latents}. negative: embedding of the negative prompt; None for all-zero text. start: latents
        of the video to depart from. before: the chunk that this one continues. render: of the whole front view.
        regions: embeddings of the regional prompts.
        """
        settings, places = self.settings, self.places
        video, renders = settings.videos.single_view, {settings.front: render}

        def first_evaluation(evaluate: Callable[[], np.ndarray]) -> Tensor:
            sampler = settings.sampler
            guided = bool(sampler.guidance_at(sampler.levels[0]))
            common = {key: value for key, value in config.items() if key not in LATER} | {"guided": guided}
            entry = self.results.part("single_view", "first_evaluation", common, inputs, lambda: {"x0": evaluate()})
            return _tensor(entry, "x0")

        def compute() -> Arrays:
            from cosmos_exp.models.transfer1.single_view import sample_single_view

            latents = self._sample(
                sample_single_view,
                {name: _tensor(entry, "latents") for name, entry in hints.items()},
                places.shared_weights(hints, renders, video.shape, chunk),
                _tensor(text, "text"),
                _tensor(negative, "text") if negative else None,
                settings.sampler,
                settings.seed("single_view", clip, chunk),
                tick=tick,
                fps=settings.fps,
                given=self._encoded(load_arrays(before)["video"][-video.overlap :]) if before else None,
                init_latents=_tensor(start, "latents") if start else None,
                regions=places.token_regions([_tensor(t, "text") for t in regions], renders, video.shape, chunk),
                **({"keep_first": first_evaluation} if self._processes == 1 and not chunk.index else {}),
            )
            return {"latents": latents.float().cpu().numpy(), "video": self.loaded.model.decode(latents)}

        inputs = [entry.key for _, entry in sorted(hints.items())] + [text.key, negative.key if negative else "zeros"]
        inputs += [self.loaded.weights_identity("tokenizer", "base", "control_*")]
        own = places.of_weights(hints, renders) + places.of_regions(keys_of(*regions), renders)
        inputs += [*keys_of(start, before), *own.inputs]
        config = self._config(clip, hints) | given_config(video, chunk) | own.config
        work = {"size": video.shape._replace(frames=chunk.size).megapixels, "passes": settings.passes}
        return self.results.get("single_view", config, inputs, compute, **work)

    def multi_view(
        self,
        clip: str,
        chunk: Chunk,
        front: Sequence[Entry],
        hints: Mapping[str, Mapping[str, Entry]],
        texts: Mapping[str, Entry],
        first: Entry | None,
        before: Entry | None,
        tick: Tick,
        *,
        renders: Mapping[str, Entry],
    ) -> Entry:
        """One chunk of all views: `latents` float32 [V,16,T,h,w] and one `video/<view>` uint8 [F,H,W,3] each.

        front: the chunks of the single view, resized where this net has another size. hints: {control: {view:
        latents}}. texts: {view: embedding}. The views beside the front begin with `first`, latents, or with the end of
        `before`, the chunk that this one continues. renders: {view: render}.
        """
        settings = self.settings
        views, video = settings.views, settings.videos.multi_view

        def compute() -> Arrays:
            import torch

            from cosmos_exp.models.transfer1.multi_view import sample_multi_view

            first_frames = _tensor(first, "latents") if first else None
            if before:
                arrays = load_arrays(before)
                given = [self._encoded(arrays[f"video/{view}"][-video.overlap :]) for view in views]
                first_frames = torch.stack(given)
            latents = self._sample(
                sample_multi_view,
                self._encoded(resize(chunk.of(self.front_video(front)), video.shape.height, video.shape.width)),
                {
                    name: torch.stack([_tensor(by_view[view], "latents") for view in views])
                    for name, by_view in hints.items()
                },
                self.places.shared_weights(hints, renders, video.shape, chunk),
                torch.stack([_tensor(texts[view], "text") for view in views]),
                settings.multi_view_sampler,
                settings.seed("multi_view", clip, chunk),
                tick=tick,
                fps=settings.fps,
                first_frames=first_frames,
            )
            videos = {f"video/{view}": self.loaded.model.decode(part) for view, part in zip(views, latents)}
            return {"latents": latents.float().cpu().numpy(), **videos}

        inputs = [*(entry.key for entry in front), *(texts[view].key for view in views)]
        inputs += [by_view[view].key for _, by_view in sorted(hints.items()) for view in views]
        inputs += [self.loaded.weights_identity("tokenizer", "multiview_*")]
        own = self.places.of_weights(hints, renders)
        inputs += [*keys_of(first, before), *own.inputs]
        config = self._config(clip, hints) | {"sigma_max": settings.multi_view_sigma_max}
        config |= given_config(video, chunk) | own.config
        shape = video.shape._replace(frames=chunk.size)
        work = {"size": len(views) * shape.megapixels, "passes": settings.passes}
        return self.results.get("multi_view", config, inputs, compute, **work)

    def front_video(self, chunks: Sequence[Entry]) -> np.ndarray:
        """uint8 [F,H,W,3] of the single view."""
        video = self.settings.videos.single_view
        return join([load_arrays(entry)["video"] for entry in chunks], video.overlap, video.shape.frames)

    def view_videos(self, chunks: Sequence[Entry]) -> dict[str, np.ndarray]:
        """{view: uint8 [F,H,W,3]} of the multi-view net."""
        video, made = self.settings.videos.multi_view, [load_arrays(entry) for entry in chunks]
        return {
            view: join([arrays[f"video/{view}"] for arrays in made], video.overlap, video.shape.frames)
            for view in self.settings.views
        }

    def _config(self, clip: str, hints: Mapping[str, Any]) -> dict[str, Any]:
        """What both keys have of the config."""
        settings, cfg = self.settings, self.settings.cfg
        weights = normalized_weights({name: settings.weights[name] for name in hints})
        own = {"fps": settings.fps, "clip": clip, "weights": weights, "dtype": cfg["hardware"]["dtype"]}
        own |= {"reference_compat": True} if settings.reference_compat else {}
        sampler = {key: value for key, value in cfg["sampler"].items() if key not in GIVEN_VIDEOS}
        return sampler | own | speed_config(cfg["speed"])

    @property
    def _processes(self) -> int:
        """That sample a clip together."""
        return torchrun.processes() or self.settings.cfg["hardware"]["processes"] or 1

    def _sample(self, sample: Callable[..., Tensor], *inputs: Any, tick: Tick, **options: Any) -> Tensor:
        """What a sampling function returns, computed here or by all processes of the run. inputs: on the CPU."""
        loaded, hardware, processes = self.loaded, self.settings.cfg["hardware"], self._processes
        if processes == 1:
            return sample(loaded.model, *inputs, progress=tick, **options)

        from cosmos_exp.models.transfer1.workers import sampling_workers

        workers = sampling_workers(processes, hardware["device"])
        work = {"progress": tick, "threads": self.settings.threads, "memory_gb": hardware["memory_gb"]}
        return workers.sample(sample, loaded.model, loaded.model_source, *inputs, **work, **options)

    def _encoded(self, video: np.ndarray) -> Tensor:
        return encoded(self.loaded.model, video)


def _tensor(entry: Entry, name: str) -> Tensor:
    import torch

    return torch.from_numpy(load_arrays(entry)[name])
