"""KFP step: drop the rows that would spoil training, and say why."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def clean(
    table: Input[Dataset],
    photos: Input[list[Dataset]],
    validation: Input[Artifact],
    cleaned: Output[Dataset],
    report: Output[HTML],
    counts: Output[Metrics],
    min_class_count: int = 20,
    near_duplicates: bool = True,
    drop_views_below: int = 0,
) -> None:
    """Cleans a catalog table.

    Args:
        table: Catalog table to clean.
        photos: What `scan` wrote, a folder per shard.
        validation: What validation found; its account goes on with the table.
        cleaned: The rows kept, and dropped.parquet with the others and their reasons.
        report: A page with a waterfall of the rules and thumbnails of what each dropped.
        counts: Rows before, after, and dropped by each rule.
        min_class_count: Photos a class needs.
        near_duplicates: Drop near copies of photos too, not only the same files.
        drop_views_below: Photos a listing needs; 0 = any number.
    """
    from pathlib import Path

    from components.outputs import show_metrics, show_page, stamp
    from vitrine import steps

    folders = Path(table.path), Path(validation.path), Path(cleaned.path)
    shards = [Path(shard.path) for shard in photos]
    figures = steps.clean(*folders, min_class_count, near_duplicates, drop_views_below, shards)
    show_page(report, Path(cleaned.path) / "report.html")
    show_metrics(counts, figures)
    stamp(Path(cleaned.path), cleaned)
