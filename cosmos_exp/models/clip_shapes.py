"""Frames and pixels of the videos that a run makes: the front view alone, and all views together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.models.config import ModelConfig
from cosmos_exp.models.contract import Contract
from cosmos_exp.sampling.chunks import Chunk, split
from cosmos_exp.sampling.frame_rule import FrameRule


class Shape(NamedTuple):
    """Frames and pixels of one view's video."""

    frames: int
    height: int
    width: int

    @property
    def megapixels(self) -> float:
        return round(self.frames * self.height * self.width / 1e6, 6)


@dataclass(frozen=True)
class Video:
    """What one network makes of each view, and the chunks it is joined from.

    overlap: how many frames a further chunk is given of the one before.
    """

    shape: Shape
    chunks: tuple[Chunk, ...]
    overlap: int


@dataclass(frozen=True)
class Videos:
    """single_view: of the front view alone. multi_view: of each of several views; None where one is made."""

    single_view: Video
    multi_view: Video | None = None


def videos_of(
    model: ModelConfig, contract: Contract, views: int, aspect: float, *, known: Mapping[str, Contract] | None = None
) -> Videos:
    """What a `model` config asks of a model. views: how many are made. aspect: width / height of the front camera.
    known: contracts of other models, which a message may point to.

    Raises ValidationErrors that names everything it cannot make.
    """
    errors: list[str] = []
    frames = contract.frames.choices()[-1] if model.num_frames is None else model.num_frames
    rule = contract.video_frames
    if frames not in rule.choices():
        errors.append(
            f"model.num_frames={frames}: {model.name} makes {rule.describe()}; nearest is {rule.nearest(frames)}"
            + _who_continues(contract, frames, known or {})
        )
    height, width = contract.height, contract.width
    try:
        height, width = nearest_size(contract, aspect, model.height, model.width)
    except UserError as error:
        errors.append(str(error))
    overlaps = sorted({*contract.overlaps, *contract.multi_view_overlaps})
    overlap = model.overlap
    if overlap is not None and overlap not in overlaps:
        nearest = _nearest(overlap, overlaps)
        able = f"continues a video from {' or '.join(map(str, overlaps))} frames; nearest is {nearest}"
        errors.append(f"model.overlap={overlap}: {model.name} {able if overlaps else 'makes one chunk: give null'}")
        overlap = None
    multi = None
    if views > 1:
        multi = _multi_view(model, contract, Shape(frames, height, width), overlap, errors)
    elif model.multi_view_frames is not None:
        errors.append(f"model.multi_view_frames={model.multi_view_frames} goes with several views; give null")
    if errors:
        raise ValidationErrors(errors)
    return Videos(_video(Shape(frames, height, width), contract.frames, _overlap(contract.overlaps, overlap)), multi)


def _multi_view(
    model: ModelConfig, contract: Contract, front: Shape, overlap: int | None, errors: list[str]
) -> Video | None:
    clip = contract.multi_view_clip
    height, width = (clip.height, clip.width) if clip else (front.height, front.width)
    overlap = _overlap(contract.multi_view_overlaps, overlap)
    counts = contract.multi_view_frames(front.frames, overlap)
    frames = model.multi_view_frames
    if counts and frames is None:
        frames = counts[-1]
    if contract.subsets and frames != front.frames:
        asked = f"model.num_frames={front.frames}"
        if model.multi_view_frames is not None:
            asked += f", model.multi_view_frames={frames}"
        most = contract.multi_view_frames(contract.video_frames.most, overlap)
        errors.append(
            f"{asked}: all views together are of {_listed(most)} frames, with model.overlap={overlap}; nearest is "
            f"{_nearest(front.frames, most)}"
        )
        return None
    if frames is not None and frames in counts:
        return _video(Shape(frames, height, width), contract.multi_view_chunk, overlap)
    if not counts:
        least = contract.multi_view_chunk.least
        errors.append(f"model.num_frames={front.frames}: the multi-view network makes {least} frames or more of them")
    else:
        errors.append(
            f"model.multi_view_frames={frames}: of a front view of {front.frames} frames {model.name} makes "
            f"{_listed(counts)} of all views; nearest is {_nearest(frames, counts)}"
        )
    return None


def _listed(counts: Sequence[int]) -> str:
    return " or ".join(map(str, counts)) if len(counts) <= 4 else f"{counts[0]}, {counts[1]} ... {counts[-1]}"


def _nearest(asked: int | None, allowed: Sequence[int]) -> int | None:
    return min(allowed, key=lambda n: abs(n - (asked or 0)), default=None)


def _video(shape: Shape, rule: FrameRule, overlap: int) -> Video:
    return Video(shape, split(shape.frames, rule, overlap), overlap)


def _overlap(allowed: Sequence[int], asked: int | None) -> int:
    """Frames that a further chunk of one network begins with; 0 where it makes one chunk only."""
    return asked if asked is not None and asked in allowed else next(iter(allowed), 0)


def _who_continues(contract: Contract, frames: int, known: Mapping[str, Contract]) -> str:
    if contract.overlaps or frames <= contract.frames.most:
        return ""
    able = [name for name, other in known.items() if other.overlaps]
    return "; its network cannot continue a video" + (f", those of {', '.join(able)} can" if able else "")


def nearest_size(
    contract: Contract, aspect: float, height: int | None = None, width: int | None = None
) -> tuple[int, int]:
    """(height, width) of those a model makes that is as high and wide as asked, and nearest in shape to `aspect`.

    The rule of Cosmos-Transfer1: the least squared difference of width / height. UserError where there is none.
    """
    fitting = [size for size in contract.all_sizes if height in (None, size[0]) and width in (None, size[1])]
    if fitting:
        return min(fitting, key=lambda size: (size[1] / size[0] - aspect) ** 2)
    asked = {key: value for key, value in (("height", height), ("width", width)) if value is not None}
    given = ", ".join(f"model.{key}={value}" for key, value in asked.items())
    sizes = ", ".join(f"{h}x{w}" for h, w in contract.all_sizes)

    def distance(size: tuple[int, int]) -> int:
        return sum(abs(asked.get(key, own) - own) for key, own in zip(("height", "width"), size))

    closest: tuple[int, int] = min(contract.all_sizes, key=distance)
    nearest = "x".join(map(str, closest))
    raise UserError(f"{given}: this model makes {sizes} pixels (height x width); nearest is {nearest}")
