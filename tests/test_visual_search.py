"""`vitrine index` and `vitrine search` as a user calls them."""

import json

import pytest
from toys import toy_catalog

from vitrine.catalog import read_catalog
from vitrine.catalog.table import write_catalog
from vitrine.errors import InputError
from vitrine.train import train
from vitrine.visual_search import add_to_index, make_index, search_photos

QUICK = ("epochs=2", "image_size=32", "workers=1", "weights=none")


@pytest.fixture(scope="module")
def made(tmp_path_factory, slow_to_make):
    folder = tmp_path_factory.mktemp("search")
    catalog = toy_catalog(folder / "toys")
    write_catalog(catalog, folder / "toys")
    train("taxonomy", "bcnn", catalog, folder / "model", QUICK)
    make_index(folder / "model", catalog.of_split("train"), folder / "index")
    return folder


def test_an_indexed_photo_is_its_own_best_answer(made, vitrine):
    done = vitrine("search", made / "index", made / "toys/images/000.png", made / "toys/images/001.png", "-k", 3)
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["results"][0]["image"] for line in lines] == ["images/000.png", "images/001.png"]
    assert lines[0]["results"][0]["score"] == pytest.approx(1, abs=1e-3)
    assert [len(line["results"]) for line in lines] == [3, 3]
    assert [line["results"][0]["category"] for line in lines] == ["Round/Disc", "Round/Ring"]


def test_more_answers_than_photos_gives_all(made):
    (line,) = search_photos(made / "index", [str(made / "toys/images/000.png")], k=5000)
    assert len(line["results"]) == 96
    (line,) = search_photos(made / "index", [str(made / "toys/images/000.png")], k=5000, category="Angular/Square")
    assert {hit["category"] for hit in line["results"]} == {"Angular/Square/Plain", "Angular/Square/Crossed"}


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("index/model/card.md",), "card.md: is not a photo"),
        (("nothing.jpg",), "nothing.jpg: no such photo"),
        (("toys/images/000.png", "-k", "0"), "'-k': 0 is not in the range x>=1"),
        (("toys/images/000.png", "--category", "Round/Cube"), "no photo in category 'Round/Cube'"),
    ],
)
def test_what_cannot_be_answered_is_one_line(made, vitrine, arguments, what):
    done = vitrine("search", made / "index", made / arguments[0], *arguments[1:])
    assert done.code == 2
    assert what in done.err
    assert done.err.count("\n") == 1


def test_adding_and_removing(made, vitrine, tmp_path):
    catalog = read_catalog(made / "toys")
    make_index(made / "model", catalog.of_split("train"), tmp_path / "index")
    assert vitrine("index", made / "model", made / "toys", tmp_path / "index", "--add").code == 0
    query = [str(made / "toys/images/050.png")]
    (line,) = search_photos(tmp_path / "index", query, k=5000)
    assert sorted(hit["image"] for hit in line["results"]) == sorted(catalog.table["image"])  # none twice
    done = vitrine("unindex", tmp_path / "index", "images/nowhere.png", "--images")
    assert done.code == 2
    assert "holds none of these photos: images/nowhere.png" in done.err
    done = vitrine("unindex", tmp_path / "index", "images/050.png", "--images", "--compact")
    assert "1 photo removed, 143 left" in done.out
    (line,) = search_photos(tmp_path / "index", query, k=5000)
    assert "images/050.png" not in [hit["image"] for hit in line["results"]]
    every = [f"images/{i:03}.png" for i in range(144)]
    assert vitrine("unindex", tmp_path / "index", *every, "--images").code == 0
    empty = vitrine("search", tmp_path / "index", *query)
    assert (empty.code, empty.err.count("\n")) == (2, 1)
    assert "holds no photos" in empty.err


def test_another_models_embeddings_are_refused(made, tmp_path):
    catalog = read_catalog(made / "toys")
    train("taxonomy", "bcnn", catalog, tmp_path / "other", (*QUICK, "seed=1"))
    with pytest.raises(InputError, match="another model"):
        add_to_index(made / "index", catalog, tmp_path / "other")


def test_nothing_is_left_of_an_index_that_fails(made, tmp_path):
    catalog = toy_catalog(tmp_path / "toys", photos=24)
    (tmp_path / "toys/images/003.png").write_bytes(b"no photo")
    with pytest.raises(InputError, match=r"003\.png: is not a photo"):
        make_index(made / "model", catalog, tmp_path / "index")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toys"]


def test_a_page_frames_what_is_right(made, tmp_path, vitrine):
    table = read_catalog(made / "toys").table
    products = [f"P{place % 2}<b>" for place in range(len(table))]
    index = tmp_path / "index"
    make_index(made / "model", read_catalog(made / "toys").with_table(table.assign(product=products)), index)
    photo = made / "toys/images/000.png"
    strange = tmp_path / "<script>.png"
    strange.write_bytes(photo.read_bytes())
    done = vitrine("search", index, photo, strange, "-k", 5, "--html", tmp_path / "page")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    html = (tmp_path / "page/report.html").read_text()
    others = [hit["product"] for hit in lines[0]["results"] if hit["image"] != "images/000.png"]
    assert html.count('class="photo good"') == others.count("P0<b>")
    assert html.count('class="photo bad"') == others.count("P1<b>")
    assert html.count('class="photo "') == 5  # of a photo that the index does not know
    assert html.count('class="photo warn"') == 2
    assert "<script>" not in html.partition("</style>")[2]
    assert "<b>" not in html.partition("queries whose")[2]
    assert "see " in done.err
    assert vitrine("search", index, photo, "--html", tmp_path / "page").code == 2
