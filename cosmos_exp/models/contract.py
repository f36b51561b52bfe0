"""What a world model can make: sizes, frame counts, views, controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from cosmos_exp.common.errors import UserError, unknown_name
from cosmos_exp.sampling.frame_rule import FrameRule

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

    controls, multi_view_controls: names the two nets have encoders for. text_tokens: rows of an encoded prompt.
    negative_prompt: what the unconditional single-view pass reads; None: all-zero text.
    sizes: every (height, width) it makes; empty: height x width alone.
    multi_view_clip: of each view of the multi-view net, where that differs from the single view's.
    frames: of one chunk. overlaps: numbers of given frames that a further chunk of a long video may start with; empty:
    one chunk only. multi_view_overlaps: the same of the multi-view net.
    num_steps: the only number of solver steps that a distilled net is made for; None: any.
    tile: (height, width) of the pictures that the single-view net makes, where a clip is blended from several.
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
    tile: tuple[int, int] | None = None

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
        values["frames"] = FrameRule(**values["frames"])
        for name in ("views", "controls", "multi_view_controls", "overlaps", "multi_view_overlaps"):
            values[name] = tuple(values.get(name, ()))
        values["tile"] = tuple(values["tile"]) if values.get("tile") else None
        values["sizes"] = tuple(tuple(size) for size in values.get("sizes", ()))
        if clip := values.get("multi_view_clip"):
            values["multi_view_clip"] = Clip(**{**clip, "frames": FrameRule(**clip["frames"])})
        return cls(**values)
