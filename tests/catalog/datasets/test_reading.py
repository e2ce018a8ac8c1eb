"""Tables of aligned columns, and names as labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.catalog.datasets.reading import box, label, line_of, parse_aligned, part, read_table, recoded
from vitrine.catalog.mapping import TableFile
from vitrine.errors import InputError


def described(**keys):
    return TableFile(file="t.txt", aligned=True, **keys)


def test_aligned_columns():
    table = parse_aligned("2\nname   kind\nlong  sleeve    4\r\n red\t 1 \n\n", described(counted=True))
    assert table.to_dict("list") == {"name": ["long  sleeve", " red"], "kind": ["4", "1"]}


def test_names_replace_a_header_or_stand_for_one():
    assert parse_aligned("x y\n1 2", described(names=["a", "b"])).to_dict("list") == {"a": ["1"], "b": ["2"]}
    assert parse_aligned("1 2", described(header=False, names=["a", "b"])).to_dict("list") == {"a": ["1"], "b": ["2"]}
    assert parse_aligned("1 2", described(header=False)).to_dict("list") == {"column 1": ["1"], "column 2": ["2"]}


@pytest.mark.parametrize(
    ("text", "keys", "message"),
    [
        ("2\na b\n1 2\n3", {"counted": True}, "line 4 has 1 columns, not 2"),
        ("a b\n1 2\n\n3 4", {}, "line 3 has 0 columns, not 2"),
        ("1 2\n3", {"header": False}, "line 2 has 1 columns, not 2"),
        ("3\na b\n1 2\n3 4", {"counted": True}, "has 2 rows, and its first line says '3'"),
        ("a b\n1 2\n3 4", {"counted": True}, "has 1 rows, and its first line says 'a b'"),
        ("a a\n1 2", {}, "column 'a' appears twice"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, keys, message):
    with pytest.raises(ValueError, match=message):
        parse_aligned(text, described(**keys))


@pytest.mark.parametrize("text", ["", "\n \n", "a b\n"])
def test_a_table_without_rows(tmp_path, text):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(InputError, match=r"t\.txt: the table has no rows"):
        read_table(str(tmp_path), described())


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z/]{1,5}( [a-z]{1,3})?", fullmatch=True), st.integers(-9, 99), st.integers(0, 9)),
        min_size=1,
    ),
    st.booleans(),
    st.booleans(),
)
def test_what_was_written_is_read(rows, header, counted):
    lines = [f"{name:<8}  {one:3d} {two}" for name, one, two in rows]
    lines = [str(len(rows))] * counted + ["name one two"] * header + lines
    keys = described(header=header, counted=counted, names=["name", "one", "two"])
    table = parse_aligned("\n".join(lines), keys)
    assert [(name.strip(), int(one), int(two)) for name, one, two in table.itertuples(index=False)] == rows
    assert lines[line_of(keys, len(rows) - 1) - 1] == lines[-1]


def test_a_word_nobody_knows_is_named_with_its_line():
    keys = described(counted=True)
    table = parse_aligned("2\na b\nx 1\ny 3", keys)
    assert recoded(table, "b", {"1": "one", "3": "three"}, keys) == ["one", "three"]
    with pytest.raises(InputError, match=r"t\.txt: line 4: b '3' is not one of 1, 2"):
        recoded(table, "b", {"1": "one", "2": "two"}, keys)


def test_names_as_labels_and_parts_of_a_path():
    assert label("  red |  blue/green ") == "red - blue/green"
    assert part("3/4 | Pants") == "3-4 - Pants"


@pytest.mark.parametrize(
    ("sides", "text"),
    [
        ((1, 2, 30, 40), "1,2,30,40"),
        ((1.5, 0, 1234567, 40), "1.5,0,1234567,40"),
        ((-5, -2, 30, 40), "0,0,25,38"),
        ((1, 2, 0, 40), ""),
        ((1, 2, 3, -4), ""),
        ((-5, 2, 5, 4), ""),
    ],
)
def test_boxes(sides, text):
    assert box(*sides) == text
