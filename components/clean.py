"""KFP step: drop the rows that would spoil training, and say why."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def clean(
    table: Input[Dataset],
    validation: Input[Artifact],
    cleaned: Output[Dataset],
    report: Output[HTML],
    counts: Output[Metrics],
    min_class_count: int = 20,
) -> None:
    """Cleans a catalog table.

    Args:
        table: Catalog table to clean.
        validation: What validation found; its account goes on with the table.
        cleaned: The rows kept, and dropped.parquet with the others and their reasons.
        report: A page with a waterfall of the rules and thumbnails of what each dropped.
        counts: Rows before, after, and dropped by each rule.
        min_class_count: Photos a class needs.
    """
    from pathlib import Path

    from components.outputs import show_metrics, show_page, stamp
    from vitrine import steps

    figures = steps.clean(Path(table.path), Path(validation.path), Path(cleaned.path), min_class_count)
    show_page(report, Path(cleaned.path) / "report.html")
    show_metrics(counts, figures)
    stamp(Path(cleaned.path), cleaned)
