"""One request through the network: latents of the controls, embeddings of the prompts, then each style chunk by chunk.

Each method that returns an `Entry` looks its result up in the store, or computes it from those before.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.progress import Tick, tick_of_part
from cosmos_exp.common.stored_arrays import Arrays, load_arrays
from cosmos_exp.common.threads import torch_threads
from cosmos_exp.common.typed_config import identity
from cosmos_exp.common.video_decoding import READING_VERSION
from cosmos_exp.controls.user_videos import read_user_video, view_file
from cosmos_exp.models.base import (
    GeneratedVideos,
    GenerationRequest,
    RenderRequest,
    ResultStore,
    StoredVideo,
    keys_of,
)
from cosmos_exp.models.dit.results import chunk_config, given_config, joined, speed_config, tensor
from cosmos_exp.models.transfer25.sizes import given_latent_frames, pixel_frames
from cosmos_exp.sampling.chunks import Chunk

if TYPE_CHECKING:
    from torch import Tensor

    from cosmos_exp.models.transfer25.spec import Transfer25Spec

ENCODER_THREADS = 8
"""Of a text encoder on the CPU beside a GPU: so many on every machine, as its result depends on their number."""
READ_ELSEWHERE = ("first_frames", "input", "sigma_max", "sigma_min")
"""Of the sampler group, what counts by content or is not read."""


class Generation:
    """hints: {control: {view: latents of each chunk}}."""

    def __init__(self, model: Transfer25Spec, request: GenerationRequest, store: ResultStore):
        self.model = model
        self.request = request
        self.store = store
        self.config = model.config
        self.requests = {view: RenderRequest(view, model.video.shape) for view in model.ordered_views}
        self.hints: dict[str, dict[str, list[Entry]]] = {}
        self._embeddings: dict[str, Entry] = {}

    # Encoding

    def encode(self) -> None:
        """Latents of the controls in every view, and all prompts: the text encoder need not come back between the
        styles."""
        video, done = self.model.video, count(1)
        total = len(self.model.weights) * len(self.requests) * len(video.chunks)
        with self.store.stage("hints", "encode controls, prompts") as tick:
            for name in self.model.weights:
                self.hints[name] = {}
                for view, own in self.requests.items():
                    control = self.request.controls[name][own]
                    self.hints[name][view] = [self.hint(control, chunk) for chunk in video.chunks]
                    for _ in video.chunks:
                        tick(next(done), total)
            for style, prompt in self.request.prompts.items():
                for text in self.model.texts(prompt, self.request.view_prompts[style]).values():
                    self.embedding(text)
            for text in self.model.negative_texts.values():
                self.embedding(text)

    def embedding(self, prompt: str) -> Entry:
        """`text` uint16 [S,D], the bits of bfloat16; looked up once a request."""

        def compute() -> Arrays:
            import torch

            model, hardware = self.model.folder.model, self.config.hardware
            beside = hardware.on_gpu and hardware.text_encoder == "cpu"
            with torch_threads(ENCODER_THREADS) if beside else nullcontext():
                return {"text": model.encode_text(prompt).cpu().view(torch.uint16).numpy()}

        if prompt not in self._embeddings:
            config = {"prompt": prompt, "dtype": self.model.folder.memory.text_encoder_dtype}
            inputs = [self._weights("text_encoder")]
            self._embeddings[prompt] = self.store.get("text", config, inputs, compute)
        return self._embeddings[prompt]

    def hint(self, control: Entry, chunk: Chunk) -> Entry:
        """A control video's latents over one chunk, `latents` float32 [16,T,h,w]."""

        def compute() -> Arrays:
            return {"latents": self._encoded(chunk.of(load_arrays(control)["video"])).numpy()}

        video = self.model.video
        config = chunk_config(video, chunk) | {"dtype": self.config.hardware.dtype}
        inputs = [control.key, self._weights("tokenizer")]
        size = video.shape._replace(frames=chunk.size).megapixels
        return self.store.get("hints", config, inputs, compute, size=size)

    def first_frames(self) -> Entry | None:
        """What the views begin with: `latents` float32 [V,16,n,h,w], `video` uint8 [V,F,H,W,3], both of as many frames
        as the view with most; None: of nothing."""
        given, counts = self.config.sampler.first_frames, self.model.given_frames()
        frames = max(counts.values())
        if given is None or not frames:
            return None
        shape = self.model.video.shape._replace(frames=frames)
        config: dict[str, Any] = {"first_frames": list(shape), "dtype": self.config.hardware.dtype}
        sources, files = [self.request.renders[own].key for own in self.requests.values()], {}
        if given != "rgb":
            config["reading"] = READING_VERSION
            files = {view: view_file(given, view, self.config.views) for view in self.requests}
            sources = [self.store.file_identity(path) for path in files.values()]

        def pictures(view: str, own: RenderRequest) -> np.ndarray:
            if given == "rgb":
                return load_arrays(self.request.renders[own])["rgb"][:frames]
            return read_user_video(Path(files[view]), "rgb", **shape._asdict(), fps=self.model.fps)

        def compute() -> Arrays:
            videos = np.stack([pictures(view, own) for view, own in self.requests.items()])
            return {"latents": np.stack([self._encoded(video).numpy() for video in videos]), "video": videos}

        inputs, size = [*sources, self._weights("tokenizer")], len(self.requests) * shape.megapixels
        return self.store.get("input", config, inputs, compute, size=size)

    # Sampling

    def generate(self, style: str) -> GeneratedVideos:
        model, video, made = self.model, self.model.video, list[Entry]()
        with self.store.stage(model.sampling, f"generate {style}") as tick:
            texts = model.texts(self.request.prompts[style], self.request.view_prompts[style])
            first = self.first_frames()
            for chunk in video.chunks:
                part, before = tick_of_part(tick, chunk.index, len(video.chunks)), made[-1] if made else None
                made.append(self.chunk(chunk, texts, first if chunk.index < 2 else None, before, part))
        views = {view: _view_video(made, view, model) for view in self.config.views}
        return GeneratedVideos(style, views[self.config.views[0]], views if len(views) > 1 else {})

    def chunk(
        self, chunk: Chunk, texts: Mapping[str, str], first: Entry | None, before: Entry | None, tick: Tick
    ) -> Entry:
        """One chunk of all views: `video/<view>` uint8 [F,H,W,3] each.

        texts: {view: text}. first: what the first chunk begins with, of the first two. before: the chunk that this one
        continues: its generated frames after those that were given, encoded again.
        """
        model, video, store = self.model, self.model.video, self.store
        renders = {view: self.request.renders[own] for view, own in self.requests.items()} if model.maps else {}
        negative = model.negative_texts
        guided = bool(model.sampler.guidance)

        def compute() -> Arrays:
            import torch

            from cosmos_exp.models.transfer25.chunks import continued
            from cosmos_exp.models.transfer25.sampling import sample_views
            from cosmos_exp.models.transfer25.views import view_ids

            latents, given = None, [0] * len(self.requests)
            if before:
                videos = [load_arrays(before)[f"video/{view}"] for view in self.requests]
                if first:
                    kept = max(model.given_frames().values())
                    videos = [continued(*each, kept) for each in zip(load_arrays(first)["video"], videos, strict=True)]
                given = [given_latent_frames(video.overlap)] * len(videos)
                ends = [own[-video.overlap :][: pixel_frames(given[0])] for own in videos]
                latents = torch.stack([self._encoded(own) for own in ends])
            elif first:
                latents = tensor(first, "latents")
                given = [given_latent_frames(model.given_frames()[view]) for view in self.requests]
            sampled = model.folder.sample(
                sample_views,
                {
                    name: torch.stack([tensor(by_view[view][chunk.index], "latents") for view in self.requests])
                    for name, by_view in self.hints.items()
                },
                model.weighting.shared_weights(self.hints, renders, video.shape, chunk),
                self._texts(texts),
                self._texts(negative),
                model.sampler,
                model.seed(self.request.clip, chunk),
                tick=tick,
                view_ids=view_ids(list(self.requests)),
                first_frames=latents,
                given=given,
            )
            decoded = [model.folder.model.decode(part) for part in sampled]
            return {f"video/{view}": made for view, made in zip(self.requests, decoded, strict=True)}

        inputs = [by_view[view][chunk.index].key for _, by_view in sorted(self.hints.items()) for view in self.requests]
        inputs += [self.embedding(text).key for text in texts.values()]
        inputs += [self.embedding(text).key for text in negative.values()] if guided else []
        maps = model.weighting.of_weights(self.hints, renders, store)
        inputs += [*keys_of(first, before), *maps.inputs, self._weights("tokenizer", "network")]
        config = self._key_config() | maps.config | given_config(video, chunk)
        config |= {"given": list(model.given_frames().values())} if first else {}
        size = len(self.requests) * video.shape._replace(frames=chunk.size).megapixels
        return store.get(model.sampling, config, inputs, compute, size=size, passes=model.passes)

    def _key_config(self) -> dict[str, Any]:
        model = self.model
        sampler = {k: value for k, value in identity(self.config.sampler).items() if k not in READ_ELSEWHERE}
        own: dict[str, Any] = {
            "clip": self.request.clip,
            "views": list(self.requests),
            "weights": model.weights,
            "dtype": self.config.hardware.dtype,
        }
        own |= {"reference_compat": True} if model.model_config.reference_compat else {}
        own |= {"processes": model.folder.processes} if model.folder.processes > 1 else {}
        return sampler | own | speed_config(self.config.speed)

    def _texts(self, texts: Mapping[str, str]) -> Tensor:
        """bfloat16 [V,S,D]."""
        import torch

        return torch.stack([tensor(self.embedding(text), "text").view(torch.bfloat16) for text in texts.values()])

    def _encoded(self, video: np.ndarray) -> Tensor:
        """Latents [16,T,h,w] float32 on the CPU of uint8 [F,H,W,3]. The tokenizer is causal: the first frames are
        encoded alone as they are within a longer video."""
        return self.model.folder.model.encode_video(video).float().cpu()

    def _weights(self, *patterns: str) -> str:
        return self.model.folder.identity(self.store, *patterns)


def _view_video(chunks: list[Entry], view: str, model: Transfer25Spec) -> StoredVideo:
    return StoredVideo(tuple(chunks), lambda: joined(chunks, f"video/{view}", model.video))
