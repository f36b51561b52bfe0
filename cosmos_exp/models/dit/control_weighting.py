"""Where in the picture controls count: what that means for keys and weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cosmos_exp.common.cache import Entry
from cosmos_exp.common.stored_arrays import load_arrays
from cosmos_exp.common.video_decoding import READING_VERSION
from cosmos_exp.controls.area import Area, WeightMap
from cosmos_exp.controls.config import ControlsConfig
from cosmos_exp.controls.user_videos import camera_file
from cosmos_exp.models.base import ResultStore
from cosmos_exp.models.clip_shapes import Shape
from cosmos_exp.sampling.chunks import Chunk
from cosmos_exp.sampling.weight_normalization import weights_read

if TYPE_CHECKING:
    from torch import Tensor

    from cosmos_exp.models.dit.residuals import Weight

Renders = Mapping[str, Entry]  # by view


class KeyPart(NamedTuple):
    """Of a stage's key: values of the config, and identities of what goes in. Empty where the conditioning is the same
    everywhere."""

    config: dict[str, Any]
    inputs: list[str]


class ControlWeighting(ABC):
    """A family says how weights that several controls have at one place go together.

    weights: {control: weight} of those above 0. maps: their weight maps.
    """

    def __init__(self, controls: ControlsConfig):
        self.weights: dict[str, float] = {name: control.weight for name, control in controls.used.items()}
        maps = {name: WeightMap.of(control.weight_map) for name, control in controls.used.items()}
        self.maps = {name: rule for name, rule in maps.items() if not rule.area.is_whole}

    @abstractmethod
    def scalars(self, weights: Mapping[str, float]) -> dict[str, Weight]:
        """What the network takes of weights that are the same everywhere."""

    @abstractmethod
    def on_grid(self, weights: Mapping[str, float | Tensor], shape: Shape) -> dict[str, Tensor]:
        """Maps [1,1,T,h,w] on the patch grid of a view's weights, scalars or maps [F,H,W] of `shape`."""

    @abstractmethod
    def at_pixels(self, weights: Mapping[str, float | Tensor], shape: Shape) -> dict[str, Tensor]:
        """Maps [F,H,W] of the same, for people."""

    def maps_in(self, controls: Iterable[str], views: Iterable[str]) -> dict[str, WeightMap]:
        """Weight maps that count in all of these views: a mask that is one file is of the front view alone."""
        several = len(list(views)) > 1
        found = {name: self.maps[name] for name in controls if name in self.maps}
        return {name: rule for name, rule in found.items() if not (several and is_file(rule.area.mask))}

    # Keys

    def of_weights(self, controls: Iterable[str], renders: Renders, store: ResultStore) -> KeyPart:
        config: dict[str, Any] = {}
        inputs: list[str] = []
        for name, rule in sorted(self.maps_in(controls, renders).items()):
            config[name] = {"inside": rule.inside, "outside": rule.outside, **area_config(rule.area)}
            inputs += self._area_inputs(rule.area, renders, store)
        weights = weights_read(self.weights, list(controls))  # shared anew at every place
        return KeyPart({"weight_maps": config, "weights": weights} if config else {}, inputs)

    def _area_inputs(self, area: Area, renders: Renders, store: ResultStore) -> list[str]:
        inputs = [render.key for render in renders.values()] if area.classes else []
        if area.mask is not None:
            inputs += [store.file_identity(camera_file(area.mask, view)) for view in renders]
        return inputs

    # Values

    def shared_weights(
        self, controls: Iterable[str], renders: Renders, shape: Shape, chunk: Chunk
    ) -> dict[str, Weight]:
        """What the network takes for a chunk of these views: scalars, or maps [1,1,V*T,h,w] on the patch grid."""
        names, rules = list(controls), self.maps_in(controls, renders)
        if not rules:
            return self.scalars(weights_read(self.weights, names))
        import torch

        size = shape._replace(frames=chunk.size)
        views = [self.on_grid(self._weights(names, rules, *own, shape, chunk), size) for own in renders.items()]
        return {name: torch.cat([own[name] for own in views], dim=2) for name in names}

    def pictures(self, controls: Iterable[str], view: str, renders: Renders, shape: Shape) -> dict[str, np.ndarray]:
        """{control: uint8 [F,H,W,3]}: how much of 1 each has at every pixel; empty where no weight map counts."""
        names, rules = list(controls), self.maps_in(controls, renders)
        if not rules:
            return {}
        from cosmos_exp.controls.previews import heat_colors

        whole = Chunk(0, 0, shape.frames)
        shared = self.at_pixels(self._weights(names, rules, view, renders[view], shape, whole), shape)
        return {name: heat_colors(values.numpy()) for name, values in shared.items()}

    def _weights(
        self,
        names: Sequence[str],
        rules: Mapping[str, WeightMap],
        view: str,
        render: Entry,
        shape: Shape,
        chunk: Chunk,
    ) -> dict[str, float | Tensor]:
        """Before sharing: the weight of each control, times its map [F,H,W] over the chunk."""
        from cosmos_exp.models.dit.area_maps import weight_values

        weights: dict[str, float | Tensor] = {**weights_read(self.weights, names)}
        for name, rule in rules.items():
            seen = self._seen(rule.area, view, render, shape, chunk)
            weights[name] *= weight_values(rule, shape._replace(frames=chunk.size), **seen)
        return weights

    def _seen(self, area: Area, view: str, render: Entry, shape: Shape, chunk: Chunk) -> dict[str, Any]:
        """What an area is drawn from, over a chunk."""
        from cosmos_exp.models.dit.map_files import read_map

        seen: dict[str, Any] = {}
        if area.classes:
            seen["semantic"] = chunk.of(load_arrays(render)["semantic"])
        if area.mask is not None:
            seen["mask"] = chunk.of(read_map(camera_file(area.mask, view), shape.frames))
        return seen


def is_file(mask: Path | None) -> bool:
    return mask is not None and mask.is_file()


def area_config(area: Area) -> dict[str, Any]:
    """Without the mask, which counts by content and by how it is read."""
    reading = {} if area.mask is None else {"reading": READING_VERSION}
    return {"classes": sorted(area.classes), "box": area.box, **reading}
