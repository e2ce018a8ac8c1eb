"""Units, excluded words and listings uploaded again, against loops over the rows."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.catalog.table import TEXT
from vitrine.quality.listings import keyword_hits, repeated_text, unit_name, units
from vitrine.quality.settings import load_settings

CELL = st.sampled_from(["", "a", "b", "A "])
ROWS = st.lists(st.tuples(CELL, CELL, CELL, CELL, st.sampled_from(["", "red"])), min_size=1, max_size=14)
COLUMNS = ["listing", "product", "user", "description", "attr:colour"]


def table_of(rows):
    table = pd.DataFrame(rows, columns=COLUMNS, dtype=object).astype(TEXT)
    return table.assign(image=pd.Series([f"{number}.jpg" for number in range(len(rows))], dtype=TEXT))


def own(row, number):
    return ("listing", row[0]) if row[0] else ("text", *row[1:4]) if all(row[1:4]) else ("row", number)


@given(ROWS)
def test_rows_of_one_listing_else_one_text_about_a_product_are_a_unit(rows):
    numbers = units(table_of(rows)).tolist()
    names = [own(row, number) for number, row in enumerate(rows)]
    for one in range(len(rows)):
        for other in range(len(rows)):
            assert (numbers[one] == numbers[other]) == (names[one] == names[other])


def folded(text):
    return " ".join(text.split()).casefold()


@pytest.mark.slow
@given(ROWS)
def test_of_listings_with_one_user_and_text_the_best_labelled_stays(rows):
    names = [own(row, number) for number, row in enumerate(rows)]
    told = {}
    for number, row in enumerate(rows):
        if folded(row[2]) and folded(row[3]) not in ("", "b"):  # b stands for "no text"
            labels, photos, first = told.setdefault((folded(row[2]), folded(row[3])), {}).get(
                names[number], (0, 0, number)
            )
            labels += bool(row[4]) + bool(row[1])
            told[folded(row[2]), folded(row[3])][names[number]] = labels, photos + 1, first
    expected = {}
    for listings in told.values():
        ranked = sorted(listings.items(), key=lambda item: (-item[1][0], -item[1][1], item[1][2]))
        for name, _ in ranked[1:]:
            expected.setdefault(name, ranked[0][1][2])
    found = repeated_text(table_of(rows), ["B"]).tolist()
    assert {names[number] for number, row in enumerate(found) if row >= 0} == set(expected)
    for number, row in enumerate(found):
        if row >= 0:
            assert names[row] != names[number]


def test_a_unit_is_called_by_its_listing_its_product_or_its_photo():
    table = table_of([("L", "P", "", "", ""), ("", "P", "", "", ""), ("", "", "", "", "")])
    assert [unit_name(table, row) for row in range(3)] == ["L", "P", "2.jpg"]


def test_excluded_words_are_whole_words_and_rare():
    settings = load_settings()
    word = settings.keywords[0]
    texts = [f"my {word.upper()}!", f"un{word}ed", "fine", "", *["plain"] * 40]
    table = table_of([("", "", "", text, "") for text in texts])
    assert keyword_hits(table, settings).tolist() == [word, *[""] * 43]
    common = table_of([("", "", "", f"{word} {number}", "") for number in range(40)])
    assert (keyword_hits(common, settings) == "").all()  # it says what is sold here


@pytest.mark.parametrize(("photos", "others"), [(8, 100), (3, 9), (1, 39)])
def test_how_many_use_a_word_is_counted_in_listings(photos, others):
    settings = load_settings()
    rows = [("L", "", "", settings.keywords[0], "")] * photos
    table = table_of(rows + [(f"l{number}", "", "", "plain", "") for number in range(others)])
    assert (keyword_hits(table, settings)[:photos] != "").all()
    many = [
        (f"L{number}", "", "", settings.keywords[0], "") for number in range(2)
    ]  # 2 of 22 listings, 2 of 102 photos
    table = table_of(many + [(f"l{number % 20}", "", "", "plain", "") for number in range(100)])
    assert (keyword_hits(table, settings) == "").all()


def test_what_one_user_writes_says_nothing_of_others_photos_of_the_product():
    rows = [
        ("", "P", "u", "text", ""),
        ("", "P", "u", "text", ""),
        ("", "Q", "u", "text", ""),
        ("", "Q", "v", "own", ""),
    ]
    assert repeated_text(table_of(rows), []).tolist() == [-1, -1, 0, -1]
