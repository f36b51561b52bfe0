"""What is read from a caption."""

from __future__ import annotations

import pytest

from cosmos_exp.captions.facts import Claim, facts_of


def things(text: str) -> list[tuple[object, str, tuple[str, ...]]]:
    return [(m.count, m.kind, tuple(sorted(m.colors))) for m in facts_of(text).mentions]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red car ahead and two trucks.", [(1, "car", ("red",)), (2, "truck", ())]),
        ("Several parked cars and many people.", [("some", "car", ()), ("many", "pedestrian", ())]),
        ("The car ahead is red.", [(None, "car", ("red",))]),
        ("A sedan painted blue waits.", [(1, "car", ("blue",))]),
        ("A red and white bus.", [(1, "bus", ("red", "white"))]),
        ("A red car and a blue car.", [(1, "car", ("red",)), (1, "car", ("blue",))]),
        (
            "A pickup truck, a fire truck and a bus stop.",
            [(1, "pickup", ()), (1, "fire truck", ()), (1, "bus stop", ())],
        ),
        ("A couple of cyclists pass 3 pedestrians.", [(2, "cyclist", ()), (3, "pedestrian", ())]),
        ("Utility poles along a fence.", [(None, "pole", ()), (1, "fence", ())]),
    ],
)
def test_things_with_counts_and_colours(text, expected):
    assert things(text) == expected


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("Driving along a street with a red light.", "red"),
        ("The traffic light ahead is green.", "green"),
        ("The light turns yellow.", "yellow"),
        ("Waiting at a traffic signal that shows red.", "red"),
        ("A yellow traffic light.", "yellow"),
    ],
)
def test_states_of_traffic_lights(text, state):
    assert [(m.kind, set(m.colors)) for m in facts_of(text).mentions] == [("traffic light", {state})]


@pytest.mark.parametrize(
    "text",
    [
        "Warm yellow light falls on the road.",
        "Before sunset, the light orange and warm.",
        "Red tail lights glow under a black sky.",
        "The low sun bathes all in golden light.",
        "There are no signs of fading light.",
        "A wall of white fog hides the grey road.",
        "The video is captured from a camera mounted on a car. The camera is facing to the left.",
    ],
)
def test_light_and_weather_are_no_things(text):
    facts = facts_of(text)
    assert [m for m in facts.mentions if m.kind != "lamp"] == []
    assert all(claim == Claim("road", "road") for claim in facts.claims)


def test_road_lanes_traffic_and_motion():
    facts = facts_of("A winding four-lane highway in a suburban area with heavy traffic, some cars are stationary.")
    said = {(claim.topic, claim.value) for claim in facts.claims}
    assert said == {
        ("road", "curve"),
        ("road", "highway"),
        ("road", "suburban"),
        ("lanes", "4"),
        ("traffic", "heavy traffic"),
        ("motion", "standing"),
    }


def test_a_place_belongs_to_the_nearest_thing():
    facts = facts_of("A red car ahead, two pedestrians and, on the left, a bus.")
    assert [sorted(m.positions) for m in facts.mentions] == [["ahead"], [], ["left"]]


def test_words_that_no_table_names_keep_their_colour():
    assert facts_of("A purple kiosk.").claims == {Claim("colour", "purple kiosk")}
