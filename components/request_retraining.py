"""KFP step: drift starts a retraining, once."""

from kfp.dsl import Artifact, Input, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def request_retraining(
    drift: Input[Artifact],
    state: str,
    registry: str,
    reports: str,
    run_id: str,
    pipeline: str,
    parameters: dict,
    settings: dict,
) -> str:
    """Starts the retraining pipeline, unless it ran on this state of the data, is going or has nothing new to learn.

    Never cached.

    Args:
        drift: What `detect_drift` found.
        state: State of the data that drifted.
        registry: Folder or s3:// prefix of the model registry, which remembers what was started.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.
        pipeline: The pipeline to start.
        parameters: Its parameters.
        settings: All settings of the monitor; endpoint, namespace, experiment, unchanged and lost_minutes are for this.

    Returns:
        What became of it.
    """
    from pathlib import Path

    from pipelines.on_drift import ask

    return ask(
        Path(drift.path),
        state=state,
        registry=registry,
        reports=reports,
        run_id=run_id,
        pipeline=pipeline,
        parameters=parameters,
        endpoint=settings["endpoint"],
        namespace=settings["namespace"],
        experiment=settings["experiment"],
        unchanged=settings["unchanged"],
        lost_minutes=settings["lost_minutes"],
    )
