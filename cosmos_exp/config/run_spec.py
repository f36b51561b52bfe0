"""What a config means for a run: the videos to make, of which views and styles, from which controls, and how.

Everything here follows from the config, the model's contract, and the cameras' description; nothing is loaded or made.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from cosmos_exp.config.validate import model_folder, read_contract
from cosmos_exp.models.contract import Contract
from cosmos_exp.models.transfer1.clip_shapes import Shape, Videos, front_aspect, videos_of
from cosmos_exp.models.transfer1.memory import Memory
from cosmos_exp.render.types import OPTIONAL_OUTPUTS, OUTPUTS
from cosmos_exp.sampling.chunks import Chunk
from cosmos_exp.sampling.sampler_params import SIGMA_MAX
from cosmos_exp.sampling.weight_normalization import normalized_weights

if TYPE_CHECKING:
    from cosmos_exp.models.kernels.speed import Speed
    from cosmos_exp.sampling.sampler_params import SamplerParams

OPTIONAL_CONTROLS = (*OPTIONAL_OUTPUTS, "keypoint", "upscale")  # made only where asked for
GIVEN_VIDEOS = ("input", "first_frames")  # of the sampler group
NETWORK_STAGES = ("hints", "input", "text", "single_view", "multi_view")


class Take(NamedTuple):
    """One view, drawn for one network."""

    view: str
    shape: Shape


class Settings:
    """cfg: resolved config as plain values, which has passed `validate`."""

    def __init__(self, cfg: Mapping[str, Any]):
        self.cfg = cfg
        model = cfg["model"]
        self.model_folder = model_folder(model["name"], model["weights"])
        self.contract: Contract = read_contract(self.model_folder)
        self.fps: float = model["fps"] or self.contract.fps
        self.reference_compat: bool = model["reference_compat"]
        self.threads = num_threads(cfg["hardware"]["threads"])
        self.views: tuple[str, ...] = tuple(cfg["views"]["names"])
        self.front = self.views[0]
        self.styles: tuple[str, ...] = tuple(cfg["captions"]["styles"])
        self.weights: dict[str, float] = {k: c["weight"] for k, c in cfg["controls"].items() if c["weight"] > 0}
        given = cfg["captions"]["negative_prompt"]
        self.negative_prompt: str | None = self.contract.negative_prompt if given is None else given

    # Videos

    @cached_property
    def videos(self) -> Videos:
        """What the two networks make."""
        aspect = front_aspect(self.cfg["scene"], self.cfg["sensors"], self.front)
        return videos_of(self.cfg["model"], self.contract, len(self.views), aspect)

    @property
    def front_take(self) -> Take:
        """What the single-view net draws over."""
        return Take(self.front, self.videos.single_view.shape)

    @property
    def multi_takes(self) -> dict[str, Take]:
        """{view: what the multi-view net draws over}; empty where it does not run."""
        video = self.videos.multi_view
        return {view: Take(view, video.shape) for view in self.views} if video else {}

    @property
    def takes(self) -> tuple[Take, ...]:
        """Each once: the front view is drawn twice where the networks differ in frames or pixels."""
        return tuple(dict.fromkeys([self.front_take, *self.multi_takes.values()]))

    @property
    def shown_takes(self) -> dict[str, Take]:
        """{view: what is shown of it}; the front view as the single-view net has it."""
        return {**self.multi_takes, self.front: self.front_take}

    # Controls

    @property
    def shows_all_controls(self) -> bool:
        """Whether controls that no network reads are made too."""
        return self.cfg["previews"]["controls"] == "all"

    @property
    def controls(self) -> tuple[str, ...]:
        """Controls to make: those with a weight, and where all are shown, those without that are not optional or are
        previews."""
        if not self.shows_all_controls:
            return tuple(self.weights)
        asked = {*self.weights, *self.cfg["previews"]["names"]}
        return tuple(name for name in self.cfg["controls"] if name in asked or name not in OPTIONAL_CONTROLS)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Of the renderer: what the controls and previews show."""
        shown = {*self.controls, *self.cfg["previews"]["names"]}
        return (*OUTPUTS, *(name for name in OPTIONAL_OUTPUTS if name in shown))

    @property
    def multi_view_controls(self) -> tuple[str, ...]:
        """Controls with a weight that the multi-view net reads; none where only one view is asked for."""
        read = self.contract.multi_view_controls if len(self.views) > 1 else ()
        return tuple(name for name in self.weights if name in read)

    def is_ready(self, name: str) -> bool:
        """Whether videos of the user's take the control's place."""
        return self.cfg["controls"][name]["file"] is not None

    def control_takes(self, name: str) -> tuple[Take, ...]:
        """Those that a control is made for: what a network reads, and where all are shown, what is shown of views."""
        read = self.multi_takes.values() if name in self.multi_view_controls else ()
        shown = self.shown_takes.values() if self.shows_all_controls and not self.is_ready(name) else ()
        return tuple(dict.fromkeys([self.front_take, *shown, *read]))

    def control_params(self, name: str) -> dict[str, Any]:
        """What makes a control's video from a render: its config without weight and ready video."""
        return {k: v for k, v in self.cfg["controls"][name].items() if k not in ("weight", "weight_map", "file")}

    @cached_property
    def effective_weights(self) -> dict[str, dict[str, float]]:
        """{network: {control: weight as it counts}}: weights that sum to more than 1 are scaled down, net by net."""
        names = {"single_view": tuple(self.weights), "multi_view": self.multi_view_controls}
        return {
            net: normalized_weights({name: self.weights[name] for name in own}) for net, own in names.items() if own
        }

    # Networks

    @cached_property
    def memory(self) -> Memory:
        return Memory(**{field.name: self.cfg["hardware"][field.name] for field in fields(Memory)})

    @cached_property
    def speed(self) -> Speed:
        """compile: null in the config stands for: on a GPU."""
        from cosmos_exp.models.kernels.speed import Speed

        speed = self.cfg["speed"]
        fuse = self.cfg["hardware"]["device"] != "cpu" if speed["compile"] is None else speed["compile"]
        return Speed(attention=speed["attention"], linears=speed["linears"], compile=fuse)

    @cached_property
    def sampler(self) -> SamplerParams:
        from cosmos_exp.sampling.sampler_params import SamplerParams

        speed = self.cfg["speed"]
        interval = speed["guidance_interval"]
        return SamplerParams(
            **{k: v for k, v in self.cfg["sampler"].items() if k not in ("seed", *GIVEN_VIDEOS)},
            reference_compat=self.reference_compat,
            guidance_interval=tuple(interval) if interval else None,
            cache_threshold=speed["cache_threshold"],
        )

    @property
    def multi_view_sampler(self) -> SamplerParams:
        return replace(self.sampler, sigma_max=self.multi_view_sigma_max)

    @property
    def multi_view_sigma_max(self) -> float:
        """The other views always depart from noise alone."""
        sampler = self.cfg["sampler"]
        return sampler["sigma_max"] if sampler["input"] is None else SIGMA_MAX

    def seed(self, stage: str, clip: str, chunk: Chunk) -> int:
        """Of a chunk's initial noise."""
        return item_seed(self.cfg["sampler"]["seed"], stage, f"{clip}/{chunk.index}" if chunk.index else clip)

    def noise_seeds(self, clip: str) -> dict[str, list[int]]:
        """{stage: seed of each chunk's initial noise}."""
        videos = {"single_view": self.videos.single_view, "multi_view": self.videos.multi_view}
        return {name: [self.seed(name, clip, c) for c in video.chunks] for name, video in videos.items() if video}

    # What time and space go with

    @property
    def passes(self) -> int:
        """Of the network, to sample a clip."""
        sampler = self.cfg["sampler"]
        return (sampler["num_steps"] + 1) * (2 if sampler["guidance"] else 1)

    @property
    def megapixels(self) -> float:
        """Of all that is generated for one style."""
        videos = self.videos
        views = len(self.views) * videos.multi_view.shape.megapixels if videos.multi_view else 0.0
        return videos.single_view.shape.megapixels + views

    def cost_setting(self, stage: str) -> str:
        """What the time of a stage depends on, besides its size and passes."""
        if stage not in NETWORK_STAGES:
            return ""
        model = self.cfg["model"]
        name = self.model_folder.name if model["weights"] else model["name"]
        hardware = {k: v for k, v in self.cfg["hardware"].items() if k != "threads"}
        hardware["device"] = hardware["device"].partition(":")[0]
        return json.dumps([name, hardware, self.cfg["speed"]], sort_keys=True)


def item_seed(seed: int, stage: str, item: str) -> int:
    """Seed (32 bits) of one item of one stage: neighbours in any of the three are unrelated."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{stage}/{item}".encode()).digest()[:4], "little")


def num_threads(threads: int | None) -> int:
    """The given number, or as many as this process may use: its cores, or OMP_NUM_THREADS where that is set."""
    available = len(os.sched_getaffinity(0))
    return threads or min(available, int(os.environ.get("OMP_NUM_THREADS", available)))
