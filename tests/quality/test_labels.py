"""Labels as sellers write them."""

import unicodedata

import pandas as pd
import pytest

from vitrine.catalog.table import TEXT
from vitrine.quality.labels import named, normalised


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("N/A", ""),
        (" n/a ", ""),
        ("n-a", ""),
        ("Shoes/n-a", "Shoes"),
        ("Shoes/Nan/Low", "Shoes"),
        ("Shoes/Na", "Shoes/Na"),
    ],
)
def test_a_word_for_no_label_may_have_a_slash(written, means):
    table = pd.DataFrame({"category": pd.Series([written, "Shoes/Low", ""], dtype=TEXT)})
    assert normalised(table, ["n/a", "nan"])["category"].tolist() == [means, "Shoes/Low", ""]


def test_two_unicode_forms_of_a_word_are_one():
    forms = [unicodedata.normalize(form, "Röcke") for form in ("NFC", "NFD", "NFD")]
    columns = ("category", "attr:tag", "product", "listing")
    table = pd.DataFrame({name: pd.Series(forms, dtype=TEXT) for name in columns})
    normal = normalised(table, [])
    assert [normal[name].tolist() for name in columns] == [[forms[0]] * 3] * 4
    assert normalised(table, [forms[1].upper()])["category"].tolist() == [""] * 3


def test_blanks_around_a_name_are_no_part_of_it():
    table = pd.DataFrame({"listing": pd.Series(["L 1", " L 1 ", "n/a"], dtype=TEXT), "item": [7, 7, None]})
    read = named(table, ["n/a"])
    assert read["listing"].tolist() == ["L 1", "L 1", ""]
    assert read["item"].equals(table["item"])  # a number stays one
