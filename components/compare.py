"""KFP step: the gate. A candidate against the champion on the same photos."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Model, Output, component

from components import IMAGE


@component(base_image=IMAGE, install_kfp_package=False)
def compare(
    model: Input[Model],
    evaluation: Input[Artifact],
    table: Input[Dataset],
    decision: Output[Artifact],
    report: Output[HTML],
    task: str,
    registry: str,
    min_gain: float = 0.0,
    max_drop: float = 0.05,
    only_compare: bool = False,
    allow_below_baseline: bool = False,
) -> str:
    """Decides whether the candidate replaces the champion. Never cached: the champion may have changed.

    Args:
        model: The candidate.
        evaluation: Its evaluation.
        table: Catalog table with splits.
        decision: Folder with decision.json and report.html.
        report: The page.
        task: What the model answers.
        registry: Folder or s3:// prefix of the model registry.
        min_gain: How much better the candidate must be.
        max_drop: How far a single level's or attribute's figure may fall.
        only_compare: Refuse in any case, and say what the decision would have been.
        allow_below_baseline: Let a model pass that is worse than the frozen net it started from.

    Returns:
        `promote` or `refuse`.
    """
    from pathlib import Path

    from components.outputs import show_page, stamp
    from vitrine import steps

    inputs = Path(model.path), Path(evaluation.path), Path(table.path)
    answer = steps.compare(
        task,
        *inputs,
        registry,
        Path(decision.path),
        min_gain,
        max_drop,
        only_compare=only_compare,
        allow_below_baseline=allow_below_baseline,
    )
    show_page(report, Path(decision.path) / "report.html")
    stamp(Path(table.path), decision)
    return answer
