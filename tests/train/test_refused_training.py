"""A training that is refused says why, and leaves no folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_exp.cli.main import _dispatch
from cosmos_exp.common.errors import UserError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages=[tokeniser]", "unknown training stage 'tokeniser': did you mean 'tokenizer'"),
        ("single_view_clips.world=wider", "single_view_clips.world: unknown world 'wider': did you mean 'wide'"),
        ("attention=flsh", "unknown attention 'flsh': did you mean 'flash'"),
        ("device=cuda:99", "no CUDA device here"),
        ("num_wrokers=3", "num_wrokers"),
    ],
)
def test_a_refused_training_leaves_nothing(override: str, message: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match=message):
        _dispatch(["train", f"folder={tmp_path}/new", override])
    assert not list(tmp_path.iterdir())
