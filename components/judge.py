"""KFP step: a model on photos it never saw, against the model in use; it takes its place, or does not."""

from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def judge(
    model: Input[Model],
    table: Input[Dataset],
    evaluation: Output[Artifact],
    decision: Output[Artifact],
    report: Output[HTML],
    gate_report: Output[HTML],
    figures: Output[Metrics],
    confusion: Output[ClassificationMetrics],
    task: str,
    settings: dict,
    registry: str,
    reports: str,
    run_id: str,
    max_drop: float = 0.05,
) -> None:
    """Evaluates a model, and promotes or refuses it. Never cached: the champion may have changed.

    Args:
        model: The candidate.
        table: Catalog table with splits.
        evaluation: Folder with metrics.json, report.html and what summaries show.
        decision: Folder with decision.json and report.html.
        report: The page of the evaluation.
        gate_report: The page of the comparison.
        figures: The figures.
        confusion: Confusion matrix and ROC curve of the coarsest question.
        task: What the model answers.
        settings: All settings.
        registry: Folder or s3:// prefix of the model registry.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.
        max_drop: How far a single level's or attribute's figure may fall.
    """
    from pathlib import Path

    from components.outputs import show_confusion, show_metrics, show_page, stamp
    from pipelines import stages

    folders = Path(model.path), Path(table.path), Path(evaluation.path), Path(decision.path)
    metrics = stages.judge(task, *folders, registry, reports, run_id, settings, max_drop)
    show_page(report, Path(evaluation.path) / "report.html")
    show_page(gate_report, Path(decision.path) / "report.html")
    show_metrics(figures, metrics)
    show_confusion(confusion, Path(evaluation.path) / "confusion.json")
    stamp(Path(table.path), evaluation, decision, figures, confusion)
