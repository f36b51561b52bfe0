"""A cell whose recorded overrides cannot be read fails alone, with the name of the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cosmos_exp.common.errors import UserError
from cosmos_exp.sweeps.cell import CellRunner
from cosmos_exp.sweeps.queue import OVERRIDES, RECORD

BOMB = "- &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"- &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdef", "bcdefg")
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "is missing"),
        ("sampler.seed: 1\n", "not a list of overrides"),
        ("- [\n", "not readable as YAML"),
        ("- !!python/object/apply:os.system [ls]\n", "not readable as YAML"),
        (BOMB, "more than 100000 values"),
    ],
)
def test_the_record_is_named(content: str | None, expected: str, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text("{}")
    record = tmp_path / "0_abc" / OVERRIDES
    record.parent.mkdir(parents=True)
    if content is not None:
        record.write_text(content)
    runner = CellRunner(None, OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}), None)
    error = runner.run(record.parents[1])
    assert isinstance(error, UserError)
    assert str(record) in str(error) and expected in str(error)
