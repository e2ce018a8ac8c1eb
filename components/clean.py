"""KFP step: drop the rows that would spoil a comparison, and say why."""

from kfp.dsl import HTML, Dataset, Input, Metrics, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def clean(
    table: str,
    photos: Input[list[Dataset]],
    cleaning: dict,
    cleaned: Output[Dataset],
    report: Output[HTML],
    counts: Output[Metrics],
) -> None:
    """Cleans a catalog table.

    Args:
        table: Address of the catalog table.
        photos: What `scan` wrote, a folder per shard.
        cleaning: What cleaning goes by.
        cleaned: The rows kept, and dropped.parquet with the others and their reasons.
        report: A page with a waterfall of the rules and thumbnails of what each dropped.
        counts: Rows before, after, and dropped by each rule.
    """
    from pathlib import Path

    from components.outputs import show_metrics, show_page, stamp
    from pipelines import stages

    figures = stages.clean(table, Path(cleaned.path), cleaning, [Path(shard.path) for shard in photos])
    show_page(report, Path(cleaned.path) / "report.html")
    show_metrics(counts, figures)
    stamp(Path(cleaned.path), cleaned)
