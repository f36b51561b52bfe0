import json

import numpy as np
import pytest
from helpers.clips import VERTICES

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.rds_hq.layers import FORMAT_LAYERS, Label, labels_json, read_labels

ATTRIBUTES = ({"name": "width", "double": 0.3}, {"name": "styles", "enumsList": {"enumsList": ["SOLID_SINGLE"] * 3}})


@pytest.mark.parametrize("layer", FORMAT_LAYERS)
def test_there_and_back(layer):
    vertices = VERTICES[FORMAT_LAYERS[layer]] / 3  # not exact in decimals
    both = (vertices, vertices + 1) if layer == "lanes" else (vertices,)
    document = json.loads(labels_json(layer, [Label(both, ATTRIBUTES), Label(both)], timestamp=7))
    labels, left_out = read_labels(layer, document, "file")
    assert len(labels) == 2 and left_out == 0
    np.testing.assert_array_equal(labels[0].vertices, both)
    assert labels[0].attributes[-2:] == ATTRIBUTES
    assert document["labels"][1]["timestampMicroseconds"] == "7"


def test_an_empty_layer_says_so():
    document = json.loads(labels_json("traffic_lights", []))
    (entry,) = document["labels"]
    assert entry["labelFamily"] == "EMPTY" and entry["labelData"] == {"emptyLabel": True}
    assert read_labels("traffic_lights", document, "file") == ([], 0)


def test_mistakes_of_a_writer():
    with pytest.raises(UserError, match="unknown layer 'lane'"):
        labels_json("lane", [])
    with pytest.raises(UserError, match="one vertex list, not 2"):
        labels_json("poles", [Label((np.zeros((2, 3)),) * 2)])
