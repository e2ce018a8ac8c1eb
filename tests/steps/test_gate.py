"""A model's evaluation, kept once; and what may be promoted."""

import json

import pytest

from vitrine import files
from vitrine.errors import InputError
from vitrine.registry import MODEL_FILES, Registry, store
from vitrine.steps import reuse
from vitrine.steps.gate import DRAWN, evaluate, promote

from .small import COLOURS, SHELVES, table


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def measured(monkeypatch):
    """The names of the folders that evaluations were written to."""
    seen = []

    def evaluate(model, catalog, out):
        seen.append(out.name)
        with files.new_folder(out) as folder:
            files.write_json(folder / "metrics.json", {"top1": float(len(seen))})
            for name in ("report.html", "samples.npz"):
                (folder / name).write_text(f"{name} of {len(seen)}")
        return {"top1": float(len(seen))}

    monkeypatch.setattr("vitrine.evaluate.evaluate", evaluate)
    return seen


@pytest.mark.parametrize("place", ["folder", "s3"])
def test_the_same_model_is_measured_on_the_same_rows_once(tmp_path, model, measured, place, request):
    kept = str(tmp_path / "kept") if place == "folder" else f"{request.getfixturevalue('bucket')}/kept"
    rows = table(tmp_path, **COLOURS)
    assert evaluate(model, rows, tmp_path / "one", kept) == {"top1": 1.0}
    assert evaluate(model, rows, tmp_path / "two", kept) == {"top1": 1.0}
    assert measured == ["one"]
    files_of = {name: {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two")}
    assert files_of["one"] == files_of["two"]
    assert len(files_of["one"]) == 3


def test_the_training_of_a_kept_model_is_drawn_once(tmp_path, model, measured, monkeypatch):
    curves = {"taxonomy": {"loss": [2.0, 1.0], "score": [0.4, 0.5], "scored": "leaf top1"}}
    (model / "config.json").write_text(json.dumps({"curves": curves}))
    asked = []
    monkeypatch.setattr("vitrine.steps.gate.draw_curves", lambda given: asked.append(given) or "data:drawn")
    rows, kept = table(tmp_path, **COLOURS), str(tmp_path / "kept")
    for name in ("one", "two"):
        evaluate(model, rows, tmp_path / name, kept)
        assert (tmp_path / name / DRAWN).read_text() == "data:drawn"
    assert asked == [curves]


def other_weights(model, tmp_path, monkeypatch):
    (model / "model.safetensors").write_bytes(b"others.")


def other_settings(model, tmp_path, monkeypatch):
    (model / "config.json").write_text("{ }")


def other_rows(model, tmp_path, monkeypatch):
    table(tmp_path, **SHELVES)


def other_code(model, tmp_path, monkeypatch):
    monkeypatch.setattr(reuse, "__version__", "99")


def half_kept(model, tmp_path, monkeypatch):
    next((tmp_path / "kept").glob("*/samples.npz")).unlink()


@pytest.mark.parametrize("change", [other_weights, other_settings, other_rows, other_code, half_kept])
def test_a_model_is_measured_again_where_anything_changed(tmp_path, monkeypatch, model, measured, change):
    rows, kept = table(tmp_path, **COLOURS), str(tmp_path / "kept")
    evaluate(model, rows, tmp_path / "one", kept)
    change(model, tmp_path, monkeypatch)
    assert evaluate(model, rows, tmp_path / "two", kept) == {"top1": 2.0}
    assert measured == ["one", "two"]


def test_a_model_is_measured_where_nothing_is_kept(tmp_path, model, measured):
    rows = table(tmp_path, **COLOURS)
    for name in ("one", "two"):
        evaluate(model, rows, tmp_path / name)
    assert measured == ["one", "two"]


def test_a_model_that_another_overtook_replaces_nothing_it_was_not_compared_with(tmp_path, monkeypatch):
    """Both gates saw no champion; the better one is promoted while the other one's weights are being read."""
    for name in ("late", "early"):
        (tmp_path / name).mkdir()
        for file in MODEL_FILES:
            (tmp_path / name / file).write_text(json.dumps({"data_version": name}))
    for name, content in (("evaluation/metrics.json", {"top1": 0.5}), ("reference/reference.json", {})):
        (tmp_path / name).parent.mkdir()
        files.write_json(tmp_path / name, content)
    (tmp_path / "decision").mkdir()
    decided = {"champion_version": None, "champion": None, "reason": "Promoted: the first model."}
    files.write_json(tmp_path / "decision/decision.json", decided)
    registry, real = Registry(tmp_path / "registry"), store.content_hash

    def overtaken(model):
        monkeypatch.setattr(store, "content_hash", real)
        registry.promote("taxonomy", tmp_path / "early", {"top1": 0.9}, "Promoted: the first model.")
        return real(model)

    monkeypatch.setattr(store, "content_hash", overtaken)
    folders = (tmp_path / name for name in ("late", "evaluation", "decision", "reference"))
    with pytest.raises(InputError, match="but the gate compared with none; run again"):
        promote("taxonomy", *folders, str(tmp_path / "registry"), str(tmp_path / "run"))
    assert registry.champion("taxonomy").data_version == "early"
