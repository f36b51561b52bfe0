"""A small model of the family, from published files to a model folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _one_thread():
    """As a run on a CPU computes; with more, the small layers are slower."""
    from cosmos_exp.common.threads import torch_threads

    with torch_threads(1):
        yield


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """The folder of published files, their description, and the modules whose weights they hold."""
    from helpers.published25 import small_config, write_published

    folder, config = tmp_path_factory.mktemp("published25"), small_config()
    return folder, config, write_published(folder, config)


@pytest.fixture(scope="session")
def model25_folder(published, tmp_path_factory) -> Path:
    """The same as a model folder, weights in float32."""
    import torch

    from cosmos_exp.models.checkpoints.convert import convert_checkpoint
    from cosmos_exp.models.transfer25.convert import read_part
    from cosmos_exp.models.transfer25.released import MODELS

    source, config, _ = published
    folder = tmp_path_factory.mktemp("model25")
    files = MODELS["transfer25_auto_multiview"].files
    options = {"dtype": torch.float32, "report": lambda line: None, "read": read_part}
    assert convert_checkpoint(source, folder, config, files, **options) == ["network", "tokenizer", "text_encoder"]
    return folder


@pytest.fixture(scope="session")
def general25(tmp_path_factory):
    """A function: the model folder of a single-view model by name, of published files with one base net, and the
    networks that these hold, by control."""
    import torch
    from helpers.published25 import small_config, write_general

    from cosmos_exp.models.checkpoints.convert import convert_checkpoint
    from cosmos_exp.models.transfer25.convert import read_part
    from cosmos_exp.models.transfer25.released import MODELS

    source = tmp_path_factory.mktemp("published25_general")
    nets = write_general(source, small_config("transfer25_edge"))

    @cache
    def converted(name: str):
        folder = tmp_path_factory.mktemp(name)
        options = {"dtype": torch.float32, "report": lambda line: None, "read": read_part}
        convert_checkpoint(source, folder, small_config(name), MODELS[name].files, **options)
        return folder, nets

    return converted


@pytest.fixture(scope="session")
def model25(model25_folder):
    from cosmos_exp.models.dit.memory import Memory
    from cosmos_exp.models.transfer25.model import ViewsModel

    return ViewsModel.from_folder(model25_folder, memory=Memory(text_encoder_dtype="float32"))
