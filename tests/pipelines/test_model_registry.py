"""Announcing champions to a Kubeflow Model Registry, over HTTP."""

import http.server
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fake_model_registry import FakeModelRegistry

from pipelines.model_registry import ModelRegistry, announcer
from vitrine.errors import InputError
from vitrine.registry import Champion

FIRST = Champion(
    task="taxonomy",
    version="20261125T120000000000Z-01234567",
    model="s3://bucket/registry/taxonomy/versions/20261125T120000000000Z-01234567",
    content="0123456789abcdef",
    metrics={"top1": 0.5, "level1/top1": 1.0, "count": 120.0},
    promoted_at="2026-11-25T12:00:00+00:00",
    reason="Promoted: the first.",
    data_version="v-7",
)
SECOND = replace(FIRST, version="second", model="s3://bucket/second", metrics={"top1": 0.75}, previous=FIRST.version)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv("KF_PIPELINES_SA_TOKEN_PATH", raising=False)
    server = FakeModelRegistry()
    yield server
    server.close()


def in_use(server):
    return [found["name"] for found in server.versions.values() if found["customProperties"]["in_use"]["bool_value"]]


def test_a_first_champion_makes_the_model_its_version_and_its_artifact(server):
    number = ModelRegistry(server.address).announce(FIRST)
    (model,), (version,), (artifact,) = (found.values() for found in (server.models, server.versions, server.artifacts))
    assert model["name"] == "vitrine-taxonomy"
    assert (version["name"], version["parent"], version["id"]) == (FIRST.version, model["id"], number)
    assert version["description"] == "Promoted: the first."
    assert version["state"] == "LIVE"
    assert version["customProperties"] == {
        "in_use": {"metadataType": "MetadataBoolValue", "bool_value": True},
        "content": {"metadataType": "MetadataStringValue", "string_value": "0123456789abcdef"},
        "data_version": {"metadataType": "MetadataStringValue", "string_value": "v-7"},
        "promoted_at": {"metadataType": "MetadataStringValue", "string_value": "2026-11-25T12:00:00+00:00"},
        "top1": {"metadataType": "MetadataDoubleValue", "double_value": 0.5},
        "level1/top1": {"metadataType": "MetadataDoubleValue", "double_value": 1.0},
        "count": {"metadataType": "MetadataDoubleValue", "double_value": 120.0},
    }
    assert (artifact["uri"], artifact["parent"]) == (FIRST.model, number)
    assert artifact["modelFormatName"] == "safetensors"


def test_a_token_does_not_follow_to_another_address(server, monkeypatch, tmp_path):
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    (tmp_path / "token").write_text("secret")
    seen = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers["Authorization"])
            self.send_response(302)
            self.send_header("Location", server.address)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, args=[0.02], daemon=True).start()
        with pytest.raises(InputError, match="302"):
            ModelRegistry(f"http://127.0.0.1:{elsewhere.server_address[1]}")
        elsewhere.shutdown()
    assert seen == ["Bearer secret"]
    assert server.seen == []


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://host", "gopher://host", "host:80", ""])
def test_an_address_is_http(address):
    with pytest.raises(InputError, match="begins with http"):
        ModelRegistry(address)


def test_saying_it_again_adds_nothing(server):
    registry = ModelRegistry(server.address)
    assert len({registry.announce(FIRST) for _ in range(3)}) == 1
    assert [len(found) for found in (server.models, server.versions, server.artifacts)] == [1, 1, 1]
    registry.announce(replace(FIRST, model="/mnt/registry/first"))
    (artifact,) = server.artifacts.values()
    assert artifact["uri"] == "file:///mnt/registry/first"


def test_one_version_is_in_use_and_deleted_ones_are_archived(server):
    registry = ModelRegistry(server.address)
    third = replace(SECOND, version="third", model="s3://bucket/third", previous="second")
    for champion in (FIRST, SECOND, third):
        registry.announce(champion)
        assert in_use(server) == [champion.version]
    registry.announce(SECOND)  # a rollback
    assert in_use(server) == ["second"]
    registry.announce(third, deleted=[FIRST.version])
    assert in_use(server) == ["third"]
    states = {found["name"]: found["state"] for found in server.versions.values()}
    assert states == {FIRST.version: "ARCHIVED", "second": "LIVE", "third": "LIVE"}
    kept = {found["name"]: found["customProperties"] for found in server.versions.values()}
    assert kept["second"]["top1"]["double_value"] == 0.75  # properties are replaced as a whole, and none was lost
    other = replace(FIRST, task="attributes")
    registry.announce(other)
    assert {found["name"] for found in server.models.values()} == {"vitrine-taxonomy", "vitrine-attributes"}


def test_the_older_address_is_known_too():
    server = FakeModelRegistry("v1alpha3")
    try:
        ModelRegistry(server.address + "/").announce(FIRST)
        assert server.writes()[0] == "POST /registered_models"
    finally:
        server.close()


def test_two_at_once_make_one(server):
    registries = [ModelRegistry(server.address) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(lambda registry: registry.announce(FIRST), registries))) == 1
    assert [len(found) for found in (server.models, server.versions, server.artifacts)] == [1, 1, 1]


def test_a_token_is_sent(server, monkeypatch, tmp_path):
    server.token = "abc"
    with pytest.raises(InputError, match="401 Unauthorized: the token is not known"):
        ModelRegistry(server.address)
    (tmp_path / "token").write_text("abc\n")
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "token"))
    ModelRegistry(server.address).announce(FIRST)
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(InputError, match="cannot be read"):
        ModelRegistry(server.address)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:9", "cannot be reached"),
        ("model-registry:8080", "begins with http"),
    ],
)
def test_who_does_not_answer_is_named_in_one_line(address, said):
    with pytest.raises(InputError, match=said) as caught:
        ModelRegistry(address)
    assert len(str(caught.value).splitlines()) == 1


def test_an_address_of_something_else(server):
    server.api = "/elsewhere"
    with pytest.raises(InputError, match="no Kubeflow Model Registry"):
        ModelRegistry(server.address)


def test_the_server_holds_bodies_to_the_models(server):
    """What the other tests rest on."""
    registry = ModelRegistry(server.address)
    for body, said in [
        ({"nam": "x"}, "unknown fields"),
        ({"name": 3}, "valid string"),
        ({"name": "x", "state": "NEW"}, "LIVE"),
        (
            {"name": "x", "customProperties": {"a": {"metadataType": "MetadataDoubleValue", "double_value": "x"}}},
            "valid number",
        ),
    ]:
        with pytest.raises(InputError, match=said):
            registry._ask("POST", "registered_models", body=body)
    assert json.dumps(server.models) == "{}"


def test_steps_without_an_address_tell_nobody():
    assert announcer("") is None
