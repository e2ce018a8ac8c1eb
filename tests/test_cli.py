"""Every command on a small rendered catalog: exit codes, one line for bad input, nothing half-written."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import torch
from PIL import Image

from pipelines import PIPELINES
from vitrine import __version__, cli
from vitrine.catalog import read_catalog

SMALL = [
    f"--set={pair}"
    for pair in ("epochs=1", "batch_size=16", "image_size=32", "precision=32", "workers=1", "weights=none")
]
COLOUR = ["--set=type=colour"]
HEAVY = ("torch", "pandas", "kfp", "numpy", "PIL", "sklearn", "evidently", "great_expectations", "boto3")


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: object
    out: str
    err: str


@pytest.fixture
def vitrine(capsys, monkeypatch):
    """Runs a command in this process."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["vitrine", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Result(ended.value.code, *capsys.readouterr())

    return run


def start(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own."""
    command = [sys.executable, "-m", "vitrine.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A rendered catalog, split, and a model of each task that saw it once."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRINE_CACHE", str(folder / "cache"))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        for arguments in (
            ["synth", folder / "data", "--listings", "24"],
            ["split", folder / "data", folder / "parted"],
            ["train", "taxonomy", folder / "parted", folder / "taxonomy", *SMALL],
            ["train", "attributes", folder / "parted", folder / "teacher", "--variant=teacher", *SMALL, *COLOUR],
        ):
            patch.setattr(sys, "argv", ["vitrine", *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert ended.value.code == 0, arguments
        yield folder
        torch.set_num_threads(threads)


@pytest.fixture
def broken(home, tmp_path):
    """Copies the split catalog, its table changed; a test may break the photos."""

    def build(change=lambda table: table) -> Path:
        folder = tmp_path / "broken"
        shutil.copytree(home / "data" / "images", folder / "images")
        table = change(read_catalog(home / "parted").table.astype(object))
        table.to_csv(folder / "catalog.csv", index=False)
        return folder

    return build


def says(result: Result, *parts: str) -> None:
    """The command refused its input in one line that holds all `parts`."""
    assert result.code == 2, result
    lines = result.err.strip().splitlines()
    assert len(lines) == 1, result.err
    for part in parts:
        assert part in lines[0]


def in_(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What a person sees first.


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = [path]
    for name, command in group.commands.items():
        found += commands(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


def test_every_help_text_comes_without_a_heavy_import():
    known = commands(cli.cli)
    assert ("pipeline", "run") in known
    assert ("train",) in known
    script = (
        "import sys\n"
        "from vitrine import cli\n"
        f"for path in {known!r}:\n"
        "    sys.argv = ['vitrine', *path, '--help']\n"
        "    try:\n"
        "        cli.main()\n"
        "    except SystemExit as ended:\n"
        "        assert ended.code == 0, path\n"
        f"print('LOADED', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("Usage: vitrine") == len(known)
    assert "LOADED []" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("path", [(), ("pipeline",)])
def test_a_group_without_a_command_shows_its_help(vitrine, path):
    shown = vitrine(*path)
    assert shown.code == 0
    assert "Commands:\n" in shown.out
    assert shown.err == ""


def test_version(vitrine):
    assert vitrine("--version").out == f"vitrine, version {__version__}\n"


def test_list_gives_a_script_bare_names(vitrine):
    assert vitrine("pipeline", "list").out.splitlines() == list(PIPELINES)


# Commands, one after the other.


def test_synth_is_the_same_for_the_same_seed(vitrine, home, tmp_path):
    assert vitrine("synth", tmp_path / "again", "--listings", "24").code == 0
    assert (tmp_path / "again" / "catalog.parquet").read_bytes() == (home / "data" / "catalog.parquet").read_bytes()


def test_ingest_of_folders(vitrine, home, tmp_path):
    for i, photo in enumerate(sorted((home / "data" / "images").iterdir())[:4]):
        (tmp_path / "photos" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, tmp_path / "photos" / "ab"[i % 2])
    done = vitrine("ingest", tmp_path / "photos", tmp_path / "catalog", "--format", "folder")
    assert done.code == 0, done.err
    assert sorted(read_catalog(tmp_path / "catalog").table["category"].unique()) == ["a", "b"]


QUALITY = ["great_expectations.html", "left_out.csv", "report.html", "results.json", "sample.parquet", "summary.json"]


def test_validate_answers_yes_and_no(vitrine, home, broken, tmp_path):
    good = vitrine("validate", home / "data", "--report", tmp_path / "good")
    assert (good.code, in_(tmp_path / "good")) == (0, QUALITY)
    assert good.out.splitlines()[-1].startswith("passed")
    folder = broken(lambda table: table.assign(split="tset"))
    bad = vitrine("validate", folder, "--report", tmp_path / "bad")
    assert (bad.code, in_(tmp_path / "bad")) == (1, QUALITY)
    assert bad.out.splitlines()[-1].startswith("failed")
    assert bad.err == ""


def test_clean_drops_a_truncated_photo_with_its_reason(vitrine, broken, tmp_path):
    folder = broken()
    victim = folder / read_catalog(folder).table["image"][3]
    victim.write_bytes(victim.read_bytes()[:700])
    done = vitrine("clean", folder, tmp_path / "out", "--min-class-count", "1")
    assert done.code == 0, done.err
    dropped = read_catalog(tmp_path / "out" / "dropped.parquet").table
    row = dropped[dropped["image"] == f"images/{victim.name}"].iloc[0]
    assert "cannot be decoded" in row["reason"]
    assert victim.name not in " ".join(read_catalog(tmp_path / "out").table["image"])


def test_split_gives_every_row_a_split_but_for_the_gallery(home):
    table = read_catalog(home / "parted").table
    assert (table["split"].eq("") == table["domain"].eq("shop")).all()
    table = table[table["split"] != ""]
    assert set(table["split"]) == {"train", "validation", "test"}
    assert (table.groupby("listing")["split"].nunique() == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["taxonomy", "teacher"])
def test_a_model_folder_is_evaluated_and_asked(vitrine, home, tmp_path, model):
    assert in_(home / model) == ["card.md", "config.json", "metrics.json", "model.safetensors"]
    assert not [name for name in in_(home) if name.endswith(".training")]  # no checkpoints are left
    done = vitrine("evaluate", home / model, home / "parted", tmp_path / "evaluation")
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    headline = {"taxonomy": "macro_top1", "teacher": "recall@1"}[model]
    assert f"{headline} {metrics[headline]:.4f}" in done.out
    assert metrics["count"] == (read_catalog(home / "parted").table["split"] == "test").sum()
    photos = [home / "data" / name for name in read_catalog(home / "parted").table["image"][:2]]
    asked = vitrine("predict", home / model, *photos, "-k", "2")
    assert asked.code == 0
    lines = [json.loads(line) for line in asked.out.splitlines()]
    assert [line["image"] for line in lines] == [str(photo) for photo in photos]
    answers = [answer for name, answer in lines[0].items() if name != "image"]
    assert answers
    assert all(len(answer) <= 2 and 0 <= answer[0]["confidence"] <= 1 for answer in answers)


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


@pytest.mark.slow
def test_compile_writes_a_package(vitrine, tmp_path):
    done = vitrine("pipeline", "compile", "retrain", tmp_path / "build" / "retrain.yaml")
    assert done.code == 0, done.err
    assert in_(tmp_path / "build") == ["retrain.yaml"]


# Unusable input and arguments.


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["nope"], ["No such command 'nope'"]),
        (["synth"], ["vitrine synth: Missing argument 'OUT'"]),
        (["synth", "x", "--listings", "many"], ["vitrine synth", "'many' is not a valid integer"]),
        (["synth", "x", "--listings", "0"], ["--listings 0"]),
        (["synth", "DATA"], ["exists already"]),
        (["ingest", "DATA", "x", "--format", "foldr"], ["'foldr'", "did you mean 'folder'"]),
        (["ingest", "DATA", "x"], ["Missing option '--format'"]),
        (["ingest", "EMPTY", "x", "--format", "folder"], ["EMPTY"]),
        (["ingest", "DATA", "x", "--format", "table", "--map", "nope.yaml"], ["nope.yaml"]),
        (["validate", "nope", "--report", "x"], ["nope: no such folder"]),
        (["validate", "EMPTY", "--report", "x"], ["holds neither catalog.parquet nor catalog.csv"]),
        (["validate", "DATA", "--report", "DATA"], ["exists already"]),
        (["validate", "DATA", "--report", "x", "--rules", "nope.yaml"], ["nope.yaml"]),
        (["clean", "DATA", "DATA"], ["exists already"]),
        (["split", "DATA", "x", "--ratios", "1,2"], ["ratios 1,2", "three shares"]),
        (["split", "DATA", "x", "--ratios", "1,2,3"], ["ratios 1,2,3", "sum to 6"]),
        (["split", "DATA", "x", "--ratios", "a,b,c"], ["ratios a,b,c"]),
        (["split", "DATA", "x", "--ratios", "nan,0,1"], ["ratios nan,0,1"]),
        (["train", "taxnomy", "PARTED", "x"], ["'taxnomy'", "did you mean taxonomy"]),
        (["train", "taxonomy", "PARTED", "x", "--variant", "ssmtl-c"], ["'ssmtl-c'", "did you mean ssmtl-ca"]),
        (["train", "taxonomy", "PARTED", "x", "--set", "epoch=1"], ["'epoch'", "did you mean epochs"]),
        (["train", "taxonomy", "PARTED", "x", "--set", "train_epochs"], ["key=value"]),
        (["train", "taxonomy", "PARTED", "x", "--set", "epochs=-1"], ["epochs='-1'"]),
        (["train", "taxonomy", "DATA", "x"], ["no row has split 'train'"]),
        (["train", "taxonomy", "PARTED", "DATA"], ["exists already"]),
        (["evaluate", "EMPTY", "PARTED", "x"], ["not a model folder"]),
        (["evaluate", "MODEL", "DATA", "x"], ["no row has split 'test'"]),
        (["evaluate", "MODEL", "PARTED", "x", "--split", "all"], ["'all' is not one of"]),
        (["evaluate", "MODEL", "PARTED", "DATA"], ["exists already"]),
        (["predict", "MODEL"], ["name the photos"]),
        (["predict", "MODEL", "nope.jpg"], ["nope.jpg: no such photo"]),
        (["predict", "EMPTY", "nope.jpg"], ["not a model folder"]),
        (["drift", "EMPTY", "DATA", "x"], ["holds neither"]),
        (["drift", "DATA", "nope", "x"], ["nope: no such folder"]),
        (["pipeline", "run", "retran"], ["'retran'", "did you mean retrain"]),
        (["pipeline", "compile", "retran", "x.yaml"], ["'retran'", "did you mean retrain"]),
        (["pipeline", "compile", "retrain", "x.json"], ["x.json", ".yaml"]),
        (["pipeline", "run", "retrain"], ["--set data_catalog="]),
        (["pipeline", "run", "retrain", "--set", "epoch=1"], ["epoch", "did you mean train_epochs"]),
        (["pipeline", "run", "retrain", "--set", "train_epochs"], ["key=value"]),
        (["pipeline", "run", "retrain", "--set", "train_epochs=many"], ["train_epochs=many", "integer"]),
        (["pipeline", "run", "retrain", "--set", "strict=maybe"], ["strict=maybe", "boolean"]),
        (["pipeline", "run", "retrain", "--set", "data_catalog=nope"], ["nope: no such folder"]),
        (["pipeline", "run", "retrain", "--set", "data_catalog=nope.dvc"], ["nope.dvc"]),
        (
            ["pipeline", "run", "retrain", "--set", "data_catalog=DATA", "--set", "unlabelled=nope"],
            ["nope: no such folder"],
        ),
        (["pipeline", "run", "retrain", "--runner", "cloud"], ["'cloud' is not one of"]),
        (["pipeline", "run", "retrain", "--set", "data_catalog=DATA", "--runs", "FILE"], ["Not a directory"]),
        (["pipeline", "compile", "retrain", "FILE/x.yaml"], ["FILE"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].islower() else None,
)
def test_unusable_arguments(vitrine, home, tmp_path, monkeypatch, arguments, parts):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE").write_text("")
    places = {"DATA": home / "data", "PARTED": home / "parted", "MODEL": home / "taxonomy"}
    before = {place: in_(path) for place, path in places.items()}
    given = [re.sub("|".join(places), lambda found: str(places[found[0]]), text) for text in arguments]
    says(vitrine(*given), *parts)
    assert in_(tmp_path) == ["EMPTY", "FILE"]
    assert in_(tmp_path / "EMPTY") == []
    assert {place: in_(path) for place, path in places.items()} == before


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda table: table.drop(columns="image"), ["no column 'image'"]),
        (lambda table: table[:0], ["has no rows"]),
        (lambda table: table.assign(image="../x.jpg"), ["row 1", "'../x.jpg'"]),
        (lambda table: table.assign(image="/etc/passwd"), ["row 1", "'/etc/passwd'"]),
        (lambda table: table.assign(split="tset"), ["row 1", "split 'tset' is not one of train"]),
    ],
)
@pytest.mark.parametrize(
    "command",
    [["split", "CATALOG", "OUT"], ["train", "taxonomy", "CATALOG", "OUT"], ["evaluate", "MODEL", "CATALOG", "OUT"]],
)
def test_unusable_tables(vitrine, home, broken, tmp_path, change, parts, command):
    places = {"CATALOG": broken(change), "MODEL": home / "taxonomy", "OUT": tmp_path / "out"}
    says(vitrine(*(places.get(word, word) for word in command)), *parts)
    assert in_(tmp_path) == ["broken"]


@pytest.mark.parametrize("data", [b"", b"PAR1 nonsense PAR1", b"\x00" * 100])
def test_a_table_that_is_none(vitrine, tmp_path, data):
    (tmp_path / "catalog.parquet").write_bytes(data)
    says(vitrine("validate", tmp_path, "--report", tmp_path / "out"), "catalog.parquet: cannot be read")
    assert in_(tmp_path) == ["catalog.parquet"]


def test_training_names_the_truncated_photo(vitrine, broken, tmp_path):
    folder = broken()
    victim = folder / read_catalog(folder).table.query("split == 'train'")["image"].iloc[0]
    victim.write_bytes(victim.read_bytes()[:700])
    says(vitrine("train", "taxonomy", folder, tmp_path / "model", *SMALL), victim.name, "cannot be decoded")
    assert in_(tmp_path) == ["broken"]


def test_a_label_column_with_one_value(vitrine, broken, tmp_path):
    folder = broken(lambda table: table.assign(**{"attr:colour": "red", "category": "Apparel"}))
    arguments = ["--variant", "teacher", "--set", "type=colour", *SMALL]
    says(vitrine("train", "attributes", folder, tmp_path / "a", *arguments), "attr:colour has one value ('red')")
    says(vitrine("train", "taxonomy", folder, tmp_path / "b", *SMALL), "category has one value ('Apparel')")
    assert in_(tmp_path) == ["broken"]


@pytest.mark.parametrize(
    ("name", "data", "part"),
    [
        ("model.safetensors", b"\x10", "model.safetensors: damaged"),
        ("config.json", b"{", "config.json: cannot be read"),
        ("config.json", b"{}", "config.json: lacks 'task'"),
    ],
)
def test_a_damaged_model_folder(vitrine, home, tmp_path, name, data, part):
    model = shutil.copytree(home / "taxonomy", tmp_path / "model")
    (model / name).write_bytes(data)
    photo = home / "data" / read_catalog(home / "data").table["image"][0]
    says(vitrine("predict", model, photo), part)
    says(vitrine("evaluate", model, home / "parted", tmp_path / "out"), part)
    assert in_(tmp_path) == ["model"]


# Streams, as another program sees them.


@pytest.mark.slow
def test_one_line_on_stderr_and_nothing_on_stdout(tmp_path):
    done = start("validate", tmp_path / "nope", "--report", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{tmp_path}/nope: no such folder\n"
    assert in_(tmp_path) == []


@pytest.mark.slow
def test_predictions_alone_go_to_stdout(home):
    photo = home / "data" / read_catalog(home / "data").table["image"][0]
    done = start("predict", home / "taxonomy", photo)
    assert done.returncode == 0
    assert [json.loads(line)["image"] for line in done.stdout.splitlines()] == [str(photo)]
    assert done.stderr == ""


@pytest.mark.slow
def test_one_unreadable_photo_does_not_cost_the_others_their_answers(home, tmp_path):
    photos = [home / "data" / image for image in read_catalog(home / "data").table["image"][:2]]
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    done = start("predict", home / "taxonomy", photos[0], tmp_path / "bad.jpg", photos[1])
    assert done.returncode == 2
    assert [json.loads(line)["image"] for line in done.stdout.splitlines()] == [str(photo) for photo in photos]
    assert done.stderr == f"{tmp_path}/bad.jpg: is not a photo\n"


def test_a_reader_that_went_away_is_no_answer():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "vitrine.cli", "pipeline", "list"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert done.returncode == 141  # what a shell says of SIGPIPE; 1 would be "no", 0 "yes"
    assert done.stderr == b""


def test_an_interrupt_is_no_answer(vitrine, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vitrine.synth.render_catalog", interrupted)
    assert vitrine("synth", "x").code == 130


def test_a_full_disk_is_one_line(vitrine, monkeypatch):
    def full(out: Path, **_: object) -> None:
        raise OSError(28, "No space left on device", str(out))

    monkeypatch.setattr("vitrine.synth.render_catalog", full)
    says(vitrine("synth", "x"), "x: No space left on device")


@pytest.fixture(autouse=True)
def _settled(request, monkeypatch):
    """Decoded photos are kept out of the home folder, and the log levels that `main` sets do not stay."""
    if "home" in request.fixturenames:
        monkeypatch.setenv("VITRINE_CACHE", str(request.getfixturevalue("home") / "cache"))
    before = {name: logging.getLogger(name).level for name in ("botocore", "matplotlib", "evidently", "fontTools")}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def test_what_fails_unexpectedly_is_not_the_answer_no(monkeypatch, capsys):
    def fails(**_):
        raise RuntimeError("Too many bins for data range.")

    monkeypatch.setattr(cli.cli, "main", fails)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
    assert "Too many bins" in capsys.readouterr().err
