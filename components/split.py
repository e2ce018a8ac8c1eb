"""KFP step: train, validation and test photos, with nothing alike on both sides."""

from kfp.dsl import HTML, Dataset, Input, Metrics, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def split(
    table: Input[Dataset],
    parted: Output[Dataset],
    report: Output[HTML],
    counts: Output[Metrics],
    ratios: str = "0.7,0.1,0.2",
    measured: str = "",
    gallery: bool = False,
) -> None:
    """Fills the split column; a row keeps the split it has.

    Args:
        table: Cleaned catalog table.
        parted: The same rows with a split each.
        report: A page with the balance of classes over the splits.
        counts: Rows per split.
        ratios: Shares of train, validation and test.
        measured: Column to measure by, such as verdict; what has none goes to train. Empty = any label.
        gallery: Leave shop photos out of the splits: they are what user photos are matched with.
    """
    from pathlib import Path

    from components.outputs import show_metrics, show_page, stamp
    from vitrine import steps

    figures = steps.split(Path(table.path), Path(parted.path), ratios, measured, gallery)
    show_page(report, Path(parted.path) / "report.html")
    show_metrics(counts, figures)
    stamp(Path(parted.path), parted)
