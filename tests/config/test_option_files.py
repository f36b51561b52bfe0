"""Mistakes in option files of the user's own: one message, with file and line, and no search without end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cosmos_exp.common.errors import UserError
from cosmos_exp.config.compose import compose
from cosmos_exp.config.option_files import own_folders

GLOBAL = "# @package _global_\n"
BILLION = "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
MISTAKES = {
    "a list that is not closed": (
        "captions:\n  styles: [Night\n",
        "while parsing a flow sequence, .* in line 3, column 11",
    ),
    "a tab": ("captions:\n\tstyles: [Night]\n", "in line 3, column 1; indent with spaces, not tabs"),
    "a tab after the colon": ("name:\ta\n", "in line 2, column 6; indent with spaces, not tabs"),
    "no space after the colon": ("name:a\nsampler:\n  guidance: 3\n", "mapping values are not allowed here in line 3"),
    "a key twice": ("name: a\nname: b\n", "the key 'name' twice, in lines 2 and 3"),
    "a list as key": ("? [a, b]\n: 1\n", "line 2: a key must be a name"),
    "no mapping": ("- a\n- b\n", "line 2: an option file is a mapping"),
    "two documents": ("name: a\n---\nname: b\n", "found another document"),
    "an unknown alias": ("name: *x\n", "found undefined alias .*in line 2"),
    "a tag of Python's": ("name: !!python/object/apply:os.system [ls]\n", "line 2: the tag !!python.* is not allowed"),
    "a value in itself": ("name: &a [*a]\n", r"the alias \*a contains itself in line 2"),
    "a value a billion times": (
        f"a0: &a0 [x]\n{BILLION}",
        "more than 100000 values in line .*, aliases counted each time",
    ),
    "too many levels": (f"name: {'[' * 70}{']' * 70}\n", "nested too deep in line 2: at most 64 levels are read"),
    "thousands of digits": (f"sampler:\n  seed: {'9' * 5000}\n", "a number of 5000 digits in line 3: at most 300"),
    "half an interpolation": ('name: "${scene.name"\n', "line 2: cannot read the interpolation"),
    "defaults that are a number": ("defaults: 5\n", "line 2: defaults must be a list"),
    "defaults that are a mapping": ("defaults:\n  model: nano\n", "line 3: defaults must be a list"),
    "defaults of a number": ("defaults:\n  - 5\n", "line 3: an entry of defaults must be OPTION or GROUP: OPTION"),
    "defaults of itself": ("defaults:\n  - own\n", "line 3: .*experiment/own -> experiment/own"),
    "an unknown key": ("sampler:\n  guidanc: 3\n", "line 3: unknown config key 'sampler.guidanc': did you mean"),
    "a wrong type": ("sampler:\n  guidance: lots\n", "line 3: sampler.guidance: Value 'lots'"),
    "an unknown group": ("defaults:\n  - override /modl: nano\n", "Could not override 'modl'"),
}


@pytest.fixture
def option(tmp_path: Path) -> Path:
    (tmp_path / "experiment").mkdir()
    return tmp_path / "experiment" / "own.yaml"


def message(option: Path) -> str:
    with pytest.raises(UserError) as caught:
        compose(["+experiment=own"], config_dir=option.parents[1])
    return str(caught.value)


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_place(option: Path, text: str, expected: str) -> None:
    option.write_text(GLOBAL + text)
    said = message(option)
    assert said.startswith(str(option)) and len(said.splitlines()) == 1
    assert re.search(expected, said), said


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"name: caf\xe9\n", "line 1: byte 0xe9 is not UTF-8"),
        ("name: a\n".encode("utf-16"), "line 1: the file is UTF-16"),
        ("name: a\n".encode("utf-8-sig"), "line 1: the file is UTF-8 with a byte order mark"),
        (b"name: a\0b\n", "special characters are not allowed"),
        (b"#" * (5 << 20), "has 5242880 bytes or more: at most 4194304"),
    ],
)
def test_a_file_that_is_no_text(option: Path, content: bytes, expected: str) -> None:
    option.write_bytes(content)
    assert expected in message(option)


def test_a_file_at_the_bounds_is_read(option: Path) -> None:
    option.write_text(f"{GLOBAL}defaults: [override /model: render]\nsampler:\n  guidance: {'[' * 62}{']' * 62}\n")
    assert "sampler.guidance" in message(option)  # by Hydra, and without a traceback


def test_a_file_without_its_package_says_what_is_missing(option: Path) -> None:
    option.write_text("name: a\n")
    assert "begin the file with # @package _global_" in message(option)


def test_a_loop_over_several_files(option: Path) -> None:
    option.write_text(f"{GLOBAL}defaults: [other]\n")
    option.with_name("other.yaml").write_text(f"{GLOBAL}defaults:\n  - /experiment: own\n")
    assert "other.yaml, line 3: its defaults list leads back to itself" in message(option)


def test_a_mistake_in_a_file_that_is_not_chosen_matters_to_nobody(option: Path) -> None:
    option.write_text(f"{GLOBAL}defaults: [override /model: render]\nname: mine\n")
    option.with_name("draft.yaml").write_text("[")
    assert compose(["+experiment=own"], config_dir=option.parents[1]).name == "mine"


def test_folders_are_found_wherever_hydra_takes_them(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    given = ["--config-dir", f"{tmp_path}/a", f"hydra.searchpath=['file://{tmp_path}/b',pkg://other]"]
    assert own_folders(given) == [tmp_path / "a", tmp_path / "b"]
