"""The bounded way of asking Great Expectations against Great Expectations itself on the whole table."""

import great_expectations
import numpy as np
import pandas as pd
import pytest
from great_expectations import expectations as known
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrine.catalog.table import TEXT
from vitrine.quality import expectations
from vitrine.quality.expectations import build, domain, failure, judge, quiet, unexpected

SINGLE = [
    known.ExpectColumnValuesToBeInSet(column="word", value_set=["a", "bb", "c|d"]),
    known.ExpectColumnValuesToBeInSet(column="flag", value_set=[True]),
    known.ExpectColumnValuesToNotBeInSet(column="word", value_set=["a"], mostly=0.8),
    known.ExpectColumnValuesToMatchRegex(column="word", regex="^[a-c]"),
    known.ExpectColumnValuesToMatchRegexList(column="word", regex_list=["a", "b"], match_on="any"),
    known.ExpectColumnValuesToNotMatchRegex(column="word", regex=r"\||<"),
    known.ExpectColumnValuesToNotMatchRegexList(column="word", regex_list=["<", "d"]),
    known.ExpectColumnValueLengthsToBeBetween(column="word", min_value=2, max_value=3),
    known.ExpectColumnValueLengthsToEqual(column="word", value=1),
    known.ExpectColumnValuesToBeBetween(column="size", min_value=3, max_value=7),
    known.ExpectColumnValuesToBeBetween(column="share", min_value=0.5),
    known.ExpectColumnValuesToMatchStrftimeFormat(column="word", strftime_format="%Y"),
    known.ExpectColumnValuesToBeDateutilParseable(column="word"),
    known.ExpectColumnValuesToBeJsonParseable(column="word"),
    known.ExpectColumnValuesToMatchJsonSchema(column="json", json_schema={"type": "integer"}),
]
WHOLE = [
    known.ExpectColumnValuesToNotBeNull(column="word"),
    known.ExpectColumnValuesToBeNull(column="word", mostly=0.1),
    known.ExpectColumnValuesToBeUnique(column="word"),
    known.ExpectColumnValuesToBeOfType(column="word", type_="str"),
    known.ExpectColumnValuesToBeInTypeList(column="other", type_list=["int", "str"]),
    known.ExpectColumnDistinctValuesToBeInSet(column="word", value_set=["a", "bb"]),
    known.ExpectColumnUniqueValueCountToBeBetween(column="word", min_value=1, max_value=3),
    known.ExpectColumnMostCommonValueToBeInSet(column="word", value_set=["a"]),
    known.ExpectColumnMeanToBeBetween(column="size", min_value=0, max_value=1),
    known.ExpectColumnQuantileValuesToBeBetween(
        column="share", quantile_ranges={"quantiles": [0.1, 0.9], "value_ranges": [[0, 1], [0, 0.2]]}
    ),
    known.ExpectColumnPairValuesToBeEqual(column_A="word", column_B="other"),
    known.ExpectCompoundColumnsToBeUnique(column_list=["word", "size"]),
    known.ExpectTableRowCountToBeBetween(min_value=1, max_value=2),
    known.ExpectTableColumnsToMatchSet(column_set=["word", "size"], exact_match=False),
    known.ExpectColumnToExist(column="nothing"),
    known.ExpectColumnValuesToBeInSet(
        column="word", value_set=["a"], row_condition="size > 4", condition_parser="pandas"
    ),
]


def table(rows=240, seed=0):
    rng = np.random.default_rng(seed)
    words = np.array(["a", "bb", "c|d", "<b>", "2001", "{}", "12", None], dtype=object)
    share = rng.random(rows)
    share[rng.random(rows) < 0.2] = np.nan
    flags = np.array([True, False, None], dtype=object)
    return pd.DataFrame(
        {
            "word": pd.Series(words[rng.integers(0, len(words), rows)], dtype=TEXT),
            "other": pd.Series(words[rng.integers(0, 3, rows)], dtype=TEXT),
            "json": pd.Series(np.array(["1", "[]", None], dtype=object)[rng.integers(0, 3, rows)], dtype=TEXT),
            "flag": flags[rng.integers(0, 3, rows)],
            "size": rng.integers(0, 10, rows),
            "share": share,
        }
    )


def by_great_expectations(frame, expectation):
    """Great Expectations on the whole table of Python objects."""
    with quiet():
        context = great_expectations.get_context(mode="ephemeral")
        asset = context.data_sources.add_pandas("memory").add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        return batch.validate(expectation, result_format={"result_format": "COMPLETE"})


def plain(frame):
    """Without Arrow: texts as Python objects, None where missing."""
    texts = [name for name in frame if frame[name].dtype == TEXT]
    return frame.astype(dict.fromkeys(texts, object)).where(frame.notna(), None).astype({"size": "int64"})


@pytest.mark.parametrize("expectation", [*SINGLE, *WHOLE], ids=lambda e: f"{e.expectation_type}-{'-'.join(domain(e))}")
def test_the_answer_is_that_of_great_expectations_on_the_whole_table(expectation, monkeypatch):
    monkeypatch.setattr(expectations, "SLICE", 50)
    frame = table()
    [got] = judge(frame, [expectation])
    wanted = by_great_expectations(plain(frame).astype({"share": "float64"}), expectation)
    assert failure(got) == failure(wanted) == ""
    assert got.success == wanted.success
    for name in ("element_count", "unexpected_count", "missing_count", "unexpected_percent", "observed_value"):
        assert got.result.get(name) == wanted.result.get(name), name
    assert got.result.get("partial_unexpected_index_list") == wanted.result.get("unexpected_index_list")
    if expectation in SINGLE:
        assert 0 < got.result["unexpected_count"] < len(frame)
        rows = got.result["partial_unexpected_index_list"]
        column = frame[expectation.column]
        assert got.result["partial_unexpected_list"] == column.iloc[rows[: expectations.COMMONEST]].tolist()
        counts = {item["value"]: item["count"] for item in got.result["partial_unexpected_counts"]}
        assert counts == column.iloc[rows].value_counts().head(expectations.COMMONEST).to_dict() or len(counts) == 20


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=30),
    st.sampled_from([r"[a-z]", r"^$", r"\x00", r"\s"]),
    st.sets(st.text(max_size=2), min_size=1, max_size=3),
    st.integers(1, 7),
)
def test_any_text_is_judged_as_one_by_one(words, pattern, allowed, size):
    import re

    frame = pd.DataFrame({"word": pd.Series(words, dtype=TEXT)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expectations, "SLICE", size)
        asked = [
            ("ExpectColumnValuesToNotMatchRegex", {"column": "word", "regex": pattern}),
            ("ExpectColumnValuesToBeInSet", {"column": "word", "value_set": sorted(allowed)}),
        ]
        (wrong, rows), (strange, others) = map(unexpected, judge(frame, build(asked)))
    expected = [row for row, word in enumerate(words) if word is not None and re.search(pattern, word)]
    assert (wrong, rows) == (len(expected), expected)
    expected = [row for row, word in enumerate(words) if word is not None and word not in allowed]
    assert (strange, others) == (len(expected), expected)


def test_counts_are_exact_and_the_listed_rows_the_first(monkeypatch):
    monkeypatch.setattr(expectations, "SLICE", 700)
    frame = pd.DataFrame({"word": pd.Series(["good", "bad"] * 2500, dtype=TEXT)})
    [result] = judge(frame, [known.ExpectColumnValuesToBeInSet(column="word", value_set=["good"])])
    count, rows = unexpected(result)
    assert count == 2500
    assert rows == list(range(1, 2000, 2))
    assert result.result["partial_unexpected_counts"] == [{"value": "bad", "count": 2500}]


@pytest.mark.parametrize("rows", [0, 1])
def test_small_and_empty_tables(rows):
    frame = table(rows)
    results = judge(frame, SINGLE[:10])
    assert [failure(result) for result in results] == [""] * 10
    assert [result.result["element_count"] for result in results] == [rows] * 10
    assert judge(frame, []) == []


def test_a_column_without_values_passes():
    frame = pd.DataFrame({"word": pd.Series([None, None], dtype=TEXT)})
    [result] = judge(frame, [known.ExpectColumnValuesToBeInSet(column="word", value_set=["a"])])
    assert result.success
    assert result.result["missing_count"] == 2


def test_mixtures_of_types_go_to_great_expectations_as_they_are():
    frame = pd.DataFrame({"mixed": pd.Series([1, "one", None, 2.5, True], dtype=object)})
    [result] = judge(frame, [known.ExpectColumnValuesToBeInSet(column="mixed", value_set=[2.5, 7])])
    assert result.result["partial_unexpected_index_list"] == [0, 1, 4]


def test_what_cannot_be_judged_says_why():
    frame = pd.DataFrame({"word": pd.Series(["a"], dtype=TEXT)})
    results = judge(
        frame,
        [
            known.ExpectColumnValuesToBeBetween(column="word", min_value=3),
            known.ExpectColumnMeanToBeBetween(column="nothing", min_value=3),
            known.ExpectColumnValuesToBeInSet(column="word", value_set=["a"]),
        ],
    )
    assert "same type" in failure(results[0])
    assert "nothing" in failure(results[1])
    assert "\n" not in "".join(map(failure, results))
    assert failure(results[2]) == ""
    with pytest.raises(RuntimeError, match="expect_column_values_to_be_between"):
        unexpected(results[0])
