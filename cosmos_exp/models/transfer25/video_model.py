"""Cosmos-Transfer2.5 as video models: all views at once from World Scenario maps, or one view from edges, blur, depth
and segmentation.

Their stages, each with results of its own in the cache: hints (control videos as latents), input (latents of given
frames), text (embeddings), and multi_view or single_view (one result per chunk).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import ClassVar

from cosmos_exp.common.progress import Tick
from cosmos_exp.models.base import GeneratedVideos, GenerationRequest, ResultStore
from cosmos_exp.models.dit.memory import load_staying
from cosmos_exp.models.transfer25.generation import Generation
from cosmos_exp.models.transfer25.spec import Transfer25Spec
from cosmos_exp.sampling.chunks import Chunk

LARGEST_SEED = 1_000_000


class Transfer25(Transfer25Spec):
    """The released multi-view model, and others of its classes."""

    def load(self, tick: Tick) -> None:
        """The parts that stay on the device while views are made."""
        model, away = self.folder.model, self.folder.memory.evicted_for("multi_view")
        parts: dict[str, Callable[[], object]] = {
            "text_encoder": lambda: model.text_encoder,
            "tokenizer": lambda: model.tokenizer,
            "multi_view": lambda: model.network,
        }
        load_staying(parts, away, tick)

    def generate(self, request: GenerationRequest, store: ResultStore) -> Iterator[GeneratedVideos]:
        generation = Generation(self, request, store)
        generation.encode()
        for style in request.prompts:
            yield generation.generate(style)


class Transfer25General(Transfer25):
    """The released single-view models. The first chunk begins with noise alone."""

    stages: ClassVar[Mapping[str, int]] = {"hints": 3, "input": 3, "text": 3, "single_view": 1}
    sampling = "single_view"
    begins_with_frames = False

    def seed(self, clip: str, chunk: Chunk) -> int:
        """As in the original, each chunk's follows from that of the one before, the first one's from sampler.seed."""
        if not self.model_config.reference_compat:
            return super().seed(clip, chunk)
        seed = self.config.sampler.seed
        for _ in range(chunk.index + 1):
            seed = Random(seed).randint(0, LARGEST_SEED)
        return seed
