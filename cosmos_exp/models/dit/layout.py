"""How a clip is split over the ranks: guidance passes first, then frames."""

from __future__ import annotations

from typing import NamedTuple

from cosmos_exp.common.errors import UserError

MAX_PROCESSES = 64  # listed in a message


class Layout(NamedTuple):
    """branches: ranks that the guidance passes are split over. sequence: ranks that the frames are split over."""

    branches: int
    sequence: int


def layout(processes: int, passes: int) -> Layout:
    """passes: 2 with guidance, 1 without."""
    branches = 2 if passes == 2 and processes % 2 == 0 else 1
    return Layout(branches, processes // branches)


def fits(processes: int, passes: int, frames: int, heads: int) -> bool:
    """Whether frames of a view and attention heads can be split evenly."""
    parts = layout(processes, passes).sequence
    return frames % parts == 0 and heads % parts == 0


def check_fits(processes: int, passes: int, frames: int, heads: int) -> None:
    """Raise UserError, with the numbers that are possible, where `fits` is false. frames: latent, of one view."""
    if fits(processes, passes, frames, heads):
        return
    possible = [n for n in range(1, MAX_PROCESSES + 1) if fits(n, passes, frames, heads)]
    nearest = min(possible, key=lambda n: abs(n - processes))
    guidance = "; guidance takes a factor of two" if passes == 2 else ""
    raise UserError(
        f"{processes} processes cannot split {frames} latent frames and {heads} attention heads evenly{guidance}: "
        f"possible are {', '.join(map(str, possible))}; nearest is {nearest}"
    )
