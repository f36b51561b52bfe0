"""What files of others may ask for is checked before memory is given; within the bounds nothing changes."""

import io
import json
import zipfile

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cosmos_exp.common import guards
from cosmos_exp.common.errors import MAX_ERRORS, UserError, ValidationErrors
from cosmos_exp.common.guards import (
    DEPTH,
    npy_array,
    npz_arrays,
    parse_json,
    parse_xml,
    parse_yaml,
    read_bytes,
    require_pixels,
)

FEW = settings(max_examples=40, deadline=None, derandomize=True, database=None)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
PLAIN = st.recursive(
    LEAVES.filter(lambda value: not isinstance(value, str)) | st.text("abc:-# \n'\"{[", max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=20,
)
KINDS = st.sampled_from(["<f4", ">f8", "<i2", "|u1", "|b1"])
REPEATED = "x0: &x0 [1,1,1,1,1,1,1,1]\n" + "".join(
    f"x{i}: &x{i} [{','.join([f'*x{i - 1}'] * 9)}]\n" for i in range(1, 9)
)


@FEW
@given(VALUES, st.booleans())
def test_json_is_read_as_written(value, ascii_only):
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass"), "a.json") == value


@FEW
@given(st.text() | st.binary())
def test_any_text_is_json_or_refused(content):
    try:
        parse_json(content, "a.json")
    except UserError as error:
        assert str(error).startswith("a.json ")


@FEW
@given(PLAIN)
def test_yaml_is_read_as_written(value):
    assert parse_yaml(yaml.safe_dump(value), "a.yaml") == value


@FEW
@given(st.text("-: []{}&*!?|>'\"\n #ab1.0x\t,") | st.binary())
def test_any_text_is_yaml_or_refused(content):
    try:
        parse_yaml(content, "a.yaml")
    except UserError as error:
        assert str(error).startswith("a.yaml")


@FEW
@given(arrays.arrays(KINDS, arrays.array_shapes(min_side=0)), st.booleans())
def test_npy_is_read_as_written(array, by_columns):
    buffer = io.BytesIO()
    np.save(buffer, np.asfortranarray(array) if by_columns else array)
    found = npy_array(buffer.getvalue(), "a.npy")
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "a.json is nested 100000 levels deep: at most 64"),
        ('{"a":' * 80 + "1" + "}" * 80, "nested 80 levels deep"),
        ("[\n1,\n" + "9" * 5000 + "]", "a number of 5000 digits in line 3"),
        ("[1,\n1e999]", "the number 1e999 in line 2: it must be finite"),
        ("[NaN]", "the number NaN in line 1"),
        ('["a", -Infinity]', "the number -Infinity"),
        (b"\xff[1]", "not UTF-8"),
        (b'["\\ud800"]', "half a character"),
        (b"[" + b"[]," * 3_500_000 + b"1]", r"would take \d+ MiB of memory"),
        (b'"' + b'\\"' * 100_000, "is not JSON: Unterminated"),
    ],
)
def test_hostile_json(content, message):
    with pytest.raises(UserError, match=message):
        parse_json(content, "a.json")


def test_brackets_in_texts_and_long_lists_are_no_depth():
    assert parse_json('["[[[[\\"[[[[", {}]' + " " * 9, "a") == ['[[[["[[[[', {}]
    assert parse_json("[" * DEPTH + "]" * DEPTH, "a")
    assert parse_json("[NaN]", "a", finite=False)[0] != 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!int abc", "'abc' is no int: .* in line 1, column 4"),
        ("a: 1\nb: 2020-99-99", "'2020-99-99' is no timestamp: .* in line 2, column 4"),
        ("a: 1\na: 2", "the key 'a' twice, in lines 1 and 2"),
        ("a: &x [*x]", r"the alias \*x contains itself in line 1"),
        ("a: " + "9" * 5000, "a number of 5000 digits in line 1"),
        ('a: !!int "' + "1:" * 5000 + '1"', "a number of 10001 digits"),
        ("- " * 100 + "1", "nested too deep in line 1: at most 64"),
        ("[" * 100_000, "not readable as YAML"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ("a: \x00", "not readable as YAML"),
        (b"\xff", "not readable as YAML"),
        (REPEATED, "more than 100000 values in line"),
    ],
)  # fmt: skip
def test_hostile_yaml(text, message):
    with pytest.raises(UserError, match=message):
        parse_yaml(text, "a.yaml")


def test_yaml_that_repeats_itself_within_bounds():
    assert parse_yaml("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}", "a") == {
        "a": {"x": 1},
        "b": {"x": 1},
        "c": {"x": 1, "y": 2},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares entities"),
        (b"<a>", "truncated or not valid XML"),
        (b"<?xml version='1.0' encoding='none'?><a/>", "not valid XML"),
        (b"<a>" + b"<b/>" * 4_000_000 + b"</a>", r"would take \d+ MiB"),
    ],
)
def test_hostile_xml(text, message):
    with pytest.raises(UserError, match=message):
        parse_xml(text, "a.xml")


def npy(descr: str, shape: str, version: bytes = b"\x01\x00", data: bytes = b"") -> bytes:
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    size = len(header).to_bytes(2 if version[:1] == b"\x01" else 4, "little")
    return b"\x93NUMPY" + version + size + header + data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy("<f8", "(10**12,)"), "not a readable .npy array"),
        (npy("<f8", "(1000000000000,)"), "asks for more bytes than it has"),
        (npy("<f8", "(1000000000000,)", b"\x02\x00"), "asks for more bytes"),
        (npy("<f8", f"({10**30}, 4)"), "asks for more bytes"),
        (npy("<f8", "(-1,)", data=bytes(8)), "its shape is"),
        (npy("<f8", "(True,)", data=bytes(8)), "its shape is"),
        (npy("<f8", "(" + "-" * 5000 + "1,)"), "not a readable .npy array"),
        (npy("<c16", "(1,)", data=bytes(16)), "holds complex128, not real numbers"),
        (npy("<M8[s]", "(1,)", data=bytes(8)), "not real numbers"),
        (npy("|O", "(1,)", data=bytes(8)), "not real numbers"),
        (npy("|V0", "(9,)"), "not real numbers"),
        (b"", "no header"),
        (b"\x93NUMPY\x01\x00\xff\xff", "not a readable .npy array"),
    ],
)
def test_hostile_npy(content, message):
    with pytest.raises(UserError, match=message):
        npy_array(content, "a.npy")


def test_hostile_npz(monkeypatch):
    monkeypatch.setattr(guards, "MEMORY", 2 * guards.MIB)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("xyz.npy", "w") as entry:
        for _ in range(guards.MEMORY // guards.MIB + 1):
            entry.write(bytes(guards.MIB))
    with pytest.raises(UserError, match=r"a\.npz would take 3 MiB of memory: at most 2 MiB"):
        npz_arrays(bomb.getvalue(), "a.npz")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, xyz=np.arange(600).reshape(200, 3))
    whole = buffer.getvalue()
    assert npz_arrays(whole, "a.npz")["xyz"][-1].tolist() == [597, 598, 599]
    for damaged in (whole[:100], whole[:60] + bytes(40) + whole[100:], whole.replace(b"\x08\x00", b"\x63\x00")):
        with pytest.raises(UserError, match=r"a\.npz"):
            npz_arrays(damaged, "a.npz")


def test_files_that_are_none(tmp_path):
    with pytest.raises(UserError, match="is a folder, not a file"):
        read_bytes("list", tmp_path, 10)
    with pytest.raises(UserError, match="a device or pipe"):
        read_bytes("list", tmp_path.__class__("/dev/zero"), 10)
    (tmp_path / "long").write_bytes(bytes(11))
    with pytest.raises(UserError, match="has 11 bytes or more: at most 10"):
        read_bytes("list", tmp_path / "long", 10)
    with pytest.raises(FileNotFoundError):
        read_bytes("list", tmp_path / "none", 10)


def test_pixels():
    require_pixels("camera", 7680, 4320)
    with pytest.raises(UserError, match="camera: 60000x60000 pixels; at most 8192 each way, nearest 8192x8192"):
        require_pixels("camera", 60000, 60000)


def test_messages_about_much_stay_short():
    assert len(str(UserError("x" * 1_000_000))) < 10_000
    many = ValidationErrors(str(i) for i in range(10_000))
    assert str(many).count("\n") == MAX_ERRORS and str(many).endswith("- and 9970 more")
    assert len(many.errors) == 10_000
