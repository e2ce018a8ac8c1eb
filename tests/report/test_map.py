"""The map page: what it holds, that it runs under its own policy, and that nothing else could."""

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from vitrine.report import map as module
from vitrine.report.map import ACROSS, Colouring, laid_out, write_map

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "</script><script>alert(1)</script>\x1b[2J"


@pytest.fixture
def page(tmp_path):
    """A map of 300 photos of one colour each, every tenth of which is missing, and where each lies."""
    random = np.random.default_rng(0)
    places = random.normal(0, 3, (300, 2))
    names, shades = [], random.integers(0, 256, (300, 3))
    for i in range(300):
        names.append(str(tmp_path / f"{i}.png"))
        if i % 10:
            Image.new("RGB", (30, 20), tuple(shades[i].tolist())).save(names[-1])
    labels = [("", "shoes", HOSTILE)[i % 3 and 1 + (i % 7 == 0)] for i in range(300)]
    captions = [[f"photo {i}", HOSTILE] for i in range(300)]
    write_map(tmp_path / "map.html", HOSTILE, "below", places, names, captions, [Colouring("Label", labels)])
    return (tmp_path / "map.html").read_text(encoding="utf-8"), places, labels, shades


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def numbers(text):
    return np.frombuffer(base64.b64decode(text), "<u2")


def test_photos_stand_where_they_belong_with_their_labels_and_thumbnails(page):
    text, places, labels, shades = page
    data = data_of(text)
    order = [int(caption.split("\n")[0].removeprefix("photo ")) for caption in data["captions"]]
    assert sorted(order) == list(range(300))
    x, y = (numbers(data[axis]).astype(float) for axis in "xy")
    scale = (x.max() - x.min()) / np.ptp(places[:, 0])
    assert np.allclose((x - x[0]) / scale, places[order, 0] - places[order[0], 0], atol=2 / scale)
    assert np.allclose((y - y[0]) / scale, places[order, 1] - places[order[0], 1], atol=2 / scale)
    [colouring] = data["colourings"]
    names = ["", *colouring["names"]]
    assert [names[code] for code in numbers(colouring["codes"])] == [labels[i] for i in order]
    assert colouring["counts"] == [labels.count(name) for name in colouring["names"]]
    sheets = re.findall(r'<script type="text/plain" id="sheet\d+">data:image/webp;base64,(.*?)</script>', text)
    assert len(sheets) == 2
    edge = data["edge"]
    opened = [Image.open(io.BytesIO(base64.b64decode(sheet))).convert("RGB") for sheet in sheets]
    for place, i in enumerate(order):
        row, column = divmod(place % ACROSS**2, ACROSS)
        middle = opened[place // ACROSS**2].getpixel((column * edge + edge // 2, row * edge + edge // 2))
        expected = shades[i] if i % 10 else (238, 240, 243)
        assert np.abs(np.array(middle) - expected).max() < 40, (place, i)


def test_neighbours_share_sheets(page):
    data = data_of(page[0])
    x, y = numbers(data["x"]).astype(float), numbers(data["y"]).astype(float)
    steps = np.hypot(np.diff(x), np.diff(y))
    random = np.random.default_rng(0).permutation(300)
    assert np.median(steps) < 0.3 * np.median(np.hypot(np.diff(x[random]), np.diff(y[random])))


def test_only_the_page_s_own_script_may_run_and_nothing_is_loaded(page):
    text = page[0]
    [script] = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    [policy] = re.findall(r'Content-Security-Policy" content="(.*?)"', text)
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert "alert(1)</script>" not in text
    assert "\x1b" not in text
    assert not re.findall(r"https?://|(?:src|href)=", text)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, chromium-browser or google-chrome on the PATH")
def test_a_browser_draws_it(page, tmp_path):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=2000"]
    done = subprocess.run([*command, (tmp_path / "map.html").as_uri()], capture_output=True, text=True, timeout=120)
    legend = re.search(r'<ul id="legend".*?</ul>', done.stdout, re.S)[0]
    assert re.findall(r"<span>([^<]*)</span><span>(\d+)</span>", legend)[0] == ("shoes", str(page[2].count("shoes")))
    assert "photos in colour" in done.stdout
    assert "CONSOLE" not in done.stderr  # an error of the script, or something refused by the policy


def test_what_is_alike_lies_together():
    random = np.random.default_rng(0)
    kinds = np.arange(200) % 4
    points = random.normal(0, 8, (4, 60))[kinds] + random.normal(0, 1, (200, 60))
    places = laid_out(points)
    assert places.shape == (200, 2)
    middles = np.stack([places[kinds == kind].mean(axis=0) for kind in range(4)])
    nearest = np.linalg.norm(places[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == kinds).mean() > 0.99
    assert (laid_out(points) == places).all()


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_a_few_photos_or_equal_ones_are_no_trouble(count):
    assert laid_out(np.zeros((count, 1280), np.float32)).shape == (count, 2)
    line = laid_out(np.arange(count, dtype=float)[:, None] @ np.ones((1, 3)))
    assert np.isfinite(line).all()


def test_order_by_place_is_morton_s():
    grid = np.array([(x, y) for y in range(4) for x in range(4)], float)
    expected = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]
    assert module._along(grid).tolist() == expected
    line = np.c_[np.arange(50.0), np.zeros(50)]
    assert module._along(line).tolist() == list(range(50))
