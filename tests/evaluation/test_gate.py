"""Every way the gate can answer."""

import math

import pytest

from vitrine import tasks
from vitrine.errors import InputError
from vitrine.evaluation.gate import Comparison, GateRules, decide, keeps_up

RULES = tasks.get("taxonomy").gate_rules()


def figures(macro=0.60, count=100.0, **more):
    return {"macro_top1": macro, "level1/macro_top1": 0.9, "level2/macro_top1": macro, "count": count, **more}


def test_default_figures_per_task():
    assert tasks.get("taxonomy").gate_rules().metric == "macro_top1"
    rules = tasks.get("attributes").gate_rules(min_gain=0.01)
    assert (rules.metric, rules.min_gain, rules.floor) == ("recall@1", 0.01, 0.0)
    with pytest.raises(InputError, match="task 'pricing': unknown"):
        tasks.get("pricing")
    with pytest.raises(InputError, match="max_drop must lie between 0 and 1"):
        tasks.get("taxonomy").gate_rules(max_drop=5)


def test_the_first_model_is_promoted():
    decision = decide(figures(), None, RULES)
    assert decision.promote
    assert decision.reason == "Promoted: the first model, with macro_top1 0.6000."


def test_a_better_model_is_promoted():
    decision = decide(figures(0.65), figures(0.60), RULES)
    assert decision.promote
    assert decision.reason == "Promoted: macro_top1 0.6500 against 0.6000 (+0.0500)."
    assert decision.comparisons[0].passed


@pytest.mark.parametrize("macro", [0.6, 0.6009, 0.5991])
def test_a_tie_keeps_the_champion_and_says_so(macro):
    decision = decide(figures(macro), figures(0.60), RULES)
    assert not decision.promote
    assert "a tie keeps the champion" in decision.reason


def test_a_regression_is_refused():
    decision = decide(figures(0.55), figures(0.60), RULES)
    assert not decision.promote
    assert decision.reason == "Refused: worse than the champion, macro_top1 0.5500 against 0.6000 (-0.0500)."


def test_a_gain_that_is_too_small_is_refused():
    decision = decide(figures(0.61), figures(0.60), GateRules("macro_top1", min_gain=0.02))
    assert not decision.promote
    assert "more than 0.02 is asked for" in decision.reason


@pytest.mark.parametrize("key", ["level1/macro_top1", "attr:colour/recall@1", "attr:colour/top1"])
def test_no_level_and_no_type_may_fall_far(key):
    champion = figures(0.60) | {key: 0.90}
    fallen = decide(figures(0.70) | {key: 0.80}, champion, RULES)
    assert not fallen.promote
    assert f"{key} falls from 0.9000 to 0.8000" in fallen.reason
    assert decide(figures(0.70) | {key: 0.85}, champion, RULES).promote


@pytest.mark.parametrize(
    ("task", "key"),
    [
        ("attributes", "attr:colour/recall@1"),
        ("authenticity", "recall"),
        ("representation", "level1/recall@1"),
        ("matching", "top1"),
        ("matching", "category:Shoes/Boots/top20"),
    ],
)
def test_every_task_has_figures_that_may_not_fall_far(task, key):
    rules = tasks.get(task).gate_rules(max_drop=0.05)
    champion = {rules.metric: 0.6, key: 0.9, "count": 100.0}
    better = champion | {rules.metric: 0.7}
    assert decide(better, champion, rules).promote
    fallen = decide(better | {key: 0.8}, champion, rules)
    assert not fallen.promote
    assert f"{key} falls from 0.9000 to 0.8000" in fallen.reason


def test_a_model_below_the_frozen_net_is_refused_with_or_without_a_champion():
    candidate = figures(0.70) | {"baseline/macro_top1": 0.75}
    for champion in (None, figures(0.60)):
        decision = decide(candidate, champion, RULES)
        assert not decision.promote
        assert decision.reason.startswith("Refused: macro_top1 0.7000 is below the 0.7500 of the frozen net")
        assert decision.comparisons == (Comparison("macro_top1", 0.70, None, False, 0.75, "frozen net"),)
        assert decide(candidate, champion, tasks.get("taxonomy").gate_rules(allow_below_baseline=True)).promote
        assert decide(figures(0.70) | {"baseline/macro_top1": 0.70}, champion, RULES).promote


def test_below_the_floor_is_refused_even_without_a_champion():
    decision = decide(figures(0.10), None, GateRules("macro_top1", floor=0.2))
    assert not decision.promote
    assert "below the floor of 0.2000" in decision.reason


def test_a_missing_figure_is_refused():
    assert "macro_top1 is missing" in decide({"count": 100.0}, figures(), RULES).reason
    broken = figures()
    del broken["macro_top1"]
    decision = decide(figures(), broken, RULES)
    assert not decision.promote
    assert "cannot be compared" in decision.reason


def test_not_a_number_is_refused_on_either_side():
    for candidate, champion in ((math.nan, 0.6), (0.6, math.nan), (math.nan, None)):
        decision = decide(figures(candidate), None if champion is None else figures(champion), RULES)
        assert not decision.promote
    lost = decide(figures(0.7) | {"level1/macro_top1": math.nan}, figures(0.6), RULES)
    assert not lost.promote
    assert "level1/macro_top1" in lost.reason


def test_a_model_is_not_compared_with_itself():
    same = decide(figures(0.9), figures(0.6), RULES, candidate_id="abc", champion_id="abc")
    assert not same.promote
    assert "the candidate is the champion itself" in same.reason
    assert decide(figures(0.9), figures(0.6), RULES, candidate_id="abc", champion_id="abd").promote
    assert decide(figures(0.9), figures(0.6), RULES).promote  # nobody said which models these are


def test_different_test_sets_are_refused():
    decision = decide(figures(0.9, count=100.0), figures(0.6, count=101.0), RULES)
    assert not decision.promote
    assert "100 photos for the candidate, 101 photos for the champion" in decision.reason
    without = figures(0.9)
    del without["count"]
    assert "an unknown number of photos" in decide(without, figures(), RULES).reason


def test_a_new_attribute_type_does_not_decide():
    rules = tasks.get("attributes").gate_rules()
    champion = {"recall@1": 0.8, "attr:colour/recall@1": 0.8, "count": 50.0}
    candidate = {"recall@1": 0.6, "attr:colour/recall@1": 0.9, "attr:sleeve/recall@1": 0.3, "count": 50.0}
    decision = decide(candidate, champion, rules)
    assert decision.promote
    assert "0.9000 against 0.8000" in decision.reason


def test_a_type_that_is_no_longer_answered_is_refused():
    champion = {"recall@1": 0.5, "attr:colour/recall@1": 0.8, "attr:sleeve/recall@1": 0.2, "count": 50.0}
    candidate = {"recall@1": 0.9, "attr:colour/recall@1": 0.9, "count": 50.0}
    decision = decide(candidate, champion, tasks.get("attributes").gate_rules())
    assert not decision.promote
    assert "no attr:sleeve/recall@1" in decision.reason


def test_a_deeper_tree_is_judged_on_the_level_both_know():
    deeper = figures(0.30) | {"level2/macro_top1": 0.65, "level3/macro_top1": 0.30}
    decision = decide(deeper, figures(0.60), RULES)
    assert decision.promote
    assert "level2/macro_top1 0.6500 against 0.6000" in decision.reason


def test_another_form_of_a_model_may_lose_a_little():
    decision = keeps_up(figures(0.595), figures(0.60), RULES, 0.01)
    assert decision.promote
    assert decision.reason == "Keeps up: macro_top1 0.5950 against 0.6000."
    assert {one.key for one in decision.comparisons} == {"macro_top1", "level1/macro_top1", "level2/macro_top1"}


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (figures(0.589), "Refused: macro_top1 falls from 0.6000 to 0.5890; at most 0.01 is allowed."),
        (
            figures(0.60) | {"level1/macro_top1": 0.84},
            "Refused: level1/macro_top1 falls from 0.9000 to 0.8400; at most 0.05 is allowed.",
        ),
        ({"count": 100.0}, "Refused: macro_top1 falls from 0.6000 to nothing; at most 0.01 is allowed."),
        (figures(math.nan), "Refused: macro_top1 falls from 0.6000 to nan; at most 0.01 is allowed."),
    ],
)
def test_another_form_that_loses_too_much_is_refused(candidate, reason):
    decision = keeps_up(candidate, figures(0.60), RULES, 0.01)
    assert not decision.promote
    assert decision.reason == reason
