"""A user's own expectations: what they find, what is refused, and that no label acts as markup on any page."""

import json
import re
from html.parser import HTMLParser

import great_expectations
import numpy as np
import pandas as pd
import pytest
import yaml
from great_expectations import expectations as known
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from vitrine.catalog.table import TEXT
from vitrine.errors import InputError
from vitrine.quality.expectations import judge
from vitrine.quality.suite import great_expectations_page, judge_suite, read_suite, suite_frame

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def entry(kind, meta=None, **kwargs):
    return {"type": kind, "kwargs": kwargs, "meta": meta or {}}


@pytest.fixture
def write(tmp_path):
    def _write(*entries, name="own.json"):
        content = {"name": "own", "expectations": list(entries), "meta": {"great_expectations_version": "1.24.1"}}
        text = json.dumps(content) if name.endswith("json") else yaml.safe_dump(content)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return _write


@pytest.fixture
def table():
    views = ["tag", "box", "", HOSTILE, "tag", "tag"]
    texts = {"image": [f"{n}.jpg" for n in range(6)], "view": views, "user": ["u", "v", "", "", "", ""]}
    frame = pd.DataFrame(texts).astype(TEXT)
    return frame.assign(price=[1.0, 2.0, np.nan, 4.0, 5.0, 6.0], tags=[["a"]] * 6)


@pytest.fixture
def photos():
    return pd.DataFrame(
        {
            "readable": [True, True, True, False, True, True],
            "problem": pd.Series(["", "", "", "missing", "", ""], dtype=TEXT),
            "width": np.array([10, 200, 300, 0, 500, 600], dtype="int32"),
            "contrast": np.array([1, 2, 3, np.nan, 5, 6], dtype="float32"),
            "extension_matches": [True, False, True, True, True, True],
            "signature": [b"x"] * 6,
        }
    )


def found(path, table, photos):
    outcome, results = judge_suite(read_suite(path), table, photos)
    assert len(results) == len(outcome)
    return outcome


@pytest.mark.parametrize("name", ["own.json", "own.yaml"])
def test_each_failing_expectation_becomes_a_finding(write, table, photos, name):
    path = write(
        entry("expect_column_values_to_be_in_set", {"severity": "error"}, column="view", value_set=["tag", "box"]),
        entry("expect_column_values_to_not_be_null", column="user", mostly=0.3),
        entry("expect_column_values_to_be_between", {"severity": "info"}, column="photo:width", min_value=100),
        entry("expect_column_values_to_be_in_set", column="photo:extension_matches", value_set=[True]),
        entry("expect_column_mean_to_be_between", column="price", max_value=3),
        entry("expect_column_values_to_be_null", column="photo:problem"),
        name=name,
    )
    outcome = found(path, table, photos)
    assert list(outcome) == [
        "suite:expect_column_values_to_be_in_set(view)",
        "suite:expect_column_values_to_not_be_null(user)",
        "suite:expect_column_values_to_be_between(photo:width)",
        "suite:expect_column_values_to_be_in_set(photo:extension_matches)",
        "suite:expect_column_mean_to_be_between(price)",
        "suite:expect_column_values_to_be_null(photo:problem)",
    ]
    (view, shown), (user, few), (width, small), (_, wrong), (mean, high), (_, missing) = outcome.values()
    assert (shown.count, shown.total, shown.rows, shown.details) == (1, 5, (3,), (f"{HOSTILE}: 1",))
    assert (view.fail_above, view.warn_above) == (0, None)
    assert (few.count, few.total, few.rows) == (4, 6, (2, 3, 4, 5))
    assert user.warn_above == pytest.approx(0.7)  # two of six are enough
    assert few.share <= user.warn_above
    assert (width.fail_above, width.warn_above) == (None, None)
    assert (small.count, small.total, small.rows) == (1, 5, (0,))  # the unreadable photo has no width
    assert (wrong.count, wrong.rows) == (1, (1,))
    assert (mean.warn_above, high.count, high.total, high.details) == (0, 1, 1, ("observed: 3.6",))
    assert missing.rows == (3,)
    assert view.title == "view values must belong to this set: tag box"


def test_what_great_expectations_saves_is_read(tmp_path, table, photos):
    suite = great_expectations.ExpectationSuite(
        "saved",
        [
            known.ExpectColumnValuesToMatchRegex(column="image", regex="^[0-3]", notes="Why it is so", meta={}),
            known.ExpectColumnValuesToBeUnique(column="view", meta={"severity": "error"}),
            known.ExpectColumnValuesToBeUnique(column="view", mostly=0.5),
            known.ExpectTableRowCountToBeBetween(min_value=7),
        ],
    )
    (tmp_path / "saved.json").write_text(json.dumps(suite.to_json_dict()))
    outcome = found(tmp_path / "saved.json", table, photos)
    (regex, names), (_, unique), (_, again), (_, count) = outcome.values()
    assert list(outcome)[2] == "suite:expect_column_values_to_be_unique(view)#2"
    assert regex.explanation == "Why it is so"
    assert names.rows == (4, 5)
    assert unique.rows == again.rows == (0, 4, 5)
    assert (count.count, count.total, count.details) == (1, 1, ("observed: 6",))


def test_what_mostly_lets_pass_passes_whatever_the_rounding(write, photos):
    for good, total in [(9, 10), (1, 3), (2, 3), (7, 10), (99, 100), (6, 7)]:
        words = pd.DataFrame({"view": pd.Series(["good"] * good + ["bad"] * (total - good), dtype=TEXT)})
        arguments = {"column": "view", "value_set": ["good"], "mostly": good / total}
        [(rule, finding)] = found(
            write(entry("expect_column_values_to_be_in_set", **arguments)), words, photos
        ).values()
        assert finding.share <= rule.warn_above
        arguments["mostly"] = good / total + 1e-6
        [(rule, finding)] = found(
            write(entry("expect_column_values_to_be_in_set", **arguments)), words, photos
        ).values()
        assert finding.share > rule.warn_above


def test_only_named_columns_are_built_and_unknown_is_null(write, table, photos):
    suite = read_suite(write(entry("expect_column_values_to_not_be_null", column="photo:contrast")))
    frame = suite_frame(table, photos, suite)
    assert list(frame) == ["photo:contrast"]
    assert frame["photo:contrast"].dtype == "float64"
    suite = read_suite(write(entry("expect_table_columns_to_match_set", column_set=["view"], exact_match=False)))
    frame = suite_frame(table, photos, suite)
    assert "tags" not in frame  # lists are nothing that Great Expectations can judge
    assert "photo:signature" not in frame
    assert frame["view"].isna().tolist() == [False, False, True, False, False, False]
    assert frame["photo:width"].isna().tolist() == [False, False, False, True, False, False]


def test_a_missing_column_may_be_what_is_asked(write, table, photos):
    [(_, finding)] = found(write(entry("expect_column_to_exist", column="weight")), table, photos).values()
    assert (finding.count, finding.total) == (1, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "is no expectation suite"),
        ('{"name": "x"}', "is no expectation suite"),
        ('{"expectations": []}', "is no expectation suite"),
        ("{", "is not JSON"),
        ('{"expectations": [3]}', "expectation 1: has no 'type'"),
        ('{"expectations": [{"type": "expect_miracles"}]}', "expect_miracles not found"),
        (
            '{"expectations": [{"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "view", "sett": 1}}]}',
            "sett",
        ),
        ('{"expectations": [{"type": "expect_column_values_to_be_in_set", "kwargs": 3}]}', "not both mappings"),
        (
            '{"expectations": [{"type": "expect_column_values_to_be_null", "kwargs": {"column": "view"}, "meta": {"severity": "bad"}}]}',
            "severity 'bad' is not one of error, warning, info",
        ),
    ],
)
def test_unusable_suites_are_named(tmp_path, text, said):
    path = tmp_path / "own.json"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(said)) as refused:
        read_suite(path)
    assert "own.json" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_unknown_columns_and_senseless_comparisons_are_named(write, table, photos, tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_suite(tmp_path / "missing.json")
    for name, arguments, said in [
        ("expect_column_values_to_be_null", {"column": "colour"}, "expectation 1: no column 'colour'"),
        ("expect_column_values_to_be_null", {"column": "tags"}, "no column 'tags'"),
        (
            "expect_column_pair_values_to_be_equal",
            {"column_A": "view", "column_B": "photo:size"},
            "no column 'photo:size'",
        ),
        ("expect_column_values_to_be_between", {"column": "view", "min_value": 3}, "cannot be judged"),
        ("expect_column_values_to_match_regex", {"column": "view", "regex": "("}, "cannot be judged"),
    ]:
        with pytest.raises(InputError, match=re.escape(said)) as refused:
            judge_suite(read_suite(write(entry(name, **arguments))), table, photos)
        assert "\n" not in str(refused.value)


class Tags(HTMLParser):
    """What a page would load or run."""

    def __init__(self):
        super().__init__()
        self.outside, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        given = dict(attrs)
        address = given.get("href") or given.get("src") or ""
        handlers = [name for name in given if name.startswith("on")]
        if (
            tag in ("script", "link", "img", "iframe", "object", "form", "base")
            or handlers
            or address[:1] not in ("", "#")
        ):
            self.outside.append((tag, attrs))


def load(page):
    tags = Tags()
    tags.feed(page)
    return tags


def test_great_expectations_page_needs_nothing_from_elsewhere(write, table, photos):
    path = write(
        entry("expect_column_values_to_be_in_set", column="view", value_set=["tag", HOSTILE + "!"]),
        entry("expect_column_distinct_values_to_be_in_set", column="view", value_set=["tag"]),
        entry("expect_column_pair_values_to_be_equal", column_A="view", column_B="user"),
        entry("expect_column_values_to_match_regex", column="view", regex="^(?:<tag)$"),
        entry("expect_column_mean_to_be_between", column="price", max_value=3),
        entry("expect_table_row_count_to_equal", value=6),
    )
    _, results = judge_suite(read_suite(path), table, photos)
    page = great_expectations_page(results, HOSTILE, "data version 1")
    assert load(page).outside == []
    assert "http" not in page.replace("http-equiv", "")
    assert "alert(1)" in page  # shown, as text
    assert "Content-Security-Policy" in page
    assert "data version 1" in page
    for said in ("values must belong to this set", "mean must be", "unexpected values found", "✔", "Failed"):
        assert said in page, said
    assert great_expectations_page(results, HOSTILE, "data version 1") == page
    assert load(great_expectations_page([], "empty", "")).outside == []


@pytest.mark.slow
@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=4), st.text(min_size=1, max_size=8))
def test_no_value_adds_an_element_to_the_page(words, column):
    def tags(values, name):
        frame = pd.DataFrame({name: pd.Series(values, dtype=TEXT), "other number": range(len(values))})
        expected = [
            known.ExpectColumnValuesToBeInSet(column=name, value_set=["allowed"]),
            known.ExpectColumnPairValuesToBeEqual(column_A=name, column_B="other number"),
        ]
        return load(great_expectations_page(judge(frame, expected), values[0], values[0])).open

    plain = [f"w{n}" for n, _ in enumerate(dict.fromkeys(words))]
    assert tags(list(dict.fromkeys(words)), column) == tags(plain, "name")
