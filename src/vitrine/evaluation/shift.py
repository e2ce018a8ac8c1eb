"""The decision rule of drift detection: which signals moved further than chance and further than matters.

A signal is one thing measured about every photo: an image statistic, a label, a prediction, its confidence, or, of the
16 strongest directions of both sides' embeddings together, where photos lie and which lie side by side. Each has a
distance between the reference and the current photos:

    number      Wasserstein-1 distance / the reference's standard deviation
    label       Jensen-Shannon distance of the label shares, natural logarithm (0 the same, 0.83 nothing in common)
    embedding   Frechet distance of two Gaussians, in standard deviations of the reference:
                d^2 = |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a^1/2 S_b S_a^1/2)^1/2)
    neighbours  share of the new photos that lie among new ones: of their nearest photos of other listings more are new
                than chance lets one in a hundred have. A few photos of a new kind move no mean, but they lie together
                (after Schilling, JASA 1986)

How far a distance goes by chance depends on how many photos are compared, so it is found at comparison time by a
permutation test: listings of both sides, whole since photos of one listing are alike, are dealt to two sides at random,
as many to each as there are. If nothing changed, what was observed is one more such deal, and alarms as often as it
should whatever the sizes and distributions (a bootstrap takes the reference's spread and tails for the truth). That
holds only where nothing was fitted to one side alone. All signals share the deals, and one bound holds for all of them
together (Westfall and Young's single-step max statistic): with z = (d - mean) / sd over the deals, c is what the
largest z of a deal exceeds at the rate that is allowed, and a signal's threshold is mean + c sd. Labels seen for the
first time have a part of that rate (`NEW_LABELS`). On large samples the smallest change is beyond chance; a signal must
also move by a least distance that matters.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from vitrine.catalog import labels_of

LEAST_PHOTOS = 10  # with fewer a signal is not compared
COMMON = 10  # labels rarer than this in the reference count as one: each of them says nothing
NEW_LABELS = 0.1  # of the false alarm rate is that of labels seen for the first time: many more than chance, or few
NEAREST = 30  # neighbours of a photo that are looked at
RARE = 0.01  # chance of so many new ones among a photo's nearest, from which on it lies among new ones
STRONGEST = 16  # directions of the embeddings that are compared: in more, what a photo shows drowns
PORTION = 512  # photos whose neighbours are looked for together
OUTLIER = 4.0  # values are cut off this many standard deviations out: of one odd photo nothing follows
KINDS = ("statistic", "labels", "predictions", "confidence", "embedding", "neighbours", "new labels")
AT_ONCE = 50  # deals that are computed together: their weights fit into a processor's cache
Weights = np.ndarray  # (deals, rows) 1 where a row was dealt to a side, 0 elsewhere
FAULTS = (ArithmeticError, AttributeError, TypeError, ValueError)  # of values that are not what a signal consists of


@dataclass(frozen=True)
class DriftRules:
    """When to alarm.

    Attributes:
        false_alarm_rate: How often photos like the reference's may alarm, over all signals and new labels together.
        draws: Random deals of both sides' listings; more where the rate asks for it.
        seed: Of the deals.
        min_shift: Least distance of a number that matters, in standard deviations of the reference.
        min_mix: Least Jensen-Shannon distance of label shares that matters.
        min_embedding: Least Frechet distance of embeddings that matters.
        min_neighbours: Least share of new photos that lie among new ones that matters.
    """

    false_alarm_rate: float = 0.01
    draws: int = 400
    seed: int = 0
    min_shift: float = 0.1
    min_mix: float = 0.1
    min_embedding: float = 0.3
    min_neighbours: float = 0.02


@dataclass(frozen=True)
class Finding:
    """What was found about one signal.

    Attributes:
        signal: Its name, a column of the compared tables ("embedding" and "neighbours" for all components together).
        kind: One of `KINDS`.
        distance: Between reference and current (see the module), or the number of photos with new labels.
        threshold: Beyond it the signal has moved.
        p_value: Chance of such a distance in any signal, corrected for looking at all of them.
        moved: Whether it counts as drift.
        change: What changed, in words and numbers.
    """

    signal: str
    kind: str
    distance: float
    threshold: float
    p_value: float
    moved: bool
    change: str

    @property
    def ratio(self) -> float:
        """Distance in thresholds: above 1 has moved."""
        if self.threshold:
            return self.distance / self.threshold
        return 1.0 + self.distance if self.distance else 0.0


@dataclass(frozen=True)
class _Signal:
    name: str
    kind: str
    least: float
    present: np.ndarray  # (rows,) whether the stacked rows have a value
    distance: Callable[[Weights, Weights], np.ndarray]  # (draws,); NaN where a side has no value


class Detected(NamedTuple):
    """What two tables of signals say.

    Attributes:
        findings: One per signal, furthest beyond its threshold first.
        skipped: Signals that there is too little of to compare, with the reason.
        broken: Signals whose values cannot be computed with, with the reason. The others are judged without them.
    """

    findings: list[Finding]
    skipped: list[tuple[str, str]]
    broken: list[tuple[str, str]]


def detect(reference: pd.DataFrame, current: pd.DataFrame, rules: DriftRules) -> Detected:
    """Compares two tables of signals (see `vitrine.monitoring.drift.describe`), each signal on its own."""
    signals, skipped, broken = _signals(reference, current, rules)
    size, others = len(reference), len(current)
    both = np.repeat([[1.0, 0.0]], [size, others], axis=1), np.repeat([[0.0, 1.0]], [size, others], axis=1)
    distances = [_distance(signal, *both, broken) for signal in signals]
    signals = [signal for signal, distance in zip(signals, distances, strict=True) if distance is not None]
    if not signals:
        return Detected([], skipped, broken)
    observed = np.array([distance for distance in distances if distance is not None])
    rate = rules.false_alarm_rate * (1 - NEW_LABELS)
    draws = max(rules.draws, int(np.ceil(2 / rate)))  # with fewer the largest of them all would say too little
    chance = _chance(signals, _groups(reference), _groups(current), draws, rules.seed)  # (draws, signals)
    # Of a share that is nearly always 0 one photo is many deviations, and would raise the bound of all signals.
    floor = [signal.least / 3 if signal.kind == "neighbours" else 1e-12 for signal in signals]
    mean, deviation = chance.mean(axis=0), np.maximum(chance.std(axis=0), floor)
    largest = ((chance - mean) / deviation).max(axis=1)
    bound = np.sort(largest)[-int(rate * (draws + 1))]  # so that p_value <= rate is the same as beyond the bound
    exceeded = (largest[:, None] >= (observed - mean) / deviation).sum(axis=0)
    findings = []
    for i, signal in enumerate(signals):
        threshold = max(signal.least, float(mean[i] + bound * deviation[i]))
        findings.append(
            Finding(
                signal.name,
                signal.kind,
                float(observed[i]),
                threshold,
                float((1 + exceeded[i]) / (1 + draws)),
                bool(observed[i] > threshold),
                _change(signal, reference, current),
            )
        )
    return Detected(sorted(findings, key=lambda finding: -finding.ratio), skipped, broken)


def _distance(signal: _Signal, first: Weights, second: Weights, broken: list[tuple[str, str]]) -> float | None:
    """The distance of a signal; None, and an entry in `broken`, if there is none."""
    try:
        distance = float(signal.distance(first, second)[0])
    except FAULTS as error:
        broken.append((signal.name, _reason(error)))
        return None
    if not np.isfinite(distance):
        broken.append((signal.name, f"its distance is {distance}"))
        return None
    return distance


def _reason(error: Exception) -> str:
    """One line."""
    return " ".join(str(error).split()) or type(error).__name__


def new_labels(
    counts: dict[str, dict[str, int]],
    seen: dict[str, dict[str, int]],
    rules: DriftRules,
    rare: Mapping[str, int] | None = None,
) -> list[Finding]:
    """Labels that the reference never saw, per label column: always a finding, drift when chance does not explain them.

    A reference with rare labels has surely missed others: about its share of labels seen once (Good and Turing). With
    f labels seen once among n, the number of new ones among m is by chance negative binomial with f + 1 successes of
    probability n / (n + m): a Poisson count whose rate is itself only known from f.

    Args:
        counts: Per column how many listings of the whole reference have each label (rows, where there are none).
        seen: The same of the current photos.
        rules: The false alarm rate; `NEW_LABELS` of it is shared evenly by the columns.
        rare: Per column how many labels were taken away from both sides for their rarity. Each stands for one seen
            once: where such labels were cut the reference looks as if it had missed none.
    """
    from scipy.stats import nbinom

    findings = []
    columns = [column for column in seen if seen[column] and counts.get(column)]
    for column in columns:
        fresh = {label: count for label, count in seen[column].items() if label not in counts[column]}
        if not fresh:
            continue
        once = sum(count == 1 for count in counts[column].values()) + (rare or {}).get(column, 0)
        n, m = sum(counts[column].values()), sum(seen[column].values())
        count = sum(fresh.values())
        by_chance = nbinom(once + 1, n / (n + m))
        limit = float(by_chance.isf(NEW_LABELS * rules.false_alarm_rate / len(columns)))
        named = ", ".join(f"{label} ({times})" for label, times in sorted(fresh.items(), key=lambda item: -item[1])[:5])
        more = f" and {len(fresh) - 5} more" if len(fresh) > 5 else ""
        p_value = min(1.0, len(columns) * float(by_chance.sf(count - 1)))
        change = f"never in the reference: {named}{more}"
        findings.append(Finding(column, "new labels", float(count), limit, p_value, count > limit, change))
    return findings


def label_shares(column: pd.Series) -> dict[str, float]:
    """How often each label stands among the labels of a column, largest first; multi-label cells are taken apart."""
    counts = pd.Series([label for _, label in _pairs(column)], dtype=object).value_counts()
    total = counts.sum()
    return {str(label): count / total for label, count in counts.items()}


def _pairs(column: pd.Series) -> list[tuple[int, str]]:
    """Every row's labels, one by one."""
    cells = column.tolist()
    known = {cell: labels_of(cell) for cell in set(cells)}
    return [(row, label) for row, cell in enumerate(cells) for label in known[cell]]


def kind_of(column: str) -> str:
    """Which kind of signal a column of the compared tables is; "" for none."""
    if column.startswith("embedding"):
        return "embedding"
    if column.startswith("predicted:"):
        return "predictions"
    if column.startswith("confidence:"):
        return "confidence"
    if column.startswith(("level", "attr:")) or column == "readable":
        return "labels"
    return "" if column in ("image", "photo", "listing") else "statistic"


def signal_title(signal: str) -> str:
    """`predicted:level2` as people say it."""
    prefix, _, rest = signal.partition(":")
    if signal.startswith("level"):
        return f"category level {signal.removeprefix('level')}"
    if prefix == "attr":
        return rest
    if prefix in ("predicted", "confidence"):
        return f"{prefix} {signal_title(rest)}"
    return signal.replace("_", " ")


def _signals(
    reference: pd.DataFrame, current: pd.DataFrame, rules: DriftRules
) -> tuple[list[_Signal], list[tuple[str, str]], list[tuple[str, str]]]:
    signals, skipped, broken = [], [], []
    size = len(reference)
    for column in reference.columns:
        kind = kind_of(column)
        if kind in ("", "embedding"):
            continue
        if column not in current:
            skipped.append((column, "the new photos have none"))
            continue
        values = pd.concat([reference[column], current[column]], ignore_index=True)
        try:
            if kind in ("labels", "predictions"):
                signal = _mix(column, kind, values, size, rules.min_mix)
            else:
                signal = _number(column, kind, values.to_numpy(np.float64), size, rules.min_shift)
        except FAULTS as error:
            broken.append((column, _reason(error)))
            continue
        before, now = int(signal.present[:size].sum()), int(signal.present[size:].sum())
        if min(before, now) < LEAST_PHOTOS:
            skipped.append((column, f"too few photos: {before} in the reference, {now} new"))
        else:
            signals.append(signal)
    components = [column for column in reference.columns if kind_of(column) == "embedding"]
    if components and set(components) <= set(current.columns):
        both = pd.concat([reference[components], current[components]])
        for name in ("embedding", "neighbours"):
            try:
                points = strongest(both.to_numpy(np.float64))
                if name == "embedding":
                    signal = _embedding(points, size, rules.min_embedding)
                else:
                    signal = _neighbours(points, _side_by_side(reference, current), rules.min_neighbours)
            except FAULTS as error:
                broken.append((name, _reason(error)))
                continue
            if min(signal.present[:size].sum(), signal.present[size:].sum()) < LEAST_PHOTOS:
                skipped.append((name, "too few photos"))
            else:
                signals.append(signal)
    elif components:
        skipped.append(("embedding", "no model answered about the new photos"))
    return signals, skipped, broken


def _chance(
    signals: list[_Signal], groups: np.ndarray, current_groups: np.ndarray, draws: int, seed: int
) -> np.ndarray:
    """(draws, signals) distances between two sides that the listings of both were dealt to at random."""
    dealer = np.random.default_rng(seed)
    as_new = int(current_groups.max()) + 1
    pool = np.concatenate([as_new + groups, current_groups])
    listings = int(pool.max()) + 1
    chance = np.empty((draws, len(signals)))
    for start in range(0, draws, AT_ONCE):
        part = slice(start, min(start + AT_ONCE, draws))
        dealt = [dealer.permutation(listings)[pool] < as_new for _ in range(part.start, part.stop)]
        second = np.stack(dealt).astype(np.float64)
        for i, signal in enumerate(signals):
            chance[part, i] = signal.distance(1 - second, second)
    missed = np.isnan(chance)  # a deal may leave a side without a rare type
    usual = np.where(missed, 0.0, chance).sum(axis=0) / np.maximum((~missed).sum(axis=0), 1)
    return np.where(missed, usual, chance)


def _groups(table: pd.DataFrame) -> np.ndarray:
    """(rows,) number of the listing each row belongs to; a row without one stands alone."""
    if "listing" not in table:
        return np.arange(len(table))
    groups = pd.factorize(table["listing"])[0]
    alone = (table["listing"] == "").to_numpy()
    groups[alone] = len(table) + np.arange(alone.sum())
    return np.unique(groups, return_inverse=True)[1]


def _number(name: str, kind: str, values: np.ndarray, size: int, least: float) -> _Signal:
    present = np.isfinite(values)
    present_values = values[:size][present[:size]]
    # The floors keep one odd photo from counting as drift where the reference does not vary at all.
    scale = max(present_values.std(), 0.05 * abs(present_values.mean()), 0.01) if len(present_values) else 1.0
    standard = np.clip((values - present_values.mean()) / scale, -OUTLIER, OUTLIER) if len(present_values) else values
    order = np.flatnonzero(present)[np.argsort(standard[present], kind="stable")]
    gaps = np.diff(standard[order])

    def distance(first: Weights, second: Weights) -> np.ndarray:
        a, b = (np.cumsum(side[:, order], axis=1) for side in (first, second))
        with np.errstate(invalid="ignore"):  # a side without a value
            apart = np.abs(a / a[:, -1:] - b / b[:, -1:])
        return apart[:, :-1] @ gaps

    return _Signal(name, kind, least, present, distance)


def _mix(name: str, kind: str, cells: pd.Series, size: int, least: float) -> _Signal:
    from scipy.special import rel_entr

    pairs = _pairs(cells)
    rows = np.array([row for row, _ in pairs], dtype=np.int64)
    counts = Counter(label for row, label in pairs if row < size)
    common = {label for label, count in counts.items() if count >= COMMON}
    # Labels that the reference never had are no part of its mix: how many chance explains, `new_labels` knows. Nor are
    # rare ones of the reference alone: counted on one side only, both would make two halves of one catalog differ.
    asked = kind == "labels" and name != "readable"
    kept = {*common, *(label for row, label in pairs if row >= size and label in counts)}
    seen = np.array([not asked or label in kept for _, label in pairs], dtype=bool)
    codes = pd.factorize(pd.Series([label if label in common else "" for _, label in pairs], dtype=object))[0]
    present = np.zeros(len(cells), dtype=bool)
    present[rows[seen | (rows >= size)]] = True
    labels, known = np.bincount(rows, minlength=len(cells)), np.zeros((len(cells), codes.max(initial=0) + 1))
    np.add.at(known, (rows[seen], codes[seen]), 1.0)  # (rows, labels) how often each row has each

    def distance(first: Weights, second: Weights) -> np.ndarray:
        p, q = first @ known, second @ known
        with np.errstate(invalid="ignore"):  # a side without a label
            p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
        middle = (p + q) / 2
        divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / 2
        apart = np.sqrt(np.maximum(divergence, 0.0))
        others = np.isnan(q[:, 0]) & ~np.isnan(p[:, 0]) & (second @ labels > 0)  # nothing in common
        return np.where(others, np.sqrt(np.log(2)), apart)

    return _Signal(name, kind, least, present, distance)


def _embedding(points: np.ndarray, size: int, least: float) -> _Signal:
    present = np.isfinite(points).all(axis=1)
    present_points = points[:size][present[:size]]
    points = np.where(present[:, None], points, 0.0)
    if len(present_points):
        standard = (points - present_points.mean(axis=0)) / np.maximum(present_points.std(axis=0), 1e-9)  # (rows, dim)
        points = np.clip(standard, -OUTLIER, OUTLIER)

    upper = np.triu_indices(points.shape[1])
    products = points[:, upper[0]] * points[:, upper[1]]  # (rows, dim (dim + 1) / 2)

    def moments(weights: Weights) -> tuple[np.ndarray, np.ndarray]:
        """Weighted means (draws, dim) and covariances (draws, dim, dim); zeros of no photo."""
        weights = np.where(present, weights, 0.0)
        share = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
        mean = share @ points
        squares = np.empty((len(share), points.shape[1], points.shape[1]))
        squares[:, upper[0], upper[1]] = squares[:, upper[1], upper[0]] = share @ products
        return mean, squares - mean[:, :, None] * mean[:, None, :]

    def distance(first: Weights, second: Weights) -> np.ndarray:
        (m_a, s_a), (m_b, s_b) = moments(first), moments(second)
        root = _root(s_a)
        shape = np.trace(s_a + s_b - 2 * _root(root @ s_b @ root), axis1=1, axis2=2)
        known = (first[:, present].sum(axis=1) > 0) & (second[:, present].sum(axis=1) > 0)
        return np.where(known, np.sqrt(np.maximum(((m_a - m_b) ** 2).sum(axis=1) + shape, 0.0)), np.nan)

    return _Signal("embedding", "embedding", least, present, distance)


def _neighbours(points: np.ndarray, groups: np.ndarray, least: float) -> _Signal:
    from scipy.sparse import csr_array

    present = np.isfinite(points).all(axis=1)
    nearest = nearest_photos(points, groups)
    rows, count = nearest.shape
    ends = np.arange(0, rows * count + 1, count) if count else np.zeros(rows + 1, np.int64)
    beside = csr_array((np.ones(rows * count, np.float32), nearest.ravel(), ends), (rows, rows))

    def distance(first: Weights, second: Weights) -> np.ndarray:
        new, old = (second > 0) & present, (first > 0) & present
        photos = new.sum(axis=1)
        with np.errstate(invalid="ignore"):  # a side without a photo
            shares = photos / (photos + old.sum(axis=1))
        known = (photos > 0) & old.any(axis=1)
        usual = [
            _usual_at_most(count, round(share, 2)) if some else 0.0
            for share, some in zip(shares.tolist(), known, strict=True)
        ]
        around = (beside @ new.T.astype(np.float32)).T  # (deals, rows) how many of each photo's nearest are new
        lonely = (around > np.array(usual)[:, None]) & new
        return np.where(known, lonely.sum(axis=1) / np.maximum(photos, 1), np.nan)

    return _Signal("neighbours", "neighbours", least, present, distance)


def strongest(points: np.ndarray, count: int = STRONGEST) -> np.ndarray:
    """Points (rows, dim) in their `count` strongest directions; rows with what is no number stay unknown.

    Of both sides together: directions of the reference alone fit its own photos better than new ones, which then lie
    nearer the middle, side by side.
    """
    from scipy.linalg import eigh

    known = np.isfinite(points).all(axis=1)
    if points.shape[1] <= count or known.sum() <= count:
        return points[:, :count]
    centred = points[known] - points[known].mean(axis=0)
    # Of the smaller of the two products: a whole decomposition takes several times as long.
    tall = len(centred) > centred.shape[1]
    product = centred.T @ centred if tall else centred @ centred.T
    squares, vectors = eigh(product, subset_by_index=[len(product) - count, len(product) - 1])
    turned = np.full((len(points), count), np.nan)
    turned[known] = centred @ vectors if tall else vectors * np.sqrt(np.clip(squares, 0, None))
    return turned[:, ::-1]


@cache
def _usual_at_most(count: int, share: float) -> float:
    """How many of some neighbours are new by chance, but for one photo in a hundred."""
    from scipy.stats import binom

    return float(binom(count, share).isf(RARE))


def nearest_photos(points: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The rows of each photo's nearest ones of other groups, (rows, `NEAREST`), of points (rows, dim).

    Rows that hold something that is no number are nobody's neighbours, and have row 0 as theirs.
    """
    rows = np.flatnonzero(np.isfinite(points).all(axis=1))
    chosen = points[rows]
    count = min(NEAREST, len(rows) - 1)
    neighbours = np.zeros((len(points), max(count, 0)), np.int64)
    squared = (chosen**2).sum(axis=1)
    for start in range(0, len(rows), PORTION):
        part = slice(start, start + PORTION)
        apart = squared[part, None] + squared - 2 * chosen[part] @ chosen.T
        apart[groups[rows[part], None] == groups[rows]] = np.inf
        neighbours[rows[part]] = rows[np.argpartition(apart, count - 1, axis=1)[:, :count]] if count > 0 else 0
    return neighbours


def _side_by_side(reference: pd.DataFrame, current: pd.DataFrame) -> np.ndarray:
    """(rows of both) number of the listing each row belongs to; one that both sides name is one."""
    return _groups(pd.concat([reference, current], ignore_index=True))


def _root(matrices: np.ndarray) -> np.ndarray:
    """The square roots of symmetric positive matrices (..., dim, dim); rounding below zero is cut off."""
    values, vectors = np.linalg.eigh((matrices + np.swapaxes(matrices, -1, -2)) / 2)
    return (vectors * np.sqrt(np.clip(values, 0, None))[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def _change(signal: _Signal, reference: pd.DataFrame, current: pd.DataFrame) -> str:
    if signal.kind == "embedding":
        return "the cloud of embeddings lies elsewhere or has another shape"
    if signal.kind == "neighbours":
        return "more new photos than chance explains lie by themselves, not among the reference's"
    before, now = reference[signal.name], current[signal.name]
    if signal.kind in ("labels", "predictions"):
        old, new = label_shares(before), label_shares(now)
        label = max({*old, *new}, key=lambda name: abs(new.get(name, 0) - old.get(name, 0)))
        return f"{label}: {100 * old.get(label, 0):.1f} % before, {100 * new.get(label, 0):.1f} % now"
    return f"mean {before.mean():.3g} before, {now.mean():.3g} now"
