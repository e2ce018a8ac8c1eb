import csv

import pytest

from vitrine.catalog.left_out import LEFT_OUT, LeftOut, refuse_many, write_left_out
from vitrine.errors import InputError


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines))


def test_no_cell_is_a_formula(tmp_path):
    cells = ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx", "\rx", "plain = x", 'with "quotes", and a comma']
    write_left_out(tmp_path / LEFT_OUT, [LeftOut(n, cell, f"{cell} is no photo") for n, cell in enumerate(cells)])
    header, *found = rows_of(tmp_path / LEFT_OUT)
    assert header == ["row", "image", "reason"]
    assert [row[1] for row in found] == [f"'{cell}" for cell in cells[:6]] + cells[6:]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for row in found for cell in row)


def test_more_than_the_share_is_refused_and_named(tmp_path):
    gone = [LeftOut(3, "a.jpg", "no such photo"), LeftOut(4, "b.jpg", "no such photo")]
    refuse_many(gone, 40, 0.05, "photos", tmp_path / "out")  # just the share
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(
        InputError, match=r"photos: 2 of 39 rows .* 5 %: row 3 \(a.jpg\): no such photo; .*out.left_out.csv"
    ):
        refuse_many(gone, 39, 0.05, "photos", tmp_path / "out")
    assert rows_of(tmp_path / "out.left_out.csv")[2] == ["4", "b.jpg", "no such photo"]
    with pytest.raises(InputError, match="a share between 0 and 1"):
        refuse_many([], 39, 5, "photos", tmp_path / "out")
