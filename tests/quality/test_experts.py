"""Experts against each other: contradictions by a slow account, rates by the book and by the paper's own Table 1."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from vitrine.catalog.table import TEXT
from vitrine.quality.experts import OUTCOMES, deviating, disagreements, expert_rates, holm

TABLE_1 = {  # authentic, counterfeit, unlabelled listings of each expert
    "E1": (43892, 47514, 25200),
    "E2": (45647, 36488, 37314),
    "E3": (33989, 10720, 15312),
    "E4": (43680, 48220, 45200),
    "E5": (50240, 25000, 30920),
    "E6": (41440, 51120, 40120),
    "E7": (45640, 45179, 46559),
}


def frame(rows, *columns):
    return pd.DataFrame(rows, columns=list(columns)).astype(TEXT)


def judged(counts):
    """One listing per verdict."""
    experts = [expert for expert, numbers in counts.items() for number in numbers for _ in range(number)]
    verdicts = [
        verdict
        for numbers in counts.values()
        for verdict, number in zip(OUTCOMES, numbers, strict=True)
        for _ in range(number)
    ]
    return pd.DataFrame({"expert": pd.Series(experts, dtype=TEXT), "verdict": pd.Series(verdicts, dtype=TEXT)})


def test_one_item_judged_differently_is_named_by_what_ties_it():
    columns = ["listing", "product", "user", "description", "expert", "verdict"]
    table = frame(
        [
            ("a", "p1", "u", "Old  shoes", "e1", "authentic"),
            ("a", "p1", "u", "Old  shoes", "e1", "authentic"),
            ("b", "p1", "v", "", "e2", "counterfeit"),
            ("c", "", "u", "old shoes ", "e3", "counterfeit"),
            ("d", "", "w", "old shoes", "e3", "authentic"),
            ("e", "p2", "w", "n/a", "e1", "authentic"),
            ("f", "p2", "w", "n/a", "e2", ""),
            ("g", "", "w", "n/a", "e2", "counterfeit"),
            ("h", "", "", "<b>", "e2", "counterfeit"),
            ("h", "", "", "<b>", "e4", "authentic"),
        ],
        *columns,
    )
    copies = np.array([-1, -1, -1, -1, 4, 4, -1, 4, -1, -1])
    found = disagreements(table, copies, no_label=["N/A"])
    said = [tuple(row) for row in found[["tie", "item", "name", "expert", "verdict", "listings", "row"]].to_numpy()]
    assert said == [
        ("listing", 0, "h", "e2", "counterfeit", 1, 8),
        ("listing", 0, "h", "e4", "authentic", 1, 9),
        ("product", 0, "p1", "e1", "authentic", 1, 0),
        ("product", 0, "p1", "e2", "counterfeit", 1, 2),
        ("text", 0, "Old  shoes", "e1", "authentic", 1, 0),
        ("text", 0, "Old  shoes", "e3", "counterfeit", 1, 3),
        ("photo", 0, "d", "e3", "authentic", 1, 4),
        ("photo", 0, "d", "e1", "authentic", 1, 5),
        ("photo", 0, "d", "e2", "counterfeit", 1, 7),
    ]


VERDICTS = ["", "authentic", "counterfeit"]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            *[st.sampled_from(["", "a", "b", "c"])] * 4, st.sampled_from(["e1", "e2"]), st.sampled_from(VERDICTS)
        ),
        max_size=25,
    )
)
def test_contradictions_are_those_of_a_loop(rows):
    table = frame(rows, "listing", "product", "user", "description", "expert", "verdict")
    expected = set()
    for tie, columns in {"listing": [0], "product": [1], "text": [2, 3]}.items():
        items = {}
        for number, row in enumerate(rows):
            key = tuple(row[column] for column in columns)
            if tie == "listing" and key == ("",):
                continue  # one row alone cannot contradict itself
            if "" not in key and row[5]:
                items.setdefault(key, []).append((row[0] or number, row[5], row[4]))
        for key, judgements in items.items():
            several = tie == "listing" or len({unit for unit, _, _ in judgements}) > 1
            if several and len({verdict for _, verdict, _ in judgements}) > 1:
                expected |= {(tie, key[-1], expert, verdict) for _, verdict, expert in judgements}
    found = disagreements(table)
    got = set(zip(found["tie"], found["name"], found["expert"], found["verdict"], strict=True))
    assert got == expected
    for row in found.itertuples():
        assert (table["expert"].iat[row.row], table["verdict"].iat[row.row]) == (row.expert, row.verdict)


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"image": ["a"]}, dtype=TEXT),
        frame([], "listing", "verdict", "expert"),
        frame([("a", "authentic", "e1")], "listing", "verdict", "expert"),
        frame([("a", "", "e1"), ("b", "", "e2")], "listing", "verdict", "expert"),
        frame([("a", "authentic", "e1"), ("b", "authentic", "e2")], "listing", "verdict", "expert"),
    ],
)
def test_without_contradictions_or_differences_nothing_is_found(table):
    found = disagreements(table, np.full(len(table), -1))
    assert found.empty
    assert list(found) == ["tie", "item", "name", "expert", "verdict", "listings", "row"]
    assert deviating(expert_rates(table)).empty


def test_verdicts_without_experts_can_contradict_too():
    table = frame([("a", "authentic", "p"), ("b", "counterfeit", "p")], "listing", "verdict", "product")
    assert disagreements(table)["expert"].tolist() == ["", ""]


def test_rates_of_the_paper_s_experts():
    rates = expert_rates(judged(TABLE_1))
    total = np.array(list(TABLE_1.values())).sum(axis=0)
    found = {(row["expert"], row["verdict"]): row for row in rates.to_dict("records")}
    for expert, counts in TABLE_1.items():
        for outcome, count, everyone in zip(OUTCOMES, counts, total, strict=True):
            row = found[expert, outcome]
            assert (row["count"], row["listings"]) == (count, sum(counts))
            assert math.isclose(row["share"], count / sum(counts))
            assert math.isclose(row["expected"], (everyone - count) / (total.sum() - sum(counts)))
    apart = deviating(rates, least=0.1)
    said = {(row.expert, row.verdict): row.share > row.expected for row in apart.itertuples()}
    more, fewer = {("E3", "authentic"), ("E5", "authentic")}, {("E3", "counterfeit"), ("E5", "counterfeit")}
    assert said == {**dict.fromkeys(more, True), **dict.fromkeys(fewer, False)}


def test_p_is_that_of_the_chi_square_test_without_correction():
    rates = expert_rates(judged({"a": (30, 50, 20), "b": (45, 35, 40), "c": (20, 60, 35)}))
    raw = []
    for row in rates.to_dict("records"):
        others = 335 - row["listings"]
        table = [
            [row["count"], row["listings"] - row["count"]],
            [row["expected"] * others, (1 - row["expected"]) * others],
        ]
        raw.append(chi2_contingency(table, correction=False).pvalue)
    assert np.allclose(rates["p"], holm(np.array(raw)))
    assert (rates["p"].diff().dropna() >= 0).all()


def test_few_listings_are_judged_exactly():
    rates = expert_rates(judged({"a": (3, 0, 0), "b": (0, 3, 0)}))
    authentic = rates[rates["verdict"] == "authentic"]
    assert authentic["share"].tolist() == [1, 0]
    assert (authentic["p"] >= 0.1).all()  # Fisher: 1 of 20 tables is as extreme, on either side
    assert (rates[rates["verdict"] == ""]["p"] == 1).all()


def test_a_listing_counts_once_with_its_verdict():
    table = frame(
        [("a", "", "e1"), ("a", "authentic", "e1"), ("a", "", "e1"), ("b", "", "e1"), ("", "counterfeit", "e2")],
        "listing",
        "verdict",
        "expert",
    )
    rates = expert_rates(table).set_index(["expert", "verdict"])
    assert rates.loc[("e1", "authentic"), ["count", "listings"]].tolist() == [1, 2]
    assert rates.loc[("e1", ""), ["count", "listings"]].tolist() == [1, 2]
    assert rates.loc[("e2", "counterfeit"), ["count", "listings"]].tolist() == [1, 1]


def test_experts_who_judge_alike_are_not_called_different():
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(40):
        table = pd.DataFrame({"expert": rng.choice(["a", "b", "c", "d"], 2000), "verdict": rng.choice(OUTCOMES, 2000)})
        false += len(deviating(expert_rates(table.astype(TEXT)), least=0.0)) > 0
    assert false <= 3


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_its_definition(p):
    order = sorted(range(len(p)), key=lambda i: p[i])
    worst, expected = 0.0, [0.0] * len(p)
    for rank, place in enumerate(order):
        worst = max(worst, min(1.0, (len(p) - rank) * p[place]))
        expected[place] = worst
    assert np.allclose(holm(np.array(p)), expected)
