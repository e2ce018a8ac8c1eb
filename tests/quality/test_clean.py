import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vitrine.catalog import read_catalog
from vitrine.catalog.table import TEXT
from vitrine.errors import InputError
from vitrine.quality.clean import clean_catalog, cut_rare
from vitrine.quality.labels import agreed, normalised
from vitrine.quality.split import split_catalog
from vitrine.quality.validate import validate_catalog
from vitrine.synth.render import render_catalog

from .conftest import draw

CASES = Path(__file__).parent / "cases"  # photos: clothing-dataset (CC0), reduced


def row(number, **values):
    return {
        "image": f"images/{number}.jpg",
        **{name.replace("attr_", "attr:"): value for name, value in values.items()},
    }


def clean(catalog, out, **options):
    result = clean_catalog(catalog, out, workers=1, **{"min_class_count": 0, **options})
    return result, read_catalog(out).table, pd.read_parquet(out / "dropped.parquet")


def test_a_clean_catalog_keeps_every_row_and_column(make, tmp_path):
    catalog = make([row(n, category="A/B", extra=str(n)) for n in range(8)])
    result, kept, dropped = clean(catalog, tmp_path / "out")
    assert (result.before, result.kept, len(dropped)) == (8, 8, 0)
    pd.testing.assert_frame_equal(kept[["image", "category", "extra"]], catalog.table, check_dtype=False)
    assert kept["sha256"].str.len().eq(64).all()
    assert kept["duplicate_group"].nunique() == 8
    assert read_catalog(tmp_path / "out").root == catalog.root


def test_each_rule_drops_its_rows_and_says_why(make, tmp_path):
    catalog = make(
        [
            row(0, category="A", user="u", description="fine", listing="l0"),
            row(1, category="A", user="u", description="a box only, sorry", listing="l1"),
            row(2, category="A", user="v", description="my old bag", listing="l2"),
            row(3, category="A", user="v", description="My  old bag", listing="l3"),
            {"image": "../secret.jpg", "category": "A"},
            {"image": "gone.jpg", "category": "A"},
            {"image": "tiny.png", "category": "A"},
            {"image": "white.png", "category": "A"},
            {"image": "copy.jpg", "category": "A"},
            {"image": "near.jpg", "category": "A", "listing": "other"},
        ]
    )
    folder = tmp_path / "catalog"
    Image.new("RGB", (4, 4)).save(folder / "tiny.png")
    Image.new("RGB", (64, 64), "white").save(folder / "white.png")
    (folder / "copy.jpg").write_bytes((folder / "images/0.jpg").read_bytes())
    draw(2).resize((70, 70)).save(folder / "near.jpg")
    result, kept, dropped = clean(catalog, tmp_path / "out")
    assert dict(zip(dropped["row"], dropped["rule"], strict=True)) == {
        2: "keywords",
        4: "repeated_text",
        5: "unusable_values",
        6: "unreadable_photos",
        7: "tiny_photos",
        8: "blank_photos",
        9: "exact_duplicates",
        10: "near_duplicates",
    }
    evidence = dropped.set_index("row")["evidence"]
    assert (evidence[9], evidence[10]) == ("images/0.jpg", "images/2.jpg")
    assert dropped["reason"].ne("").all()
    assert kept["image"].tolist() == ["images/0.jpg", "images/2.jpg"]
    assert sum(result.dropped.values()) == 8


def test_the_best_labelled_copy_stays_and_takes_over_labels(make, tmp_path):
    catalog = make([row(0, category="A"), row(1, category="A/B", attr_colour="red"), row(2, attr_size="small")])
    for copy in (1, 2):
        (tmp_path / f"catalog/images/{copy}.jpg").write_bytes((tmp_path / "catalog/images/0.jpg").read_bytes())
    result, kept, _ = clean(catalog, tmp_path / "out")
    assert kept[["image", "category", "attr:colour", "attr:size"]].values.tolist() == [
        ["images/1.jpg", "A/B", "red", "small"]
    ]
    assert result.changed["merged"] == 1


def test_contradicting_labels_of_one_photo_are_blanked(make, tmp_path):
    catalog = make([row(0, category="A/B", attr_colour="Red"), row(1, category="A/C", attr_colour="red ")])
    (tmp_path / "catalog/images/1.jpg").write_bytes((tmp_path / "catalog/images/0.jpg").read_bytes())
    result, kept, _ = clean(catalog, tmp_path / "out")
    assert kept[["category", "attr:colour"]].values.tolist() == [["A", "Red"]]
    assert result.changed["contradicting"] == 1


def test_copies_that_are_meant_to_look_alike_stay(make, tmp_path):
    near = [
        row(0, listing="l", domain="", bbox=""),
        row(1, listing="l", domain="", bbox=""),  # two views of one listing
        row(2, listing="a", domain="shop", bbox=""),
        row(3, listing="b", domain="user", bbox=""),  # shop photo and customer photo
        row(4, listing="c", domain="", bbox="1,1,20,20"),
        row(4, listing="d", domain="", bbox="30,30,20,20"),  # two items in one photo
    ]
    catalog = make(near)
    for first, second in ((0, 1), (2, 3)):
        draw(first).resize((80, 80)).save(tmp_path / f"catalog/images/{second}.jpg")
    result, kept, _ = clean(catalog, tmp_path / "out")
    assert result.kept == 6
    assert kept["duplicate_group"].tolist()[0] == kept["duplicate_group"].tolist()[1]


def test_near_copies_stay_when_asked_or_when_labels_say_another_product(make, tmp_path):
    catalog = make([row(0, attr_colour="red"), row(1, attr_colour="blue"), row(2, attr_colour="")])
    for copy in (1, 2):  # crops: not the same picture, so perhaps another shade
        draw(0).crop((copy, 0, 96, 96)).save(tmp_path / f"catalog/images/{copy}.jpg")
    assert clean(catalog, tmp_path / "a")[0].dropped["near_duplicates"] == 1
    assert clean(catalog, tmp_path / "b", near_duplicates=False)[0].kept == 3


@pytest.mark.parametrize("saved", [{"quality": 60}, {"size": (64, 64)}], ids=["saved anew", "resized"])
def test_labels_that_contradict_on_one_picture_are_blanked(make, tmp_path, saved):
    catalog = make([row(0, attr_colour="red", category="A/B"), row(1, attr_colour="blue", category="A/C")])
    size = saved.pop("size", (96, 96))
    draw(0).resize(size).save(tmp_path / "catalog/images/1.jpg", **saved)
    result, kept, _ = clean(catalog, tmp_path / "out")
    assert kept[["image", "attr:colour", "category"]].values.tolist() == [["images/0.jpg", "", "A"]]
    assert (result.dropped["near_duplicates"], result.changed["contradicting"]) == (1, 2)
    assert (
        "images/0.jpg"
        in (tmp_path / "out/report.html").read_text().rsplit("because copies of the photo contradict", 1)[1]
    )
    found = {rule.name: rule for rule in validate_catalog(catalog, tmp_path / "report", workers=1).results}
    assert found["contradicting_labels"].examples == [1, 2]
    assert found["contradicting_copies"].count == 0
    again, _, _ = clean(read_catalog(tmp_path / "out"), tmp_path / "again")
    assert (again.kept, sum(again.changed.values())) == (1, 0)


def test_a_row_goes_only_for_one_that_it_is_a_copy_of(tmp_path):
    """Thirteen crops of one picture, each panned by 3 %: the last shows nothing of the first."""
    catalog = read_catalog(CASES / "chain")
    _, kept, dropped = clean(catalog, tmp_path / "out")
    assert 4 <= len(kept) <= 12
    assert kept["duplicate_group"].nunique() == 1  # they never part in a split
    number = dict(zip(catalog.table["image"], range(13), strict=True))
    apart = [abs(number[row.image] - number[row.evidence]) for row in dropped.itertuples()]
    assert max(apart) <= 2  # 6 % of the photo
    found = {rule.name: rule for rule in validate_catalog(catalog, tmp_path / "report", workers=1).results}
    assert found["near_duplicates"].count == len(dropped)


def test_unreadable_files_are_no_copies_of_each_other(make, tmp_path):
    catalog = make(
        [row(n, attr_colour=colour) for n, colour in enumerate(("red", "blue", "red", "green", "black"))]
        + [row(5, attr_colour="red", listing="l")]
    )
    for number in range(5):
        (tmp_path / f"catalog/images/{number}.jpg").write_text("<html>404 not found</html>")
    found = {rule.name: rule for rule in validate_catalog(catalog, tmp_path / "report", workers=1).results}
    assert found["unreadable_photos"].count == 5
    for rule in ("exact_duplicates", "near_duplicates", "contradicting_labels", "contradicting_copies"):
        assert (found[rule].count, found[rule].passed) == (0, True), rule
    split_catalog(catalog, tmp_path / "split", workers=1)
    page = (tmp_path / "split/report.html").read_text()
    assert re.search(r"Groups of rows that belong together[^<]*</td><td[^>]*>6<", page)


def test_rows_appended_to_a_cleaned_catalog_are_no_copies_of_each_other(make, tmp_path):
    clean_catalog(make([{"image": f"images/{n}.jpg"} for n in range(4)]), tmp_path / "cleaned", 0, workers=1)
    cleaned = read_catalog(tmp_path / "cleaned")
    appended = make([{"image": f"images/{n}.jpg"} for n in range(9)]).table[4:]
    table = pd.concat([cleaned.table, appended], ignore_index=True)
    clean_catalog(cleaned.with_table(table), tmp_path / "again", 0, workers=1)
    assert read_catalog(tmp_path / "again").table["duplicate_group"].nunique() == 9


def test_an_excluded_word_takes_no_photo_of_another_user(make, tmp_path):
    rows = [{"image": f"images/{n}.jpg", "product": "P", "user": f"u{n}", "description": f"shoe {n}"} for n in range(6)]
    rows[2] |= {"description": "box only"}
    result = clean_catalog(make(rows), tmp_path / "out", 0, workers=1)
    assert result.dropped["keywords"] == 1


def test_boxes_are_cut_on_all_sides_and_compared_as_parts_of_their_photos(tmp_path):
    catalog = read_catalog(CASES / "boxes", check_rows=False)
    _, kept, dropped = clean(catalog, tmp_path / "out")
    boxes = dict(zip(kept["image"], kept["bbox"], strict=True))
    assert boxes == {"a.png": "10,10,60,60", "b.png": "0,5,58,60", "c.png": "50,5,46,60"}
    # a_half is a, at half its size, under another colour.
    assert dropped[["image", "rule", "evidence"]].values.tolist() == [["a_half.png", "near_duplicates", "a.png"]]
    assert kept["attr:colour"].tolist()[0] == ""
    found = {rule.name: rule for rule in validate_catalog(catalog, tmp_path / "report", workers=1).results}
    assert (found["unusable_values"].count, found["boxes_outside"].examples) == (0, [3, 4])
    assert found["contradicting_labels"].examples == [1, 2]


def test_labels_get_one_spelling_and_no_label_words_go(make, tmp_path):
    colours = ["Red", "red", "red", " red|BLUE", "blue", "Not sure", "n/a", "red| red"]
    paths = ["Home/Lamps", "home/lamps", "Home/Lamps ", "Home/Other", "Home / Lamps", "Skip", "", "Home/Lamps"]
    rows = [row(n, attr_colour=colours[n], category=paths[n], verdict="Unknown") for n in range(8)] + [
        row(8, attr_colour="blue")
    ]
    _, kept, _ = clean(make(rows), tmp_path / "out")
    assert kept["attr:colour"].tolist() == ["red", "red", "red", "red|blue", "blue", "", "", "red", "blue"]
    assert kept["category"].tolist() == ["Home/Lamps"] * 3 + ["Home", "Home/Lamps", "", "", "Home/Lamps", ""]
    assert kept["verdict"].eq("").all()


def test_words_of_spreadsheets_and_programs_for_none_are_no_labels(make, tmp_path):
    words = ["red", "#N/A", "<NA>", "NA", "NaN", "red"]
    rows = [row(n, attr_colour=own, category="A", bbox="N/A" if n else "1,1,9,9") for n, own in enumerate(words)]
    _, kept, dropped = clean(make(rows), tmp_path / "out")
    assert kept["attr:colour"].tolist() == ["red", "", "", "", "", "red"]
    assert kept["bbox"].tolist() == ["1,1,9,9", *[""] * 5]
    assert dropped.empty


def test_values_that_need_another_spelling_cost_no_row_and_are_said(make, tmp_path):
    values = {"verdict": "Authentic", "domain": "Shop", "split": "N/A", "bbox": "nan"}
    rows = [row(n, category="A", **(values if n else dict.fromkeys(values, ""))) for n in range(3)]
    rows.append(row(3, category="A", verdict="maybe"))
    catalog = make(rows)
    found = {result.name: result for result in validate_catalog(catalog, tmp_path / "report", workers=1).results}
    assert found["unusable_values"].examples == [2, 3, 4]  # as it was given
    assert found["left_out"].examples == [4]
    _, kept, dropped = clean(catalog, tmp_path / "out")
    assert kept["verdict"].tolist() == ["", "authentic", "authentic"]
    assert dropped["row"].tolist() == [4]


def test_words_for_none_are_no_names_either(make, tmp_path):
    names = ["N/A", "not sure", "P 1", " -  ", "Nonesuch", "other"]
    columns = ("product", "item", "listing", "view", "user", "expert")
    rows = [row(n, **dict.fromkeys(columns, own), extra=own) for n, own in enumerate(names)]
    _, kept, _ = clean(make(rows), tmp_path / "out")
    for column in columns:
        assert kept[column].tolist() == ["", "", "P 1", "", "Nonesuch", ""]
    assert kept["extra"].tolist() == names


def test_rare_classes_are_cut_blanked_or_dropped(make, tmp_path):
    rows = [row(n, category="A/B/C", attr_colour="red") for n in range(4)]
    rows += [row(4, category="A/B/D", attr_colour="red"), row(5, category="Z/Y", attr_colour="red")]
    rows += [row(6, category="Z/Y", attr_colour="mauve"), row(7, category="", attr_colour="")]
    result, kept, dropped = clean(make(rows), tmp_path / "out", min_class_count=3)
    assert kept["category"].tolist() == ["A/B/C"] * 4 + ["A/B", "", ""]
    assert kept["image"].tolist()[-1] == "images/7.jpg"  # unlabelled rows stay
    assert kept["attr:colour"].tolist() == ["red"] * 6 + [""]
    assert dropped["row"].tolist() == [7]
    assert dropped["rule"].tolist() == ["rare_classes"]
    assert (result.changed["cut"], result.changed["blanked"]) == (1, 2)


def test_cut_rare_counts_whole_subtrees():
    paths = pd.Series(["A/B", "A/C", "A/D", "E", ""], dtype=TEXT)
    assert cut_rare(paths, 3).tolist() == ["A", "A", "A", "", ""]
    assert cut_rare(paths, 1).tolist() == paths.tolist()


def test_listings_with_too_few_photos(make, tmp_path):
    catalog = make([row(0, listing="l"), row(1, listing="l"), row(2, listing="m"), row(3, listing="")])
    _, kept, dropped = clean(catalog, tmp_path / "out", drop_views_below=2)
    assert kept["listing"].tolist() == ["l", "l", ""]
    assert dropped["reason"].tolist() == ["1 of 2 photos"]


def test_listings_with_disordered_views_go_on_request(make, tmp_path):
    views = ("appearance", "tag", "insole")
    orders = [views] * 4 + [(views[1], views[0], views[2]), (*views, "tag")]
    rows = [
        row(10 * number + place, listing=f"L{number}", view=view)
        for number, order in enumerate(orders)
        for place, view in enumerate(order)
    ]
    catalog = make(rows)
    assert clean(catalog, tmp_path / "kept", min_class_count=0)[0].kept == len(rows)
    result, kept, dropped = clean(catalog, tmp_path / "out", min_class_count=0, drop_disordered=True)
    assert set(dropped["listing"]) == {"L4", "L5"}
    assert set(dropped["rule"]) == {"disordered_views"}
    assert dropped["reason"].str.len().gt(0).all()
    assert result.kept == len(kept) == 12


@pytest.mark.slow
def test_labels_that_photos_contradict_are_reported_and_their_rows_go_on_request(make, tmp_path):
    colours = {"red": (200, 30, 30), "green": (30, 160, 40), "blue": (40, 60, 200)}
    random = np.random.default_rng(0)
    rows = []
    for number in range(300):
        name = list(colours)[number % 3]
        photo = Image.new("RGB", (48, 48), tuple(random.integers(215, 256, 3).tolist()))
        left, top = random.integers(2, 16, 2).tolist()
        photo.paste(colours[name], (left, top, left + 28, top + random.integers(14, 28).item()))
        for _ in range(6):  # plain shapes would be taken for one another, moved
            x, y = (left + random.integers(0, 24), top + random.integers(0, 12))
            shade = tuple(int(value * random.uniform(0.5, 1.2)) for value in colours[name])
            photo.paste(shade, (int(x), int(y), int(x) + 4, int(y) + 3))
        wrong = number in (30, 61)
        rows.append(row(number, image=f"{number}.png", **{"attr:colour": "blue" if wrong else name}))
        rows[-1]["saved"] = photo
    saved = [each.pop("saved") for each in rows]
    catalog = make(rows)
    for number, photo in enumerate(saved):
        photo.save(tmp_path / "catalog" / f"{number}.png")
    report = validate_catalog(catalog, tmp_path / "report", workers=1)
    (found,) = (result for result in report.results if result.name == "label_noise")
    assert (set(found.examples), found.severity, found.passed) == ({31, 62}, "info", True)
    assert "row 31, colour: blue looks like red" in found.details
    page = (tmp_path / "report/report.html").read_text()
    assert "Labels held against their photos" in page
    assert page.count("blue looks like red") == 1  # with its photo, and not once more as a rule's example
    kept, _, _ = clean(catalog, tmp_path / "kept", min_class_count=0)
    assert kept.dropped["label_noise"] == 0
    result, _, dropped = clean(catalog, tmp_path / "out", min_class_count=0, drop_suspects=True)
    assert result.dropped["label_noise"] == 2
    told = dropped[dropped["rule"] == "label_noise"]
    assert dict(zip(told["row"], told["reason"], strict=True)) == {
        31: "colour blue looks like red",
        62: "colour blue looks like green",
    }


def test_nothing_left_is_an_error_that_names_the_rule(make, tmp_path):
    catalog = make([{"image": "images/a.jpg"}, {"image": "images/b.jpg"}], photo=False)
    with pytest.raises(InputError, match=r"no row is left.*unreadable_photos.*2 of 2"):
        clean(catalog, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_hostile_labels_are_escaped(make, tmp_path):
    labels = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>"]
    catalog = make([row(n, category=label, product=f"p{n}") for n, label in enumerate(labels)])
    clean(catalog, tmp_path / "out", min_class_count=2)
    page = (tmp_path / "out/report.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;" in page


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("category", ("A", "A/B", ""), ("A/B", False)),
        ("category", ("A/B", "A/C"), ("A", True)),
        ("category", ("A", "B"), ("", True)),
        ("attr:colour", ("red", "red|blue"), ("red|blue", False)),
        ("attr:colour", ("red", "blue"), ("", True)),
        ("verdict", ("authentic", ""), ("authentic", False)),
        ("verdict", ("authentic", "counterfeit"), ("", True)),
    ],
)
def test_what_copies_agree_on(column, values, expected):
    assert agreed(column, values) == expected


def test_normalising_twice_changes_nothing():
    table = pd.DataFrame(
        {"category": ["a/b", "A/b", "A /B", "a/none/c", "x/y"], "attr:t": ["x|X", "X", "-", "y ", "Y"]}
    )
    once = normalised(table.astype(TEXT), ("none", "-"))
    pd.testing.assert_frame_equal(once, normalised(once, ("none", "-")))


@pytest.fixture(scope="module")
def planted(tmp_path_factory, slow_to_make):
    folder = tmp_path_factory.mktemp("synth") / "catalog"
    render_catalog(folder, 30, 3, defects=True)
    return folder


def test_planted_faults_are_found_and_clean_rows_stay(planted, tmp_path):
    catalog = read_catalog(planted, check_rows=False)
    result, kept, dropped = clean(catalog, tmp_path / "out", min_class_count=2)
    again, kept_again, _ = clean(read_catalog(tmp_path / "out"), tmp_path / "again", min_class_count=2)
    assert again.kept == again.before
    assert sum(again.changed.values()) == 0
    pd.testing.assert_frame_equal(kept, kept_again)
    faults = pd.read_csv(planted / "defects.csv")
    rules = dropped.set_index("image")["rule"].to_dict()
    expected = {
        "exact_copy": "exact_duplicates",
        "reencoded_copy": "near_duplicates",
        "resized_copy": "near_duplicates",
        "cropped_copy": "near_duplicates",
        "truncated": "unreadable_photos",
        "not_an_image": "unreadable_photos",
        "bomb": "unreadable_photos",
        "missing_file": "unreadable_photos",
        "path_traversal": "unusable_values",
        "one_pixel": "tiny_photos",
        "black": "blank_photos",
        "keyword": "keywords",
        "contradicting_labels": "exact_duplicates",
    }
    for kind, rule in expected.items():
        images = faults.loc[faults["defect"] == kind, "image"]
        assert [rules.get(image) for image in images] == [rule] * len(images), kind
    assert set(rules) <= set(faults["image"])
    assert result.dropped["repeated_text"] == 2


def test_boxes_are_cut_to_their_photos(make, tmp_path):
    boxes = ["1,1,20,20", "10,10,5000,20", "900,900,5,5", ""]
    catalog = make([row(n, category="A", bbox=box) for n, box in enumerate(boxes)])
    result, kept, dropped = clean(catalog, tmp_path / "out")
    side = Image.open(tmp_path / "catalog/images/1.jpg").width
    assert kept["bbox"].tolist() == ["1,1,20,20", f"10,10,{side - 10},20", "", ""]
    assert (result.changed["boxes"], len(dropped)) == (2, 0)
    again, same, _ = clean(read_catalog(tmp_path / "out"), tmp_path / "again")
    assert (again.changed["boxes"], same["bbox"].tolist()) == (0, kept["bbox"].tolist())
    assert "Boxes cut to what lies inside" in (tmp_path / "out/report.html").read_text()


def test_a_brighter_copy_and_a_small_one_with_a_logo_go(tmp_path):
    clean_catalog(read_catalog(CASES / "copies"), tmp_path / "clean")
    dropped = pd.read_parquet(tmp_path / "clean/dropped.parquet")
    assert sorted(dropped["image"]) == ["bright110.jpg", "small_logo.jpg"]
    assert dropped["rule"].tolist() == ["near_duplicates"] * 2


def test_many_unusable_rows_are_refused_and_named(make, tmp_path):
    catalog = make([row(n, category="A") for n in range(9)] + [{"image": "gone.jpg", "category": "A"}])
    with pytest.raises(InputError, match=r"1 of 10 rows cannot be used, more than 5 %: row 10 \(gone.jpg\)"):
        clean(catalog, tmp_path / "out", max_left_out=0.05)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "out.left_out.csv").read_text().splitlines()[1].startswith("10,gone.jpg,")
    clean(catalog, tmp_path / "out", max_left_out=0.1)
    assert len((tmp_path / "out/left_out.csv").read_text().splitlines()) == 2
