"""KFP step: figures and a page of a model on photos it never saw."""

from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    model: Input[Model],
    table: Input[Dataset],
    evaluation: Output[Artifact],
    report: Output[HTML],
    figures: Output[Metrics],
    confusion: Output[ClassificationMetrics],
) -> None:
    """Evaluates a model on the test split.

    Args:
        model: Model folder.
        table: Catalog table with splits.
        evaluation: Folder with metrics.json, report.html and what summaries show.
        report: The page.
        figures: The figures.
        confusion: Confusion matrix and ROC curve of the coarsest question.
    """
    from pathlib import Path

    from components.outputs import show_confusion, show_metrics, show_page, stamp
    from vitrine import steps

    found = steps.evaluate(Path(model.path), Path(table.path), Path(evaluation.path))
    show_page(report, Path(evaluation.path) / "report.html")
    show_metrics(figures, found)
    show_confusion(confusion, Path(evaluation.path) / "confusion.json")
    stamp(Path(table.path), evaluation, figures, confusion)
