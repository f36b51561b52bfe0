"""Maps with numbers that no road has."""

import pytest
from helpers.opendrive_writer import cubic, lane, opendrive, road, section, straight_town

from cosmos_exp.common.errors import UserError
from cosmos_exp.scene.opendrive.reader import load_opendrive


def of_width(*abcd: float) -> str:
    side = section(left=[lane(1, width=cubic("width", *abcd, at="sOffset"))], right=[lane(-1)])
    return opendrive(road(1, 200, sections=side))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (straight_town(length=1e9), "the largest allowed is 1e"),
        (straight_town(length=5e6), "OpenDRIVE map .*: at most|left out|allowed"),
        (of_width(1e300), r"road '1': <width> has a='1e\+300'"),
        (of_width(1e7), "1 roads are left out; the first: road '1'"),
        (of_width(3, 0, 0, 1e7), "1 roads are left out; the first: road '1'"),
        (straight_town().replace('a="3.5"', 'a="nan"', 1), "a finite number"),
        (straight_town().replace('a="3.5"', f'a="{"9" * 5000}"', 1), "a finite number"),
        ("<a>" * 100_000, "truncated or not valid XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><OpenDRIVE/>', "declares entities"),
    ],
)
def test_refused_with_one_message(tmp_path, text, message):
    path = tmp_path / "a.xodr"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load_opendrive(path)
    assert len(str(caught.value)) < 1000
