"""A user's own Great Expectations suite over the columns of catalog and photos, and Great Expectations' own page."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from vitrine.catalog.table import TEXT
from vitrine.errors import InputError
from vitrine.quality.expectations import domain, failure, judge, quiet
from vitrine.quality.rules import EXAMPLES, Finding
from vitrine.quality.settings import RuleSettings
from vitrine.report.harmless import harmless
from vitrine.untrusted import parse_json, parse_yaml

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation import Expectation

PHOTO = "photo:"
SEVERITIES = ("error", "warning", "info")
ALWAYS_KNOWN = ("problem", "error", "readable", "bytes", "sha256")  # of photos that cannot be decoded, too
NOT_SHOWN = ("signature", "hash")
TITLE = 200
NOTE = "Characters that could act as markup are shown as ‹ › ”. Charts are left out, and only the first values listed."


@dataclass(frozen=True)
class Suite:
    """Expectations as a file names them.

    Attributes:
        name: The suite's.
        expectations: In the file's order.
        severities: What each one's failing means: `error`, `warning` or `info`.
        titles: Each one in words.
        explanations: The notes of each one's author, "" without.
    """

    name: str
    expectations: "Sequence[Expectation]"
    severities: Sequence[str]
    titles: Sequence[str]
    explanations: Sequence[str]


def read_suite(path: Path) -> Suite:
    """Reads a suite as Great Expectations 1.x saves it (JSON), or the same structure in YAML.

    An expectation's `meta` may hold `severity` (`error`, `warning`, `info`; by default `warning`).

    Raises:
        InputError: if it is no suite, or an expectation is unknown or has wrong arguments.
    """
    content = _read(path)
    entries = content.get("expectations") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path}: is no expectation suite (it has no list 'expectations')")
    with quiet():
        built = [_expectation(entry, f"{path}: expectation {number}") for number, entry in enumerate(entries, 1)]
        titles = [_title(expectation) for expectation, _ in built]
    notes = [expectation.notes or "" for expectation, _ in built]
    return Suite(
        str(content.get("name") or path.stem),
        [expectation for expectation, _ in built],
        [severity for _, severity in built],
        titles,
        [note if isinstance(note, str) else " ".join(note) for note in notes],
    )


def suite_frame(table: pd.DataFrame, photos: pd.DataFrame, suite: Suite) -> pd.DataFrame:
    """What a suite looks at: the catalog's columns, and the photo table's as `photo:<name>`; null where unknown.

    Only what some expectation names is built, unless one is about the table as a whole.

    Raises:
        InputError: if the suite names a column that there is not.
    """
    columns = [name for name in table if not _is_nested(table[name])]
    columns += [f"{PHOTO}{name}" for name in photos if name not in NOT_SHOWN]
    wanted: list[str] = []
    for number, expectation in enumerate(suite.expectations, 1):
        named = domain(expectation)
        if expectation.expectation_type == "expect_column_to_exist":
            named = []
        for name in named:
            if name not in columns:
                names = ", ".join(columns)
                raise InputError(f"{suite.name}: expectation {number}: no column {name!r} (columns: {names})")
        wanted += named if named and not getattr(expectation, "row_condition", None) else columns
    return pd.DataFrame(
        {name: _column(table, photos, name) for name in columns if name in set(wanted)}, index=table.index
    )


def judge_suite(
    suite: Suite, table: pd.DataFrame, photos: pd.DataFrame
) -> tuple[dict[str, tuple[RuleSettings, Finding]], "list[ExpectationValidationResult]"]:
    """Holds a catalog to a suite.

    Returns:
        Per expectation a rule and what it found, for `judge` to decide (what `mostly` lets pass, passes), and Great
        Expectations' results for `great_expectations_page`.

    Raises:
        InputError: if the suite names a column that there is not, or an expectation cannot be judged.
    """
    results = judge(suite_frame(table, photos, suite), suite.expectations)
    findings: dict[str, tuple[RuleSettings, Finding]] = {}
    for number, (expectation, result) in enumerate(zip(suite.expectations, results, strict=True), 1):
        if problem := failure(result):
            kind = expectation.expectation_type
            raise InputError(f"{suite.name}: expectation {number} ({kind}) cannot be judged: {problem[:TITLE]}")
        finding = _finding(result)
        allowed = round(1 - float(getattr(expectation, "mostly", 1)), 12)
        limit = max(allowed, finding.share) if result.success else allowed
        severity = suite.severities[number - 1]
        name = base = f"suite:{expectation.expectation_type}({','.join(domain(expectation))})"
        again = 2
        while name in findings:
            name, again = f"{base}#{again}", again + 1
        rule = RuleSettings(
            suite.titles[number - 1],
            suite.explanations[number - 1] or f"An expectation of the suite {suite.name}.",
            limit if severity == "warning" else None,
            limit if severity == "error" else None,
        )
        findings[name] = rule, finding
    return findings, results


def great_expectations_page(results: "Sequence[ExpectationValidationResult]", suite: str, data: str) -> str:
    """Great Expectations' own page of a validation, as one file that needs no network.

    Its scripts and styles lie on five servers; here a small style sheet stands for them, and a Content Security Policy
    keeps everything else out. What Great Expectations draws by script (charts of distributions) is left out.
    Characters that could act as markup are replaced by others that look like them.

    Args:
        results: Of `vitrine.quality.expectations.judge`.
        suite: The suite's name.
        data: Which data it was.
    """
    with quiet():
        from great_expectations import __version__
        from great_expectations.core.expectation_validation_result import (
            ExpectationSuiteValidationResult,
            expectationSuiteValidationResultSchema,
        )
        from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
        from great_expectations.render.view import DefaultJinjaPageView

        passed = sum(bool(result.success) for result in results)
        whole = ExpectationSuiteValidationResult(
            success=passed == len(results),
            results=list(results),
            suite_name=suite,
            statistics={
                "evaluated_expectations": len(results),
                "successful_expectations": passed,
                "unsuccessful_expectations": len(results) - passed,
                "success_percent": 100 * passed / len(results) if results else None,
            },
            meta={"great_expectations_version": __version__, "batch_spec": {"data_asset_name": data}},
        )
        content = _harmless(whole.to_json_dict())
        for result in content["results"]:
            if "element_count" not in result["result"]:  # the page would look for a share of it
                result["result"].pop("unexpected_count", None)
        harmless = expectationSuiteValidationResultSchema.load(content)
        document = ValidationResultsPageRenderer().render(harmless)
        document.page_title = "Great Expectations"
        document.sections[0].content_blocks = document.sections[0].content_blocks[:2]  # no run to tell about
        return _self_contained(DefaultJinjaPageView().render(document))


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return parse_json(text) if path.suffix == ".json" else parse_yaml(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        raise InputError(f"{path}: is not {kind} ({_line(error)})") from error


def _expectation(entry: Any, where: str) -> "tuple[Expectation, str]":
    from great_expectations.exceptions import GreatExpectationsError
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        raise InputError(f"{where}: has no 'type'")
    kind, kwargs, meta = entry["type"], entry.get("kwargs") or {}, entry.get("meta") or {}
    if not isinstance(kwargs, dict) or not isinstance(meta, dict):
        raise InputError(f"{where} ({kind}): 'kwargs' and 'meta' are not both mappings")
    severity = meta.get("severity", "warning")
    if severity not in SEVERITIES:
        raise InputError(f"{where} ({kind}): severity {severity!r} is not one of {', '.join(SEVERITIES)}")
    words = {name: entry[name] for name in ("description", "notes") if entry.get(name)}
    try:
        return ExpectationConfiguration(type=kind, kwargs=kwargs, meta=meta, **words).to_domain_obj(), severity
    except GreatExpectationsError as error:
        raise InputError(f"{where}: {_line(error)}") from error
    except (TypeError, ValueError, AttributeError, KeyError) as error:  # pydantic's errors among them
        raise InputError(f"{where} ({kind}): {_line(error)}") from error


def _title(expectation: "Expectation") -> str:
    """An expectation as a sentence, as Great Expectations words it."""
    from great_expectations.render.renderer.inline_renderer import InlineRenderer

    content = InlineRenderer(render_object=expectation.configuration).get_rendered_content()
    value = content[0].to_json_dict()["value"]
    if "template" not in value:  # a table below a heading
        value = value["header"]["value"]
    words = {name: parameter.get("value") for name, parameter in (value.get("params") or {}).items()}
    text = Template(value["template"]).safe_substitute(words).removesuffix(".")
    return text if len(text) <= TITLE else f"{text[: TITLE - 1]}…"


def _column(table: pd.DataFrame, photos: pd.DataFrame, name: str) -> pd.Series:
    if name in table:
        values, readable = table[name], None
    else:
        photo_column = name.removeprefix(PHOTO)
        values, readable = photos[photo_column], None if photo_column in ALWAYS_KNOWN else photos["readable"].to_numpy()
    if isinstance(values.dtype, pd.ArrowDtype):  # numbers as Great Expectations expects them
        values = pa.chunked_array(values.array.__arrow_array__()).to_pandas().set_axis(values.index)
    if values.dtype == TEXT:
        values = values.mask(values == "")
    elif values.dtype.kind in "iuf":  # Great Expectations is slow with narrower numbers
        values = values.astype("float64" if values.dtype.kind == "f" or readable is not None else "int64")
    return values if readable is None else values.where(readable)


def _is_nested(column: pd.Series) -> bool:
    """Whether cells hold lists or the like, which Great Expectations cannot judge."""
    if isinstance(column.dtype, pd.ArrowDtype):
        return bool(pa.types.is_nested(column.dtype.pyarrow_dtype))
    sample = column[column.notna()].head(1) if column.dtype == object else column.head(0)
    return any(pd.api.types.is_list_like(value) for value in sample)


def _finding(result: "ExpectationValidationResult") -> Finding:
    outcome = result.result
    observed = outcome.get("observed_value")
    details = [] if observed is None else [f"observed: {_text(observed)}"]
    if outcome.get("unexpected_count") is None or outcome.get("element_count") is None:
        return Finding(int(not result.success), 1, (), tuple(details))
    rows = (outcome.get("partial_unexpected_index_list") or [])[:EXAMPLES]
    counts = [item for item in outcome.get("partial_unexpected_counts") or [] if "value" in item]
    details += [f"{_text(item['value'])}: {item['count']:,}" for item in counts[:EXAMPLES]]
    total = outcome["element_count"] - (outcome.get("missing_count") or 0)
    return Finding(int(outcome["unexpected_count"]), int(total), tuple(int(row) for row in rows), tuple(details))


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= TITLE else f"{text[: TITLE - 1]}…"


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, Mapping):
        return {_harmless(name): _harmless(part) for name, part in value.items()}
    return [_harmless(part) for part in value] if isinstance(value, list) else value


def _self_contained(page: str) -> str:
    """Without scripts, links and pictures from elsewhere. No value on the page holds a `<` or a `\"`."""
    for pattern in (
        r"<script\b.*?</script>",
        r"<link\b[^>]*>",
        r"<img\b[^>]*>",
        r"<footer\b.*?</footer>",
        r"<style>.*?</style>",
        r'\s(?:href|src)="(?!#)[^"]*"',
        r'\son\w+="[^"]*"',
    ):
        page = re.sub(pattern, "", page, flags=re.DOTALL)
    style = (resources("vitrine.quality") / "great_expectations.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'"
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}"><style>{style}</style></head>'
    return page.replace("</head>", head, 1).replace("<body>", f'<body><p class="note">{NOTE}</p>', 1)


def _line(error: object) -> str:
    return " ".join(str(error).split())[: 2 * TITLE]
