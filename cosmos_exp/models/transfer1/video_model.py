"""Transfer1 as a video model: the front view from all controls, then all views from it and the layout controls.

Its stages, each with results of its own in the cache: hints (control videos as latents), input (latents of an init
video), text (embeddings), single_view and multi_view (one result per chunk).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from cosmos_exp.common.progress import Tick
from cosmos_exp.models.base import GeneratedVideos, GenerationRequest, Notice, ResultStore
from cosmos_exp.models.dit.memory import load_staying
from cosmos_exp.models.transfer1.generation import Generation
from cosmos_exp.models.transfer1.spec import Transfer1Spec
from cosmos_exp.sampling.sampler_params import SIGMA_MAX


class Transfer1(Transfer1Spec):
    """The nano model and the released Cosmos-Transfer1 models."""

    def notices(self) -> Iterator[Notice]:
        """A size that no one asked for, weights after their normalisation, and what has less effect than it looks."""
        model, contract, (_, height, width) = self.config.model, self.contract, self.videos.single_view.shape
        if (height, width) != (contract.height, contract.width) and None in (model.height, model.width):
            size = f"{height}x{width}"
            yield _info(f"front view of {size} pixels (height x width): nearest in shape to its camera's")
        for net, weights in self.effective_weights.items():
            shown = ", ".join(f"{name} {weight:.3g}" for name, weight in weights.items())
            yield _info(f"weights of the {net.replace('_', '-')} net: {shown}")
        sampler = self.config.sampler
        if sampler.sigma_max < SIGMA_MAX and sampler.input is None:
            yield _warning(
                f"sampler.sigma_max={sampler.sigma_max:g} without sampler.input: below {SIGMA_MAX:g} a network expects "
                "a video beneath the noise"
            )
        if len(self.config.views) > 1:
            yield from self._multi_view_notices()

    def _multi_view_notices(self) -> Iterator[Notice]:
        read = ", ".join(self.contract.multi_view_controls)
        if not self.multi_view_controls:
            yield _warning(f"no control guides the other views: the multi-view net reads {read}, whose weight is 0")
        elif unread := [name for name in self.weights if name not in self.multi_view_controls]:
            names = ", ".join(unread)
            yield _info(f"{names} guides the single view only: the multi-view net reads {read}, with the weight of all")
        everywhere = self.spatial.maps_in(self.multi_view_controls, self.config.views)
        for name in self.spatial.maps:
            if name in self.multi_view_controls and name not in everywhere:
                yield _info(
                    f"controls.{name}.weight_map.mask is one file, of the front view: in all views together {name} "
                    "weighs the same"
                )
        if self.spatial.regions:
            yield _info("captions.regions guide the single view only: the multi-view net reads a prompt per view")
        if self.config.captions.negative_prompt is not None:
            yield _info("captions.negative_prompt is for the single view only: all views are guided away from no text")

    # Generation

    def load(self, tick: Tick) -> None:
        """The parts that stay on the device while the front view is made, with the controls of the config."""
        model, away = self.folder.model, self.folder.memory.evicted_for("single_view")
        parts: dict[str, Callable[[], object]] = {
            "text_encoder": lambda: model.text_encoder,
            "tokenizer": lambda: model.tokenizer,
            "multi_view": lambda: model.multi_view(self.multi_view_controls) if self.views else None,
            "single_view": lambda: model.single_view(self.weights),
        }
        load_staying(parts, away, tick)

    def generate(self, request: GenerationRequest, store: ResultStore) -> Iterator[GeneratedVideos]:
        generation = Generation(self, request, store)
        generation.encode()
        for style in request.prompts:
            yield generation.generate(style)


def _info(message: str) -> Notice:
    return Notice(logging.INFO, message)


def _warning(message: str) -> Notice:
    return Notice(logging.WARNING, message)
