"""What `python -m benchmarks.streets` measures, on lanes whose measures are known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.streets import rows, samples_of
from cosmos_exp.scene.types import Building, Lane, LaneType, SceneMap


def straight(name: str, right: float, width: float, kind: LaneType = LaneType.DRIVING, rise: float = 0.0) -> Lane:
    x = np.arange(0.0, 201.0, 10.0)
    return Lane(name, kind, *(np.stack([x, np.full(21, -y), rise * x], axis=-1) for y in (right, right + width)))


def test_widths_neighbours_grades_and_setbacks():
    lanes = (
        straight("a", 0.0, 3.5, rise=0.04),
        straight("b", 3.5, 3.5, rise=0.04),
        straight("walk", 7.0, 2.0, LaneType.SIDEWALK, rise=0.04),
        straight("beyond", 20.0, 4.5, rise=0.04),
    )
    house = Building(np.array([[50, 5, 0], [60, 5, 0], [60, 12, 0], [50, 12, 0]], float), 6.0, (0.5, 0.5, 0.5))
    found = samples_of(SceneMap("m", lanes=lanes, buildings=(house,)))
    assert np.unique(np.round(found.widths["driving"], 6)).tolist() == [3.5, 4.5]
    assert set(found.widths["sidewalk"].round(6)) == {2.0}
    assert np.bincount(found.abreast).tolist()[1:] == [10, 20]
    np.testing.assert_allclose(found.grades, 0.04, rtol=1e-6)
    assert found.setbacks.tolist() == [5.0] and found.in_junction == 0.0
    assert rows(found)["lanes abreast: 2"] == "67%" and rows(found)["straighter than 250 m"] == "100%"


def test_radii():
    turn = np.linspace(0.0, 2.0, 400)[:, None]
    left, right = (np.hstack([r * np.cos(turn), r * np.sin(turn), 0 * turn]) for r in (40.0, 43.0))
    found = samples_of(SceneMap("bend", lanes=(Lane("a", LaneType.DRIVING, left, right),)))
    assert np.median(found.radii) == pytest.approx(41.5, rel=0.01)
    assert rows(found)["radius 25 to 50 m"] == "100%"
