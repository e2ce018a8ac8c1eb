"""Alarms where photos, labels or answers changed, and hardly ever where they did not."""

import base64
import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance
from toys import toy_catalog

from vitrine.catalog import Catalog, read_catalog, write_catalog
from vitrine.errors import InputError
from vitrine.evaluation import shift
from vitrine.evaluation.shift import detect, new_labels
from vitrine.monitoring import DriftRules, build_reference, compare, pages, photo_statistics
from vitrine.monitoring import drift as drift_of
from vitrine.monitoring.drift import judge, read_reference
from vitrine.monitoring.statistics import STATISTICS, measure
from vitrine.predict import Model
from vitrine.predictions import LabelPredictions, PhotoPredictions
from vitrine.registry.store import content_hash

QUICK = DriftRules(draws=200)


@pytest.fixture
def no_evidently(monkeypatch):
    """Evidently takes seconds to import and is tested once, on its own."""
    monkeypatch.setattr(pages, "evidently_page", lambda drift, before, now, path: path.write_text("full page"))


@pytest.fixture
def undrawn(no_evidently, monkeypatch):
    """Nor its figure, half of a page's time: other tests draw it."""
    monkeypatch.setattr(pages.Page, "figure", lambda *_: None)


def table(rows, seed, listing=1):
    """Everything a comparison looks at, drawn from one distribution."""
    rng = np.random.default_rng(seed)
    listings = -(-rows // listing)
    shares = 1 / np.arange(1, 31)
    columns = {
        "photo": ["x.jpg"] * rows,
        "listing": [f"{seed}-{i // listing}" for i in range(rows)] if listing > 1 else [""] * rows,
        "readable": ["yes"] * rows,
        "aspect_ratio": [0.75] * rows,
        "megapixels": rng.lognormal(size=rows),
        "level1": rng.choice(["a", "b", "c"], rows),
        "level2": rng.choice([f"c{i}" for i in range(30)], rows, p=shares / shares.sum()),
        "attr:colour": rng.choice(["", "", "red", "red|blue", "green"], rows),
        "predicted:level1": rng.choice(["a", "b", "c"], rows),
        "confidence:level1": rng.beta(5, 2, rows),
    }
    for name in ("brightness", "saturation", "sharpness"):
        alike = np.repeat(rng.normal(size=listings), listing)[:rows]
        columns[name] = 0.5 + 0.1 * (0.8 * alike + 0.6 * rng.normal(size=rows))
    for i in range(8):
        columns[f"embedding{i:02d}"] = rng.standard_t(5, rows) * (8 - i)
    return pd.DataFrame(columns)


def moved(reference, current, rules=QUICK):
    return {finding.signal for finding in detect(reference, current, rules)[0] if finding.moved}


@pytest.mark.slow
def test_a_reference_does_not_alarm_against_halves_of_itself():
    reference = table(400, seed=0)
    alarms = [moved(reference, reference.sample(frac=0.5, random_state=seed)) for seed in range(20)]
    assert sum(map(bool, alarms)) <= 1, alarms


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "others", "listing"), [(400, 200, 1), (300, 300, 5)])
def test_other_photos_of_the_same_kind_alarm_about_as_often_as_set(rows, others, listing):
    strict = replace(QUICK, min_shift=0.0, min_mix=0.0, min_embedding=0.0)
    pairs = ((table(rows, 2 * seed, listing), table(others, 2 * seed + 1, listing)) for seed in range(60))
    alarms = sum(bool(moved(first, second, strict)) for first, second in pairs)
    assert alarms <= 9  # 5 % of 60 is 3; more than 9 happens once in 1,000 times


def test_listings_are_drawn_whole():
    """Photos of one listing are alike: taken for independent they would alarm on nothing."""
    first, second = table(600, 1, listing=20), table(600, 2, listing=20)
    by_listing = {f.signal: f.threshold for f in detect(first, second, QUICK)[0]}
    alone = {f.signal: f.threshold for f in detect(first.assign(listing=""), second.assign(listing=""), QUICK)[0]}
    assert by_listing["brightness"] > 1.8 * alone["brightness"]


@pytest.mark.parametrize(
    ("change", "signal"),
    [
        (lambda t: t.assign(brightness=t["brightness"] - 0.05), "brightness"),
        (lambda t: t.assign(aspect_ratio=1.0), "aspect_ratio"),
        (lambda t: t.assign(level1=np.where(t["level1"] == "a", "b", t["level1"])), "level1"),
        (lambda t: t.assign(**{"confidence:level1": t["confidence:level1"] * 0.8}), "confidence:level1"),
        (lambda t: t.assign(**{"predicted:level1": "a"}), "predicted:level1"),
        (lambda t: t.assign(embedding00=t["embedding00"] * 2), "embedding"),
        (lambda t: t.assign(embedding03=t["embedding03"] + 5), "embedding"),
        (lambda t: t.assign(readable=np.where(np.arange(len(t)) % 5 == 0, "no", "yes")), "readable"),
    ],
)
def test_one_thing_that_changes_is_the_one_that_is_named(change, signal):
    found = moved(table(800, 0), change(table(400, 1)))
    assert found - {"neighbours"} == {signal}
    assert signal == "embedding" or "neighbours" not in found


def test_a_few_photos_of_a_new_kind_are_found_where_they_lie_together():
    reference, current = table(800, 0), table(200, 1)
    names = [f"embedding{i:02d}" for i in range(8)]
    kind = np.random.default_rng(2).normal(0, 0.3, (16, 8)) + np.array([2, -2, 2, -2, 2, -2, 2, -2])
    current.loc[:15, names] = kind  # inside of the cloud: no mean moves
    [found] = [finding for finding in detect(reference, current, QUICK).findings if finding.moved]
    assert (found.signal, found.kind) == ("neighbours", "neighbours")
    assert 16 / 200 <= found.distance < 0.16  # and photos on their edge
    current["listing"] = ["one" if i < 16 else "" for i in range(200)]  # photos of one listing are alike anyway
    assert not moved(reference, current)


def test_rare_labels_that_only_the_new_photos_have_are_no_other_mix():
    """Cleaning leaves no rare label in a reference, so that one fresh photo of each would stand against none."""
    reference, current = table(600, 0), table(300, 1)
    reference["level2"] = np.random.default_rng(0).choice(["a", "b"], 600)
    current["level2"] = ["a", "b"] * 140 + [f"rare{i}" for i in range(20)]
    assert not moved(reference, current)
    current["level2"] = "never seen"
    found = {finding.signal: finding for finding in detect(reference, current, QUICK).findings}
    assert found["level2"].moved
    assert found["level2"].distance == pytest.approx(np.sqrt(np.log(2)))


def test_labels_that_stand_on_one_side_by_chance_are_no_other_mix():
    """Of a plain catalog a fifth of the labels are one of a kind: no half of it has those of the other."""
    reference, current = table(600, 0), table(600, 1)
    for side, rows in (("old", reference), ("new", current)):
        rows["level2"] = [f"{side}{i}" if i % 5 == 0 else "ab"[i % 2] for i in range(600)]
    found = {finding.signal: finding for finding in detect(reference, current, QUICK).findings}
    assert found["level2"].distance == pytest.approx(0, abs=1e-6)
    reference["level2"] = [f"old{i}" for i in range(600)]
    assert ("level2", "too few photos: 0 in the reference, 600 new") in detect(reference, current, QUICK).skipped


def test_a_rate_that_few_deals_cannot_show_gets_more_of_them():
    rules = DriftRules(draws=20, false_alarm_rate=0.004)
    reference, current = table(300, 0), table(200, 1)
    (same,) = detect(reference[["brightness"]], current[["brightness"]], rules).findings
    (other,) = detect(reference[["brightness"]], current[["brightness"]] + 0.1, rules).findings
    assert not same.moved
    assert other.moved
    assert other.p_value < 0.004 * 0.9  # the rest of the rate is new labels'


def test_what_has_moved_is_what_its_p_value_says():
    rules = replace(QUICK, draws=100, false_alarm_rate=0.2, min_shift=0.0)
    found = []
    for seed in range(8):
        first, second = table(120, 2 * seed)[["brightness", "sharpness"]], table(60, 2 * seed + 1)
        found += detect(first, second[["brightness", "sharpness"]] + 0.02, rules).findings
    assert [finding.moved for finding in found] == [finding.p_value <= 0.18 for finding in found]
    assert {finding.moved for finding in found} == {True, False}


def test_directions_are_those_of_both_sides():
    """Those of a reference fit its own photos better: of 60 values 16 are its own in chance alone."""
    reference, current = (np.random.default_rng(seed).normal(size=(150, 60)) for seed in range(2))
    assert shift.strongest(reference[:, :16]) == pytest.approx(reference[:, :16])
    both = np.vstack([reference, current, np.full((1, 60), np.nan)])
    both[:, 40] *= 5
    found = shift.strongest(both)
    assert found.shape == (301, shift.STRONGEST)
    assert np.isnan(found[300]).all()
    centred = both[:300] - both[:300].mean(axis=0)
    spread = np.linalg.svd(centred, compute_uv=False)[: shift.STRONGEST]
    assert np.linalg.norm(found[:300], axis=0) == pytest.approx(spread)
    assert abs(np.corrcoef(found[:300, 0], both[:300, 40])[0, 1]) > 0.99
    spreads = [np.linalg.norm(part - found[:300].mean(axis=0)) for part in (found[:150], found[150:300])]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.05)
    own = np.linalg.svd(reference - reference.mean(axis=0))[2][: shift.STRONGEST]
    assert np.linalg.norm(reference @ own.T) > 1.15 * np.linalg.norm(current @ own.T)  # what is to be avoided
    few = shift.strongest(both[:30] @ np.eye(60, 200))  # fewer photos than values
    assert (few**2).sum() == pytest.approx((np.linalg.svd(both[:30] - both[:30].mean(axis=0))[1][:16] ** 2).sum())
    assert shift.strongest(both[:5]).shape == (5, 16)


@pytest.mark.slow
def test_references_of_the_first_version_are_compared_in_their_directions(reference, halves, tmp_path, undrawn):
    old = tmp_path / "old"
    shutil.copytree(reference, old)
    table = pd.read_parquet(old / "reference.parquet")
    names = [f"embedding{i:02d}" for i in range(24)]
    points = table[names].to_numpy(np.float64)
    components = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][:16]
    reduced = pd.DataFrame((points - points.mean(axis=0)) @ components.T, columns=names[:16])
    pd.concat([table.drop(columns=names), reduced], axis=1).to_parquet(old / "reference.parquet", index=False)
    np.savez(old / "projection.npz", mean=points.mean(axis=0), components=components)
    now = compare(old, halves[1], tmp_path / "same", answers(halves[1]))
    assert not now.drifted, now.reason
    moved = compare(old, halves[1], tmp_path / "moved", answers(halves[1], shift=3.0))
    assert "embedding" in findings(moved)
    other = replace(answers(halves[1]), embeddings=np.zeros((250, 16), np.float32))
    with pytest.raises(InputError, match="embeddings have 16 values and the reference's 24"):
        compare(old, halves[1], tmp_path / "other", other)


def test_nearest_photos_are_those_of_other_listings():
    random = np.random.default_rng(0)
    points, groups = random.normal(size=(1100, 5)), np.arange(1100) // 3
    points[7] = np.nan
    near = shift.nearest_photos(points, groups)
    for row in (0, 5, 600, 1099):
        apart = np.linalg.norm(points - points[row], axis=1)
        apart[(groups == groups[row]) | np.isnan(apart)] = np.inf
        assert set(near[row]) == set(np.argsort(apart)[: shift.NEAREST])
    assert shift.nearest_photos(points[:3], np.arange(3)).shape == (3, 2)
    assert shift.nearest_photos(points[:1], np.arange(1)).shape == (1, 0)


def test_one_odd_photo_is_no_drift():
    current = table(400, 1)
    current.loc[0, ["aspect_ratio", "megapixels", "embedding00"]] = [3.0, 1e4, 1e4]
    assert moved(table(800, 0), current) == set()


@pytest.mark.slow
def test_a_change_too_small_to_matter_is_no_drift_however_sure():
    rng = np.random.default_rng(0)
    first = pd.DataFrame({"brightness": rng.normal(0.5, 0.1, 20_000)})
    second = pd.DataFrame({"brightness": rng.normal(0.504, 0.1, 20_000)})
    rules = DriftRules(draws=50)
    assert moved(first, second, rules) == set()
    assert moved(first, second, replace(rules, min_shift=0.0)) == {"brightness"}


def test_distances_are_those_of_scipy_and_evidently():
    first, second = table(300, 0), table(200, 1)
    second["brightness"] += 0.05
    found = {finding.signal: finding.distance for finding in detect(first, second, DriftRules(draws=2))[0]}
    old, new = first["brightness"], second["brightness"]
    assert found["brightness"] == pytest.approx(wasserstein_distance(old, new) / old.std(ddof=0), rel=0.02)
    shares = [t["level1"].value_counts(normalize=True).sort_index() for t in (first, second)]
    assert found["level1"] == pytest.approx(jensenshannon(*shares))


@pytest.mark.slow
def test_the_embedding_distance_is_the_frechet_distance():
    """For diagonal Gaussians: sum of (difference of means)^2 + (difference of deviations)^2."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(8_000, 3))
    first = pd.DataFrame(points[:4_000], columns=[f"embedding{i:02d}" for i in range(3)])
    second = pd.DataFrame(points[4_000:] * [1, 1.5, 1] + [0.5, 0, 0], columns=first.columns)
    found = {finding.signal: finding.distance for finding in detect(first, second, DriftRules(draws=2)).findings}
    assert found["embedding"] == pytest.approx(np.sqrt(0.5**2 + 0.5**2), rel=0.03)


def test_what_is_missing_is_said():
    current = table(400, 1).drop(columns=["attr:colour", "embedding00"])
    current["level2"] = ["c0"] * 5 + [""] * 395
    findings, skipped, broken = detect(table(800, 0), current, QUICK)
    assert not broken
    assert not any(finding.moved for finding in findings)
    assert {name for name, _ in skipped} == {"attr:colour", "embedding", "level2"}


ONE_SIGNAL = {
    "constant": lambda rng, rows: np.ones(rows),
    "two-valued": lambda rng, rows: rng.integers(0, 2, rows).astype(float),
    "a few rounding errors apart": lambda rng, rows: 1 - rng.integers(0, 4, rows) * 2.0**-53,
    "one outlier": lambda rng, rows: np.r_[np.ones(rows - 1), 1e9],
}


@pytest.mark.parametrize("drawn", ONE_SIGNAL.values(), ids=list(ONE_SIGNAL))
def test_signals_of_hardly_any_spread_are_judged(drawn):
    rng = np.random.default_rng(0)
    first, second = table(400, 0), table(200, 1)
    first["confidence:level1"], second["confidence:level1"] = drawn(rng, 400), drawn(rng, 200)
    found = detect(first, second, QUICK)
    assert "confidence:level1" in {finding.signal for finding in found.findings}
    assert not any(finding.moved for finding in found.findings)
    assert found.broken == []


def test_a_signal_that_is_missing_everywhere_or_nearly_is_named():
    first, second = table(400, 0), table(200, 1)
    first["brightness"] = np.nan
    second["saturation"] = [0.5] + [np.nan] * 199
    found = detect(first, second, QUICK)
    assert {name for name, _ in found.skipped} == {"brightness", "saturation"}
    assert detect(first[:1], second, QUICK).findings == []
    assert detect(first, second[:1], QUICK).findings == []


def test_a_signal_that_cannot_be_computed_is_named_and_the_others_are_judged():
    first, second = table(400, 0), table(200, 1)
    first["sharpness"] = "blurred"
    second["level2"] = 7
    second["saturation"] += 0.1
    found = detect(first, second, QUICK)
    assert {name for name, _ in found.broken} == {"sharpness", "level2"}
    assert all(reason for _, reason in found.broken)
    assert {finding.signal for finding in found.findings if finding.moved} == {"saturation"}


def test_labels_that_were_cut_for_rarity_count_as_rare_ones():
    """20 labels of the catalog were cut from the reference: a fresh sample has a few like them that it never saw."""
    known, seen = {"level1": {"hat": 900}}, {"level1": {"hat": 95, "n0": 1, "n1": 1, "n2": 1, "n3": 1}}
    (finding,) = new_labels(known, seen, QUICK)
    assert finding.moved
    (finding,) = new_labels(known, seen, QUICK, rare={"level1": 40})
    assert not finding.moved


def test_labels_the_reference_never_had():
    known = {"level1": {"hat": 500, "shoe": 500}}
    (finding,) = new_labels(known, {"level1": {"hat": 90, "sofa": 10}}, QUICK)
    assert finding.moved
    assert finding.change == "never in the reference: sofa (10)"
    assert finding.threshold == 2  # (1 / 11)^3 < a tenth of 1 % < (1 / 11)^2
    assert new_labels(known, {"level1": {"hat": 90}}, QUICK) == []
    rare = {"level1": {"hat": 900, **{f"r{i}": 1 for i in range(100)}}}  # every tenth photo is one of a kind
    (finding,) = new_labels(rare, {"level1": {"hat": 95, **{f"n{i}": 1 for i in range(5)}}}, QUICK)
    assert not finding.moved


def test_statistics_follow_what_is_done_to_a_photo():
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(60, 200, (96, 72, 3), dtype=np.uint8))
    plain = measure(image, 1.0)
    assert set(plain) == set(STATISTICS)
    assert measure(image.point(lambda value: value // 2), 1.0)["brightness"] == pytest.approx(
        plain["brightness"] / 2, abs=0.01
    )
    assert measure(image.filter(ImageFilter.GaussianBlur(2)), 1.0)["sharpness"] < plain["sharpness"] - 1
    assert measure(image.convert("L").convert("RGB"), 1.0)["saturation"] == 0
    assert measure(Image.merge("RGB", (image.getchannel(0), *[Image.new("L", image.size)] * 2)), 1.0)["warmth"] > 0.3
    framed = Image.new("RGB", (200, 100), "white")
    framed.paste("black", (20, 10, 180, 90))
    got = measure(framed, 1.0)
    assert got["background"] == pytest.approx(1.0)
    assert got["aspect_ratio"] == 2.0


def test_photos_that_cannot_be_read_are_counted(tmp_path):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no photo")
    catalog = Catalog(str(tmp_path), pd.DataFrame({"image": ["good.png", "bad.png", "gone.png"]}))
    got = photo_statistics(catalog)
    assert got["readable"].tolist() == ["yes", "no", "no"]
    assert got.loc[0, "megapixels"] == pytest.approx(0.0012)
    assert photo_statistics(catalog, max_photos=2, seed=1)["image"].tolist() == sorted(
        photo_statistics(catalog, max_photos=2, seed=1)["image"], key=catalog.table["image"].tolist().index
    )
    with pytest.raises(InputError, match="none of 1 photos can be read"):
        build_reference(catalog.with_table(catalog.table[1:2]), tmp_path / "out", None)


@pytest.fixture(scope="module")
def photos(datasets):
    """600 clothing photos in random order, with their labels."""
    folder = datasets / "clothing"
    labels = pd.read_csv(folder / "images.csv", dtype=str)
    labels = labels[~labels["label"].isin(["Not sure", "Skip", "Other"])].sample(600, random_state=0)
    names = "images/" + labels["image"] + ".jpg"
    rows = pd.DataFrame({"image": names, "category": "Clothing/" + labels["label"]}).astype(object)
    return Catalog(str(folder), rows.reset_index(drop=True), "clothing-1")


@pytest.fixture(scope="module")
def halves(photos):
    return photos.with_table(photos.table[:350]), photos.with_table(photos.table[350:])


@pytest.fixture(scope="module")
def reference(halves, tmp_path_factory):
    out = tmp_path_factory.mktemp("drift") / "reference"
    build_reference(halves[0], out, answers(halves[0]), "s3://models/taxonomy/v1", QUICK)
    return out


def answers(catalog, shift=0.0):
    """What a model could have said: mostly right, with embeddings around one point per class."""
    rng = np.random.default_rng(len(catalog))
    truth = catalog.table["category"].tolist()
    labels = sorted({"Clothing/T-Shirt", "Clothing/Dress", "Clothing/Pants", *truth})
    scores = rng.random((len(truth), len(labels))).astype(np.float32)
    centres = {label: np.random.default_rng(sum(map(ord, label))).normal(size=24) for label in labels}
    for i, label in enumerate(truth):
        scores[i, labels.index(label)] += rng.random() < 0.8
    embeddings = np.stack([centres[label] for label in truth]) + 0.5 * rng.normal(size=(len(truth), 24)) + shift
    confidence = rng.beta(5, 2, len(truth)).astype(np.float32)
    question = LabelPredictions("level2", labels, scores, confidence, [[label] for label in truth])
    return PhotoPredictions("taxonomy", catalog.table["image"].tolist(), [question], embeddings.astype(np.float32), 1.0)


def rewritten(catalog, folder, change):
    (folder / "images").mkdir(parents=True)
    for image in catalog.table["image"]:
        with Image.open(catalog.uri(image)) as photo:
            change(photo.convert("RGB")).save(folder / image, quality=90)
    return replace(catalog, root=str(folder))


def findings(drift):
    return {finding.signal for finding in drift.findings if finding.moved}


def test_photos_of_the_same_source_do_not_drift(reference, halves, tmp_path, no_evidently):
    drift = compare(reference, halves[1], tmp_path / "out", answers(halves[1]))
    assert not drift.drifted, drift.reason
    assert drift.reason.startswith("No drift: none of ")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["drifted"] is False
    assert results["reference"]["model"] == "s3://models/taxonomy/v1"
    compared = {finding["signal"] for finding in results["findings"]}
    assert {*STATISTICS, "level2", "predicted:level2", "confidence:level2", "embedding"} <= compared
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.html", "evidently.html", "results.json"}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "No drift" in page
    assert page.count("data:image/jpeg") >= 24


@pytest.mark.slow
def test_a_reference_of_photos_does_not_alarm_against_itself_nor_against_more_than_one_of_its_halves(reference):
    side, rules = read_reference(reference)
    assert not judge(side, side, rules).drifted
    halves = [side.table.sample(frac=0.5, replace=True, random_state=seed) for seed in range(20)]
    assert sum(judge(side, replace(side, table=half), rules).drifted for half in halves) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "signal"),
    [
        (lambda photo: photo.point(lambda value: value * 0.6), "brightness"),
        (lambda photo: photo.filter(ImageFilter.GaussianBlur(2)), "sharpness"),
        (lambda photo: Image.merge("RGB", photo.split()[::-1]), "warmth"),
        (lambda photo: photo.resize((200, 100)), "aspect_ratio"),
    ],
    ids=["darkened", "blurred", "re-coloured", "stretched"],
)
def test_photos_taken_another_way_drift(reference, halves, tmp_path, undrawn, change, signal):
    current = rewritten(halves[1].with_table(halves[1].table[:150]), tmp_path / "photos", change)
    drift = compare(reference, current, tmp_path / "out", None)
    assert drift.drifted
    assert signal in findings(drift)
    assert drift.reason.startswith("Drift: ")
    assert {name for name, _ in drift.not_compared} >= {"embedding", "predicted:level2", "confidence:level2"}


@pytest.mark.slow
def test_another_mix_of_labels_drifts(reference, halves, tmp_path, undrawn):
    rows = halves[1].table
    current = halves[1].with_table(rows[rows["category"].isin(["Clothing/T-Shirt", "Clothing/Shoes"])])
    drift = compare(reference, current, tmp_path / "out", answers(current))
    assert {"level2", "predicted:level2", "embedding"} <= findings(drift)


def test_a_new_category_drifts_and_is_named(reference, halves, tmp_path, no_evidently):
    rows = halves[1].table.copy()
    rows.loc[:29, "category"] = "Clothing/<b>Cape"
    current = halves[1].with_table(rows)
    drift = compare(reference, current, tmp_path / "out", None)
    assert drift.drifted
    assert "never in the reference: Clothing/<b>Cape (30)" in drift.reason
    page = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;b&gt;Cape" in page
    assert "<b>Cape" not in page
    assert '<td class="n">30</td>' in page  # photos, no fractions of them


@pytest.mark.slow
def test_both_sides_stand_on_a_map(reference, halves, tmp_path, undrawn):
    current = halves[1].with_table(halves[1].table[:60].reset_index(drop=True))
    compare(reference, current, tmp_path / "out", answers(current, shift=9.0), as_map=True)
    text = (tmp_path / "out" / "map.html").read_text()
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert data["colourings"][0]["title"] == "Side"
    side = data["colourings"][0]
    assert (side["names"], side["counts"]) == (["Reference", "New photos"], [350, 60])
    new = np.frombuffer(base64.b64decode(side["codes"]), "<u2") == 2
    place = np.c_[[np.frombuffer(base64.b64decode(data[axis]), "<u2").astype(float) for axis in "xy"]].T
    apart = np.linalg.norm(place[:, None] - place, axis=2) + np.eye(len(place)) * 1e9
    assert (new[apart.argmin(axis=1)] == new).mean() > 0.98  # what the model has not seen lies by itself
    assert "map.html" in (tmp_path / "out" / "report.html").read_text()
    compare(reference, current, tmp_path / "none", None, as_map=True)
    assert not (tmp_path / "none" / "map.html").exists()


def test_a_plain_catalog_can_be_the_reference(halves, tmp_path, undrawn):
    write_catalog(halves[0], tmp_path / "catalog")
    drift = compare(tmp_path / "catalog", halves[1], tmp_path / "out", answers(halves[1]))
    assert not drift.drifted, drift.reason
    assert "embedding" not in {finding.signal for finding in drift.findings}


def test_labels_of_plain_catalogs_are_compared_in_one_spelling(tmp_path, no_evidently):
    """Nothing cleaned them: of words for "no label" and other spellings every one was a label of its own."""
    for side, labels in (
        ("first", ["T-Shirt", "Hat"]),
        ("second", ["T-SHIRT", "t-shirt ", "hat", "NaN", "n-a", "N/A"]),
    ):
        catalog = toy_catalog(tmp_path / side, photos=24)
        rows = catalog.table.assign(category=(labels * 24)[:24], **{"attr:colour": (["Red", "N/A", "red"] * 8)})
        write_catalog(catalog.with_table(rows), tmp_path / side)
    drift = compare(tmp_path / "first", read_catalog(tmp_path / "second"), tmp_path / "out", None, full=False)
    assert not [finding for finding in drift.findings if finding.kind == "new labels"]
    changes = {finding.signal: finding.change for finding in drift.findings}
    assert changes["level1"].startswith(("T-Shirt: 50.0 % before", "Hat: 50.0 % before"))
    assert changes["attr:colour"].lower() == "red: 100.0 % before, 100.0 % now"


def test_too_few_photos_are_said_to_be(reference, halves, tmp_path, no_evidently):
    drift = compare(reference, halves[1].with_table(halves[1].table[:3]), tmp_path / "out", None)
    assert (drift.drifted, drift.exit_code) == (False, 3)
    assert drift.reason == "Nothing could be compared (readable: too few photos: 350 in the reference, 3 new)."
    assert "Nothing compared" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_a_reference_is_the_same_every_time(reference, halves, tmp_path):
    build_reference(halves[0], tmp_path / "again", answers(halves[0]), "s3://models/taxonomy/v1", QUICK)
    for name in ("reference.json", "reference.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (reference / name).read_bytes()


def test_answers_of_another_model_are_refused(reference, halves, tmp_path):
    outcome = answers(halves[1])
    other = replace(outcome, embeddings=outcome.embeddings[:, :7])
    with pytest.raises(InputError, match="embeddings have 7 values and the reference's 24"):
        compare(reference, halves[1], tmp_path / "out", other)
    assert not (tmp_path / "out").exists()


def test_another_model_is_refused_before_it_is_asked(halves, tmp_path, monkeypatch):
    """Of the same backbone and the same data, so that its embeddings are as long."""
    asked = []

    class Loaded:
        def __init__(self, folder):
            asked.append(folder.name)

        def predict(self, catalog):
            return answers(catalog)

    monkeypatch.setattr(Model, "load", Loaded)
    for name in ("own", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_text(name)
    content = content_hash(tmp_path / "own")
    reference = tmp_path / "reference"
    build_reference(halves[0], reference, answers(halves[0]), str(tmp_path / "own"), QUICK, content=content)
    ask = partial(drift_of.compare_with_model, str(reference), halves[1], full=False)
    assert not ask(tmp_path / "named").drifted
    assert not ask(tmp_path / "given", tmp_path / "own").drifted
    with pytest.raises(InputError, match=f"other: is model [0-9a-f]+, but .* was made with {content}"):
        ask(tmp_path / "out", tmp_path / "other")
    assert not (tmp_path / "out").exists()
    asked.clear()
    with pytest.raises(InputError, match="named: exists already"):
        ask(tmp_path / "named")
    assert asked == []


def test_labels_that_the_model_was_trained_on_are_no_news(halves, tmp_path):
    seen, learnt = halves[0].with_table(halves[0].table[:100]), halves[0]
    build_reference(seen, tmp_path / "reference", None, rules=QUICK, learnt=learnt)
    side, _ = drift_of.read_reference(tmp_path / "reference")
    assert (len(side.table), side.photos) == (100, 100)
    assert side.labels["level2"] == drift_of.describe(learnt, None).labels["level2"]


@pytest.mark.slow
def test_a_broken_signal_is_on_the_page_and_is_not_drift(reference, halves, tmp_path, no_evidently, monkeypatch):
    monkeypatch.setattr(shift, "_root", lambda _: np.linalg.cholesky(-np.eye(2)))
    drift = compare(reference, halves[1], tmp_path / "out", answers(halves[1]))
    assert (drift.drifted, drift.exit_code) == (False, 3)
    assert drift.broken == (("embedding", "Matrix is not positive definite"),)
    assert len(drift.findings) > len(STATISTICS)
    assert json.loads((tmp_path / "out" / "results.json").read_text())["broken"] == [list(drift.broken[0])]
    assert "Could not be computed" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.slow
def test_a_page_that_evidently_cannot_draw_leaves_the_verdict(reference, halves, tmp_path, monkeypatch):
    def fails(drift, before, now, path):
        raise ValueError("Too many bins for data range.")

    monkeypatch.setattr(pages, "evidently_page", fails)
    drift = compare(reference, halves[1], tmp_path / "out", answers(halves[1]))
    assert drift.exit_code == 0
    assert not (tmp_path / "out" / "evidently.html").exists()
    assert "Too many bins for data range." in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("broken", ["{", '{"labels": 3}', "[]"])
def test_a_reference_that_cannot_be_used_is_refused(tmp_path, halves, broken):
    (tmp_path / "reference.json").write_text(broken)
    with pytest.raises(InputError):
        compare(tmp_path, halves[1], tmp_path / "out", None)
    with pytest.raises(InputError, match="no such folder"):
        compare(tmp_path / "nowhere", halves[1], tmp_path / "out", None)


@pytest.mark.slow
def test_the_full_page_is_evidentlys(reference, halves, tmp_path):
    drift = compare(reference, halves[1], tmp_path / "out", answers(halves[1]))
    page = (tmp_path / "out" / "evidently.html").read_text()
    assert len(page) > 1_000_000
    assert "embedding" in page
    assert not drift.drifted


def test_kinds_of_columns():
    kinds = {column: shift.kind_of(column) for column in table(10, 0)}
    assert kinds["photo"] == kinds["listing"] == ""
    assert set(kinds.values()) - {""} <= set(shift.KINDS)


@pytest.mark.slow
def test_without_evidently_a_plain_catalog_is_measured_once(tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(drift_of, "photo_statistics", lambda side: measured.append(side.root) or photo_statistics(side))
    for name in ("one", "two"):
        write_catalog(toy_catalog(tmp_path / name, photos=24), tmp_path / name)
    monkeypatch.setattr(pages, "evidently_page", None)  # is not asked for
    found = drift_of.compare_with_model(
        str(tmp_path / "one"), read_catalog(tmp_path / "two"), tmp_path / "out", full=False
    )
    assert not found.drifted
    assert measured == [str(tmp_path / "one"), str(tmp_path / "two")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "results.json"]
    assert "Evidently" not in (tmp_path / "out/report.html").read_text()
