"""Each component on artifacts, in the order the DAG wires them; what the UI shows is there."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fake_model_registry import FakeModelRegistry
from kfp import dsl

from components.attribute_types import attribute_types
from components.check_quality import check_quality
from components.clean import clean
from components.compare import compare
from components.data_version import data_version
from components.drift_reference import drift_reference
from components.evaluate import evaluate
from components.fetch import fetch
from components.find_tasks import find_tasks
from components.list_shards import list_shards
from components.promote import promote
from components.refuse import refuse
from components.report_run import report_run
from components.scan import scan
from components.split import split
from components.train_student import train_student
from components.train_taxonomy import train_taxonomy
from components.train_teacher import train_teacher
from components.validate import validate
from vitrine import __version__
from vitrine.catalog import read_catalog, write_catalog
from vitrine.errors import InputError
from vitrine.registry import MODEL_FILES, Registry
from vitrine.synth import render_catalog

COLUMNS = ["image", "listing", "product", "category", "attr:colour", "attr:pattern"]
SMALL = {"epochs": 1, "batch_size": 16, "image_size": 16, "weights": "none"}


class Step:
    """Calls components, each with output artifacts in a folder of its own, as a runner does."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.count = 0

    def __call__(self, component, **inputs):
        self.count += 1
        folder = self.root / f"{self.count}-{component.name}"
        outputs = {
            name: getattr(dsl, spec.type.removeprefix("system.").partition("@")[0])(
                name=name, uri=str(folder / name), metadata={}
            )
            for name, spec in (component.component_spec.outputs or {}).items()
            if name != "Output"
        }
        folder.mkdir()
        return SimpleNamespace(answer=component.python_func(**inputs, **outputs), **outputs)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The front of the DAG, every training and their evaluations, on a small rendered catalog."""
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
        made.state = step(data_version, catalog=str(root / "data"))
        made.fetched = step(fetch, catalog=str(root / "data"), state=made.state.answer)
        made.shards = step(list_shards, shards=2).answer
        made.scans = [step(scan, table=made.fetched.table, shard=shard) for shard in made.shards]
        known = {"table": made.fetched.table, "photos": [own.photos for own in made.scans]}
        made.checked = step(validate, **known, reports=str(root / "reports"))
        made.cleaned = step(clean, **known, validation=made.checked.results, min_class_count=1)
        made.parted = step(split, table=made.cleaned.cleaned)
        table = made.parted.parted
        made.tasks = step(find_tasks, table=table, reports=str(root), run_id="run")
        made.types = step(attribute_types, table=table)
        made.teachers = [
            step(train_teacher, table=table, type=kind, checkpoints=checkpoints, gammas=gammas, **SMALL)
            for kind, gammas in zip(made.types.answer, ("", "0,1"), strict=True)
        ]
        teachers = [teacher.model for teacher in made.teachers]
        more = {"unlabelled": str(root / "data"), "corrupted": 0.2, "prior": True}
        made.student = step(train_student, table=table, teachers=teachers, checkpoints=checkpoints, **more, **SMALL)
        made.taxonomy = step(train_taxonomy, table=table, variant="bcnn", checkpoints=checkpoints, **SMALL)
        made.evaluations = {
            task: step(evaluate, model=trained.model, table=table)
            for task, trained in (("attributes", made.student), ("taxonomy", made.taxonomy))
        }
        yield made
        torch.set_num_threads(threads)


def journal(folder):
    return sorted(path.name for path in (Path(folder) / "journal").iterdir())


def gate(done, task, registry, **rules):
    trained = {"attributes": done.student, "taxonomy": done.taxonomy}[task]
    known = {"model": trained.model, "evaluation": done.evaluations[task].evaluation, "table": done.parted.parted}
    return known, done.step(compare, **known, task=task, registry=registry, **rules)


def test_the_front_hands_a_table_on(done):
    assert done.fetched.table.metadata["state"] == done.state.answer
    rows = [len(read_catalog(artifact.path)) for artifact in (done.fetched.table, done.cleaned.cleaned)]
    assert rows == [done.checked.counts.metadata["rows"], done.cleaned.counts.metadata["kept"]]
    assert sum(done.parted.counts.metadata.values()) == rows[1]
    assert set(done.parted.counts.metadata) == {"train", "validation", "test"}
    assert rows[0] == len(read_catalog(done.root / "data"))
    assert journal(done.parted.parted.path) == [
        "clean.html",
        "clean.json",
        "fetch.json",
        "split.html",
        "split.json",
        "validate.html",
        "validate.json",
    ]


def test_reports_are_html_artifacts(done):
    for made, kind in ((done.checked, "validate"), (done.cleaned, "clean"), (done.parted, "split")):
        page = Path(made.report.path).read_text()
        assert page.startswith("<!doctype html>"), kind
        assert (Path(done.parted.parted.path) / "journal" / f"{kind}.html").read_text() == page


def test_figures_are_written_for_the_cache_too(done):
    for made in (done.checked.counts, done.cleaned.counts, done.parted.counts, done.student.figures):
        assert json.loads(Path(made.path).read_text()) == made.metadata
        assert made.metadata


def test_tasks_and_types(done):
    assert done.tasks.answer == "attributes+taxonomy"
    assert done.types.answer == ["colour", "pattern"]


def test_models_are_model_folders(done):
    for made in (*done.teachers, done.student, done.taxonomy):
        assert sorted(path.name for path in Path(made.model.path).iterdir()) == sorted(MODEL_FILES)
    config = json.loads((Path(done.student.model.path) / "config.json").read_text())
    assert (config["settings"]["corrupted"], len(config["further_data"])) == (0.2, 1)
    assert {*config["priors"]} == {*config["labels"]}
    teachers = [json.loads((Path(made.model.path) / "config.json").read_text()) for made in done.teachers]
    assert [set(teacher.get("gamma_tried", ())) for teacher in teachers] == [set(), {"0", "1"}]
    assert (config["variant"], sorted(config["labels"])) == ("student", ["colour", "pattern"])
    assert config["settings"]["image_size"] == 16
    assert json.loads((Path(done.taxonomy.model.path) / "config.json").read_text())["variant"] == "bcnn"


def version(done) -> str:
    return read_catalog(done.root / "data").data_version


def test_every_table_model_and_evaluation_says_which_data_it_is_of(done):
    data = {"data_version": version(done)}
    tables = [done.fetched.table, done.cleaned.cleaned, done.parted.parted]
    for artifact in (*tables, done.checked.results, *(made.evaluation for made in done.evaluations.values())):
        assert artifact.metadata.items() >= data.items(), artifact.name
    for made in done.evaluations.values():
        assert made.confusion.metadata["data_version"] == data["data_version"]
    for made in (*done.teachers, done.student, done.taxonomy):
        assert made.model.metadata == data | {"code_version": __version__}
        assert f"Data version `{data['data_version']}`" in (Path(made.model.path) / "card.md").read_text()
        config = json.loads((Path(made.model.path) / "config.json").read_text())
        assert {key: config[key] for key in made.model.metadata} == made.model.metadata


def test_every_report_says_which_data_it_is_of(done, tmp_path):
    _, gated = gate(done, "taxonomy", str(tmp_path / "registry"))
    assert gated.decision.metadata == {"data_version": version(done)}
    for made in (done.checked, done.cleaned, done.parted, *done.evaluations.values(), gated):
        head = Path(made.report.path).read_text().partition("</header>")[0]
        assert version(done) in head, made.report.uri


def test_no_checkpoint_is_left(done):
    assert not [path for path in (done.root / "checkpoints").rglob("*") if path.is_file()]


@pytest.mark.parametrize("task", ["attributes", "taxonomy"])
def test_evaluations_show_figures_a_confusion_matrix_and_a_curve(done, task):
    made = done.evaluations[task]
    figures = json.loads((Path(made.evaluation.path) / "metrics.json").read_text())
    assert made.figures.metadata == figures | {"data_version": version(done)}
    assert all(0 <= value <= 1 for key, value in figures.items() if key not in ("count", "seconds_per_1000_images"))
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
    registry = str(tmp_path / "registry")
    run = {"reports": str(tmp_path), "run_id": "run"}
    known, first = gate(done, "taxonomy", registry)
    assert first.answer == "promote"
    reference = done.step(drift_reference, model=known["model"], table=known["table"]).reference
    assert reference.metadata == known["model"].metadata
    common = {"evaluation": known["evaluation"], "task": "taxonomy", "registry": registry, **run}
    kubeflow = FakeModelRegistry()
    own = {"model": known["model"], "decision": first.decision, "reference": reference}
    done.step(promote, **own, **common, keep=3, model_registry=kubeflow.address)
    kubeflow.close()
    champion = Registry(registry).champion("taxonomy")
    assert [found["name"] for found in kubeflow.versions.values()] == [champion.version]
    assert (Path(champion.model) / "drift" / "reference.json").exists()
    assert champion.metrics == json.loads((Path(known["evaluation"].path) / "metrics.json").read_text())
    summary = {**run, "title": "retrain"}
    page = Path(done.step(report_run, status=ended("SUCCEEDED"), **summary).summary.path).read_text()
    assert page == (tmp_path / "run" / "summary.html").read_text()
    assert "Promoted: Categories" in page
    assert f"data version {version(done)}" in page.partition("</header>")[0]
    assert champion.version in page

    _, second = gate(done, "taxonomy", registry)
    assert second.answer == "refuse"
    common["run_id"] = summary["run_id"] = "run 2"
    done.step(refuse, decision=second.decision, **common)
    assert Registry(registry).champion("taxonomy") == champion
    history = [(entry["decision"], entry["reason"]) for entry in Registry(registry).history("taxonomy")]
    assert [decision for decision, _ in history] == ["promoted", "refused"]
    page = Path(done.step(report_run, status=ended("SUCCEEDED"), **summary).summary.path).read_text()
    assert "Nothing promoted; the champions stay" in page
    assert history[1][1] in page


def test_a_comparison_alone_promotes_nothing(done, tmp_path):
    registry = str(tmp_path / "registry")
    known, gated = gate(done, "taxonomy", registry, only_compare=True)
    assert gated.answer == "refuse"
    assert "Only compared. The gate would say: Promoted" in Path(gated.report.path).read_text()
    run = {"reports": str(tmp_path), "run_id": "run 7"}
    common = {"evaluation": known["evaluation"], "task": "taxonomy", "registry": registry, **run}
    done.step(refuse, decision=gated.decision, **common)
    assert Registry(registry).champion("taxonomy") is None
    (entry,) = Registry(registry).history("taxonomy")
    assert entry["decision"] == "refused"
    assert entry["run"] == "run 7"
    assert entry["against"] == {}


def test_a_promotion_stands_though_nobody_can_be_told(done, tmp_path, capsys):
    registry = str(tmp_path / "registry")
    known, first = gate(done, "taxonomy", registry)
    reference = done.step(drift_reference, model=known["model"], table=known["table"]).reference
    own = {"model": known["model"], "decision": first.decision, "reference": reference, "registry": registry}
    common = {"evaluation": known["evaluation"], "task": "taxonomy", "reports": str(tmp_path), "run_id": "run"}
    done.step(promote, **own, **common, model_registry="http://127.0.0.1:9")
    assert Registry(registry).champion("taxonomy")
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


def test_drift_of_the_reference_beside_its_model(done, tmp_path):
    from vitrine.monitoring.drift import read_reference

    made = done.step(drift_reference, model=done.student.model, table=done.parted.parted)
    side, _ = read_reference(made.reference.path)
    assert side.model == ".."
    assert side.photos == (read_catalog(done.parted.parted.path).table["split"] == "train").sum()
    assert {"predicted:attr:colour", "confidence:attr:pattern"} <= set(side.table.columns)


def test_the_gate_hands_on_the_journal_of_all_steps(done, tmp_path):
    _, made = gate(done, "attributes", str(tmp_path / "registry"), min_gain=0.5, max_drop=1.0)
    assert made.answer == "promote"
    names = journal(made.decision.path)
    assert {"clean.json", "evaluate-attributes.html", "evaluate-attributes.json", "gate-attributes.json"} <= set(names)
    assert "Promoted: the first model" in Path(made.report.path).read_text()


def test_a_later_validation_shows_what_changed_since(done):
    photos = [own.photos for own in done.scans]
    again = done.step(validate, table=done.fetched.table, photos=photos, reports=str(done.root / "reports"))
    assert "Since the previous revision" not in Path(done.checked.report.path).read_text()
    assert "Since the previous revision" in Path(again.report.path).read_text()
    assert (Path(again.results.path) / "evidently.html").exists()


def test_strict_validation_stops_with_the_rule(done, tmp_path):
    catalog = read_catalog(done.root / "data")
    write_catalog(catalog.with_table(catalog.table.assign(split="tset")), tmp_path / "bad")
    table = dsl.Dataset(name="table", uri=str(tmp_path / "bad"), metadata={})
    checked = done.step(validate, table=table, photos=[])
    assert checked.counts.metadata["errors"] >= 1
    pages = {"results": checked.results, "reports": str(tmp_path), "run_id": "1"}
    done.step(check_quality, **pages, strict=False)
    with pytest.raises(InputError, match="rules failed"):
        done.step(check_quality, **pages, strict=True)
