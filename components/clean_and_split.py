"""KFP step: drop the rows that would spoil training, and part the others with nothing alike on both sides."""

from kfp.dsl import HTML, Dataset, Input, Metrics, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def clean_and_split(
    table: str,
    photos: Input[list[Dataset]],
    cleaning: dict,
    cleaned: Output[Dataset],
    parted: Output[Dataset],
    report: Output[HTML],
    split_report: Output[HTML],
    counts: Output[Metrics],
) -> None:
    """Cleans a catalog table, and fills its split column; a row keeps the split it has.

    Args:
        table: Address of the catalog table.
        photos: What `scan` wrote, a folder per shard.
        cleaning: What cleaning and splitting go by.
        cleaned: The rows kept, and dropped.parquet with the others and their reasons.
        parted: The rows kept, with a split each.
        report: A page with a waterfall of the rules and thumbnails of what each dropped.
        split_report: A page with the balance of classes over the splits.
        counts: Rows before, after, dropped by each rule, and in each split.
    """
    from pathlib import Path

    from components.outputs import show_metrics, show_page, stamp
    from pipelines import stages

    shards = [Path(shard.path) for shard in photos]
    figures = stages.clean_and_split(table, Path(cleaned.path), Path(parted.path), cleaning, shards)
    show_page(report, Path(cleaned.path) / "report.html")
    show_page(split_report, Path(parted.path) / "report.html")
    show_metrics(counts, figures)
    stamp(Path(parted.path), cleaned, parted)
