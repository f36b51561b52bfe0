"""Cross sections, bends and speed limits of streets: drawn evenly from wide ranges, or as measured in towns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

T = TypeVar("T")
AREAS = ("residential", "downtown", "rural")


@dataclass(frozen=True)
class CrossSection:
    """Widths in metres, the same on both sides of the centre line; `lanes` driving lanes per direction.

    centre: style of the line between the directions, empty for none. median: whole width of what parts them instead.
    """

    lanes: int
    lane_width: float
    parking: float
    shoulder: float
    sidewalk: float
    centre: str
    centre_color: str
    median: float = 0.0

    @property
    def driving(self) -> float:
        """From the centre line to the outer edge of the driving lanes."""
        return self.lane_edge(self.lanes)

    def lane_edge(self, i: float) -> float:
        """From the centre line to the inner edge of lane i."""
        return self.median / 2 + i * self.lane_width

    @property
    def kerb(self) -> float:
        return self.driving + self.parking + self.shoulder


class Layout(Protocol):
    """How the measures of a street are drawn. cornering: m/s^2, the lateral acceleration that limits speed in bends."""

    @property
    def cornering(self) -> float: ...

    def section(self, rng: np.random.Generator, kind: str, area: str) -> CrossSection:
        """A cross section that suits the kind of road and the area."""
        ...

    def bend_radius(self, rng: np.random.Generator) -> float:
        """Metres."""
        ...

    def speed_limit(self, rng: np.random.Generator, area: str) -> float:
        """Metres per second."""
        ...


class Even:
    """Evenly from ranges that are wider than those of any one town."""

    cornering = 6.5

    def section(self, rng: np.random.Generator, kind: str, area: str) -> CrossSection:
        lanes = 2 if kind == "straight_4lane" or (kind != "straight_2lane" and rng.random() < 0.35) else 1
        lane_width = float(rng.uniform(3.0, 3.8))
        has_parking = {"residential": 0.7, "downtown": 0.5, "rural": 0.0}[area] > rng.random()
        shoulder = float(rng.uniform(0.8, 2.0)) if area == "rural" else float(rng.uniform(0.3, 0.6))
        sidewalk = {"residential": (1.8, 3.0), "downtown": (2.5, 4.5), "rural": (0.0, 0.0)}[area]
        color = "yellow" if rng.random() < 0.7 else "white"
        return CrossSection(
            lanes=lanes,
            lane_width=lane_width,
            parking=float(rng.uniform(2.1, 2.5)) if has_parking else 0.0,
            shoulder=shoulder,
            sidewalk=float(rng.uniform(*sidewalk)),
            centre="solid_solid" if lanes == 2 else str(rng.choice(["broken", "solid", "solid_solid"])),
            centre_color=color,
        )

    def bend_radius(self, rng: np.random.Generator) -> float:
        return float(rng.uniform(35.0, 90.0))

    def speed_limit(self, rng: np.random.Generator, area: str) -> float:
        low, high = {"residential": (6.0, 11.0), "downtown": (8.0, 14.0), "rural": (11.0, 15.0)}[area]
        return float(rng.uniform(low, high))


TWO_LANES_EACH_WAY = 0.37
"""Share of metres of lane with four or more driving lanes side by side. This and the tables below: means over CARLA's
Town01, Town02 and Town10HD and the example clip of RDS-HQ, by `python -m benchmarks.streets`."""
LANE_WIDTHS = ((2.75, 0.03), (3.0, 0.03), (3.5, 0.4), (4.0, 0.5), (4.5, 0.04))
"""(metres, share); each is drawn within 0.1 m."""
SIDEWALKS = ((4.0, 0.67), (6.0, 0.33))
SHOULDERS = ((0.3, 0.67), (0.6, 0.33))
OUTSIDE_SHOULDERS = (2.2, 3.2)
"""Metres: the 10th and 90th percentile beside the roads without a sidewalk."""
RADII = (((15.0, 25.0), 0.08), ((25.0, 50.0), 0.54), ((50.0, 100.0), 0.31), ((100.0, 250.0), 0.07))
"""(range in metres, share) of what is no straighter than 250 m."""
LIMITS = ((11.2, 0.67), (17.9, 0.27), (22.4, 0.06))
"""(m/s, share of roads): 25, 40 and 50 miles per hour."""


class Town:
    """As the roads of towns are: few lane widths, broad sidewalks, tight bends, no parking bays."""

    cornering = 4.0

    def section(self, rng: np.random.Generator, kind: str, area: str) -> CrossSection:
        lanes = 2 if kind == "straight_4lane" or (kind != "straight_2lane" and rng.random() < TWO_LANES_EACH_WAY) else 1
        width = drawn(rng, LANE_WIDTHS) + float(rng.uniform(-0.1, 0.1))
        rural = area == "rural"
        return CrossSection(
            lanes=lanes,
            lane_width=width,
            parking=0.0,
            shoulder=float(rng.uniform(*OUTSIDE_SHOULDERS)) if rural else drawn(rng, SHOULDERS),
            sidewalk=0.0 if rural else drawn(rng, SIDEWALKS),
            centre="solid_solid" if lanes == 2 else str(rng.choice(["broken", "solid"])),
            centre_color="yellow" if rng.random() < 0.7 else "white",
        )

    def bend_radius(self, rng: np.random.Generator) -> float:
        low, high = drawn(rng, RADII)
        return float(rng.uniform(low, high))

    def speed_limit(self, rng: np.random.Generator, area: str) -> float:
        return drawn(rng, LIMITS)


def drawn(rng: np.random.Generator, table: Sequence[tuple[T, float]]) -> T:
    """One of the values of a table of (value, share)."""
    shares = np.array([share for _, share in table])
    return table[int(rng.choice(len(table), p=shares / shares.sum()))][0]


LAYOUTS: Mapping[str, Layout] = {"even": Even(), "town": Town()}
