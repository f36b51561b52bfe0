"""A small recorder log and its OpenDRIVE map, generated: a straight street, and a drive of five seconds along it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from io import BytesIO

from cosmos_exp.scene.carla.log_writer import STRING, LogWriter
from cosmos_exp.scene.carla.packets import ActorAdded, Packet, list_rows
from cosmos_exp.scene.carla.recorder import ActorType, Frame

TOWN = "ExampleStreet"
LENGTH = 240.0  # metres of road
STEP, FRAMES = 0.05, 103  # seconds between frames
RED, GREEN = 0, 2  # states of traffic lights
RED_UNTIL = 2.0  # seconds
EGO = 234


@dataclass(frozen=True)
class Actor:
    """id: in the log. start: (x, y, z) of its origin at 0 s, metres in CARLA's axes. speed: m/s along the heading.

    half: half extent of its box, metres. heading: degrees.
    """

    id: int
    kind: ActorType
    type_id: str
    start: tuple[float, float, float]
    half: tuple[float, float, float] = (0.0, 0.0, 0.0)
    speed: float = 0.0
    heading: float = 0.0
    attributes: tuple[tuple[str, str], ...] = ()

    def position(self, seconds: float) -> tuple[float, float, float]:
        """x, y, z in metres. The street is along x, so headings are 0, 180 or across."""
        way = self.speed * seconds
        dx, dy = {0.0: (1, 0), 180.0: (-1, 0), 90.0: (0, 1)}[self.heading]
        x, y, z = self.start
        return x + dx * way, y + dy * way, z

    @property
    def middle(self) -> float:
        """Height of the box's centre above the actor's origin, metres: a walker's origin is its centre."""
        return self.half[2] - self.start[2]

    def added(self) -> ActorAdded:
        attributes = dict(self.attributes)
        types = dict.fromkeys(attributes, STRING)
        rotation = (0.0, 0.0, self.heading)
        return ActorAdded(self.id, self.kind, self.type_id, 0, self.start, rotation, attributes, types)


CAR = (2.3, 0.95, 0.75)
ACTORS = (
    Actor(
        EGO, ActorType.VEHICLE, "vehicle.lincoln.mkz_2020", (20, 1.75, 0), CAR, 9.0, attributes=(("role_name", "hero"),)
    ),
    Actor(
        235,
        ActorType.VEHICLE,
        "vehicle.nissan.patrol",
        (40, 1.75, 0),
        (2.3, 0.97, 0.93),
        9.5,
        attributes=(("color", "120,20,25"),),
    ),
    Actor(236, ActorType.VEHICLE, "vehicle.audi.tt", (130, -1.75, 0), CAR, 10.0, 180.0, (("color", "20,60,140"),)),
    Actor(237, ActorType.WALKER, "walker.pedestrian.0012", (60, 6.5, 0.93), (0.2, 0.2, 0.93), 1.3),
    Actor(238, ActorType.TRAFFIC_LIGHT, "traffic.traffic_light", (120, 4.5, 0)),
)


def example_log() -> bytes:
    """The recorder log: the ego, vehicle 234, behind another car, one coming up, a walker, a traffic light."""
    file = BytesIO()
    writer = LogWriter(file, TOWN, datetime.fromtimestamp(1_700_000_000, tz=timezone.utc))
    for index in range(FRAMES):
        writer.write(_frame(index))
    return file.getvalue()


def _frame(index: int) -> Frame:
    seconds = index * STEP
    moving = [actor for actor in ACTORS if actor.kind != ActorType.TRAFFIC_LIGHT]
    lights = [actor for actor in ACTORS if actor.kind == ActorType.TRAFFIC_LIGHT]
    state = RED if seconds < RED_UNTIL else GREEN
    lists = {
        Packet.POSITION: ((actor.id, actor.position(seconds), (0.0, 0.0, actor.heading)) for actor in moving),
        Packet.STATE: ((actor.id, False, seconds, state) for actor in lights),
    }
    if index == 0:
        lists[Packet.BOUNDING_BOX] = ((actor.id, (0.0, 0.0, actor.middle), actor.half) for actor in moving)
    frame = Frame(index + 1, -1.0, seconds, lists={packet: [list_rows(packet, rows)] for packet, rows in lists.items()})
    frame.added = [actor.added() for actor in ACTORS] if index == 0 else []
    return frame


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
