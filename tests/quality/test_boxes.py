import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.catalog.schema import BBOX_PATTERN
from vitrine.catalog.table import TEXT
from vitrine.quality.boxes import clipped, is_box, outside

BOXES = {
    "1,2,3,4": "1,2,3,4",
    "90,40,10.5,10.5": "90,40,10,10",  # half a pixel is rounding, no fault
    "0,0,9999,10": "0,0,100,10",
    "95.5,0,10,50": "95.5,0,4.5,50",
    "10,10,1" + "0" * 320 + ",5": "10,10,90,5",
    "0.00001,0,99999999,5": "0,0,100,5",
    "99.9999,0,9,5": "",
    "100,0,5,5": "",
    "5000,5000,10,10": "",
    "0,0,0,10": "",
}


def series(*boxes):
    return pd.Series(boxes, dtype=TEXT)


@pytest.mark.parametrize(("box", "inside"), BOXES.items())
def test_what_lies_inside_a_photo_of_100_by_50_stays(box, inside):
    size = np.array([100]), np.array([50])
    assert clipped(series(box), *size).tolist() == [inside]
    assert outside(series(box), *size)[0] == (box not in ("1,2,3,4", "90,40,10.5,10.5"))


def test_only_four_numbers_are_a_box():
    assert (
        is_box(series("1,2,3,4", "1.5,2,3,4", "", "1,2,3", "-1,2,3,4", "a,b,c,d")).tolist()
        == [True, True] + [False] * 4
    )


def test_no_boxes():
    assert len(outside(series(), np.array([]), np.array([]))) == len(clipped(series(), np.array([]), np.array([]))) == 0


number = st.one_of(st.integers(0, 300).map(str), st.floats(0, 300).map(lambda value: f"{value:.5f}"))


@given(st.tuples(number, number, number, number).map(",".join), st.integers(1, 200), st.integers(1, 200))
def test_what_was_cut_is_a_box_inside_and_is_not_cut_again(box, width, height):
    size = np.array([width]), np.array([height])
    (inside,) = clipped(series(box), *size)
    if inside:
        assert is_box(series(inside)).all()
        assert not outside(series(inside), *size).any()
    assert pd.Series([box]).str.fullmatch(BBOX_PATTERN).all()
