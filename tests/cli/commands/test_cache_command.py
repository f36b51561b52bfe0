"""The real command line of `cosmos-exp cache`: its table, JSON, evictions, and what it says about mistakes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.command_line import run_here

from cosmos_exp.cli.commands.cache import main
from cosmos_exp.common.cache import MANIFEST, stage_key
from cosmos_exp.common.errors import UserError
from cosmos_exp.common.units import age_text, parse_age, parse_size, size_text

DAY = 86400
MAKE = """
import sys
from cosmos_exp.common.cache import StageCache
cache = StageCache(sys.argv[1])
for name in sys.argv[2:]:
    cache.get_or_compute(*name.split("/"), lambda folder: (folder / "number.txt").write_text("4" * 100_000) and None)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """Three entries, last used 1, 2 and 30 days ago by a process that has ended; in the place of the default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSMOS_EXP_OUTPUTS", raising=False)
    root, ages = tmp_path / "outputs" / "cache", {"render": (1, 2), "captions": (30,)}
    names = {f"{stage}/{stage_key(stage, 1, {}, [str(days)])}": days for stage, of in ages.items() for days in of}
    subprocess.run([sys.executable, "-c", MAKE, str(root), *names], check=True)
    for name, days in names.items():
        os.utime(root / name / MANIFEST, (time.time() - days * DAY,) * 2)
    (root / "history.jsonl").write_text("{}\n")
    return root


def stages(folder: Path, capsys) -> dict[str, int]:
    """{stage: entries}, from the command."""
    capsys.readouterr()
    assert main(["--json", str(folder)]) == 0
    return {row["stage"]: row["entries"] for row in json.loads(capsys.readouterr().out)["stages"]}


def test_the_table_is_of_the_configured_cache(folder: Path, monkeypatch, capsys) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    rows = {words[0]: words[1:] for line in printed.splitlines() if (words := line.split())}
    assert rows["size"] == ["entries", "oldest", "newest", "last", "used", "in", "use"]
    assert rows["render"][:3] == ["200", "kB", "2"] and rows["render"][-2:] == ["24", "h"]
    assert rows["captions"][:3] == ["100", "kB", "1"] and rows["captions"][-2:] == ["30", "d"]
    assert rows["total"] == ["300", "kB", "3"] and rows["history.jsonl"] == ["3", "B"]
    assert rows["folder:"] == [str(folder)]
    monkeypatch.chdir("/")
    monkeypatch.setenv("COSMOS_EXP_OUTPUTS", str(folder.parent))
    assert main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"folder: {folder}"


def test_json_has_bytes_and_times(folder: Path, capsys) -> None:
    main([str(folder), "--json"])
    record = json.loads(capsys.readouterr().out)
    assert record["bytes"] == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert [row["in_use"] for row in record["stages"]] == [0, 0]
    assert record["stages"][0]["last_used"] < record["stages"][0]["oldest"]  # the fixture has made it so
    assert record["leftovers"] == record["computing"] == {"count": 0, "bytes": 0}


def test_older_than(folder: Path, capsys) -> None:
    assert main(["prune", "--older-than", "4w", "--dry-run"]) == 0
    assert "would evict 1 entry, 100 kB" in capsys.readouterr().out
    assert stages(folder, capsys) == {"render": 2, "captions": 1}
    assert main(["prune", "--older-than", "4w"]) == 0
    assert "evicted 1 entry, 100 kB" in capsys.readouterr().out
    assert stages(folder, capsys) == {"render": 2}


def test_max_size_and_both(folder: Path, capsys) -> None:
    main(["prune", str(folder), "--max-size", "250kB", "--older-than", "5w"])
    assert stages(folder, capsys) == {"render": 2}
    main(["prune", str(folder), "--max-size", "1MiB", "--older-than", "36h", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert (record["dry_run"], [entry["stage"] for entry in record["evicted"]]) == (False, ["render"])
    assert record["after"] < 150_000 < record["before"]


def test_a_run_that_goes_on_is_said_to_use_its_entries(folder: Path, capsys) -> None:
    name = next((folder / "captions").iterdir()).with_suffix("").name
    command = [sys.executable, "-c", MAKE + "print(1, flush=True); input()", str(folder), f"captions/{name}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        main([str(folder)])
        assert "in use by running processes: 1" in capsys.readouterr().out
        main(["prune", "--max-size", "0B"])
        printed = capsys.readouterr().out
        assert "evicted 2 entries, 200 kB" in printed
        assert "kept 1 entry, 100 kB: in use by running processes" in printed
        assert "after, more than 0 B" in printed
        process.communicate("\n")
    assert stages(folder, capsys) == {"captions": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune"], "give --max-size, such as 20GB, or --older-than, such as 30d, or both"),
        (["prune", "--max-size", "20GG"], "--max-size '20GG': unknown unit 'GG': did you mean 'GB'? allowed: B, kB"),
        (["prune", "--max-size", "20"], "--max-size '20' has no unit: did you mean '20GB'?"),
        (["prune", "--max-size", "-1GB"], "expected one argument"),
        (["prune", "--max-size", "much"], "--max-size 'much': give a number and a unit, such as 20GB"),
        (["prune", "--older-than", "30dd"], "unknown unit 'dd': did you mean 'd'? allowed: s, m, h, d, w"),
        (["prune", "--older-then", "30d"], "did you mean '--older-than'?"),
        (["prune", "--max-size", "1GB", "outputs/cash"], "cash': did you mean '{cwd}/outputs/cache'?"),
        (["outputs"], "'{cwd}/outputs' is not a stage cache: did you mean '{cwd}/outputs/cache'?"),
        (["outputs/cache/history.jsonl"], "is not a folder"),
        (["prun", "--json"], "did you mean `cosmos-exp cache prune`?"),
        (["pruen", "outputs/cache", "--max-size", "1GB"], "command 'pruen': did you mean 'prune'"),
        (["--max-size", "1GB"], "are options of `cosmos-exp cache prune`"),
        (["prune", "outputs", "more", "--max-size", "1GB"], "surplus argument 'more'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(folder: Path, arguments: list[str], message: str) -> None:
    done = run_here("cache", *arguments, cwd=Path.cwd())
    assert (done.returncode, done.stdout) == (2, "")
    assert message.format(cwd=Path.cwd()) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_where_nothing_has_run_there_is_no_cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COSMOS_EXP_OUTPUTS", "elsewhere")
    with pytest.raises(UserError, match="elsewhere/cache': nothing has run from here"):
        main([])
    assert list(tmp_path.iterdir()) == []


def test_an_entry_that_cannot_be_removed_is_named_and_the_others_go(folder: Path, capsys, monkeypatch) -> None:
    (stays,) = [path for path in (folder / "captions").iterdir() if path.is_dir()]
    if os.geteuid() == 0:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "none", stays], capture_output=True)
        if mounted.returncode:
            pytest.skip("cannot mount")
    else:
        stays.chmod(0o500)
    try:
        with pytest.raises(UserError, match=rf"^1 could not be removed: {stays}: "):
            main(["prune", "--max-size", "0B"])
        assert "evicted 2 entries" in capsys.readouterr().out
        assert stages(folder, capsys) == {"captions": 1}
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", stays], check=True)
        stays.chmod(0o700)
        shutil.rmtree(stays)


@pytest.mark.parametrize(
    ("text", "count"),
    [("20GB", 20e9), ("1.5 TB", 1.5e12), ("3kb", 3000), ("0B", 0), (".5MiB", 2**19), ("2GiB", 2**31), ("7KiB", 7168)],
)
def test_sizes(text: str, count: float) -> None:
    assert parse_size("--max-size", text) == count


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("12h", 43200), ("30d", 30 * DAY), ("4w", 28 * DAY)]
)
def test_ages(text: str, seconds: float) -> None:
    assert parse_age("--older-than", text) == seconds


def test_texts() -> None:
    counts = (0, 999, 1000, 3_416_000_000, 99_960_000, 999_600, 12_300_000, 5e15)
    assert [size_text(count) for count in counts] == [
        "0 B", "999 B", "1.00 kB", "3.42 GB", "100 MB", "1.00 MB", "12.3 MB", "5000 TB",
    ]  # fmt: skip
    assert [age_text(s) for s in (-1, 90, 2700, 30 * 3600, 12 * DAY)] == ["0 s", "90 s", "45 min", "30 h", "12 d"]
