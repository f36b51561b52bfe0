import copy
import json

import pytest

from cosmos_exp.common.errors import UserError, ValidationErrors
from cosmos_exp.scene.rds_hq.dataset_file import dataset_of, find_dataset
from cosmos_exp.scene.rds_hq.datasets import DATASETS

GOOD = {
    "CAMERAS": ["camera_front_wide_120fov"],
    "MINIMAP_TYPES": ["lanelines", "poles"],
    "INPUT_POSE_FPS": 30,
    "INPUT_LIDAR_FPS": 10,
    "COSMOS_RESOLUTION": [1280, 704],
    "NOT_POST_TRAINING": {
        "RESIZE_RESOLUTION": [1280, 720],
        "TO_COSMOS_RESOLUTION": "center-crop",
        "TARGET_CHUNK_FRAME": 16,
        "OVERLAP_FRAME": 4,
        "TARGET_RENDER_FPS": 30,
    },
}


def changed(key, value, block=False):
    document = copy.deepcopy(GOOD)
    (document["NOT_POST_TRAINING"] if block else document)[key] = value
    return document


def test_shipped():
    assert list(DATASETS) == ["rds_hq", "rds_hq_mv", "waymo", "waymo_mv", "waymo_mv_short"]
    assert [len(d.cameras) for d in DATASETS.values()] == [1, 6, 1, 5, 5]
    assert [len(d.layers) for d in DATASETS.values()] == [8, 8, 3, 3, 3]
    assert {d.size for d in DATASETS.values()} == {(1280, 704)}
    assert {d.resize for d in DATASETS.values()} == {(1280, 720), (1280, 704)}
    assert [d.max_chunk for d in DATASETS.values()] == [None, 1, None, 1, 1]
    assert [d.for_post_training().fit for d in DATASETS.values()] == ["center-crop"] * 2 + ["resize"] * 3
    assert DATASETS["waymo_mv"].rds_hq_cameras["side_left"] in DATASETS["rds_hq_mv"].cameras


@pytest.mark.parametrize("name", DATASETS)
def test_json_there_and_back(name, tmp_path):
    path = tmp_path / f"dataset_{name}.json"
    path.write_text(DATASETS[name].to_json())
    assert find_dataset(path) == find_dataset(name) == DATASETS[name]


def test_configs_of_the_toolkit(shared):
    folder = shared / "rds_hq" / "golden" / "inputs"
    if not folder.is_dir():
        pytest.skip("no RDS-HQ goldens")
    assert find_dataset(folder / "dataset_rds_hq_mv.json") == DATASETS["rds_hq_mv"]
    synth = find_dataset(folder / "dataset_synth.json")
    assert synth.name == "synth"
    assert synth.frame_ids(40) == list(range(40))
    assert synth.chunks(40) == [range(0, 16), range(12, 28), range(24, 40)]
    training = synth.for_post_training()
    assert training.frame_ids(40) == list(range(0, 40, 3))
    assert training.chunks(14) == [range(0, 5), range(5, 10)]


def test_frames_and_chunks():
    assert DATASETS["rds_hq"].frame_ids(300) == list(range(300))
    assert DATASETS["rds_hq"].chunks(300) == [range(0, 121), range(121, 242)]
    assert DATASETS["rds_hq_mv"].frame_ids(300) == list(range(121))
    assert DATASETS["rds_hq_mv"].chunks(120) == []
    assert DATASETS["waymo"].for_post_training().frame_ids(31) == list(range(0, 31, 3))


def test_max_chunk_counts_the_overlap():
    dataset = dataset_of(changed("MAX_CHUNK", 3, block=True), name="a", place="a")
    assert dataset.frame_ids(300) == list(range(16 + 2 * 12))
    assert dataset.chunks(40) == [range(0, 16), range(12, 28), range(24, 40)]


def test_frame_rates_that_do_not_divide():
    dataset = dataset_of(changed("TARGET_RENDER_FPS", 24, block=True), name="a", place="a")
    assert dataset.frame_ids(5) == [0, 1, 2, 3, 4]


def test_optional_keys():
    document = {k: v for k, v in GOOD.items() if k != "INPUT_LIDAR_FPS"} | {"GT_VIDEO_FPS": 30}
    dataset = dataset_of(document, name="a", place="a")
    assert dataset.lidar_fps == 10 and dataset.rds_hq_cameras == {}
    with pytest.raises(UserError, match="dataset a has no block POST_TRAINING"):
        dataset.for_post_training()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (changed("CAMERAS", []), "CAMERAS needs a list of different camera names"),
        (changed("CAMERAS", ["Front"]), "in lower case"),
        (changed("CAMERAS", ["a", "a"]), "different camera names"),
        (changed("CAMERAS", [["a"]]), "camera names"),
        (changed("MINIMAP_TYPES", ["lane_lines"]), r"MINIMAP_TYPES needs layers among .*did you mean 'lanelines'"),
        (changed("INPUT_POSE_FPS", 0), "INPUT_POSE_FPS needs a whole number of 1 to 1000000, not 0"),
        (changed("INPUT_POSE_FPS", True), "not True"),
        (changed("COSMOS_RESOLUTION", [1280, 703]), r"even numbers of 2 to 8192, not \[1280, 703\]"),
        (changed("COSMOS_RESOLUTION", 704), r"COSMOS_RESOLUTION needs \[width, height\]"),
        (changed("COSMOS_RESOLUTION", [1280, 722]), "too small for a center-crop"),
        (changed("INPUT_FPS", 30), "unknown key 'INPUT_FPS': did you mean 'INPUT_POSE_FPS'"),
        (changed("NOT_POST_TRAINING", 1), "NOT_POST_TRAINING needs an object, not 1"),
        (changed("CAMERAS_TO_RDS_HQ", {"front": 1}), "CAMERAS_TO_RDS_HQ needs an object of camera"),
        (changed("TO_COSMOS_RESOLUTION", "crop", True), "NOT_POST_TRAINING: TO_COSMOS_RESOLUTION needs 'resize' or"),
        (changed("OVERLAP_FRAME", 16, True), "OVERLAP_FRAME 16 must be below TARGET_CHUNK_FRAME 16, nearest 15"),
        (changed("TARGET_RENDER_FPS", 60, True), "TARGET_RENDER_FPS 60 is above INPUT_POSE_FPS 30, nearest 30"),
        (changed("MAX_CHUNKS", 1, True), "unknown key 'MAX_CHUNKS': did you mean 'MAX_CHUNK'"),
        ({"CAMERAS": ["a"]}, "key 'NOT_POST_TRAINING' is missing"),
    ],
)
def test_wrong_configs(document, message):
    with pytest.raises(ValidationErrors, match=message):
        dataset_of(document, name="a", place="a.json")


def test_all_mistakes_at_once():
    document = changed("OVERLAP_FRAME", -1, block=True) | {"INPUT_POSE_FPS": 0}
    with pytest.raises(ValidationErrors) as caught:
        dataset_of(document, name="a", place="a.json")
    assert len(caught.value.errors) == 2


def test_files_and_names(tmp_path):
    with pytest.raises(UserError, match=r"unknown dataset 'waymo_nv': did you mean 'waymo_mv'.*or a JSON file"):
        find_dataset("waymo_nv")
    with pytest.raises(UserError, match="no such dataset file"):
        find_dataset(tmp_path / "a.json")
    path = tmp_path / "a.json"
    path.write_text("{]")
    with pytest.raises(UserError, match="is not JSON"):
        find_dataset(path)
    path.write_text(json.dumps([1]))
    with pytest.raises(UserError, match="a dataset is a JSON object"):
        find_dataset(path)
