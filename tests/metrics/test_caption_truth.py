"""Captions against the truth of their scenes: what is true passes, and each kind of damage shows in its own topic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cosmos_exp.captions.describe import describe
from cosmos_exp.captions.rewrite import rewrite
from cosmos_exp.captions.truth import TOPICS, Verdict, judge, scene_truth
from cosmos_exp.common.styles import STYLES
from cosmos_exp.metrics import evaluate_metric
from cosmos_exp.scene.procedural.street import ROADS, procedural_scene

DAMAGE = {
    "counts": (("two pedestrians", "five pedestrians"), ("three pedestrians", "nine pedestrians"), ("two ", "eleven ")),
    "signals": (("red light", "green light"), ("green light", "yellow light"), ("yellow light", "red light")),
    "colours": tuple((f"a {color} ", "a purple ") for color in ("white", "black", "grey", "silver", "red", "blue")),
    "road": (("residential", "rural"), ("downtown", "rural"), ("intersection", "two-lane street")),
    "surroundings": (("past houses", "past tall buildings"), ("past tall buildings", "past houses")),
    "kinds": ((" car ahead", " train ahead"), ("pedestrian", "cyclist")),
}


@pytest.fixture(scope="module")
def scenes():
    """(caption, truth) of streets of every kind."""
    found = []
    for road in ROADS:
        for seed in range(4):
            scene = procedural_scene(seed=seed, road=road, num_vehicles=3 * seed, num_pedestrians=2 * seed)
            found.append((describe(scene), scene_truth(scene, [scene.start, scene.start + 1.0, scene.start + 2.0])))
    return found


def total(judged) -> dict[str, Verdict]:
    judged = list(judged)
    return {topic: sum((verdicts[topic] for verdicts in judged), Verdict()) for topic in TOPICS}


def test_what_the_template_says_is_true_in_every_style(scenes):
    for number, (caption, truth) in enumerate(scenes):
        text = rewrite(caption, STYLES[number % len(STYLES)], number % 5)
        for topic, verdict in judge(text, truth).items():
            assert verdict.right == verdict.said and verdict.found <= verdict.true, (topic, text, truth)


def test_the_template_says_most_of_what_it_has_room_for(scenes):
    found = total(judge(caption, truth) for caption, truth in scenes)
    assert found["kinds"].recall > 0.8 and found["road"].recall > 0.6
    assert all(found[topic].said for topic in TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_damage_of_one_topic_shows_there(scenes, topic):
    damaged = []
    for caption, truth in scenes:
        for before, after in DAMAGE[topic]:
            if before in caption:
                damaged.append((caption, caption.replace(before, after), truth))
                break
    assert damaged
    whole = total(judge(caption, truth) for caption, _, truth in damaged)[topic]
    broken = total(judge(text, truth) for _, text, truth in damaged)[topic]
    assert broken.precision < whole.precision == 1
    assert broken.recall <= whole.recall


def test_recall_falls_with_every_clause_that_is_left_out(scenes):
    for caption, truth in scenes:
        whole = sum(judge(caption, truth).values(), Verdict())
        opening = caption.removesuffix(".").split(" with ")[0] + "."
        bare = sum(judge(opening, truth).values(), Verdict())
        assert bare.found <= whole.found and bare.right == bare.said
        lasting = any(2 * sum(n > 0 for n in numbers) >= len(numbers) for numbers in truth.counts.values())
        assert bare.found < whole.found or opening == caption or not lasting


def test_a_caption_of_another_scene_is_mostly_wrong(scenes):
    captions = [caption for caption, _ in scenes]
    foreign = total(judge(captions[i - 7], truth) for i, (_, truth) in enumerate(scenes))
    together = sum(foreign.values(), Verdict())
    assert together.precision < 0.6 and together.recall < 0.5


@pytest.mark.parametrize(
    ("text", "topic", "said", "right"),
    [
        ("A car ahead.", "counts", 1, 1),
        ("Two cars.", "counts", 1, 0),
        ("Three cars.", "counts", 1, 1),
        ("Several vehicles.", "counts", 1, 1),
        ("Many vehicles.", "counts", 1, 0),
        ("Four vehicles.", "counts", 1, 1),
        ("A red car ahead and three other vehicles.", "counts", 2, 2),
        ("No pedestrians.", "counts", 1, 1),
        ("No trucks.", "counts", 1, 0),
        ("A billboard and a church.", "kinds", 0, 0),
        ("A red truck.", "colours", 1, 0),
        ("A vehicle that is red.", "colours", 1, 1),
        ("The wet road shines under street lamps.", "road", 0, 0),
    ],
)
def test_statements(scenes, text, topic, said, right):
    truth = replace(
        scenes[0][1],
        counts={"car": (3, 3), "truck": (1, 1)},
        any_colors={"car": frozenset({"red"}), "truck": frozenset({"white"})},
    )
    verdict = judge(text, truth)[topic]
    assert (verdict.said, verdict.right) == (said, right)


def test_the_metric_reads_the_prompt_of_the_clip(truth):
    scene = procedural_scene(seed=3, road="intersection", num_vehicles=6, num_pedestrians=4)
    own = replace(truth, scene=scene, prompt=rewrite(describe(scene), "Sunny"))
    assert evaluate_metric(own, "caption_precision")["caption_precision"] == 1
    other = evaluate_metric(replace(own, prompt="A purple bus and five trains at a roundabout."), "caption_precision")
    assert other["caption_precision_kinds"] < 1 and other["caption_precision_colours"] == 0
    recall = evaluate_metric(own, "caption_recall")
    assert 0 < recall["caption_recall"] <= 1 and recall["caption_recall_road"] > 0
    assert evaluate_metric(replace(truth, prompt="A street.", scene=None), "caption_recall") == {}
