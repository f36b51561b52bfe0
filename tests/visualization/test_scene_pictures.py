from dataclasses import replace

import numpy as np
import pytest

from cosmos_exp.scene.procedural.street import procedural_scene
from cosmos_exp.scene.types import ActorClass, Scene, Track, Trajectory
from cosmos_exp.visualization.scene import count_actors, draw_scene, left_out
from cosmos_exp.visualization.scene_motion import CLASSES, EGO, path_of


@pytest.fixture(scope="module")
def street() -> Scene:
    return procedural_scene(seed=5, road="straight_2lane", num_vehicles=0, num_pedestrians=0, duration=3.0)


def driving(scene: Scene, ahead: float, actor_class: ActorClass, begin: float = 0.0) -> Track:
    """Something of 8 x 3 m that drives beside the ego, from `begin` seconds on."""
    beside = np.eye(4)
    beside[:2, 3] = ahead, 5.0
    own = scene.ego.trajectory
    kept = own.times >= begin
    trajectory = Trajectory(own.times[kept], own.poses[kept] @ beside)
    return Track("42", actor_class, (8.0, 3.0, 3.0), trajectory)


def count(picture: np.ndarray, color: tuple[int, ...]) -> int:
    return int((np.abs(picture.astype(int) - color).max(axis=-1) < 25).sum())


@pytest.mark.parametrize("actor_class", list(ActorClass))
def test_every_class_has_its_colour(street, actor_class):
    with_track = replace(street, tracks=(driving(street, 10, actor_class),))
    more = count(draw_scene(with_track), CLASSES[actor_class]) - count(draw_scene(street), CLASSES[actor_class])
    assert more > 300


def test_a_track_starts_where_it_appears(street):
    early, late = driving(street, 10, ActorClass.BUS), driving(street, 10, ActorClass.BUS, begin=2.0)
    np.testing.assert_allclose(path_of(late, street)[0], late.trajectory.at(2.0)[:2, 3])
    pictures = [draw_scene(replace(street, tracks=(track,))) for track in (early, late)]
    assert not np.array_equal(*pictures)


def test_what_lies_outside_is_counted(street):
    far = replace(street, tracks=(driving(street, 900, ActorClass.CAR),))
    (alone, with_far) = draw_scene(street), draw_scene(far)
    assert not np.array_equal(alone[-60:], with_far[-60:])  # the legend
    assert count(with_far, CLASSES[ActorClass.CAR]) == count(alone, CLASSES[ActorClass.CAR])
    assert left_out(1, 0) == "1 outside the picture" and left_out(0, 0) == ""
    assert left_out(2, 3) == "2 outside the picture, 3 without room for a name"


def test_an_ego_that_stands_still(street):
    own = street.ego.trajectory
    still = Trajectory(own.times, np.repeat(own.poses[:1], len(own.times), axis=0))
    picture = draw_scene(replace(street, ego=replace(street.ego, trajectory=still)))
    assert count(picture, EGO) > 100


def test_count_of_actors(street):
    assert count_actors(street) == "no actors besides the ego"
