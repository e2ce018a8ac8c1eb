"""Labels as sellers write them."""

import pandas as pd
import pytest

from vitrine.catalog.table import TEXT
from vitrine.quality.labels import normalised


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
