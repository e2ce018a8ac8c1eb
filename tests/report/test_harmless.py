"""What other libraries' pages are given to show, and what they may do."""

from hypothesis import given
from hypothesis import strategies as st

from vitrine.report.harmless import confined, harmless


@given(st.text())
def test_nothing_that_could_act_as_markup_is_left(text):
    shown = harmless(text)
    assert not set(shown.replace("&\u200b", "")) & set('<>"&\n\0')  # nothing can follow such an & as an entity
    assert len(shown) == len(text) + text.count("&")


def test_ordinary_text_stays():
    assert harmless("Größe 42, d'été / 50 %") == "Größe 42, d'été / 50 %"


def test_a_confined_page_may_load_nothing():
    page = confined("<html><head><title>x</title></head><body><head></body></html>")
    assert page.count("Content-Security-Policy") == 1
    assert page.index("default-src 'none'") < page.index("<title>")
