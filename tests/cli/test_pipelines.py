"""`vitrine pipeline` on this machine; on a cluster: tests/pipelines/test_cluster.py."""

import pytest
from commands import in_

from pipelines import PIPELINES


def test_list_gives_a_script_bare_names(vitrine):
    assert vitrine("pipeline", "list").out.splitlines() == list(PIPELINES)


@pytest.mark.slow
def test_compile_writes_a_package(vitrine, tmp_path):
    done = vitrine("pipeline", "compile", "retrain", tmp_path / "build" / "retrain.yaml")
    assert done.code == 0, done.err
    assert in_(tmp_path / "build") == ["retrain.yaml"]


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("pipeline run retran", ["'retran'", "did you mean retrain"]),
        ("pipeline compile retran x.yaml", ["'retran'", "did you mean retrain"]),
        ("pipeline compile retrain x.json", ["x.json", ".yaml"]),
        ("pipeline run retrain", ["--set data_catalog="]),
        ("pipeline run retrain --set epoch=1", ["epoch", "did you mean train_epochs"]),
        ("pipeline run retrain --set train_epochs", ["key=value"]),
        ("pipeline run retrain --set train_epochs=many", ["train_epochs=many", "integer"]),
        ("pipeline run retrain --set strict=maybe", ["strict=maybe", "boolean"]),
        ("pipeline run retrain --set data_catalog=nope", ["nope: no such folder"]),
        ("pipeline run retrain --set data_catalog=nope.dvc", ["nope.dvc"]),
        ("pipeline run retrain --set data_catalog=DATA --set unlabelled=nope", ["nope: no such folder"]),
        ("pipeline run retrain --runner cloud", ["'cloud' is not one of"]),
        ("pipeline run retrain --set data_catalog=DATA --runs FILE", ["Not a directory"]),
        ("pipeline compile retrain FILE/x.yaml", ["FILE"]),
    ],
)
def test_unusable_arguments(refused, command, parts):
    refused(command, *parts)
