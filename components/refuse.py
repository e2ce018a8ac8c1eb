"""KFP step: the champion stays, and the reason is kept."""

from kfp.dsl import Artifact, Input, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def refuse(evaluation: Input[Artifact], decision: Input[Artifact], task: str, registry: str, run: str) -> None:
    """Records that a candidate was not promoted.

    Args:
        evaluation: The candidate's evaluation.
        decision: The gate's decision.
        task: What the model answers.
        registry: Folder or s3:// prefix of the model registry.
        run: Folder or s3:// prefix for the pages of this run.
    """
    from pathlib import Path

    from vitrine import steps

    steps.refuse(task, Path(evaluation.path), Path(decision.path), registry, run)
