"""Validation: is this catalog fit to be trained on, and what should a person look at?"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import pandas as pd

from vitrine.catalog import ATTRIBUTE_PREFIX, Catalog, is_safe_path, labels_of
from vitrine.catalog.left_out import LEFT_OUT, LeftOut, write_left_out
from vitrine.files import new_folder, write_json
from vitrine.quality.catalog_map import write_catalog_map
from vitrine.quality.embedding import label_features
from vitrine.quality.history import (
    RESULTS,
    compare,
    read_revision,
    revision,
    row_changes,
    sample,
    summarise,
    write_revision,
)
from vitrine.quality.history_page import difference_sections, distance_section, distances, evidently_page
from vitrine.quality.label_noise import LabelNoise
from vitrine.quality.label_noise_page import label_noise_section
from vitrine.quality.labels import label_columns, label_counts
from vitrine.quality.links import copy_links
from vitrine.quality.rules import Finding, evaluate, gather
from vitrine.quality.scan import read_photo_table, scan_photos
from vitrine.quality.settings import RuleSettings, load_settings
from vitrine.quality.suite import great_expectations_page, judge_suite, read_suite
from vitrine.report import Page, Photo, Tile, percent, thumbnail
from vitrine.words import counted

SIDES = (32, 64, 128, 256, 512, 1024, 2048)
EXPECTATIONS, EVIDENTLY, MAP = "great_expectations.html", "evidently.html", "map.html"
STATUS = {"error": "Failed", "warning": "Warning", "info": "Note"}


@dataclass(frozen=True)
class RuleResult:
    """One rule's outcome.

    Attributes:
        name: Its key in `configs/quality.yaml`.
        title: What it looks for, in plain words.
        severity: `error` (the catalog is unusable as it is), `warning`, or `info`: the outcome of a rule that did not
            pass, or the worst that a rule that passed can come to.
        count: What it found.
        share: Of all it looked at.
        threshold: The share that was exceeded, or that would have been first; None for a rule that only informs.
        passed: Whether the threshold holds.
        examples: Numbers of rows that show it, counted from 1.
        explanation: What it means.
        details: What was found, in words.
    """

    name: str
    title: str
    severity: str
    count: int
    share: float
    threshold: float | None
    passed: bool
    examples: list[int]
    explanation: str
    details: list[str]


@dataclass(frozen=True)
class Validation:
    """All outcomes; `passed` is False when a rule failed with severity error."""

    passed: bool
    rows: int
    data_version: str
    results: list[RuleResult]


def validate_catalog(
    catalog: Catalog,
    report: Path,
    rules: Path | None = None,
    *,
    suite: Path | None = None,
    previous: str = "",
    earlier: Catalog | None = None,
    photos: Sequence[Path] = (),
    as_map: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Validation:
    """Holds a catalog to the rules of `configs/quality.yaml`.

    Writes `report.html` and `results.json` (`passed`, `rows`, `data_version`, `rules`), `great_expectations.html` (the
    single-cell rules and the suite, as Great Expectations shows them), `summary.json` and `sample.parquet` for the next
    validation to compare with, `left_out.csv` (`row`, `image`, `reason` of rows that cannot be used), with `previous`
    Evidently's `evidently.html`, and with `as_map` `map.html`.

    Args:
        catalog: The catalog; its rows may be unusable.
        report: New folder.
        rules: Settings on top of the shipped ones.
        suite: A Great Expectations suite of one's own, JSON or YAML; see `vitrine.quality.suite`.
        previous: Report folder of an earlier validation, to show what changed since.
        earlier: The catalog that `previous` is about, to show what became of single rows.
        photos: Folders of the catalog's photo table, if it was made before.
        as_map: Show the photos side by side as a published net sees them, and hold labels against that too, whatever
            `rules` says of `embedding`.
        workers: Processes that decode photos.
        progress: Called with (photos done, photos in all).

    Raises:
        InputError: if `rules`, `suite` or `previous` cannot be used, `report` is not a new folder, or the net's weights
            are asked for and cannot be had.
    """
    settings = load_settings(rules)
    settings = replace(settings, embedding=settings.embedding or as_map)
    user_suite = read_suite(suite) if suite else None
    before = read_revision(previous) if previous else None
    with new_folder(report) as folder:
        photo_table = read_photo_table(catalog, photos) if photos else scan_photos(catalog, workers, progress)
        links = copy_links(catalog, photo_table, settings.near_duplicate_distance, workers)
        features = label_features(catalog, photo_table, settings.embedding, progress)
        evidence = gather(catalog, photo_table, links, settings, features, workers)
        photo_table = evidence.photos
        findings, judged = evaluate(evidence)
        results = [judge(name, settings.rules[name], finding) for name, finding in findings.items()]
        if user_suite is not None:
            rule_findings, of_suite = judge_suite(user_suite, catalog.table, photo_table)
            results += [judge(name, rule, finding) for name, (rule, finding) in rule_findings.items()]
            judged = [*judged, *of_suite]
        passed = all(result.passed or result.severity != "error" for result in results)
        validation = Validation(passed, len(catalog), catalog.data_version, results)
        content = {
            "passed": passed,
            "rows": len(catalog),
            "data_version": catalog.data_version,
            "rules": [asdict(result) for result in results],
        }
        write_json(folder / RESULTS, content)
        why = evidence.unusable
        gone = [(row, str(catalog.table["image"].iat[row])) for row in why.index[why != ""]]
        write_left_out(folder / LEFT_OUT, [LeftOut(row + 1, image, why.iat[row]) for row, image in gone])
        labelled = _labelled(catalog.table, evidence.normal)
        summary, sampled = summarise(labelled, photo_table, catalog.data_version), sample(labelled, photo_table)
        write_revision(folder, summary, sampled)
        version = f"data version {catalog.data_version or 'unknown'}"
        name = f"vitrine and {user_suite.name}" if user_suite else "vitrine"
        (folder / EXPECTATIONS).write_text(great_expectations_page(judged, name, version), encoding="utf-8")
        page = _page(catalog, evidence.normal, photo_table, validation, evidence.noise)
        attached = [
            ("Rows that cannot be used", LEFT_OUT, "With the reason of each, as a table."),
            ("Great Expectations' page", EXPECTATIONS, "The rules about single cells, as that library shows them."),
        ]
        if before is not None:
            rows = row_changes(earlier.table, catalog.table) if earlier is not None else None
            difference_sections(page, compare(before, revision(content, summary, sampled), rows))
            if before.sample is not None:
                apart = distances(before.sample, sampled)
                distance_section(page, apart, labelled, photo_table, lambda row: _photo(catalog, photo_table, row))
                if evidently_page(apart, folder / EVIDENTLY):
                    said = "How photos and labels are distributed, then and now."
                    attached.append(("Evidently's page", EVIDENTLY, said))
        if as_map and (shown := write_catalog_map(folder / MAP, evidence, features[-1], progress)):
            attached.insert(
                0, ("The catalog as a map", MAP, f"{shown:,} photos, near each other where they look alike.")
            )
        page.heading("Attachments")
        page.links(attached)
        page.write(folder / "report.html")
    return validation


def _labelled(table: pd.DataFrame, normal: pd.DataFrame) -> pd.DataFrame:
    """Labels as they are written, and none where a word means "no label"."""
    return table.assign(**{name: table[name].mask(normal[name] == "", "") for name in label_columns(table)})


def judge(name: str, rule: RuleSettings, finding: Finding) -> RuleResult:
    """Holds what was found to the rule's limits."""
    limits = [("error", rule.fail_above), ("warning", rule.warn_above)]
    exceeded = [(level, limit) for level, limit in limits if limit is not None and finding.share > limit]
    threshold: float | None
    if exceeded:
        severity, threshold = exceeded[0]
    else:
        limited = [(level, limit) for level, limit in limits if limit is not None]
        severity = limited[0][0] if limited else "info"
        threshold = limited[-1][1] if limited else None
    return RuleResult(
        name,
        rule.title,
        severity,
        finding.count,
        finding.share,
        threshold,
        not exceeded,
        [row + 1 for row in finding.rows],
        rule.explanation,
        list(finding.details),
    )


def _status(result: RuleResult) -> str:
    if not result.passed:
        return STATUS[result.severity]
    return STATUS["info"] if result.severity == "info" and result.count else "Passed"


def _page(
    catalog: Catalog, normal: pd.DataFrame, photos: pd.DataFrame, validation: Validation, noise: LabelNoise
) -> Page:
    table = catalog.table
    failed = [result for result in validation.results if not result.passed and result.severity == "error"]
    warned = [result for result in validation.results if not result.passed and result.severity == "warning"]
    verdict, tone = "Usable", "good"
    if failed:
        verdict, tone = f"Not usable: {len(failed)} of {len(validation.results)} rules failed", "bad"
    elif warned:
        verdict, tone = f"Usable, with {counted(len(warned), 'warning')}", "warn"
    subtitle = f"{catalog.address}, data version {catalog.data_version or 'unknown'}"
    page = Page("Data quality report", subtitle, verdict, tone)
    unreadable = int((~photos["readable"]).sum())
    labelled = int((label_counts(normal) > 0).sum())
    tiles = [
        Tile("Photos", f"{len(table):,}", hint="rows of the catalog"),
        Tile("Cannot be used", f"{unreadable:,}", "warn" if unreadable else "good", percent(unreadable / len(table))),
        Tile("With a label", f"{labelled:,}", hint=percent(labelled / len(table))),
        Tile("Rules failed", str(len(failed)), "bad" if failed else "good"),
        Tile("Warnings", str(len(warned)), "warn" if warned else "good"),
    ]
    for column in ("listing", "product"):
        if column in table and (table[column] != "").any():
            number = table.loc[table[column] != "", column].nunique()
            tiles.insert(1, Tile(f"{column.capitalize()}s", f"{number:,}"))
    page.tiles(tiles)
    page.heading(
        "What was checked",
        "Failed rules first. A warning is worth a look; a failed rule stops a pipeline whose setting strict is true.",
    )
    order = {"Failed": 0, "Warning": 1, "Note": 2, "Passed": 3}
    ranked = sorted(validation.results, key=lambda result: order[_status(result)])
    page.table(
        ("Outcome", "Rule", "Found", "Share", "Allowed", "What it means"),
        [
            (
                _status(result),
                result.title,
                f"{result.count:,}",
                percent(result.share),
                "–" if result.threshold is None else percent(result.threshold),
                result.explanation,
            )
            for result in ranked
        ],
    )
    worth_showing = [result for result in ranked if _status(result) != "Passed" and result.name != "label_noise"]
    _offenders(page, catalog, photos, worth_showing)
    label_noise_section(page, noise, catalog)
    _labels(page, normal)
    _sizes(page, photos)
    if "split" in table and (table["split"] != "").any():
        page.heading("Splits")
        counts = table["split"].replace("", "not assigned").value_counts()
        page.bars((str(name), float(count), f"{count:,}") for name, count in counts.items())
    return page


def _offenders(page: Page, catalog: Catalog, photos: pd.DataFrame, results: list[RuleResult]) -> None:
    """What each rule found, in words and as thumbnails."""
    for result in results:
        if not result.examples and not result.details:
            continue
        page.heading(f"{_status(result)}: {result.title}", f"{result.count:,} found. {result.explanation}")
        if result.details:
            page.table(("Found",), [(line,) for line in result.details])
        shown = [_photo(catalog, photos, number - 1) for number in result.examples]
        if shown:
            page.photos(shown)


def _photo(catalog: Catalog, photos: pd.DataFrame, row: int) -> Photo:
    image = catalog.table["image"].iat[row]
    caption = [f"Row {row + 1}", image]
    labels = [catalog.table[name].iat[row] for name in ("category", "listing", "split") if name in catalog.table]
    caption += [label for label in labels if label]
    if photos["error"].iat[row]:
        caption.append(photos["error"].iat[row])
    picture = thumbnail(catalog.uri(image)) if photos["readable"].iat[row] and is_safe_path(image) else None
    return Photo(picture, caption)


def _labels(page: Page, table: pd.DataFrame) -> None:
    for column in ("category", "verdict", *sorted(name for name in table if name.startswith(ATTRIBUTE_PREFIX))):
        if column not in table or (table[column] == "").all():
            continue
        counts: dict[str, int] = {}
        for cell, number in table[column].value_counts().items():
            for label in labels_of(str(cell)) if column.startswith(ATTRIBUTE_PREFIX) else [str(cell)]:
                counts[label or "(no label)"] = counts.get(label or "(no label)", 0) + int(number)
        blank = int((table[column] == "").sum())
        counts.pop("(no label)", None)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        note = f"{len(ordered):,} labels; {blank:,} photos ({percent(blank / len(table))}) have none."
        page.heading(f"Photos per {column.removeprefix(ATTRIBUTE_PREFIX)}", note)
        page.bars((label, float(number), f"{number:,}") for label, number in ordered[:20])
        if len(ordered) > 20:
            page.text(f"and {len(ordered) - 20:,} more labels with {ordered[20][1]:,} photos or fewer each.")


def _sizes(page: Page, photos: pd.DataFrame) -> None:
    readable = photos[photos["readable"]]
    if readable.empty:
        return
    side = readable[["width", "height"]].min(axis=1)
    names = [f"below {SIDES[0]}", *(f"{low} to {high - 1}" for low, high in pairwise(SIDES))]
    names.append(f"{SIDES[-1]} and more")
    counts = pd.cut(side, [0, *SIDES, float("inf")], right=False, labels=names).value_counts().reindex(names)
    page.heading("Photo sizes", "Pixels of the shorter side.")
    page.bars((name, float(count), f"{count:,}") for name, count in counts.items() if count)
    formats = readable["format"].value_counts()
    page.heading("File types")
    page.bars((str(name), float(count), f"{count:,}") for name, count in formats.items())
