"""KFP step: the data-quality report."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def validate(
    table: str,
    photos: Input[list[Dataset]],
    results: Output[Artifact],
    report: Output[HTML],
    counts: Output[Metrics],
    reports: str = "",
    quality: dict = {},  # noqa: B006
) -> None:
    """Holds a catalog and its photos to the rules of quality.

    Args:
        table: Address of the catalog table to check.
        photos: What `scan` wrote, a folder per shard.
        results: Folder with results.json and report.html.
        report: The page.
        counts: Rules broken.
        quality: Texts of the rules and the suite to go by, beside the shipped ones.
        reports: Folder or s3:// prefix that keeps the last validation, to show what changed since; empty = none.
    """
    from pathlib import Path

    from components.outputs import show_metrics, show_page, stamp
    from pipelines import stages

    figures = stages.validate(table, Path(results.path), [Path(shard.path) for shard in photos], reports, quality)
    show_page(report, Path(results.path) / "report.html")
    show_metrics(counts, figures)
    stamp(table, results)
