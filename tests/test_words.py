import pytest

from vitrine.words import counted


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [(1, "photo", "1 photo"), (0, "photo", "0 photos"), (1200, "class", "1,200 classes"), (1, "class", "1 class")],
)
def test_a_number_has_its_noun(number, noun, said):
    assert counted(number, noun) == said
