"""Weights files and masks that ask for more than they hold."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch

from cosmos_exp.common.errors import UserError
from cosmos_exp.models.checkpoints import pickled
from cosmos_exp.models.checkpoints.pickled import read_pickled
from cosmos_exp.models.dit.map_files import read_map

RECORD = b"c__torch__\nX\n)\x81"  # a module of TorchScript
LIST = b"ctorch.jit._pickle\nbuild_intlist\n"


def archive(path, pickle: bytes, method: int = zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("archive/data.pkl", pickle)
    return path


@pytest.mark.parametrize(
    ("pickle", "message"),
    [
        (b"\x80\x02Nr\x00\x00\x00\x10.", "remembered as number 268435456, at most 4000000"),
        (b"\x80\x02" + (RECORD + b"}X\x01\x00\x00\x00a") * 3000 + b"N" + b"sb" * 3000 + b".", "nested|recursion"),
        (b"\x80\x02(" + b"N" * 3000 + LIST + b"(" + b"N" * 3000 + b"l\x85R" + b"t.", None),
        (b"\x80\x02\x82\x01.", "EXT1, which no tensor needs"),
        (b"\x80\x02cos\nsystem\n.", "os.system, which is no tensor; nothing of it was run"),
        (b"\x80\x02\x8a\xff", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_hostile_pickles(tmp_path, pickle, message):
    path = archive(tmp_path / "a.pt", pickle)
    if message is None:
        assert len(read_pickled(path)) == 3001
        return
    with pytest.raises(UserError, match=message):
        read_pickled(path)


def test_copies_of_copies_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(pickled, "COPIED", 10_000)
    doubled = LIST + b"(" + b"N" * 3000 + b"l\x85Rq\x00" + (LIST + b"h\x00\x85R") * 9
    with pytest.raises(UserError, match="copies more than 10000 elements"):
        read_pickled(archive(tmp_path / "a.pt", b"\x80\x02(" + doubled + b"t."))


def test_a_compressed_description(tmp_path):
    path = archive(tmp_path / "a.pt", b"\x80\x02(" + b"N" * 1_000_000 + b"t.", zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="is compressed or has 1000005 bytes"):
        read_pickled(path)


def test_a_tensor_that_repeats_itself(tmp_path):
    torch.save(torch.ones(1).expand(9, 8, 12), tmp_path / "few.pt")
    assert read_map(tmp_path / "few.pt", frames=9).sum() == 9 * 8 * 12
    torch.save(torch.ones(1).expand(2**20, 2**20), tmp_path / "many.pt")
    with pytest.raises(UserError, match="repeats the 1 elements of its storage"):
        read_pickled(tmp_path / "many.pt")


def test_safetensors_of_half_bytes(tmp_path):
    header = json.dumps({"a": {"dtype": "F4", "shape": [4, 4], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "m.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(UserError, match=r"tensor 'a' is of torch"):
        read_map(tmp_path / "m.safetensors", frames=1)


@pytest.mark.parametrize("values", [np.ones((4, 4), complex), np.ones((4, 4), "M8[s]"), np.array([["a"]])])
def test_masks_of_no_real_numbers(tmp_path, values):
    np.save(tmp_path / "m.npy", values)
    with pytest.raises(UserError, match="not real numbers"):
        read_map(tmp_path / "m.npy", frames=1)


def test_masks_of_complex_tensors(tmp_path):
    torch.save(torch.ones(4, 4, dtype=torch.complex64), buffer := io.BytesIO())
    (tmp_path / "m.pt").write_bytes(buffer.getvalue())
    with pytest.raises(UserError):
        read_map(tmp_path / "m.pt", frames=1)


def test_masks_of_many_pixels(tmp_path):
    np.save(tmp_path / "m.npy", np.zeros((1, 9000), np.uint8))
    with pytest.raises(UserError, match="9000x1 pixels: at most 8192 each way"):
        read_map(tmp_path / "m.npy", frames=1)
