"""Tabular rules, judged by Great Expectations in memory, with its telemetry and progress bars off."""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

SHOWN = 1000  # rows of a failed expectation that are listed; the count is always exact


def unexpected_rows(
    frame: pd.DataFrame, expectations: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[tuple[int, list[int]]]:
    """How many rows break each expectation, and which (the first `SHOWN`).

    Args:
        frame: A table with a RangeIndex.
        expectations: Class names of `great_expectations.expectations` and their arguments.
    """
    if not expectations:
        return []
    with _quiet():
        import great_expectations
        from great_expectations import expectations as known

        context = great_expectations.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        asset = context.data_sources.add_pandas("memory").add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        suite = great_expectations.ExpectationSuite(
            "rules", [getattr(known, name)(**arguments) for name, arguments in expectations]
        )
        form = {"result_format": "SUMMARY", "partial_unexpected_count": SHOWN, "return_unexpected_index_query": False}
        outcome = batch.validate(suite, result_format=form)
    # Results come grouped by column; the arguments tell which is which.
    found = []
    waiting = list(outcome.results)
    for name, arguments in expectations:
        result = next(item for item in waiting if _is(item, name, arguments))
        waiting.remove(result)
        if result.exception_info.get("raised_exception"):
            raise RuntimeError(f"{name} {dict(arguments)}: {result.exception_info.get('exception_message')}")
        rows = [int(row) for row in result.result.get("partial_unexpected_index_list") or []]
        found.append((int(result.result.get("unexpected_count", 0)), rows))
    return found


def _is(result: Any, name: str, arguments: Mapping[str, Any]) -> bool:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
    config = result.expectation_config
    return config.type == snake and all(config.kwargs.get(key) == value for key, value in arguments.items())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    loggers = [logging.getLogger(name) for name in ("great_expectations", "posthog")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with np.errstate(all="ignore"):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
