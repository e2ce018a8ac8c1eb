"""`vitrine pipeline submit` and `schedule`, as a user types them, against an API server over HTTP."""

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from fake_kubeflow import FakeKubeflow

from pipelines import PIPELINES, cluster
from pipelines.cluster import Cluster, parse_cron, retraining, run_name, version_name
from pipelines.form import whole_settings
from pipelines.packages import compile_pipeline, content_hash, step_names
from vitrine.cli import cli
from vitrine.errors import InputError
from vitrine.journal import Note, publish, write_note
from vitrine.monitoring.retraining import request, retrainings

COMMIT = "0123456789abcdef0123456789abcdef01234567"
IMAGE = "registry.example/vitrine@sha256:" + "a" * 64


@pytest.fixture
def kubeflow(monkeypatch, tmp_path):
    monkeypatch.setenv("VITRINE_REVISION", COMMIT)
    monkeypatch.setenv("HOME", str(tmp_path))
    names = ("ENDPOINT", "UI_ENDPOINT", "SA_TOKEN_PATH")
    for name in ("VITRINE_NAMESPACE", "VITRINE_ACCOUNT", *(f"KF_PIPELINES_{name}" for name in names)):
        monkeypatch.delenv(name, raising=False)
    server = FakeKubeflow()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(cluster, "POLL", 0.01)
    monkeypatch.setattr(Cluster.wait, "__defaults__", (0.01,))
    monkeypatch.setattr("pipelines.submit.check", lambda *_: [])  # see test_check


@pytest.fixture
def vitrine(kubeflow, tmp_path):
    """Runs `vitrine pipeline ...` on that server; no catalog is read from here."""

    def run(*arguments, endpoint=kubeflow.address):
        given = [*arguments, "--endpoint", endpoint] if endpoint else [*arguments]
        result = CliRunner().invoke(cli, ["pipeline", *given], standalone_mode=False)
        if result.exception and not isinstance(result.exception, InputError):
            raise result.exception
        return result.return_value if not result.exception else str(result.exception), result.output

    return run


HERE = ("--set", "data_catalog=/nowhere/data", "--set", "out_registry=/nowhere/registry")


def only(objects):
    (value,) = objects.values()
    return value


def test_the_first_submission_creates_everything(kubeflow, vitrine):
    code, out = vitrine("submit", "retrain", "--image", IMAGE, *HERE, "--set", "train_epochs=3")
    state = kubeflow.state
    assert code == 0
    assert only(state.pipelines)["display_name"] == "retrain"
    assert only(state.pipelines)["description"].startswith("Validates, cleans")
    version = only(state.versions)
    assert version["display_name"] == COMMIT[:12]
    assert version["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]["cluster_image"]["defaultValue"] == IMAGE
    assert only(state.experiments)["display_name"] == "vitrine"
    run = only(state.runs)
    assert run["display_name"] == "retrain"
    assert run["runtime_config"]["parameters"] == {
        "data_catalog": "/nowhere/data",
        "out_registry": "/nowhere/registry",
        "train_epochs": 3,
    }
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    assert f"/#/runs/details/{run['run_id']}" in out
    assert "note:" not in out


def test_submitting_again_publishes_nothing_twice(kubeflow, vitrine):
    for _ in range(2):
        assert vitrine("submit", "retrain", *HERE)[0] == 0
    assert [len(found) for found in (kubeflow.state.pipelines, kubeflow.state.versions)] == [1, 1]
    assert len(kubeflow.state.experiments) == 1
    assert len(kubeflow.state.runs) == 2


def test_another_commit_is_another_version(kubeflow, vitrine, monkeypatch):
    for commit in ("a" * 40, "b" * 40, "c" * 40, "a" * 40):
        monkeypatch.setenv("VITRINE_REVISION", commit)
        assert vitrine("submit", "retrain", "--publish-only")[0] == 0
    assert [version["display_name"] for version in kubeflow.state.versions.values()] == ["a" * 12, "b" * 12, "c" * 12]
    assert not kubeflow.state.runs
    assert Cluster(kubeflow.address).latest("retrain").name == "c" * 12


def test_a_version_is_never_something_else_than_it_was(kubeflow, vitrine):
    vitrine("submit", "retrain", "--publish-only")
    message, _ = vitrine("submit", "retrain", "--publish-only", "--image", IMAGE)
    assert f"version {COMMIT[:12]} of retrain exists with another package" in message
    assert len(kubeflow.state.versions) == 1
    assert vitrine("submit", "retrain", "--publish-only", "--image", IMAGE, "--version", "other")[0] == 0


def test_two_at_once_create_one_pipeline_and_one_version(kubeflow, tmp_path):
    package = tmp_path / "retrain.yaml"
    compile_pipeline("retrain", package)
    found = []
    together = threading.Barrier(4)

    def publish():
        own = Cluster(kubeflow.address)
        together.wait()
        found.append(own.publish("retrain", package, "v1"))

    threads = [threading.Thread(target=publish) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({version.version_id for version in found}) == 1
    assert len(kubeflow.state.versions) == 1


def test_waiting_tells_how_it_ended(kubeflow, vitrine):
    here = (*HERE, "--set", "out_reports=/nowhere/reports")
    code, out = vitrine("submit", "retrain", *here, "--wait")
    assert code == 0
    assert [line.rpartition(": ")[2] for line in out.splitlines()[-3:]] == ["pending", "running", "succeeded"]
    kubeflow.state.ends, kubeflow.state.error = ["RUNNING", "FAILED"], "rules failed: Unreadable photos"
    code, out = vitrine("submit", "retrain", *here, "--wait")
    assert code == 1
    assert "rules failed: Unreadable photos" in out
    kubeflow.state.ends = ["RUNNING"]
    message, _ = vitrine("submit", "retrain", *here, "--wait", "--timeout", "0.00001")
    assert "still running after 0 s; it goes on" in message


def test_waiting_tells_each_step_as_it_ends_and_what_was_decided(kubeflow, vitrine, tmp_path, monkeypatch):
    """An Argo run's nodes: a step's driver, its retries' shells and the loops around it are no steps."""
    names = (
        "root-driver",
        "start-driver",
        "start",
        "scan",
        "train(0)",
        "train",
        "validate",
    )
    kubeflow.state.steps = [
        {"task_id": name, "display_name": name, "state": "RUNNING" if name == "validate" else "SUCCEEDED"}
        for name in names
    ]
    kubeflow.state.steps.append({"task_id": "t2", "display_name": "train", "state": "FAILED"})
    real = Cluster.start

    def start(self, *given):
        started = real(self, *given)
        write_note(tmp_path, Note("promote-taxonomy", "Categories", ["is now version 7."]))
        publish(tmp_path, str(tmp_path / "reports" / started.run_id))
        return started

    monkeypatch.setattr(Cluster, "start", start)
    code, out = vitrine("submit", "retrain", *HERE, "--set", f"out_reports={tmp_path}/reports", "--wait")
    assert code == 0
    lines = [line for line in out.splitlines() if line.startswith("  ")]
    assert lines == [
        "  Fetch the data: done",
        "  Look at the photos: done",
        "  Train teachers: done",
        "  Train teachers: failed",
        "  Categories: is now version 7.",
    ]


def test_every_step_has_a_name_for_people():
    for pipeline in PIPELINES:
        for key, name in step_names(pipeline).items():
            assert name[0].isupper(), (pipeline, key, name)


def test_a_run_is_named_after_its_data_and_the_figure_to_beat(tmp_path, monkeypatch):
    (tmp_path / "data.dvc").write_text("outs:\n- md5: 0a1b2c3d4e5f60718293a4b5c6d7e8f9.dir\n  path: data\n")
    (tmp_path / "registry/taxonomy").mkdir(parents=True)
    champion = {"task": "taxonomy", "version": "v1", "model": "", "content": "c", "metrics": {"macro_top1": 0.9123}}
    champion |= {"promoted_at": "2026-01-01T00:00:00+00:00", "reason": ""}
    (tmp_path / "registry/taxonomy/champion.json").write_text(json.dumps(champion))
    given = {"data_catalog": str(tmp_path / "data.dvc"), "out_registry": str(tmp_path / "registry")}
    assert run_name("retrain", given) == "retrain 0a1b2c3d taxonomy macro_top1 0.912"
    assert run_name("retrain", {**given, "data_revision": "ffffffff0000"}).startswith("retrain ffffffff ")
    assert run_name("monitor", {**given, "data_catalog": "/new/%Y-%m-%d"}) == "monitor taxonomy macro_top1 0.912"
    assert run_name("authenticate", given) == "authenticate 0a1b2c3d"  # another's figure is not to beat


def test_a_version_is_named_after_what_was_committed(tmp_path, monkeypatch):
    package = tmp_path / "p.yaml"
    package.write_text("x")
    monkeypatch.delenv("VITRINE_REVISION", raising=False)
    answers = {"rev-parse": COMMIT, "status": ""}
    monkeypatch.setattr(cluster, "_git", lambda root, command, *_: answers[command])
    assert version_name(package) == COMMIT[:12]
    answers["status"] = " M pipelines/retrain.py"
    assert version_name(package).startswith(f"{COMMIT[:12]}-")
    assert len(version_name(package)) == 21
    answers["rev-parse"] = ""
    assert version_name(package).startswith("package-")


def test_a_schedule_runs_one_at_a_time_and_does_not_catch_up(kubeflow, vitrine):
    code, out = vitrine("schedule", "monitor", "--cron", "30 5 * * 1-5", "--set", "shards=4")
    assert code is None
    assert "created" in out
    found = only(kubeflow.state.recurring)
    assert found["trigger"]["cron_schedule"]["cron"] == "0 30 5 * * 1-5"
    assert found["no_catchup"] is True
    assert int(found["max_concurrency"]) == 1
    assert found["mode"] == "ENABLE"
    assert found["runtime_config"]["parameters"] == {"settings": whole_settings("monitor", {"shards": 4})}


def test_a_schedule_is_replaced_only_when_it_differs(kubeflow, vitrine):
    vitrine("schedule", "monitor")
    first = only(kubeflow.state.recurring)["recurring_run_id"]
    assert "unchanged" in vitrine("schedule", "monitor")[1]
    assert list(kubeflow.state.recurring) == [first]
    for name in ("x", "y", "z"):  # others fill pages before it
        assert vitrine("schedule", "monitor", "--name", name)[0] is None
    for change in (["--cron", "0 7 * * *"], ["--set", "shards=2"], ["--version", "v2"]):
        before = len(kubeflow.state.recurring)
        assert "replaced" in vitrine("schedule", "monitor", *change)[1]
        assert len(kubeflow.state.recurring) == before
    assert first not in kubeflow.state.recurring
    assert "1 schedules deleted" in vitrine("schedule", "monitor", "--off")[1]
    assert {found["display_name"] for found in kubeflow.state.recurring.values()} == {"x", "y", "z"}


@pytest.mark.parametrize(
    ("text", "six"),
    [("0 6 * * *", "0 0 6 * * *"), ("*/15 * * * *", "0 */15 * * * *"), ("5 0 6 ? * MON-FRI", "5 0 6 ? * MON-FRI")],
)
def test_cron(text, six):
    assert parse_cron(text) == six


@pytest.mark.parametrize("text", ["", "daily", "1 2 3 4", "1 2 3 4 5 6 7", "0 6 * * ;"])
def test_no_cron(text):
    with pytest.raises(InputError, match="five fields as in crontab"):
        parse_cron(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["submit", "retrian"], "did you mean retrain"),
        (["submit", "retrain", "--set", "epoch=3"], "did you mean train_epochs"),
        (["submit", "retrain", "--set", "train_epochs=many"], "not of type integer"),
        (["schedule", "monitor", "--cron", "daily"], "five fields"),
        (["submit", "retrain", "--parameters", "/nowhere.yaml"], "/nowhere.yaml: cannot be read"),
        (["submit", "retrain", "--image", "a", "--set", "cluster_image=b"], "differ"),
        (["submit", "retrain", "--set", "cluster_volume="], "cluster_volume names no claim; with --no-claim"),
        (["submit", "retrain", "--set", "train_cpu=two"], "train_cpu=two: no amount that Kubernetes takes"),
    ],
)
def test_what_cannot_be_is_said_before_the_cluster_is_asked(kubeflow, vitrine, arguments, said):
    message, _ = vitrine(*arguments)
    assert said in message
    assert len(message.splitlines()) == 1
    assert not kubeflow.posts()


def test_parameters_from_a_file(kubeflow, vitrine, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("train_epochs: 3\npool: {gpu: a100}\ntolerations: []\nlearning_rate: 1\nstrict: true\n")
    assert vitrine("submit", "retrain", *HERE, "--parameters", str(path), "--set", "train_epochs=5")[0] == 0
    given = only(kubeflow.state.runs)["runtime_config"]["parameters"]
    assert given["train_epochs"] == 5
    assert given["settings"]["pool"] == {"gpu": "a100"}
    assert given["settings"]["tolerations"] == []
    for text, said in [
        ("train_epoch: 3", "did you mean train_epochs"),
        ("train_epochs: '3'", 'train_epochs: "3": not of type integer'),
        ("train_epochs: true", "not of type integer"),
        ("- epochs", "holds no parameters"),
        ("epochs: [", "cannot be read"),
    ]:
        path.write_text(text)
        message, _ = vitrine("submit", "retrain", "--parameters", str(path))
        assert said in message
        assert "\n" not in message


def test_who_does_not_answer_is_named_in_one_line(kubeflow, vitrine, monkeypatch):
    message, _ = vitrine("submit", "retrain", endpoint="http://127.0.0.1:9")
    assert message.startswith("http://127.0.0.1:9: cannot be reached (")
    assert "\n" not in message
    assert "KF_PIPELINES_ENDPOINT" in vitrine("submit", "retrain", endpoint="")[0]
    assert "begins with http" in vitrine("submit", "retrain", endpoint="kubeflow:80")[0]
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", kubeflow.address)
    assert vitrine("submit", "retrain", "--publish-only", endpoint="")[0] == 0


def test_a_token_is_sent_and_its_absence_told(kubeflow, vitrine, monkeypatch, tmp_path):
    kubeflow.token = "abc"
    message, _ = vitrine("submit", "retrain", "--publish-only")
    assert "401 Unauthorized: the token is not known" in message
    (tmp_path / "token").write_text("abc")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert vitrine("submit", "retrain", "--publish-only")[0] == 0
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "none"))
    assert "none: no such file" in vitrine("submit", "retrain", "--publish-only")[0]


def test_several_users_have_their_namespaces(kubeflow, vitrine):
    kubeflow.state.multi_user = True
    assert vitrine("submit", "retrain", *HERE, "--namespace", "team-a", "--account", "vitrine-runner")[0] == 0
    assert only(kubeflow.state.pipelines)["namespace"] == "team-a"
    assert only(kubeflow.state.experiments)["namespace"] == "team-a"
    assert only(kubeflow.state.runs)["service_account"] == "vitrine-runner"


@pytest.mark.slow
def test_the_namespace_of_a_pod_is_taken_where_none_is_named(kubeflow, vitrine, monkeypatch):
    kubeflow.state.multi_user = True
    message, _ = vitrine("submit", "retrain", *HERE)
    assert "An experiment cannot have an empty namespace in multi-user mode" in message
    monkeypatch.setenv("VITRINE_NAMESPACE", "team-b")
    assert vitrine("submit", "retrain", *HERE)[0] == 0
    assert vitrine("schedule", "monitor")[0] is None
    assert {found["namespace"] for found in kubeflow.state.experiments.values()} == {"team-b"}
    assert vitrine("submit", "match", *HERE, "--namespace", "team-c", "--experiment", "c")[0] == 0
    assert {found["namespace"] for found in kubeflow.state.experiments.values()} == {"team-b", "team-c"}


def test_one_user_has_no_namespace_though_the_pod_knows_one(kubeflow, vitrine, monkeypatch):
    monkeypatch.setenv("VITRINE_NAMESPACE", "kubeflow")
    assert vitrine("submit", "retrain", *HERE)[0] == 0
    assert not only(kubeflow.state.experiments).get("namespace")


@pytest.mark.parametrize("given", ["option", "variable"])
def test_links_lead_to_the_ui(kubeflow, vitrine, monkeypatch, given):
    ui = "http://localhost:8080"
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "" if given == "option" else ui)
    _, out = vitrine("submit", "retrain", *HERE, *(["--ui", ui + "/"] if given == "option" else []))
    assert f": {ui}/#/runs/details/{only(kubeflow.state.runs)['run_id']}" in out


@pytest.fixture
def in_pod(kubeflow, monkeypatch):
    """Kubernetes says which runs have pods."""
    monkeypatch.setattr(cluster, "run_has_pods", lambda run_id, namespace: run_id in kubeflow.state.pods)


def monitor_asks(kubeflow, registry, state="0123456789", **other):
    own = Cluster(kubeflow.address)
    start = retraining(own, "retrain", {"data_catalog": "/nowhere", "train_epochs": 2}, state, "vitrine")
    return request(registry, state, "Drift: brightness", "monitor", start, lambda: own.going("retrain"), **other)


def test_drift_starts_the_newest_version_once(kubeflow, vitrine, tmp_path):
    registry = str(tmp_path / "registry")
    vitrine("submit", "retrain", "--publish-only", "--version", "old")
    vitrine("submit", "retrain", "--publish-only", "--version", "new")
    asked = monitor_asks(kubeflow, registry)
    run = only(kubeflow.state.runs)
    assert asked.started
    assert asked.reason == f"started run {run['run_id']}."
    assert run["display_name"] == "retrain after drift of 01234567"
    newest = run["pipeline_version_reference"]["pipeline_version_id"]
    assert kubeflow.state.versions[newest]["display_name"] == "new"
    assert [entry.run for entry in retrainings(registry)] == [run["run_id"]]
    again = monitor_asks(kubeflow, registry)
    assert not again.started
    assert "was retrained on before" in again.reason
    assert "is still going" in monitor_asks(kubeflow, registry, "another").reason
    only(kubeflow.state.runs)["state"] = "SUCCEEDED"
    assert monitor_asks(kubeflow, registry, "another").started


def test_drift_starts_nothing_that_was_not_committed(kubeflow, vitrine, monkeypatch):
    names = {
        "0123456789ab": True,
        "0123456789ab-0a1b2c3d": False,
        "package-0a1b2c3d": False,
        "ffffffffffff-00000000": False,
    }
    for name in names:
        vitrine("submit", "retrain", "--publish-only", "--version", name)
    assert Cluster(kubeflow.address).latest("retrain").name == "0123456789ab"


def test_a_version_without_a_claim_is_another(kubeflow, vitrine):
    vitrine("submit", "retrain", "--publish-only")
    assert vitrine("submit", "retrain", *HERE, "--no-claim")[0] == 0
    first, second = kubeflow.state.versions.values()
    assert (first["display_name"], second["display_name"]) == (COMMIT[:12], f"{COMMIT[:12]}-no-claim")
    assert "cluster_volume" in first["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    assert "cluster_volume" not in second["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    message, _ = vitrine("submit", "retrain", "--no-claim", "--set", "cluster_volume=v")
    assert "--no-claim and the parameter cluster_volume=v" in message


def test_a_run_that_only_compares_holds_up_no_retraining(kubeflow, vitrine, tmp_path):
    vitrine("submit", "retrain", *HERE, "--set", "only_compare=true")
    assert only(kubeflow.state.runs)["state"] == "PENDING"
    assert Cluster(kubeflow.address).going("retrain") == ""
    vitrine("submit", "retrain", *HERE, "--name", "promotes")
    assert Cluster(kubeflow.address).going("retrain") == "promotes"


def test_drift_publishes_the_pipeline_where_nobody_did(kubeflow, monkeypatch):
    monkeypatch.setenv("VITRINE_ACCOUNT", "vitrine-runner")
    own = Cluster(kubeflow.address)
    assert own.going("retrain") == ""
    retraining(own, "retrain", {"data_catalog": "/nowhere"}, "s", "vitrine")()
    assert only(kubeflow.state.versions)["display_name"] == COMMIT[:12]
    assert only(kubeflow.state.runs)["service_account"] == "vitrine-runner"  # the monitor's own


def test_a_schedule_that_is_running_is_not_deleted_under_its_run(kubeflow, vitrine):
    vitrine("schedule", "monitor")
    first = only(kubeflow.state.recurring)["recurring_run_id"]
    run = kubeflow.fire(first)
    _, out = vitrine("schedule", "monitor", "--set", "shards=2")
    assert f"replaced; 1 disabled: run {run['display_name']} is going" in out
    assert run["run_id"] in kubeflow.state.pods
    assert kubeflow.state.recurring[first]["status"] == "DISABLED"
    assert sorted(found["status"] for found in kubeflow.state.recurring.values()) == ["DISABLED", "ENABLED"]
    _, out = vitrine("schedule", "monitor", "--off")
    assert f"1 schedules deleted; 1 disabled: run {run['display_name']} is going" in out
    run["state"] = "SUCCEEDED"
    assert "1 schedules deleted" in vitrine("schedule", "monitor", "--off")[1]
    assert not kubeflow.state.recurring


def test_a_run_whose_pods_are_gone_holds_up_no_retraining(kubeflow, vitrine, in_pod, tmp_path):
    """Somebody else deleted its schedule: the API calls it RUNNING for ever."""
    vitrine("schedule", "retrain")
    schedule = only(kubeflow.state.recurring)["recurring_run_id"]
    run = kubeflow.fire(schedule)
    Cluster(kubeflow.address)._client.delete_recurring_run(schedule)
    assert (run["state"], kubeflow.state.pods) == ("RUNNING", set())
    assert "is still going" in monitor_asks(kubeflow, str(tmp_path)).reason  # too young to be called lost
    run["created_at"] = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    own = Cluster(kubeflow.address)
    assert own.going("retrain", timedelta(hours=3)) == run["display_name"]
    kubeflow.state.pods.add(run["run_id"])
    assert own.going("retrain") == run["display_name"]
    kubeflow.state.pods.clear()
    assert own.failed(run["run_id"])
    assert monitor_asks(kubeflow, str(tmp_path)).started


def test_how_a_retraining_ended(kubeflow, vitrine):
    own = Cluster(kubeflow.address)
    vitrine("submit", "retrain", *HERE)
    run = only(kubeflow.state.runs)
    run["looks"] = None
    for state, failed in (
        ("RUNNING", False),
        ("SUCCEEDED", False),
        ("CANCELING", False),
        ("FAILED", True),
        ("CANCELED", True),
    ):
        run["state"] = state
        assert own.failed(run["run_id"]) is failed, state
    assert own.failed("unknown") is False


@pytest.mark.slow  # two processes that compile
def test_a_package_is_the_same_whatever_the_order_of_its_keys(tmp_path):
    """kfp writes a default's keys into the header in an order that differs from process to process."""
    command = "import sys; from pathlib import Path; from pipelines.packages import compile_pipeline as c; c('retrain', Path(sys.argv[1]))"
    packages = [tmp_path / f"{seed}.yaml" for seed in range(1, 5)]
    for seed, package in enumerate(packages, 1):
        environment = os.environ | {"PYTHONHASHSEED": str(seed)}
        subprocess.run([sys.executable, "-c", command, str(package)], env=environment, check=True)
    assert len({package.read_bytes() for package in packages}) > 1
    assert len({content_hash(package) for package in packages}) == 1
    changed = tmp_path / "changed.yaml"
    changed.write_text(packages[0].read_text().replace("nvidia.com/gpu", "amd.com/gpu"))
    assert content_hash(changed) != content_hash(packages[0])


def test_the_command_ends_with_one_line_and_code_2():
    done = subprocess.run(
        [sys.executable, "-m", "vitrine.cli", "pipeline", "submit", "retrain", "--endpoint", "http://127.0.0.1:9"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
