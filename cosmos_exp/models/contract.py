"""What a world model can make: sizes, frame counts, views, controls."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.common.guards import SIDE, shortened
from cosmos_exp.sampling.config import OwnSampling
from cosmos_exp.sampling.frame_rule import FrameRule
from cosmos_exp.sampling.sampler_params import DEFAULT_STEPS, MAX_STEPS, SIGMA_MAX, SIGMA_MIN

GUIDANCE = (
    "x0 = cond + guidance * (cond - uncond); 0 is conditional only; the common convention's scale is guidance + 1"
)
MAX_CHUNKS = 10  # that a long video may be joined from: 1201 frames of a model that makes 121


@dataclass(frozen=True)
class Clip:
    """A clip of one view: pixels and frame counts."""

    height: int
    width: int
    frames: FrameRule


@dataclass(frozen=True)
class Contract:
    """height, width: pixels. fps: of the clips it was trained on. views, in the order of the multi-view net.

    controls, multi_view_controls: names the two nets have encoders for. text_tokens: rows of an encoded prompt, or 0.
    negative_prompt: what the unconditional single-view pass reads; None: all-zero text.
    sizes: every (height, width) it makes; empty: height x width alone.
    multi_view_clip: of each view of the multi-view net, where that differs from the single view's.
    frames: of one chunk. overlaps: numbers of given frames that a further chunk of a long video may start with; empty:
    one chunk only. multi_view_overlaps: the same of the multi-view net.
    num_steps: the only number of solver steps that a distilled net is made for; None: any.
    default_steps, sigma_min: solver steps and noise level at the end, where the config leaves them to the model.
    multi_view_guidance: of the multi-view net, the same; None: that of the front view.
    tile: (height, width) of the pictures that the single-view net makes, where a clip is blended from several.
    subsets: whether it makes any of the views together, in any order; else the first alone or all in their order.
    """

    height: int
    width: int
    fps: float
    frames: FrameRule
    views: tuple[str, ...]
    controls: tuple[str, ...]
    multi_view_controls: tuple[str, ...]
    text_tokens: int
    negative_prompt: str | None = None
    guidance: str = GUIDANCE
    sizes: tuple[tuple[int, int], ...] = ()
    multi_view_clip: Clip | None = None
    overlaps: tuple[int, ...] = ()
    multi_view_overlaps: tuple[int, ...] = ()
    num_steps: int | None = None
    default_steps: int = DEFAULT_STEPS
    sigma_min: float = SIGMA_MIN
    multi_view_guidance: float | None = None
    tile: tuple[int, int] | None = None
    subsets: bool = False

    @property
    def video_frames(self) -> FrameRule:
        """Frame counts of the single view: of one chunk, or where chunks can be joined, any."""
        if not self.overlaps:
            return self.frames
        return FrameRule(step=1, least=2, most=1 + MAX_CHUNKS * (self.frames.most - 1))

    @property
    def multi_view_chunk(self) -> FrameRule:
        """Frame counts of one chunk of the multi-view net."""
        return self.multi_view_clip.frames if self.multi_view_clip else self.frames

    def multi_view_frames(self, front: int, overlap: int) -> tuple[int, ...]:
        """Frame counts that the multi-view net can make of a front video of `front` frames, the least first.

        Further chunks begin with the last `overlap` frames of the one before. No chunk is padded.
        """
        chunk = self.multi_view_chunk
        counts = [n for n in chunk.choices() if n <= front]
        if self.multi_view_overlaps:
            stride = chunk.most - overlap
            counts += range(chunk.most + stride, front + 1, stride)
        return tuple(counts)

    @property
    def all_sizes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every clip it makes, its own first."""
        own = (self.height, self.width)
        return (own, *(size for size in self.sizes if size != own))

    @property
    def own_sampling(self) -> OwnSampling:
        """What the config of a sampler leaves to the model; a distilled net has the steps that it is made for."""
        return OwnSampling(self.num_steps or self.default_steps, float(self.sigma_min))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Contract:
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise UserError(unknown_name("contract entry", name, known))
        missing = [f.name for f in fields(cls) if f.default is MISSING and f.name not in values]
        if missing:
            raise UserError(f"the contract of the world model lacks {', '.join(missing)}")
        values = dict(values)
        _check_types(values)
        values["frames"] = FrameRule(**values["frames"])
        for name in ("views", "controls", "multi_view_controls", "overlaps", "multi_view_overlaps"):
            values[name] = tuple(values.get(name, ()))
        values["tile"] = tuple(values["tile"]) if values.get("tile") else None
        values["sizes"] = tuple(tuple(size) for size in values.get("sizes", ()))
        if clip := values.get("multi_view_clip"):
            values["multi_view_clip"] = Clip(**{**clip, "frames": FrameRule(**clip["frames"])})
        return cls(**values)


MOST_FRAMES, MOST_TOKENS, MOST_FPS = 10_000, 100_000, 1000
PIXELS = f"a whole number of pixels, 8 to {SIDE}"
FRAMES = f"whole numbers base, step, least, most of 0 to {MOST_FRAMES}, a step of 1 or more, a frame count among them"


def _check_types(values: Mapping[str, Any]) -> None:
    """UserError for a value that is not of the field's type, or larger than any model has."""
    whole, steps = f"a whole number of 0 to {MOST_FRAMES}", f"a whole number of 1 to {MAX_STEPS}"
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "height": (lambda v: _whole(v, 8, SIDE), PIXELS),
        "width": (lambda v: _whole(v, 8, SIDE), PIXELS),
        "fps": (lambda v: _number(v, MOST_FPS), f"a number above 0, at most {MOST_FPS}"),
        "frames": (_frames, FRAMES),
        "views": (_texts, "a list of names"),
        "controls": (_texts, "a list of names"),
        "multi_view_controls": (_texts, "a list of names"),
        "text_tokens": (lambda v: _whole(v, 0, MOST_TOKENS), f"a whole number of 0 to {MOST_TOKENS}"),
        "negative_prompt": (lambda v: v is None or isinstance(v, str), "a text or null"),
        "guidance": (lambda v: isinstance(v, str), "a text"),
        "sizes": (lambda v: _list_of(v, _size), "a list of [height, width]"),
        "tile": (lambda v: not v or _size(v), "[height, width] or null"),
        "subsets": (lambda v: isinstance(v, bool), "true or false"),
        "multi_view_clip": (_clip, "height, width and frames, or null"),
        "overlaps": (lambda v: _list_of(v, lambda n: _whole(n, 0, MOST_FRAMES)), f"a list, each {whole}"),
        "multi_view_overlaps": (lambda v: _list_of(v, lambda n: _whole(n, 0, MOST_FRAMES)), f"a list, each {whole}"),
        "num_steps": (lambda v: v is None or _whole(v, 1, MAX_STEPS), f"{steps}, or null"),
        "default_steps": (lambda v: _whole(v, 1, MAX_STEPS), steps),
        "sigma_min": (lambda v: _number(v, SIGMA_MAX), f"a number above 0, at most {SIGMA_MAX:g}"),
        "multi_view_guidance": (lambda v: v is None or _guidance(v), "a number, 0 (no guidance) or more, or null"),
    }
    for name, (is_right, needed) in checks.items():
        if name in values and not is_right(values[name]):
            raise UserError(f"contract.{name} is {shortened(values[name])}: needed is {needed}")


def _list_of(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, (list, tuple)) and all(map(is_right, value))


def _whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number(value: Any, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= most


def _guidance(value: Any) -> bool:
    return (value == 0 and not isinstance(value, bool)) or _number(value, sys.float_info.max)


def _frames(value: Any) -> bool:
    known = [f.name for f in fields(FrameRule)]
    if not isinstance(value, Mapping) or not all(
        n in known and _whole(v, 1 if n == "step" else 0, MOST_FRAMES) for n, v in value.items()
    ):
        return False
    return bool(FrameRule(**value).choices())


def _size(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(_whole(v, 8, SIDE) for v in value)


def _clip(value: Any) -> bool:
    if value is None:
        return True
    right = isinstance(value, Mapping) and set(value) == {"height", "width", "frames"}
    return right and _size([value["height"], value["width"]]) and _frames(value["frames"])


def _texts(value: Any) -> bool:
    return _list_of(value, lambda name: isinstance(name, str))
