"""KFP step: what was asked for, checked, and the data it is about."""

from typing import NamedTuple

from kfp.dsl import component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def start(
    pipeline: str,
    catalog: str,
    reports: str,
    run_id: str,
    settings: dict,
    revision: str = "",
    remote: str = "",
    period: str = "",
    variant: str = "",
    backbone: str = "",
    epochs: int = 0,
    gpus: int = 0,
    retraining: str = "",
    parameters: dict = {},  # noqa: B006
) -> NamedTuple(  # type: ignore[valid-type]
    "Started",
    [
        ("table", str),
        ("state", str),
        ("shards", list),
        ("settings", dict),
        ("cleaning", dict),
        ("quality", dict),
        ("training", dict),
        ("teacher", dict),
        ("student", dict),
        ("held", int),
        ("checkpoints", str),
        ("nodes", int),
        ("gpu", str),
        ("pool", dict),
        ("tolerations", list),
        ("train_cpu", str),
        ("train_memory", str),
        ("step_cpu", str),
        ("step_memory", str),
    ],
):
    """Checks the settings, names the state of the data and keeps its table. Never cached: data and settings change.

    Args:
        pipeline: Which pipeline this is.
        catalog: Folder, s3:// prefix or .dvc file of the catalog, in which %Y, %m, %d and %H stand for the period.
        reports: Folder or s3:// prefix below which each run leaves its pages, and tables are kept.
        run_id: Which run this is.
        settings: Those that differ from the defaults, or all.
        revision: DVC hash of the folder; empty = the one in the .dvc file, or whatever is there.
        remote: DVC remote of a .dvc file: a folder or s3://bucket/prefix.
        period: A day (2026-11-25) or hour (2026-11-25T13), UTC; empty = yesterday.
        variant: Of the training.
        backbone: Of the trainings.
        epochs: Of the trainings.
        gpus: Of each machine that trains.
        retraining: Pipeline that drift starts.
        parameters: Its parameters.

    Returns:
        The table's address, the state's name, the shards, and the settings, those of each step apart.
    """
    import collections

    from pipelines import stages

    begun = stages.begin(
        pipeline,
        catalog,
        reports,
        run_id,
        settings,
        revision=revision,
        remote=remote,
        period=period,
        variant=variant,
        backbone=backbone,
        epochs=epochs,
        gpus=gpus,
        retraining=retraining,
        parameters=parameters,
    )
    apart = {
        "checkpoints": "",
        "nodes": 1,
        "gpu": "",
        "pool": {},
        "tolerations": [],
        "train_cpu": "",
        "train_memory": "",
    }
    outputs = {
        "table": begun.table,
        "state": begun.state,
        "shards": begun.shards,
        "settings": begun.settings,
        "cleaning": begun.cleaning,
        "quality": begun.quality,
        **{name: begun.trainings.get(name, {}) for name in ("training", "teacher", "student")},
        "held": begun.held,
        **{name: begun.settings.get(name, without) for name, without in apart.items()},
        **{name: begun.settings[name] for name in ("step_cpu", "step_memory")},
    }
    return collections.namedtuple("Started", list(outputs))(**outputs)
