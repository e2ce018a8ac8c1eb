"""A candidate against the champion, both measured on the same photos."""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from vitrine import files, tasks
from vitrine.catalog import Catalog
from vitrine.evaluation import METRICS, SAMPLES
from vitrine.evaluation.gate import TOO_FEW, Comparison, Decision, decide
from vitrine.evaluation.sample import Interval, Sample, difference, read_samples
from vitrine.registry.store import Registry, content_hash
from vitrine.report import Page, Tile

DECISION = "decision.json"


def challenge(
    model: Path,
    evaluation: Path,
    catalog: Catalog,
    registry: Registry,
    out: Path,
    *,
    split: str = "test",
    min_gain: float = 0.0,
    max_drop: float = 0.05,
    floor: float = 0.0,
    too_few: str = TOO_FEW[0],
    only_compare: bool = False,
    allow_below_baseline: bool = False,
) -> Decision:
    """Decides whether a candidate may replace its task's champion; changes nothing in the registry.

    The champion is measured anew on the same photos, because its old figures were of an older test set.

    Args:
        model: The candidate's model folder.
        evaluation: What `evaluate` wrote about it, on `split`.
        catalog: Whose photos both are measured on.
        registry: Where the champion is.
        out: A new folder for `decision.json` and `report.html`.
        split: Which rows.
        min_gain: See `GateRules`.
        max_drop: See `GateRules`.
        floor: See `GateRules`.
        too_few: See `GateRules`.
        allow_below_baseline: See `GateRules`.
        only_compare: Refuse in any case, and say what the decision would have been.

    Raises:
        InputError: if the candidate, its evaluation or the champion cannot be read.
    """
    chosen = tasks.of_model(Path(model))
    task = chosen.name
    candidate, candidate_id = files.read_json(Path(evaluation) / METRICS), content_hash(Path(model))
    samples = read_samples(Path(evaluation) / SAMPLES)
    candidate_sample, constant = samples.get("own"), samples.get("constant")
    champion = registry.champion(task)
    against, others = None, None
    if champion is not None and champion.content != candidate_id:
        from vitrine.evaluate import measure

        with tempfile.TemporaryDirectory() as folder:
            copy = registry.fetch(champion, Path(folder) / "champion")
            against, others = measure(copy, catalog, split)
    elif champion is not None:
        against = candidate
    changes = {"min_gain": min_gain, "max_drop": max_drop, "floor": floor}
    rules = chosen.gate_rules(allow_below_baseline=allow_below_baseline, too_few=too_few, **changes)
    decision = decide(
        candidate,
        against,
        rules,
        candidate_id=candidate_id,
        champion_id=champion.content if champion else "",
        over_constant=_interval(candidate_sample, constant),
        over_champion=_interval(candidate_sample, others),
    )
    if only_compare:
        decision = replace(decision, promote=False, reason=f"Only compared. The gate would say: {decision.reason}")
    with files.new_folder(out) as folder:
        files.write_json(
            folder / DECISION,
            {
                "task": task,
                **asdict(decision),
                "candidate": candidate,
                "champion": against,
                "champion_version": champion.version if champion else None,
            },
        )
        _page(task, decision, champion.version if champion else "", catalog.data_version).write(folder / "report.html")
    return decision


def _interval(sample: Sample | None, other: Sample | None) -> Interval | None:
    return None if sample is None or other is None else difference(sample, other)


def _page(task: str, decision: Decision, champion: str, data_version: str) -> Page:
    against = f"Candidate against champion {champion}" if champion else "There was no champion yet"
    page = Page(
        f"Gate: {task}",
        f"{against} · data version {data_version or 'unknown'}",
        verdict="Promoted" if decision.promote else "Refused",
        tone="good" if decision.promote else "bad",
    )
    page.text(decision.reason)
    page.tiles(
        Tile(
            comparison.key,
            _figure(comparison.candidate),
            "good" if comparison.passed else "bad",
            f"{comparison.against} {_figure(_other(comparison))}",
        )
        for comparison in decision.comparisons[:4]
    )
    page.heading("Every figure the gate looked at", "The first decides; none of the others may fall too far.")
    page.table(
        ["figure", "candidate", decision.comparisons[0].against if decision.comparisons else "champion", "accepted"],
        [
            [
                comparison.key,
                _figure(comparison.candidate),
                _figure(_other(comparison)),
                "yes" if comparison.passed else "no",
            ]
            for comparison in decision.comparisons
        ],
    )
    return page


def _other(comparison: Comparison) -> float | None:
    return comparison.champion if comparison.baseline is None else comparison.baseline


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
