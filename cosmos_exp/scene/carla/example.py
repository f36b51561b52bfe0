"""A small recorder log and its OpenDRIVE map, generated: a straight street, and a drive of five seconds along it.

Packets are those that `recorder.py` reads: little-endian, centimetres and degrees in CARLA's left-handed axes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TOWN = "ExampleStreet"
LENGTH = 240.0  # metres of road
STEP, FRAMES = 0.05, 103  # seconds between frames
RED, GREEN = 0, 2  # states of traffic lights
RED_UNTIL = 2.0  # seconds
EGO = 234


@dataclass(frozen=True)
class Actor:
    """id: in the log. start: (x, y, z) of its origin at 0 s, metres in CARLA's axes. speed: m/s along the heading.

    kind: 1 a vehicle, 2 a walker, 3 a traffic light. half: half extent of its box, metres. heading: degrees.
    """

    id: int
    kind: int
    type_id: str
    start: tuple[float, float, float]
    half: tuple[float, float, float] = (0.0, 0.0, 0.0)
    speed: float = 0.0
    heading: float = 0.0
    attributes: tuple[tuple[str, str], ...] = ()

    def position(self, seconds: float) -> tuple[float, ...]:
        """x, y, z in centimetres; roll, pitch, yaw. The street is along x, so headings are 0, 180 or across."""
        way = self.speed * seconds
        dx, dy = {0.0: (1, 0), 180.0: (-1, 0), 90.0: (0, 1)}[self.heading]
        x, y, z = self.start
        return (100 * (x + dx * way), 100 * (y + dy * way), 100 * z, 0.0, 0.0, self.heading)


CAR = (2.3, 0.95, 0.75)
ACTORS = (
    Actor(EGO, 1, "vehicle.lincoln.mkz_2020", (20, 1.75, 0), CAR, 9.0, attributes=(("role_name", "hero"),)),
    Actor(235, 1, "vehicle.nissan.patrol", (40, 1.75, 0), (2.3, 0.97, 0.93), 9.5, attributes=(("color", "120,20,25"),)),
    Actor(236, 1, "vehicle.audi.tt", (130, -1.75, 0), CAR, 10.0, 180.0, (("color", "20,60,140"),)),
    Actor(237, 2, "walker.pedestrian.0012", (60, 6.5, 0.93), (0.2, 0.2, 0.93), 1.3),
    Actor(238, 3, "traffic.traffic_light", (120, 4.5, 0)),
)


def example_log() -> bytes:
    """The recorder log: the ego, vehicle 234, behind another car, one coming up, a walker, a traffic light."""
    head = struct.pack("<H", 1) + _text("CARLA_RECORDER") + struct.pack("<q", 1_700_000_000) + _text(TOWN)
    return head + b"".join(map(_frame, range(FRAMES)))


def _frame(index: int) -> bytes:
    seconds = index * STEP
    duration = STEP if index + 1 < FRAMES else -1.0
    moving = [actor for actor in ACTORS if actor.kind != 3]
    packets = [_packet(0, struct.pack("<Qdd", index + 1, duration, seconds))]
    if index == 0:
        packets.append(_packet(2, struct.pack("<H", len(ACTORS)) + b"".join(map(_added, ACTORS))))
        boxes = ((actor.id, 0, 0, _middle(actor), *(100 * h for h in actor.half)) for actor in moving)
        packets.append(_rows(13, "I6f", boxes))
    packets.append(_rows(6, "I6f", ((actor.id, *actor.position(seconds)) for actor in moving)))
    state = RED if seconds < RED_UNTIL else GREEN
    packets.append(_rows(7, "I?fB", ((actor.id, False, seconds, state) for actor in ACTORS if actor.kind == 3)))
    return b"".join([*packets, _packet(1)])


def _middle(actor: Actor) -> float:
    """Height of the box's centre above the actor's origin, cm: a walker's origin is its centre."""
    return 100 * (actor.half[2] - actor.start[2])


def _added(actor: Actor) -> bytes:
    data = struct.pack("<IB6fI", actor.id, actor.kind, *actor.position(0.0), 0) + _text(actor.type_id)
    data += struct.pack("<H", len(actor.attributes))
    return data + b"".join(struct.pack("<B", 3) + _text(name) + _text(value) for name, value in actor.attributes)


def _text(value: str) -> bytes:
    return struct.pack("<H", len(value)) + value.encode()


def _packet(kind: int, payload: bytes = b"") -> bytes:
    return struct.pack("<BI", kind, len(payload)) + payload


def _rows(kind: int, layout: str, rows: Iterable[Sequence[float]]) -> bytes:
    packed = [struct.pack("<" + layout, *row) for row in rows]
    return _packet(kind, struct.pack("<H", len(packed)) + b"".join(packed))


def example_map() -> str:
    """The OpenDRIVE map: a lane, a kerb and a sidewalk on each side, a traffic light and a speed sign."""
    lanes = {side: "".join(_lane(sign * k, *kind) for k, kind in enumerate(LANES, 1)) for side, sign in SIDES.items()}
    return f"""<?xml version="1.0"?>
<OpenDRIVE>
  <header revMajor="1" revMinor="4" name="{TOWN}" vendor="cosmos-exp"/>
  <road name="" length="{LENGTH}" id="1" junction="-1">
    <planView><geometry s="0" x="0" y="0" hdg="0" length="{LENGTH}"><line/></geometry></planView>
    <lanes><laneSection s="0">
      <left>{lanes["left"]}</left>
      <center><lane id="0" type="none"><roadMark sOffset="0" type="broken" color="yellow" width="0.12"/></lane></center>
      <right>{lanes["right"]}</right>
    </laneSection></lanes>
    <objects>
      <object id="1" name="Speed_30" type="-1" s="60" t="-4.5" zOffset="0" hdg="0" orientation="+"
        length="0" width="0" height="0"/>
    </objects>
    <signals>
      <signal id="77" name="Signal_3Light_Post01" s="120" t="-4.5" zOffset="0" hOffset="0" orientation="+" dynamic="yes"
        type="1000001" subtype="-1" value="-1" width="0.5" height="1.2"/>
    </signals>
  </road>
</OpenDRIVE>
"""


LANES = (("driving", 3.5, "none"), ("shoulder", 0.5, "curb"), ("sidewalk", 3.0, ""))  # type, metres, mark
SIDES = {"left": 1, "right": -1}


def _lane(number: int, kind: str, width: float, mark: str) -> str:
    marked = mark and f'<roadMark sOffset="0" type="{mark}" color="white" width="0.12"/>'
    return f'<lane id="{number}" type="{kind}"><width sOffset="0" a="{width}" b="0" c="0" d="0"/>{marked}</lane>'
