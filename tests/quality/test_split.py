import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrine.catalog import read_catalog
from vitrine.catalog.table import TEXT
from vitrine.errors import InputError
from vitrine.quality.clean import clean_catalog
from vitrine.quality.links import RECORD, knows_copies
from vitrine.quality.split import SPLITS, assign, costs, parted, split_catalog

from .conftest import draw

RATIOS = (0.7, 0.1, 0.2)


def frame(**columns):
    return pd.DataFrame(columns).astype(TEXT)


def single(count, classes=1):
    return frame(image=[f"{n}.jpg" for n in range(count)], category=[f"c{n % classes}" for n in range(count)])


@pytest.mark.parametrize("came", ["", "train"])
def test_shop_photos_that_are_the_gallery_are_dealt_to_no_split(came):
    """40 user photos of 20 products whose one shop photo each is also the photo of another listing."""
    table = frame(
        image=[f"{n}.jpg" for n in range(60)],
        product=[f"p{n % 20}" for n in range(60)],
        domain=["user"] * 40 + ["shop"] * 20,
        category=["c"] * 60,
        split=[""] * 40 + [came] * 20,
    )
    result = assign(table, RATIOS, gallery=True)
    assert set(result.split[40:]) == {""}  # kept, they would be in another split than user photos of their product
    assert set(result.split[:40]) == set(SPLITS)
    assert parted(table, result.split)["product"] == 0
    assert (result.gallery, result.conflicts) == (20, [])
    assert set(assign(table.assign(split=""), RATIOS).split[40:]) == set(SPLITS)


def test_a_gallery_needs_user_photos(make, tmp_path):
    catalog = make([{"image": "images/0.jpg", "domain": "shop"}])
    with pytest.raises(InputError, match="no photo of domain 'user'"):
        split_catalog(catalog, tmp_path / "out", gallery=True)


names = st.lists(st.sampled_from(["", "a", "b", "c", "d", "e"]), min_size=1, max_size=40)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(names, names, names, st.lists(st.sampled_from(["", *SPLITS]), min_size=1, max_size=40), st.booleans())
def test_nothing_that_belongs_together_is_parted(listing, product, sha, split, respect):
    count = min(map(len, (listing, product, sha, split)))
    table = frame(
        image=[f"{n % 30}.jpg" for n in range(count)],
        listing=listing[:count],
        product=product[:count],
        sha256=sha[:count],
        split=split[:count],
    )
    result = assign(table, RATIOS, respect)
    for column in ("image", "listing", "product", "sha256"):
        known = table[column] != ""
        assert result.split[known].groupby(table.loc[known, column]).nunique().le(1).all()
    assert set(result.split) <= set(SPLITS)


def test_given_splits_stay_and_take_their_group_along():
    table = frame(
        image=list("abcdef"), listing=["l", "l", "m", "m", "", ""], split=["test", "", "test", "validation", "", "test"]
    )
    result = assign(table, RATIOS)
    assert result.split.tolist()[:4] == ["test", "test", "train", "train"]
    assert result.split.iat[5] == "test"
    assert result.conflicts == [2, 3]
    assert assign(table, (1, 0, 0), respect=False).split.eq("train").all()


def test_shares_come_close_to_the_ratios():
    shares = assign(single(4000), RATIOS).split.value_counts(normalize=True)
    assert [shares[name] for name in SPLITS] == pytest.approx(RATIOS, abs=0.02)


@pytest.mark.parametrize("seed", range(6))
def test_every_class_of_five_groups_stands_in_every_split(seed):
    table = single(40, classes=8)
    counts = pd.crosstab(table["category"], assign(table, RATIOS, seed=seed).split)
    assert (counts[list(SPLITS)] > 0).all(axis=None)


def test_every_label_of_cells_with_several_stands_in_every_split():
    table = single(40).assign(**{"attr:tags": pd.Series([f"a{n % 4}|b{n % 5}|c{n}" for n in range(40)], dtype=TEXT)})
    split = assign(table, RATIOS).split
    for label in ("a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3", "b4"):
        assert set(split[table["attr:tags"].str.split("|").map(lambda labels, one=label: one in labels)]) == set(SPLITS)


def test_added_rows_leave_the_others_where_they_were():
    table = single(3300, classes=40)
    before = assign(table.iloc[:3000].reset_index(drop=True), RATIOS).split
    after = assign(table, RATIOS).split[:3000]
    assert (before.to_numpy() != after.to_numpy()).mean() < 0.002


def test_row_order_does_not_matter_and_the_seed_does():
    table = single(300, classes=3)
    order = np.random.default_rng(0).permutation(300)
    shuffled = assign(table.iloc[order].reset_index(drop=True), RATIOS).split
    straight = assign(table, RATIOS).split
    assert (shuffled.to_numpy() == straight.to_numpy()[order]).all()
    assert (assign(table, RATIOS, seed=1).split != straight).mean() > 0.2


def test_rows_without_labels_go_to_train_unless_no_row_has_any():
    table = single(200)
    table.loc[:99, "category"] = ""
    assert assign(table, RATIOS).split[:100].eq("train").all()
    table["category"] = ""
    assert assign(table, RATIOS).split.nunique() == 3


def test_what_is_not_measured_only_teaches(make, tmp_path):
    table = single(200).assign(verdict="authentic")  # every row has a category as well
    table.loc[:99, "verdict"] = ""
    assert assign(table, RATIOS).split[:100].nunique() == 3
    split = assign(table, RATIOS, measured="verdict").split
    assert split[:100].eq("train").all()
    assert split[100:].nunique() == 3
    with pytest.raises(InputError, match="no column 'verdict' to measure by"):
        split_catalog(make([{"image": "images/0.jpg"}]), tmp_path / "out", measured="verdict")


@pytest.mark.parametrize("ratios", [(0.5, 0.5, 0.5), (1.2, -0.1, -0.1), (0.5, 0.5), (float("nan"), 0.5, 0.5)])
def test_ratios_that_make_no_sense(make, tmp_path, ratios):
    with pytest.raises(InputError, match="ratios"):
        split_catalog(make([{"image": "images/0.jpg"}]), tmp_path / "out", ratios)
    assert not (tmp_path / "out").exists()


def test_photos_are_looked_at_when_the_catalog_does_not_tell_copies(make, tmp_path):
    catalog = make([{"image": f"images/{n}.jpg", "category": "<b>bold"} for n in range(40)])
    for copy in range(20):
        (tmp_path / f"catalog/images/{copy + 20}.jpg").write_bytes(
            (tmp_path / f"catalog/images/{copy}.jpg").read_bytes()
        )
    counts = split_catalog(catalog, tmp_path / "out", workers=1)
    table = read_catalog(tmp_path / "out").table
    assert table["split"].tolist()[:20] == table["split"].tolist()[20:]
    assert sum(counts.values()) == 40
    assert list(table.columns) == ["image", "category", "split"]
    assert "<b>bold" not in (tmp_path / "out/report.html").read_text()


@pytest.fixture
def pairs_of_copies(make, tmp_path):
    """12 photos, and the same saved anew, as two catalogs."""
    originals = make([{"image": f"images/{n}.jpg", "category": "A"} for n in range(12)])
    for n in range(12):
        draw(n).save(tmp_path / f"catalog/images/again{n}.jpg", quality=60)
    return originals, make([{"image": f"images/again{n}.jpg", "category": "A"} for n in range(12)])


@pytest.mark.parametrize("other", ["cleaned", "raw"])
def test_copies_across_what_was_cleaned_apart_are_found(pairs_of_copies, tmp_path, caplog, other):
    """Two cleaned tables, or a cleaned one and new rows, whose columns say nothing of each other's photos."""
    catalogs = list(pairs_of_copies)
    for place, catalog in enumerate(catalogs[: 2 if other == "cleaned" else 1]):
        clean_catalog(catalog, tmp_path / f"{place}", 0, workers=1)
        catalogs[place] = read_catalog(tmp_path / f"{place}")
    both = pd.concat([catalog.table for catalog in catalogs], ignore_index=True)
    split_catalog(catalogs[0].with_table(both), tmp_path / "out", (0.5, 0, 0.5), workers=1)
    split = read_catalog(tmp_path / "out").table["split"].tolist()
    assert split[:12] == split[12:]
    assert len(set(split)) == 2
    assert "sha256 and duplicate_group are not from one cleaning of just these rows" in caplog.text
    page = (tmp_path / "out/report.html").read_text()
    assert re.search(r"<td[^>]*>copies of one photo</td><td[^>]*>24</td><td[^>]*>0<", page)


def test_what_one_cleaning_tied_stays_tied_when_rows_are_added(make, tmp_path):
    catalog = make([{"image": f"images/{n}.jpg", "category": "A"} for n in range(24)])
    tied = catalog.table.assign(duplicate_group=pd.Series([f"g{n // 2}" for n in range(20)] + [None] * 4, dtype=TEXT))
    split_catalog(catalog.with_table(tied), tmp_path / "out", (0.5, 0, 0.5), workers=1)
    split = read_catalog(tmp_path / "out").table["split"].tolist()
    assert split[:20:2] == split[1:20:2]
    assert len(set(split[:20])) == 2


def test_photos_of_a_cleaned_catalog_are_not_looked_at_again(make, tmp_path, monkeypatch):
    clean_catalog(make([{"image": f"images/{n}.jpg"} for n in range(6)]), tmp_path / "cleaned", 0, workers=1)
    monkeypatch.setattr("vitrine.quality.split.scan_photos", lambda *_: pytest.fail("scanned"))
    split_catalog(read_catalog(tmp_path / "cleaned"), tmp_path / "parted")
    split_catalog(read_catalog(tmp_path / "parted/catalog.parquet"), tmp_path / "again", respect=False)
    cleaned = read_catalog(tmp_path / "cleaned")
    assert not knows_copies(cleaned.with_table(cleaned.table[::-1]))
    (tmp_path / "cleaned" / RECORD).write_text("[")
    assert not knows_copies(cleaned)


@pytest.mark.parametrize("name", ["product", "listing"])
def test_rows_whose_name_is_a_word_for_none_do_not_belong_together(make, tmp_path, name):
    words = ["N/A", "n/a", "Not sure", "unknown", " - "]
    rows = [{"image": f"images/{n}.jpg", "category": "A", name: words[n % 5]} for n in range(30)]
    rows += [{"image": f"images/{n}.jpg", "category": "A", name: "one"} for n in range(30, 60)]
    split_catalog(make(rows), tmp_path / "out", (0.5, 0, 0.5), workers=1)
    table = read_catalog(tmp_path / "out").table
    assert 5 <= (table["split"][:30] == "train").sum() <= 25
    assert table["split"][30:].nunique() == 1  # of one product
    assert table[name].tolist()[:5] == words  # splitting changes splits only


def marketplace(split=""):
    """40 user photos of 20 products, each with a shop photo; user photo 7 is the file of the shop photo of product 3."""
    files = [f"u{n}" for n in range(40)] + [f"s{n}" for n in range(20)]
    files[7] = "s3"
    return frame(
        image=[f"images/{n}.jpg" for n in range(60)],
        product=[f"p{n % 20}" for n in range(60)],
        domain=["user"] * 40 + ["shop"] * 20,
        category=["c"] * 60,
        sha256=files,
        split=[split] * 60,
    )


def test_what_has_a_copy_in_the_gallery_is_not_asked():
    table = marketplace()
    table.loc[20:, "sha256"] = None  # not known of the others
    table.loc[43, "sha256"] = "s3"
    for seed in range(8):  # without the rule, product 7 (photos 7 and 27) is asked for in some of these
        result = assign(table, RATIOS, seed=seed, gallery=True)
        assert result.split[[7, 27]].tolist() == ["train", "train"]
        assert result.shown == 1


@pytest.mark.parametrize("column", ["product", "item"])
def test_shop_photos_are_the_gallery_where_user_photos_show_the_same(make, tmp_path, column):
    rows = [
        {"image": f"images/{n}.jpg", column: f"p{n % 20}", "category": "c", "domain": "user" if n < 40 else "shop"}
        for n in range(60)
    ]
    catalog = make(rows)
    counts = split_catalog(catalog, tmp_path / "parted", workers=1)
    table = read_catalog(tmp_path / "parted").table
    assert counts["gallery"] == 20
    assert set(table["split"][40:]) == {""}
    assert set(table["split"][:40]) == set(SPLITS)
    assert "gallery" not in split_catalog(catalog, tmp_path / "dealt", workers=1, gallery=False)
    unlike = make([row | {column: f"{row['domain']}{row[column]}"} for row in rows])
    assert "gallery" not in split_catalog(unlike, tmp_path / "unlike", workers=1)


def test_what_was_dealt_is_checked_and_its_cost_said(make, tmp_path):
    table = frame(image=list("abcdef"), listing=["l", "l", "m", "m", "", ""], product=["", "", "", "", "x", "y"])
    split = pd.Series(["train", "test", "train", "train", "validation", ""], dtype=TEXT)
    assert parted(table, split) == {"listing": 1, "product": 0, "image": 0}
    one = frame(image=[str(n) for n in range(10)], listing=["l"] * 10, category=["c"] * 10)
    dealt = assign(one, RATIOS).split
    said = costs(one, dealt, RATIOS)
    assert "1 class of 5 rows or more is missing from a split" in said
    worst = max(abs(float((dealt == name).mean()) - asked) for name, asked in zip(SPLITS, RATIOS, strict=True))
    assert f"at most {100 * worst:.1f} points off" in said
    assert "no class is lost" in costs(single(4000), assign(single(4000), RATIOS).split, RATIOS)
