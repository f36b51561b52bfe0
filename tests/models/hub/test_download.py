"""`cosmos-exp download` against a Hub on this machine."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest
from helpers.hub_server import COMMIT, Hub, Repo, cut_after, git_sha1, interrupt_after, point_at, wrong_bytes
from huggingface_hub import constants

from cosmos_exp.cli.commands.download import main
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.files import partial_name
from cosmos_exp.models.hub.models import SAMPLE_AV, TRANSFER

TOKENIZER = "nvidia/Cosmos-Tokenize1-CV8x8x8-720p"
T5 = "google-t5/t5-11b"
GUARD = "meta-llama/Llama-Guard-3-8B"
AV = ["transfer1_7b_av", "--alone", "--controls", "hdmap"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def files(folder: Path) -> set[str]:
    """Names below the folder, without those that begin with a dot: notes, locks and what is still arriving."""
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts)}


def test_exactly_the_needed_files_arrive(hub: Hub, folder: Path) -> None:
    assert main(["transfer1_7b", "--controls", "edge,seg", "--to", str(folder)]) == 0
    assert files(folder) == {
        *(f"{TRANSFER}/{name}" for name in ("base_model.pt", "edge_control.pt", "seg_control.pt")),
        *(f"{TOKENIZER}/{name}" for name in ("encoder.jit", "decoder.jit", "autoencoder.jit", "mean_std.pt")),
        *(f"{T5}/{name}" for name in ("config.json", "spiece.model", "tokenizer.json", "pytorch_model.bin")),
    }
    for name in files(folder):
        repo, file = name.rsplit("/", 1)
        assert (folder / name).read_bytes() == hub.repos[repo].files[file]


def test_folders_of_a_repository_are_kept(hub: Hub, folder: Path) -> None:
    main(["guardrail", "--alone", "--to", str(folder)])
    names = {name.removeprefix("nvidia/Cosmos-Guardrail1/") for name in files(folder)}
    assert names == {"blocklist/exact/words", "video_content_safety_filter/f.pt", "face_blur_filter/Resnet50.pth"}


def test_a_second_run_fetches_nothing(hub: Hub, folder: Path, capsys) -> None:
    main([*AV, "--to", str(folder)])
    before = hub.fetched()
    main([*AV, "--to", str(folder)])
    assert hub.fetched() == before
    assert "2 files, 6 kB: 6 kB there, 0 B to fetch" in capsys.readouterr().out


def test_a_broken_connection_is_taken_up_again(hub: Hub, folder: Path) -> None:
    hub.faults["base_model.pt"] = [cut_after(1000)]
    main([*AV, "--to", str(folder)])
    assert hub.fetched()[:2] == [("base_model.pt", None), ("base_model.pt", "bytes=1000-")]
    assert (folder / SAMPLE_AV / "base_model.pt").read_bytes() == hub.repos[SAMPLE_AV].files["base_model.pt"]


def test_a_busy_server_is_asked_again(hub: Hub, folder: Path) -> None:
    hub.busy = ["HEAD"]
    main([*AV, "--to", str(folder)])
    assert files(folder) == {f"{SAMPLE_AV}/base_model.pt", f"{SAMPLE_AV}/hdmap_control.pt"}


def test_a_server_that_stays_busy_is_an_error(hub: Hub, folder: Path) -> None:
    hub.busy = ["GET"]
    with pytest.raises(UserError, match=r"answered nvidia/\S+ with status 503: run the same command again later"):
        main([*AV, "--to", str(folder)])
    assert files(folder) == set()
    assert main([*AV, "--to", str(folder)]) == 0


def test_an_interrupted_run_goes_on_with_the_files_that_are_missing(hub: Hub, folder: Path, capsys) -> None:
    hub.faults["hdmap_control.pt"] = [interrupt_after(1000)]
    with pytest.raises(KeyboardInterrupt):
        main([*AV, "--to", str(folder)])
    assert files(folder) == {f"{SAMPLE_AV}/base_model.pt"}, "no part of a file stands under its name"
    assert "the same command goes on" in capsys.readouterr().err
    hub.requests.clear()
    main([*AV, "--to", str(folder)])
    assert [name for name, _ in hub.fetched()] == ["hdmap_control.pt"]
    assert (folder / SAMPLE_AV / "hdmap_control.pt").read_bytes() == hub.repos[SAMPLE_AV].files["hdmap_control.pt"]


def test_ctrl_c_does_not_wait_for_the_file_that_is_arriving(hub: Hub, folder: Path) -> None:
    hub.faults["base_model.pt"] = [interrupt_after(1000, then_hold=30)]
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        main([*AV, "--to", str(folder)])
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("name", ["spiece.model", "config.json"])
def test_a_damaged_file_is_fetched_again(hub: Hub, folder: Path, name: str, capsys) -> None:
    hub.faults[name] = [wrong_bytes]
    main(["t5_11b", "--to", str(folder)])
    assert (folder / T5 / name).read_bytes() == hub.repos[T5].files[name]
    assert [fetched for fetched, _ in hub.fetched()].count(name) == 2
    assert f"{T5}/{name}: damaged on the way, fetching it again" in capsys.readouterr().out


def test_a_file_damaged_twice_is_an_error(hub: Hub, folder: Path) -> None:
    hub.faults["spiece.model"] = [wrong_bytes, wrong_bytes]
    with pytest.raises(
        UserError, match=r"t5-11b/spiece\.model arrived damaged twice: its checksum is [0-9a-f]{64}, the Hub says"
    ):
        main(["t5_11b", "--to", str(folder)])
    assert files(folder) == {f"{T5}/config.json"}


@pytest.mark.parametrize("change", [lambda data: data[:2000], lambda data: data + b"more"], ids=["short", "long"])
def test_a_file_of_another_size_is_an_error(hub: Hub, folder: Path, change) -> None:
    hub.repos[T5].served["spiece.model"] = change(hub.repos[T5].files["spiece.model"])
    with pytest.raises(UserError, match=r"t5-11b/spiece\.model arrived damaged twice"):
        main(["t5_11b", "--to", str(folder)])


def test_storage_on_another_host_gets_the_range_and_no_token(hub: Hub, folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_member")
    hub.storage_apart = True
    hub.faults["base_model.pt"] = [cut_after(1000)]
    main([*AV, "--to", str(folder)])
    assert hub.fetched() == [("base_model.pt", None), ("base_model.pt", "bytes=1000-"), ("hdmap_control.pt", None)]
    assert hub.tokens_at_storage == [None, None, None]
    assert (folder / SAMPLE_AV / "base_model.pt").read_bytes() == hub.repos[SAMPLE_AV].files["base_model.pt"]


@pytest.mark.parametrize("damaged", [False, True])
def test_a_copy_in_the_cache_of_huggingface_hub_is_used_if_it_is_right(hub: Hub, folder: Path, damaged: bool) -> None:
    good = hub.repos[SAMPLE_AV].files["base_model.pt"]
    copy = Path(constants.HF_HUB_CACHE) / f"models--{SAMPLE_AV.replace('/', '--')}/snapshots/{COMMIT}/base_model.pt"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(bytes(3000) if damaged else good)
    main([*AV, "--to", str(folder)])
    assert (folder / SAMPLE_AV / "base_model.pt").read_bytes() == good
    assert [name for name, _ in hub.fetched()] == ["base_model.pt"] * damaged + ["hdmap_control.pt"]


def test_the_disk_fills_up_on_the_way(hub: Hub, folder: Path) -> None:
    (folder / SAMPLE_AV).mkdir(parents=True)
    note = partial_name(".checked.json")
    (folder / SAMPLE_AV / note).symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"^the disk is full: make space, run the same command again"):
        main([*AV, "--to", str(folder)])


def test_what_the_disk_refuses_is_named(hub: Hub, folder: Path) -> None:
    folder.mkdir()
    (folder / "nvidia").write_text("")
    with pytest.raises(UserError, match=r"^/\S+/checkpoints/nvidia\S*: (Not a directory|File exists)$"):
        main([*AV, "--to", str(folder)])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(hub: Hub, folder: Path) -> None:
    folder.mkdir(mode=0o500)
    with pytest.raises(UserError, match=r"^/\S+/checkpoints/nvidia: Permission denied$"):
        main([*AV, "--to", str(folder)])


def test_a_folder_in_the_place_of_a_file(hub: Hub, folder: Path) -> None:
    (folder / SAMPLE_AV / "hdmap_control.pt").mkdir(parents=True)
    with pytest.raises(UserError, match=r"hdmap_control\.pt is a folder, but a file of that name goes there"):
        main([*AV, "--to", str(folder)])
    assert hub.fetched() == []


def test_a_file_in_the_place_of_a_folder(hub: Hub, folder: Path) -> None:
    folder.write_text("")
    for given in (folder, folder / "below"):
        with pytest.raises(UserError, match="checkpoints is a file; --to wants a folder"):
            main([*AV, "--to", str(given)])


def test_a_name_that_leaves_the_folder_is_refused(hub: Hub, folder: Path) -> None:
    hub.repos["nvidia/Cosmos-Guardrail1"].files["blocklist/../../../stray"] = b"x"
    with pytest.raises(UserError, match=r"named 'blocklist/\.\./\.\./\.\./stray', which would leave its folder"):
        main(["guardrail", "--alone", "--to", str(folder)])
    assert not folder.exists()


def test_a_base_that_two_models_share_comes_once(hub: Hub, folder: Path) -> None:
    main(["transfer1_7b", "upscaler_4k", "--controls", "vis", "--alone", "--to", str(folder)])
    assert [name for name, _ in hub.fetched()] == ["base_model.pt", "vis_control.pt", "4kupscaler_control.pt"]


@pytest.mark.parametrize("content", [bytes(3000), b"cut short"])
def test_damage_that_huggingface_hub_does_not_see_is_found(hub: Hub, folder: Path, content: bytes) -> None:
    main([*AV, "--to", str(folder)])
    target = folder / SAMPLE_AV / "base_model.pt"
    target.write_bytes(content)
    os.utime(target, (1e9, 1e9))
    main([*AV, "--to", str(folder)])
    assert target.read_bytes() == hub.repos[SAMPLE_AV].files["base_model.pt"]


def test_files_from_elsewhere_are_checked_once(hub: Hub, folder: Path, capsys) -> None:
    (folder / SAMPLE_AV).mkdir(parents=True)
    good = hub.repos[SAMPLE_AV].files["base_model.pt"]
    (folder / SAMPLE_AV / "base_model.pt").write_bytes(good)
    (folder / SAMPLE_AV / "hdmap_control.pt").write_bytes(bytes(3000))
    (folder / SAMPLE_AV / "lidar_control.pt").write_bytes(b"too short")
    main(["transfer1_7b_av", "--alone", "--to", str(folder)])
    assert [name for name, _ in hub.fetched()] == ["hdmap_control.pt", "lidar_control.pt"]
    printed = capsys.readouterr().out
    assert "there, checksum not yet checked" in printed
    assert "hdmap_control.pt: damaged or of another revision, fetching it again" in printed
    assert "missing, a file of another size is replaced" in printed
    main(["transfer1_7b_av", "--alone", "--to", str(folder)])
    assert "checking" not in capsys.readouterr().out


def test_a_file_changed_after_its_check_is_checked_again(hub: Hub, folder: Path) -> None:
    main([*AV, "--to", str(folder)])
    target = folder / SAMPLE_AV / "base_model.pt"
    target.write_bytes(bytes(3000))
    main([*AV, "--to", str(folder)])
    assert target.read_bytes() == hub.repos[SAMPLE_AV].files["base_model.pt"]


def test_a_dry_run_fetches_and_writes_nothing(hub: Hub, folder: Path, capsys) -> None:
    assert main(["transfer1_7b_av", "transfer1_7b", "--dry-run", "--to", str(folder)]) == 0
    printed = capsys.readouterr().out
    assert hub.fetched() == []
    assert not folder.exists()
    assert f"{SAMPLE_AV} at main ({COMMIT[:8]}): transfer1_7b_av\n" in printed
    assert "  lidar_control.pt" in printed
    assert "tf_model.h5" not in printed and "README" not in printed
    assert "17 files, 51 kB: 0 B there, 51 kB to fetch into" in printed


def test_a_full_disk_is_noticed_first(hub: Hub, folder: Path, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10000, 5000, 5000))
    with pytest.raises(UserError, match=r"^6 kB are missing, but the disk of .* has only 5 kB free: free 1 kB more"):
        main([*AV, "--to", str(folder)])
    assert hub.fetched() == [] and not folder.exists()


def test_what_is_there_needs_no_space(hub: Hub, folder: Path, monkeypatch) -> None:
    main([*AV, "--to", str(folder)])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("usage", "free")(0))
    assert main([*AV, "--to", str(folder)]) == 0


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, r"at https://huggingface\.co/meta-llama/Llama-Guard-3-8B with an account, log in with `hf auth login`"),
        ("hf_stranger", r"at https://huggingface\.co/meta-llama/Llama-Guard-3-8B with the account that you are logged"),
    ],
)
def test_a_gated_repository_names_its_page(hub: Hub, folder: Path, monkeypatch, token, message: str) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UserError, match=r"^meta-llama/Llama-Guard-3-8B is gated: accept its licence " + message):
        main(["llama_guard", "--to", str(folder)])
    assert hub.fetched() == [], "access is looked at before anything is fetched"


def test_a_member_gets_the_gated_files(hub: Hub, folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_member")
    main(["llama_guard", "--to", str(folder)])
    names = {name.removeprefix(f"{GUARD}/") for name in files(folder)}
    assert names == set(hub.repos[GUARD].files) - {"LICENSE", "original/consolidated.00.pth"}


def test_a_private_repository_needs_a_login(hub: Hub, folder: Path) -> None:
    hub.repos[SAMPLE_AV].private = True
    with pytest.raises(UserError, match=r"needs a login, or does not exist: log in with `hf auth login`, or set HF_TO"):
        main([*AV, "--to", str(folder)])


def test_a_repository_that_is_gone(hub: Hub, folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_member")
    del hub.repos[SAMPLE_AV]
    with pytest.raises(UserError, match=f"has no repository '{SAMPLE_AV}'"):
        main([*AV, "--to", str(folder)])


def test_revisions(hub: Hub, folder: Path, capsys) -> None:
    hub.repos[SAMPLE_AV] = Repo(hub.repos[SAMPLE_AV].files, revisions=("main", "v1"))
    main([*AV, "--revision", "v1", "--to", str(folder)])
    assert f"{SAMPLE_AV} at v1 ({COMMIT[:8]})" in capsys.readouterr().out
    with pytest.raises(UserError, match="has no revision 'v2'"):
        main([*AV, "--revision", "v2", "--to", str(folder)])
    with pytest.raises(UserError, match="'v1' is of one repository, these models have 2"):
        main(["transfer1_7b", "transfer1_7b_av", "--revision", "v1", "--to", str(folder)])


def test_a_file_that_the_repository_lacks(hub: Hub, folder: Path) -> None:
    with pytest.raises(UserError, match=r"no file 't2w_hdmap_control_waymo\.pt' .* nearest is 't2w_hdmap_control\.pt'"):
        main(["single2multiview_t2w", "--controls", "hdmap_waymo", "--to", str(folder)])


def test_a_dead_server_is_one_line(hub: Hub, folder: Path, monkeypatch) -> None:
    point_at("http://127.0.0.1:9", monkeypatch)
    with pytest.raises(UserError, match=r"^no connection to http://127\.0\.0\.1:9 \(.*refused\)") as caught:
        main([*AV, "--to", str(folder)])
    assert "\n" not in str(caught.value)


def test_offline_is_said(hub: Hub, folder: Path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        main([*AV, "--to", str(folder)])


def test_the_server_dies_on_the_way(hub: Hub, folder: Path) -> None:
    def die(handler, body: bytes) -> None:
        hub.close()
        handler.close_connection = True

    hub.faults["base_model.pt"] = [die]
    with pytest.raises(
        UserError, match=r"^no connection to http://127\.0\.0\.1:\d+ \(.*\): run the same command again"
    ):
        main([*AV, "--to", str(folder)])


def test_a_failure_of_xet_is_one_line(hub: Hub, folder: Path) -> None:
    pytest.importorskip("hf_xet")
    hub.broken_xet = True
    with pytest.raises(
        UserError, match=r"^Xet's transfer failed \(.*404.*\): run the same command again later"
    ) as caught:
        main([*AV, "--to", str(folder)])
    assert "\n" not in str(caught.value)
    assert files(folder) == set()


def test_the_command_asks_the_server_of_hf_endpoint(hub: Hub, folder: Path) -> None:
    command = [sys.executable, "-c", "from cosmos_exp.cli.main import main; main()", "download", "tokenizer"]
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HOME": str(folder.parent / "home")}
    for revision, code in (("main", 0), ("v9", 2)):
        arguments = [*command, "--revision", revision, "--to", str(folder)]
        ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60)
        assert (ended.returncode, "Traceback" in ended.stderr) == (code, False), ended.stderr
    assert "has no revision 'v9'" in ended.stderr
    assert files(folder) == {f"{TOKENIZER}/{name}" for name in hub.repos[TOKENIZER].files if name != "model.pt"}


def test_two_downloads_do_not_mix(hub: Hub, folder: Path) -> None:
    (folder / SAMPLE_AV).mkdir(parents=True)
    with (folder / SAMPLE_AV / ".download.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another download is writing"):
            main([*AV, "--to", str(folder)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transfer1_7bav"], "unknown model 'transfer1_7bav': did you mean 'transfer1_7b_av'?"),
        (
            ["transfer1_7b_av", "--controls", "hdmpa"],
            "unknown control of transfer1_7b_av 'hdmpa': did you mean 'hdmap'?",
        ),
        (["tokenizer", "--controls", "edge"], "tokenizer has no controls to choose from"),
        (
            ["transfer1_7b", "transfer1_7b_av", "--controls", "edge"],
            "none of the controls edge is one of transfer1_7b_av",
        ),
        ([], "which model? allowed: transfer1_7b,"),
        (["tokenizer", "--dryrun"], "did you mean '--dry-run'?"),
    ],
)
def test_a_wrong_word_is_refused_before_any_request(hub: Hub, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        main(arguments)
    assert message in str(caught.value)
    assert hub.requests == []


def test_the_list_needs_no_hub(hub: Hub, capsys) -> None:
    assert main(["--list"]) == 0
    printed = capsys.readouterr().out
    assert "transfer1_7b_av: single view for driving" in printed
    assert "hdmap_waymo (only if named)" in printed
    assert hub.requests == []


def test_the_record_is_of_git_and_of_large_files(hub: Hub, folder: Path) -> None:
    main(["t5_11b", "--to", str(folder)])
    record = json.loads((folder / T5 / ".checked.json").read_text())
    assert record["config.json"][0] == git_sha1(hub.repos[T5].files["config.json"])
    assert set(record) == {"config.json", "spiece.model", "tokenizer.json", "pytorch_model.bin"}
