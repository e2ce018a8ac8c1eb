"""Each component on artifacts, in the order the DAG wires them; what the UI shows is there."""

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fake_model_registry import FakeModelRegistry
from kfp import dsl

from components.clean_and_split import clean_and_split
from components.judge import judge
from components.plan import plan
from components.report_run import report_run
from components.scan import scan
from components.start import start
from components.train import train
from components.validate import validate
from pipelines.form import whole_settings
from vitrine import __version__
from vitrine.catalog import read_catalog, versioned, write_catalog
from vitrine.errors import InputError
from vitrine.registry import MODEL_FILES, Registry
from vitrine.steps import training
from vitrine.synth import render_catalog

COLUMNS = ["image", "listing", "product", "category", "attr:colour", "attr:pattern"]
SMALL = {"batch_size": 16, "image_size": 16, "weights": "none", "min_class_count": 1, "allow_below_baseline": True}
COUNTS = re.compile(r"(.*/)?count|seconds_per_1000_images")
FURTHER = {"corrupted": 0.2, "prior": True, "shards": 2, "student_epochs": 1, "types_per_pod": 1, "gammas": "0,1"}


class Step:
    """Calls components, each with output artifacts in a folder of its own, as a runner does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.count = 0

    def __call__(self, component, **inputs):
        self.count += 1
        folder = self.root / f"{self.count}-{component.name}"
        artifacts = {
            name: spec.type.removeprefix("system.").partition("@")[0]
            for name, spec in (component.component_spec.outputs or {}).items()
            if spec.type.startswith("system.")
        }
        outputs = {
            name: getattr(dsl, kind)(name=name, uri=str(folder / name), metadata={}) for name, kind in artifacts.items()
        }
        folder.mkdir()
        return SimpleNamespace(answer=component.python_func(**inputs, **outputs), **outputs)


def through_struct(value):
    """As Kubeflow hands an object over: every number is a double."""
    return json.loads(json.dumps(value), parse_int=float)


@pytest.fixture(scope="module")
def done(tmp_path_factory, slow_to_make):
    """The front of the DAG, every training and their judgements, on a small rendered catalog."""
    root = tmp_path_factory.mktemp("components")
    render_catalog(root / "data", listings=24)
    rendered = read_catalog(root / "data")
    write_catalog(rendered.with_table(rendered.table[COLUMNS]), root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITRINE_CACHE", str(root / "cache"))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        step, checkpoints = Step(root), str(root / "checkpoints")
        made = SimpleNamespace(root=root, step=step, registry=str(root / "registry"), run=str(root / "run"))
        more = {"unlabelled": str(root / "data"), **FURTHER, **SMALL}
        pages = {"reports": str(root / "reports"), "run_id": "run"}
        known = {"settings": through_struct(more), "variant": "bcnn", "backbone": "auto", "epochs": 1, "gpus": 1}
        made.begun = step(start, pipeline="retrain", catalog=str(root / "data"), **pages, **known).answer
        begun = SimpleNamespace(**{key: through_struct(value) for key, value in made.begun._asdict().items()})
        made.scans = [step(scan, table=begun.table, shard=shard) for shard in begun.shards]
        looks = {"table": begun.table, "photos": [own.photos for own in made.scans]}
        made.checked = step(validate, **looks, reports=pages["reports"])
        made.parted = step(clean_and_split, **looks, cleaning=begun.cleaning)
        table = made.parted.parted
        asked = {"pipeline": "retrain", "settings": begun.settings, **pages}
        made.planned = step(plan, table=table, results=made.checked.results, **asked)
        trains = {"table": table, "checkpoints": checkpoints}
        made.teachers = [
            step(train, task="attributes", variant="teacher", settings=begun.teacher, types=types, **trains)
            for types in made.planned.answer.groups
        ]
        models = [teacher.model for teacher in made.teachers]
        own = {"variant": "student", "settings": begun.student, "teachers": models}
        made.student = step(train, task="attributes", **own, **trains)
        made.taxonomy = step(train, task="taxonomy", variant="bcnn", settings=begun.training, **trains)
        made.settings = begun.settings
        made.judged = {task: judged(made, task, made.registry, root / "reports") for task in ("attributes", "taxonomy")}
        yield made
        torch.set_num_threads(threads)


def judged(done, task, registry, reports, run_id="run", **changed):
    trained = {"attributes": done.student, "taxonomy": done.taxonomy}[task]
    known = {"model": trained.model, "table": done.parted.parted, "settings": {**done.settings, **changed}}
    pages = {"reports": str(reports), "run_id": run_id}
    return done.step(judge, task=task, registry=str(registry), **known, **pages)


def journal(folder):
    return sorted(path.name for path in (Path(folder) / "journal").iterdir())


def test_the_front_hands_a_table_on(done):
    begun = done.begun
    assert begun.table == f"{done.root}/reports/tables/{begun.state}"
    rows = [len(read_catalog(place)) for place in (begun.table, done.parted.cleaned.path, done.parted.parted.path)]
    counts = done.parted.counts.metadata
    assert rows == [done.checked.counts.metadata["rows"], counts["kept"], counts["kept"]]
    assert sum(counts[name] for name in ("train", "validation", "test")) == rows[1]
    assert rows[0] == len(read_catalog(done.root / "data"))
    assert journal(done.parted.parted.path) == ["clean.html", "clean.json", "split.html", "split.json"]
    assert journal(done.checked.results.path) == ["validate.html", "validate.json"]


def test_what_was_asked_for_is_whole_typed_and_parted_by_step(done):
    begun = done.begun
    assert begun.shards == ["1/2", "2/2"]
    assert begun.settings == whole_settings("retrain", {"unlabelled": f"{done.root}/data", **FURTHER, **SMALL})
    assert begun.settings["batch_size"] == 16
    assert isinstance(begun.settings["batch_size"], int)
    assert begun.cleaning["min_class_count"] == 1
    assert (begun.teacher["epochs"], begun.student["epochs"]) == (1, 1)
    assert "gammas" in begun.teacher
    assert not {"student_epochs", "keep", "unlabelled"} & {*begun.teacher, *begun.training}
    assert begun.held == 1


def test_a_run_is_refused_before_it_starts(done, tmp_path):
    known = {"catalog": str(done.root / "data"), "reports": str(tmp_path), "run_id": "run", "variant": "bcnn"}
    for settings, message in (
        ({"student_epoch": 2}, "did you mean student_epochs"),
        ({"shards": 0}, "at least 1"),
        ({"batch_size": 1}, "batch_size"),
        ({"seed": "one"}, "not of type integer"),
        ({"trunk": "whole"}, "trunk"),
    ):
        with pytest.raises(InputError, match=message):
            done.step(start, pipeline="retrain", settings=settings, **known)
    assert list(tmp_path.iterdir()) == []


def test_the_same_data_have_the_same_table_in_another_run(done):
    pages = {"reports": str(done.root / "reports"), "run_id": "another", "settings": {}}
    again = done.step(start, pipeline="retrain", catalog=str(done.root / "data"), variant="bcnn", **pages).answer
    assert again.table == done.begun.table
    notes = [(done.root / "reports" / run / "fetch.json").read_text() for run in ("run", "another")]
    assert notes[0] == notes[1]  # a step that is reused came after it


def test_a_run_that_ends_before_its_plan_shows_what_validation_found(done):
    pages = {"reports": str(done.root / "reports"), "run_id": "broken"}
    done.step(start, pipeline="retrain", catalog=str(done.root / "data"), variant="bcnn", settings={}, **pages)
    made = done.step(report_run, status=ended("RUNNING"), title="retrain", due="tasks", **pages)
    page = Path(made.summary.path).read_text()
    assert "Failed" in page
    assert 'href="validate.html"' in page
    told = (done.root / "reports/broken/validate.html").read_text()
    assert told == Path(done.checked.report.path).read_text()


def test_reports_are_html_artifacts(done):
    pages = {"validate": done.checked.report, "clean": done.parted.report, "split": done.parted.split_report}
    for kind, page in pages.items():
        text = Path(page.path).read_text()
        assert text.startswith("<!doctype html>"), kind
        made = done.checked.results if kind == "validate" else done.parted.parted
        assert (Path(made.path) / "journal" / f"{kind}.html").read_text() == text


def test_figures_are_written_for_the_cache_too(done):
    for made in (done.checked.counts, done.parted.counts, done.planned.counts, done.student.figures):
        assert json.loads(Path(made.path).read_text()) == made.metadata
        assert made.metadata


def test_tasks_and_types(done):
    assert done.planned.answer.tasks == "attributes+taxonomy"
    assert done.planned.answer.groups == ['["colour"]', '["pattern"]']
    assert done.planned.counts.metadata == {"tasks": 2, "attribute types": 2}


def test_models_are_model_folders(done):
    teachers = [Path(made.model.path) / "000" for made in done.teachers]
    for folder in (*teachers, Path(done.student.model.path), Path(done.taxonomy.model.path)):
        assert sorted(path.name for path in folder.iterdir()) == sorted(MODEL_FILES)
    config = json.loads((Path(done.student.model.path) / "config.json").read_text())
    assert (config["settings"]["corrupted"], len(config["further_data"])) == (0.2, 1)
    assert {*config["priors"]} == {*config["labels"]}
    assert [set(json.loads((folder / "config.json").read_text())["gamma_tried"]) for folder in teachers] == [
        {"0", "1"},
        {"0", "1"},
    ]
    assert (config["variant"], sorted(config["labels"])) == ("student", ["colour", "pattern"])
    assert config["settings"]["image_size"] == 16
    assert json.loads((Path(done.taxonomy.model.path) / "config.json").read_text())["variant"] == "bcnn"


def test_teachers_of_several_types_are_trained_in_one_step_and_not_again_after_a_stop(done, tmp_path, monkeypatch):
    known = {"table": done.parted.parted, "checkpoints": str(tmp_path), "settings": done.begun.teacher}
    asked = {"task": "attributes", "variant": "teacher", "types": '["colour", "pattern"]', **known}
    one, trained = training.train, []

    def stopped(*given, **more):
        trained.append(given[5]["type"])
        if trained == ["colour", "pattern"]:
            raise RuntimeError("killed")
        return one(*given, **more)

    monkeypatch.setattr(training, "train", stopped)
    with pytest.raises(RuntimeError):
        done.step(train, **asked)
    made = done.step(train, **asked)
    assert trained == ["colour", "pattern", "pattern"]
    models = [json.loads((Path(made.model.path) / name / "config.json").read_text()) for name in ("000", "001")]
    assert [list(model["labels"]) for model in models] == [["colour"], ["pattern"]]
    assert made.model.metadata["code_version"] == __version__
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def version(done) -> str:
    return versioned(read_catalog(done.root / "data")).data_version


def test_every_table_model_and_evaluation_says_which_data_it_is_of(done):
    data = {"data_version": version(done)}
    evaluations = [made.evaluation for made in done.judged.values()]
    decisions = [made.decision for made in done.judged.values()]
    for artifact in (done.parted.cleaned, done.parted.parted, done.checked.results, *evaluations, *decisions):
        assert artifact.metadata.items() >= data.items(), artifact.name
    for made in done.judged.values():
        assert made.confusion.metadata["data_version"] == data["data_version"]
    for made in (*done.teachers, done.student, done.taxonomy):
        assert made.model.metadata == data | {"code_version": __version__}
    for made in (done.student, done.taxonomy):
        assert f"Data version `{data['data_version']}`" in (Path(made.model.path) / "card.md").read_text()
        config = json.loads((Path(made.model.path) / "config.json").read_text())
        assert {key: config[key] for key in made.model.metadata} == made.model.metadata


def test_every_report_says_which_data_it_is_of(done):
    pages = [done.checked.report, done.parted.report, done.parted.split_report]
    pages += [page for made in done.judged.values() for page in (made.report, made.gate_report)]
    for made in pages:
        head = Path(made.path).read_text().partition("</header>")[0]
        assert version(done) in head, made.uri


def test_no_checkpoint_is_left(done):
    assert not [path for path in (done.root / "checkpoints").rglob("*") if path.is_file()]


@pytest.mark.parametrize("task", ["attributes", "taxonomy"])
def test_evaluations_show_figures_a_confusion_matrix_and_a_curve(done, task):
    made = done.judged[task]
    figures = json.loads((Path(made.evaluation.path) / "metrics.json").read_text())
    assert made.figures.metadata == figures | {"data_version": version(done)}
    assert all(0 <= value <= 1 for key, value in figures.items() if not COUNTS.fullmatch(key))
    matrix = made.confusion.metadata["confusionMatrix"]
    shown = json.loads(Path(made.confusion.path).read_text())
    assert [spec["displayName"] for spec in matrix["annotationSpecs"]] == shown["categories"]
    assert [row["row"] for row in matrix["rows"]] == shown["matrix"]
    curve = made.confusion.metadata["confidenceMetrics"]
    assert 3 <= len(curve) <= 200
    assert [point["recall"] for point in curve] == shown["roc"]["tpr"]
    assert [point["falsePositiveRate"] for point in curve] == shown["roc"]["fpr"]
    assert all(math.isfinite(point["confidenceThreshold"]) for point in curve)
    assert Path(made.report.path).read_text().startswith("<!doctype html>")


def test_promotion_then_refusal_then_the_summary(done, tmp_path):
    registry, kubeflow = str(tmp_path / "registry"), FakeModelRegistry()
    first = judged(done, "taxonomy", registry, tmp_path, keep=3, model_registry=kubeflow.address)
    kubeflow.close()
    champion = Registry(registry).champion("taxonomy")
    assert [found["name"] for found in kubeflow.versions.values()] == [champion.version]
    assert (Path(champion.model) / "drift" / "reference.json").exists()
    metrics = json.loads((Path(first.evaluation.path) / "metrics.json").read_text())
    assert champion.metrics == metrics
    summary = {"reports": str(tmp_path), "run_id": "run", "title": "retrain"}
    page = Path(done.step(report_run, status=ended("SUCCEEDED"), **summary).summary.path).read_text()
    assert page == (tmp_path / "run" / "summary.html").read_text()
    assert "Promoted: Categories" in page
    assert champion.version in page

    judged(done, "taxonomy", registry, tmp_path, "run 2")
    summary["run_id"] = "run 2"
    assert Registry(registry).champion("taxonomy") == champion
    history = [(entry["decision"], entry["reason"]) for entry in Registry(registry).history("taxonomy")]
    assert [decision for decision, _ in history] == ["promoted", "refused"]
    page = Path(done.step(report_run, status=ended("SUCCEEDED"), **summary).summary.path).read_text()
    assert "Nothing promoted; the champions stay" in page
    assert history[1][1] in page


def test_a_comparison_alone_promotes_nothing(done, tmp_path):
    registry = str(tmp_path / "registry")
    made = judged(done, "taxonomy", registry, tmp_path, "run 7", only_compare=True)
    assert "Only compared. The gate would say: Promoted" in Path(made.gate_report.path).read_text()
    assert Registry(registry).champion("taxonomy") is None
    (entry,) = Registry(registry).history("taxonomy")
    assert entry["decision"] == "refused"
    assert entry["run"] == "run 7"
    assert entry["against"] == {}


def test_a_promotion_stands_though_nobody_can_be_told(done, tmp_path, capsys):
    judged(done, "taxonomy", tmp_path / "registry", tmp_path, model_registry="http://127.0.0.1:9")
    assert Registry(str(tmp_path / "registry")).champion("taxonomy")
    assert "cannot be reached" in capsys.readouterr().out


def ended(state, message=None):
    return dsl.PipelineTaskFinalStatus(
        state=state,
        pipeline_job_resource_name="run",
        pipeline_task_name="run",
        error_code=13 if message else None,
        error_message=message,
    )


def test_a_failed_run_has_a_summary(done, tmp_path):
    failed = done.step(
        report_run, status=ended("FAILED", "clean: no rows"), reports=str(tmp_path), run_id="run", title="retrain"
    )
    page = Path(failed.summary.path).read_text()
    assert "Failed" in page
    assert "clean: no rows" in page


def test_drift_of_the_reference_beside_its_model(done):
    from vitrine.monitoring.drift import read_reference

    champion = Registry(done.registry).champion("attributes")
    side, _ = read_reference(Path(champion.model) / "drift")
    assert side.model == ".."
    split = read_catalog(done.parted.parted.path).table["split"]
    assert side.photos == (split != "train").sum()  # not those that the model knows
    assert {"predicted:attr:colour", "confidence:attr:pattern"} <= set(side.table.columns)


def test_the_gate_hands_on_the_journal_of_all_steps(done):
    names = journal(done.judged["attributes"].decision.path)
    assert {"clean.json", "evaluate-attributes.html", "evaluate-attributes.json", "gate-attributes.json"} <= set(names)
    told = {path.name for path in (done.root / "reports" / "run").iterdir()}
    assert {"fetch.json", "validate.html", "clean.html", "split.html", "tasks.json"} <= told


def test_a_later_validation_shows_what_changed_since(done):
    photos = [own.photos for own in done.scans]
    again = done.step(validate, table=done.begun.table, photos=photos, reports=str(done.root / "reports"))
    assert "Since the previous revision" not in Path(done.checked.report.path).read_text()
    assert "Since the previous revision" in Path(again.report.path).read_text()
    assert (Path(again.results.path) / "evidently.html").exists()


def test_strict_validation_stops_with_the_rule(done, tmp_path):
    catalog = read_catalog(done.root / "data")
    write_catalog(catalog.with_table(catalog.table.assign(split="tset")), tmp_path / "bad")
    checked = done.step(validate, table=str(tmp_path / "bad"), photos=[])
    assert checked.counts.metadata["errors"] >= 1
    known = {"table": done.parted.parted, "results": checked.results, "reports": str(tmp_path), "run_id": "1"}
    done.step(plan, pipeline="retrain", settings=done.settings, **known)
    with pytest.raises(InputError, match="rules failed"):
        done.step(plan, pipeline="retrain", settings={**done.settings, "strict": True}, **known)
    assert (tmp_path / "1" / "validate.html").is_file()
