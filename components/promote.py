"""KFP step: the candidate becomes the champion."""

from kfp.dsl import Artifact, Dataset, Input, Model, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def promote(
    model: Input[Model],
    evaluation: Input[Artifact],
    decision: Input[Artifact],
    reference: Input[Dataset],
    task: str,
    registry: str,
    run: str,
) -> None:
    """Stores the model and its drift reference as a new version, and makes it the champion.

    Args:
        model: The candidate.
        evaluation: Its evaluation.
        decision: The gate's decision.
        reference: Drift reference.
        task: What the model answers.
        registry: Folder or s3:// prefix of the model registry.
        run: Folder or s3:// prefix for the pages of this run.
    """
    from pathlib import Path

    from vitrine import steps

    inputs = Path(model.path), Path(evaluation.path), Path(decision.path), Path(reference.path)
    steps.promote(task, *inputs, registry, run)
