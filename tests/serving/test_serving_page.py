"""The page at `/` in a real browser: a photo in, answers seen, nothing asked of anybody else."""

import json
import shutil

import pytest
from PIL import Image
from serving.browser import CHROMIUM, browser
from serving.conftest import running

from vitrine.serving.run import Plan
from vitrine.visual_search import make_index

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, chromium-browser or google-chrome on the PATH"),
]
DONE = "document.getElementById('status').textContent === '' && document.querySelector('#answers article')"


@pytest.fixture(scope="module")
def page():
    with browser() as found:
        yield found


def test_a_photo_gets_its_path_its_attributes_and_products(made, client, page):
    page.open(f"{client.base_url}")
    page.choose(made.photos[0])
    page.until(DONE)
    answer = client.post("/predict", files=[("photos", made.photos[0].open("rb"))]).json()["answers"][0]
    nodes = page.value(
        "[...document.querySelectorAll('.path')].map((path) => [...path.children].map((node) => node.textContent))"
    )
    assert answer["level3"][0]["label"].split("/") in nodes
    said = page.value("document.querySelector('article').innerText")
    assert f"{100 * answer['level1'][0]['confidence']:.1f} %" in said
    assert answer["attr:colour"][0]["label"] in said
    found = client.post("/search?k=12", files=[("photos", made.photos[0].open("rb"))]).json()["results"][0]["products"]
    shown = page.value("[...document.querySelectorAll('.grid li p:first-of-type')].map((name) => name.textContent)")
    assert shown == [hit["product"] for hit in found]
    page.until("[...document.querySelectorAll('.grid img')].every((image) => image.complete && image.naturalWidth > 0)")


def test_a_listing_shows_which_photos_decided(made, client, page):
    rows = made.listings.table[made.listings.table["listing"] == made.listings.table["listing"].iloc[0]]
    paths = [made.folder / "listings" / image for image in rows["image"]]
    page.open(f"{client.base_url}")
    page.until("!document.getElementById('ways').hidden")
    page.value("document.querySelector('input[value=listing]').click()")
    page.choose(*paths)
    page.until(DONE)
    answer = client.post("/verify", files=[("photos", path.open("rb")) for path in paths]).json()
    assert page.value("document.querySelector('.verdict').textContent") == answer["verdict"]
    assert page.value("document.querySelectorAll('.decided').length") == len(answer["deciding_photos"])
    shown = page.value("[...document.querySelectorAll('.grid li p')].map((name) => name.textContent)")
    assert sorted(shown) == sorted(path.name for path in paths)
    assert shown[0] == answer["deciding_photos"][0]["image"]


@pytest.mark.parametrize(
    ("way", "answer"),
    [
        ("photos", {"answers": [{}], "model": "late", "version": "1"}),
        ("listing", {"verdict": "late", "probability": 0.5, "weights": [], "deciding_photos": [], "version": "1"}),
    ],
)
def test_answers_to_an_earlier_drop_are_not_shown(made, client, page, way, answer):
    page.open(f"{client.base_url}")
    page.until("!document.getElementById('ways').hidden")
    page.value(f"document.querySelector('input[value={way}]').click()")
    page.value(
        "window.held = new Promise((resolve) => { window.letGo = resolve; });"
        "window.real = window.fetch;"
        f"window.fetch = () => window.held.then(() => new Response(JSON.stringify({json.dumps(answer)})));"
    )
    page.choose(*made.photos[:3])
    page.until("document.getElementById('status').textContent === 'Looking at 3 photos ...'")
    page.value("window.fetch = window.real; document.querySelector('input[value=photos]').click()")
    page.choose(made.photos[3])
    page.until(DONE)
    page.value("window.letGo(); new Promise((resolve) => setTimeout(resolve, 200))")
    shown = page.value("[...document.querySelectorAll('#answers > article h2')].map((name) => name.textContent)")
    assert page.value("document.querySelectorAll('#answers > article').length") == 1
    assert shown[0] == made.photos[3].name


def test_what_is_no_photo_is_said_in_words(client, page, tmp_path):
    (tmp_path / "bad.jpg").write_text("no photo")
    page.open(f"{client.base_url}")
    page.choose(tmp_path / "bad.jpg")
    page.until(DONE)
    assert "bad.jpg: is not a photo" in page.value("document.querySelector('article').innerText")


def test_keys_reach_what_the_mouse_does_and_a_phone_shows_all(made, client, page):
    page.open(f"{client.base_url}", width=380, height=700)
    reached = set()
    for _ in range(8):
        page.press("Tab")
        reached.add(page.value("document.activeElement.id || document.activeElement.tagName"))
    assert "files" in reached
    page.choose(made.photos[0])
    page.until(DONE)
    assert page.value("document.documentElement.scrollWidth") <= 380


def test_a_token_is_asked_for(made, page, tmp_path):
    (tmp_path / "token").write_text("open-sesame")
    with running(Plan(models=[str(made.other)], token=tmp_path / "token")) as client:
        page.open(f"{client.base_url}")
        page.until("!document.getElementById('token-form').hidden")
        page.value(
            "document.getElementById('token').value = 'open-sesame'; document.querySelector('#token-form button').click()"
        )
        page.until(
            "document.getElementById('token-form').hidden && document.getElementById('status').textContent === ''"
        )
        page.choose(made.photos[0])
        page.until(DONE)
        assert page.value("document.querySelectorAll('.path').length") == 1


def test_nothing_of_a_catalog_or_a_name_runs_and_nobody_else_is_asked(made, page, tmp_path):
    code = '<img src=x onerror="console.log(1)">'
    hostile = made.products.table.assign(product=code, category=code.replace("/", ""))
    make_index(made.representation, made.products.with_table(hostile), tmp_path / "index")
    name = "<img src=x onerror=console.log(1)>.png"
    shutil.copy(made.photos[0], tmp_path / name)
    with running(Plan(models=[str(made.other)], index=tmp_path / "index")) as client:
        page.messages.clear()
        page.requests.clear()
        page.open(f"{client.base_url}")
        page.choose(tmp_path / name)
        page.until(DONE)
        assert code in page.value("document.querySelector('.grid').innerText")
        assert name in page.value("document.querySelector('article').innerText")
        assert page.messages == []
        assert {address.split("/")[2] for address in page.requests if address.startswith("http")} == {
            f"127.0.0.1:{client.port}"
        }


def test_a_photo_that_the_browser_cannot_show_is_still_answered(made, client, page, tmp_path):
    Image.open(made.photos[0]).save(tmp_path / "a.tiff")
    page.open(f"{client.base_url}")
    page.choose(tmp_path / "a.tiff")
    page.until(DONE)
    assert page.value("document.querySelectorAll('.path').length") >= 1
