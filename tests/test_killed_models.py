"""Whatever a command writes about models: after a kill at any of its renames it is whole or as before, and the same
command again does it."""

import contextlib
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from kept import model_folder
from killing import kills
from toys import toy_catalog

from pipelines.packages import compile_pipeline, content_hash
from vitrine import export, tasks
from vitrine.catalog import write_catalog
from vitrine.errors import InputError
from vitrine.evaluate import evaluate
from vitrine.evaluation import embedding_map
from vitrine.monitoring import pages
from vitrine.monitoring.drift import build_reference, compare
from vitrine.predict import Model
from vitrine.quality import validate
from vitrine.registry import Registry
from vitrine.report import Page
from vitrine.retrieval.index import Index
from vitrine.scoring import score
from vitrine.synth import render_catalog
from vitrine.visual_search import add_to_index, make_index

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    catalog = toy_catalog(root / "toys", photos=72)
    write_catalog(catalog, root / "toys")
    for task in ("taxonomy-ssmtl-ca", "attributes-teacher", "representation-base-indi-eff"):
        model_folder(task, root / task.partition("-")[0])
    build_reference(catalog, root / "reference", None)
    return root, catalog


def evaluation(made, out):
    evaluate(made[0] / "taxonomy", made[1], out, "test")


def reference(made, out):
    root, catalog = made
    build_reference(catalog, out, Model.load(root / "taxonomy").predict(catalog), model=str(root / "taxonomy"))


def drift(made, out):
    compare(made[0] / "reference", made[1], out, None)


def label(made, out):
    root, catalog = made
    images = [catalog.uri(image) for image in catalog.table["image"][:3]]
    tasks.of_model(root / "attributes").add_label(root / "attributes", out, "colour", "pink", images)


NEW = {
    "add-label": label,
    "compile": lambda made, out: compile_pipeline("monitor", out.with_suffix(".yaml")),
    "drift": drift,
    "evaluate": evaluation,
    "export": lambda made, out: export.export_onnx(made[0] / "taxonomy", out),
    "index": lambda made, out: make_index(made[0] / "representation", made[1], out),
    "predict": lambda made, out: score(str(made[0] / "toys"), str(made[0] / "taxonomy"), str(out.with_suffix(".csv"))),
    "reference": reference,
    "synth": lambda made, out: render_catalog(out, listings=2),
    "validate": lambda made, out: validate.validate_catalog(made[1].with_table(made[1].table[:24]), out, workers=1),
}


def content(out):
    """What stands at a place with any ending, as far as it is the same for every run; None where nothing does."""
    for path in out.parent.glob(f"{out.name}*"):
        if path.name.endswith(".part"):
            continue
        if path.suffix == ".yaml":
            return content_hash(path)
        if path.is_file():
            return path.read_bytes()
        if (path / "index.json").exists():
            return held(path)
        found = {
            str(file.relative_to(path)): file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file() and file.suffix != ".html"
        }
        if "metrics.json" in found:
            found["metrics.json"] = {**json.loads(found["metrics.json"]), "seconds_per_1000_images": 0}
        return found
    return None


def held(folder):
    """The photos of an index, and their embeddings."""
    index = Index(folder)
    rows = pd.concat([segment.rows[alive] for segment, alive in zip(index.segments, index._alive, strict=True)])
    return sorted(rows["uri"]), len(index)


def once(function):
    """The same answer whoever asks, also in child processes made later."""
    answers = []

    def asked(*arguments):
        answers[:] = answers or [function(*arguments)]
        return answers[0]

    return asked


@pytest.fixture
def quick(monkeypatch):
    """What takes seconds and has no say in what is written when is done once: graphs, rules' findings; pages are bare."""
    monkeypatch.setattr(pages, "evidently_page", lambda drift, before, now, path: path.write_text("page"))
    monkeypatch.setattr(validate, "great_expectations_page", lambda *_: "page")
    monkeypatch.setattr(Page, "figure", lambda *_: None)
    monkeypatch.setattr(embedding_map, "laid_out", lambda points, seed: points[:, :2])
    for module, name in ((export, "exported"), (validate, "evaluate")):
        monkeypatch.setattr(module, name, once(getattr(module, name)))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", NEW)
def test_something_new_is_whole_or_not_there(made, tmp_path, monkeypatch, name):
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    command = NEW[name]
    command(made, tmp_path / "whole")
    whole = content(tmp_path / "whole")
    for number in kills(lambda number: lambda: command(made, tmp_path / f"out{number}")):
        out = tmp_path / f"out{number}"
        assert content(out) in (None, whole)
        with contextlib.suppress(InputError):  # it is there already
            command(made, out)
        assert content(out) == whole


def registry(folder):
    return Registry(folder / "registry")


def candidate(folder, number):
    model = folder / f"model{number}"
    if not model.exists():
        model_folder("taxonomy-ssmtl-ca", model)
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {"data_version": f"v{number}"}))
    return model


def promote(folder, number):
    registry(folder).promote("taxonomy", candidate(folder, number), {"macro_top1": number / 10}, f"Model {number}.")


def promoted(made, folder):
    for number in (1, 2, 3):
        promote(folder, number)
        candidate(folder, number + 1)


def in_use(folder):
    return registry(folder).champion("taxonomy").data_version


def indexed(made, folder):
    half = replace(made[1], table=made[1].table[:30])
    make_index(made[0] / "representation", half, folder / "index")


def later(folder):
    return registry(folder).prune("taxonomy", 1, now=datetime.now(UTC) + timedelta(hours=2))


CHANGES = {  # what there is, what is done to it, and what that changes
    "index --add": (
        indexed,
        lambda made, folder: add_to_index(folder / "index", made[1]),
        lambda at: held(at / "index"),
    ),
    "unindex": (
        indexed,
        lambda made, folder: Index(folder / "index").remove(images=["images/003.png"]),
        lambda folder: held(folder / "index"),
    ),
    "unindex --compact": (
        indexed,
        lambda made, folder: Index(folder / "index").compact(),
        lambda folder: held(folder / "index"),
    ),
    "models promote": (promoted, lambda made, folder: promote(folder, 4), in_use),
    "models refuse": (
        promoted,
        lambda made, folder: registry(folder).refuse("taxonomy", "No.", {"macro_top1": 0.1}),
        lambda folder: registry(folder).history("taxonomy")[-1]["reason"],
    ),
    "models rollback": (
        promoted,
        lambda made, folder: registry(folder).bring_back("taxonomy", registry(folder).versions("taxonomy")[0], "Back."),
        in_use,
    ),
    "models prune": (
        promoted,
        lambda made, folder: later(folder),
        lambda folder: [
            version
            for version in registry(folder).versions("taxonomy")
            if registry(folder).version("taxonomy", version)
        ],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_something_that_is_changed_is_as_before_or_after(made, tmp_path, monkeypatch, name):
    monkeypatch.setenv("VITRINE_CACHE", str(tmp_path / "cache"))
    prepare, change, state = CHANGES[name]
    (tmp_path / "start").mkdir()
    prepare(made, tmp_path / "start")
    before = state(tmp_path / "start")
    shutil.copytree(tmp_path / "start", tmp_path / "whole")
    change(made, tmp_path / "whole")
    after = state(tmp_path / "whole")

    def work(number):
        folder = shutil.copytree(tmp_path / "start", tmp_path / f"{number}")
        return lambda: change(made, folder)

    for number in kills(work):
        folder = tmp_path / f"{number}"
        assert state(folder) in (before, after)
        with contextlib.suppress(InputError):  # it is there already
            change(made, folder)
        assert state(folder) == after
