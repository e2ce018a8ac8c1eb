import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrine.catalog.schema import BBOX_PATTERN
from vitrine.catalog.table import TEXT
from vitrine.quality.boxes import clipped, is_box, outside, same_place

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
    "-2,5,60,60": "0,5,58,45",
    "-2, -3, 5, 5": "0,0,3,2",
    "-0.5,-0.5,10,10": "0,0,9.5,9.5",  # rounding again
    "-9,0,5,5": "",
    " 1, 2 ,3, 4": "1,2,3,4",
}
FINE = ("1,2,3,4", "90,40,10.5,10.5", "-0.5,-0.5,10,10", " 1, 2 ,3, 4")


def series(*boxes):
    return pd.Series(boxes, dtype=TEXT)


@pytest.mark.parametrize(("box", "inside"), BOXES.items())
def test_what_lies_inside_a_photo_of_100_by_50_stays(box, inside):
    size = np.array([100]), np.array([50])
    assert clipped(series(box), *size).tolist() == [inside]
    assert outside(series(box), *size)[0] == (box not in FINE)


def test_only_four_numbers_are_a_box():
    assert is_box(series("1,2,3,4", "1.5,2,3,4", "-1,-2.5,3,4", "1, 2, 3, 4")).all()
    assert not is_box(series("", "1,2,3", "1,2,-3,4", "1,2,3,-4", "a,b,c,d", "- 1,2,3,4")).any()


@pytest.mark.parametrize(
    ("one", "other", "size", "other_size", "same"),
    [
        ("10,10,60,60", "5,5,30,30", (96, 128), (48, 64), True),
        ("10,10,60,60", "5,5,30,30", (96, 128), (96, 128), False),
        ("11,11,61,61", "5,5,30,30", (96, 128), (48, 64), True),  # rounded to whole pixels of the smaller
        ("10,10,60,60", "9,5,30,30", (96, 128), (48, 64), False),
        ("1,2,3,4", "1, 2, 3.0, 4", (96, 128), (96, 128), True),
        ("half", "half", (96, 128), (48, 64), True),
        ("half", "1,2,3,4", (96, 128), (96, 128), False),
    ],
)
def test_boxes_are_compared_as_parts_of_their_photos(one, other, size, other_size, same):
    assert same_place(one, other, size, other_size) == same_place(other, one, other_size, size) == same


def test_no_boxes():
    assert len(outside(series(), np.array([]), np.array([]))) == len(clipped(series(), np.array([]), np.array([]))) == 0


number = st.one_of(st.integers(0, 300).map(str), st.floats(0, 300).map(lambda value: f"{value:.5f}"))
place = st.one_of(number, number.map(lambda value: f" -{value}"))


@pytest.mark.slow
@settings(deadline=None)  # the first example imports
@given(st.tuples(place, place, number, number).map(",".join), st.integers(1, 200), st.integers(1, 200))
def test_what_was_cut_is_a_box_inside_and_is_not_cut_again(box, width, height):
    size = np.array([width]), np.array([height])
    (inside,) = clipped(series(box), *size)
    if inside:
        assert is_box(series(inside)).all()
        assert not outside(series(inside), *size).any()
    assert pd.Series([box]).str.fullmatch(BBOX_PATTERN).all()
