"""Pairs of captions that the rewriter learns from."""

from __future__ import annotations

import random
import re

import pytest

from cosmos_exp.captions.fidelity import PROFILES, violations
from cosmos_exp.captions.grammar import FAMILIES, Body, answer, brief, described, pair, plain_ascii, say, unknown
from cosmos_exp.captions.rewrite import PHRASINGS
from cosmos_exp.captions.style_phrases import ATMOSPHERE, WANTED
from cosmos_exp.captions.style_words import foreign_words, names_style
from cosmos_exp.common.styles import STYLES


def test_a_pair_is_a_function_of_its_seed():
    assert pair(3) == pair(3) != pair(4)
    assert {pair(seed).style for seed in range(100)} == set(STYLES) - {"Original"}


def test_what_is_learned_is_faithful():
    """All but a few: nonsense that reads as a number before another word, and lamps with numbers."""
    pairs = [pair(seed) for seed in range(300)]
    wrong = [p for p in pairs if violations(p.caption, p.rewritten, p.style, p.profile)]
    assert len(wrong) <= 0.03 * len(pairs), wrong[:5]


def test_long_answers_have_the_length_of_the_released_models():
    answers = [pair(seed) for seed in range(200)]
    words = [len(p.rewritten.split()) for p in answers if p.profile == PROFILES["released"]]
    assert len(words) > 20 and min(words) >= 80 and max(words) <= 130


@pytest.mark.parametrize("style", WANTED)
def test_phrases_belong_to_their_style(style: str):
    openings = (*WANTED[style]["opening"], *WANTED[style]["short"], *WANTED[style]["lead"])
    assert all(names_style(phrase, style) for phrase in openings)
    everything = " ".join((*(phrase for phrases in WANTED[style].values() for phrase in phrases), *ATMOSPHERE[style]))
    assert not foreign_words(everything, style)


@pytest.mark.parametrize("style", WANTED)
def test_answers_begin_with_words_of_the_captions_that_the_video_model_was_trained_on(style: str):
    known = set(re.findall(r"\w+", " ".join(PHRASINGS[style][:4]).lower())) | {"early", "in", "at", "with", "the", "to"}
    for phrase in (*WANTED[style]["opening"], *WANTED[style]["lead"]):
        assert len(set(re.findall(r"\w+", phrase.lower())) - known) <= 2, phrase


def test_every_family_keeps_all_words_of_its_body():
    for seed in range(60):
        rng = random.Random(seed)
        family = list(FAMILIES)[seed % len(FAMILIES)]
        body = family(rng)
        text = answer(rng, body, "Rainy", PROFILES["nano"])
        if text is None:  # too long for it
            continue
        plain = plain_ascii(say(body, {})).lower()
        assert set(re.findall(r"\w+", plain)) - {"a", "an"} <= set(re.findall(r"\w+", text.lower())), (plain, text)


def test_the_article_follows_the_word_that_comes_to_stand_behind_it():
    body = Body(("driving through <a> <adjective>intersection<tail>",), "intersection")
    assert say(body, {}) == "Driving through an intersection."
    assert say(body, {"adjective": "wet ", "lead": "At night, "}) == "At night, driving through a wet intersection."
    assert say(Body(("<a> one-way road",), ""), {}) == "A one-way road."


def test_captions_of_scenes_and_notes_and_nonsense_are_drawn():
    rng = random.Random(0)
    assert say(described(rng), {}).startswith("Driving ")
    assert say(brief(rng), {}).endswith(".") and say(unknown(rng), {}).endswith(".")
