"""Drift between a reference (photos like those that the champion was trained on) and new photos."""

import io
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vitrine import files, tasks
from vitrine.catalog import Catalog, attribute_types, category_depth, category_level, labels_of, read_catalog
from vitrine.errors import InputError
from vitrine.evaluation.shift import DriftRules, Finding, detect, kind_of, new_labels, signal_title
from vitrine.monitoring.statistics import photo_statistics
from vitrine.predictions import PhotoPredictions, Predictions
from vitrine.untrusted import parse_json
from vitrine.words import counted

REFERENCE = "reference.json"
TABLE = "reference.parquet"
PROJECTION = "projection.npz"
NAMED = 4  # signals that moved beside the first, in the reason
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drift:
    """Whether new photos have moved away from the reference, why, and everything that was compared.

    Attributes:
        drifted: Whether any signal moved.
        reason: The decision in words.
        findings: Every signal that was compared.
        not_compared: Signals that there is too little of, with the reason.
        broken: Signals that could not be computed, with the reason.
    """

    drifted: bool
    reason: str
    findings: tuple[Finding, ...]
    not_compared: tuple[tuple[str, str], ...] = ()
    broken: tuple[tuple[str, str], ...] = ()

    @property
    def unsure(self) -> bool:
        """Whether drift may have been missed: nothing could be compared, or a signal could not be computed."""
        return not self.findings or bool(self.broken)

    @property
    def exit_code(self) -> int:
        """Of `vitrine drift`: 1 drift, 3 none found but `unsure`, 0 none."""
        return 1 if self.drifted else 3 if self.unsure else 0


@dataclass(frozen=True)
class Projection:
    """What references of version 0.1.0 kept of embeddings: projected = (x - mean) @ components.T.

    Attributes:
        mean: (dim,)
        components: (up to 16, dim), strongest first.
    """

    mean: np.ndarray
    components: np.ndarray


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        table: One row per measured photo: `photo` (where it is), `listing`, image statistics, `level<i>` and
            `attr:<type>` labels, and with a model `predicted:`/`confidence:` per question and `embedding00` ... (as the
            model gives them: directions of the reference's own would fit it better than new photos).
        labels: Per label column how many listings of the whole catalog have each label (rows, where there are none).
        photos: Rows of the whole catalog.
        data_version: Which data this is.
        model: The model that answered, "" without.
        projection: How an older reference's embeddings were reduced; None where they are as the model gives them.
        rare: Per label column the labels that cleaning took away for their rarity (`rare_labels.json`).
        content: Hash of that model, "" where it is not known.
    """

    table: pd.DataFrame
    labels: dict[str, dict[str, int]]
    photos: int
    data_version: str
    model: str = ""
    projection: Projection | None = None
    rare: Mapping[str, Sequence[str]] = field(default_factory=dict)
    content: str = ""

    @property
    def embedded(self) -> int:
        """How many values the model's embeddings have; 0 without a model."""
        if self.projection:
            return len(self.projection.mean)
        return sum(kind_of(column) == "embedding" for column in self.table)


def build_reference(
    catalog: Catalog,
    out: Path,
    outcome: Predictions | None,
    model: str = "",
    rules: DriftRules | None = None,
    rare: Mapping[str, Sequence[str]] | None = None,
    learnt: Catalog | None = None,
    content: str = "",
) -> None:
    """Writes a drift reference: `reference.parquet` and `reference.json`.

    `reference.json` also says from where on each signal would have moved for a batch half as large as the reference;
    a comparison finds its own thresholds, because they depend on how many photos are compared.

    Args:
        catalog: Photos like those that the model was trained on, not these: it is surer of its own, which lie closer
            to each other, and new ones of the same kind would look as if they had moved.
        out: A new folder.
        outcome: The model's answers about the catalog's photos; None compares statistics and labels only.
        model: Where that model is, for whoever has to answer about the new photos.
        rules: When to alarm; kept in the reference.
        rare: Labels that cleaning took away (see `Side`); they are taken away from new photos too.
        learnt: What the model was trained on, whose labels are no news; default: the catalog.
        content: Hash of the model, by which another one is known that is to answer about new photos.

    Raises:
        InputError: if no photo can be read.
    """
    rules = rules or DriftRules()
    side = describe(catalog, outcome, model=model)
    if learnt is not None:
        side = replace(side, labels=_counts_of(_label_columns(learnt.table), learnt))
    half = side.table.sample(frac=0.5, random_state=rules.seed)
    thresholds = {finding.signal: finding.threshold for finding in detect(side.table, half, rules).findings}
    description = {
        "model": model,
        "content": content,
        "data_version": side.data_version,
        "photos": side.photos,
        "measured": len(side.table),
        "rules": asdict(rules),
        "thresholds_for_photos": len(half),
        "thresholds": thresholds,
        "labels": side.labels,
        "rare_labels": dict(rare or {}),
    }
    with files.new_folder(out) as folder:
        side.table.to_parquet(folder / TABLE, index=False)
        files.write_json(folder / REFERENCE, description)


def compare(
    reference: str | Path,
    current: Catalog,
    out: Path,
    outcome: Predictions | None,
    *,
    looks: int = 1,
    as_map: bool = False,
    full: bool = True,
) -> Drift:
    """Compares new photos with a reference and writes `report.html` and `results.json` to `out`.

    Args:
        reference: What `build_reference` wrote (a folder or `s3://` prefix), or a plain catalog; with that, image
            statistics and labels are compared, nothing else. Nothing cleaned a plain catalog: labels of both are then
            brought to one spelling, and words that mean "no label" are none, as `vitrine validate` sees them.
        current: The new photos.
        out: A new folder.
        outcome: The answers of the reference's model about the new photos, if it should be compared.
        looks: References that these photos are compared with; they share the false alarm rate (Bonferroni).
        as_map: Also show the photos of both sides side by side, in `map.html`, where a model answered.
        full: Also write Evidently's page of every signal, `evidently.html`, which takes as long as all the rest.

    Raises:
        InputError: if the reference cannot be used, no new photo can be read, or another model answered.
    """
    from vitrine.monitoring.pages import MAP, evidently_page, map_page, report_page

    root = files.absolute(reference)
    if files.exists(files.join(root, REFERENCE)):
        before, rules = read_reference(root)
        current = _without(current, before.rare)
    else:
        plain, current = _in_one_spelling(read_catalog(root), current)
        before, rules = describe(plain, None), DriftRules()
    rules = replace(rules, false_alarm_rate=rules.false_alarm_rate / looks)
    if not before.embedded:
        outcome = None
    now = describe(current, outcome, before.model, before)
    drift = judge(before, now, rules)
    with files.new_folder(out) as folder:
        failed = ""
        try:
            if full:
                evidently_page(drift, before, now, folder / "evidently.html")
        except Exception as error:  # whatever goes wrong in another's page, the verdict stands
            failed = " ".join(f"{type(error).__name__}: {error}".split())
            (folder / "evidently.html").unlink(missing_ok=True)
            log.warning("Evidently's page could not be made (%s)", failed)
        with_map = as_map and map_page(before, now, folder / MAP)
        report_page(drift, before, now, rules, failed, with_map, full).write(folder / "report.html")
        (folder / "results.json").write_text(_results(drift, before, now, rules), encoding="utf-8")
    return drift


def judge(before: Side, now: Side, rules: DriftRules) -> Drift:
    """Whether one side has moved away from the other, without writing anything."""
    detected = detect(before.table, now.table, rules)
    rare = _rare_by_column(before.rare)
    return _decide(
        [*new_labels(before.labels, now.labels, rules, rare), *detected.findings], detected.skipped, detected.broken
    )


def compare_with_model(
    reference: str,
    current: Catalog,
    out: Path,
    model: Path | None = None,
    *,
    looks: int = 1,
    as_map: bool = False,
    full: bool = True,
) -> Drift:
    """Like `compare`, asking the reference's own model about the new photos.

    Args:
        reference: See `compare`.
        current: The new photos.
        out: A new folder.
        model: Where that model is now, if not where the reference says.
        looks: See `compare`.
        as_map: See `compare`.
        full: See `compare`.

    Raises:
        InputError: if the reference, its model or a photo cannot be read, or it is another model.
    """
    from vitrine.predict import Model
    from vitrine.registry.store import content_hash

    files.refuse_existing(out)
    ask = partial(compare, reference, current, out, looks=looks, as_map=as_map, full=full)
    # A plain catalog names no model, and is measured once.
    known = files.exists(files.join(files.absolute(reference), REFERENCE))
    before = read_reference(reference)[0] if known else None
    named = before.model if before else ""

    def ask_model(folder: Path) -> Drift:
        loaded = Model.load(folder)
        if before and before.content and before.content != (content := content_hash(folder)):
            raise InputError(f"{folder}: is model {content}, but {reference} was made with {before.content}")
        return ask(loaded.predict(current))

    if model is None and not named:
        return ask(None)
    if model is not None:
        return ask_model(model)
    where = files.absolute(reference).rpartition("/")[0] if named == ".." else named
    if not files.is_s3(where):
        return ask_model(Path(where))
    with tempfile.TemporaryDirectory() as folder:
        files.fetch_folder(where, Path(folder) / "model")
        return ask_model(Path(folder) / "model")


def describe(catalog: Catalog, predictions: Predictions | None, model: str = "", reference: Side | None = None) -> Side:
    """Measures a catalog (an even sample of at most 2,000 photos) and joins labels and a model's answers.

    Args:
        catalog: The photos.
        predictions: A model's, about them. What it says about a listing is said of each of its photos.
        model: Where the model is.
        reference: What the photos will be compared with.

    Raises:
        InputError: if no photo can be read or the embeddings are not as long as the reference's.
    """
    measured = photo_statistics(catalog)
    if (measured["readable"] == "no").all():
        raise InputError(f"{catalog.root}: none of {len(measured)} photos can be read")
    columns: dict[str, Any] = {"photo": [catalog.uri(image) for image in measured["image"]]}
    rows = catalog.table.iloc[measured.index.to_numpy()].reset_index(drop=True)
    columns["listing"] = rows["listing"].astype(object) if "listing" in rows else [""] * len(rows)
    columns |= {name: measured[name].to_numpy() for name in measured.columns.drop("image")}
    labels = _label_columns(catalog.table)
    columns |= {name: values.iloc[measured.index.to_numpy()].to_numpy() for name, values in labels.items()}
    if predictions is not None:
        outcome = tasks.get(predictions.task).signals(predictions)
        columns |= _prediction_columns(measured["image"].tolist(), outcome, reference)
    return Side(pd.DataFrame(columns), _counts_of(labels, catalog), len(catalog), catalog.data_version, model)


def read_reference(reference: str | Path) -> tuple[Side, DriftRules]:
    """Reads what `build_reference` wrote.

    Raises:
        InputError: if it is something else.
    """
    root = files.absolute(reference)
    try:
        description = parse_json(files.read_bytes(files.join(root, REFERENCE)))
        table = pd.read_parquet(io.BytesIO(files.read_bytes(files.join(root, TABLE))))
        projection = None
        if files.exists(files.join(root, PROJECTION)):
            arrays = np.load(io.BytesIO(files.read_bytes(files.join(root, PROJECTION))), allow_pickle=False)
            projection = Projection(arrays["mean"], arrays["components"])
        side = Side(
            table,
            {column: dict(counts) for column, counts in description["labels"].items()},
            int(description["photos"]),
            str(description["data_version"]),
            str(description["model"]),
            projection,
            description.get("rare_labels", {}),
            str(description.get("content", "")),
        )
        rules = DriftRules(**description["rules"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise InputError(f"{root}: not a usable drift reference ({str(error).splitlines()[0]})") from error
    if table.empty or "readable" not in table:
        raise InputError(f"{root}: not a usable drift reference ({TABLE} holds no measured photos)")
    return side, rules


def cleaned(current: Catalog, out: Path, reference: str) -> Catalog:
    """New photos cleaned as those of a reference were: without what cannot be read, copies and stray spellings.

    Rare labels stay, since a new one among them may be the news; `compare` takes those away that the reference's
    cleaning did. Near copies stay where listings are judged, whose tags look alike.

    Args:
        current: The new photos; rows may be unusable.
        out: A new folder for the cleaned table and its report.
        reference: What they will be compared with. A plain catalog was not cleaned: then nothing is done.

    Raises:
        InputError: if no row is left, or the reference cannot be used.
    """
    from vitrine.quality.clean import clean_catalog

    root = files.absolute(reference)
    if not files.exists(files.join(root, REFERENCE)):
        return current
    listings = "predicted:verdict" in read_reference(reference)[0].table
    clean_catalog(current, out, min_class_count=0, near_duplicates=not listings)
    return read_catalog(out)


def _in_one_spelling(first: Catalog, second: Catalog) -> tuple[Catalog, Catalog]:
    """Two catalogs with the labels of both together in their commonest spelling."""
    from vitrine.quality.labels import label_columns, normalised
    from vitrine.quality.settings import load_settings

    labels = [catalog.table[label_columns(catalog.table)] for catalog in (first, second)]
    both = normalised(pd.concat(labels, ignore_index=True).fillna(""), load_settings().no_label)
    parts = both[: len(first)], both[len(first) :]
    tables = [
        catalog.table.assign(**{name: part[name].to_numpy() for name in own})
        for catalog, own, part in zip((first, second), labels, parts, strict=True)
    ]
    return first.with_table(tables[0]), second.with_table(tables[1])


def _without(catalog: Catalog, rare: Mapping[str, Sequence[str]]) -> Catalog:
    """A catalog whose rare labels are cut to the node above, or blanked where they are attributes."""
    table = catalog.table.copy()
    for column, labels in rare.items():
        if column not in table:
            continue
        gone = set(labels)
        if column == "category":
            table[column] = [_cut(path, gone) for path in table[column].astype(object)]
        else:
            kept = ([label for label in labels_of(cell) if label not in gone] for cell in table[column].astype(object))
            table[column] = ["|".join(labels) for labels in kept]
    return catalog.with_table(table)


def _cut(path: str, gone: set[str]) -> str:
    while path in gone:
        path = path.rpartition("/")[0]
    return path


def _label_columns(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Category levels and attribute types, "" where unknown."""
    columns = {}
    for level in range(1, category_depth(table) + 1):
        columns[f"level{level}"] = category_level(table["category"].astype(object), level)
    for name in attribute_types(table):
        columns[f"attr:{name}"] = table[f"attr:{name}"].astype(object)
    return columns


def _counts_of(labels: Mapping[str, pd.Series], catalog: Catalog) -> dict[str, dict[str, int]]:
    return {name: _label_counts(values, catalog.table.get("listing")) for name, values in labels.items()}


def _label_counts(column: pd.Series, listings: pd.Series | None) -> dict[str, int]:
    """How many listings have each label: their photos are alike, and would pass for many sightings of one thing."""
    rows = range(len(column))
    units = rows if listings is None else [name or row for name, row in zip(listings, rows, strict=True)]
    seen = {(unit, label) for unit, cell in zip(units, column, strict=True) for label in labels_of(cell)}
    counts = pd.Series(sorted(label for _, label in seen), dtype=object).value_counts()
    return {str(label): int(count) for label, count in counts.items()}


def _prediction_columns(images: list[str], outcome: PhotoPredictions, reference: Side | None) -> dict[str, Any]:
    """Predicted labels, confidences and embeddings of some photos; unknown where the model did not answer."""
    if reference and outcome.embeddings.shape[1] != reference.embedded:
        raise InputError(
            f"the model's embeddings have {outcome.embeddings.shape[1]} values and the reference's "
            f"{reference.embedded}: compare with the answers of the model that the reference was made with"
        )
    place = {image: i for i, image in enumerate(outcome.images)}
    rows = np.array([place.get(image, -1) for image in images])
    answered = rows >= 0
    columns: dict[str, Any] = {}
    for question in outcome.targets:
        best = question.scores[rows].argmax(axis=1)
        columns[f"predicted:{question.name}"] = [
            question.labels[label] if label_is_known else ""
            for label, label_is_known in zip(best, answered, strict=True)
        ]
        confidence = question.confidence[rows].astype(np.float64)
        columns[f"confidence:{question.name}"] = np.where(answered, confidence, np.nan)
    embeddings = outcome.embeddings[rows]
    if reference and reference.projection:
        embeddings = (embeddings - reference.projection.mean) @ reference.projection.components.T
    for i, values in enumerate(embeddings.T):
        columns[f"embedding{i:02d}"] = np.where(answered, values, np.nan).astype(np.float32)
    return columns


def _rare_by_column(rare: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How many labels of each label column were cut: a path of the category tree at the level where it ends."""
    counts: dict[str, int] = {}
    for column, labels in rare.items():
        for label in labels:
            name = f"level{label.count('/') + 1}" if column == "category" else column
            counts[name] = counts.get(name, 0) + 1
    return counts


def _decide(findings: list[Finding], skipped: list[tuple[str, str]], broken: list[tuple[str, str]]) -> Drift:
    moved = [finding for finding in findings if finding.moved]
    rest = {"not_compared": tuple(skipped), "broken": tuple(broken)}
    lacking = "; ".join(f"{signal_title(name)} ({why})" for name, why in broken)
    failed = f" Could not be computed: {lacking}." if lacking else ""
    if not findings:
        why = f"{signal_title(skipped[0][0])}: {skipped[0][1]}" if skipped else "nothing in common"
        return Drift(False, f"Nothing could be compared ({why}).{failed}", (), **rest)
    if not moved:
        reason = f"No drift: none of {len(findings)} signals moved further than chance and the least that matters."
        return Drift(False, reason + failed, tuple(findings), **rest)
    lead, title = moved[0], signal_title(moved[0].signal)
    if lead.kind == "new labels":
        first = f"{title} has labels {lead.change} (chance explains {lead.threshold:.0f} photos)"
    else:
        first = f"{title} moved by {lead.distance:.2f}, {lead.ratio:.1f} times its threshold ({lead.change})"
    others = [signal_title(finding.signal) for finding in moved[1:]]
    named = [*others[:NAMED], f"{len(others) - NAMED} more"] if len(others) > NAMED + 1 else others
    more = f"; so did {', '.join(named)}" if named else ""
    return Drift(
        True, f"Drift: {first}{more}; {counted(len(findings), 'signal')} compared.{failed}", tuple(findings), **rest
    )


def _results(drift: Drift, before: Side, now: Side, rules: DriftRules) -> str:
    results = {
        **asdict(drift),
        "reference": {"model": before.model, "data_version": before.data_version, "photos": before.photos},
        "current": {"data_version": now.data_version, "photos": now.photos, "measured": len(now.table)},
        "rules": asdict(rules),
    }
    return json.dumps(results, indent=2, ensure_ascii=False) + "\n"
