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
    settings: dict,
    endpoint: str,
    namespace: str,
    experiment: str,
    unchanged: bool = False,
    lost_minutes: int = 60,
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
        settings: Its parameters.
        endpoint: Address of the Kubeflow Pipelines API; empty = only say that a retraining is due.
        namespace: The profile's namespace; empty = this pod's. Not asked for where Kubeflow has one user.
        experiment: Experiment of the run.
        unchanged: Start it too on data that the models in use were trained on.
        lost_minutes: Age from which on a run without any pod no longer counts as going.

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
        settings=settings,
        endpoint=endpoint,
        namespace=namespace,
        experiment=experiment,
        unchanged=unchanged,
        lost_minutes=lost_minutes,
    )
