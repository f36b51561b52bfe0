"""Traffic lights: their turns, compared with those of a real CARLA, and which of them holds a vehicle."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos_exp.carla_sim.actors import LightPhase
from cosmos_exp.carla_sim.lights import GREEN, RED, YELLOW, LightCycles, SignalPlan, StopLines, trigger_box
from cosmos_exp.carla_sim.maps import Town
from cosmos_exp.carla_sim.transforms import Transform
from cosmos_exp.scene.carla.axes import flu_points
from cosmos_exp.scene.carla.packets import Packet
from cosmos_exp.scene.carla.recorder import ActorType, read_log
from cosmos_exp.scene.opendrive.reader import load_opendrive


def plan_of(path):
    return Town(path.stem, path, "").signals


@pytest.fixture(scope="module")
def town(shared):
    path = shared / "carla/maps/Town01.xodr"
    return path, plan_of(path)


@pytest.fixture
def crossing():
    """Two phases; two lights share the second."""
    phases = {key: LightPhase(green=4.0, yellow=1.0, red=2.0) for key in "abc"}
    return phases, LightCycles(SignalPlan(((("a",), ("b", "c")),)), phases)


def states(phases) -> str:
    return "".join("RYG"[light.state] for light in phases.values())


def test_phases_take_turns_with_all_red_between_them(crossing):
    phases, cycles = crossing
    seen = []
    for _ in range(14):
        seen.append(states(phases))
        cycles.step(1.0)
    assert seen == ["RGG"] * 4 + ["RYY"] + ["RRR"] * 2 + ["GRR"] * 4 + ["YRR"] + ["RRR"] * 2
    assert states(phases) == "RGG"


def test_times_may_be_changed_and_time_frozen(crossing):
    phases, cycles = crossing
    phases["b"].green = 6.0
    cycles.step(5.0)
    assert states(phases) == "RGG" and phases["b"].elapsed == 5.0
    cycles.freeze("a", True)
    cycles.step(100.0)
    assert states(phases) == "RGG" and all(light.frozen for light in phases.values())
    cycles.freeze("b", False)
    cycles.step(1.0)
    assert states(phases) == "RYY"
    cycles.reset_group("c")
    assert states(phases) == "RGG" and cycles.group_of("b") == ["a", "b", "c"]


def test_lights_of_town01_change_as_carla_recorded_it(shared, town):
    """Every light of the log, its states over 24 s: at most three frames apart at each change."""
    path, plan = town
    log = read_log(shared / "carla/logs/DistanceBetweenVehicles.log")
    lights = load_opendrive(path).traffic_lights
    feet = np.array([light.pose[:2, 3] for light in lights])
    recorded = {}
    for actor in log.frames[0].added:
        if actor.type == ActorType.TRAFFIC_LIGHT:
            away = np.linalg.norm(feet - flu_points(np.array(actor.location))[:2], axis=1)
            recorded[actor.id] = lights[int(away.argmin())].id
    assert len(set(recorded.values())) == 36
    phases = {key: LightPhase() for key in recorded.values()}
    cycles = LightCycles(plan, phases)
    differ = np.zeros(len(log.frames), bool)
    before = 0.0
    cycles.step(0.132)  # the log begins so long after the lights did
    for index, frame in enumerate(log.frames):
        cycles.step(frame.elapsed - before)
        before = frame.elapsed
        rows = frame[Packet.STATE]
        differ[index] = any(phases[recorded[i]].state != s for i, s in zip(rows["id"].tolist(), rows["state"].tolist()))
    assert differ.sum() <= 9


def test_a_light_holds_who_comes_up_to_its_line_in_its_lane(town):
    _, plan = town
    entry = plan.entries["361"][0]
    lines = StopLines({"361": plan.entries["361"]})
    ahead = np.array([np.cos(entry.heading), np.sin(entry.heading)])
    aside = np.array([-ahead[1], ahead[0]])
    middle = entry.middle[:2]
    assert lines.holding(middle - 5 * ahead, ahead, 5.0) == "361"
    assert lines.holding(middle + 1 * ahead, ahead, 5.0) is None, "past the line"
    assert lines.holding(middle - 5 * ahead, -ahead, 5.0) is None, "on its way out"
    assert lines.holding(middle - 5 * ahead + 4 * aside, ahead, 5.0) is None, "in another lane"
    assert lines.holding(middle - 25 * ahead, ahead, 5.0) is None
    assert lines.holding(middle - 25 * ahead, ahead, 15.0) == "361", "fast, it has to brake earlier"


def test_the_trigger_volume_lies_before_the_stop_line(shared, town):
    path, plan = town
    light = next(light for light in load_opendrive(path).traffic_lights if light.id == "361")
    place = Transform.of_pose(light.pose)
    center, extent = trigger_box(place, plan.entries["361"])
    world = (place.pose @ [*(center * [1, -1, 1]), 1.0])[:3]
    entry = plan.entries["361"][0]
    ahead = np.array([np.cos(entry.heading), np.sin(entry.heading)])
    assert (world[:2] - entry.middle[:2]) @ ahead == pytest.approx(-2.0, abs=0.3)
    assert sorted(extent[:2]) == pytest.approx([2.0, 2.0], abs=0.3)


@pytest.mark.parametrize("name", ["Town01", "Town02", "Town10HD"])
def test_every_light_of_a_town_has_a_turn(shared, name):
    path = shared / f"carla/maps/{name}.xodr"
    plan = plan_of(path)
    phases = {light.id: LightPhase() for light in load_opendrive(path).traffic_lights}
    cycles = LightCycles(plan, phases)
    green = set()
    for _ in range(90):
        cycles.step(1.0)
        green |= {key for key, light in phases.items() if light.state == GREEN}
        for group in plan.groups:
            lit = [k for k, phase in enumerate(group) if any(phases[key].state in (GREEN, YELLOW) for key in phase)]
            assert len(lit) <= 1, "one phase of a junction at a time"
    assert green == set(phases) and RED == 0
