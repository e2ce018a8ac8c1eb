"""Asking for a retraining from a step's process, against an API server over HTTP."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fake_kubeflow import API, FakeKubeflow

from pipelines.cluster import Cluster
from pipelines.on_drift import CUT_DOWN, answer, ask
from pipelines.packages import compile_pipeline
from vitrine.errors import InputError
from vitrine.monitoring.retraining import retrainings

ASKED = {
    "state": "0123456789",
    "run_id": "monitor-1",
    "pipeline": "retrain",
    "parameters": {"data_catalog": "/nowhere", "train_epochs": 2},
    "namespace": "",
    "experiment": "vitrine",
}


pytestmark = pytest.mark.slow


@pytest.fixture
def kubeflow(monkeypatch, tmp_path):
    monkeypatch.setenv("VITRINE_REVISION", "0123456789abcdef0123456789abcdef01234567")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(CUT_DOWN, "true")  # as in an executor, where kfp has neither client nor compiler
    for name in ("KF_PIPELINES_SA_TOKEN_PATH", "VITRINE_NAMESPACE", "VITRINE_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    server = FakeKubeflow()
    yield server
    server.close()


@pytest.fixture(params=[answer])
def asked(kubeflow, tmp_path, request):
    """In this process; `in_its_own` makes it another, as a step does."""
    (tmp_path / "drift").mkdir()
    (tmp_path / "drift/decision.json").write_text(json.dumps({"drifted": True, "reason": "Drift: brightness moved."}))
    own = {"registry": str(tmp_path / "registry"), "reports": str(tmp_path / "reports")}

    def run(**other):
        return request.param(str(tmp_path / "drift"), **{**ASKED, **own, "endpoint": kubeflow.address, **other})

    return run


in_its_own = pytest.mark.parametrize("asked", [ask], indirect=True)


@in_its_own
def test_a_step_starts_a_run_and_says_which(kubeflow, asked, tmp_path, capfd):
    answer = asked()
    (run,) = kubeflow.state.runs.values()
    assert answer == f"started run {run['run_id']}."
    assert run["runtime_config"]["parameters"] == {"data_catalog": "/nowhere", "train_epochs": 2}
    (entry,) = retrainings(str(tmp_path / "registry"))
    assert (entry.state, entry.run, entry.monitor) == ("0123456789", run["run_id"], "monitor-1")
    assert entry.reason == "Drift: brightness moved."
    assert "» Retraining: started run" in capfd.readouterr().out  # in the step's log
    assert "was retrained on before" in asked(run_id="monitor-2")
    assert len(kubeflow.state.runs) == 1


def test_two_monitors_at_once_start_one(kubeflow, asked, tmp_path):
    """Both processes have read that nothing was started before either writes."""
    package = tmp_path / "retrain.yaml"
    compile_pipeline("retrain", package)
    Cluster(kubeflow.address).publish("retrain", package, "v1")
    both = threading.Barrier(2, timeout=60)
    kubeflow.before = lambda method, path: both.wait() if (method, path) == ("GET", f"{API}/runs") else None
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda number: asked(run_id=f"monitor-{number}"), range(2)))
    assert sorted(answer.partition(" run ")[0] for answer in answers) == [
        "another monitor is starting a retraining at this moment.",
        "started",
    ]
    assert len(kubeflow.state.runs) == 1
    assert len(retrainings(str(tmp_path / "registry"))) == 1


def test_it_goes_where_its_pod_is(kubeflow, asked, monkeypatch):
    kubeflow.state.multi_user = True
    with pytest.raises(InputError, match="An experiment cannot have an empty namespace"):
        asked()
    monkeypatch.setenv("VITRINE_NAMESPACE", "team-a")
    monkeypatch.setenv("VITRINE_ACCOUNT", "vitrine-runner")
    assert asked(run_id="monitor-2").startswith("started run")
    assert [found["namespace"] for found in kubeflow.state.experiments.values()] == ["team-a"]
    assert [found["service_account"] for found in kubeflow.state.runs.values()] == ["vitrine-runner"]


def test_what_is_learnt_from_is_that_of_the_settings(kubeflow, asked, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/catalog.csv").write_text("image\na.jpg\n")
    (tmp_path / "drift/label.csv").write_text("image,category\nb.jpg,\n")
    (tmp_path / "drift/decision.json").write_text(json.dumps({"drifted": True, "reason": "Drift.", "photos": "/new"}))
    given = {"data_catalog": str(tmp_path / "data")}
    assert asked(parameters=given).startswith("started run")
    for run in kubeflow.state.runs.values():
        run |= {"state": "SUCCEEDED", "looks": None}
    assert "learnt from this data before" in asked(parameters=given, state="other", run_id="monitor-2")
    assert "b.jpg" in (tmp_path / "reports/monitor-2/label.csv").read_text()
    assert asked(parameters=given, state="other", run_id="monitor-3", unchanged=True).startswith("started run")


def test_without_an_endpoint_it_is_only_said(kubeflow, asked):
    assert asked(endpoint="").startswith("a retraining is due; no Kubeflow endpoint is given")
    assert not kubeflow.posts()


@in_its_own
def test_what_goes_wrong_is_one_line_and_leaves_no_claim(kubeflow, asked, tmp_path):
    with pytest.raises(InputError, match=r"^http://127.0.0.1:9: cannot be reached") as caught:
        asked(endpoint="http://127.0.0.1:9")
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(InputError, match="did you mean train_epochs"):
        asked(parameters={"data_catalog": "/nowhere", "train_epoch": 2})
    assert not retrainings(str(tmp_path / "registry"))
    assert not (tmp_path / "registry/retraining.json").exists()  # nothing was claimed
