"""Rules and a suite of one's own."""

import pytest

from vitrine.errors import InputError
from vitrine.steps.preparation import clean
from vitrine.steps.rules import check_rules, text_at
from vitrine.steps.validation import validate


def test_own_rules_and_a_suite_are_those_of_the_step(catalog, tmp_path):
    quality = {
        "rules": "rules: {single_value_labels: {fail_above: 0}}",
        "suite": "name: mine\nexpectations:\n- {type: expect_column_values_to_be_in_set, "
        "kwargs: {column: 'attr:colour', value_set: [blue]}, meta: {severity: error}}\n",
    }
    check_rules(quality)
    plain = validate(catalog, tmp_path / "plain")
    found = validate(catalog, tmp_path / "own", quality=quality)
    assert found["errors"] - plain["errors"] == 2
    rules = "settings: {keywords: [], unusable_side: 9}"
    with pytest.raises(InputError, match="tiny_photos"):  # all three are of 8 pixels
        clean(catalog, tmp_path / "clean", 0, rules=rules)


@pytest.mark.parametrize(
    ("quality", "message"),
    [({"rules": "rules: {nothing: {}}"}, "unknown setting 'nothing'"), ({"suite": "[]"}, "is no expectation suite")],
)
def test_rules_of_no_use_are_refused_before_anything_starts(quality, message):
    with pytest.raises(InputError, match=message):
        check_rules(quality)


def test_a_file_that_a_setting_names(tmp_path):
    (tmp_path / "mine.yaml").write_text("rules: {}")
    assert text_at(str(tmp_path / "mine.yaml")) == "rules: {}"
    with pytest.raises(InputError, match=r"none.yaml: cannot be read \(No such file or directory\)"):
        text_at(str(tmp_path / "none.yaml"))
