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
    reports: str,
    run_id: str,
    keep: int = 0,
    model_registry: str = "",
) -> None:
    """Stores the model and its drift reference as a new version, and makes it the champion.

    Args:
        model: The candidate.
        evaluation: Its evaluation.
        decision: The gate's decision.
        reference: Drift reference.
        task: What the model answers.
        registry: Folder or s3:// prefix of the model registry.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.
        keep: Newest versions that stay in the registry, beside the champion and the one before; 0 = all.
        model_registry: Address of a Kubeflow Model Registry to tell; empty = none.
    """
    from pathlib import Path

    from pipelines.model_registry import announcer
    from vitrine import steps
    from vitrine.journal import run_folder

    inputs = Path(model.path), Path(evaluation.path), Path(decision.path), Path(reference.path)
    steps.promote(task, *inputs, registry, run_folder(reports, run_id), keep, announcer(model_registry))
