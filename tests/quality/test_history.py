"""What a validation leaves for the next one, and what is said about the difference."""

import copy
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from vitrine import files
from vitrine.catalog.table import TEXT
from vitrine.errors import InputError
from vitrine.quality import history
from vitrine.quality.history import compare, read_revision, revision, row_changes, sample, summarise, write_revision
from vitrine.quality.history_page import (
    column_findings,
    difference_sections,
    distance_section,
    distances,
    evidently_page,
)
from vitrine.report import Page, Photo

HOSTILE = "</script><script>alert(1)</script>"


def photos_of(rows, seed=0, **changed):
    rng = np.random.default_rng(seed)
    values = {
        "readable": np.ones(rows, dtype=bool),
        "width": rng.integers(300, 900, rows),
        "height": rng.integers(300, 900, rows),
        "bytes": rng.integers(20_000, 90_000, rows),
        "brightness": rng.normal(140, 25, rows).astype("float32"),
        "contrast": rng.normal(50, 9, rows).astype("float32"),
        "colourfulness": rng.gamma(3, 9, rows).astype("float32"),
        "sharpness": rng.lognormal(6, 1, rows).astype("float32"),
    }
    return pd.DataFrame({**values, **changed})


def table_of(rows, seed=0, labels=("red", "blue", "red|green", "")):
    rng = np.random.default_rng(seed)
    columns = {
        "image": [f"images/{n}.jpg" for n in range(rows)],
        "listing": [f"l{n // 3}" for n in range(rows)],
        "category": rng.choice(["A/B", "A/C", ""], rows),
        "attr:colour": rng.choice(labels, rows),
        "view": rng.choice(["tag", "box"], rows),
    }
    return pd.DataFrame({name: pd.Series(values, dtype=TEXT) for name, values in columns.items()})


def rules(**found):
    return {
        "rules": [
            {
                "name": name,
                "title": f"About {name}",
                "severity": "warning",
                "passed": not count,
                "count": count,
                "share": count / 100,
            }
            for name, count in found.items()
        ]
    }


def made(table, photos, version="v1", **found):
    return revision(rules(**found), summarise(table, photos, version), sample(table, photos))


def text_of(difference):
    page = Page("Report")
    difference_sections(page, difference)
    return page.render()


def test_the_same_revision_twice_differs_in_nothing():
    table, photos = table_of(300), photos_of(300)
    before, now = made(table, photos, near=3), made(table, photos, "v2", near=3)
    difference = compare(before, now, row_changes(table, table))
    assert [change.state for change in difference.rules] == ["same"]
    assert not any(change.moved or change.appeared or change.vanished for change in difference.labels)
    assert not any(change.moved for change in difference.measures)
    assert (difference.table.added, difference.table.removed, difference.table.kept) == (0, 0, 300)
    assert difference.table.columns == {}
    page = text_of(difference)
    for said in ("Every rule found what it found before", "No value of a row that stayed has changed", "are as before"):
        assert said in page
    assert "data version v1" in page


def test_what_changed_is_said():
    table, photos = table_of(400), photos_of(400)
    labels = table["attr:colour"].mask(np.arange(400) < 150, HOSTILE)
    later = table.assign(**{"attr:colour": labels, "verdict": pd.Series(["authentic"] * 400, dtype=TEXT)}).drop(
        columns="view"
    )
    dark = photos.assign(brightness=photos["brightness"] - 40, readable=np.arange(400) >= 20)
    before = made(table, photos, near=3, tiny=2, blank=5, gone=1, worse=1)
    now = made(
        later.iloc[10:].reset_index(drop=True),
        dark.iloc[10:].reset_index(drop=True),
        "v2",
        near=0,
        tiny=1,
        blank=9,
        fresh=4,
        worse=1,
    )
    difference = compare(before, now, row_changes(table, later.iloc[10:].reset_index(drop=True)))
    assert {change.name: change.state for change in difference.rules} == {
        "fresh": "new",
        "blank": "worse",
        "tiny": "better",
        "near": "solved",
        "gone": "solved",
        "worse": "same",
    }
    assert difference.counts["photos"] == (400, 390)
    assert difference.counts["photos that can be read"] == (400, 380)
    assert (difference.columns_added, difference.columns_removed) == (("verdict",), ("view",))
    colour = difference.labels[0]
    assert (colour.column, colour.moved, colour.appeared) == ("attr:colour", True, (HOSTILE,))
    assert colour.shares[0][0] == HOSTILE
    assert [change.name for change in difference.measures if change.moved] == ["brightness"]
    assert (difference.table.added, difference.table.removed) == (0, 10)
    page = text_of(difference)
    for said in ("Photos are darker", "About fresh", "not checked", "Verdict: labels that were not there before", "20"):
        assert said in page
    assert HOSTILE not in page
    assert "&lt;/script&gt;" in page


def test_the_summary_counts_what_is_there():
    table, photos = table_of(500), photos_of(500, brightness=np.full(500, 7.0), readable=np.arange(500) < 400)
    summary = summarise(table, photos, "v1")
    expected = Counter(label for cell in table["attr:colour"] for label in cell.split("|") if label)
    assert summary["labels"]["attr:colour"]["counts"] == dict(expected)
    assert summary["labels"]["attr:colour"]["labels"] == expected.total()
    assert summary["labels"]["category"]["counts"] == Counter(path for path in table["category"] if path)
    assert summary["measures"]["brightness"] == [7.0] * 101
    assert summary["measures"]["bytes"][50] == np.median(photos["bytes"][:400])
    assert summary["counts"] == {
        "photos": 500,
        "photos that can be read": 400,
        "photos with a label": int(((table["attr:colour"] != "") | (table["category"] != "")).sum()),
        "listings": 167,
    }


@pytest.mark.slow
def test_the_summary_stays_small_whatever_the_labels(tmp_path):
    rows = 1500
    table = pd.DataFrame({"image": [f"{n}.jpg" for n in range(rows)]}, dtype=TEXT)
    wild = pd.Series([f"label {n} {'x' * 400}" for n in range(rows)], dtype=TEXT)
    table = pd.concat([table, pd.DataFrame({f"attr:{n}": wild for n in range(65)})], axis=1)
    summary = summarise(table, photos_of(rows), "v1")
    assert len(json.dumps(summary)) < 3_000_000
    assert summary["labels"]["attr:0"]["different"] == rows
    now = compare(revision(rules(), summary), revision(rules(), summarise(table.iloc[::-1], photos_of(rows), "v2")))
    assert all(change.appeared == change.vanished == () for change in now.labels)  # unknown, so not claimed


def test_distances_are_those_of_the_samples():
    one, two = photos_of(3000), photos_of(3000, 1, brightness=np.random.default_rng(5).normal(150, 30, 3000))
    table = table_of(3000)
    [change] = [c for c in compare(made(table, one), made(table, two)).measures if c.name == "brightness"]
    exact = wasserstein_distance(one["brightness"], two["brightness"]) / one["brightness"].std()
    assert change.shift == pytest.approx(exact, rel=0.06)
    assert change.before == pytest.approx(np.quantile(one["brightness"], [0.05, 0.25, 0.5, 0.75, 0.95]), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [30, 200, 3000])
def test_samples_of_one_source_rarely_move(rows):
    alarms = 0
    for seed in range(12):
        before = made(table_of(rows, seed), photos_of(rows, seed))
        now = made(table_of(rows, seed + 100), photos_of(rows, seed + 100))
        difference = compare(before, now)
        alarms += any(change.moved for change in (*difference.labels, *difference.measures))
    assert alarms <= 1


def test_the_sample_keeps_what_stands_in_both_revisions():
    table, photos = table_of(900), photos_of(900)
    before = sample(table, photos, 200)
    now = sample(table.iloc[90:].reset_index(drop=True), photos.iloc[90:].reset_index(drop=True), 200)
    assert (len(before), len(now)) == (200, 200)
    shared = set(before["sharpness"]) & set(now["sharpness"])
    assert len(shared) >= 150  # all but the tenth that is gone
    assert len(sample(table, photos.assign(readable=False), 200)) == 0


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["", "x", "y"])), max_size=12),
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["", "x", "y"])), max_size=12),
)
def test_rows_are_matched_as_by_a_loop(old, new):
    before, now = (pd.DataFrame(rows, columns=["image", "category"]).astype(TEXT) for rows in (old, new))
    seen, known = Counter(), {}
    for image, label in old:
        known[image, seen[image]] = label
        seen[image] += 1
    seen, added, changes = Counter(), 0, Counter()
    for image, label in new:
        key = image, seen[image]
        seen[image] += 1
        if key not in known:
            added += 1
        elif (was := known.pop(key)) != label:
            changes["filled" if not was else "blanked" if not label else "changed"] += 1
    found = row_changes(before, now)
    assert (found.added, found.removed, found.kept) == (added, len(known), len(new) - added)
    assert Counter(found.columns.get("category", {})) == changes
    assert sum(count for *_, count in found.commonest) == changes.total()
    assert all(row < len(new) for row in found.examples)


def test_a_report_is_read_as_it_was_written(tmp_path):
    table, photos = table_of(50), photos_of(50)
    (tmp_path / "report").mkdir()
    files.write_json(tmp_path / "report/results.json", {"passed": True, **rules(near=3)})
    write_revision(tmp_path / "report", summarise(table, photos, "v1"), sample(table, photos))
    got = read_revision(str(tmp_path / "report"))
    pd.testing.assert_frame_equal(got.sample, sample(table, photos))
    assert compare(got, made(table, photos, near=3)).rules[0].state == "same"


def damage(change):
    content = summarise(table_of(20), photos_of(20), "v1")
    change(content)
    return content


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        damage(lambda s: s.update(format=2)),
        damage(lambda s: s.update(counts=3)),
        damage(lambda s: s["measures"].update(brightness=[1, 2])),
        damage(lambda s: s["measures"].update(brightness=[float("nan")] * 101)),
        damage(lambda s: s["labels"].update(category={"labels": 1, "different": 1, "counts": {"A": 5}})),
        damage(lambda s: s["labels"].update(category=None)),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content):
    with pytest.raises(InputError, match="no report of an earlier validation"):
        read_revision(str(tmp_path))
    files.write_json(tmp_path / "results.json", rules(near=1))
    files.write_json(tmp_path / "summary.json", content)
    with pytest.raises(InputError, match="not a usable report") as refused:
        read_revision(str(tmp_path))
    assert "\n" not in str(refused.value)


def test_broken_samples_and_results_are_refused(tmp_path):
    files.write_json(tmp_path / "summary.json", summarise(table_of(20), photos_of(20), "v1"))
    files.write_json(tmp_path / "results.json", {"rules": [{"name": "x"}]})
    with pytest.raises(InputError, match="title"):
        read_revision(str(tmp_path))
    files.write_json(tmp_path / "results.json", rules(near=1))
    (tmp_path / "sample.parquet").write_bytes(b"no table")
    with pytest.raises(InputError, match="not a usable report"):
        read_revision(str(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [0, 1])
def test_tiny_catalogs_have_a_history(rows):
    table, photos = table_of(rows), photos_of(rows)
    difference = compare(made(table, photos), made(table_of(40), photos_of(40)), row_changes(table, table_of(40)))
    assert difference.table.added == 40 - rows
    assert "Since the previous revision" in text_of(difference)
    back = compare(made(table_of(40), photos_of(40)), made(table, photos), row_changes(table_of(40), table))
    assert back.table.removed == 40 - rows
    assert "Since the previous revision" in text_of(back)


def test_the_difference_is_a_function_of_the_files_only():
    summary = summarise(table_of(100), photos_of(100), "v1")
    read = json.loads(json.dumps(summary))
    assert revision(rules(), copy.deepcopy(summary)).summary["labels"] == revision(rules(), read).summary["labels"]
    assert summary["format"] == history.FORMAT


@pytest.mark.slow
def test_columns_of_a_small_sample_are_compared_with_chance_at_its_size():
    """934 rows against 70 of the same: a test chosen by the larger side's size alone cries drift in most columns."""

    def drawn(rows, seed):
        rng = np.random.default_rng(seed)
        numbers = {f"n{i}": rng.lognormal(size=rows) for i in range(8)}
        mixes = {f"m{i}": rng.choice([f"c{k}" for k in range(20)] + [""], rows) for i in range(10)}
        return pd.DataFrame(numbers | mixes)

    columns = [f"n{i}" for i in range(8)], [f"m{i}" for i in range(10)]
    pairs = [(drawn(934, 2 * seed), drawn(70, 2 * seed + 1)) for seed in range(4)]
    assert sum(found.moved for before, now in pairs for found in column_findings(before, now, *columns)) == 0
    before, now = pairs[0]
    found = column_findings(before, now.assign(n3=now["n3"] + 1.5, m4="c0"), *columns)
    assert {finding.signal for finding in found[:2]} == {"n3", "m4"}
    assert [finding.signal for finding in found if finding.moved] == [finding.signal for finding in found[:2]]


def test_the_photos_that_lie_furthest_are_shown():
    rows = 400
    table, photos = table_of(rows, labels=("red", "blue", HOSTILE, "")), photos_of(rows)
    dark = np.arange(rows) % 4 == 1
    later = photos.assign(brightness=photos["brightness"] - 80 * dark, readable=np.arange(rows) >= 4)
    striped = table.assign(**{"attr:colour": table["attr:colour"].mask(np.arange(rows) >= 250, HOSTILE)})
    found = distances(sample(table, photos), sample(striped, later))
    moved = [found.columns[one.signal] for one in found.findings if one.moved]
    assert sorted(moved) == ["attr:colour", "brightness"]
    ratios = [one.ratio for one in found.findings]
    assert ratios == sorted(ratios, reverse=True)
    page, asked = Page("Report"), []
    distance_section(page, found, striped, later, lambda row: asked.append(row) or Photo(None, [f"Row {row}"]))
    shown = {moved[0]: asked[:8], moved[1]: asked[8:]}
    assert (striped["attr:colour"][shown["attr:colour"]] == HOSTILE).all()
    assert len(set(shown["attr:colour"])) == 8
    assert shown["brightness"] == later["brightness"][later["readable"]].nsmallest(8).index.tolist()
    text = page.render()
    assert HOSTILE not in text
    unmoved = Page("Report")
    distance_section(unmoved, distances(sample(table, photos), sample(table, photos)), table, photos, asked.append)
    assert "Photos that lie furthest" not in unmoved.render()


@pytest.mark.slow
def test_evidently_page_runs_no_script_of_a_catalog(tmp_path):
    table, photos = table_of(120, labels=("red", HOSTILE, "$x$", "")), photos_of(120)
    drawn = sample(table, photos).assign(constant_label="one")
    later = drawn.assign(brightness=drawn["brightness"] - 50)
    named = (side.rename(columns={"view": HOSTILE}) for side in (drawn, later))
    assert evidently_page(distances(*named), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "u2039script" in page  # as JSON writes ‹
    assert "Content-Security-Policy" in page
    assert 'src="http' not in page
    assert not evidently_page(distances(drawn[["brightness"]], drawn[["contrast"]]), tmp_path / "none.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]
