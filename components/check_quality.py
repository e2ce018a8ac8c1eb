"""KFP step: show what validation found, and stop a strict run whose data breaks a rule."""

from kfp.dsl import Artifact, Input, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def check_quality(results: Input[Artifact], reports: str, run_id: str, strict: bool = False) -> None:
    """Publishes what the steps so far decided, then stops a strict run. Never cached: each run has its own pages.

    Args:
        results: What validation found.
        reports: Folder or s3:// prefix below which each run leaves its pages.
        run_id: Which run this is.
        strict: Stop the run when a rule of severity error is broken.
    """
    from pathlib import Path

    from vitrine import steps
    from vitrine.journal import run_folder

    steps.check_quality(Path(results.path), strict, run_folder(reports, run_id))
