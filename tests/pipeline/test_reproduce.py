"""What a run records of itself, and whether it can be made again from that."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from cosmos_exp.cli.commands.reproduce import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.pipeline import provenance
from cosmos_exp.pipeline.evaluate import evaluate_run
from cosmos_exp.pipeline.reproduce import Comparison, altered, changed, compare, read_run, rerun, typed_config
from cosmos_exp.pipeline.run import run
from cosmos_exp.runs.run_folder import RunFolder
from cosmos_exp.sampling.seeds import item_seed

SMALL = ("model.num_frames=9", "sampler.num_steps=2", "scene.num_vehicles=2", "metrics.names=[blur_ssim]")


@pytest.fixture(scope="module")
def finished(configure, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    cfg = configure(*SMALL, "tracking=disabled", "sensors=front", "views=single", f"paths.outputs={root}", "name=x")
    run(cfg, root / "run")
    return root / "run"


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "copy")


def test_a_run_records_what_it_follows_from(finished: Path, tiny_model_folder: Path) -> None:
    record = RunFolder(finished).read_provenance()
    (clip,) = RunFolder(finished).clips()
    base = hashlib.sha256((tiny_model_folder / "base.safetensors").read_bytes()).hexdigest()
    assert record["model"]["files"]["base.safetensors"] == base
    assert not any(name.startswith("multiview") for name in record["model"]["files"])
    assert record["packages"]["torch"] and "pytest" not in record["packages"]
    assert record["noise"] == {"single_view": [item_seed(0, "single_view", clip)]}
    assert record["seeds"]["sampler"] == 0
    assert {"single_view/Sunny", "control/hdmap/front_wide_120fov"} <= set(record["results"])


def test_the_state_of_the_checkout_is_told(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "code.py").write_text("1\n")
    assert provenance.git_state(package) is None
    for command in (("init", "-q"), ("add", "."), ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x")):
        provenance._git(tmp_path, *command)
    provenance.git_state.cache_clear()
    clean = provenance.git_state(package)
    (package / "code.py").write_text("2\n")
    provenance.git_state.cache_clear()
    edited = provenance.git_state(package)
    assert (clean["changed"], edited["changed"]) == ([], ["package/code.py"])
    assert edited["commit"] == clean["commit"] and "difference" in edited


def test_the_config_of_a_folder_has_its_types_and_values_again(finished: Path) -> None:
    cfg = typed_config(RunFolder(finished))
    assert OmegaConf.to_container(cfg) == RunFolder(finished).read_config()
    assert list(cfg.sensors.cameras) == ["front_wide_120fov"]


@pytest.fixture(scope="module")
def again(finished: Path, tmp_path_factory) -> RunFolder:
    """The second run of `cosmos-exp reproduce`."""
    _, cfg, _ = read_run(finished)
    return rerun(cfg, tmp_path_factory.mktemp("again"))


def differences(folder: Path, again: RunFolder, allowed: float = 0.0) -> tuple[list[str], list[str]]:
    """What differs from the record, and from the second run."""
    then, _, recorded = read_run(folder)
    return altered(then, recorded), [r.what for r in compare(then, again, recorded, allowed) if not r.same]


def test_a_run_on_the_cpu_is_the_same_bit_for_bit(copied: Path, again: RunFolder) -> None:
    assert differences(copied, again) == ([], [])
    compared = {result.what for result in compare(RunFolder(copied), again, RunFolder(copied).read_provenance(), 0.0)}
    (clip,) = RunFolder(copied).clips()
    assert {"single_view/Sunny", f"single_view/{clip}_Sunny.mp4", f"captions/{clip}.json", "metrics.json"} <= compared


REPLACED = {
    "video": ("single_view/*.mp4", lambda file: shutil.copy(next(file.parents[1].glob("hdmap/*/*.mp4")), file)),
    "video cut off": ("single_view/*.mp4", lambda file: file.write_bytes(file.read_bytes()[:2000])),
    "control video": ("hdmap/*/*.mp4", lambda file: file.write_bytes(b"")),
    "prompt": ("single_view/*.txt", lambda file: file.write_text("A street.")),
    "captions": ("captions/*.json", lambda file: file.write_text('{"Sunny": "A street."}')),
    "metrics": ("metrics.json", lambda file: file.write_text(file.read_text().replace("0.", "1."))),
}


@pytest.mark.parametrize(("pattern", "replace"), REPLACED.values(), ids=REPLACED)
@pytest.mark.parametrize("deleted", [False, True])
def test_a_file_that_is_not_what_the_run_made_is_named(
    pattern: str, replace, deleted: bool, copied: Path, again: RunFolder
) -> None:
    (file,) = copied.glob(pattern)
    name = file.relative_to(copied).as_posix()
    file.unlink() if deleted else replace(file)
    faults, differing = differences(copied, again)
    assert faults == [f"{name} is missing: the run wrote it" if deleted else f"{name} is not what the run wrote"]
    assert differing == [name]


def test_what_evaluate_adds_to_the_measurements_is_no_difference(copied: Path, again: RunFolder) -> None:
    evaluate_run(copied, ["sharpness"])
    assert "sharpness" in RunFolder(copied).read_metrics()["Sunny"]
    assert differences(copied, again) == ([], [])


def test_a_record_without_digests_proves_nothing(copied: Path, again: RunFolder) -> None:
    record = RunFolder(copied).read_provenance()
    for edited in ({"results": {}}, {"written": {}}, {"results": 5, "written": []}):
        (copied / "provenance.json").write_text(json.dumps(record | edited))
        faults, _ = differences(copied, again)
        assert faults and all("holds no digests" in fault for fault in faults)
    (copied / "provenance.json").unlink()
    assert differences(copied, again)[0] == ["provenance.json is missing: nothing says what the run made"]


def test_an_edited_result_of_the_record_is_named(copied: Path, again: RunFolder) -> None:
    record = RunFolder(copied).read_provenance()
    record["results"]["single_view/Sunny"] = ["0" * 64]
    (copied / "provenance.json").write_text(json.dumps(record))
    assert differences(copied, again)[1] == ["single_view/Sunny"]
    assert differences(copied, again, allowed=1.0)[1] == [], "its video is as the new run makes it"


def test_an_edited_config_is_found_out_and_where_it_shows_first(copied: Path, tmp_path: Path, capsys) -> None:
    config = OmegaConf.load(copied / "config.yaml")
    config.sampler.seed = 1
    OmegaConf.save(config, copied / "config.yaml")
    assert main([str(copied), "--keep", str(tmp_path / "kept"), "--tolerance", "255"]) == 1
    out = capsys.readouterr().out
    assert "config.yaml is not what the run wrote" in out
    assert "seeds.sampler: 0 then, 1 now" in out
    recorded, kept = RunFolder(copied).read_provenance(), RunFolder(tmp_path / "kept" / "again")
    by_name = {result.what: result for result in compare(RunFolder(copied), kept, recorded, 0.0)}
    assert by_name["control/hdmap/front_wide_120fov"].equal
    assert by_name["single_view/Sunny"].difference > 1 and not by_name["single_view/Sunny"].same


def test_relative_paths_are_of_the_folder_that_the_run_was_started_in(
    configure, tmp_path: Path, tiny_model_folder: Path, monkeypatch, capsys
) -> None:
    start, elsewhere = tmp_path / "start", tmp_path / "elsewhere"
    start.mkdir()
    elsewhere.mkdir()
    (start / "model").symlink_to(tiny_model_folder)
    monkeypatch.chdir(start)
    cfg = configure(*SMALL, "tracking=disabled", "sensors=front", "views=single", "paths.outputs=out", "name=x")
    cfg.model.weights = "model"
    run(cfg, start / "out" / "run")
    monkeypatch.chdir(elsewhere)
    assert main([str(start / "out" / "run")]) == 0
    assert "reproduced bit for bit" in capsys.readouterr().out
    assert not any(elsewhere.iterdir())


def test_within_tolerance_is_the_same() -> None:
    assert Comparison("a", False, 1.9, 2.0).same
    assert not Comparison("a", False, 2.1, 2.0).same
    assert not Comparison("a", False, None, 2.0).same
    assert Comparison("a", True, None, 0.0).same


def test_only_what_changed_is_told() -> None:
    then = {"python": "3.10", "packages": {"torch": "2.6", "numpy": "1"}, "model": {"folder": "/a"}}
    now = {"python": "3.10", "packages": {"torch": "2.7", "numpy": "1", "av": "14"}, "model": {"folder": "/b"}}
    assert list(changed(then, now)) == ["packages.torch: 2.6 then, 2.7 now", "packages.av: not recorded then, 14 now"]


def test_what_is_no_finished_run_is_refused(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder at"):
        main([str(tmp_path / "nowhere")])
    with pytest.raises(UserError, match=r"holds no status\.json"):
        main([str(tmp_path)])
    with pytest.raises(UserError, match="is not empty"):
        main([str(copied), "--keep", str(tmp_path)])
    config = OmegaConf.load(copied / "config.yaml")
    config.sampler.solver = "euler"
    OmegaConf.save(config, copied / "config.yaml")
    with pytest.raises(UserError, match=r"written by another version.*solver"):
        main([str(copied)])
    for text in ("5", "scene: 5", "scene: {source: [1]}\nmodel: {}", "scene: [", "\x00"):
        (copied / "config.yaml").write_text(text)
        with pytest.raises(UserError, match=r"config\.yaml"):
            main([str(copied)])
    status = json.loads((copied / "status.json").read_text())
    (copied / "status.json").write_text(json.dumps(status | {"state": "failed"}))
    with pytest.raises(UserError, match="that is failed"):
        main([str(copied)])
