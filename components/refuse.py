"""KFP step: the champion stays, and the reason is kept."""

from kfp.dsl import Artifact, Input, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def refuse(
    evaluation: Input[Artifact], decision: Input[Artifact], task: str, registry: str, reports: str, run_id: str
) -> None:
    """Records that a candidate was not promoted.

    Args:
        evaluation: The candidate's evaluation.
        decision: The gate's decision.
        task: What the model answers.
        registry: Folder or s3:// prefix of the model registry.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.
    """
    from pathlib import Path

    from vitrine import steps
    from vitrine.journal import run_folder

    steps.refuse(task, Path(evaluation.path), Path(decision.path), registry, run_folder(reports, run_id))
