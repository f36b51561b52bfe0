"""Which vehicle of a recorder log is the ego, and which pieces of the log hold it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.recorded_actors import RecordedActor
from cosmos_exp.scene.carla.recorder import LONGEST_STEP, ActorType

EGO_ROLES = ("hero", "ego_vehicle", "ego", *(f"hero{i}" for i in range(10)))
USUAL_ROLES = "'hero', 'ego_vehicle' or 'ego'"
SAME_TIME = 1e-6
WHOLE = 1.0  # seconds that a piece may be shorter than the log without a word
LISTED = 8  # pieces in a message


@dataclass(frozen=True)
class EgoPiece:
    """A piece of the log without gaps, jumps and stays below the map. samples: those of the actor; start, end: s."""

    actor: RecordedActor
    samples: slice
    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.start:.3f} to {self.end:.3f} s"


def hero_role(roles: Iterable[str]) -> str | None:
    """That of the ego where none is named: the first of EGO_ROLES that a vehicle has. roles: of all vehicles."""
    found = set(roles)
    return next((role for role in EGO_ROLES if role in found), None)


def ego_lives(actors: Sequence[RecordedActor], ego: int | None) -> list[RecordedActor]:
    """The vehicles with that id (several where it was used again); with None, those of the first of EGO_ROLES that a
    vehicle has.

    Raises UserError listing the log's vehicles (id, model, role) when there is none.
    """
    vehicles = [a for a in actors if a.added.type == ActorType.VEHICLE]
    if ego is not None:
        lives = [a for a in vehicles if a.id == ego]
        wanted = f"the log has no vehicle with id {ego}"
    else:
        role = hero_role(a.added.role for a in vehicles)
        lives = [a for a in vehicles if a.added.role == role]
        wanted = f"the log has no vehicle of role {USUAL_ROLES}, so give the ego's id"
    if not lives:
        listed = [f"{a.id} {a.added.type_id} (role {a.added.role or 'none'})" for a in vehicles]
        raise UserError(f"{wanted}; " + (f"the vehicles are: {_listed(listed, '; ')}" if vehicles else "it has none"))
    return lives


def ego_pieces(lives: Sequence[RecordedActor], times: np.ndarray, floor: float) -> list[EgoPiece]:
    """The pieces of at least two frames, by time. times: [frames] seconds. floor: z, metres, of what is below the map.

    Raises UserError when there is none.
    """
    runs = [(actor, run, times[actor.frames[run]]) for actor in lives for run in actor.continuous_runs(times, floor)]
    pieces = [EgoPiece(actor, run, float(t[0]), float(t[-1])) for actor, run, t in runs if len(t) > 1]
    if not pieces:
        raise UserError("; ".join(_why_nowhere(actor, times, floor) for actor in lives[:LISTED]))
    return sorted(pieces, key=lambda piece: (piece.start, -piece.end))


def _why_nowhere(actor: RecordedActor, times: np.ndarray, floor: float) -> str:
    ego = f"the ego {actor.id} ({actor.added.type_id})"
    if not len(actor.frames):
        if not actor.unusable:
            return f"{ego} has no position in the log"
        return f"{ego} has no finite pose in the log, in none of {actor.unusable} frames; {actor.first_unusable}"
    at = times[actor.frames]
    counts = {
        "below the map": int((actor.location[:, 2] <= floor).sum()),
        "without a finite pose": actor.unusable,
        "without a finite time": int((~np.isfinite(at)).sum()),
        f"more than {LONGEST_STEP:g} s after the one before": int((np.diff(at) > LONGEST_STEP).sum()),
    }
    reasons = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    return f"{ego} is nowhere on the map for two frames in a row: it is in {len(at)} frames" + (
        f" ({reasons})" if reasons else ""
    )


def where(pieces: Sequence[EgoPiece]) -> str:
    """`the ego 10 is on the map from 0.000 to 0.200 s and from 0.300 to 10.300 s`."""
    ids = {piece.actor.id for piece in pieces}
    if len(ids) == 1:
        return f"the ego {pieces[0].actor.id} is on the map {_listed([f'from {p}' for p in pieces], ' and ')}"
    return f"the ego is on the map {_listed([f'from {p} (vehicle {p.actor.id})' for p in pieces], ' and ')}"


def longest(pieces: Sequence[EgoPiece]) -> EgoPiece:
    return max(pieces, key=lambda piece: piece.seconds)


def ego_window(
    pieces: Sequence[EgoPiece], start: float | None, duration: float | None
) -> tuple[EgoPiece, float, float]:
    """The piece that a window lies in, and its start and end in seconds; by default all of the longest piece.

    start: None for that of the longest piece, 0 for that of the first. Raises UserError where none holds the window.
    """
    allowed = where(pieces)
    if not all(math.isfinite(value) for value in (start, duration) if value is not None):
        raise UserError(f"start {start} s and duration {duration} s must be finite; {allowed}")
    if duration is not None and duration <= 0:
        raise UserError(f"duration {duration} s is not a time window: it must be above 0; {allowed}")
    if start is None or start == 0.0:
        piece = longest(pieces) if start is None else pieces[0]
        begin = piece.start
    else:
        holding = [p for p in pieces if p.start - SAME_TIME <= start < p.end - SAME_TIME]
        if not holding:
            raise UserError(f"start {start} s lies outside the log's usable time: {allowed}")
        piece, begin = longest(holding), start
    end = piece.end if duration is None else begin + duration
    if end > piece.end + SAME_TIME:
        most = math.floor((piece.end - begin) * 1000 + SAME_TIME) / 1000
        raise UserError(
            f"the window of {duration} s from {begin:.3f} s ends at {end:.3f} s, after the last frame; {allowed}: "
            f"the longest duration is {most} s"
        )
    return piece, begin, min(end, piece.end)


def window_note(pieces: Sequence[EgoPiece], taken: EgoPiece, length: float, *, chosen: bool) -> str | None:
    """What to say of the piece that was taken; None where it is nearly all of the log, which is `length` seconds long.

    chosen: whether the user has named a start.
    """
    if len(pieces) > 1:
        why = "by its start" if chosen else "the longest; scene.start chooses another"
        return f"{where(pieces)}: taken is {taken} ({why})"
    return f"{where(pieces)}, in a log of {length:.3f} s" if taken.seconds < length - WHOLE else None


def _listed(names: Sequence[str], separator: str) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > LISTED else ""
    return separator.join(names[:LISTED]) + more
