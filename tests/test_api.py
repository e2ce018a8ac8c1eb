"""`import vitrine` as somebody's own program uses it."""

import doctest
import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from toy_listings import learnable_catalog
from toys import toy_catalog

import vitrine
from vitrine import api, files
from vitrine.predict import predict
from vitrine.registry.store import Registry
from vitrine.train import train
from vitrine.visual_search import make_index, search_photos

QUICK = ("epochs=2", "image_size=32", "workers=1", "weights=none")


@pytest.fixture(scope="module")
def made(tmp_path_factory, slow_to_make):
    folder = tmp_path_factory.mktemp("api")
    catalog = toy_catalog(folder / "toys")
    train("taxonomy", "ssmtl-ca", catalog, folder / "model", (*QUICK, "hidden=16"))
    make_index(folder / "model", catalog, folder / "index")
    return folder


@pytest.fixture(scope="module")
def paths(made):
    return sorted((made / "toys/images").glob("*.png"))[:5]


def test_a_path_an_image_and_an_array_of_one_photo_get_one_answer(made, paths):
    model = vitrine.load(made / "model")
    image = Image.open(paths[0])
    found = model.predict([paths[0], str(paths[0]), image, np.asarray(image.convert("RGB"))])
    assert found["image"].tolist() == [str(paths[0]), str(paths[0]), "photo 2", "photo 3"]
    answers = found.drop(columns="image")
    assert (answers == answers.iloc[0]).all(axis=None)
    assert {"level1", "level1/confidence", "level3", "attr:colour", "attr:a.b/confidence"} <= set(answers)


def test_answers_are_those_of_the_command(made, paths):
    model = vitrine.load(made / "model")
    images = list(map(str, paths))
    expected = predict(made / "model", images)
    assert model.records(images) == expected
    table = model.predict(images)
    assert table["level1"].tolist() == [line["level1"][0]["label"] for line in expected]
    assert table["attr:colour/confidence"].tolist() == [line["attr:colour"][0]["confidence"] for line in expected]
    (first,) = model.records(paths[0], top=1)
    assert [len(named) for question, named in first.items() if question != "image"] == [1] * (len(first) - 1)


def test_more_photos_than_are_asked_at_once_stay_in_order(made, paths, monkeypatch):
    model = vitrine.load(made / "model")
    whole = model.embed(paths)
    monkeypatch.setattr(api, "AT_ONCE", 2)
    assert np.allclose(model.embed(paths), whole, atol=1e-5)
    pictures = [Image.open(path) for path in paths]
    assert model.predict(pictures)["image"].tolist() == [f"photo {i}" for i in range(5)]


def test_a_photo_lying_on_its_side_is_set_upright(made, paths, tmp_path):
    picture = Image.open(paths[0]).convert("RGB").crop((0, 0, 32, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    turned.save(tmp_path / "turned.png", exif=exif)
    shown = api.image_of(Image.open(tmp_path / "turned.png"))
    assert np.array_equal(np.asarray(shown), np.asarray(api.image_of(tmp_path / "turned.png")))
    assert shown.size == picture.size


def test_searching_is_what_the_command_finds(made, paths):
    found = vitrine.search(made / "index", paths[:2], k=3)
    expected = [hit for line in search_photos(made / "index", list(map(str, paths[:2])), 3) for hit in line["results"]]
    assert found["query"].tolist() == [0, 0, 0, 1, 1, 1]
    assert found["rank"].tolist() == [1, 2, 3] * 2
    assert found["image"].tolist() == [hit["image"] for hit in expected]
    assert found["score"].round(4).tolist() == [hit["score"] for hit in expected]
    below = vitrine.search(made / "index", Image.open(paths[0]), k=50, category="Angular/Square")
    assert set(below["category"]) == {"Angular/Square/Plain", "Angular/Square/Crossed"}


@pytest.mark.parametrize("place", ["local", "s3"])
def test_a_champion_is_loaded_by_its_address(made, paths, place, request, tmp_path):
    root = str(tmp_path / "registry") if place == "local" else f"{request.getfixturevalue('bucket')}/registry"
    champion = Registry(root).promote("taxonomy", made / "model", {"macro_top1": 0.5}, "First.")
    expected = vitrine.load(made / "model").predict(paths)
    for model in (vitrine.load(f"{root}/champion/taxonomy"), vitrine.load("champion:taxonomy", registry=root)):
        assert model.version == champion.version
        pd.testing.assert_frame_equal(model.predict(paths), expected)
    with pytest.raises(vitrine.InputError, match="no model is in use for 'matching'"):
        vitrine.load(f"{root}/champion/matching")
    with pytest.raises(vitrine.InputError, match="did you mean taxonomy"):
        vitrine.load(f"{root}/champion/taxonmy")


def test_a_model_folder_on_s3(made, paths, bucket):
    files.copy_folder(made / "model", f"{bucket}/model")
    assert vitrine.load(f"{bucket}/model").version == vitrine.load(made / "model").version
    with pytest.raises(vitrine.InputError, match="nothing there"):
        vitrine.load(f"{bucket}/other")


def test_a_folder_below_one_that_is_called_champion_is_a_folder(made, tmp_path):
    shutil.copytree(made / "model", tmp_path / "champion" / "taxonomy")
    assert vitrine.load(tmp_path / "champion" / "taxonomy").task == "taxonomy"


def test_listings_get_verdicts(tmp_path):
    catalog = learnable_catalog(tmp_path / "listings", 24)
    train("authenticity", "ssa", catalog, tmp_path / "model", QUICK)
    folder = tmp_path / "one"
    folder.mkdir()
    for row in catalog.table.head(3).itertuples():
        shutil.copy(catalog.uri(row.image), folder)
    model = vitrine.load(tmp_path / "model")
    (expected,) = predict(tmp_path / "model", [str(folder)])
    found = model.predict(folder)
    assert found["verdict"].tolist() == [expected["verdict"]]
    assert found["probability"].tolist() == [expected["probability"]]
    assert found["deciding_photo"].tolist() == [expected["deciding_photos"][0]["image"]]
    pictures = [Image.open(path) for path in sorted(folder.iterdir())]
    (record,) = model.records([pictures])
    assert record["listing"] == "listing 0"
    assert sum(record["weights"]) == pytest.approx(1, abs=1e-3)
    with pytest.raises(vitrine.InputError, match="judges listings"):
        model.embed(pictures)
    with pytest.raises(vitrine.InputError, match="17 photos"):
        model.predict([pictures[:1] * 17])
    with pytest.raises(vitrine.InputError, match="without photos"):
        model.predict([[]])


@pytest.mark.parametrize(
    ("photo", "what"),
    [
        ("nothing.jpg", "nothing.jpg: no such photo"),
        (np.zeros((4, 4), np.uint8), r"an array of uint8 \(4, 4\)"),
        (np.zeros((4, 4, 3)), "an array of float64"),
        (np.zeros((0, 4, 3), np.uint8), "an array of uint8"),
        (7, "int: a photo is"),
    ],
)
def test_what_is_no_photo_is_refused_in_words(made, photo, what):
    with pytest.raises(vitrine.InputError, match=what):
        vitrine.load(made / "model").predict([photo])


def test_what_is_no_model_is_refused_in_words(tmp_path):
    with pytest.raises(vitrine.InputError, match="not a model folder"):
        vitrine.load(tmp_path)
    with pytest.raises(vitrine.InputError, match="name the registry too"):
        vitrine.load("champion:taxonomy")


def test_importing_loads_nothing_heavy():
    code = (
        "import json, sys, time; started = time.perf_counter(); import vitrine; took = time.perf_counter() - started;"
        "heavy = [name for name in ('torch', 'pandas', 'numpy', 'PIL') if name in sys.modules];"
        "print(json.dumps([took, heavy, sorted(set(vitrine.__all__) - set(dir(vitrine)))]))"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    told = [json.loads(run.stdout) for run in runs]
    assert min(took for took, _, _ in told) < 0.15
    assert all(not heavy and not missing for _, heavy, missing in told)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vitrine.nothing  # noqa: B018


def test_doctests():
    done = doctest.testmod(api, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert done.attempted > 4
    assert not done.failed
