"""`model.json` is checked before a network is built of it."""

import json

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.transfer1.description import read_description
from cosmos_exp.models.transfer1.weights_folder import SHIPPED_WEIGHTS

NANO = json.loads((SHIPPED_WEIGHTS / "nano_fast" / "model.json").read_text())


def test_the_shipped_model(tmp_path):
    assert read_description(SHIPPED_WEIGHTS / "nano_fast") == NANO
    with pytest.raises(FileNotFoundError):
        read_description(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("contract.width", "256", "contract.width is '256': needed is a whole number of pixels, 8 to 8192"),
        ("contract.height", 10**9, "contract.height is 1000000000"),
        ("contract.fps", float("nan"), "the number NaN in line"),
        ("contract.fps", 0, "contract.fps is 0: needed is a number above 0"),
        ("contract.frames", {"step": 0}, "contract.frames is {'step': 0}"),
        ("contract.frames", {"most": 10**18}, "contract.frames"),
        ("contract.views", "front", "contract.views is 'front': needed is a list of names"),
        ("contract.sizes", 5, "contract.sizes is 5"),
        ("contract.overlaps", ["a"], "contract.overlaps"),
        ("contract.sigma_min", 0, "contract.sigma_min is 0: needed is a number above 0, at most 80"),
        ("contract.sigma_min", None, "contract.sigma_min is None"),
        ("contract.num_steps", 0, "contract.num_steps is 0: needed is a whole number of 1 to 1000, or null"),
        ("contract.default_steps", 1001, "contract.default_steps is 1001: needed is a whole number of 1 to 1000"),
        ("contract.default_steps", None, "contract.default_steps is None"),
        ("contract.default_steps", 8.0, "contract.default_steps is 8.0"),
        (
            "contract.multi_view_guidance",
            -1,
            r"contract.multi_view_guidance is -1: needed is a number, 0 \(no guid",
        ),
        ("contract.multi_view_guidance", "0", "contract.multi_view_guidance is '0'"),
        ("contract.multi_view_guidance", False, "contract.multi_view_guidance is False"),
        ("contract", [], "contract is .*: keys are needed"),
        ("tokenizer", "x", "tokenizer is 'x': keys are needed"),
        ("tokenizer.vae", None, "tokenizer.vae is None: keys are needed"),
        ("text_encoder.num_layers", 10**6, "text_encoder.num_layers is 1000000: at most 1000"),
        ("single_view.base.num_heads", 0, "single_view.base.num_heads is 0"),
        ("single_view.base.model_channels", "192", "a value like 4096 is needed"),
        ("single_view.base.patch_size", [1, 2], "single_view.base.patch_size is"),
        ("single_view.controls.hdmap.num_blocks", 10**12, "num_blocks is 1000000000000: at most 1000"),
        ("multi_view", 7, "multi_view is 7: keys are needed"),
    ],
)
def test_values_of_a_wrong_kind(tmp_path, key, value, message):
    description = json.loads(json.dumps(NANO))
    *groups, name = key.split(".")
    inner = description
    for group in groups:
        inner = inner[group]
    inner[name] = value
    (tmp_path / "model.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match=message):
        read_description(tmp_path)
