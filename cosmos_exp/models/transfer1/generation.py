"""One request through the networks: latents of the controls, embeddings of the prompts, then each style chunk by chunk.

Each method that returns an `Entry` looks its result up in the store, or computes it from those before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.progress import Tick, tick_of_part
from cosmos_exp.common.stored_arrays import Arrays, load_arrays
from cosmos_exp.common.threads import side_by_side, torch_threads
from cosmos_exp.common.typed_config import identity
from cosmos_exp.common.video import resize
from cosmos_exp.common.video_decoding import READING_VERSION
from cosmos_exp.controls.user_videos import read_user_video, view_file
from cosmos_exp.models.base import (
    GeneratedVideos,
    GenerationRequest,
    RenderRequest,
    ResultStore,
    StoredVideo,
    keys_of,
    views_of,
)
from cosmos_exp.models.clip_shapes import Video
from cosmos_exp.models.dit.results import chunk_config, given_config, joined, speed_config, tensor
from cosmos_exp.sampling.chunks import Chunk
from cosmos_exp.sampling.config import SamplerConfig
from cosmos_exp.sampling.weight_normalization import normalized_weights, weights_read

if TYPE_CHECKING:
    from torch import Tensor

    from cosmos_exp.models.transfer1.model import WorldModel
    from cosmos_exp.models.transfer1.spec import Transfer1Spec

ENCODER_THREADS = 8
"""Of a text encoder on the CPU beside a GPU: so many on every machine, as its result depends on their number."""

Made = TypeVar("Made")
Chunks = list[Entry]  # of one video

GIVEN_VIDEOS = ("input", "first_frames")
"""Of the sampler group, what counts by content."""
LATER = ("guidance", "num_steps", "sigma_min")
"""Of the sampler group, what changes nothing before the first evaluation is done."""


class Generation:
    """hints: {control: latents of each chunk} of the front view. multi_view_hints: {control: {view: the same}}."""

    def __init__(self, model: Transfer1Spec, request: GenerationRequest, store: ResultStore):
        self.model = model
        self.request = request
        self.store = store
        self.config = model.config
        self.spatial = model.spatial
        self.hints: dict[str, Chunks] = {}
        self.multi_view_hints: dict[str, dict[str, Chunks]] = {}
        self.negative: Entry | None = None
        self._embeddings: dict[str, Entry] = {}

    # Encoding

    def encode(self) -> None:
        """Latents of the controls, of all views where the multi-view net reads them too, and all prompts: the text
        encoder need not come back between the networks."""
        model, single, multi = self.model, self.model.videos.single_view, self.model.videos.multi_view
        total = len(model.weights) * len(single.chunks)
        total += len(model.multi_view_controls) * len(model.views) * len(multi.chunks if multi else ())
        with self.store.stage("hints", "encode controls, prompts") as tick:
            done = count(1)

            def encoded(name: str, request: RenderRequest, video: Video, chunk: Chunk) -> Entry:
                entry = self.hint(self.request.controls[name][request], video, chunk)
                tick(next(done), total)
                return entry

            wanted = [(name, model.front, single, chunk) for name in model.weights for chunk in single.chunks]
            if multi:
                wanted += [
                    (name, request, multi, chunk)
                    for name in model.multi_view_controls
                    for request in model.views.values()
                    for chunk in multi.chunks
                ]
            entries = iter(self._pieces([partial(encoded, *each) for each in wanted]))
            self.hints = {name: [next(entries) for _ in single.chunks] for name in model.weights}
            if multi:
                self.multi_view_hints = {
                    name: {view: [next(entries) for _ in multi.chunks] for view in model.views}
                    for name in model.multi_view_controls
                }
            if model.negative_prompt is not None:
                self.negative = self.embedding(model.negative_prompt)
            for prompt in self._prompts():
                self.embedding(prompt)

    def _prompts(self) -> list[str]:
        prompts = [own for own, _ in self.spatial.regions]
        for style, prompt in self.request.prompts.items():
            prompts.append(prompt)
            prompts += self.request.view_prompts[style].values() if self.model.videos.multi_view else ()
        return prompts

    def embedding(self, prompt: str) -> Entry:
        """`text` float32 [S,D]; looked up once a request."""

        def compute() -> Arrays:
            model, hardware = self.model.folder.model, self.config.hardware
            beside = hardware.on_gpu and hardware.text_encoder == "cpu"
            with torch_threads(ENCODER_THREADS) if beside else nullcontext():
                return {"text": model.encode_text(prompt).cpu().numpy()}

        if prompt not in self._embeddings:
            dtype = self.model.folder.memory.text_encoder_dtype
            config = {"prompt": prompt} | ({} if dtype == "float32" else {"dtype": dtype})
            inputs = [self._weights("text_encoder")]
            self._embeddings[prompt] = self.store.get("text", config, inputs, compute)
        return self._embeddings[prompt]

    def hint(self, control: Entry, video: Video, chunk: Chunk) -> Entry:
        """A control video's latents over one chunk, `latents` float32 [16,T,h,w]."""

        def compute() -> Arrays:
            return {"latents": self._encoded(chunk.of(load_arrays(control)["video"])).numpy()}

        inputs = [control.key, self._weights("tokenizer")]
        size = video.shape._replace(frames=chunk.size).megapixels
        return self.store.get("hints", chunk_config(video, chunk), inputs, compute, size=size)

    def init_video(self, render: Entry, chunk: Chunk) -> Entry | None:
        """Latents of the video that a chunk of the front view starts from, `latents` float32 [16,T,h,w]; None: from
        noise alone. render: of the front view."""
        given, video = self.config.sampler.input, self.model.videos.single_view
        if given is None:
            return None
        config: dict[str, Any] = {**chunk_config(video, chunk)}
        source = render.key
        if given != "rgb":
            config |= {"shape": list(video.shape), "reading": READING_VERSION}
            source = self.store.file_identity(given)

        def compute() -> Arrays:
            if given == "rgb":
                frames = load_arrays(render)["rgb"]
            else:
                frames = read_user_video(Path(given), "rgb", **video.shape._asdict(), fps=self.model.fps)
            return {"latents": self._encoded(chunk.of(frames)).numpy()}

        inputs = [source, self._weights("tokenizer")]
        size = video.shape._replace(frames=chunk.size).megapixels
        return self.store.get("input", config, inputs, compute, size=size)

    def first_frames(self, video: Video, renders: Mapping[str, Entry]) -> Entry | None:
        """Latents of what all views begin with, `latents` float32 [V,16,T,h,w]; None: of nothing. renders: {view}."""
        views, given = self.config.views, self.config.sampler.first_frames
        if given is None:
            return None
        shape, sources = video.shape._replace(frames=video.overlap), [renders[view].key for view in views]
        config: dict[str, Any] = {"first_frames": list(shape)}
        files: dict[str, Path] = {}
        if given != "rgb":
            config["reading"] = READING_VERSION
            files = {view: view_file(given, view, views) for view in views}
            sources = [self.store.file_identity(path) for path in files.values()]

        def frames(view: str) -> np.ndarray:
            if given == "rgb":
                return load_arrays(renders[view])["rgb"][: shape.frames]
            return read_user_video(files[view], "rgb", **shape._asdict(), fps=self.model.fps)

        def compute() -> Arrays:
            return {"latents": np.stack([self._encoded(frames(view)).numpy() for view in views])}

        inputs, size = [*sources, self._weights("tokenizer")], len(views) * shape.megapixels
        return self.store.get("input", config, inputs, compute, size=size)

    # Sampling

    def generate(self, style: str) -> GeneratedVideos:
        front = self.generate_front(style)
        video = self.model.videos.single_view
        made = StoredVideo(tuple(front), lambda: joined(front, "video", video))
        multi = self.model.videos.multi_view
        if multi is None:
            return GeneratedVideos(style, made)
        views = self.generate_views(style, front, multi)
        return GeneratedVideos(style, made, {view: _view_video(views, view, multi) for view in self.config.views})

    def generate_front(self, style: str) -> Chunks:
        model, request = self.model, self.request
        with self.store.stage("single_view", f"single view {style}") as tick:
            text, front = self.embedding(request.prompts[style]), Chunks()
            render = request.renders[model.front]
            regions = [self.embedding(own) for own, _ in self.spatial.regions]
            for chunk in (chunks := model.videos.single_view.chunks):
                hints = {name: entries[chunk.index] for name, entries in self.hints.items()}
                part, before = tick_of_part(tick, chunk.index, len(chunks)), front[-1] if front else None
                start = self.init_video(render, chunk)
                front.append(self.single_view(chunk, hints, text, start, before, part, render=render, regions=regions))
        return front

    def generate_views(self, style: str, front: Chunks, video: Video) -> Chunks:
        with self.store.stage("multi_view", f"multi view {style}") as tick:
            texts = {view: self.embedding(prompt) for view, prompt in self.request.view_prompts[style].items()}
            renders = views_of(self.request.renders, self.model.views.values())
            views = Chunks()
            for chunk in video.chunks:
                hints = {
                    name: {view: entries[chunk.index] for view, entries in by_view.items()}
                    for name, by_view in self.multi_view_hints.items()
                }
                part, before = tick_of_part(tick, chunk.index, len(video.chunks)), views[-1] if views else None
                first = None if before else self.first_frames(video, renders)
                views.append(self.multi_view(video, chunk, front, hints, texts, first, before, part, renders=renders))
        return views

    def single_view(
        self,
        chunk: Chunk,
        hints: Mapping[str, Entry],
        text: Entry,
        start: Entry | None,
        before: Entry | None,
        tick: Tick,
        *,
        render: Entry,
        regions: Sequence[Entry] = (),
    ) -> Entry:
        """One chunk of the front view: `latents` float32 [16,T,h,w], `video` uint8 [F,H,W,3].

        hints: {control: latents}. start: latents of the init video. before: the chunk that this one continues. render:
        of the whole front view. regions: embeddings of the regional prompts.
        """
        model, spatial, store, negative = self.model, self.spatial, self.store, self.negative
        video, renders = model.videos.single_view, {model.front.view: render}

        def first_evaluation(evaluate: Callable[[], np.ndarray]) -> Tensor:
            sampler = model.sampler
            guided = bool(sampler.guidance_at(sampler.levels[0]))
            common = {key: value for key, value in config.items() if key not in LATER} | {"guided": guided}
            entry = store.part("single_view", "first_evaluation", common, inputs, lambda: {"x0": evaluate()})
            return tensor(entry, "x0")

        def compute() -> Arrays:
            from cosmos_exp.models.transfer1.single_view import sample_single_view

            latents = model.folder.sample(
                sample_single_view,
                {name: tensor(entry, "latents") for name, entry in hints.items()},
                spatial.shared_weights(hints, renders, video.shape, chunk),
                tensor(text, "text"),
                tensor(negative, "text") if negative else None,
                model.sampler,
                model.seed("single_view", self.request.clip, chunk),
                tick=tick,
                fps=model.fps,
                given=self._encoded(load_arrays(before)["video"][-video.overlap :]) if before else None,
                init_latents=tensor(start, "latents") if start else None,
                regions=spatial.token_regions([tensor(t, "text") for t in regions], renders, video.shape, chunk),
                **({"keep_first": first_evaluation} if self.model.folder.processes == 1 and not chunk.index else {}),
            )
            return {"latents": latents.float().cpu().numpy(), "video": model.folder.model.decode(latents)}

        inputs = [entry.key for _, entry in sorted(hints.items())] + [text.key, negative.key if negative else "zeros"]
        inputs += [self._weights("tokenizer", "base", "control_*")]
        weights, areas = (
            spatial.of_weights(hints, renders, store),
            spatial.of_regions(keys_of(*regions), renders, store),
        )
        inputs += [*keys_of(start, before), *weights.inputs, *areas.inputs]
        config = self._key_config(hints, self.config.sampler) | given_config(video, chunk)
        config |= weights.config | areas.config
        size = video.shape._replace(frames=chunk.size).megapixels
        return store.get("single_view", config, inputs, compute, size=size, passes=model.sampler.passes)

    def multi_view(
        self,
        video: Video,
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
        model, views = self.model, self.config.views

        def compute() -> Arrays:
            import torch

            from cosmos_exp.models.transfer1.multi_view import sample_multi_view

            first_frames = tensor(first, "latents") if first else None
            if before:
                arrays = load_arrays(before)
                given = [self._encoded(arrays[f"video/{view}"][-video.overlap :]) for view in views]
                first_frames = torch.stack(given)
            front_video = joined(front, "video", model.videos.single_view)
            latents = model.folder.sample(
                sample_multi_view,
                self._encoded(resize(chunk.of(front_video), video.shape.height, video.shape.width)),
                {
                    name: torch.stack([tensor(by_view[view], "latents") for view in views])
                    for name, by_view in hints.items()
                },
                self.spatial.shared_weights(hints, renders, video.shape, chunk),
                torch.stack([tensor(texts[view], "text") for view in views]),
                model.multi_view_sampler,
                model.seed("multi_view", self.request.clip, chunk),
                tick=tick,
                fps=model.fps,
                first_frames=first_frames,
            )
            decoded = self._pieces([partial(model.folder.model.decode, part) for part in latents])
            videos = {f"video/{view}": video for view, video in zip(views, decoded, strict=True)}
            return {"latents": latents.float().cpu().numpy(), **videos}

        inputs = [*(entry.key for entry in front), *(texts[view].key for view in views)]
        inputs += [by_view[view].key for _, by_view in sorted(hints.items()) for view in views]
        inputs += [self._weights("tokenizer", "multiview_*")]
        weights = self.spatial.of_weights(hints, renders, self.store)
        inputs += [*keys_of(first, before), *weights.inputs]
        sampler = model.multi_view_sampler
        config = self._key_config(hints, model.model_config.multi_view_sampler(self.config.sampler, model.contract))
        config |= {"sigma_max": sampler.sigma_max} | given_config(video, chunk) | weights.config
        size = len(views) * video.shape._replace(frames=chunk.size).megapixels
        return self.store.get("multi_view", config, inputs, compute, size=size, passes=sampler.passes)

    def _key_config(self, hints: Mapping[str, Any], sampler: SamplerConfig) -> dict[str, Any]:
        """What the keys of both networks have of the config. sampler: as the network takes it."""
        model = self.model
        weights = normalized_weights(weights_read(model.weights, hints))
        own = {
            "fps": model.fps,
            "clip": self.request.clip,
            "weights": weights,
            "dtype": self.config.hardware.dtype,
        }
        own |= {"reference_compat": True} if model.reference_compat else {}
        own |= {"processes": self.model.folder.processes} if self.model.folder.processes > 1 else {}
        settings = {key: value for key, value in identity(sampler).items() if key not in GIVEN_VIDEOS}
        return settings | own | speed_config(self.config.speed)

    def _pieces(self, pieces: Sequence[Callable[[], Made]]) -> list[Made]:
        """What pieces of work return that need not each other: on a CPU side by side, on a GPU, whose memory they would
        share, one by one."""
        return [piece() for piece in pieces] if self.config.hardware.on_gpu else side_by_side(pieces)

    def _encoded(self, video: np.ndarray) -> Tensor:
        return encoded(self.model.folder.model, video)

    def _weights(self, *patterns: str) -> str:
        return self.model.folder.identity(self.store, *patterns)


def _view_video(chunks: Chunks, view: str, video: Video) -> StoredVideo:
    return StoredVideo(tuple(chunks), lambda: joined(chunks, f"video/{view}", video))


def encoded(model: WorldModel, video: np.ndarray) -> Tensor:
    """Latents [16,T,h,w] float32 on the CPU of a video uint8 [F,H,W,3]. The tokenizer is causal: the first frames are
    encoded alone as they are within a longer video."""
    return model.encode_video(video).float().cpu()
