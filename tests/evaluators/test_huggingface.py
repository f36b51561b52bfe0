"""Models of Hugging Face, tiny and with random weights: classes, processors and output forms are the real ones."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
import transformers

from cosmos_exp.common.errors import UserError
from cosmos_exp.evaluators import EvaluatorConfig, load_evaluator
from cosmos_exp.evaluators.huggingface import NO_CLASS, class_table, object_kinds
from cosmos_exp.evaluators.identity import revision
from cosmos_exp.evaluators.types import OBJECT_CLASSES, SEMANTIC_CLASSES

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 48, 80, 3), dtype=np.uint8)
SIZES = {
    "num_encoder_blocks": 2,
    "depths": [1, 1],
    "sr_ratios": [2, 1],
    "hidden_sizes": [8, 16],
    "patch_sizes": [7, 3],
    "strides": [4, 2],
    "num_attention_heads": [1, 2],
    "mlp_ratios": [1, 1],
}


def saved(folder, model, processor):
    torch.manual_seed(0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory):
    names = {0: "road", 1: "traffic light", 2: "tree", 3: "curtain"}
    config = transformers.SegformerConfig(**SIZES, decoder_hidden_size=8, num_labels=4, id2label=names)
    processor = transformers.SegformerImageProcessor(size={"height": 32, "width": 64})
    return saved(tmp_path_factory.mktemp("seg"), transformers.SegformerForSemanticSegmentation(config), processor)


@pytest.fixture(scope="module")
def depth(tmp_path_factory):
    config = transformers.GLPNConfig(**SIZES, decoder_hidden_size=8)
    return saved(
        tmp_path_factory.mktemp("depth"), transformers.GLPNForDepthEstimation(config), transformers.GLPNImageProcessor()
    )


@pytest.fixture(scope="module")
def detection(tmp_path_factory):
    config = transformers.YolosConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[32, 64],
        num_detection_tokens=5, num_labels=3, id2label={0: "car", 1: "person", 2: "kite"},
    )  # fmt: skip
    processor = transformers.YolosImageProcessor(size={"height": 32, "width": 64})
    return saved(tmp_path_factory.mktemp("det"), transformers.YolosForObjectDetection(config), processor)


def test_all_three_together(segmentation, depth, detection):
    config = EvaluatorConfig("transformers", 1, 2, None, segmentation, depth, detection)
    seen = load_evaluator(config, "cpu").perceive(FRAMES)
    assert seen.semantic.shape == FRAMES.shape[:3] and seen.semantic.dtype == np.uint8
    classes = [*SEMANTIC_CLASSES]
    allowed = {classes.index("road"), classes.index("traffic_light"), classes.index("vegetation"), NO_CLASS}
    assert {int(value) for value in np.unique(seen.semantic)} <= allowed
    assert seen.known == ("road", "traffic_light", "vegetation")
    assert seen.depth.shape == FRAMES.shape[:3] and (seen.depth > 0).all()
    assert seen.boxes.shape[1] == 7 and len(seen.boxes)
    assert {int(kind) for kind in seen.boxes[:, 1]} <= {0, [*OBJECT_CLASSES].index("pedestrian")}
    assert seen.paint is None


def test_one_alone_tells_only_its_part(depth):
    seen = load_evaluator(EvaluatorConfig("transformers", depth=depth), "cpu").perceive(FRAMES)
    assert seen.depth is not None and seen.semantic is None and seen.boxes is None


def test_batches_do_not_change_the_result(segmentation):
    one, all_ = (
        load_evaluator(EvaluatorConfig("transformers", batch=batch, segmentation=segmentation), "cpu").perceive(FRAMES)
        for batch in (1, 8)
    )
    assert (one.semantic == all_.semantic).mean() > 0.999


def test_the_models_are_part_of_the_identity(segmentation, depth):
    identities = [
        load_evaluator(EvaluatorConfig("transformers", segmentation=segmentation, depth=d), "cpu").identity
        for d in (None, depth)
    ]
    assert identities[0] != identities[1] and identities[0]["segmentation"][0] == segmentation


def test_other_weights_in_the_same_folder_are_another_model(depth, tmp_path):
    folder = shutil.copytree(depth, tmp_path / "model")
    before = revision(str(folder))
    torch.manual_seed(1)
    transformers.GLPNForDepthEstimation(transformers.GLPNConfig(**SIZES, decoder_hidden_size=8)).save_pretrained(folder)
    assert revision(str(folder)) != before == revision(depth)
    assert revision("nobody/has-this-model") == ""


def test_names_of_ade20k_have_synonyms():
    table, known = class_table({0: "sky", 1: "car, auto, automobile", 2: "sofa"})
    assert known == ("sky", "vehicle")
    assert table[:3].tolist() == [[*SEMANTIC_CLASSES].index("sky"), [*SEMANTIC_CLASSES].index("vehicle"), NO_CLASS]


def test_a_model_without_a_class_of_ours_is_refused():
    with pytest.raises(UserError, match=r"evaluator\.segmentation: none of the model's classes \(cat, dog"):
        class_table({0: "cat", 1: "dog"})
    with pytest.raises(UserError, match=r"evaluator\.detection: none of the model's classes"):
        object_kinds({0: "kite"})


def test_a_folder_without_a_model_is_refused(tmp_path):
    evaluator = load_evaluator(EvaluatorConfig("transformers", depth=str(tmp_path)), "cpu")
    with pytest.raises(UserError, match=r"evaluator\.depth="):
        evaluator.perceive(FRAMES)
