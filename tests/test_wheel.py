"""The wheel holds the whole package, and its options as plain folders."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COMPILED = (".pyc", ".nbi", ".nbc")


@pytest.fixture(scope="module")
def in_wheel() -> set[str]:
    if not (ROOT / "cosmos_exp").is_dir():
        pytest.skip("the package is no part of this folder")
    wheel = pytest.importorskip("hatchling.builders.wheel", reason="needs cosmos-exp[dev]")
    return {file.distribution_path for file in wheel.WheelBuilder(str(ROOT)).recurse_included_files()}


@pytest.mark.parametrize("package", ["cosmos_exp", "hydra_plugins"])
def test_every_file_of_the_package_is_in_the_wheel(package: str, in_wheel: set[str]) -> None:
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / package).rglob("*") if path.is_file()}
    wanted = {file for file in files if not file.endswith(COMPILED)}
    assert wanted and not wanted - in_wheel


def test_options_and_ready_sweeps_are_in_the_wheel(in_wheel: set[str]) -> None:
    assert {f"cosmos_exp/conf/{file}" for file in ("config.yaml", "model/nano.yaml", "sweep/guidance.yaml")} <= in_wheel
