"""Labels that a photo's looks contradict.

Every photo's label is guessed by classifiers that never saw it, its copies, or other photos of its listing or product
(out of fold, as in confident learning: Northcutt, Jiang and Chuang, JAIR 2021). With calibrated probabilities p a photo
labelled i is suspect of being j where the odds p_j / p_i are high: higher the more labels a mistake could have come
out as. Confident learning asks instead that p_j and p_i lie above and below what is usual for j and i. Suspects that
pass that test too come first; by itself it leaves a third of exchanged labels unfound that odds find
(docs/results/label-noise.md).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from threadpoolctl import threadpool_limits

from vitrine.catalog import ATTRIBUTE_PREFIX, category_depth, category_level
from vitrine.catalog.table import TEXT
from vitrine.quality.duplicates import chain, linked
from vitrine.quality.hashes import lowest, text_hashes
from vitrine.quality.looks import looks

MAX_ROWS = 50_000
FOLDS = 5
LEAST = 10  # photos (and at least FOLDS groups of them) that a class needs
COMPONENTS = 96
NEIGHBOURS = 25
SHRINKAGE = 0.05
# Where a share e of k labels is wrong at random, calibrated guesses put odds of at most (k - 1) / e against one, and
# half of the labels with half of these odds against them are wrong: with e = 5 %, 10 for each other label. F1 is best
# at less, where a third of them are (Lipton, Elkan and Naryanaswamy, ECML 2014). Of many labels sellers mix up alike
# ones only, and of two even the surest guess reaches no high odds.
ODDS_EACH = 5.0
ODDS = (10.0, 100.0)  # at least, at most
SKILL = 0.2  # of what guessing the commonest label leaves wrong, how much must be guessed right

Rows = NDArray[np.int64]
Probabilities = NDArray[np.float32]
Features = Callable[[Rows], NDArray[np.floating]]


@dataclass(frozen=True)
class Reliability:
    """How well a column's labels follow from the photos.

    Attributes:
        column: `level<i>` of the category, `attr:<type>` or `verdict`.
        labelled: Rows with a label and a readable photo.
        used: Of these, how many were judged.
        classes: Different labels among them.
        accuracy: Share of out-of-fold guesses that equal the label.
        majority: Share of the commonest label: the accuracy of always guessing it.
        suspects: Labels that are suspect.
        reason: Why none is reported; "" where some could be.
    """

    column: str
    labelled: int
    used: int
    classes: int
    accuracy: float
    majority: float
    suspects: int
    reason: str

    @property
    def skill(self) -> float:
        """Share of the majority guess's mistakes that the photos avoid: 0 useless, 1 always right."""
        return (self.accuracy - self.majority) / (1 - self.majority) if self.majority < 1 else 0.0


@dataclass(frozen=True)
class LabelNoise:
    """Suspect labels.

    Attributes:
        suspects: `row` (0-based), `column`, `given`, `suggested`, `self_confidence` (probability of the given label),
            `probability` (of the suggested one), `margin` (natural logarithm of their ratio) and `confident` (whether
            confident learning finds it too); confident ones first, of these the largest margin.
        columns: How reliable that is, per column.
    """

    suspects: pd.DataFrame
    columns: tuple[Reliability, ...]


def label_noise(
    table: pd.DataFrame,
    photos: pd.DataFrame,
    copies: Rows | None = None,
    features: Sequence[Features] = (),
    *,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LabelNoise:
    """Looks for labels that contradict the photos, column by column: each category level, each attribute, the verdict.

    Cells with several labels are left out. Of a longer column a sample is judged that hangs on the photos' paths alone.

    Args:
        table: A catalog table.
        photos: Its photo table.
        copies: A group number per row of copies of one photo (near ones, too), -1 for a photo that is alone.
        features: What photos are judged by: each gives features of some rows, (rows, dim), is asked once, and has a say
            of its own. Default: `vitrine.quality.looks`. A net among them must not have been trained on these labels.
        max_rows: Rows of a column that are judged.
        seed: Deals rows to samples and folds.
        progress: Called with (columns done, columns in all).
    """
    readable = photos["readable"].to_numpy(dtype=bool)
    order = text_hashes(table["image"], seed)
    names = [name for name in table if name.startswith(ATTRIBUTE_PREFIX) or name in ("category", "verdict")]
    labelled: dict[str, Rows] = {}
    for name in names:
        single = ~table[name].str.contains("|", regex=False) if name.startswith(ATTRIBUTE_PREFIX) else True
        labelled[name] = np.flatnonzero(readable & ((table[name] != "") & single).to_numpy(dtype=bool))
    drawn = {name: np.sort(rows[lowest(order[rows], max_rows)]) for name, rows in labelled.items()}
    asked = np.unique(np.concatenate([np.zeros(0, np.int64), *drawn.values()]))
    seen = [view(asked) for view in features or [looks_of(photos)]] if len(asked) else []
    parts: list[pd.DataFrame] = []
    columns: list[Reliability] = []
    for done, (name, rows) in enumerate(drawn.items()):
        if len(rows):
            part = table.iloc[rows].reset_index(drop=True)
            views = [view[np.searchsorted(asked, rows)] for view in seen]
            groups = _groups(part, None if copies is None else copies[rows])
            dealt = text_hashes(part["image"], seed + 1)
            for column, labels in _columns(name, part):
                with threadpool_limits(1):  # thousands of short calls, which threads that wait for a core hold up
                    suspects, reliability = _judged(column, labels, views, groups, dealt, len(labelled[name]))
                suspects["row"] = rows[suspects["row"]]
                parts.append(suspects)
                columns.append(reliability)
        if progress is not None:
            progress(done + 1, len(names))
    every = pd.concat([_no_suspects(), *(frame for frame in parts if len(frame))], ignore_index=True)
    every = every.sort_values(
        ["confident", "margin", "row", "column"], ascending=[False, False, True, True], ignore_index=True
    )
    return LabelNoise(every, tuple(columns))


def looks_of(photos: pd.DataFrame) -> Features:
    """The looks of some rows of a photo table; see `vitrine.quality.looks`."""
    return lambda rows: looks(photos.iloc[rows])


def out_of_fold(views: Sequence[NDArray[np.floating]], labels: Rows, folds: Rows) -> Probabilities:
    """Probabilities of each class, (photos, classes), by classifiers that saw the other folds only.

    Of each view of the photos two of different kinds, linear discriminant analysis and weighted neighbours, both over
    the principal components; the geometric mean of what they say, calibrated. Views are pooled by what each is worth.

    Args:
        views: Features, each (photos, dim).
        labels: Given classes, (photos,).
        folds: Numbers from 0 on, (photos,).
    """
    by_view = [_by_view(features, labels, folds) for features in views]
    if len(by_view) == 1:
        return by_view[0]
    return pooled([np.log(np.maximum(view_probabilities, 1e-12)) for view_probabilities in by_view], labels)


def _by_view(features: NDArray[np.floating], labels: Rows, folds: Rows) -> Probabilities:
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    # A covariance takes as long for ten photos as for a thousand.
    solver = "full" if len(features) < features.shape[1] else "covariance_eigh"
    model = PCA(min(COMPONENTS, *features.shape), svd_solver=solver)
    points = model.fit_transform(features).astype(np.float32)
    variance = model.explained_variance_
    varies = variance >= 1e-6 * variance[0]
    points, scale = points[:, varies], np.sqrt(np.maximum(variance[varies], 1e-12)).astype(np.float32)
    linear = np.zeros((len(labels), int(labels.max()) + 1), dtype=np.float32)
    near = np.zeros_like(linear)
    for fold in range(int(folds.max()) + 1):
        seen, asked = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE).fit(points[seen] / scale, labels[seen])
        linear[np.ix_(asked, lda.classes_)] = lda.predict_proba(points[asked] / scale)
        near[asked] = _by_neighbours(points[seen], labels[seen], points[asked], linear.shape[1])
    both = np.log(np.maximum(calibrated(np.log(np.maximum(linear, 1e-12)), labels), 1e-12))
    both = (both + np.log(np.maximum(near, 1e-12))) / 2
    return calibrated(both, labels)


def calibrated(scores: NDArray[np.floating], labels: Rows) -> Probabilities:
    """Softmax of logarithmic scores under the temperature that makes the labels most likely (Guo et al., ICML 2017)."""
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        return -float(_log_softmax(scores / temperature)[rows, labels].mean())

    best = minimize_scalar(loss, bounds=(0.2, 20.0), method="bounded").x
    return np.exp(_log_softmax(scores / best)).astype(np.float32)


def pooled(scores: Sequence[NDArray[np.floating]], labels: Rows) -> Probabilities:
    """Softmax of a weighted sum of logarithmic scores; the weights, none negative, make the labels likeliest.

    A logarithmic opinion pool (Heskes, NIPS 1997); of one view it is `calibrated`.
    """
    rows = np.arange(len(labels))
    views = np.stack(scores).astype(np.float64)  # (views, photos, classes)
    given = views[:, rows, labels].mean(axis=1)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logs = _log_softmax(np.tensordot(weights, views, 1))
        return -float(logs[rows, labels].mean()), (np.exp(logs) * views).sum(axis=2).mean(axis=1) - given

    start = np.full(len(views), 1 / len(views))
    best = minimize(loss, start, jac=True, bounds=[(0.0, 5.0)] * len(views), method="L-BFGS-B").x
    return np.exp(_log_softmax(np.tensordot(best, views, 1))).astype(np.float32)


def doubted(probabilities: Probabilities, labels: Rows) -> tuple[Rows, Rows]:
    """Which rows are suspect, and of which class each: the likeliest other one, where the odds for it are high enough.

    Args:
        probabilities: Out of fold, (rows, classes).
        labels: Given classes, (rows,).
    """
    rows = np.arange(len(labels))
    others = probabilities.copy()
    others[rows, labels] = -1.0
    best = others.argmax(axis=1)
    suspect = np.flatnonzero(others[rows, best] >= least_odds(probabilities.shape[1]) * probabilities[rows, labels])
    return suspect, best[suspect]


def confident(probabilities: Probabilities, labels: Rows, suspect: Rows, other: Rows) -> NDArray[np.bool_]:
    """Which suspects confident learning finds too: p_j >= t_j and p_i < t_i, (suspects,).

    t_j is the mean of p_j over the rows labelled j (Eq. 1 of the paper).
    """
    self_confidence = probabilities[np.arange(len(labels)), labels]
    usual = np.bincount(labels, self_confidence, probabilities.shape[1]) / np.maximum(
        np.bincount(labels, minlength=probabilities.shape[1]), 1
    )
    return (probabilities[suspect, other] >= usual[other]) & (self_confidence[suspect] < usual[labels[suspect]])


def least_odds(classes: int) -> float:
    """From which odds on a label is suspect."""
    return float(np.clip(ODDS_EACH * (classes - 1), *ODDS))


def _columns(name: str, part: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """The label columns that one column of the table stands for: a category has one a level."""
    if name != "category":
        yield name, part[name]
        return
    for level in range(1, category_depth(part) + 1):
        yield f"level{level}", category_level(part["category"].astype(object), level)


def _judged(
    column: str,
    cells: pd.Series,
    views: Sequence[NDArray[np.floating]],
    groups: Rows,
    order: NDArray[np.uint64],
    labelled: int,
) -> tuple[pd.DataFrame, Reliability]:
    """The suspects of one column, `row` being the position in the sample, and how reliable they are."""
    code, names = pd.factorize(cells, sort=True)
    texts = np.asarray(names, dtype=object)
    sizes = np.bincount(code, minlength=len(texts))
    pairs = np.unique(code.astype(np.int64) * (int(groups.max(initial=0)) + 1) + groups)
    spread = np.bincount(pairs // (int(groups.max(initial=0)) + 1), minlength=len(texts))
    common = (sizes >= LEAST) & (spread >= FOLDS) & (texts != "")
    rows = np.flatnonzero(common[code])
    labels = (np.cumsum(common) - 1)[code[rows]]
    texts = texts[common]

    def none(reason: str, accuracy: float = 0.0, majority: float = 0.0) -> tuple[pd.DataFrame, Reliability]:
        return _no_suspects(), Reliability(column, labelled, len(rows), len(texts), accuracy, majority, 0, reason)

    if len(texts) < 2:
        return none(f"fewer than two labels with at least {LEAST} photos")
    probabilities = out_of_fold([view[rows] for view in views], labels, _folds(labels, groups[rows], order[rows]))
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    majority = float(np.bincount(labels).max() / len(labels))
    chance = 3 * np.sqrt(majority * (1 - majority) / len(labels))
    if accuracy - majority < max(SKILL * (1 - majority), chance):
        shares = [f"{100 * share:.1f} %" for share in (accuracy, majority)]
        why = f"the photos tell too little: {shares[0]} guessed right, {shares[1]} by always the commonest label"
        return none(why, accuracy, majority)
    suspect, other = doubted(probabilities, labels)
    given_probability, best = probabilities[suspect, labels[suspect]], probabilities[suspect, other]
    frame = pd.DataFrame(
        {
            "row": rows[suspect],
            "column": pd.Series([column] * len(suspect), dtype=TEXT),
            "given": pd.Series(texts[labels[suspect]], dtype=TEXT),
            "suggested": pd.Series(texts[other], dtype=TEXT),
            "self_confidence": given_probability,
            "probability": best,
            "margin": np.log(best / np.maximum(given_probability, 1e-9)),
            "confident": confident(probabilities, labels, suspect, other),
        }
    )
    return frame, Reliability(column, labelled, len(rows), len(texts), accuracy, majority, len(frame), "")


def _by_neighbours(seen: Probabilities, labels: Rows, asked: Probabilities, classes: int) -> Probabilities:
    """The classes of the nearest photos, closer ones counting more, and one vote for how common each class is."""
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(seen)), algorithm="brute").fit(seen)
    distance, neighbour = model.kneighbors(asked)
    squared = distance**2
    weight = np.exp(-3 * (squared - squared[:, :1]) / max(float(np.median(distance)) ** 2, 1e-12))
    cell = np.arange(len(asked))[:, None] * classes + labels[neighbour]
    votes = np.bincount(cell.ravel(), weight.ravel(), len(asked) * classes).reshape(len(asked), classes)
    shares = votes + np.bincount(labels, minlength=classes) / len(labels)
    return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


def _folds(labels: Rows, groups: Rows, order: NDArray[np.uint64]) -> Rows:
    """Deals groups to folds: within each class in hash order, one fold after the other."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    label = labels[first]
    dealt = np.lexsort((order[first], label))
    starts = np.flatnonzero(np.r_[True, np.diff(label[dealt]) != 0])
    place = np.arange(len(dealt)) - np.repeat(starts, np.diff(np.r_[starts, len(dealt)]))
    fold = np.empty(len(first), dtype=np.int64)
    fold[dealt] = (place + label[dealt]) % FOLDS
    return fold[group]


def _groups(part: pd.DataFrame, copies: Rows | None) -> Rows:
    """Numbers the sets of rows that share a listing, product, photo or copy."""
    links = [chain(part[name]) for name in ("image", "listing", "product", "duplicate_group") if name in part]
    if copies is not None:
        links.append(chain(pd.Series(copies).astype(str).where(copies >= 0, "").astype(TEXT)))
    leaders = linked(len(part), links)
    return np.unique(np.where(leaders < 0, np.arange(len(part)), leaders), return_inverse=True)[1]


def _log_softmax(scores: NDArray[np.floating]) -> NDArray[np.floating]:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _no_suspects() -> pd.DataFrame:
    dtypes = {
        "row": "int64",
        "column": TEXT,
        "given": TEXT,
        "suggested": TEXT,
        "self_confidence": "float32",
        "probability": "float32",
        "margin": "float32",
        "confident": "bool",
    }
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items()})
