"""Cosmos-Transfer2.5 as a video model: all views at once from their World Scenario maps.

Its stages, each with results of its own in the cache: hints (control videos as latents), input (latents of given
frames), text (embeddings) and multi_view (one result per chunk).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cosmos_exp.common.progress import Tick
from cosmos_exp.models.base import GeneratedVideos, GenerationRequest, ResultStore
from cosmos_exp.models.dit.memory import load_staying
from cosmos_exp.models.transfer25.generation import Generation
from cosmos_exp.models.transfer25.spec import Transfer25Spec


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
