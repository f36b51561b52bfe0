"""Writes small OpenDRIVE maps from plain values."""

from __future__ import annotations

from collections.abc import Sequence

LINE = "<line/>"


def arc(curvature: float) -> str:
    return f'<arc curvature="{curvature}"/>'


def geometry(shape: str, length: float, *, s: float = 0, x: float = 0, y: float = 0, hdg: float = 0) -> str:
    return f'<geometry s="{s}" x="{x}" y="{y}" hdg="{hdg}" length="{length}">{shape}</geometry>'


def cubic(tag: str, *abcd: float, s: float = 0, at: str = "s") -> str:
    a, b, c, d = [*abcd, 0, 0, 0, 0][:4]
    return f'<{tag} {at}="{s}" a="{a}" b="{b}" c="{c}" d="{d}"/>'


def mark(kind: str, *, s: float = 0, color: str = "white", width: float = 0.12) -> str:
    return f'<roadMark sOffset="{s}" type="{kind}" color="{color}" width="{width}"/>'


def lane(lane_id: int, kind: str = "driving", *, width: str | float = 3.5, marks: str = "") -> str:
    widths = "" if lane_id == 0 else width if isinstance(width, str) else cubic("width", width, at="sOffset")
    return f'<lane id="{lane_id}" type="{kind}">{widths}{marks}</lane>'


def section(*, s: float = 0, left: Sequence[str] = (), right: Sequence[str] = (), centre: str = "") -> str:
    def side(name: str, lanes: Sequence[str]) -> str:
        return f"<{name}>{''.join(lanes)}</{name}>" if lanes else ""

    middle = f"<center>{lane(0, 'none', marks=centre)}</center>"
    return f'<laneSection s="{s}">{side("left", left)}{middle}{side("right", right)}</laneSection>'


def road(
    road_id: str | int,
    length: float,
    *,
    geometries: str | None = None,
    sections: str,
    offsets: str = "",
    elevation: str = "",
    superelevation: str = "",
    signals: str = "",
    objects: str = "",
    junction: str | int = -1,
    rule: str = "",
) -> str:
    return f"""<road name="" length="{length}" id="{road_id}" junction="{junction}" {rule and f'rule="{rule}"'}>
    <planView>{geometries or geometry(LINE, length)}</planView>
    <elevationProfile>{elevation}</elevationProfile>
    <lateralProfile>{superelevation}</lateralProfile>
    <lanes>{offsets}{sections}</lanes>
    <objects>{objects}</objects>
    <signals>{signals}</signals>
    </road>"""


def light(signal_id: str, *, s: float, t: float, hdg: float = 0.0) -> str:
    return (
        f'<signal id="{signal_id}" name="Signal_3Light_Post01" s="{s}" t="{t}" zOffset="0" hOffset="{hdg}" '
        'orientation="+" dynamic="yes" type="1000001" subtype="-1" value="-1" width="0.5" height="1.2"/>'
    )


def reference(signal_id: str, *, s: float, lane_id: int) -> str:
    lanes = f'<validity fromLane="{lane_id}" toLane="{lane_id}"/>'
    return f'<signalReference id="{signal_id}" s="{s}" t="0" orientation="+">{lanes}</signalReference>'


def map_object(
    name: str, *, s: float, t: float, kind: str = "-1", hdg: float = 0, size: Sequence[float] = (0, 0, 0), outline=()
) -> str:
    corners = "".join(f'<cornerLocal u="{u}" v="{v}" z="{z}"/>' for u, v, z in outline)
    length, width, height = size
    return (
        f'<object id="{name}1" name="{name}" type="{kind}" s="{s}" t="{t}" zOffset="0" hdg="{hdg}" orientation="+" '
        f'length="{length}" width="{width}" height="{height}">{corners and f"<outline>{corners}</outline>"}</object>'
    )


def opendrive(*roads: str, name: str = "", vendor: str = "VectorZero") -> str:
    head = f'<header revMajor="1" revMinor="4" name="{name}" vendor="{vendor}"/>'
    return f'<?xml version="1.0"?><OpenDRIVE>{head}{"".join(roads)}</OpenDRIVE>'


def straight_town(*, length: float = 200.0) -> str:
    """One straight road along x: a lane, a shoulder and a sidewalk on each side, a traffic light and a speed sign."""
    sides = {
        sign: [
            lane(sign, marks=mark("none")),
            lane(2 * sign, "shoulder", width=0.5, marks=mark("curb")),
            lane(3 * sign, "sidewalk", width=3.0),
        ]
        for sign in (1, -1)
    }
    return opendrive(
        road(
            1,
            length,
            sections=section(left=sides[1], right=sides[-1], centre=mark("broken", color="yellow")),
            signals=light("77", s=120, t=-4.5),
            objects=map_object("Speed_30", s=60, t=-4.5),
        )
    )
