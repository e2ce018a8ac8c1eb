from pathlib import Path

import pytest

from pipelines import PIPELINES
from pipelines.form import SETTINGS
from pipelines.show import page, settings_of, show
from vitrine import tasks
from vitrine.errors import InputError
from vitrine.settings import Settings, parse_settings
from vitrine.tasks.described import COMMON, described, help_lines, of_tasks

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_models_say():
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == page()


def test_ranges_are_those_that_are_checked():
    found = {setting.name: setting for setting in of_tasks()[COMMON]}
    assert found["batch_size"] == ("batch_size", "64", "whole number from 2", "photos per step")
    assert found["precision"].values == "auto, 32, bf16"
    assert found["trunk_rate"].values == "number from 0 to 1"
    assert found["seed"].values == "whole number from 0 below 4,294,967,296"
    own = {setting.name: setting for setting in of_tasks()["authenticity"]}
    assert (own["lambda"].default, own["temperature"].values) == ("0.1", "number above 0")
    assert own.keys().isdisjoint(found)


@pytest.mark.parametrize("name", tasks.names())
def test_every_setting_says_what_it_is(name):
    for variant in tasks.get(name).variants:
        assert all(setting.about for setting in described(tasks.get(name).settings(variant)))


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_shows_all_of_its_settings(name):
    assert [setting.name for setting in settings_of(name)] == sorted(SETTINGS[name])
    said = "\n".join(show(name))
    assert "  out_registry=s3://vitrine/registry " in said
    assert all(f"  {key}=" in said for key in SETTINGS[name])


def test_what_a_pipeline_hands_on_has_the_range_of_its_training():
    found = {setting.name: setting.values for setting in settings_of("match")}
    assert (found["batch_size"], found["pretraining"]) == ("whole number from 2", "whole number from 0")
    with pytest.raises(InputError, match="did you mean retrain"):
        show("retrian")


def test_the_help_has_every_task():
    said = "\n".join(help_lines())
    assert all(f"Settings of {title} " in said for title in of_tasks())


@pytest.mark.parametrize(
    ("key", "meant"), [("lr", "learning_rate"), ("arch", "backbone"), ("num-workers", "workers"), ("epoch", "epochs")]
)
def test_a_key_is_known_by_its_meaning(key, meant):
    with pytest.raises(InputError, match=rf"did you mean {meant}\? \("):
        parse_settings(Settings, [f"{key}=1"])
