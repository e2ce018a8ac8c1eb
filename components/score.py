"""KFP step: one table a task of what the models in use say about every photo of a catalog."""

from kfp.dsl import Metrics, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def score(
    table: str,
    state: str,
    scores: str,
    registry: str,
    reports: str,
    run_id: str,
    settings: dict,
    period: str,
    answers: list,
    figures: Output[Metrics],
) -> str:
    """Writes a table for each task, and asks about what no shard did. Never cached: models change.

    Args:
        table: Address of the catalog's table.
        state: Name of the state of the data.
        scores: Folder or s3:// prefix of the tables, in which %Y, %m, %d and %H stand for the period.
        registry: Folder or s3:// prefix of the model registry.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.
        settings: All settings; tasks says whose models in use.
        period: A day or hour, UTC; empty = yesterday.
        answers: How many each shard has; what is read is their parts, beside the tables.
        figures: Photos, and how many cannot be read.

    Returns:
        The folder of the tables.
    """
    from components.outputs import show_metrics
    from pipelines import stages

    place, found = stages.score(table, state, scores, registry, reports, run_id, settings, period)
    show_metrics(figures, found)
    return place
