"""What somebody else wrote is parsed without surprises, and does nothing to a terminal."""

import json
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vitrine.untrusted import json_line, parse_json, parse_yaml, printable

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join(['*' + old] * 10)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize("text", [BOMB, MERGES, "&a [*a]", "&a {x: *a}"], ids=["lists", "merges", "loop", "own key"])
def test_aliases_that_unfold_without_end_are_refused(text):
    started = time.monotonic()
    with pytest.raises(ValueError, match="unfold to more than"):
        parse_yaml(text)
    assert time.monotonic() - started < 10


def test_a_few_aliases_are_read():
    assert parse_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {x: 1}}") == {"a": [1, 2], "b": [1, 2], "c": {"x": 1}}
    assert parse_yaml("") is None


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000, "2024-99-99", "1" * 5000, "!!int ''", "!!timestamp x", "!!python/object/apply:os.system [id]",
        "{[a]: b}", "? {a: b}\n: c", "!!binary x\0", "\x1b", "--- a\n--- b", "!!float x", "<<: 1", b"\xff\xfe\xfd",
    ],
)  # fmt: skip
def test_yaml_that_is_none_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parse_yaml(text)


@given(st.text(st.sampled_from("[]{}:,-?!&*<>|'\"%@` \n#a0.e_1"), max_size=40) | st.binary(max_size=30))
@example("!!set {a, b}")
@example("!!omap [a]")
def test_any_yaml(text):
    try:
        parse_yaml(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017


@pytest.mark.parametrize("text", ["[" * 100_000, '"\\ud800"', b'"\xed\xa0\x80"', "1" * 5000, b"\xff", ""])
def test_json_that_is_none_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011
        parse_json(text)


@given(st.recursive(st.none() | st.booleans() | st.text() | st.integers(), lambda inner: st.lists(inner, max_size=3)))
def test_json_is_read_back(value):
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@given(st.text(st.characters(exclude_categories=())))
def test_nothing_acts_on_a_terminal(text):
    for shown in (printable(text), json_line(text)):
        assert not any((ord(sign) < 32 and sign != "\t") or 127 <= ord(sign) < 160 for sign in shown)
        assert not set(shown) & set("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
        shown.encode()
    assert json.loads(json_line(text)) == text


def test_text_of_all_languages_stays():
    text = "Hemd – größe 42, قميص, シャツ, می‌خواهم, 👕, a\tb"
    assert printable(text) == text
    assert json.loads(json_line(text)) == text
