"""Labels that a photo's looks contradict: confident learning (Northcutt, Jiang and Chuang, JAIR 2021).

Every photo's label is guessed by classifiers that never saw it, its copies, or other photos of its listing or product.
A label is suspect where the guess is confident for another: with out-of-fold probabilities p and the mean
self-confidence t_j of class j (their Eq. 1-2), a photo labelled i is suspect of being j when p_j >= t_j and p_i < t_i.
Of the weak classifiers that a photo table allows many right labels pass that test, so a suspect's p_j must also be
many times its p_i (`ODDS`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
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
# Where a share e of k labels is wrong at random, calibrated guesses put odds of at most (k - 1) / e against one,
# and half of the labels with half of these odds against them are wrong: with e = 5 %, 10 for each other label. Of many
# labels sellers mix up alike ones only, so that more than ODDS is not to be waited for.
ODDS_EACH = 10.0
ODDS = 50.0
SKILL = 0.2  # of what guessing the commonest label leaves wrong, how much must be guessed right

Rows = NDArray[np.int64]
Probabilities = NDArray[np.float32]


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
            `probability` (of the suggested one) and `margin` (natural logarithm of their ratio); largest margin first.
        columns: How reliable that is, per column.
    """

    suspects: pd.DataFrame
    columns: tuple[Reliability, ...]


def label_noise(
    table: pd.DataFrame,
    photos: pd.DataFrame,
    copies: Rows | None = None,
    embeddings: NDArray[np.floating] | None = None,
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
        embeddings: A trained model's features, (rows, dim), to judge by instead of the photo table; better where the
            model was not trained on these labels.
        max_rows: Rows of a column that are judged.
        seed: Deals rows to samples and folds.
        progress: Called with (columns done, columns in all).
    """
    readable = photos["readable"].to_numpy(dtype=bool)
    drawn = text_hashes(table["image"], seed)
    names = [name for name in table if name.startswith(ATTRIBUTE_PREFIX) or name in ("category", "verdict")]
    found: list[pd.DataFrame] = []
    columns: list[Reliability] = []
    for done, name in enumerate(names):
        single = ~table[name].str.contains("|", regex=False) if name.startswith(ATTRIBUTE_PREFIX) else True
        rows = np.flatnonzero(readable & ((table[name] != "") & single).to_numpy(dtype=bool))
        labelled = len(rows)
        if labelled:
            rows = rows[lowest(drawn[rows], max_rows)]
            part = table.iloc[rows].reset_index(drop=True)
            features = looks(photos.iloc[rows]) if embeddings is None else np.asarray(embeddings[rows], np.float32)
            groups = _groups(part, None if copies is None else copies[rows])
            order = text_hashes(part["image"], seed + 1)
            for column, labels in _columns(name, part):
                with threadpool_limits(1):  # thousands of short calls, which threads that wait for a core hold up
                    suspects, reliability = _judged(column, labels, features, groups, order, labelled)
                suspects["row"] = rows[suspects["row"]]
                found.append(suspects)
                columns.append(reliability)
        if progress is not None:
            progress(done + 1, len(names))
    every = pd.concat([_no_suspects(), *(frame for frame in found if len(frame))], ignore_index=True)
    every = every.sort_values(["margin", "row", "column"], ascending=[False, True, True], ignore_index=True)
    return LabelNoise(every, tuple(columns))


def out_of_fold(features: NDArray[np.floating], labels: Rows, folds: Rows) -> Probabilities:
    """Probabilities of each class, (photos, classes), by classifiers that saw the other folds only.

    Two classifiers of different kinds, linear discriminant analysis and weighted neighbours, both over the principal
    components of the features; the geometric mean of what they say, calibrated.
    """
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    model = PCA(min(COMPONENTS, *features.shape), svd_solver="covariance_eigh")
    points = model.fit_transform(features).astype(np.float32)
    variance = model.explained_variance_
    known = variance >= 1e-6 * variance[0]
    points, scale = points[:, known], np.sqrt(np.maximum(variance[known], 1e-12)).astype(np.float32)
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


def confident_disagreement(probabilities: Probabilities, labels: Rows) -> tuple[Rows, Rows]:
    """Which rows are suspect, and of which class each.

    Eq. 1-2 of the paper: t_j is the mean of p_j over the rows labelled j; a row labelled i counts as j, the likeliest
    class with p_j >= t_j. It is suspect when j is another class than i, and p_i < t_i.

    Args:
        probabilities: Out of fold, (rows, classes).
        labels: Given classes, (rows,).
    """
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    sizes = np.bincount(labels, minlength=probabilities.shape[1])
    thresholds = np.bincount(labels, own, len(sizes)) / np.maximum(sizes, 1)
    others = np.where((probabilities >= thresholds) & (sizes > 0), probabilities, -1.0)
    others[rows, labels] = -1.0
    best = others.argmax(axis=1)
    suspect = np.flatnonzero((others[rows, best] >= 0) & (own < thresholds[labels]))
    return suspect, best[suspect]


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
    features: NDArray[np.floating],
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
    probabilities = out_of_fold(features[rows], labels, _folds(labels, groups[rows], order[rows]))
    accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    majority = float(np.bincount(labels).max() / len(labels))
    chance = 3 * np.sqrt(majority * (1 - majority) / len(labels))
    if accuracy - majority < max(SKILL * (1 - majority), chance):
        shares = [f"{100 * share:.1f} %" for share in (accuracy, majority)]
        why = f"the photos tell too little: {shares[0]} guessed right, {shares[1]} by always the commonest label"
        return none(why, accuracy, majority)
    suspect, other = confident_disagreement(probabilities, labels)
    own, best = probabilities[suspect, labels[suspect]], probabilities[suspect, other]
    margin = np.log(best / np.maximum(own, 1e-9))
    sure = margin >= np.log(min(ODDS, ODDS_EACH * (len(texts) - 1)))
    frame = pd.DataFrame(
        {
            "row": rows[suspect[sure]],
            "column": pd.Series([column] * int(sure.sum()), dtype=TEXT),
            "given": pd.Series(texts[labels[suspect[sure]]], dtype=TEXT),
            "suggested": pd.Series(texts[other[sure]], dtype=TEXT),
            "self_confidence": own[sure],
            "probability": best[sure],
            "margin": margin[sure],
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
    }
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in dtypes.items()})
