"""What CI starts and comments, against a Kubeflow and a GitHub over HTTP."""

import json
import re
from pathlib import Path

import pytest
import yaml
from fake_kubeflow import FakeKubeflow
from json_server import JsonServer, Refused

from pipelines import ci, cluster
from pipelines.cluster import Cluster
from pipelines.form import whole_settings
from vitrine.errors import InputError
from vitrine.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "registry.example/vitrine@sha256:" + "a" * 64


class GitHub(JsonServer):
    """Comments of one pull request."""

    def __init__(self):
        self.comments = [{"id": i, "body": f"remark {i}"} for i in range(101)]
        super().__init__()
        self.token = "secret"

    def answer(self, asked):
        if asked.path == "/repos/shop/models/issues/7/comments":
            if asked.method == "POST":
                self.comments.append({"id": len(self.comments), **json.loads(asked.body)})
                return self.comments[-1]
            assert asked.query["per_page"] == "100"
            start = 100 * (int(asked.query["page"]) - 1)
            return self.comments[start : start + 100]
        found = re.fullmatch(r"/repos/shop/models/issues/comments/(\d+)", asked.path)
        if not found or asked.method != "PATCH":
            raise Refused(404, "Not Found")
        self.comments[int(found[1])].update(json.loads(asked.body))
        return self.comments[int(found[1])]

    def written(self):
        return [found["body"] for found in self.comments if not found["body"].startswith("remark")]


@pytest.fixture
def github():
    found = GitHub()
    yield found
    found.close()


@pytest.fixture
def kubeflow(monkeypatch, tmp_path):
    monkeypatch.setenv("VITRINE_REVISION", "0123456789abcdef0123456789abcdef01234567")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KF_PIPELINES_SA_TOKEN_PATH", raising=False)
    monkeypatch.setattr("pipelines.submit.check", lambda *_: [])  # see test_check
    monkeypatch.setattr(cluster, "POLL", 0.01)
    monkeypatch.setattr(Cluster.wait, "__defaults__", (0.01,))
    server = FakeKubeflow()
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.address)
    yield server
    server.close()


@pytest.fixture
def environment(github, tmp_path):
    (tmp_path / "data.dvc").write_text("outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  path: data\n")
    return {
        "VITRINE_IMAGE": IMAGE,
        "VITRINE_CATALOG": "s3://bucket/data.dvc",
        "VITRINE_REMOTE": "s3://bucket/dvc",
        "VITRINE_REGISTRY": str(tmp_path / "registry"),
        "VITRINE_SETTINGS": "epochs: 3\npool: {gpu: a100}\nstrict: true\n",
        "VITRINE_DATA": str(tmp_path / "data.dvc"),
        "PULL_REQUEST": "7",
        "GITHUB_REPOSITORY": "shop/models",
        "GITHUB_TOKEN": "secret",
        "GITHUB_API_URL": github.address,
    }


def parameters(kubeflow):
    (run,) = kubeflow.state.runs.values()
    return run["runtime_config"]["parameters"]


def test_a_pull_request_trains_its_data_promotes_nothing_and_is_told(kubeflow, github, environment):
    assert ci.main("retrain", environment) == 0
    assert parameters(kubeflow) == {
        "data_catalog": "s3://bucket/data.dvc",
        "data_remote": "s3://bucket/dvc",
        "out_registry": environment["VITRINE_REGISTRY"],
        "data_revision": "0123456789abcdef0123456789abcdef.dir",
        "train_epochs": 3,
        "settings": whole_settings("retrain", {"only_compare": True, "pool": {"gpu": "a100"}, "strict": True}),
    }
    (version,) = kubeflow.state.versions.values()
    assert version["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]["cluster_image"]["defaultValue"] == IMAGE
    # Drift starts the newest version of `retrain`: what nobody reviewed is not to be one.
    assert [found["display_name"] for found in kubeflow.state.pipelines.values()] == ["retrain-pull-requests"]
    (text,) = github.written()
    assert "succeeded" in text
    assert "No model reached the gate." in text
    kubeflow.state.ends, kubeflow.state.error = ["FAILED"], "no GPU"
    assert ci.main("retrain", environment) == 1
    (text,) = github.written()  # replaced, though it stands on the second page of comments
    assert "failed" in text


def test_a_branch_promotes_and_comments_nowhere(kubeflow, github, environment):
    assert ci.main("retrain", {**environment, "PULL_REQUEST": ""}) == 0
    assert parameters(kubeflow)["settings"]["only_compare"] is False
    assert [found["display_name"] for found in kubeflow.state.pipelines.values()] == ["retrain"]
    assert github.written() == []


def test_the_monitor_looks_at_new_photos(kubeflow, environment):
    own = {"VITRINE_CATALOG": "s3://bucket/new/%Y-%m-%d", "VITRINE_SETTINGS": "retrain_parameters: {train_epochs: 3}"}
    assert ci.main("monitor", environment | own) == 0
    assert parameters(kubeflow) == {
        "data_catalog": "s3://bucket/new/%Y-%m-%d",
        "data_remote": "s3://bucket/dvc",
        "out_registry": environment["VITRINE_REGISTRY"],
        "retrain_parameters": {"train_epochs": 3},
    }


def test_figures_stand_beside_those_in_use(tmp_path):
    registry = Registry(tmp_path)
    own = {"top1": 0.5, "macro_top1": 0.375, "attr:a|b/top1": 1.0, "count": 90.0}
    about = {"run": "run-1", "against": {"top1": 0.75, "macro_top1": 0.25, "count": 90.0}}
    registry.refuse("taxonomy", "Refused: *<b>boots</b>* fell.", own, about)
    registry.refuse("taxonomy", "Refused: another.", own, {**about, "run": "run-2"})
    text = ci.comment(str(tmp_path), "run-1", "http://kubeflow/run-1", ended=True)
    assert text.splitlines() == [
        "<!-- vitrine -->",
        "### Vitrine: [run](http://kubeflow/run-1) succeeded",
        "",
        "**taxonomy**: Refused: &#42;&#60;b&#62;boots&#60;/b&#62;&#42; fell.",
        "",
        "| figure | this commit | in use | difference |",
        "| --- | --- | --- | --- |",
        "| macro&#95;top1 | 0.3750 | 0.2500 | +0.1250 |",
        "| top1 | 0.5000 | 0.7500 | -0.2500 |",
        "| attr:a&#124;b/top1 | 1.0000 | - | - |",
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"VITRINE_SETTINGS": "epochs"}, "one `name: value` a line"),
        ({"VITRINE_SETTINGS": "{"}, "no YAML"),
        ({"VITRINE_SETTINGS": "epoch: 3"}, "did you mean train_epochs"),
        ({"VITRINE_DATA": "/nowhere/data.dvc"}, "names no data"),
        ({"GITHUB_TOKEN": ""}, "GITHUB_TOKEN: not set"),
        ({"GITHUB_TOKEN": "wrong"}, "401"),
        ({"GITHUB_API_URL": "http://127.0.0.1:9"}, "cannot be reached"),
    ],
)
def test_what_cannot_be_is_one_line(kubeflow, environment, changed, said):
    with pytest.raises(InputError, match=said) as caught:
        ci.main("retrain", environment | changed)
    assert len(str(caught.value).splitlines()) == 1


def test_workflows_call_what_there_is_and_give_what_it_reads():
    asked = set(re.findall(r"\b(?:VITRINE_[A-Z]+|PULL_REQUEST|GITHUB_[A-Z_]+|KF_[A-Z_]+)\b", ci.__doc__))
    for name in ("test", "retrain", "monitor"):
        text = (ROOT / f".github/workflows/{name}.yml").read_text()
        workflow = yaml.safe_load(text)
        assert workflow["permissions"]["contents"] == "read"
        targets = re.findall(r"^\w[\w-]*(?=:)", (ROOT / "Makefile").read_text(), re.M)
        assert all(job["timeout-minutes"] for job in workflow["jobs"].values())
        for step in [step for job in workflow["jobs"].values() for step in job["steps"]]:
            for command in step.get("run", "").splitlines():
                if command.startswith("make "):
                    words = [word for word in command.partition("=")[0].split()[1:] if word.islower()]
                    assert words
                    assert set(words) <= {*targets}
            given = {key for key in step.get("env", {}) if not key.startswith("AWS_")}
            assert given <= ({"VITRINE_DATASETS", "CI"} if name == "test" else asked), given - asked
        for what in re.findall(r"pipelines\.ci (\w+)", text):
            assert what == name
        assert "pull_request_target" not in text  # would hand secrets to forks
