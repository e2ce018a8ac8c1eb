"""KFP step: what the models in use say about the photos of one shard."""

from kfp.dsl import component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def score_shard(
    table: str, state: str, scores: str, registry: str, settings: dict, period: str, shard: str = "1/1"
) -> int:
    """Asks the models in use, part by part; a retry goes on where the step before it stopped. Never cached.

    Args:
        table: Address of the catalog's table.
        state: Name of the state of the data.
        scores: Folder or s3:// prefix of the tables, in which %Y, %m, %d and %H stand for the period.
        registry: Folder or s3:// prefix of the model registry.
        settings: All settings; tasks says whose models in use.
        period: A day or hour, UTC; empty = yesterday.
        shard: Which part of the photos: 2/8 is the second of eight.

    Returns:
        How many answers there are.
    """
    from pipelines import stages

    return stages.score_shard(table, state, scores, registry, settings, period, shard)
