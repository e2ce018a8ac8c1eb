import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from PIL import Image

from vitrine import configs
from vitrine.catalog.table import TEXT
from vitrine.errors import InputError
from vitrine.quality.rules import Finding
from vitrine.quality.settings import RuleSettings, load_settings
from vitrine.quality.validate import judge, validate_catalog

from .conftest import draw

HOSTILE = "<script>alert(1)</script>"


def by_name(validation):
    return {result.name: result for result in validation.results}


def views(listing, *shown):
    return [{"image": f"images/{listing}-{n}.jpg", "listing": listing, "view": view} for n, view in enumerate(shown)]


def test_a_good_catalog_passes_every_rule(make, tmp_path):
    rows = [
        {
            "image": f"images/{n}.jpg",
            "listing": f"l{n}",
            "product": f"p{n}",
            "category": "A/B" if n % 2 else "A/C",
            "attr:colour": "red" if n % 3 else "blue",
            "split": "train" if n % 4 else "test",
            "bbox": "1,1,50,50",
            "user": "u",
            "description": f"number {n}",
            "verdict": "",
        }
        for n in range(48)
    ]
    overlay = tmp_path / "rules.yaml"
    overlay.write_text("settings: {min_class_count: 10, bright_blown: 1.0}\n")  # drawings are as colourful as can be
    validation = validate_catalog(make(rows), tmp_path / "report", overlay, workers=1)
    assert validation.passed
    assert [result.name for result in validation.results if not result.passed] == []
    content = json.loads((tmp_path / "report/results.json").read_text())
    assert (content["passed"], content["rows"], content["data_version"]) == (True, 48, "v1")
    assert {rule["name"] for rule in content["rules"]} == set(by_name(validation))


def test_a_jpeg_without_its_end_is_read_with_a_warning(make, tmp_path):
    catalog = make([{"image": f"images/{n}.jpg", "category": "A"} for n in range(4)])
    for n, missing in ((1, 2), (2, 60)):
        path = tmp_path / f"catalog/images/{n}.jpg"
        path.write_bytes(path.read_bytes()[:-missing])
    found = by_name(validate_catalog(catalog, tmp_path / "report", workers=1))
    assert (found["no_end_marker"].count, found["no_end_marker"].severity) == (1, "warning")
    assert list(found["no_end_marker"].examples) == [2]
    assert list(found["unreadable_photos"].examples) == [3]


def test_each_fault_is_found_where_it_is(make, tmp_path):
    rows = [{"image": f"images/{n}.jpg", "category": "A/B", "attr:colour": "red", "domain": ""} for n in range(30)]
    rows[0] |= {"domain": "mars"}  # row 1
    rows[1] |= {"image": "../up.jpg"}
    rows[2] |= {"image": "gone.jpg"}
    rows[3] |= {"image": "text.jpg"}
    rows[4] |= {"image": "tiny.png"}
    rows[5] |= {"image": "white.png"}
    rows[6] |= {"image": "png.jpg"}
    rows[7] |= {"image": "print.jpg"}
    rows[8] |= {"image": "copy.jpg", "category": "A/C", "split": "test"}
    rows[9] |= {"split": "train"}
    rows[10] |= {"image": "near.jpg"}
    rows[12] |= {"user": "u", "description": "same words", "listing": "x"}
    rows[13] |= {"user": "u", "description": "Same words", "listing": "y"}
    rows[14] |= {"description": "the empty box"}
    rows[15] |= {"attr:colour": HOSTILE}
    rows[16] |= {"bbox": "50,50,90,90"}
    rows[17] |= {"bbox": "half"}
    rows[18] |= {"description": "bell \x07"}
    rows[19] |= {"category": "D/B"}
    rows += views("v1", "tag", "stamp") + views("v2", "tag", "stamp") + views("v3", "tag", "stamp", "tag")
    rows += views("v4", "tag", "box")
    catalog = make(rows)
    folder = tmp_path / "catalog"
    (folder / "text.jpg").write_text("no photo")
    Image.new("RGB", (20, 20), "red").save(folder / "tiny.png")
    Image.new("RGB", (64, 64), "white").save(folder / "white.png")
    draw(906).save(folder / "png.jpg", format="PNG")
    draw(907).convert("CMYK").save(folder / "print.jpg")
    (folder / "copy.jpg").write_bytes((folder / "images/9.jpg").read_bytes())
    draw(catalog.table["image"].unique().tolist().index("images/11.jpg")).resize((80, 80)).save(folder / "near.jpg")
    validation = validate_catalog(catalog, tmp_path / "report", workers=1)
    found = by_name(validation)
    expected = {
        "unusable_values": [1, 2, 18],
        "missing_photos": [3],
        "unreadable_photos": [4],
        "tiny_photos": [5],
        "blank_photos": [5, 6],
        "wrong_extension": [7],
        "unusual_mode": [8],
        "exact_duplicates": [9, 10],
        "near_duplicates": [11, 12],
        "contradicting_labels": [9, 10],
        "split_leakage": [9, 10],
        "keywords": [15],
        "unsafe_text": [16, 19],
        "boxes_outside": [17],
    }
    for name, examples in expected.items():
        assert not found[name].passed, name
        assert found[name].examples == examples, name
    assert found["repeated_text"].count == 1
    assert found["missing_views"].details == ["v4 lacks stamp"]
    assert found["repeated_views"].details == ["v3 shows tag 2 times"]
    assert "category A/C: 1" in found["rare_classes"].details
    assert found["shared_node_names"].details == ["A/B and D/B"]
    page = (tmp_path / "report/report.html").read_text()
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert "\x07" not in page


def test_excluded_words_are_counted_by_listing(make, tmp_path):
    rows = [{"image": f"images/{n}.jpg", "listing": f"l{n // 3}", "description": "fine"} for n in range(9)]
    rows[0] |= {"description": "the empty box"}
    rows[1] |= {"description": "the empty box"}
    keywords = by_name(validate_catalog(make(rows), tmp_path / "report", workers=1))["keywords"]
    assert (keywords.count, keywords.share, keywords.examples) == (1, pytest.approx(1 / 3), [1, 2])
    assert keywords.details == ["empty box: 1"]


def test_without_labels_or_with_mostly_broken_photos_a_catalog_fails(make, tmp_path):
    rows = [{"image": f"images/{n}.jpg", "category": "Not sure"} for n in range(5)]
    validation = validate_catalog(make(rows), tmp_path / "a", workers=1)
    assert not validation.passed
    assert not by_name(validation)["no_labels"].passed
    rows = [{"image": f"nowhere/{n}.jpg", "category": "A"} for n in range(5)]
    validation = validate_catalog(make(rows), tmp_path / "b", workers=1)
    assert not validation.passed
    result = by_name(validation)["missing_photos"]
    assert (result.severity, result.count, result.share, result.threshold) == ("error", 5, 1.0, 0.05)
    assert not by_name(validation)["single_value_labels"].passed
    assert not by_name(validation)["label_balance"].passed


@pytest.mark.parametrize(
    ("count", "severity", "threshold", "passed"),
    [(0, "error", 0.0, True), (1, "warning", 0.0, False), (5, "warning", 0.0, False), (6, "error", 0.05, False)],
)
def test_a_share_is_held_to_both_limits(count, severity, threshold, passed):
    rule = RuleSettings("title", "why", warn_above=0, fail_above=0.05)
    result = judge("name", rule, Finding(count, 100, (4,)))
    assert (result.severity, result.threshold, result.passed) == (severity, threshold, passed)
    assert result.examples == [5]


def test_a_rule_without_limits_informs():
    result = judge("name", RuleSettings("title", "why"), Finding(3, 3))
    assert (result.severity, result.threshold, result.passed) == ("info", None, True)


def test_an_overlay_changes_its_lines_only(tmp_path):
    overlay = tmp_path / "own.yaml"
    overlay.write_text("settings: {tiny_side: 64}\nrules: {no_labels: {fail_above: null}}\n")
    mine, shipped = load_settings(overlay), load_settings()
    assert (mine.tiny_side, mine.rules["no_labels"].fail_above) == (64, None)
    assert mine.no_label == shipped.no_label
    assert "n/a" in shipped.no_label
    assert "null" in shipped.no_label


def test_whole_numbers_may_be_written_with_a_point(tmp_path):
    (tmp_path / "own.yaml").write_text("settings: {huge_pixels: 4.0e+7, tiny_side: 32.0}\n")
    own = load_settings(tmp_path / "own.yaml")
    assert (own.huge_pixels, own.tiny_side) == (40_000_000, 32)
    assert isinstance(own.huge_pixels, int)


@pytest.mark.parametrize(
    "text",
    [
        "settings: {tiny: 3}",
        "rules: {nothing: {}}",
        "settings: {no_label: 3}",
        "- 1",
        "a: [",
        "rules: {shared_node_names: {fail_above: high}}",  # one without a limit of its own
        "rules: {no_labels: {fail_above: true}}",
        "rules: {no_labels: null}",
        "rules: {no_labels: {title: null}}",
        "settings: {min_class_count: null}",
        "settings: {min_class_count: 2.5}",
        "settings: {keywords: null}",
        "settings: {no_label: [off]}",  # false to YAML, and no word
        "settings: {warn_above: 1}",
        "settings: 3",
    ],
)
def test_unusable_overlays_are_named(tmp_path, text):
    overlay = tmp_path / "own.yaml"
    overlay.write_text(text)
    with pytest.raises(InputError, match=r"own\.yaml"):
        load_settings(overlay)
    with pytest.raises(InputError, match="cannot be read"):
        load_settings(tmp_path / "missing.yaml")


def test_configs_are_found_by_name():
    assert configs.path("quality.yaml").is_file()
    for name in ("nothing.yaml", "../pyproject.toml"):
        with pytest.raises(InputError, match="no settings file"):
            configs.path(name)


@pytest.mark.slow
def test_great_expectations_is_not_loaded_before_it_is_needed():
    code = "import sys, vitrine.quality.validate; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, env=os.environ).returncode == 0


def test_text_columns_may_be_absent(make, tmp_path):
    catalog = make([{"image": f"images/{n}.jpg", "product": f"p{n}"} for n in range(3)])
    assert validate_catalog(catalog, tmp_path / "out", workers=1).passed
    assert pd.Series([r.name for r in validate_catalog(catalog, tmp_path / "again", workers=1).results]).is_unique
    assert catalog.table["image"].dtype == TEXT


@pytest.mark.slow
def test_the_earlier_catalog_tells_what_became_of_rows(make, tmp_path):
    def rows(colour, count):
        return [{"image": f"images/{n}.jpg", "attr:colour": colour if n < 3 else "blue"} for n in range(count)]

    before, now = make(rows("", 12)), make(rows("red", 10))
    validate_catalog(before, tmp_path / "before")
    validate_catalog(now, tmp_path / "now", previous=str(tmp_path / "before"), earlier=before)
    page = (tmp_path / "now/report.html").read_text()
    assert "0 rows are new, 2 are gone, 10 stand in both revisions." in page
    assert "(empty)" in page  # three were filled in
    validate_catalog(now, tmp_path / "alone", previous=str(tmp_path / "before"))
    assert "stand in both revisions" not in (tmp_path / "alone/report.html").read_text()


def test_boxes_that_fit_only_the_stored_pixels_are_named(make, tmp_path):
    """A photo stored lying, 96 x 64 pixels, that its EXIF orientation turns upright: the eye sees 64 x 96."""
    boxes = ["40,10,50,50", "10,40,50,50", "500,500,9,9", "1,1,9,9"]
    catalog = make([{"image": f"images/{number}.jpg", "bbox": box} for number, box in enumerate(boxes)])
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(len(boxes)):
        draw(number, (96, 64)).save(tmp_path / f"catalog/images/{number}.jpg", exif=exif)
    results = {rule.name: rule for rule in validate_catalog(catalog, tmp_path / "report", workers=1).results}
    assert results["turned_boxes"].examples == [1]
    assert (results["turned_boxes"].severity, results["turned_boxes"].passed) == ("warning", False)
    assert results["boxes_outside"].examples == [1, 3]


def test_three_spellings_are_one_finding_and_nan_is_no_class(make, tmp_path):
    """What cleaning merges is judged as it was given; 3 x 20 photos of one class are no three rare ones."""
    written = ["T-Shirt", "T-SHIRT", "t-shirt"]
    rows = [
        {"image": f"images/{n}.jpg", "category": f"A/{written[n % 3]}", "attr:colour": "NaN" if n % 2 else "red | Blue"}
        for n in range(48)
    ]
    rows[0]["attr:colour"] = "red | blue"
    rows[1]["category"] = "A/Other"  # cut to A, which is no spelling of it
    found = by_name(validate_catalog(make(rows), tmp_path / "report", workers=1))
    spellings = found["spellings"]
    assert (spellings.count, spellings.passed) == (2, False)
    assert spellings.details[0].startswith(
        "category A/T-Shirt: three spellings (A/T-Shirt 16, A/t-shirt 16, A/T-SHIRT 15)"
    )
    assert any(line.startswith("colour Blue: two spellings") for line in spellings.details)
    assert found["rare_classes"].count == 0
    assert found["unlabelled"].count == 0
    assert (tmp_path / "report/left_out.csv").read_text() == "row,image,reason\n"


def test_rows_that_cannot_be_used_are_named_and_fail_together(make, tmp_path):
    """Two faults, each of fewer rows than its own rule allows."""
    rows = [{"image": f"images/{n}.jpg", "category": "A/B" if n % 2 else "A/C"} for n in range(30)]
    rows[4]["image"] = "gone.jpg"
    rows[7]["bbox"] = "a box"
    validation = validate_catalog(make(rows), tmp_path / "report", workers=1)
    found = by_name(validation)
    assert (found["left_out"].count, found["left_out"].severity, validation.passed) == (2, "error", False)
    assert found["missing_photos"].severity == found["unusable_values"].severity == "warning"
    listed = (tmp_path / "report/left_out.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in listed[1:]] == ["5", "8"]


def test_what_changed_counts_no_word_for_no_label(make, tmp_path):
    words = ["Shoes", "NaN", "n/a", "Shoes/Low"]
    catalog = make([{"image": f"images/{n}.jpg", "category": words[n % 4], "attr:colour": "unknown"} for n in range(8)])
    validate_catalog(catalog, tmp_path / "report", workers=1)
    summary = json.loads((tmp_path / "report/summary.json").read_text())
    assert summary["counts"]["photos with a label"] == 4  # as the page says above
    assert summary["labels"]["category"]["counts"] == {"Shoes": 2, "Shoes/Low": 2}
    assert "attr:colour" not in summary["labels"]
    assert pd.read_parquet(tmp_path / "report/sample.parquet")["category"].isin(["", "Shoes", "Shoes/Low"]).all()
