"""The network that ships with the package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.perceived import perceived_clip

from cosmos_exp.common.errors import UserError
from cosmos_exp.evaluators import EvaluatorConfig, evaluator_problems, load_evaluator
from cosmos_exp.evaluators.boxes import intersection_over_union, suppressed
from cosmos_exp.evaluators.nano import WEIGHTS, NanoEvaluator, decoded, load_network, save_network
from cosmos_exp.evaluators.network import STRIDE, PerceptionNet, Prediction, most_likely
from cosmos_exp.evaluators.types import OBJECT_CLASSES, PAINT_CLASSES, SEMANTIC_CLASSES, Perception


def test_the_weights_stay_within_their_size():
    assert WEIGHTS.stat().st_size <= 4_000_000


def test_what_it_sees_covers_the_frames_and_survives_storage():
    clip = perceived_clip()
    frames = clip.single_view
    seen = NanoEvaluator(EvaluatorConfig(batch=2)).perceive(frames)
    assert seen.semantic.shape == seen.paint.shape == frames.shape[:3]
    assert seen.depth.shape == (len(frames), frames.shape[1] // STRIDE, frames.shape[2] // STRIDE)
    assert seen.semantic.max() < len(SEMANTIC_CLASSES) and seen.paint.max() <= len(PAINT_CLASSES)
    assert set(np.unique(seen.boxes[:, 0])) <= {0, 1, 2} and (seen.boxes[:, 5:] > seen.boxes[:, 3:5]).all()
    again = Perception.from_arrays(seen.arrays())
    assert all(np.array_equal(getattr(again, name), value) for name, value in seen.arrays().items() if name != "known")
    assert again.known == tuple(SEMANTIC_CLASSES)


def test_the_size_of_a_batch_does_not_matter():
    frames = perceived_clip().single_view
    one, all_ = (NanoEvaluator(EvaluatorConfig(batch=batch)).perceive(frames) for batch in (1, 8))
    assert (one.semantic == all_.semantic).mean() > 0.999
    assert np.allclose(one.depth, all_.depth, rtol=1e-3)


def test_frames_of_another_size_are_scaled_and_boxes_scaled_back():
    frames = perceived_clip().single_view
    large = frames.repeat(2, axis=1).repeat(2, axis=2)
    evaluator = NanoEvaluator()
    small_boxes, large_boxes = (
        b[b[:, 2] > 0.5] for b in (evaluator.perceive(frames).boxes, evaluator.perceive(large).boxes)
    )
    assert len(small_boxes) and np.allclose(2 * small_boxes[:, 3:], large_boxes[:, 3:], atol=2.0)


def test_centres_become_boxes():
    heat, sides = torch.full((1, len(OBJECT_CLASSES), 8, 8), -9.0), torch.full((1, 4, 8, 8), 3.0)
    heat[0, 1, 2, 4], heat[0, 1, 2, 5], heat[0, 3, 6, 6] = 4.0, 3.0, 0.0
    none = torch.zeros(1, 4, 8, 8)
    found = decoded(Prediction(none, none, none[:, 0], heat, sides, none[:, :, 0, 0]))
    assert found[:, :2].tolist() == [[0, 1], [0, 3]]
    assert found[0, 2] == pytest.approx(torch.tensor(4.0).sigmoid()) and found[1, 2] == 0.5
    assert found[0, 3:].tolist() == [8.5 - 3, 4.5 - 3, 8.5 + 3 + 1, 4.5 + 3 + 1]


def test_the_most_likely_class_is_that_of_the_shuffled_logits():
    cells = torch.randn(2, 3 * STRIDE * STRIDE, 4, 5, generator=torch.Generator().manual_seed(0))
    whole = torch.nn.functional.pixel_shuffle(cells, STRIDE).argmax(dim=1)
    assert torch.equal(most_likely(cells), whole.to(torch.uint8))


def test_of_boxes_that_say_the_same_the_surest_stays():
    boxes = np.array(
        [[0, 0, 0.6, 0, 0, 10, 10], [0, 0, 0.9, 1, 0, 11, 10], [0, 1, 0.5, 0, 0, 10, 10], [1, 0, 0.2, 0, 0, 9, 9]]
    )
    assert suppressed(boxes).tolist() == [1, 2, 3]


def test_intersection_over_union():
    a = np.array([[0.0, 0, 2, 2]])
    assert intersection_over_union(a, np.array([[1.0, 1, 3, 3], [0, 0, 2, 2], [5, 5, 6, 6]])).tolist() == [
        [1 / 7, 1.0, 0.0]
    ]


def test_a_network_survives_its_file(tmp_path):
    network = PerceptionNet()
    save_network(network, tmp_path / "net.safetensors")
    again = load_network(tmp_path / "net.safetensors")
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.half().float())


def test_other_files_are_refused(tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"broken\.safetensors does not hold the evaluator's network"):
        load_network(tmp_path / "broken.safetensors")
    with pytest.raises(UserError, match="no evaluator weights at"):
        load_network(tmp_path / "none.safetensors")


def test_a_config_names_its_problems():
    assert load_evaluator(EvaluatorConfig("none"), "cpu") is None
    assert list(evaluator_problems(EvaluatorConfig())) == []
    (problem,) = evaluator_problems(EvaluatorConfig("nanno"))
    assert "did you mean 'nano'" in problem
    (problem,) = evaluator_problems(EvaluatorConfig(every=0))
    assert problem == "evaluator.every=0: must be 1 or more"
    (problem,) = evaluator_problems(EvaluatorConfig("transformers"))
    assert "needs evaluator.segmentation" in problem
    (problem,) = evaluator_problems(EvaluatorConfig(weights="gone.safetensors"))
    assert problem == "evaluator.weights: no file 'gone.safetensors'"
    (problem,) = evaluator_problems(EvaluatorConfig(depth="x"))
    assert problem == "evaluator.depth=x: only evaluator=transformers reads it"
