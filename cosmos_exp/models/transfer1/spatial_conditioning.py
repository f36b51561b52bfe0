"""Where in the picture controls and regional prompts count, of the Transfer1 networks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cosmos_exp.captions.config import CaptionsConfig
from cosmos_exp.controls.area import Area
from cosmos_exp.controls.config import ControlsConfig
from cosmos_exp.models.base import ResultStore
from cosmos_exp.models.clip_shapes import Shape
from cosmos_exp.models.dit.control_weighting import ControlWeighting, KeyPart, Renders, area_config
from cosmos_exp.sampling.chunks import Chunk

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from torch import Tensor

    from cosmos_exp.models.dit.regional import Region
    from cosmos_exp.models.dit.residuals import Weight


class SpatialConditioning(ControlWeighting):
    """reference_compat: weights rounded as the reference implementation stores them.

    regions: prompt and area of each. Weights that sum to more than 1 are divided by their sum, with maps at every
    pixel.
    """

    def __init__(self, controls: ControlsConfig, captions: CaptionsConfig, *, reference_compat: bool = False):
        super().__init__(controls)
        self.reference_compat = reference_compat
        self.regions = tuple((region.prompt, Area.of(region)) for region in captions.regions)

    def scalars(self, weights: Mapping[str, float]) -> dict[str, Weight]:
        from cosmos_exp.models.transfer1.control_weights import normalize_scalar_weights

        return {**normalize_scalar_weights(weights, reference_compat=self.reference_compat)}

    def on_grid(self, weights: Mapping[str, float | Tensor], shape: Shape) -> dict[str, Tensor]:
        from cosmos_exp.models.transfer1.control_weights import control_weight_maps

        return control_weight_maps(weights, **shape._asdict(), reference_compat=self.reference_compat)

    def at_pixels(self, weights: Mapping[str, float | Tensor], shape: Shape) -> dict[str, Tensor]:
        from cosmos_exp.models.transfer1.control_weights import normalize_weight_maps

        return normalize_weight_maps(weights, shape)

    # Regions

    def of_regions(self, texts: Sequence[str], front: Renders, store: ResultStore) -> KeyPart:
        """texts: keys of their embeddings. front: the front view's render."""
        config: list[dict[str, Any]] = []
        inputs = list(texts)
        for _, area in self.regions:
            config.append(area_config(area))
            inputs += self._area_inputs(area, front, store)
        return KeyPart({"regions": config} if config else {}, inputs)

    def token_regions(self, texts: Sequence[Tensor], front: Renders, shape: Shape, chunk: Chunk) -> list[Region]:
        """texts: [S, channels], of each regional prompt. front: the front view's render."""
        from cosmos_exp.models.dit.regional import Region
        from cosmos_exp.models.transfer1.region_masks import token_mask

        made, ((view, render),) = [], front.items()
        for text, (prompt, area) in zip(texts, self.regions, strict=True):
            seen = self._seen(area, view, render, shape, chunk)
            mask = token_mask(area, shape._replace(frames=chunk.size), **seen)
            if not mask.any():
                log.warning("the regional prompt %r changes nothing: no part of the picture is in its region", prompt)
            made.append(Region(text[None], mask))
        return made
