import io
import tarfile

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.rds_hq.tars import SampleTar, write_tar

LONG = "2d23a1f4-c269-46aa-8e7d-1bb595d1e421_2445376400000_2445396400000"


def tar_of(path, names_and_content, form=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=form) as tar:
        for name, content in names_and_content:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("key", ["000000.pose.camera_front_wide_120fov.npy", "x" * 150 + ".json"])
def test_headers_of_both_kinds(tmp_path, form, key):
    other = "000001." + key
    path = tar_of(tmp_path / "a.tar", [(f"{LONG}.{other}", b"second"), (f"{LONG}.{key}", b"x" * 1000)], form)
    tar = SampleTar(path)
    assert tar.keys == tuple(sorted([key, other]))
    assert tar.read(key) == b"x" * 1000
    assert dict(tar.read_each(tar.keys)) == {key: b"x" * 1000, other: b"second"}


def test_ustar_prefix_folders_and_hidden_files(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        folder = tarfile.TarInfo("deep" * 20 + "/" + "er" * 20)
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name in (f"{folder.name}/clip.a.json", f"{folder.name}/._clip.a.json"):
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"one"))
    assert SampleTar(path).keys == ("a.json",)


def test_keys_are_lower_case(tmp_path):
    path = tar_of(tmp_path / "a.tar", [("clip.Pose.NPY", b"1")])
    assert SampleTar(path).keys == ("pose.npy",)


def test_written_tars_are_read_and_are_the_same_bytes(tmp_path):
    content = {"b.json": b"{}", "a.npy": b"\0" * 700}
    for name in ("a", "b"):
        write_tar(tmp_path / name / "clip.tar", LONG, content)
    first, second = (tmp_path / name / "clip.tar" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert dict(SampleTar(first).read_each(["a.npy", "b.json"])) == content
    with tarfile.open(first) as tar:
        assert [m.name for m in tar.getmembers()] == [f"{LONG}.b.json", f"{LONG}.a.npy"]


def test_truncated_at_every_place(tmp_path):
    whole = tar_of(tmp_path / "a.tar", [("clip.a.json", b"x" * 600), ("clip.b.json", b"y" * 10)]).read_bytes()
    cut = tmp_path / "cut.tar"
    for length in range(1, 512 * 5 + 1, 128):
        cut.write_bytes(whole[:length])
        with pytest.raises(UserError, match="is truncated" if length >= 512 else "not a tar"):
            SampleTar(cut)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["clip.a.json", "clip.A.json"], "key 'a.json' is there twice"),
        (["clip.a.json", "other.b.json"], "more than one sample, 'clip' and 'other'"),
        (["clip"], "has no key"),
        ([], "empty tar"),
    ],
)
def test_wrong_members(tmp_path, names, message):
    path = tar_of(tmp_path / "a.tar", [(name, b"1") for name in names])
    with pytest.raises(UserError, match=message):
        SampleTar(path)


def test_not_a_tar(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"PK\3\4" + b"z" * 2000)
    with pytest.raises(UserError, match="is not a tar: no valid member header at byte 0"):
        SampleTar(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="is not a tar"):
        SampleTar(path)
    with pytest.raises(UserError, match="no such file"):
        SampleTar(tmp_path / "b.tar")
    with pytest.raises(UserError, match="is a folder"):
        SampleTar(tmp_path)


def test_unknown_key_names_the_nearest(tmp_path):
    path = tar_of(tmp_path / "a.tar", [("clip.lanelines.json", b"{}")])
    with pytest.raises(UserError, match=r"did you mean 'lanelines.json'"):
        SampleTar(path).read("lanelins.json")


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match=r"has a dot.*'a_b'"):
        write_tar(tmp_path / "a.tar", "a.b", {})
    with pytest.raises(UserError, match="lower case"):
        write_tar(tmp_path / "a.tar", "a", {"Pose.npy": b""})
    with pytest.raises(UserError, match="written once"):
        write_tar(tmp_path / "a.tar", "a", [("x", b""), ("x", b"")])


def header(name: str, size: bytes, kind: bytes = b"0") -> bytes:
    """A ustar header whose checksum holds, whatever its size field says."""
    block = bytearray(512)
    block[: len(name)], block[124:136], block[156:157] = name.encode(), size.ljust(12, b"\0"), kind
    block[257:265], block[148:156] = b"ustar\x0000", b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([header("clip.a", b"zzzzzzzzzzz")], "member 'clip.a' has a size that is no number of bytes"),
        ([header("clip.a", b"-0000001000")], "no number of bytes"),
        ([header("clip.a", b"1_0")], "no number of bytes"),
        ([header("clip.a", b"\xff" * 12)], "is truncated: it ends inside member 'clip.a'"),
        ([header("clip.a", b"77777777777")], "is truncated"),
        ([header("x", b"12", b"x"), b"0 size=1\n".ljust(512, b"\0")], "at byte 512 is no pax record"),
        ([header("x", b"12", b"x"), b"-9 size=1\n".ljust(512, b"\0")], "is no pax record"),
        ([header("x", b"12", b"x"), b"999 size=1".ljust(512, b"\0")], "is no pax record"),
        ([header("x", b"15", b"x"), b"13 size=abcd\n".ljust(512, b"\0"), header("clip.a", b"0")], "no number of bytes"),
        ([header("x", b"10000000", b"L"), bytes(2**21)], "extends over 2097152 bytes"),
    ],
)
def test_hostile_headers(tmp_path, blocks, message):
    (tmp_path / "a.tar").write_bytes(b"".join(blocks) + bytes(1024))
    with pytest.raises(UserError, match=message):
        SampleTar(tmp_path / "a.tar")
