"""Words of the blocklist are found however they are spelled; phrases of driving scenes are none of them."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest

from cosmos_exp.captions.rewrite import NUM_PHRASINGS, rewrite
from cosmos_exp.captions.views import view_prompt
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.styles import STYLES
from cosmos_exp.common.views import VIEWS
from cosmos_exp.guardrails.blocklist import Blocklist, blocklist

DRIVING = [
    "A median strip with a strip of grass divides the road, and a strip mall stands on the right.",
    "The car drives over a rumble strip and a speed hump, its hazard lights on, onto the hard shoulder.",
    "Cracks in the wet asphalt, a pot hole, weeds along the dike, bare trees and naked branches.",
    "A police escort, a tow truck, a crash barrier, a dead end, a blind spot, a gun metal grey shooting brake.",
    "The A55 and the M25 near Essex and Scunthorpe; 455 cars pass the assembly hall.",
    "Fields of oilseed rape beside the road; a rape field in bloom under a blood orange sky.",
    "A Dick's Sporting Goods store, a beer garden, a cocktail bar and a liquor store by the road.",
    "Speed limit 55, exit 5A, 4x4s, Route 66, an I5 overpass, T4 vans at $3.99 a gallon!",
    "**A** red car and a **blue** van * in the * fog.",
    "The video is captured from a camera mounted on a car. The camera is facing forward.",
]


@pytest.mark.parametrize("text", DRIVING)
def test_driving_scenes_are_never_blocked(text: str) -> None:
    assert blocklist().hits(text) == []


def test_what_the_templates_write_is_never_blocked() -> None:
    scene = "A curving street with a yellow taxi, two pedestrians and a red traffic light between tall buildings."
    for style, variant in product(STYLES, range(NUM_PHRASINGS)):
        text = rewrite(scene, style, variant)
        assert blocklist().hits(text) == []
        assert all(not blocklist().hits(view_prompt(view, text)) for view in VIEWS)


def test_published_rewrites_are_never_blocked(shared: Path) -> None:
    texts = list(_strings(json.loads((shared / "captions" / "example_rewrites.json").read_text())))
    assert texts and all(not blocklist().hits(text) for text in texts)


def _strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("a naked man", "naked"),
        ("Two PENISES", "penises"),
        ("they undressed", "undressed"),
        ("undressing by the road", "undressing"),
        ("torturing", "torturing"),
        ("orgies", "orgies"),
        ("a n4ked man", "naked"),
        ("s3x", "sex"),
        ("a$$", "ass"),
        ("pórn", "porn"),
        ("shіt", "shit"),  # a Cyrillic i
        ("po\u200brn", "porn"),  # an invisible space
        ("ｐｏｒｎ", "porn"),
        ("fuuuuck", "fuuuuck"),
        ("f.u.c.k", "fuck"),
        ("f u c k", "fuck"),
        ("f*ck", "f*ck"),
        ("a strip  club by the road", "strip club"),
        ("strippers", "strippers"),
        ("a dead\nbody", "dead body"),
        ("naked people under naked trees", "naked"),
        ("she was raped in a field of rape", "raped"),
        ("a mass-shooting", "mass-shooting"),
    ],
)
def test_spellings_of_a_blocked_word_are_found(text: str, word: str) -> None:
    assert [hit.word for hit in blocklist().hits(text)] == [word]


def test_a_word_inside_another_is_none() -> None:
    words = Blocklist(["ass", "cock", "tit", "sex"])
    assert words.hits("A classic passing the cockpit of the Titanic in Middlesex, Sussex, unisex.") == []


def test_lists_of_others_are_read_and_the_phrases_of_driving_hold_for_them_too(tmp_path: Path) -> None:
    """As the package's lists that Cosmos-Transfer uses have `strip`."""
    folder = tmp_path / "blocklist"
    (folder / "custom").mkdir(parents=True)
    (folder / "custom" / "words.txt").write_text("strip\n\n  flibber  # a remark\n")
    (folder / "exact_match.txt").write_text("secret place\n")
    words = blocklist((str(folder),), ("flibber valve",))
    assert words.hits("a median strip, and a strip mall; flibber valves") == []
    assert [hit.entry for hit in words.hits("Flibbering in a secret  place, naked")] == [
        "flibber",
        "secret place",
        "naked",
    ]


@pytest.mark.parametrize(("name", "told"), [("none.txt", "no file at"), ("empty", "no files in"), ("bytes", "UTF-8")])
def test_a_list_that_cannot_be_read_is_an_error(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=told):
        blocklist((str(tmp_path / name),))
