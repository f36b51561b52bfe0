"""What a server says of a recorder log, and its replay."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.carla.recorder import town_name
from cosmos_exp.scene.carla_live.connection import CaptureError, Connection
from cosmos_exp.scene.carla_live.ego import Vehicle, find_ego, listed

FRAME = re.compile(r"Frame (?P<frame>\d+) at (?P<seconds>[-+.\deE]+) seconds")
CREATED = re.compile(r" Create (?P<id>\d+): (?P<type>\S+) \(\d+\)")
ATTRIBUTE = re.compile(r"  (?P<name>\w+) = (?P<value>.*)")


@dataclass(frozen=True)
class RecordedVehicle:
    """A vehicle of a log; it appears at `seconds`."""

    vehicle: Vehicle
    seconds: float


@dataclass(frozen=True)
class Recording:
    """name: of the log, as the server knows it. town: of its map, without folders. frames: their number. duration:
    seconds, as exactly as the server prints it. vehicles: in order of creation; none where the server lists none."""

    name: str
    town: str
    frames: int
    duration: float
    vehicles: tuple[RecordedVehicle, ...]

    def ego(self, wanted: str | None) -> RecordedVehicle:
        """The vehicle of the log with that id, role or type, of several lives the first. Raises UserError as `find_ego`
        does."""
        first: dict[int, RecordedVehicle] = {}
        for recorded in self.vehicles:
            first.setdefault(recorded.vehicle.id, recorded)
        return first[find_ego([recorded.vehicle for recorded in first.values()], wanted).id]


def recording_info(connection: Connection, name: str) -> Recording:
    """What the server says of its log. Raises CaptureError where it has none of that name, or says it otherwise than
    CARLA does."""
    name = server_path(name)
    what = f"the server cannot read the recorder log {name!r}"
    text = connection.ask(what, lambda: connection.client.show_recorder_file_info(name, False))
    return parse_info(name, text)


def server_path(name: str) -> str:
    """A log that this machine has by its whole path, as a server beside it needs it; others as the server knows
    them."""
    return str(Path(name).resolve()) if Path(name).is_file() else name


def parse_info(name: str, text: str) -> Recording:
    """The text of `show_recorder_file_info`."""
    frames, duration = re.search(r"^Frames: (\d+)", text, re.M), re.search(r"^Duration: ([\d.eE+-]+)", text, re.M)
    town = re.search(r"^Map: (.*)$", text, re.M)
    if not frames or not duration or not town:
        told = " ".join(text.split())[:200] or "nothing"
        raise CaptureError(f"the server has no recorder log {name!r} that it can read; it says: {told}")
    vehicles: list[RecordedVehicle] = []
    seconds, actor, role = 0.0, None, ""

    def close() -> None:
        if actor and actor["type"].startswith("vehicle."):
            vehicles.append(RecordedVehicle(Vehicle(int(actor["id"]), role, actor["type"]), seconds))

    for line in text.splitlines():
        attribute = ATTRIBUTE.fullmatch(line)
        if attribute:
            role = attribute["value"].strip() if attribute["name"] == "role_name" else role
            continue
        close()
        actor, role = CREATED.match(line), ""
        if frame := FRAME.match(line):
            seconds = float(frame["seconds"])
    close()
    return Recording(name, town_name(town[1].strip()), int(frames[1]), float(duration[1]), tuple(vehicles))


def replayed_ego(recorded: RecordedVehicle, vehicles: Sequence[Vehicle]) -> Vehicle:
    """The live vehicle that plays a vehicle of the log: that with its id, or, where the server gave it another, the
    only one of its type and role. Raises CaptureError that lists the vehicles where there is none, or more than one."""
    wanted = recorded.vehicle
    same = [v for v in vehicles if (v.type_id, v.role) == (wanted.type_id, wanted.role)]
    exact = [v for v in same if v.id == wanted.id]
    if len(exact or same) == 1:
        return (exact or same)[0]
    count = f"{len(same)} vehicles are of its type and role" if same else "no vehicle is of its type and role"
    raise CaptureError(
        f"the replay does not tell which vehicle is {wanted} of the log: {count}; {listed(vehicles)}. The log has it "
        f"from {recorded.seconds:g} s on"
    )


def last_frame(recording: Recording, start: float, step: float) -> int:
    """The number of the last frame that the log has, from `start` on, `step` seconds of the log apart."""
    return int((recording.duration - start) / step + 1e-4)


def check_window(recording: Recording, start: float, step: float, frames: int) -> None:
    """Raises UserError where the log ends before the last frame. step: seconds of the log from frame to frame."""
    most = last_frame(recording, start, step) + 1
    if not 0 <= start < recording.duration:
        raise UserError(f"start {start:g} s lies outside the log, which is {recording.duration:g} s long")
    if frames > most:
        raise UserError(
            f"{frames} frames {step:.4g} s of the log apart end at {start + (frames - 1) * step:.3f} s, after the end "
            f"of {recording.name!r} at {recording.duration:g} s: at most {most} frames from {start:g} s on"
        )
