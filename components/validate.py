"""KFP step: the data-quality report."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def validate(
    table: Input[Dataset],
    results: Output[Artifact],
    report: Output[HTML],
    counts: Output[Metrics],
    strict: bool = False,
) -> None:
    """Holds a catalog and its photos to the rules of quality.

    Args:
        table: Catalog table to check.
        results: Folder with results.json and report.html.
        report: The page.
        counts: Rules broken.
        strict: Stop the run when a rule of severity error is broken.
    """
    from pathlib import Path

    from components.outputs import show_metrics, show_page, stamp
    from vitrine import steps

    figures = steps.validate(Path(table.path), Path(results.path), strict)
    show_page(report, Path(results.path) / "report.html")
    show_metrics(counts, figures)
    stamp(Path(table.path), results)
