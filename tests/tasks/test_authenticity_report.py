"""The page about listings says what is decided, at what cost, by which photos, and shows a catalog's text as text."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from toy_listings import an_outcome, catalog_of

from vitrine.data.heat import DIM
from vitrine.tasks.authenticity.metrics import listing_metrics, view_metrics
from vitrine.tasks.authenticity.report import heat_thumbnail, listing_examples, listing_page, verdict_confusion

A, C = "authentic", "counterfeit"
CONFIG = {
    "variant": "ssa",
    "settings": {"accept_counterfeit": 10.0, "refuse_authentic": 5.0, "ask": 1.0},
    "history": [{"loss": 1.0, "score": 0.5}, {"loss": 0.5, "score": 0.9}],
}
HOSTILE = "<script>alert(1)</script>"
# Right four times, asked about three times, one authentic refused, one counterfeit accepted; one was undecided.
PROBABILITY = [0.95, 0.97, 0.05, 0.1, 0.5, 0.3, 0.6, 0.15, 0.92, 0.4]
TRUTH = [A, A, C, C, A, C, A, A, C, ""]
WEIGHTS = [np.array([0.1, 0.2, 0.7])] * 10


def page_of(outcome, catalog, **config):
    metrics = listing_metrics(outcome)
    return listing_page(outcome, catalog, metrics, CONFIG | config, "Evaluation").render()


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    outcome = an_outcome(PROBABILITY, TRUTH, WEIGHTS, maps=[np.ones((3, 2, 2))] * 10)
    return outcome, catalog_of(outcome, tmp_path_factory.mktemp("answered"))


@pytest.fixture(scope="module")
def page(answered):
    return page_of(*answered)


def test_it_says_what_is_decided_and_at_what_cost(page):
    assert "Decides 66.7 % of the listings by itself and is right about 66.7 % of those" in page
    assert "1 of 4" in page  # counterfeits called authentic
    assert "1 of 5" in page  # authentic ones refused
    assert f"{(10 + 5 + 3) / 9:.2f}" in page
    assert "Below 20.0 % authentic it says counterfeit, from 90.0 % on authentic" in page


def test_listings_are_sorted_into_wrong_asked_and_right(page):
    titles = [page.index(f"Listings: {name}") for name in ("wrong (2)", "left to an expert (3)", "right (4)")]
    assert titles == sorted(titles)
    wrong = page[titles[0] : titles[1]]
    assert wrong.index("L8: says authentic (92.0 % authentic); is counterfeit.") < wrong.index("L7: says counterfeit")
    assert "L9:" not in page  # nobody knows


def test_the_photo_that_decided_comes_first_and_once_more_shaded(page):
    listing = page[page.index("L8:") : page.index("L7:")]
    captions = re.findall(r"<div>(.*?)</div>", listing)
    assert captions[:3] == ["stamp", "70.0 % of attention", "saliency"]
    assert listing.count("<img") == 4


def test_attention_by_view_stands_beside_an_even_share(page):
    part = page[page.index("Attention weights") : page.index("All figures")]
    row = part[part.rindex("<td>stamp</td>") :]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row)[:5]
    assert cells == ["stamp", "10", "70.0 %", "33.3 %", "100.0 %"]


@pytest.mark.slow
def test_attention_that_weighs_all_photos_alike_is_named(answered, page):
    _, catalog = answered
    even = an_outcome(PROBABILITY, TRUTH, [np.full(3, 1 / 3)] * 10)
    assert "Attention does not work" in page_of(even, catalog)
    assert "Attention does not work" not in page


def test_a_system_without_attention_or_maps_has_a_page_too(answered):
    _, catalog = answered
    page = page_of(an_outcome(PROBABILITY, TRUTH), catalog, history=[])
    assert "weighs no photos" in page
    assert "saliency" not in page
    assert "How training went" not in page


@pytest.mark.slow
def test_figures_of_single_views_stand_above_those_of_all_photos(answered):
    outcome, catalog = answered
    alone = an_outcome([0.9, 0.1] * 5, [A, C] * 5, views=[["tag"]] * 10)
    metrics = listing_metrics(outcome) | view_metrics({"tag": alone})
    page = listing_page(outcome, catalog, metrics, CONFIG, "Evaluation").render()
    part = page[page.index("If only one view is shown") : page.index("All figures")]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in part.split("<tr>")[2:]]
    assert rows[0] == ["tag", "10", "100.0 %", "100.0 %", "100.0 %", "100.0 %"]
    assert rows[1][:3] == ["all photos", "9", f"{100 * metrics['accuracy']:.1f} %"]


@pytest.mark.slow
def test_a_model_that_only_asks_says_so(answered):
    _, catalog = answered
    page = page_of(an_outcome([0.5] * 10, TRUTH), catalog)
    assert "Asks an expert about every listing" in page


@pytest.mark.slow
def test_experts_stand_beside_the_model_and_their_contradictions_are_counted(answered):
    outcome, catalog = answered
    table = catalog.table.assign(product="P" + (catalog.table.index // 6).astype(str))  # two listings a product
    page = page_of(outcome, catalog.with_table(table))
    part = page[page.index("Experts and the model") : page.index("Embeddings")]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in part.split("<tr>")[2:]]
    # Ana judged L0, 2, 4, 6, 8: two decided right, L8 contradicted, two asked about.
    assert rows[0] == ["Ana", "5", "60.0 %", "40.0 %", "66.7 %", "1"]
    assert "4 products were judged in more than one listing" in part
    assert "about 1 of them" in part  # L4 and L5


def test_text_of_the_catalog_is_shown_as_text(answered):
    _, catalog = answered
    views = [[HOSTILE, "tag", "stamp"]] * 10
    hostile = an_outcome(PROBABILITY, TRUTH, WEIGHTS, views=views)
    table = catalog.table.assign(expert=HOSTILE)
    page = page_of(hostile, catalog.with_table(table))
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


@pytest.mark.slow
def test_a_photo_that_cannot_be_read_leaves_a_gap_not_an_error(answered, tmp_path):
    outcome, _ = answered
    catalog = catalog_of(outcome, tmp_path)
    for image in outcome.images[8]:
        (tmp_path / image).unlink()
    page = page_of(outcome, catalog)
    assert page.count("cannot be shown") == 4


def test_the_confusion_counts_every_judged_listing_once(answered):
    found = verdict_confusion(answered[0])
    assert found["categories"] == [A, C, "ask an expert"]
    assert found["matrix"] == [[2, 1, 2], [1, 2, 1], [0, 0, 0]]


def test_examples_show_the_deciding_photo_and_whether_it_was_right(answered):
    outcome, catalog = answered
    examples = listing_examples(outcome, catalog, 20)
    assert [example["tone"] for example in examples] == ["good"] * 4 + ["warn"] * 3 + ["bad"] * 2
    assert examples[-1]["caption"] == ["✗ authentic", "92.0 % authentic", "is counterfeit"]
    assert all(str(example["thumbnail"]).startswith("data:image/jpeg") for example in examples)
    assert len(listing_examples(outcome, catalog, 3)) == 3


def test_a_photo_keeps_its_colours_where_the_heat_is_and_is_dim_and_grey_elsewhere(tmp_path):
    Image.new("RGB", (40, 40), (200, 90, 40)).save(tmp_path / "orange.png")
    uri = heat_thumbnail(str(tmp_path / "orange.png"), np.array([[1.0, 0.0], [0.0, 0.0]]))
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))), np.int16)
    assert abs(pixels[:16, :16].mean((0, 1)) - (200, 90, 40)).max() < 8
    assert abs(pixels[80:, 80:].mean((0, 1)) - DIM * 110).max() < 4
    assert heat_thumbnail(str(tmp_path / "none.png"), np.ones((2, 2))) is None
