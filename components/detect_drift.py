"""KFP step: new photos against the drift reference of each champion."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def detect_drift(
    table: Input[Dataset],
    results: Input[Artifact],
    drift: Output[Artifact],
    report: Output[HTML],
    figures: Output[Metrics],
    registry: str,
    reports: str,
    run_id: str,
    settings: dict,
) -> str:
    """Decides whether new photos have moved away from what the champions learnt. Never cached: these may have changed.

    Args:
        table: Cleaned table of the new photos.
        results: What validation found of them.
        drift: Folder with decision.json, report.html and a folder per task.
        report: The page, with all looks so far.
        figures: Per task how far the furthest signal moved, in thresholds.
        registry: Folder or s3:// prefix of the model registry.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.
        settings: All settings; task says whose champion, empty = every task that has one.

    Returns:
        `drift` or `no drift`.
    """
    from pathlib import Path

    from components.outputs import show_metrics, show_page, stamp
    from pipelines import stages

    inputs = Path(table.path), Path(results.path)
    decision, ratios = stages.detect_drift(*inputs, registry, settings["task"], reports, run_id, Path(drift.path))
    show_page(report, Path(drift.path) / "report.html")
    show_metrics(figures, ratios)
    stamp(Path(table.path), drift)
    return decision
