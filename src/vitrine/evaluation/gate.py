"""The champion gate: may a newly trained model replace the one in use? A pure function of the figures of both."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from vitrine.errors import InputError
from vitrine.evaluation.beside import PREFIX
from vitrine.evaluation.constant import PREFIX as CONSTANT
from vitrine.evaluation.sample import Interval
from vitrine.words import counted

TOO_FEW = ("promote", "refuse")  # what to do with a gain that so few photos cannot tell from chance


@dataclass(frozen=True)
class GateRules:
    """What a candidate must show. Fractions 0..1.

    Attributes:
        metric: The figure that decides.
        min_gain: The candidate must be better than the champion by more than this.
        tolerance: Differences up to this are a tie, and a tie keeps the champion.
        floor: The least the figure must be, with or without a champion.
        max_drop: No figure of `guarded` may fall by more than this.
        guarded: Those of single levels, attribute types, categories ...
        allow_below_baseline: Let a model pass that is worse than the frozen net it started from, or not clearly better
            than the constant model.
        counted: What `count` counts.
        trivial: What the constant model predicts.
        too_few: Of `TOO_FEW`: what becomes of a model that is better, where the interval of the gain holds 0.
    """

    metric: str
    min_gain: float = 0.0
    tolerance: float = 0.001
    floor: float = 0.0
    max_drop: float = 0.05
    guarded: re.Pattern[str] = re.compile(r"(?!)")
    allow_below_baseline: bool = False
    counted: str = "photos"
    trivial: str = "the commonest label for every photo"
    too_few: str = TOO_FEW[0]

    def __post_init__(self) -> None:
        if self.too_few not in TOO_FEW:
            raise InputError(f"too_few_to_tell must be {' or '.join(TOO_FEW)}, not {self.too_few!r}")
        for name in ("min_gain", "floor", "max_drop"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(f"{name} must lie between 0 and 1, not {value}")


@dataclass(frozen=True)
class Comparison:
    """One figure of both models, or of the candidate and a baseline.

    Attributes:
        key: Of metrics.json.
        candidate: The candidate's.
        champion: The champion's; None where it was not compared with that.
        passed: Whether the gate accepts it.
        baseline: The baseline's; None where it was not compared with one.
        against: What it was compared with, in words.
    """

    key: str
    candidate: float | None
    champion: float | None
    passed: bool
    baseline: float | None = None
    against: str = "champion"


@dataclass(frozen=True)
class Decision:
    """What the gate says, in one sentence with numbers, and every figure it looked at."""

    promote: bool
    reason: str
    comparisons: tuple[Comparison, ...] = ()


def decide(
    candidate: Mapping[str, float],
    champion: Mapping[str, float] | None,
    rules: GateRules,
    *,
    candidate_id: str = "",
    champion_id: str = "",
    over_constant: Interval | None = None,
    over_champion: Interval | None = None,
) -> Decision:
    """Compares a candidate with the champion; both must have been evaluated on the same photos.

    The figure that decides is compared over what both models predict. A candidate that also predicts a new attribute
    type is judged on the types that the champion knows, and one with a deeper tree on the champion's deepest level; a
    candidate that no longer predicts something the champion predicts is refused.

    Args:
        candidate: The candidate's `metrics.json`.
        champion: The champion's, freshly measured on the same photos; None if there is no champion.
        rules: What to ask for.
        candidate_id: Content hash of the candidate, to notice a model that is compared with itself.
        champion_id: The same of the champion.
        over_constant: How much better the candidate is than the constant model; None: not known.
        over_champion: How much better it is than the champion.
    """
    if champion is not None and candidate_id and candidate_id == champion_id:
        return Decision(False, f"Refused: the candidate is the champion itself (model {candidate_id}).")
    value = candidate.get(rules.metric)
    if value is None or math.isnan(value):
        what = "is missing" if value is None else "is not a number"
        return Decision(False, f"Refused: the candidate's {rules.metric} {what}.")
    if value < rules.floor:
        reason = f"Refused: {rules.metric} {value:.4f} is below the floor of {rules.floor:.4f} (min_value)."
        return Decision(False, reason, (Comparison(rules.metric, value, None, False),))
    constant = candidate.get(CONSTANT + rules.metric)
    if not rules.allow_below_baseline and _no_better(value, constant, over_constant):
        of_constant = "" if constant is None else f" the {constant:.4f} of"
        apart = f" ({over_constant.words()})" if over_constant else ""
        reason = (
            f"Refused: {rules.metric} {value:.4f} is not clearly better than{of_constant} {rules.trivial}{apart} "
            "(allow_below_baseline lets such a model pass)."
        )
        return Decision(False, reason, (Comparison(rules.metric, value, None, False, constant, "constant model"),))
    frozen = candidate.get(PREFIX + rules.metric)
    if frozen is not None and value < frozen and not rules.allow_below_baseline:
        reason = (
            f"Refused: {rules.metric} {value:.4f} is below the {frozen:.4f} of the frozen net that training started "
            "from (allow_below_baseline lets such a model pass)."
        )
        return Decision(False, reason, (Comparison(rules.metric, value, None, False, frozen, "frozen net"),))
    if champion is None:
        beyond = f"; {over_constant.words()} over {rules.trivial}" if over_constant else ""
        reason = f"Promoted: the first model, with {rules.metric} {value:.4f}{beyond}."
        return Decision(True, reason, (Comparison(rules.metric, value, None, True),))
    if candidate.get("count") != champion.get("count"):
        return Decision(
            False,
            f"Refused: measured on different test sets ({_counted(candidate, rules)} for the candidate, "
            f"{_counted(champion, rules)} for the champion).",
        )
    return _against(candidate, champion, rules, over_champion)


def keeps_up(
    candidate: Mapping[str, float], original: Mapping[str, float], rules: GateRules, max_loss: float
) -> Decision:
    """Whether another form of the same model, such as one of fewer bits, may answer in its place.

    Args:
        candidate: Its figures.
        original: The model's own, on the same photos.
        rules: `guarded` figures may fall by `max_drop`.
        max_loss: How far the figure that decides may fall.
    """
    figures = [rules.metric, *sorted(key for key in original if rules.guarded.fullmatch(key))]
    drops = [max_loss, *[rules.max_drop] * (len(figures) - 1)]
    guards = tuple(
        _guard(key, candidate.get(key), original[key], most) for key, most in zip(figures, drops, strict=True)
    )
    for guard, most in zip(guards, drops, strict=True):
        if not guard.passed:
            value = "nothing" if guard.candidate is None else f"{guard.candidate:.4f}"
            reason = f"Refused: {guard.key} falls from {guard.champion:.4f} to {value}; at most {most:g} is allowed."
            return Decision(False, reason, guards)
    told = f"{rules.metric} {candidate[rules.metric]:.4f} against {original[rules.metric]:.4f}"
    return Decision(True, f"Keeps up: {told}.", guards)


def _no_better(value: float, constant: float | None, interval: Interval | None) -> bool:
    """Whether a model is not better than the constant model by more than the interval of the difference."""
    if interval is not None and not math.isnan(interval.difference):
        return interval.low <= 0
    return constant is not None and value <= constant


def _against(
    candidate: Mapping[str, float], champion: Mapping[str, float], rules: GateRules, interval: Interval | None
) -> Decision:
    guarded = sorted(key for key in champion if rules.guarded.fullmatch(key))
    guards = [_guard(key, candidate.get(key), champion[key], rules.max_drop) for key in guarded]
    key, new, old = _shared_figure(candidate, champion, rules.metric)
    gain = new - old
    enough = gain > max(rules.min_gain, rules.tolerance)
    comparisons = (Comparison(key, new, old, enough), *guards)
    figures = f"{key} {new:.4f} against {old:.4f}"
    words = f"; {interval.words()}" if interval else ""
    lost = [guard for guard in guards if guard.candidate is None]
    if lost:
        reason = f"Refused: the candidate has no {lost[0].key}, where the champion has {lost[0].champion:.4f}."
    elif math.isnan(gain):
        reason = f"Refused: {key} cannot be compared ({new:.4f} against {old:.4f})."
    elif gain < -rules.tolerance:
        reason = f"Refused: worse than the champion, {figures} ({gain:+.4f}{words})."
    elif gain <= rules.tolerance:
        reason = (
            f"Refused: a tie keeps the champion, {figures} (differences up to {rules.tolerance:g} are a tie{words})."
        )
    elif gain <= rules.min_gain:
        reason = f"Refused: {figures} is a gain of {gain:.4f}, and more than {rules.min_gain:g} is asked for."
    elif fallen := [guard for guard in guards if not guard.passed]:
        worst = min(fallen, key=lambda guard: (guard.candidate or 0.0) - (guard.champion or 0.0))
        reason = (
            f"Refused: better overall ({figures}), but {worst.key} falls from {worst.champion:.4f} to "
            f"{worst.candidate:.4f}; at most {rules.max_drop:g} is allowed."
        )
    elif interval is None or interval.low > 0:
        return Decision(True, f"Promoted: {figures} ({gain:+.4f}{words}).", comparisons)
    elif rules.too_few == "promote":
        why = "promoted because it is the better guess (too_few_to_tell is promote)"
        return Decision(True, f"Promoted: {figures} ({interval.words()}: too few to tell; {why}).", comparisons)
    else:
        why = "refused because too_few_to_tell is refuse"
        reason = f"Refused: {figures} ({interval.words()}: too few to tell; {why})."
    return Decision(False, reason, comparisons)


def _guard(key: str, new: float | None, old: float, max_drop: float) -> Comparison:
    passed = new is not None and (math.isnan(old) or new >= old - max_drop - 1e-9)  # a NaN candidate fails
    return Comparison(key, new, old, passed)


def _shared_figure(
    candidate: Mapping[str, float], champion: Mapping[str, float], metric: str
) -> tuple[str, float, float]:
    """The deciding figure over the levels or types that both models predict: its name and both values."""
    parts = {
        name: [key for key in metrics if re.fullmatch(rf"(level\d+|attr:.+)/{re.escape(metric)}", key)]
        for name, metrics in (("candidate", candidate), ("champion", champion))
    }
    shared = [key for key in parts["champion"] if key in candidate]
    if not shared or set(parts["candidate"]) == set(parts["champion"]):
        return metric, candidate[metric], champion.get(metric, math.nan)
    levels = [key for key in shared if key.startswith("level")]
    if levels:
        deepest = max(levels, key=lambda key: int(key.partition("/")[0].removeprefix("level")))
        return deepest, candidate[deepest], champion[deepest]
    new, old = (sum(metrics[key] for key in shared) / len(shared) for metrics in (candidate, champion))
    return f"{metric} over the {len(shared)} shared types", new, old


def _counted(metrics: Mapping[str, float], rules: GateRules) -> str:
    count = metrics.get("count")
    noun = rules.counted.removesuffix("s")
    return f"an unknown number of {rules.counted}" if count is None else counted(int(count), noun)
