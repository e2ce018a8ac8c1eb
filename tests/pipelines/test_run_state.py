"""How a run's last step learns what the Pipelines API calls the run's state, over HTTP."""

import pytest
from json_server import JsonServer, Refused

from pipelines.run_state import run_state


class Api(JsonServer):
    """Answers one run's state."""

    state = "RUNNING"

    def answer(self, asked):
        if asked.path != "/apis/v2beta1/runs/run-1":
            raise Refused(404, "not found")
        return {"run_id": "run-1", "state": self.state}


@pytest.fixture
def api(monkeypatch):
    server = Api()
    monkeypatch.setenv("KFP_POD_NAME", "retrain-x-system-container-impl-1")
    monkeypatch.delenv("KF_PIPELINES_ENDPOINT", raising=False)
    monkeypatch.delenv("KF_PIPELINES_SA_TOKEN_PATH", raising=False)
    host, port = server.address.removeprefix("http://").split(":")
    monkeypatch.setenv("ML_PIPELINE_SERVICE_HOST", host)
    monkeypatch.setenv("ML_PIPELINE_SERVICE_PORT_HTTP", port)
    yield server
    server.close()


def test_it_knows_of_a_termination_and_else_the_said_word_stays(api):
    assert run_state("run-1", "COMPLETE") == "COMPLETE"
    api.state = "CANCELING"
    assert run_state("run-1", "RUNNING") == "CANCELING"
    assert run_state("another", "RUNNING") == "RUNNING"


def test_a_token_is_given_where_there_is_one(api, monkeypatch, tmp_path):
    api.token, api.state = "abc", "CANCELING"
    assert run_state("run-1", "RUNNING") == "RUNNING"  # 401
    (tmp_path / "token").write_text("abc\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    assert run_state("run-1", "RUNNING") == "CANCELING"


def test_without_an_api_the_said_word_stays(api, monkeypatch):
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", "http://127.0.0.1:9")
    assert run_state("run-1", "RUNNING") == "RUNNING"
    monkeypatch.delenv("KFP_POD_NAME")  # on a laptop nobody is asked
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", api.address)
    asked = len(api.seen)
    assert run_state("run-1", "SUCCEEDED") == "SUCCEEDED"
    assert len(api.seen) == asked
