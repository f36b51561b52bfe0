"""Faithful rewrites pass; whatever is lost, added or changed is named."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from helpers.random_captions import changed, lost, random_parts

from cosmos_exp.captions.fidelity import PROFILES, Profile, violations
from cosmos_exp.captions.rewrite import NUM_PHRASINGS, PHRASINGS, rewrite
from cosmos_exp.captions.style_words import foreign_words, names_style
from cosmos_exp.common.styles import STYLES

SOURCE = (
    "Driving along a residential two-lane street past houses with a red light, a blue car ahead and two pedestrians."
)
FREE = Profile("free")
RELEASED = PROFILES["released"]


def kinds(source: str, text: str, style: str = "Rainy", profile: Profile = FREE, **options) -> set[str]:
    return {v.kind for v in violations(source, text, style, profile, **options)}


def scenes(count: int):
    rng = random.Random(3)
    return [(random_parts(rng), rng.choice(STYLES), rng.randrange(NUM_PHRASINGS), rng) for _ in range(count)]


def test_rewrites_by_template_are_faithful():
    for parts, style, variant, _ in scenes(150):
        text = rewrite(parts.text(), style, variant)
        assert violations(parts.text(), text, style, FREE) == (), text


def test_lamps_go_with_the_light_of_another_style():
    told = "Driving along a residential street at night under street lamps behind a blue car."
    assert kinds(told, "On a sunny day, driving along a residential street behind a blue car.", "Sunny") == set()
    counted = told.replace("under street lamps", "past two street lamps")
    assert kinds(counted, "On a sunny day, driving along a residential street behind a blue car.", "Sunny") == {"lost"}
    unlit = "Driving along a residential street with street lamps behind a blue car."
    assert kinds(unlit, "On a sunny day, driving along a residential street behind a blue car.", "Sunny") == {"lost"}


def test_every_lost_fact_is_named():
    for parts, style, variant, _ in scenes(25):
        for what, less in lost(parts).items():
            text = rewrite(less.text(), style, variant)
            assert kinds(parts.text(), text, style), f"without {what}: {text}"


def test_every_added_fact_is_named():
    for parts, style, variant, _ in scenes(25):
        for what, less in lost(parts).items():
            text = rewrite(parts.text(), style, variant)
            assert kinds(less.text(), text, style), f"with {what} besides: {text}"


def test_every_changed_fact_is_named():
    for parts, style, variant, rng in scenes(40):
        for what, other in changed(parts, rng).items():
            text = rewrite(other.text(), style, variant)
            assert kinds(parts.text(), text, style), f"{what} changed: {text}"


@pytest.mark.parametrize(
    ("addition", "named"),
    [
        ("A pedestrian crosses.", 'added: "a pedestrian"'),
        ("A white van waits.", 'added: "a white van"'),
        ("The traffic light ahead is green.", "colour"),
        ("The blue car turns at a church.", 'added: "a church"'),
        ("Heavy traffic fills the road.", 'added: the traffic "heavy traffic"'),
        ("Parked cars line the road.", 'added: the motion "parked"'),
        ("A purple kiosk stands there.", 'added: the colour "purple kiosk"'),
        ("It goes at 30 km per hour.", 'added: the number "30 km"'),
        ("The tram stops.", 'added: "the tram"'),
        ("Rain falls on a highway.", 'added: the road "highway"'),
    ],
)
def test_sentences_that_add_something(addition, named):
    found = [str(v) for v in violations(SOURCE, f"Rain falls. {SOURCE} {addition}", "Rainy", FREE)]
    assert any(named in v for v in found) or (named == "colour" and found), found


@pytest.mark.parametrize(
    "text",
    [
        "Rain falls on a residential two-lane street; past houses we follow a blue car ahead, 2 people and a red "
        "light.",
        "It is raining. Two pedestrians and a blue sedan ahead wait at a red traffic light on a wet two-lane "
        "residential road with homes.",
        "On a rainy residential street with two lanes, houses stand beside the wet road. The car ahead is blue. The "
        "traffic light is red, and two pedestrians hurry through puddles.",
    ],
)
def test_other_words_for_the_same_facts(text):
    assert violations(SOURCE, text, "Rainy", FREE) == ()


FREELY = json.loads((Path(__file__).parent / "faithful_rewrites.json").read_text())
"""[{"caption": ..., style: a faithful rewrite in words of its own}]"""
AMBIGUOUS = "a blue truck and four other vehicles splash ahead"
SWAPPED = {
    "two": "five",
    "three": "two",
    "four": "seven",
    "silver": "brown",
    "blue truck": "white truck",
    "green": "red",
    "red": "green",
    "car": "bus",
    "truck": "van",
    "pedestrians": "cyclists",
    "people": "children",
    "houses": "churches",
    "trees": "poles",
    "tall buildings": "houses",
    "intersection": "roundabout",
    "residential": "industrial",
    "downtown": "rural",
    "two-lane": "six-lane",
    "left": "right",
    "crosswalk": "bridge",
    "parked": "moving",
    "vehicles": "trains",
    "skyscraper": "church",
    "urban": "rural",
}


def test_free_wording_is_understood():
    refused = [
        text
        for texts in FREELY
        for style, text in texts.items()
        if style != "caption" and violations(texts["caption"], text, style, FREE)
    ]
    assert len(refused) == 1 and AMBIGUOUS in refused[0], "is the truck ahead, or are the vehicles?"


def test_a_changed_word_is_found_in_free_wording_too():
    tried = 0
    for texts in FREELY:
        for style in set(texts) - {"caption"}:
            for word, other in SWAPPED.items():
                text = re.sub(rf"\b{word}\b", other, texts[style], count=1)
                if text != texts[style] and (word != "red" or "red traffic light" in texts[style]):
                    tried += 1
                    assert kinds(texts["caption"], text, style), f"{word} is now {other}: {text}"
    assert tried > 100


def test_places_and_colours_that_change_hands():
    source = "A street with a red car on the left and a blue truck on the right."
    for text in (
        "A rainy street with a blue car on the left and a red truck on the right.",
        "A rainy street with a red car on the right and a blue truck on the left.",
        "A rainy street with a red truck on the left and a blue car on the right.",
    ):
        assert kinds(source, text) & {"changed", "lost"}, text


def test_examples_of_cosmos_drive_dreams(shared):
    """All facts are kept; "dusk or dawn" is left in Rainy and Foggy."""
    texts = json.loads((shared / "captions" / "example_rewrites.json").read_text())
    source = texts.pop("Original")
    found = {s: kinds(source, t, s, others={o: texts[o] for o in texts if o != s}) for s, t in texts.items()}
    assert found == {s: set() for s in texts} | {"Rainy": {"light"}, "Foggy": {"light"}}


def test_captions_of_other_scenes_and_copied_examples_are_rejected(shared):
    examples = json.loads((shared / "captions" / "example_rewrites.json").read_text())
    drawn = [parts for parts, *_ in scenes(20)]
    for parts in drawn:
        assert kinds(parts.text(), examples["Snowy"], "Snowy") >= {"lost", "added"}
        for other in drawn:
            if other != parts:
                assert kinds(parts.text(), rewrite(other.text(), "Snowy"), "Snowy"), other.text()


def test_white_from_snow_is_no_colour_of_things_but_of_vehicles_it_is():
    source = "A street with houses and a car."
    assert kinds(source, "A snowy street with white houses and a car.", "Snowy") == set()
    assert kinds(source, "A snowy street with houses and a white car.", "Snowy") == {"added"}


@pytest.mark.parametrize("style", STYLES)
def test_each_style_knows_its_own_words(style):
    for phrasing in PHRASINGS[style]:
        assert names_style(phrasing, style) and foreign_words(phrasing, style) == ()
        strangers = [s for s in STYLES if s != style and foreign_words(phrasing, s)]
        assert style == "Original" or set(strangers) >= set(STYLES) - {
            style,
            "Golden hour",
            "Morning",
            "Sunny",
            "Original",
        }


def test_light_of_the_source_that_stays_is_named():
    source = "A sunny street with a red car under a blue sky."
    assert kinds(source, "It rains on a sunny street with a red car under a blue sky.") == {"light"}
    assert kinds(source, "A street with a red car.") == {"style"}
    assert kinds(source, "It rains on a street with a red car, with no sun and without a blue sky.") == set()


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("", "empty"),
        ("<think>\n\n</think>\nIt rains on SOURCE", "<think>"),
        ("New caption: Rain falls. SOURCE", "new caption:"),
        ('{"caption": "Rain falls. SOURCE"}', "quotation marks"),
        ("Rain falls.\nSOURCE", "one line"),
        ("- Rain falls. SOURCE", "no list"),
        ("Rain falls. SOURCE Nice café.", "ASCII"),
        ("Rain falls. SOURCE And", "full stop"),
        ("SOURCE", "unchanged"),
        ("Rain falls.  SOURCE", "single blanks"),
    ],
)
def test_form(text, detail):
    found = violations(SOURCE, text.replace("SOURCE", SOURCE), "Rainy", FREE)
    assert any(v.kind == "form" and detail in v.detail for v in found), found


def test_two_styles_with_one_text():
    text = f"Rain falls. {SOURCE}"
    assert kinds(SOURCE, text, others={"Foggy": text}) == {"form"}


def test_lengths():
    sentence = f"Rain falls. {SOURCE} "
    limit = PROFILES["nano"].max_bytes
    assert limit is not None and kinds(SOURCE, sentence.strip() + " It is wet" * 9 + ".", profile=PROFILES["nano"]) == {
        "length"
    }
    assert kinds(SOURCE, sentence.strip(), profile=PROFILES["nano"]) == set()
    assert kinds(SOURCE, sentence.strip(), profile=RELEASED) == {"length"}


def test_recolouring_wants_another_colour_of_every_vehicle():
    source = "A street with a red car ahead, a blue truck and a green light."
    painted = "A rainy street with a white car ahead, a yellow truck and a green light."
    half = "A rainy street with a white car ahead, a blue truck and a green light."
    signal = "A rainy street with a white car ahead, a yellow truck and a red light."
    assert kinds(source, painted) == {"changed"}
    assert kinds(source, painted, recolor=True) == set()
    assert kinds(source, half, recolor=True) == {"changed"}
    assert kinds(source, signal, recolor=True) == {"changed"}
