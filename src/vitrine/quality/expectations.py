"""Tabular rules, judged by Great Expectations in memory, with its telemetry and progress bars off.

Great Expectations looks at one Python object after the other. A table of millions of rows holds far fewer different
values, so an expectation that asks about single values is put to the different values of one column, a slice of the
table at a time, and its answer carried back to the rows: memory and time stay bounded and every figure is exact.
"""

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vitrine.catalog.table import TEXT

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.expectations.expectation import Expectation

SHOWN = 1000  # rows of a failed expectation that are listed; the count is always exact
COMMONEST = 20  # unexpected values that a result names
SLICE = 500_000  # rows that are judged at a time
# Expectations whose answer about a row follows from that row's value alone.
OF_SINGLE_VALUES = {
    "expect_column_value_lengths_to_be_between",
    "expect_column_value_lengths_to_equal",
    "expect_column_values_to_be_between",
    "expect_column_values_to_be_dateutil_parseable",
    "expect_column_values_to_be_in_set",
    "expect_column_values_to_be_json_parseable",
    "expect_column_values_to_match_json_schema",
    "expect_column_values_to_match_regex",
    "expect_column_values_to_match_regex_list",
    "expect_column_values_to_match_strftime_format",
    "expect_column_values_to_not_be_in_set",
    "expect_column_values_to_not_match_regex",
    "expect_column_values_to_not_match_regex_list",
}
OF_TYPES = {"expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list"}


def build(expectations: Sequence[tuple[str, Mapping[str, Any]]]) -> list["Expectation"]:
    """Expectations from their class names and arguments."""
    with quiet():
        from great_expectations import expectations as known

        return [getattr(known, name)(**arguments) for name, arguments in expectations]


def unexpected(result: "ExpectationValidationResult") -> tuple[int, list[int]]:
    """How many rows break an expectation, and the first `SHOWN` of them.

    Raises:
        RuntimeError: if it could not be judged.
    """
    if problem := failure(result):
        raise RuntimeError(f"{result.expectation_config.type} {result.expectation_config.kwargs}: {problem}")
    rows = result.result.get("partial_unexpected_index_list") or []
    return int(result.result.get("unexpected_count") or 0), [int(row) for row in rows]


def judge(frame: pd.DataFrame, expectations: Sequence["Expectation"]) -> list["ExpectationValidationResult"]:
    """What Great Expectations says of each expectation about a table, in their order.

    Results are in its SUMMARY format, with up to `SHOWN` rows in `partial_unexpected_index_list`; all other lists, as
    of values seen, are cut to `COMMONEST`. An expectation that cannot be judged says why; see `failure`.

    Args:
        frame: A table with a RangeIndex; nulls are missing values.
        expectations: Of any kind that works on pandas tables.
    """
    results: dict[int, ExpectationValidationResult] = {}
    with quiet():
        import great_expectations

        context = great_expectations.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        rows = context.data_sources.add_pandas("memory").add_dataframe_asset("rows")
        definition = rows.add_batch_definition_whole_dataframe("all")
        columns: dict[str, list[int]] = {}
        for number, expectation in enumerate(expectations):
            if _asks_single_values(frame, expectation):
                columns.setdefault(expectation.column, []).append(number)
        for column, numbers in columns.items():
            values = _arrow(frame[column])
            if values is not None:
                judged = _of_values(definition, column, values, [expectations[number] for number in numbers])
                results.update(zip(numbers, judged, strict=True))
        for number, expectation in enumerate(expectations):
            if number not in results:
                results[number] = _of_table(definition, frame, expectation)
    return [results[number] for number in range(len(expectations))]


def failure(result: "ExpectationValidationResult") -> str:
    """Why an expectation could not be judged, in one line; "" if it was."""
    info = result.exception_info or {}
    for entry in [info, *(value for value in info.values() if isinstance(value, dict))]:
        if entry.get("raised_exception"):
            return " ".join(str(entry.get("exception_message") or "unknown problem").split())
    return ""


def domain(expectation: "Expectation") -> list[str]:
    """The columns that an expectation names as its own; none if it is about the table."""
    named = [getattr(expectation, name, None) for name in ("column", "column_A", "column_B")]
    return [name for name in [*named, *(getattr(expectation, "column_list", None) or [])] if isinstance(name, str)]


def _asks_single_values(frame: pd.DataFrame, expectation: "Expectation") -> bool:
    return (
        expectation.expectation_type in OF_SINGLE_VALUES
        and expectation.column in frame
        and not expectation.row_condition
        and isinstance(expectation.mostly, int | float)
        and len(frame) > 0
    )


def _arrow(column: pd.Series) -> pa.ChunkedArray | None:
    """A column's values, NaN as null; None for a mixture of types that Arrow does not know."""
    try:
        values = pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])


@dataclass
class _Tally:
    """What one expectation came to over the slices so far."""

    count: int = 0
    rows: list[int] = field(default_factory=list)
    values: Counter[Any] = field(default_factory=Counter)
    last: Any = None


def _of_values(
    definition: "BatchDefinition", column: str, values: pa.ChunkedArray, expectations: Sequence["Expectation"]
) -> list["ExpectationValidationResult"]:
    tallies = [_Tally() for _ in expectations]
    form = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
    for start in range(0, len(values), SLICE):
        coded = values.slice(start, SLICE).combine_chunks().dictionary_encode()
        different = coded.dictionary.to_pandas().rename(column).to_frame()
        codes = coded.indices.fill_null(len(different)).to_numpy(zero_copy_only=False)
        batch = definition.get_batch({"dataframe": different})
        for tally, expectation in zip(tallies, expectations, strict=True):
            tally.last = batch.validate(expectation, result_format=form)
            if failure(tally.last):
                continue
            wrong = np.zeros(len(different) + 1, dtype=bool)
            wrong[tally.last.result["unexpected_index_list"]] = True
            places = np.flatnonzero(wrong[codes])
            tally.count += len(places)
            tally.rows += (places[: SHOWN - len(tally.rows)] + start).tolist()
            times = pd.Series(codes[places]).value_counts().head(SHOWN)
            tally.values.update(dict(zip(different[column].iloc[times.index], times.tolist(), strict=True)))
    filled = len(values) - values.null_count
    return [
        tally.last if failure(tally.last) else _whole(tally, values, filled, expectation)
        for tally, expectation in zip(tallies, expectations, strict=True)
    ]


def _whole(
    tally: _Tally, values: pa.ChunkedArray, filled: int, expectation: "Expectation"
) -> "ExpectationValidationResult":
    """The result about all rows, made of those about the slices."""
    total, missing = len(values), len(values) - filled
    share = tally.count / filled * 100 if filled else None
    result = tally.last
    result.success = not filled or (filled - tally.count) / filled >= float(expectation.mostly)
    result.result = {
        "element_count": total,
        "unexpected_count": tally.count,
        "unexpected_percent": share,
        "partial_unexpected_list": values.take(pa.array(tally.rows[:COMMONEST], pa.int64())).to_pylist(),
        "missing_count": missing,
        "missing_percent": missing / total * 100,
        "unexpected_percent_total": tally.count / total * 100,
        "unexpected_percent_nonmissing": share,
        "partial_unexpected_counts": [
            {"value": value, "count": count} for value, count in tally.values.most_common(COMMONEST)
        ],
        "partial_unexpected_index_list": tally.rows,
    }
    return result


def _of_table(
    definition: "BatchDefinition", frame: pd.DataFrame, expectation: "Expectation"
) -> "ExpectationValidationResult":
    """Over the whole table, of which Great Expectations gets no more columns than the expectation is about."""
    columns = list(dict.fromkeys(domain(expectation)))
    if columns and not getattr(expectation, "row_condition", None) and set(columns) <= set(frame.columns):
        frame = frame[columns]
    if expectation.expectation_type in OF_TYPES:  # a text is a str, however the table keeps it
        frame = frame.astype({name: object for name in frame if frame[name].dtype == TEXT})
    form = {"result_format": "SUMMARY", "partial_unexpected_count": SHOWN, "return_unexpected_index_query": False}
    result = definition.get_batch({"dataframe": frame}).validate(expectation, result_format=form)
    result.result = {
        name: value if name.endswith("index_list") else _short(value) for name, value in result.result.items()
    }
    return result


def _short(value: Any) -> Any:
    """Plain Python values, and lists cut to `COMMONEST`: of a unique column everything would come back."""
    if isinstance(value, dict):
        return {name: _short(part) for name, part in value.items()}
    if isinstance(value, tuple):  # the values of several columns in one row
        return " | ".join(map(str, value))
    if isinstance(value, list):
        return [_short(part) for part in value[:COMMONEST]]
    return value.item() if isinstance(value, np.generic) else value


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Great Expectations without telemetry and chatter."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with contextlib.ExitStack() as silenced:
        silenced.enter_context(_silent("great_expectations"))  # its import alone says 200 lines
        import great_expectations.data_context.types.base as chatty  # sets its own level as it is imported

        for name in (chatty.__name__, "posthog"):
            silenced.enter_context(_silent(name))
        silenced.enter_context(np.errstate(all="ignore"))
        yield


@contextlib.contextmanager
def _silent(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
