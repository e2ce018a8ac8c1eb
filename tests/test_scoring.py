"""`vitrine predict SOURCE --model MODEL --out TABLE`: a row for each photo, whatever becomes of the run."""

import io
import json
import os
import shutil

import pandas as pd
import pytest
from toys import toy_catalog

from vitrine import files, scoring
from vitrine.catalog.table import write_catalog
from vitrine.cli import main
from vitrine.errors import InputError
from vitrine.predict import predict
from vitrine.registry.store import Registry
from vitrine.scoring import photos_of, score, score_photos
from vitrine.steps.scoring import score as score_tables
from vitrine.steps.scoring import score_shard
from vitrine.train import train


@pytest.fixture(scope="module")
def made(tmp_path_factory, slow_to_make):
    folder = tmp_path_factory.mktemp("scoring")
    catalog = toy_catalog(folder / "toys", photos=72)
    write_catalog(catalog, folder / "toys")
    settings = ("epochs=1", "image_size=32", "workers=1", "weights=none", "hidden=16")
    train("taxonomy", "bcnn", catalog, folder / "model", settings)
    return folder


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(scoring, "AT_ONCE", 20)


def test_every_photo_has_its_row_in_order(made, tmp_path, few):
    done = score(str(made / "toys"), str(made / "model"), str(tmp_path / "out.parquet"))
    assert (done.photos, done.unreadable, done.resumed) == (72, 0, 0)
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert table["image"].tolist() == [f"images/{i:03}.png" for i in range(72)]
    expected = predict(made / "model", [str(made / "toys" / image) for image in table["image"]])
    assert table["level1"].tolist() == [line["level1"][0]["label"] for line in expected]
    assert table["level3/confidence"].tolist() == pytest.approx(
        [line["level3"][0]["confidence"] for line in expected], abs=2e-4
    )
    assert table["error"].isna().all()
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_formats_say_the_same(made, tmp_path):
    for kind in ("parquet", "csv", "jsonl"):
        score(str(made / "toys"), str(made / "model"), str(tmp_path / f"out.{kind}"))
    table = pd.read_parquet(tmp_path / "out.parquet")
    other = pd.read_csv(tmp_path / "out.csv")
    assert other["level2"].tolist() == table["level2"].tolist()
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["level2"][0]["label"] for line in lines] == table["level2"].tolist()
    score(str(made / "toys"), str(made / "model"), str(tmp_path / "more.jsonl"), top=2)
    assert len(json.loads((tmp_path / "more.jsonl").read_text().splitlines()[0])["level1"]) == 2


def test_bad_photos_are_rows_with_their_reason(made, tmp_path, few, monkeypatch, capsys):
    folder = tmp_path / "photos"
    shutil.copytree(made / "toys" / "images", folder / "deep")
    (folder / "deep" / "005.png").write_bytes(b"no photo")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "notes.txt").write_text("no photo")
    arguments = ["predict", str(folder), "--model", "champion:taxonomy", "--registry", str(tmp_path / "registry")]
    Registry(tmp_path / "registry").promote("taxonomy", made / "model", {"macro_top1": 0.1}, "First.")
    monkeypatch.setattr("sys.argv", ["vitrine", *arguments, "--out", str(tmp_path / "out.csv")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "73 photos; 2 cannot be read" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "out.csv").set_index("image")
    assert "is not a photo" in table.loc["deep/005.png", "error"]
    assert "no such photo" in table.loc["gone.png", "error"]
    assert table["error"].notna().sum() == table["level1"].isna().sum() == 2
    assert table.loc["deep/006.png", "level1"]


def test_a_run_that_was_stopped_goes_on(made, tmp_path, few, monkeypatch):
    whole, asked = [], []
    real = scoring._lines

    def stopping(model, photos, top):
        asked.append(len(photos))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(model, photos, top)

    monkeypatch.setattr(scoring, "_lines", stopping)
    out = str(tmp_path / "out.parquet")
    with pytest.raises(KeyboardInterrupt):
        score(str(made / "toys"), str(made / "model"), out)
    assert not files.exists(out)
    with pytest.raises(InputError, match="the beginning of another run"):
        score(str(made / "toys" / "images"), str(made / "model"), out)
    done = score(str(made / "toys"), str(made / "model"), out, progress=lambda *told: whole.append(told))
    assert (done.photos, done.resumed) == (72, 40)
    assert asked == [20, 20, 20, 20, 12]
    assert whole == [(60, 72), (72, 72)]
    score(str(made / "toys"), str(made / "model"), str(tmp_path / "at once.parquet"))
    pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(tmp_path / "at once.parquet"))


def test_a_run_on_s3_goes_on_from_another_machine(made, bucket, few, monkeypatch, tmp_path):
    files.copy_folder(made / "toys", f"{bucket}/toys")
    out, real = f"{bucket}/scores/out.csv", scoring._lines

    def stopping(model, photos, top):
        if photos[0][0] == "images/040.png":
            raise KeyboardInterrupt
        return real(model, photos, top)

    monkeypatch.setattr(scoring, "_lines", stopping)
    with pytest.raises(KeyboardInterrupt):
        score(f"{bucket}/toys", str(made / "model"), out)
    assert not files.exists(out)
    monkeypatch.setattr(scoring, "_lines", real)
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "another machine"))
    assert score(f"{bucket}/toys", str(made / "model"), out).resumed == 40
    assert files.list_folder(f"{bucket}/scores") == ["out.csv"]
    assert len(pd.read_csv(io.BytesIO(files.read_bytes(out)))) == 72


def test_photos_of_a_state_go_on_though_they_lie_elsewhere(made, tmp_path, few, monkeypatch):
    out, real = str(tmp_path / "out.csv"), scoring._lines
    shutil.copytree(made / "toys", tmp_path / "copy")
    names = sorted(path.name for path in (made / "toys" / "images").iterdir())

    def photos(root):
        return [(name, str(root / "images" / name)) for name in names] + [("../outside.png", "")]

    monkeypatch.setattr(scoring, "_lines", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        scoring.score_photos(photos(made / "toys"), "toys", str(made / "model"), out, state="s1")
    monkeypatch.setattr(scoring, "_lines", real)
    with pytest.raises(InputError, match="the beginning of another run"):
        scoring.score_photos(photos(tmp_path / "copy"), "toys", str(made / "model"), out, state="s2")
    done = scoring.score_photos(photos(tmp_path / "copy"), "toys", str(made / "model"), out, state="s1")
    assert (done.photos, done.unreadable) == (73, 1)
    assert "path" in pd.read_csv(out)["error"].iloc[-1]


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_shards_make_the_table_of_one_process(made, tmp_path, few, monkeypatch, kind):
    photos = list(photos_of(str(made / "toys")))[:71]
    (tmp_path / "broken.png").write_bytes(b"no photo")
    photos.append(("broken.png", str(tmp_path / "broken.png")))  # a part whose rows have a column more than the others
    monkeypatch.setattr(scoring, "ROWS", 30)
    alone, shared = (str(tmp_path / f"{name}.{kind}") for name in ("alone", "shared"))
    scoring.score_photos(photos, "toys", str(made / "model"), alone)
    for shard in ((2, 3), (1, 3), (3, 3)):  # of four parts
        done = scoring.score_photos(photos, "toys", str(made / "model"), shared, shard=shard)
        assert (done.photos, done.resumed) == ({1: 20, 2: 20, 3: 32}[shard[0]], 0)
    assert scoring.score_photos(photos, "toys", str(made / "model"), shared, shard=(2, 3)).resumed == 20
    assert not files.exists(shared)
    (tmp_path / f"shared.{kind}.part" / "000001.jsonl").unlink()  # as if its worker had never come back
    done = scoring.score_photos(photos, "toys", str(made / "model"), shared)
    assert (done.photos, done.resumed, done.unreadable) == (72, 52, 1)
    assert files.read_bytes(shared) == files.read_bytes(alone)


def test_names_that_are_no_utf8_have_their_rows(made, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(made / "toys" / "images" / "000.png", os.fsencode(folder) + b"/caf\xe9.png")
    for kind in ("parquet", "csv", "jsonl"):
        out = str(tmp_path / f"out.{kind}")
        assert score(str(folder), str(made / "model"), out).unreadable == 0
    assert pd.read_csv(tmp_path / "out.csv")["image"].tolist() == [r"caf\xe9.png"]


def test_lists_and_standard_input(made, tmp_path, monkeypatch):
    paths = [str(made / "toys" / "images" / f"00{i}.png") for i in (3, 1)]
    (tmp_path / "list.txt").write_text("\n".join(paths) + "\n\n")
    assert list(photos_of(str(tmp_path / "list.txt"))) == [(path, path) for path in paths]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(paths)))
    assert [name for name, _ in photos_of("-")] == paths


def test_listed_names_that_are_not_utf_8_are_answered_as_those_of_a_folder(made, tmp_path, monkeypatch):
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
    shutil.copy(made / "toys" / "images" / "003.png", name)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{name}\n"))
    score_photos(list(photos_of("-")), "-", str(made / "model"), str(tmp_path / "out.csv"))
    assert pd.read_csv(tmp_path / "out.csv")["image"].tolist() == [f"{tmp_path}/caf\\xe9.png"]


def test_a_table_on_s3(made, bucket, few):
    files.copy_folder(made / "toys", f"{bucket}/toys")
    files.copy_folder(made / "model", f"{bucket}/model")
    score(f"{bucket}/toys", f"{bucket}/model", f"{bucket}/scores/out.parquet")
    table = pd.read_parquet(io.BytesIO(files.read_bytes(f"{bucket}/scores/out.parquet")))
    assert len(table) == 72
    assert len(list(photos_of(f"{bucket}/toys/images"))) == 72
    with pytest.raises(InputError, match="exists already"):
        score(f"{bucket}/toys", f"{bucket}/model", f"{bucket}/scores/out.parquet")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("toys", "model", "out.txt"), "a table is written as"),
        (("toys", "model", "model/card.md"), "a table is written as"),
        (("toys", "model", "out.csv", "", 3), "the best label only"),
        (("nothing", "model", "out.csv"), "not a catalog, a folder, or a list"),
        (("empty", "model", "out.csv"), "no photos to ask"),
        (("toys", "toys", "out.csv"), "not a model folder"),
    ],
)
def test_what_cannot_be_asked_is_said(made, tmp_path, arguments, what):
    (made / "empty").mkdir(exist_ok=True)
    source, model, out, *more = arguments
    with pytest.raises(InputError, match=what):
        score(str(made / source), str(made / model), str(tmp_path / out), *more)
    assert not (tmp_path / out).exists()


def test_at_least_one_label_is_named(tmp_path):
    for top in (0, -1):
        with pytest.raises(InputError, match=f"top={top}: at least 1"):
            score_photos([("a.png", "a.png")], "toys", "model", str(tmp_path / "out.jsonl"), top=top)
        with pytest.raises(InputError, match=f"top={top}: at least 1"):
            predict(tmp_path / "model", ["a.png"], top=top)
    assert list(tmp_path.iterdir()) == []


def test_a_table_for_people_holds_no_formula():
    rows = [
        {"image": "=1+1.jpg", "level1": [{"label": "@SUM(A1)", "confidence": 0.5}]},
        {"image": "-a.jpg", "error": "+"},
    ]
    file = io.BytesIO()
    scoring._write_csv(iter([scoring._rows([json.dumps(row).encode() for row in rows])]), file)
    file.seek(0)
    shown = pd.read_csv(file)
    assert shown["image"].tolist() == ["'=1+1.jpg", "'-a.jpg"]
    assert (shown["level1"][0], shown["error"][1]) == ("'@SUM(A1)", "'+")
    assert shown["level1/confidence"][0] == 0.5


def test_the_step_writes_a_table_for_each_task_in_use(made, tmp_path, few):
    registry, run, out = (str(tmp_path / name) for name in ("registry", "run", "scores"))
    asked = (["attributes", "taxonomy"], str(made / "toys"), "s1", out, registry, run)
    with pytest.raises(InputError, match="no model is in use for attributes or taxonomy"):
        score_tables(*asked)
    version = Registry(registry).promote("taxonomy", made / "model", {"macro_top1": 0.1}, "First.").version
    assert score_tables(*asked) == {"photos": 72.0, "answers lacking": 0.0}
    assert sorted(path.name for path in (tmp_path / "scores").glob("[!.]*")) == ["taxonomy.json", "taxonomy.parquet"]
    about = json.loads((tmp_path / "scores" / "taxonomy.json").read_text())
    assert (about["task"], about["model"], about["photos"]) == ("taxonomy", version, 72)
    first = (tmp_path / "scores" / "taxonomy.parquet").read_bytes()
    said = json.loads((tmp_path / "run" / "score.json").read_text())
    assert said["decided"][0] == "attributes: no model is in use, so there is no table."
    assert f"72 photos by version {version}; 0 cannot be read." in said["decided"][1]
    Registry(registry).promote("taxonomy", made / "model", {"macro_top1": 0.2}, "Second.")  # begun is begun
    (tmp_path / "scores" / "taxonomy.parquet").unlink()  # as if the step had been stopped before its last word
    score_tables(*asked)
    score_tables(*asked)
    assert "is there already" in json.loads((tmp_path / "run" / "score.json").read_text())["decided"][1]
    assert (tmp_path / "scores" / "taxonomy.parquet").read_bytes() == first


def test_shards_of_the_step_ask_the_version_that_the_first_found(made, tmp_path, few):
    registry, run, out = (str(tmp_path / name) for name in ("registry", "run", "scores"))
    asked = (["attributes", "taxonomy"], str(made / "toys"), "s1", out, registry)
    with pytest.raises(InputError, match="no model is in use for attributes or taxonomy"):
        score_shard(*asked, "1/2")
    version = Registry(registry).promote("taxonomy", made / "model", {"macro_top1": 0.1}, "First.").version
    assert score_shard(*asked, "1/2") == 40
    later = Registry(registry).promote("taxonomy", made / "model", {"macro_top1": 0.2}, "Second.").version
    assert version != later
    assert score_shard(*asked, "2/2") == 32
    score_tables(*asked, run)
    assert json.loads((tmp_path / "scores" / "taxonomy.json").read_text())["model"] == version
    assert (
        f"72 photos, 72 of them before this step by version {version}" in (tmp_path / "run" / "score.json").read_text()
    )
