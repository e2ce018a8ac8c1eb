"""What the map of a validated catalog says of its photos."""

import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from vitrine.quality import catalog_map
from vitrine.quality.validate import validate_catalog

from .conftest import draw


@pytest.fixture
def source(make):
    rows = [
        {"image": f"images/{n}.jpg", "category": ("Shoes/Boots", "Shoes/Heels", "Bags")[n % 3], "attr:colour": "red"}
        for n in range(30)
    ]
    catalog = make(rows)
    shutil.copy(catalog.uri("images/3.jpg"), catalog.uri("images/4.jpg"))
    draw(7).point(lambda value: value * 0.2).save(catalog.uri("images/7.jpg"))
    Path(catalog.uri("images/9.jpg")).write_bytes(b"no photo")
    return catalog


def data_of(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


@pytest.mark.slow
def test_labels_and_findings_colour_it(source, tmp_path):
    validate_catalog(source, tmp_path / "report", as_map=True, workers=1)
    data = data_of(tmp_path / "report/map.html")
    rows = [int(re.search(r"Row (\d+)", caption)[1]) for caption in data["captions"]]
    assert sorted(rows) == [row for row in range(1, 31) if row != 10]  # the broken one has no place
    titles = [colouring["title"] for colouring in data["colourings"]]
    assert titles == ["Category, level 1", "Category, level 2", "Copies", "Photo faults"]  # one colour tells nothing
    said = {}
    for colouring in data["colourings"]:
        codes = np.frombuffer(base64.b64decode(colouring["codes"]), "<u2")
        names = ["", *colouring["names"]]
        said[colouring["title"]] = {row: names[code] for row, code in zip(rows, codes, strict=True) if code}
    assert said["Copies"] == {4: "exact copy", 5: "exact copy"}
    assert said["Photo faults"][8] == "Dark photos"
    assert said["Category, level 2"][2] == "Shoes/Heels"
    assert "map.html" in (tmp_path / "report/report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_of_many_photos_those_with_findings_are_shown(source, tmp_path, monkeypatch):
    monkeypatch.setattr(catalog_map, "MOST", 8)
    validate_catalog(source, tmp_path / "report", as_map=True, workers=1)
    data = data_of(tmp_path / "report/map.html")
    rows = {int(re.search(r"Row (\d+)", caption)[1]) for caption in data["captions"]}
    assert len(rows) == 8
    assert {4, 5, 8} <= rows
    assert "8 of 30 photos" in (tmp_path / "report/map.html").read_text(encoding="utf-8")


def test_without_being_asked_there_is_none(source, tmp_path):
    validate_catalog(source, tmp_path / "report", workers=1)
    assert not (tmp_path / "report/map.html").exists()
