"""`vitrine drift`; the comparison itself: tests/monitoring."""

import pytest
from commands import in_
from PIL import Image


@pytest.mark.slow
def test_drift_of_a_catalog_from_itself_and_from_another(vitrine, home, tmp_path):
    same = vitrine("drift", home / "data", home / "data", tmp_path / "same")
    assert same.code == 0
    assert same.out.startswith("No drift")
    assert vitrine("synth", tmp_path / "other", "--listings", "24", "--seed", "9").code == 0
    for photo in (tmp_path / "other" / "images").iterdir():  # a camera that went dark
        Image.open(photo).point(lambda value: value // 4).save(photo, quality=90)
    moved = vitrine("drift", home / "data", tmp_path / "other", tmp_path / "moved")
    assert moved.code == 1
    assert moved.out.startswith("Drift: ")
    assert {"report.html", "results.json"} <= set(in_(tmp_path / "moved"))
    assert vitrine("synth", tmp_path / "few", "--listings", "1").code == 0
    unknown = vitrine("drift", home / "data", tmp_path / "few", tmp_path / "unknown")
    assert unknown.code == 3
    assert unknown.out.startswith("Nothing could be compared (")


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("drift EMPTY DATA x", ["holds neither"]),
        ("drift DATA nope x", ["nope: no such folder"]),
    ],
)
def test_unusable_arguments(refused, command, parts):
    refused(command, *parts)
