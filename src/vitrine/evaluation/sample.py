"""How certain a figure is: the hits behind it, one by one, and bootstrap intervals of differences over them.

Every deciding figure is a mean over targets of the mean over groups of sum(hit) / sum(of): a group is a class for the
macro accuracy, and everything together for accuracies and recalls. So two models that were asked the same can be
compared draw by draw: the bootstrap is paired (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from vitrine.errors import InputError
from vitrine.evaluation.metrics import TrueRanks
from vitrine.words import counted as _counted

DRAWS = 1000
LEAST = 5  # units; of fewer nothing can be said
UNITS = ("product", "listing")  # columns whose rows are not independent of each other, the widest first


@dataclass(frozen=True)
class Hits:
    """How right each prediction of one target is.

    Attributes:
        unit: (n,) which photo, listing or product each is about, numbered from 0.
        group: (n,) which group it counts in.
        hit: (n,) how right it is, 0..1.
    """

    unit: np.ndarray
    group: np.ndarray
    hit: np.ndarray

    @classmethod
    def of_ranks(cls, ranks: TrueRanks, k: int, by_class: bool) -> "Hits":
        """Of labels: right where the true one is among the k best; each class a group, or all of them one."""
        group = ranks.label if by_class else np.zeros_like(ranks.label)
        return cls(ranks.photo, group, ranks.hits(k))

    def figure(self, weights: np.ndarray | None = None) -> float:
        """The mean over groups of the share of right predictions; NaN without any.

        Args:
            weights: (units,) how often each counts; None: once.
        """
        share = np.ones(len(self.unit)) if weights is None else weights[self.unit]
        size = int(self.group.max(initial=-1)) + 1
        of = np.bincount(self.group, share, minlength=size)
        hits = np.bincount(self.group, self.hit * share, minlength=size)
        return float((hits[of > 0] / of[of > 0]).mean()) if (of > 0).any() else float("nan")


@dataclass(frozen=True)
class Sample:
    """How right a model's predictions on the measured rows are.

    Attributes:
        counted: What units are: photos, listings or products.
        units: How many there are.
        targets: By target: `level<i>`, `attr:<type>`, or one of another name.
    """

    counted: str
    units: int
    targets: Mapping[str, Hits]


@dataclass(frozen=True)
class Interval:
    """The difference of two models' figures, and where 95 % of the bootstrap's draws lie.

    Attributes:
        difference: Of the figures, -1..1.
        low: 2.5 % of the draws are below.
        high: 2.5 % of the draws are above.
        count: Units that were drawn from.
        counted: What they are.
    """

    difference: float
    low: float
    high: float
    count: int
    counted: str

    @property
    def clear(self) -> bool:
        """Whether the sign of the difference is known."""
        return self.low > 0 or self.high < 0

    def words(self) -> str:
        """The difference as a person reads it, in points (hundredths)."""
        return (
            f"{100 * self.difference:+.1f} points, 95 % between {100 * self.low:+.1f} and {100 * self.high:+.1f}, "
            f"{_counted(self.count, self.counted.removesuffix('s'))}"
        )


def units_of(table: pd.DataFrame) -> tuple[str, np.ndarray]:
    """What the rows of a table are drawn by, and the unit of each, (rows,).

    Photos of one product, or of one listing where products are not known, are no independent trials.
    """
    images = "photo:" + table["image"].astype(str)
    for column in UNITS:
        if column in table and (table[column] != "").mean() >= 0.5:
            names = (f"{column}:" + table[column].astype(str)).where(table[column] != "", images)
            return f"{column}s", pd.factorize(names)[0].astype(np.int64)
    return "photos", pd.factorize(images)[0].astype(np.int64)


def sample_of(targets: Mapping[str, Hits], counted: str, units: np.ndarray) -> Sample:
    """Hits of rows, drawn by units.

    Args:
        targets: Hits whose `unit` is a row.
        counted: What units are.
        units: (rows,) the unit of each row.
    """
    by_unit = {name: Hits(units[per_row.unit], per_row.group, per_row.hit) for name, per_row in targets.items()}
    return Sample(counted, int(units.max(initial=-1)) + 1, by_unit)


def difference(one: Sample, other: Sample, draws: int = DRAWS, seed: int = 0) -> Interval | None:
    """How much better `one` is, over what both were asked; None where they were not asked the same.

    Of levels the deepest that both know, else the mean over all targets that both know, as the gate compares figures.
    """
    names = [name for name in one.targets if name in other.targets]
    levels = [name for name in names if name.startswith("level")]
    names = [max(levels, key=lambda name: int(name.removeprefix("level")))] if levels else names
    pairs = [(one.targets[name], other.targets[name]) for name in names]
    if not pairs or one.units != other.units or any(len(a.unit) != len(b.unit) for a, b in pairs):
        return None
    if any((a.unit != b.unit).any() for a, b in pairs):
        return None
    asked = np.unique(np.concatenate([first.unit for first, _ in pairs]))

    def gain(weights: np.ndarray | None) -> float:
        gains = [a.figure(weights) - b.figure(weights) for a, b in pairs]
        return float(np.nanmean(gains)) if not np.isnan(gains).all() else float("nan")

    if len(asked) < LEAST:
        return Interval(gain(None), -1.0, 1.0, len(asked), one.counted)
    random = np.random.default_rng(seed)
    gains_of_draws = []
    for _ in range(draws):
        drawn = asked[random.integers(len(asked), size=len(asked))]
        gains_of_draws.append(gain(np.bincount(drawn, minlength=one.units).astype(np.float64)))
    low, high = np.nanquantile(gains_of_draws, [0.025, 0.975])
    return Interval(gain(None), float(low), float(high), len(asked), one.counted)


def write_samples(path: Path, samples: Mapping[str, Sample]) -> None:
    """Keeps samples by name, as arrays only."""
    arrays: dict[str, np.ndarray] = {}
    for who, sample in samples.items():
        arrays[f"{who}|counted"] = np.array(sample.counted)
        arrays[f"{who}|units"] = np.array(sample.units)
        for name, answers in sample.targets.items():
            for part in ("unit", "group", "hit"):
                arrays[f"{who}|{part}|{name}"] = getattr(answers, part)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_samples(path: Path) -> dict[str, Sample]:
    """What `write_samples` wrote; empty where there is no such file, as of evaluations of earlier versions.

    Raises:
        InputError: if it cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            kept = {name: arrays[name] for name in arrays.files}
        samples = {}
        for who in dict.fromkeys(name.partition("|")[0] for name in kept):
            names: Sequence[str] = [
                name.removeprefix(f"{who}|unit|") for name in kept if name.startswith(f"{who}|unit|")
            ]
            targets = {
                name: Hits(*(kept[f"{who}|{part}|{name}"] for part in ("unit", "group", "hit"))) for name in names
            }
            samples[who] = Sample(str(kept[f"{who}|counted"]), int(kept[f"{who}|units"]), targets)
    except (ValueError, KeyError, OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    return samples
