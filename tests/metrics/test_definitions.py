"""The page of the metrics: every metric has its section, with every field, and every key is in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosmos_exp.metrics import METRICS, READS_PROMPT, READS_TARGETS
from cosmos_exp.metrics.definitions import FIELDS, PAGE, definitions, metric_name
from cosmos_exp.metrics.info import METRIC_INFO

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.mark.skipif(not (Path(__file__).parents[2] / "cosmos_exp").is_dir(), reason="needs the whole repository")
def test_the_page_of_the_documentation_is_this_file():
    assert DOCS.resolve() == PAGE


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_its_section_with_every_field(metric: str):
    found = definitions()[metric]
    assert found.keys[0] == metric, "the metric before its further keys"
    assert tuple(found.fields) == FIELDS
    assert all(found.fields.values())
    lines = found.text.splitlines()
    assert lines[0] == f"## {found.title}" and lines[2] and not lines[2].startswith("- "), "a paragraph before the list"


def test_every_key_that_has_a_label_is_in_a_section_and_no_other():
    assert set(definitions()) == set(METRIC_INFO)


@pytest.mark.parametrize("key", [key for key, info in METRIC_INFO.items() if info.direction])
def test_the_direction_is_that_of_the_tables(key: str):
    found = definitions()[key]
    directions = {METRIC_INFO[name].direction for name in found.keys} - {""}
    said = found.fields["Direction"]
    main, *others = said.replace(".", ";").split(";")
    if METRIC_INFO[key].direction == METRIC_INFO[found.keys[0]].direction:
        assert main == METRIC_INFO[key].direction
    else:
        assert f"`{key}` {METRIC_INFO[key].direction}" in "".join(others)
    assert directions <= {"up", "down"}


@pytest.mark.parametrize("metric", sorted(READS_TARGETS))
def test_appearance_is_compared_with_the_render_in_the_style(metric: str):
    assert definitions()[metric].fields["Compares with"].startswith("the render in the requested style")


def test_the_table_at_the_top_has_every_metric_once():
    rows = [line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| [`")]
    assert sorted(rows) == sorted([*METRICS, *READS_PROMPT])


def test_keys_of_views_and_of_references_belong_to_their_metric():
    assert [metric_name(key) for key in ("psnr", "psnr/rear_tele_30fov", "normalised/psnr", "floor/psnr")] == [
        "psnr"
    ] * 4
