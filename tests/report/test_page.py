"""Pages escape what catalogs say, need no network, and count what they leave out."""

import re

import pytest
from PIL import Image

from vitrine.report import Page, Photo, Tile, percent, thumbnail

EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


@pytest.fixture
def full_page(tmp_path):
    Image.new("RGB", (300, 200), "red").save(tmp_path / "a.jpg")
    page = Page(EVIL, EVIL, EVIL, "bad")
    page.heading(EVIL, EVIL)
    page.text(EVIL)
    page.tiles([Tile(EVIL, EVIL, "good", EVIL)])
    page.table([EVIL, "n"], [[EVIL, 1]])
    page.bars([(EVIL, 1.0, EVIL)])
    page.photos([Photo(thumbnail(str(tmp_path / "a.jpg")), [EVIL]), Photo(None, [EVIL])])
    page.photos([], empty=EVIL)
    page.links([(EVIL, "other.html", EVIL)])
    return page


def test_nothing_from_a_catalog_becomes_markup(full_page):
    html = full_page.render()
    assert "<script" not in html
    assert "<img src=x" not in html
    assert html.count("&lt;script&gt;") >= 15


def test_a_page_needs_no_network(full_page):
    html = full_page.render()
    assert "http://" not in html
    assert "https://" not in html
    assert re.findall(r'src="([^"]{5})', html) == ["data:"]
    assert "default-src 'none'" in html


def test_a_table_counts_what_it_does_not_show():
    page = Page("t")
    page.table(["a"], [[i] for i in range(12)], shown=10)
    html = page.render()
    assert "and 2 more rows." in html
    assert html.count("<td") == 10


def test_only_columns_with_a_very_long_word_break_words_and_only_numbers_are_set_right():
    page = Page("t")
    page.table(["a", "b", "c", "d"], [["statistic", "s3://bucket/a/long/address.parquet", 1, "2 %"], ["b", "", 3, "x"]])
    assert re.findall(r"<td([^>]*)>", page.render())[:4] == ["", ' class="long"', ' class="n"', ""]


def test_an_empty_table_says_none():
    page = Page("t")
    page.table(["a", "b"], [])
    assert '<td colspan="2">None.</td>' in page.render()


def test_numbers_stand_right():
    page = Page("t")
    page.table(["word", "count", "share", "mixed"], [["a", 1, "12.3 %", "1"], ["b", 2.5, "–", "x"]])
    assert page.sections[0]["classes"] == ["", "n", "n", ""]


def test_the_longest_bar_is_full():
    page = Page("t")
    page.bars([("a", 4, "4"), ("b", 1, "1"), ("c", 0, "0")])
    assert [width for _, width in page.sections[0]["bars"]] == [100, 25, 0]
    page.bars([("a", 0.0, "0")])
    page.bars([("a", 3.0, "3")], maximum=2.0)
    assert [width for section in page.sections[1:] for _, width in section["bars"]] == [0, 100]
    page.bars([])
    page.render()


def test_a_figure_is_embedded():
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([1, 2])
    page = Page("t")
    page.figure(figure, alt=EVIL)
    html = page.render()
    assert "data:image/png;base64," in html
    assert "<script" not in html


def test_a_photo_that_cannot_be_shown(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"bad")
    assert thumbnail(str(tmp_path / "bad.jpg")) is None
    page = Page("t")
    page.photos([Photo(None, ["caption"])])
    assert "cannot be shown" in page.render()


def test_a_page_is_one_utf8_file(full_page, tmp_path):
    full_page.text("–é漢")
    full_page.write(tmp_path / "deep/report.html")
    assert "–é漢" in (tmp_path / "deep/report.html").read_text(encoding="utf-8")


def test_percent():
    assert percent(0.1234) == "12.3 %"


def test_control_characters_are_shown_as_such():
    page = Page("Title", "a\0b", "fine")
    page.table(["name"], [["x\x1b[2Jy\tz\n"]])
    text = page.render()
    assert "a\ufffdb" in text
    assert "x\ufffd[2Jy\tz\n" in text
    assert all(character.isprintable() or character in "\t\n" for character in text)
