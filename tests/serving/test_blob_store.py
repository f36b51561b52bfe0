"""Uploads: kept under the hash of their bytes, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import time
from pathlib import Path

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.serving.blobs import BlobStore, HashMismatch

CONTENT = b"frames" * 1000
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_is_kept_once_under_its_hash(blobs: BlobStore) -> None:
    assert blobs.put(SHA, io.BytesIO(CONTENT), "edge.mp4", "video/mp4") == (len(CONTENT), False)
    assert blobs.put(SHA, io.BytesIO(CONTENT)) == (len(CONTENT), True)
    assert blobs.path(SHA).read_bytes() == CONTENT
    info = blobs.info(SHA)
    assert info is not None and (info.size, info.name, info.media_type) == (len(CONTENT), "edge.mp4", "video/mp4")
    assert blobs.missing([SHA, "0" * 64]) == ["0" * 64]
    assert blobs.usage() == (1, len(CONTENT))


def test_bytes_that_are_not_those_of_the_name_leave_nothing(blobs: BlobStore) -> None:
    with pytest.raises(HashMismatch, match=f"not {'0' * 64}"):
        blobs.put("0" * 64, io.BytesIO(CONTENT))
    with pytest.raises(RuntimeError), blobs.writer(SHA) as writer:
        writer.write(CONTENT)
        raise RuntimeError("the client is gone")
    assert files(blobs.folder) == []


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "/etc/passwd", SHA.upper(), SHA + "\n", SHA + "/.."])
def test_only_a_hash_is_a_name(blobs: BlobStore, name: str) -> None:
    for use in (blobs.path, blobs.info, blobs.has, lambda name: blobs.put(name, io.BytesIO(CONTENT))):
        with pytest.raises(UserError, match="no SHA-256"):
            use(name)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("A.MP4", ".mp4"), ("../../x.npz", ".npz"), ("/etc/passwd", ""), ("a.b c", ""), ("x." + "y" * 99, "")],
)
def test_a_job_gets_a_link_with_a_harmless_name(blobs: BlobStore, tmp_path: Path, given: str, kept: str) -> None:
    blobs.put(SHA, io.BytesIO(CONTENT), given)
    path = blobs.materialise(SHA, tmp_path / "inputs")
    assert path == tmp_path / "inputs" / (SHA[:16] + kept) == blobs.materialise(SHA, tmp_path / "inputs")
    assert path.read_bytes() == CONTENT and not stat.S_IMODE(path.stat().st_mode) & 0o222
    blobs.prune(-1)
    assert path.read_bytes() == CONTENT


def test_a_link_is_a_copy_where_the_file_system_has_none(blobs: BlobStore, tmp_path: Path, monkeypatch) -> None:
    def link(source, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    blobs.put(SHA, io.BytesIO(CONTENT), "a.mp4")
    assert blobs.materialise(SHA, tmp_path / "inputs").read_bytes() == CONTENT


def test_a_blob_that_is_not_there_cannot_be_linked(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.materialise(SHA, tmp_path / "inputs")


def test_what_was_not_used_for_long_goes_except_for_what_is_needed(blobs: BlobStore) -> None:
    contents = [bytes([i]) * 10 for i in range(4)]
    old, needed, used, new = (hashlib.sha256(content).hexdigest() for content in contents)
    for sha, content in zip((old, needed, used, new), contents):
        blobs.put(sha, io.BytesIO(content), "a.mp4")
        if sha != new:
            os.utime(blobs.path(sha), (0, time.time() - 7200))
    blobs.touch([used, "0" * 64])
    abandoned = blobs.folder / "aa" / f".x.{2**22 + 1}-1@{os.uname().nodename}.partial"
    abandoned.parent.mkdir(exist_ok=True)
    abandoned.write_bytes(b"half")
    assert blobs.prune(3600, keep=[needed]) == [old]
    assert sorted(blob.sha256 for blob in blobs.all()) == sorted([needed, used, new])
    assert files(blobs.folder) == sorted(name for sha in (needed, used, new) for name in (sha, f"{sha}.json"))
