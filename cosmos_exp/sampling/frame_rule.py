"""Which frame counts a network can generate."""

from __future__ import annotations

from dataclasses import dataclass

from cosmos_exp.common.errors import UserError


@dataclass(frozen=True)
class FrameRule:
    """Frame counts base + k*step between least and most."""

    base: int = 1
    step: int = 8
    least: int = 9
    most: int = 121

    def choices(self) -> tuple[int, ...]:
        return tuple(n for n in range(self.base, self.most + 1, self.step) if n >= self.least)

    def nearest(self, frames: int) -> int:
        return min(self.choices(), key=lambda n: abs(n - frames))

    def describe(self) -> str:
        choices = self.choices()
        if len(choices) <= 4:
            return f"{' or '.join(map(str, choices))} frames"
        if self.step == 1:
            return f"any number of frames from {self.least} to {self.most}"
        return f"{self.base} + {self.step}k frames, from {choices[0]} to {choices[-1]}"

    def check(self, frames: int) -> None:
        if frames not in self.choices():
            raise UserError(f"{frames} frames: this model makes {self.describe()}; nearest is {self.nearest(frames)}")
