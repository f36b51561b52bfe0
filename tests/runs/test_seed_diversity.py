from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.sweep_folder import CLIP, write_run

from cosmos_exp import load_sweep
from cosmos_exp.common.video import write_video
from cosmos_exp.common.views import VIEWS
from cosmos_exp.runs import seed_diversity
from cosmos_exp.runs.seed_diversity import FILE, KEY, difference, join_seed_diversity
from cosmos_exp.runs.sweep_cells import read_cells


def flat(level: int) -> np.ndarray:
    return np.full((5, 72, 128, 3), level, np.uint8)


def write_seeds(folder: Path, levels: dict[tuple[int, int, str], int]) -> Path:
    """A run per (scene, seed, style), whose video is of one grey level."""
    for (scene, seed, style), level in levels.items():
        run = folder / f"{scene}_{seed}_{style}"
        write_run(run, [f"scene.seed={scene}", f"sampler.seed={seed}", f"captions.styles=[{style}]"], styles=(style,))
        write_video(run / "multi_view" / f"{CLIP}_{style}" / "0.mp4", flat(level), 10)
    return folder


def values(cells) -> dict[str, float]:
    return {cell.run: cell.metrics[KEY] for cell in cells if KEY in cell.metrics}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_seeds(
        tmp_path,
        {(1, 0, "Night"): 50, (1, 1, "Night"): 60, (1, 2, "Night"): 90, (2, 0, "Night"): 200, (2, 0, "Foggy"): 100},
    )


def test_a_cell_has_its_mean_difference_to_the_other_seeds_of_its_scene_and_style(folder):
    found = values(join_seed_diversity(folder, read_cells(folder)))
    expected = {"1_0_Night": (10 + 40) / 2, "1_1_Night": (10 + 30) / 2, "1_2_Night": (40 + 30) / 2}
    assert found == pytest.approx(expected, abs=2), "levels, but for the compression of the videos"


def test_differences_are_kept_until_a_video_changes(folder, monkeypatch):
    cells = read_cells(folder)
    first = values(join_seed_diversity(folder, cells))
    assert len(json.loads((folder / FILE).read_text())) == 3, "pairs"

    decoded = []
    monkeypatch.setattr(seed_diversity, "frames_at", lambda video, *_, **__: decoded.append(video) or flat(60)[:3])
    assert values(join_seed_diversity(folder, read_cells(folder))) == first and not decoded
    assert values(load_sweep(folder).cells) == first

    changed = next(cell for cell in cells if cell.run == "1_1_Night").videos[VIEWS[0]]
    os.utime(changed, ns=(1, 1))
    assert set(values(load_sweep(folder).cells)) == {"1_0_Night", "1_2_Night"}, "nothing is measured by reading"
    join_seed_diversity(folder, read_cells(folder))
    assert len(decoded) == 3, "what has a changed partner, once each"


def test_a_file_that_cannot_be_read_is_made_again(folder):
    (folder / FILE).write_text("{")
    assert len(values(join_seed_diversity(folder, read_cells(folder)))) == 3
    assert len(json.loads((folder / FILE).read_text())) == 3


def test_without_several_seeds_nothing_is_measured_or_written(tmp_path):
    folder = write_seeds(tmp_path, {(1, 0, "Night"): 50, (2, 1, "Night"): 60})
    assert values(join_seed_diversity(folder, read_cells(folder))) == {}
    assert not (folder / FILE).exists()


def test_the_difference_is_proportional_to_a_blend_and_small_for_small_noise():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 3, 72, 128, 3)).astype(np.uint8)
    blended = [difference(a, np.round(a + share * (b.astype(float) - a)).astype(np.uint8)) for share in (0.25, 0.5, 1)]
    assert blended[0] / blended[2] == pytest.approx(0.25, abs=0.005)
    assert blended[1] / blended[2] == pytest.approx(0.5, abs=0.005)
    noisy = np.clip(a + rng.normal(0, 2, a.shape), 0, 255).astype(np.uint8)
    assert 0 < difference(a, noisy) < 3
    assert difference(a, a) == 0
    assert difference(a, a[:2]) is None, "of another length"
